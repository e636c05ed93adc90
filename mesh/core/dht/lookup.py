"""One look-up: whom to ask next on the way to an id, and when all has been asked that helps.

Theory: the nearest nodes that are known are asked; what they tell is nearer. There are no rounds: whenever fewer than
`DHT_PARALLEL` questions are under way the next one leaves, and a late one does not count, so that a dead node delays
nobody. The look-up ends when the nearest `DHT_COPIES` of all that are alive have answered, and where many of these are
kin, some that are nearest beyond them; one that reads also when `DHT_AGREEING` of them had the pointer. Reading takes
the union of the authors, and of each the highest sequence.

Invariants: a node is asked once. At most `DHT_QUESTIONS` are asked and `DHT_CANDIDATES` considered, whatever is told.
Nodes by the word of one that told of `DHT_LIES` silent ones and of none that answers are not asked at all; while that
many of them are silent or late, the others of its word wait.

Each answer and each late question looks at the nearest, so that these are kept in order. The distance is `kademlia`'s.
The module must not know how questions travel, nor any clock.
"""

import enum
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kademlia.node import Node

from mesh.core.dht.endpoints import range_of
from mesh.core.dht.kin import Kin, spread
from mesh.core.dht.storage import newer
from mesh.ground.dht_limits import (
    DHT_AGREEING,
    DHT_CANDIDATES,
    DHT_COPIES,
    DHT_LIES,
    DHT_PARALLEL,
    DHT_QUESTIONS,
)
from mesh.ground.ids import PeerId
from mesh.wire.envelope import Signed
from mesh.wire.lookups import Endpoint, Pointer, dht_id


@dataclass(slots=True)
class Word:
    """What one node's word was worth."""

    silent: int = 0
    late: int = 0
    """Asked, late, and not given up yet."""
    good: int = 0

    @property
    def doubtful(self) -> bool:
        """Whether it may be a lie, of which it is one where no late one answers after all."""
        return not self.good and self.silent + self.late >= DHT_LIES


class Candidate(Node):
    """A node that may be asked."""

    def __init__(self, peer: PeerId, endpoints: tuple[Endpoint, ...], teller: PeerId | None) -> None:
        super().__init__(dht_id(peer))
        self.peer = peer
        self.endpoints = endpoints
        self.range = range_of(endpoints[0])
        self.teller = teller
        """By whose word it is here; None: this peer's own table."""


class Lookup:
    """The state of one look-up."""

    def __init__(self, target: bytes, me: PeerId, *, reads: bool, kin: Callable[[Candidate], Kin]) -> None:
        self.target = target
        self.reads = reads
        self._kin = kin
        self.asked = 0
        self.pointers: dict[PeerId, Signed[Pointer]] = {}
        self._node = Node(target)
        self._order: list[tuple[int, Candidate]] = []
        """All that may count, nearest first, by distance."""
        self._contacted: dict[bytes, None] = {}
        self._met: dict[bytes, Candidate] = {}
        self._me = dht_id(me)
        self._waiting: dict[PeerId, bool] = {}
        """Who was asked and has not answered; True: it is late."""
        self._answered: dict[PeerId, Candidate] = {}
        self._having = 0
        """Nodes that had a pointer."""
        self._words: dict[PeerId, Word] = {}

    def learn(self, candidates: Iterable[Candidate]) -> None:
        """Consider nodes."""
        for candidate in candidates:
            if candidate.id == self._me or candidate.id in self._met or len(self._met) >= DHT_CANDIDATES:
                continue
            if candidate.teller is not None and self._lied(candidate.teller):
                continue
            self._met[candidate.id] = candidate
            insort(self._order, (self._node.distance_to(candidate), candidate))

    def next(self) -> list[Candidate]:
        """Return whom to ask now; they count as asked from here on."""
        found: list[Candidate] = []
        most = min(DHT_PARALLEL - self._under_way(), DHT_QUESTIONS - self.asked)
        if most <= 0:
            return found
        for candidate in self._wanted():
            if candidate.id in self._contacted or self._is_doubtful(candidate.teller):
                continue
            if len(found) >= most:
                break
            self._contacted[candidate.id] = None
            self._waiting[candidate.peer] = False
            self.asked += 1
            found.append(candidate)
        return found

    def answered(self, peer: PeerId, told: Iterable[Candidate], pointers: Iterable[Signed[Pointer]]) -> None:
        """Take an answer: further nodes, and pointers that were checked."""
        late = self._waiting.pop(peer, None)
        if late is None:
            return
        candidate = self._met[dht_id(peer)]
        self._answered[peer] = candidate
        word = self._word_behind(candidate)
        if word is not None:
            word.good += 1
            word.late -= late
        had = False
        for pointer in pointers:
            had = True
            self.pointers[pointer.author] = newer(self.pointers.get(pointer.author), pointer)
        self._having += had
        self.learn(told)

    def late(self, peer: PeerId) -> None:
        """Count a question as late: it is asked once more, and another one may leave."""
        if self._waiting.get(peer) is not False:
            return
        self._waiting[peer] = True
        word = self._word_behind(self._met[dht_id(peer)])
        if word is not None:
            word.late += 1

    def failed(self, peer: PeerId) -> None:
        """Give a node up, and with it whatever else its teller told, where that is a liar."""
        late = self._waiting.pop(peer, None)
        if late is None:
            return
        failed = self._met[dht_id(peer)]
        word = self._word_behind(failed)
        if word is not None:
            word.silent += 1
            word.late -= late
        del self._order[bisect_left(self._order, (self._node.distance_to(failed),))]
        if word is not None and self._lied(failed.teller):
            self._order = [
                placed for placed in self._order if placed[1].teller != failed.teller or placed[1].id in self._contacted
            ]

    def doubts(self, peer: PeerId) -> bool:
        """Whether a node is here by a doubtful word, so that it is not worth a second question."""
        met = self._met.get(dht_id(peer))
        return met is not None and self._is_doubtful(met.teller)

    @property
    def agreed(self) -> bool:
        """Whether enough nodes had what is read."""
        return self.reads and self._having >= DHT_AGREEING

    @property
    def over(self) -> bool:
        """Whether nothing is left to ask that would help."""
        if self.agreed:
            return True
        if self.asked >= DHT_QUESTIONS:
            return not self._under_way()
        return all(node.peer in self._answered for node in self._wanted())

    def nearest(self) -> list[Candidate]:
        """Return the nearest that answered, and those beyond their kin: whoever stores, stores there."""
        return [node for node in self._wanted() if node.peer in self._answered]

    def _wanted(self) -> Iterator[Candidate]:
        """Yield whose answers end the look-up, those that are alive: the nearest, and the nearest beyond their kin.

        Mostly one of the first is all that is asked for, and whose kin they are need not be known.
        """
        nearest = [node for _, node in self._order[:DHT_COPIES]]
        yield from nearest
        if len(spread(nearest, self._kin, DHT_COPIES)) < len(nearest):
            unlike = spread((node for _, node in self._order), self._kin, DHT_COPIES)
            yield from (node for node in unlike if node not in nearest)

    def _under_way(self) -> int:
        return list(self._waiting.values()).count(False)

    def _word_behind(self, candidate: Candidate) -> Word | None:
        """Return what its teller's word was worth so far; None: it is of this peer's own table."""
        return None if candidate.teller is None else self._words.setdefault(candidate.teller, Word())

    def _lied(self, teller: PeerId | None) -> bool:
        word = self._words.get(teller) if teller is not None else None
        return word is not None and word.silent >= DHT_LIES and not word.good

    def _is_doubtful(self, teller: PeerId | None) -> bool:
        word = self._words.get(teller) if teller is not None else None
        return word is not None and word.doubtful


class Purpose(enum.Enum):
    """What a look-up is for."""

    JOIN = "join"
    """To know the nodes nearest to this one, and be known by them; the buckets follow."""
    MEET = "meet"
    """The same, where somebody told of nearer nodes than were known; the buckets stay as they are."""
    REFRESH = "refresh"
    READ = "read"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A look-up under way."""

    lookup: Lookup
    purpose: Purpose
