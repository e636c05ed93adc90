"""The view: which peers this one keeps a channel with, chosen anew as they come and go.

Theory: in a mesh of up to `everybody` peers it is all of them. In a larger one it is what a routing table needs: the
nearest by id, so that neighbours know all of each other, and a few at each distance farther off, so that news crosses
the mesh in few steps. These are taken from the DHT's table, whose nodes have answered, and of whom no invite and no
range of addresses has many. Among those at one distance the nearest come first: two peers then mostly choose each
other, and one channel serves both. Beside them, whoever a job needs, for as long as it does.

Whether a mesh is large is told by how near its nearest peers are, or by counting, and whether it is small again by how
near they are: between half and twice `everybody` nobody goes to and fro. So a newcomer knows it once it has found its
place, and not only once it has met more than `everybody`.

Channels that nothing waits for are opened out of a purse: a crowd that comes at once spreads its handshakes over time.

Invariants: the choice depends on who is known, never on who told. The module must not know how anybody is dialled.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from mesh.core.directory import Directory
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS, Instant, later
from mesh.ground.limits import EVERYBODY
from mesh.wire.lookups import DHT_ID_BYTES, dht_id
from mesh.wire.messages import Contact

LINKS_NEAREST = 8
"""In a larger mesh: channels to the nearest peers by id, so that neighbours know each other."""

CONTACTS_TOLD = 16
"""Peers that one tells a newcomer of; each of them tells of others again."""

TOLD_EACH_MS = 10_000
"""Where everybody has a channel with everybody, each peer tells one other of all that often. Of those whom a newcomer
is told of a few pairs in a hundred never heard of each other; and two who lack each other have a minute (L5)."""

EVERYBODY_LEAST = 4
"""With fewer channels a mesh would fall apart when one peer leaves."""

LINKS_PER_DISTANCE = 3
"""And to so many at each distance: with two of them gone a way is left. Among 10,000 peers that makes some 40."""

LINKS_LEAST = 16
"""A peer with fewer channels takes whomever it hears of."""

OPENINGS = 32
"""Channels that nothing waits for, opened at once: a newcomer meets a studio's mesh as fast as that answers."""

OPENINGS_FIRST = 16
"""Of these before it is known whether the mesh is large: there a newcomer needs no more to find its place."""

SIZED_MS = 3 * SECOND_MS
"""By then it is known: the newcomer has looked for itself in the DHT."""

OPENING_MS = 2 * SECOND_MS
"""And in the long run one each so long: some 8 KB each, so that a crowd of newcomers is no storm."""

OPENING_LARGE_MS = 10 * SECOND_MS
"""In a large mesh one each so long: there each newcomer of a crowd meets strangers alone, and all of them at once."""

CALLED_UP_MS = 30 * SECOND_MS
"""All whom the journal of a small mesh names are dialled within so long: where all start again together, two who dial
each other last have a minute to meet (L5), in which one of them may not be there yet at first."""

NEEDED_MS = MINUTE_MS
"""A peer that a job needed counts as needed for so long; while it is, that is said again every few seconds."""

CHOOSE_MS = 3 * SECOND_MS
"""A view of a large mesh is looked over that often."""

SURPLUS_MS = 10 * MINUTE_MS
"""A channel that was of no use to who opened it for so long is closed."""

assert LINKS_NEAREST < CONTACTS_TOLD
assert LINKS_NEAREST < LINKS_LEAST < OPENINGS <= EVERYBODY

_PLACES_KEPT = 16_384
"""Peers whose place is remembered, some 3 MB: those of the largest mesh, which a simulator has in one process."""

_IDS = 1 << 8 * DHT_ID_BYTES
_SAMPLE = 16
"""Nearest peers by whose distance a mesh's size is estimated: it comes out within a quarter of the truth, mostly."""


def distance(one: PeerId, other: PeerId) -> int:
    """Return how far two peers' places in the DHT are apart."""
    return _place(one) ^ _place(other)


@lru_cache(maxsize=_PLACES_KEPT)
def _place(peer: PeerId) -> int:
    return int.from_bytes(dht_id(peer), "big")


def links(
    me: PeerId,
    known: Iterable[PeerId],
    connected: Callable[[PeerId], bool],
    nearest: int = LINKS_NEAREST,
    each: int = LINKS_PER_DISTANCE,
) -> dict[PeerId, None]:
    """Return whom `me` keeps channels with in a large mesh, of those it knows: the `nearest`, and `each` at a distance.

    Where a place may be had by several, who is connected keeps it.
    """
    by_distance = sorted((distance(me, peer), peer) for peer in known)
    chosen = dict.fromkeys(peer for _, peer in by_distance[:nearest])
    at_distance: dict[int, list[PeerId]] = {}
    for far, peer in by_distance[nearest:]:
        at_distance.setdefault(far.bit_length(), []).append(peer)
    for peers in at_distance.values():
        there = [peer for peer in peers if connected(peer)]
        others = [peer for peer in peers if not connected(peer)]
        chosen.update(dict.fromkeys([*there, *others][:each]))
    return chosen


def crowd(me: PeerId, known: Iterable[PeerId]) -> int:
    """Estimate how many peers a mesh has by how near its nearest ones are; the count where there are few."""
    mine = _place(me)
    nearest = sorted([mine ^ place for place in map(_place, known)])
    if len(nearest) < _SAMPLE:
        return 1 + len(nearest)
    return 1 + (_SAMPLE - 1) * _IDS // max(1, nearest[_SAMPLE - 1])


def introductions(peer: PeerId, contacts: list[Contact], dice: Dice) -> list[Contact]:
    """Return of whom a peer is told: of all where they are few, else of those nearest to it, and others by lot."""
    if len(contacts) <= CONTACTS_TOLD:
        return contacts
    ordered = sorted(contacts, key=lambda contact: distance(peer, contact.peer))
    rest = ordered[LINKS_NEAREST:]
    drawn = (rest.pop(dice.below(len(rest))) for _ in range(CONTACTS_TOLD - LINKS_NEAREST))
    return [*ordered[:LINKS_NEAREST], *drawn]


class View:
    """Say whom this peer wants a channel with, and when it may open one."""

    def __init__(
        self,
        directory: Directory,
        nodes: Callable[[], Sequence[PeerId]] = tuple,
        everybody: int = EVERYBODY,
    ) -> None:
        self._directory = directory
        self._nodes = nodes
        """The DHT's table: who answered lately."""
        everybody = max(EVERYBODY_LEAST, everybody)
        self._everybody = everybody
        self._nearest = min(LINKS_NEAREST, everybody // 2)
        self._each = min(LINKS_PER_DISTANCE, max(1, everybody // 4))
        self._least = min(LINKS_LEAST, everybody)
        self.large = False
        """Whether there are too many peers to be connected to all."""
        self.links: dict[PeerId, None] = {}
        """In a large mesh: whom this peer keeps channels with for the mesh's own sake."""
        self._chosen_among: tuple[Sequence[PeerId], Sequence[PeerId]] = ([], [])
        """Who was connected, and in the table, when the links were last chosen: mostly nothing has changed."""
        self._choose_at = Instant(0)
        """When a large mesh's view is looked over again."""
        self._needed: dict[PeerId, Instant] = {}
        self._unwanted: dict[PeerId, Instant] = {}
        """Since when nobody here wants a channel that was opened from here."""
        self._purse_most = min(OPENINGS, everybody)
        self._purse = min(OPENINGS_FIRST, everybody)
        """Channels that may be opened."""
        self._filled_at: Instant | None = None
        self._sized_at: Instant | None = None
        """When this peer will have learned whether the mesh is large."""
        self._sized = False

    def remember(self, now: Instant, peers: int) -> int:
        """Take from the journal how many peers there were; return how many channels may be opened now."""
        if 0 < peers <= self._everybody:
            self._purse, self._sized = self._purse_most, True
        return self.openings(now)

    def calls_up_each_ms(self, peers: int) -> int:
        """Return the pause after each of so many peers of the journal that are not dialled at once."""
        known_small = self._sized and not self.large
        return min(OPENING_MS, CALLED_UP_MS // max(1, peers)) if known_small else OPENING_MS

    def choose(self, now: Instant) -> bool:
        """Look at who is known, and choose again; tell whether it was time: in a large mesh there is no hurry."""
        if self.large and now < self._choose_at:
            return False
        self._choose_at = later(now, CHOOSE_MS)
        self._choose(now)
        return True

    def _choose(self, now: Instant) -> None:
        if self._needed:
            self._needed = {peer: until for peer, until in self._needed.items() if until >= now}
        there, nodes = self._directory.all_connected(), self._nodes()
        if (there, nodes) == self._chosen_among:
            return
        self._chosen_among = there, nodes
        connected = self._directory.connected
        known = dict.fromkeys((*there, *nodes))
        known.pop(self._directory.me, None)
        estimate = crowd(self._directory.me, known)
        if self.large:
            self.large = 2 * estimate >= self._everybody
        else:
            self.large = len(known) > self._everybody or estimate > 2 * self._everybody
        self._directory.crowd = max(estimate, len(known)) if self.large else 0
        self.links = {}
        if self.large:
            self.links = links(self._directory.me, known, connected, self._nearest, self._each)

    def wants(self, peer: PeerId) -> bool:
        """Whether a channel with `peer` is of use."""
        return not self.large or peer in self.links or peer in self._needed

    def takes_anybody(self) -> bool:
        """Whether a channel with whomever others tell of is of use: in a small mesh, or to somebody nearly alone."""
        return not self.large or len(self._directory.all_connected()) < self._least

    def need(self, now: Instant, peer: PeerId) -> bool:
        """Want a channel with a peer, for a job's sake, for a while; tell whether that is news."""
        fresh = peer not in self._needed
        self._needed[peer] = later(now, NEEDED_MS)
        return fresh

    def openings(self, now: Instant) -> int:
        """Return how many channels that nothing waits for may be opened now, those under way included."""
        if self._filled_at is None or self._sized_at is None:
            self._filled_at, self._sized_at = now, later(now, SIZED_MS)
        fills_ms = OPENING_LARGE_MS if self.large else OPENING_MS
        filled = (now - self._filled_at) // fills_ms
        self._filled_at = later(self._filled_at, filled * fills_ms)
        self._purse += filled
        if now >= self._sized_at and not self._sized:
            self._sized = True
            if not self.large:
                self._purse += max(0, self._purse_most - OPENINGS_FIRST)
        self._purse = min(self._purse_most, self._purse)
        if not self._purse:
            return 0
        dialled = sum(known.dialling for known in self._directory.peers.values())
        return max(0, self._purse - dialled)

    def opened(self, peer: PeerId) -> None:
        """Pay for a channel that was opened from here; a dial that led nowhere costs nothing here."""
        if peer not in self._needed:
            self._purse = max(0, self._purse - 1)

    def surplus(self, now: Instant) -> PeerId | None:
        """Return a peer whose channel was opened from here and has long been of no use; None: there is no such one.

        Whoever dialled ends it: the other side may be the one that wants it.
        """
        if not self.large:
            self._unwanted.clear()
            return None
        self._unwanted = {
            peer: self._unwanted.get(peer, now)
            for peer in self._directory.all_connected()
            if self._directory.peers[peer].dialled and not self.wants(peer)
        }
        long = (peer for peer, since in self._unwanted.items() if now - since >= SURPLUS_MS)
        return next(long, None)
