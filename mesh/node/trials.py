"""Trial dials: whether a peer can be reached at an address, found out by reaching it and letting go at once.

Invariants: a trial that others asked for goes only where the asker's own channel and hello say that it is, to at most
`MAX_ADDRESSES` of these; of a host that is not at the other end of that channel no more is told than whether the asker
answered there, so that nobody learns through this peer what listens at a third party. A trial takes `TRY_MS` at most.
The module must not know why anybody wants to know.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import trio

from mesh.core.effects import TryDials
from mesh.core.events import DialsTried, Event
from mesh.ground.ids import PeerId
from mesh.ground.limits import TRY_MS
from mesh.ports.transport import DialRefused, DialTimedOut, Transport, TransportError
from mesh.wire.addresses import is_loopback
from mesh.wire.dials import Outcome, Tried
from mesh.wire.messages import MAX_ADDRESSES, Address

_TOLD_OF_OTHERS: Final = frozenset({Outcome.REACHED})


class Trials:
    """Performs `TryDials`."""

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        transport: Transport,
        routes: Callable[[PeerId], tuple[Address, ...]],
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._transport = transport
        self._routes = routes
        self._tell = tell

    def begin(self, effect: TryDials) -> None:
        """Dial the addresses of a peer, all at once."""
        self._nursery.start_soon(self._try_all, effect)

    async def _try_all(self, effect: TryDials) -> None:
        addresses = effect.addresses or own_addresses(self._routes(effect.peer))
        found: dict[Address, Outcome] = {}

        async def try_one(address: Address) -> None:
            found[address] = await self._try(effect.peer, address)

        async with trio.open_nursery() as nursery:
            for address in addresses[:MAX_ADDRESSES]:
                nursery.start_soon(try_one, address)
        tried = tuple(Tried(address=address, outcome=found[address]) for address in addresses[:MAX_ADDRESSES])
        if not effect.addresses:
            tried = told_to_asker(tried)
        await self._tell(DialsTried(op=effect.op, tried=tried))

    async def _try(self, peer: PeerId, address: Address) -> Outcome:
        with trio.move_on_after(TRY_MS / 1000):
            try:
                channel = await self._transport.dial(address)
            except DialRefused:
                return Outcome.REFUSED
            except DialTimedOut:
                return Outcome.SILENT
            except TransportError:
                return Outcome.NO_WAY
            met = channel.peer == peer
            self._nursery.start_soon(channel.aclose)
            return Outcome.REACHED if met else Outcome.NO_WAY
        return Outcome.SILENT


def own_addresses(routes: tuple[Address, ...]) -> tuple[Address, ...]:
    """Return where to dial a peer back, the far end of its channel first: its loopback is nobody else's."""
    near = [route for route in routes if is_loopback(route)]
    if routes and not is_loopback(routes[0]):
        routes = tuple(route for route in routes if route not in near)
    return routes[:MAX_ADDRESSES]


def told_to_asker(tried: tuple[Tried, ...]) -> tuple[Tried, ...]:
    """Leave out what the asker must not learn of hosts other than the one at the far end of its channel."""
    return tuple(
        one
        if one.address.host == tried[0].address.host or one.outcome in _TOLD_OF_OTHERS
        else replace(one, outcome=Outcome.NO_WAY)
        for one in tried
    )
