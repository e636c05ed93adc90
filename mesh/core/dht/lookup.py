"""One look-up: whom to ask next on the way to an id, and when all has been asked that helps.

Theory: the nearest nodes that are known are asked; what they tell is nearer. There are no rounds: whenever fewer than
`DHT_PARALLEL` questions are under way the next one leaves, and a late one does not count, so that a dead node delays
nobody. The look-up ends when the nearest `DHT_COPIES` of all that are alive have answered, and where many of these are
kin, some that are nearest beyond them; one that reads also when `DHT_AGREEING` of them had the pointer. Reading takes
the union of the authors, and of each the highest sequence.

Invariants: a node is asked once. At most `DHT_QUESTIONS` are asked and `DHT_CANDIDATES` considered, whatever is told.
Nodes by the word of one that told of `DHT_LIES` silent ones and of none that answers are not asked at all.

The heap of nodes by distance is `kademlia`'s. The module must not know how questions travel, nor any clock.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kademlia.node import Node, NodeHeap

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
    good: int = 0


class Candidate(Node):
    """A node that may be asked."""

    def __init__(self, peer: PeerId, endpoints: tuple[Endpoint, ...], teller: PeerId | None) -> None:
        super().__init__(dht_id(peer))
        self.peer = peer
        self.endpoints = endpoints
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
        self._heap = NodeHeap(Node(target), DHT_COPIES)
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
            self._heap.push(candidate)

    def next(self) -> list[Candidate]:
        """Return whom to ask now; they count as asked from here on."""
        found: list[Candidate] = []
        if self._under_way() >= DHT_PARALLEL:
            return found
        for candidate in self._wanted():
            if candidate.id in self._heap.contacted:
                continue
            if self._under_way() >= DHT_PARALLEL or self.asked >= DHT_QUESTIONS:
                break
            self._heap.mark_contacted(candidate)
            self._waiting[candidate.peer] = False
            self.asked += 1
            found.append(candidate)
        return found

    def answered(self, peer: PeerId, told: Iterable[Candidate], pointers: Iterable[Signed[Pointer]]) -> None:
        """Take an answer: further nodes, and pointers that were checked."""
        if self._waiting.pop(peer, None) is None:
            return
        candidate = self._met[dht_id(peer)]
        self._answered[peer] = candidate
        if candidate.teller is not None:
            self._words.setdefault(candidate.teller, Word()).good += 1
        had = False
        for pointer in pointers:
            had = True
            self.pointers[pointer.author] = newer(self.pointers.get(pointer.author), pointer)
        self._having += had
        self.learn(told)

    def late(self, peer: PeerId) -> None:
        """Count a question as late: it is asked once more, and another one may leave."""
        if peer in self._waiting:
            self._waiting[peer] = True

    def failed(self, peer: PeerId) -> None:
        """Give a node up, and with it whatever else its teller told, where that is a liar."""
        if self._waiting.pop(peer, None) is None:
            return
        candidate = self._met[dht_id(peer)]
        gone = [candidate.id]
        if candidate.teller is not None:
            self._words.setdefault(candidate.teller, Word()).silent += 1
            if self._lied(candidate.teller):
                gone += [
                    one.id
                    for one in self._met.values()
                    if one.teller == candidate.teller and one.id not in self._heap.contacted
                ]
        self._heap.remove(gone)

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
        nearest: list[Candidate] = list(self._heap)
        yield from nearest
        if len(spread(nearest, self._kin, DHT_COPIES)) < len(nearest):
            unlike = spread((node for _, node in sorted(self._heap.heap)), self._kin, DHT_COPIES)
            yield from (node for node in unlike if node not in nearest)

    def _under_way(self) -> int:
        return sum(not late for late in self._waiting.values())

    def _lied(self, teller: PeerId) -> bool:
        word = self._words.get(teller)
        return word is not None and word.silent >= DHT_LIES and not word.good
