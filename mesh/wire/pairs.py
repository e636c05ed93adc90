"""Pairs: the peers that this one exchanges datagrams with, each proven by a handshake, and how they come and go.

Theory: whoever has something to say to a peer says it under the pair's keys, or calls the peer first. Two peers may
call each other at once; then they have two rows of keys, either may use either, and each uses the one that it heard
on last. A peer that does not answer may have started anew, forgotten the keys or moved: all three show as silence, and
are met in one way, by calling it again beside the old keys.

Invariants: a payload comes from a member that the door accepts at this very moment, and goes to such a one; each sealed
payload is delivered once or never. A pair is answered at the address where its handshake proved that it reads, never
at one that a datagram merely came from. Pairs, calls and half-open handshakes are bounded apart, so that what is
unproven never costs a proven peer its place; of the pairs the least recently used goes. Nobody is told why nothing
came of what was said.

The module is pure: time and entropy are arguments, datagrams come and go as values. It must not know what payloads say.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mesh.ground.datagram_limits import (
    HALF_OPEN_MS,
    MAX_CALLS,
    MAX_PAIRS,
    PAIR_DOUBT_MS,
    PAIR_DOUBT_QUIET_MS,
    PAIR_FRESH_MS,
    PAIR_IDLE_MS,
    PAIR_MS,
    PAIR_QUIET_MS,
    PAYLOADS_PER_PEER,
    PAYLOADS_PER_SECOND,
)
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.wire import datagram
from mesh.wire.calls import Calls, Outgoing, Reached
from mesh.wire.datagram import PAYLOAD_MAX_BYTES, CookieSent, First, Kind, Part, Sealed
from mesh.wire.greeting import Company, Proven
from mesh.wire.halfopen import Budget, Entropy, HalfOpen, Places
from mesh.wire.handshake import ChannelKind
from mesh.wire.members import Credentials
from mesh.wire.messages import Address

WELCOME: Final = b""
"""What the answerer says when it has let the caller in; no payload is empty."""

ROWS_PER_PEER: Final = 2
"""Rows of keys that a peer has at most: the old and the new, or one from each side's call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A payload, and the proven peer that sealed it."""

    peer: PeerId
    address: Address
    """Where the peer reads, as its handshake has proven."""
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What follows from a datagram."""

    send: tuple[Outgoing, ...] = ()
    heard: Heard | None = None
    surplus: bool = False
    """It came from a peer that has said as much in this second as is heard of it: more of the kind may follow."""


_SURPLUS: Final = Reaction(surplus=True)
"""Of a flood there are thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """How much is held at once; a test may set it low."""

    pairs: int = MAX_PAIRS
    calls: int = MAX_CALLS
    places: Places = field(default_factory=Places)


@dataclass(slots=True, kw_only=True, eq=False)
class _Pair:
    """One row of keys with one peer."""

    index: bytes
    proven: Proven
    address: Address
    born: Instant
    used: Instant
    heard: Instant
    unanswered: Instant | None = None
    """When something that awaits an answer was first said after the peer was last heard."""
    answered: bool
    """Whether the other side called."""

    def live(self, now: Instant) -> bool:
        """Whether the keys may be used at all."""
        return now - self.used < PAIR_IDLE_MS and now - self.born < PAIR_MS

    def sure(self, now: Instant) -> bool:
        """Whether what is said now is likely to be heard."""
        patience_ms = PAIR_DOUBT_MS if now - self.heard < PAIR_QUIET_MS else PAIR_DOUBT_QUIET_MS
        if self.unanswered is not None and now - self.unanswered >= patience_ms:
            return False
        # The other side may have got the keys a little sooner, and will forget them so much sooner.
        return now - self.heard < PAIR_FRESH_MS and now - self.born < PAIR_MS - PAIR_IDLE_MS


class Pairs:
    """All that one peer does with datagrams."""

    def __init__(self, company: Company, entropy: Entropy, most: Most = Most()) -> None:
        self._company = company
        self._most = most
        self._calls = Calls(entropy, most.calls)
        self._half_open = HalfOpen(entropy, most.places)
        self._pairs: OrderedDict[bytes, _Pair] = OrderedDict()
        """By this side's index, the least recently used first."""
        self._by_peer: dict[PeerId, list[_Pair]] = {}
        self._payloads = Budget(total=PAYLOADS_PER_SECOND, per_source=PAYLOADS_PER_PEER)

    @property
    def busy(self) -> bool:
        """Whether `wake` has something to do soon."""
        return bool(self._calls) or bool(self._half_open)

    @property
    def pairs(self) -> int:
        """How many rows of keys there are."""
        return len(self._pairs)

    @property
    def half_open(self) -> int:
        """How many handshakes by others are under way."""
        return len(self._half_open)

    @property
    def calls(self) -> int:
        """How many of this side's own are, flights included."""
        return len(self._calls)

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` in every handshake from now on."""
        # Whoever was not heard yet may have refused what was shown before.
        for index in self._calls.unheard():
            self._drop(self._pairs[index])
        self._company = replace(self._company, papers=replace(self._company.papers, shown=shown))

    def send(
        self, now: Instant, peer: PeerId, addresses: Sequence[Address], payload: bytes, *, awaited: bool = True
    ) -> tuple[Outgoing, ...]:
        """Say `payload`, 1 to `PAYLOAD_MAX_BYTES` bytes, to `peer`; where there are no keys, call it at `addresses`.

        `awaited`: something is said back; a peer that says nothing after what awaits nothing is not doubted for it.
        Whatever goes wrong, the payload is lost and nobody is told.
        """
        assert 0 < len(payload) <= PAYLOAD_MAX_BYTES, f"a payload of {len(payload)} bytes"
        self._age(now)
        pair = self._best(now, peer)
        if pair is None:
            known = self._by_peer.get(peer, ())
            some = tuple(dict.fromkeys((*(known.address for known in known), *addresses)))
            return tuple(self._calls.call(now, self._company, peer, some, payload))
        return (self._said(now, pair, payload, awaited=awaited),)

    def hear(self, now: Instant, source: Address, data: bytes) -> Reaction:
        """Take in a datagram that came from `source`; what means nothing here has no effect."""
        self._age(now)
        try:
            match datagram.decode(data):
                case First() as first:
                    answer = self._half_open.first(now, self._company, source, first, size=len(data))
                    assert answer is None or len(answer) <= len(data)
                    return _to(source, answer)
                case Part(kind=Kind.SECOND) as part:
                    return self._second(now, part)
                case Part() as part:
                    return self._third(now, source, part)
                case CookieSent() as sent:
                    return Reaction(send=tuple(self._calls.cookie(sent)))
                case Sealed() as sealed:
                    return self._opened(now, sealed)
        except WireError:
            return Reaction()

    def wake(self, now: Instant) -> tuple[Outgoing, ...]:
        """Return what has to be said again; to be asked every fraction of a second while `busy`."""
        self._age(now)
        said, lost = self._calls.again(now, self._company)
        for index in lost:
            pair = self._pairs.get(index)
            if pair is not None:
                self._drop(pair)
        return tuple(said)

    def forget(self, peer: PeerId) -> None:
        """Let go of everything with `peer`."""
        self._calls.end(peer)
        for pair in tuple(self._by_peer.get(peer, ())):
            self._drop(pair)

    def _second(self, now: Instant, part: Part) -> Reaction:
        follows = self._calls.second(part)
        if not isinstance(follows, Reached):
            return Reaction(send=tuple(follows))
        pair = self._take(now, follows.index, follows.proven, follows.address, answered=False)
        sealed = [pair.proven.sealer.seal(payload) for payload in follows.payloads]
        pair.unanswered = now
        return Reaction(send=tuple(self._calls.fly(now, follows, sealed)))

    def _third(self, now: Instant, source: Address, part: Part) -> Reaction:
        pair = self._pairs.get(part.to)
        if pair is not None:
            # It was heard; so the welcome was not, or is on its way. Once for all parts, and shorter than any.
            again = pair.answered and part.number == 0 and now - pair.born < HALF_OPEN_MS and source == pair.address
            return _to(source, pair.proven.sealer.seal(WELCOME)) if again else Reaction()
        proven = self._half_open.third(source, part)
        if proven is None:
            return Reaction()
        pair = self._take(now, part.to, proven, source, answered=True)
        said = [Outgoing(address=source, data=proven.sealer.seal(WELCOME))]
        # This side may have called the same peer: there is a way now.
        said += [self._said(now, pair, payload, awaited=True) for payload in self._calls.end(proven.peer)]
        return Reaction(send=tuple(said))

    def _opened(self, now: Instant, sealed: Sealed) -> Reaction:
        pair = self._pairs.get(sealed.to)
        if pair is None or not pair.live(now):
            return Reaction()
        if self._payloads.spent(now, pair.proven.peer):
            # Unopened, since opening is what costs. Who forges has spent nobody's budget: only payloads count.
            return _SURPLUS
        payload = pair.proven.opener.open(sealed)
        if not self._admitted(pair):
            return Reaction()
        self._calls.landed(pair.index)
        pair.heard, pair.unanswered = now, None
        self._use(now, pair)
        if not self._payloads.spend(now, pair.proven.peer) or payload == WELCOME:
            return Reaction()
        return Reaction(heard=Heard(peer=pair.proven.peer, address=pair.address, payload=payload))

    def _best(self, now: Instant, peer: PeerId) -> _Pair | None:
        """Return the row on which `peer` was last heard, if it is likely to hear."""
        sure = [pair for pair in tuple(self._by_peer.get(peer, ())) if pair.sure(now) and self._admitted(pair)]
        return max(sure, key=lambda pair: (pair.heard, pair.born), default=None)

    def _said(self, now: Instant, pair: _Pair, payload: bytes, *, awaited: bool) -> Outgoing:
        sealed = pair.proven.sealer.seal(payload)
        self._calls.add(pair.index, sealed)
        if awaited and pair.unanswered is None:
            pair.unanswered = now
        self._use(now, pair)
        return Outgoing(address=pair.address, data=sealed)

    def _admitted(self, pair: _Pair) -> bool:
        """Whether the door still accepts this peer; where not, everything with it is forgotten."""
        kind = self._company.door.member(pair.proven.shown, pair.proven.membership)
        if kind is not ChannelKind.MEMBER:
            self.forget(pair.proven.peer)
        return kind is ChannelKind.MEMBER

    def _take(self, now: Instant, index: bytes, proven: Proven, address: Address, *, answered: bool) -> _Pair:
        rows = self._by_peer.setdefault(proven.peer, [])
        pair = _Pair(index=index, proven=proven, address=address, born=now, used=now, heard=now, answered=answered)
        rows.append(pair)
        self._pairs[index] = pair
        if len(rows) > ROWS_PER_PEER:
            self._drop(rows[0])
        if len(self._pairs) > self._most.pairs:
            self._drop(next(iter(self._pairs.values())))
        return pair

    def _use(self, now: Instant, pair: _Pair) -> None:
        pair.used = now
        self._pairs.move_to_end(pair.index)

    def _drop(self, pair: _Pair) -> None:
        del self._pairs[pair.index]
        self._calls.landed(pair.index)
        rows = self._by_peer[pair.proven.peer]
        rows.remove(pair)
        if not rows:
            del self._by_peer[pair.proven.peer]

    def _age(self, now: Instant) -> None:
        """Forget what is over; the least recently used are first, so that few are looked at."""
        self._half_open.age(now)
        while self._pairs:
            oldest = next(iter(self._pairs.values()))
            if oldest.live(now):
                return
            self._drop(oldest)


def _to(address: Address, data: bytes | None) -> Reaction:
    return Reaction() if data is None else Reaction(send=(Outgoing(address=address, data=data),))
