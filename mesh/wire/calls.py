"""Handshakes by datagrams that this peer began: whom it calls, at which addresses, and what waits to be said.

Theory: a peer is called at its addresses, one a little after the other, each by a handshake of its own; the first that
proves the peer wins. Everything said is said again at doubling intervals until the other side's next step shows that
it was heard. Message 3 travels with the payloads that wait, as one *flight*, and is repeated byte by byte: the other
side's replay window sees to it that each payload arrives once.

Invariants: what is kept is bounded, and all of it lives `CALL_MS` at most. A payload is in one place: it waits, or it
is in a flight that is repeated, or it was sent once. The module must not know what becomes of a proof.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mesh.ground.datagram_limits import (
    CALL_ADDRESSES,
    CALL_AGAIN_MS,
    CALL_MS,
    CALL_NEXT_MS,
    CALL_PAYLOADS,
    FLIGHT_AGAIN_MS,
    MAX_CALLS,
)
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, later
from mesh.wire.datagram import INDEX_SIZE, CookieSent, Part
from mesh.wire.greeting import Caller, Company, Proven
from mesh.wire.messages import Address
from mesh.wire.noise import KEY_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A datagram to be sent."""

    address: Address
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A call that proved its peer; message 3 has yet to be sent, by `Calls.fly`."""

    proven: Proven
    index: bytes
    address: Address
    third: tuple[bytes, ...]
    payloads: tuple[bytes, ...]


@dataclass(slots=True, kw_only=True)
class _Again:
    """When something is said again."""

    at: Instant
    wait_ms: int

    def due(self, now: Instant) -> bool:
        """Whether that is now; the next time is twice as far."""
        if now < self.at:
            return False
        self.wait_ms *= 2
        self.at = later(now, self.wait_ms)
        return True


@dataclass(slots=True, kw_only=True, eq=False)
class _Try:
    """A handshake with one address."""

    caller: Caller
    address: Address
    again: _Again


@dataclass(slots=True, kw_only=True)
class _Call:
    """A peer that is called."""

    until: Instant
    next_at: Instant
    addresses: deque[Address] = field(default_factory=deque)
    """Those that were not tried yet."""
    payloads: deque[bytes] = field(default_factory=lambda: deque(maxlen=CALL_PAYLOADS))
    tries: list[_Try] = field(default_factory=list)
    told: set[Address] = field(default_factory=set)
    """All addresses that were, or will be, tried."""

    def add(self, addresses: Sequence[Address]) -> None:
        """Try these too, while they are not too many."""
        for address in addresses:
            if len(self.told) < CALL_ADDRESSES and address not in self.told:
                self.told.add(address)
                self.addresses.append(address)


@dataclass(slots=True, kw_only=True)
class _Flight:
    """Message 3 and what was said with it, until the other side is heard."""

    until: Instant
    address: Address
    third: tuple[bytes, ...]
    again: _Again
    sealed: deque[bytes] = field(default_factory=lambda: deque(maxlen=CALL_PAYLOADS))


class Calls:
    """All calls and flights under way."""

    def __init__(self, entropy: Callable[[int], bytes], most: int = MAX_CALLS) -> None:
        self._entropy = entropy
        self._most = most
        self._calls: dict[PeerId, _Call] = {}
        self._tries: dict[bytes, _Try] = {}
        self._flights: dict[bytes, _Flight] = {}

    def __len__(self) -> int:
        return len(self._calls) + len(self._flights)

    def call(
        self, now: Instant, company: Company, peer: PeerId, addresses: Sequence[Address], payload: bytes
    ) -> list[Outgoing]:
        """Say `payload` to `peer` once it has been reached; return what to send now."""
        known = self._calls.get(peer)
        if known is None:
            if len(self) >= self._most or not addresses:
                return []
            known = self._calls[peer] = _Call(until=later(now, CALL_MS), next_at=now)
        known.add(addresses)
        known.payloads.append(payload)
        return self._next(now, company, peer, known)

    def cookie(self, sent: CookieSent) -> list[Outgoing]:
        """Return what to send now that an answerer wants to see its cookie; raise `WireError`."""
        found = self._tries.get(sent.to)
        if found is None:
            return []
        return [Outgoing(address=found.address, data=question) for question in found.caller.take_cookie(sent)]

    def second(self, part: Part) -> list[Outgoing] | Reached:
        """Return what follows from a part of message 2; raise `WireError`."""
        found = self._tries.get(part.to)
        if found is None:
            return []
        try:
            follows = found.caller.take(part)
        except WireError:
            self._give_up(found)
            raise
        if follows is None:
            return []
        if isinstance(follows, list):
            return [Outgoing(address=found.address, data=question) for question in follows]
        proven, third = follows
        payloads = self.end(proven.peer)
        return Reached(
            proven=proven,
            index=found.caller.index,
            address=found.address,
            third=tuple(third),
            payloads=tuple(payloads),
        )

    def fly(self, now: Instant, reached: Reached, sealed: Sequence[bytes]) -> list[Outgoing]:
        """Send message 3 and the sealed payloads, now and again until `landed`."""
        flight = _Flight(
            until=later(now, CALL_MS),
            address=reached.address,
            third=reached.third,
            again=_Again(at=later(now, FLIGHT_AGAIN_MS), wait_ms=FLIGHT_AGAIN_MS),
        )
        flight.sealed.extend(sealed)
        self._flights[reached.index] = flight
        return _flown(flight)

    def add(self, index: bytes, sealed: bytes) -> None:
        """Repeat this datagram too, if the pair's flight has not landed."""
        flight = self._flights.get(index)
        if flight is not None:
            flight.sealed.append(sealed)

    def unheard(self) -> tuple[bytes, ...]:
        """Return the indexes of the pairs whose other side has yet to be heard."""
        return tuple(self._flights)

    def landed(self, index: bytes) -> None:
        """Note that the other side was heard."""
        self._flights.pop(index, None)

    def end(self, peer: PeerId) -> tuple[bytes, ...]:
        """Call `peer` no longer; return what waited for it."""
        call = self._calls.pop(peer, None)
        if call is None:
            return ()
        for begun in call.tries:
            del self._tries[begun.caller.index]
        return tuple(call.payloads)

    def again(self, now: Instant, company: Company) -> tuple[list[Outgoing], list[bytes]]:
        """Return what to say again now, and the indexes of the pairs whose flight never landed."""
        said: list[Outgoing] = []
        for peer, call in tuple(self._calls.items()):
            if now >= call.until:
                self.end(peer)
                continue
            for begun in call.tries:
                if begun.again.due(now):
                    said += [Outgoing(address=begun.address, data=data) for data in begun.caller.questions()]
            said += self._next(now, company, peer, call)
        lost = [index for index, flight in self._flights.items() if now >= flight.until]
        for index in lost:
            del self._flights[index]
        for flight in self._flights.values():
            if flight.again.due(now):
                said += _flown(flight)
        return said, lost

    def _next(self, now: Instant, company: Company, peer: PeerId, call: _Call) -> list[Outgoing]:
        """Begin with the next address, where its time has come."""
        if not call.addresses or now < call.next_at:
            return []
        address = call.addresses.popleft()
        call.next_at = later(now, CALL_NEXT_MS)
        caller = Caller(company, peer, index=self._entropy(INDEX_SIZE), seed=self._entropy(KEY_SIZE))
        again = _Again(at=later(now, CALL_AGAIN_MS), wait_ms=CALL_AGAIN_MS)
        begun = _Try(caller=caller, address=address, again=again)
        call.tries.append(begun)
        self._tries[caller.index] = begun
        return [Outgoing(address=address, data=question) for question in caller.questions()]

    def _give_up(self, begun: _Try) -> None:
        """End a handshake that can prove nothing; the peer's other addresses go on."""
        del self._tries[begun.caller.index]
        call = self._calls[begun.caller.wanted]
        call.tries.remove(begun)
        if not call.tries and not call.addresses:
            self.end(begun.caller.wanted)


def _flown(flight: _Flight) -> list[Outgoing]:
    return [Outgoing(address=flight.address, data=data) for data in (*flight.third, *flight.sealed)]
