"""The routing table: peers that answered, in buckets by distance; many near this peer's own id, some everywhere.

Theory: buckets, their splitting and the distance of ids are `kademlia`'s. What it does beyond that is replaced here,
each for a reason that a test names: its table asks asyncio to ping when a bucket is full, reads a clock, splits far
buckets too, forgets its upper bound by one, and stops looking for the nearest peers at the first that it walks past.

Invariants: a bucket has at most `DHT_BUCKET` peers, of them at most `DHT_SAME_INVITE` by one invite and
`DHT_SAME_RANGE` of one address range, and as many that wait to take a place. Only the bucket of this peer's own id
splits. A peer is in the table once, under its full id; one whose first 20 bytes are another's is not taken.

The module must not know how peers are asked, nor when.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from mesh.core.dht.endpoints import range_of
from mesh.core.dht.kin import Kin, spread
from mesh.ground.dht_limits import (
    DHT_BUCKET,
    DHT_COPIES,
    DHT_SAME_INVITE,
    DHT_SAME_RANGE,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.wire.lookups import DHT_ID_BYTES, Endpoint, dht_id

_BITS = 8 * DHT_ID_BYTES
_by_distance = itemgetter(0)


class Neighbour(Node):
    """One peer in the table."""

    def __init__(self, peer: PeerId, endpoints: tuple[Endpoint, ...], *, invite: bytes, heard_at: Instant) -> None:
        super().__init__(dht_id(peer))
        self.peer = peer
        self.settle(endpoints)
        self.invite = invite
        """What let it in; peers that share it may be one person's."""
        self.heard_at = heard_at
        self.fails = 0
        """Questions in a row that it did not answer."""

    def settle(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Take where it is, best first; `range` is the neighbourhood of the first."""
        self.endpoints = endpoints
        self.range = range_of(endpoints[0])


class Bucket(KBucket):
    """Peers whose ids lie in one range, oldest first; no group of them has more than its part of the places."""

    def __init__(self, lower: int, upper: int, size: int) -> None:
        super().__init__(lower, upper, size, 1)

    def touch_last_updated(self) -> None:
        """Read no clock: what is looked into, and when, is the machine's to know."""

    def split(self) -> "tuple[Bucket, Bucket]":
        """Return the two halves, each with what the bounds leave of its peers."""
        middle = (self.range[0] + self.range[1]) // 2
        halves = Bucket(self.range[0], middle, self.ksize), Bucket(middle + 1, self.range[1], self.ksize)
        for node in (*self.nodes.values(), *self.replacement_nodes.values()):
            halves[node.long_id > middle].add_node(node)
        return halves

    def add_node(self, node: Neighbour) -> bool:
        """Add a peer, or let it wait for a place; tell whether it has one."""
        if node.id in self.nodes:
            return bool(super().add_node(node))
        self.replacement_nodes.pop(node.id, None)
        if len(self.nodes) < self.ksize and not _crowded(node, self.nodes.values()):
            return bool(super().add_node(node))
        if not _crowded(node, self.replacement_nodes.values()):
            self.replacement_nodes[node.id] = node
            while len(self.replacement_nodes) > self.max_replacement_nodes:
                self.replacement_nodes.popitem(last=False)
        return False

    def remove_node(self, node: Node) -> None:
        """Remove a peer; the latest of those that wait and may takes its place."""
        self.replacement_nodes.pop(node.id, None)
        if self.nodes.pop(node.id, None) is None:
            return
        for waiting in reversed(self.replacement_nodes.values()):
            if not _crowded(waiting, self.nodes.values()):
                del self.replacement_nodes[waiting.id]
                self.nodes[waiting.id] = waiting
                return


def _crowded(node: Neighbour, others: Iterable[Neighbour]) -> bool:
    """Whether there are as many of the node's kin among `others` as there may be."""
    by_invite = by_range = 0
    for other in others:
        by_invite += other.invite == node.invite
        by_range += other.range == node.range
    return by_invite >= DHT_SAME_INVITE or by_range >= DHT_SAME_RANGE


def _common(marks: Iterable[bytes]) -> bytes | None:
    """Return what more than half share; None: there is no such mark."""
    counted = Counter(marks)
    mark = max(counted, key=lambda one: counted[one], default=None)
    return mark if mark is not None and 2 * counted[mark] > counted.total() else None


class Tree(RoutingTable):
    """The buckets."""

    def __init__(self, own: Node) -> None:
        super().__init__(None, DHT_BUCKET, own)

    def flush(self) -> None:
        """Begin with one bucket for all ids."""
        self.buckets = [Bucket(0, (1 << _BITS) - 1, self.ksize)]

    def get_bucket_for(self, node: Node) -> int:
        """Return the index of the bucket that an id belongs into."""
        return self.index_of(node.long_id)

    def index_of(self, place: int) -> int:
        """Return the same of an id that is a number already."""
        for index, bucket in enumerate(self.buckets):  # there are few, and each question and answer asks
            if place <= bucket.range[1]:
                return index
        raise AssertionError("the last bucket has no upper bound")

    def add_contact(self, node: Neighbour) -> bool:
        """Add a peer, splitting this peer's own bucket as far as it takes; tell whether it has a place."""
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if bucket.add_node(node):
                return True
            if not bucket.has_in_range(self.node) or bucket.range[0] == bucket.range[1]:
                return False
            self.split_bucket(index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The ids of one bucket, both ends included."""

    lower: int
    upper: int


class Table:
    """What is known of other nodes at first hand."""

    def __init__(self, me: PeerId) -> None:
        self.me = me
        self._own = Node(dht_id(me))
        self._tree = Tree(self._own)
        self._common: Kin | None = None
        """What more than half of the table shares; None: to be counted anew."""
        self._places: list[Neighbour] | None = None
        """Everybody who has a place, bucket by bucket; None: to be gathered anew."""
        self._sound: list[Neighbour] | None = None
        """Those of them that answered when last asked; likewise. Each question and each second asks for them."""
        self._answering: list[PeerId] | None = None

    def __len__(self) -> int:
        return len(self.neighbours())

    def get(self, peer: PeerId) -> Neighbour | None:
        """Return a peer that has a place; None for any other."""
        found: Neighbour | None = self._bucket(peer)[dht_id(peer)]
        return found if found is not None and found.peer == peer else None

    def add(self, neighbour: Neighbour) -> bool:
        """Take a peer that just answered; tell whether it has a place."""
        if neighbour.id == self._own.id:
            return False
        there = self._bucket(neighbour.peer)[neighbour.id]
        if there is not None and there.peer != neighbour.peer:
            return False
        buckets = len(self._tree.buckets)
        self._gather_anew()
        placed = self._tree.add_contact(neighbour)
        if placed or len(self._tree.buckets) > buckets:  # a split may have given a place to some that waited
            self._common = None
        return placed

    def heard(self, neighbour: Neighbour, now: Instant) -> None:
        """Note that a peer was heard."""
        neighbour.heard_at = now
        if neighbour.fails:
            neighbour.fails = 0
            self._gather_anew()

    def failed(self, neighbour: Neighbour) -> None:
        """Note that a peer did not answer: it is told to nobody until it is heard."""
        neighbour.fails += 1
        self._gather_anew()

    def move(self, neighbour: Neighbour, endpoints: tuple[Endpoint, ...]) -> None:
        """Take a peer's new addresses; where they crowd its bucket it gives up its place."""
        before = neighbour.range
        neighbour.settle(endpoints)
        if neighbour.range != before:
            self._common = None
            self._gather_anew()
            self._tree.remove_contact(neighbour)
            self._tree.add_contact(neighbour)

    def remove(self, peer: PeerId) -> None:
        """Forget a peer."""
        neighbour = self.get(peer)
        if neighbour is not None:
            self._common = None
            self._gather_anew()
            self._tree.remove_contact(neighbour)

    def oldest_beside(self, peer: PeerId) -> Neighbour | None:
        """Return whoever was not heard of for longest in the bucket that `peer` belongs into."""
        return min(self._bucket(peer).get_nodes(), key=lambda node: int(node.heard_at), default=None)

    def closest(self, target: bytes, but: PeerId | None = None, count: int = DHT_COPIES) -> list[Neighbour]:
        """Return the `count` peers that are nearest to `target` and answered when last asked, nearest first."""
        at = int.from_bytes(target, "big")
        ordered = [(node.long_id ^ at, node) for node in self.sound() if node.peer != but]
        ordered.sort(key=_by_distance)
        return [node for _, node in ordered[:count]]

    def unlike(self, target: bytes, but: PeerId | None = None, count: int = DHT_COPIES) -> list[Neighbour]:
        """Return `count` peers as `closest` does, but few of them kin, as long as there are others."""
        nearest = self.closest(target, but, count)
        if len(spread(nearest, self.kin, count)) == len(nearest):
            return nearest
        ordered = self.closest(target, but, len(self))
        return list(dict.fromkeys((*spread(ordered, self.kin, count), *ordered)))[:count]

    def kin(self, neighbour: Neighbour) -> Kin:
        """Return whose kin a peer is here."""
        return self.kin_by(neighbour.invite, neighbour.range)

    def kin_by(self, invite: bytes | None, range_: bytes) -> Kin:
        """Return what counts as kinship here: what most of the table shares says nothing about anybody."""
        if self._common is None:
            there = self.neighbours()
            self._common = Kin(invite=_common(one.invite for one in there), range=_common(one.range for one in there))
        common = self._common
        return Kin(invite=None if invite == common.invite else invite, range=None if range_ == common.range else range_)

    def neighbours(self) -> list[Neighbour]:
        """Return everybody who has a place."""
        if self._places is None:
            self._places = [node for bucket in self._tree.buckets for node in bucket.nodes.values()]
        return self._places

    def sound(self) -> list[Neighbour]:
        """Return who has a place and answered when last asked."""
        if self._sound is None:
            self._sound = [node for node in self.neighbours() if not node.fails]
        return self._sound

    def answering(self) -> list[PeerId]:
        """Return who these are."""
        if self._answering is None:
            self._answering = [node.peer for node in self.sound()]
        return self._answering

    def buckets(self) -> list[list[Neighbour]]:
        """Return who has a place, bucket by bucket."""
        return [list(bucket.nodes.values()) for bucket in self._tree.buckets]

    def ranges(self) -> list[Range]:
        """Return the buckets' ranges, this peer's own left out: looking for itself has looked into that one."""
        return [
            Range(lower=bucket.range[0], upper=bucket.range[1])
            for bucket in self._tree.buckets
            if not bucket.has_in_range(self._own)
        ]

    def _gather_anew(self) -> None:
        """Know that somebody got a place, lost it, or failed or answered."""
        self._places = self._sound = self._answering = None

    def _bucket(self, peer: PeerId) -> KBucket:
        place = int.from_bytes(dht_id(peer), "big")
        return self._tree.buckets[self._tree.index_of(place)]
