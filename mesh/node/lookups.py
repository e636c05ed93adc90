"""What the DHT and probing say in single datagrams, between the core and the ways to other peers.

A peer that has a channel is told on it, since it needs no handshake there; any other one by datagram.

Theory: a datagram that is lost costs its asker a time-out and nobody anything else, so nothing here waits, repeats or
reports. The driver's queue being full makes the port's fill up, which then loses what comes: a flood slows nobody. What
a datagram costs is taken from its peer's purse, the same as for what its channel says, but for answers; who has nothing
left is not heard.

Invariants: the core hears a look-up only from the member that sealed it, its signatures checked. The module must not
know what look-ups mean.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard, Event
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.node.driver import Over
from mesh.node.hearing import Hearing
from mesh.node.pacing import PACKET_NS, Pacing
from mesh.ports.datagrams import Datagrams
from mesh.ports.world import World
from mesh.wire import lookups
from mesh.wire.carrying import Carried
from mesh.wire.lookups import Lookup
from mesh.wire.pairs import Heard


class Lookups:
    """Performs the core's effects about datagrams, and hears what others ask."""

    def __init__(
        self,
        *,
        datagrams: Datagrams,
        carry: Callable[[PeerId, Carried], bool],
        hearing: Hearing,
        world: World,
        tell: Callable[[Event, Over | None], Awaitable[None]],
        pacing: Pacing,
    ) -> None:
        self._datagrams = datagrams
        self._carry = carry
        """Says something on a peer's channel; tells whether there is one."""
        self._hearing = hearing
        self._world = world
        self._tell = tell
        self._pacing = pacing

    def send(self, effect: SendDatagram) -> None:
        """Send a question, an answer or tidings, or lose them."""
        payload = lookups.encode(effect.message)
        asks = type(effect.message) in lookups.ANSWERS
        if asks:
            self._pacing.asked(effect.peer)
        if not self._carry(effect.peer, Carried(payload=payload)):
            self._datagrams.send(effect.peer, effect.addresses, payload, awaited=asks)

    async def hear(self) -> None:
        """Tell the core what comes, for ever."""
        while True:
            heard = await self._datagrams.receive()
            owes = self._pacing.pause_ms(self._world.now().instant, heard.peer) > 0
            if owes and not self._pacing.awaits(heard.peer):
                continue
            begun_ns = self._world.spent_ns()
            message = self._read(heard)
            read_ns = PACKET_NS + self._world.spent_ns() - begun_ns
            free = type(message) in lookups.ANSWERING and self._pacing.answered(heard.peer)
            if not free:
                self._spend(heard.peer, read_ns)
            if message is not None and (free or not owes):
                event = DatagramHeard(peer=heard.peer, address=heard.address, message=message)
                await self._tell(event, None if free else partial(self._spend, heard.peer))

    def _read(self, heard: Heard) -> Lookup | None:
        """Return what a payload says, if anything."""
        try:
            message = lookups.decode(heard.payload)
            self._hearing.check(message)
        except WireError:
            return None
        return message

    def _spend(self, peer: PeerId, spent_ns: int) -> None:
        self._pacing.spend(self._world.now().instant, peer, spent_ns)
