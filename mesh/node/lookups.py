"""The questions, answers and tidings of the DHT and of probing, between the core and the datagrams' port.

Theory: a datagram that is lost costs its asker a time-out and nobody anything else, so nothing here waits, repeats or
reports. The driver's queue being full makes the port's fill up, which then loses what comes: a flood slows nobody.

Invariants: the core hears a look-up only from the member that sealed it, its signatures checked. The module must not
know what look-ups mean.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard, Event
from mesh.ground.errors import WireError
from mesh.node.hearing import Hearing
from mesh.ports.datagrams import Datagrams
from mesh.wire import lookups


class Lookups:
    """Performs the core's effects about datagrams, and hears what others ask."""

    def __init__(self, *, datagrams: Datagrams, hearing: Hearing, tell: Callable[[Event], Awaitable[None]]) -> None:
        self._datagrams = datagrams
        self._hearing = hearing
        self._tell = tell

    def send(self, effect: SendDatagram) -> None:
        """Send a question, an answer or tidings, or lose them."""
        asks = type(effect.message) in lookups.ANSWERS
        self._datagrams.send(effect.peer, effect.addresses, lookups.encode(effect.message), awaited=asks)

    async def hear(self) -> None:
        """Tell the core what comes, for ever."""
        while True:
            heard = await self._datagrams.receive()
            with suppress(WireError):
                message = lookups.decode(heard.payload)
                self._hearing.check(message)
                await self._tell(DatagramHeard(peer=heard.peer, address=heard.address, message=message))
