"""What goes when room is needed, and what this host says of itself when nothing can go.

Theory: all that is stored and not bound (`bonds`) is cache, and cache is worth only the bytes that need not be fetched
again. So it goes when its room is needed, the least recently used first, what somebody seeks just now last. The host
says every few seconds how full the store is. While there is enough room nothing more is asked; else the store is
listed, with what the bound scenes consist of, and what has to go is named.

Invariants: nothing bound is evicted, nothing used a moment ago, no whole blob that the core was not told of yet; and
nothing at all while it is unknown what a bound scene consists of. What is evicted is believed gone in the same turn;
the host deletes it only if it was not used since it was listed, and says which it did, so that whatever meets an
eviction on its way wins. Only this machine says how much room there is; `Scenes` takes off it what it begins to fetch.
The module must not know why something is bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.core.bonds import Bonds
from mesh.core.effects import Evict, Freed, Reply, TakeStock
from mesh.core.host import HostFacts
from mesh.core.notes import BlobsEvicted, RoomChanged, RoomLacking
from mesh.core.ops import Ops
from mesh.core.scenes import Scenes
from mesh.core.status import BoundView, StoreView
from mesh.core.stock import Evicted, FreeAsked, StockTaken, StoreAsked, Stored, StoreMeasured
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId
from mesh.ground.instants import Instant, Now
from mesh.ground.store_limits import (
    EVICTED_AT_ONCE,
    STOCK_MS,
    STORE_SPARE_BYTES,
    STORE_SPARE_PART,
    UNTOLD_MS,
    USED_LATELY_MS,
)


@dataclass(slots=True, kw_only=True)
class Asked:
    """Somebody at this host who waits for room."""

    op: int
    size: int
    blobs: int = 0
    freed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """A stock, told apart."""

    bound: Mapping[BlobId, JobId | None]
    cache: tuple[Stored, ...]
    """In the order in which it goes."""
    resting: int
    """Bytes of cache that was used too lately to go now."""


class Larder:
    """Make room, and know when there is none."""

    def __init__(self, bonds: Bonds, host: HostFacts, swarm: Swarm, scenes: Scenes, *, ops: Ops) -> None:
        self._bonds = bonds
        self._host = host
        self._swarm = swarm
        self._scenes = scenes
        self._ops = ops
        self._stock_op: int | None = None
        self._stock_at: Instant | None = None
        self._in_vain = False
        """Whether the last stock had nothing that could go for what was needed."""
        self._cache = 0
        """Bytes of cache that the last stock had."""
        self._evicting: dict[int, tuple[Asked | None, tuple[Stored, ...]]] = {}
        """What goes, and for whom who asked."""
        self._asked: list[Asked] = []
        self._shown_to: list[int] = []
        self._trees: dict[BlobId, tuple[BlobId, ...]] = {}
        """What the roots of bound scenes name, as last read."""

    def on_store_measured(self, turn: Turn, event: StoreMeasured) -> None:
        """Note how much room there is; list the store where that is little."""
        self._host.limit_bytes = event.stored + event.free
        coming = self._scenes.lacking_bytes()
        if event.free - coming >= self._spare():
            self._tell_room(turn, event.free - coming)
        else:
            if self._host.room_bytes is not None:
                self._tell_room(turn, min(self._host.room_bytes, event.free - coming + self._cache))
            if not self._in_vain or self._stock_is_old(turn.now.instant):
                self._take_stock(turn)

    def on_room_lacking(self, turn: Turn, _note: RoomLacking) -> None:
        """See whether cache could make way for a scene."""
        if not self._in_vain or self._stock_is_old(turn.now.instant):
            self._take_stock(turn)

    def on_free_asked(self, turn: Turn, event: FreeAsked) -> None:
        """Make room because somebody at this host says so."""
        self._asked.append(Asked(op=event.op, size=event.size))
        self._take_stock(turn)

    def on_store_asked(self, turn: Turn, event: StoreAsked) -> None:
        """Tell a person what is here, and for whom."""
        self._shown_to.append(event.op)
        self._take_stock(turn)

    def on_stock_taken(self, turn: Turn, event: StockTaken) -> None:
        """Tell what is bound from what is cache, and let go of as much of it as is needed."""
        if event.op != self._stock_op:
            return
        self._stock_op, self._stock_at = None, turn.now.instant
        self._trees = {root: self._trees[root] for root in self._bonds.scenes(turn.now) if root in self._trees}
        self._trees.update(event.trees)
        told = self._sort(turn.now, event.blobs)
        self._show(turn, event, told)
        self._host.limit_bytes = event.stored + event.free
        self._cache = sum(stored.size for stored in told.cache) + told.resting
        free = event.free - self._scenes.lacking_bytes()
        needed = [size for _, size in self._scenes.without_room() if size > free]
        goes = self._choose(told.cache, self._wanted_bytes(free, needed))
        needy = bool(needed) or free < self._spare()
        self._in_vain = needy and not goes and not told.resting  # what rests may go in a moment
        if goes:
            op = self._ops.next()
            self._evicting[op] = (self._asked[0] if self._asked else None, goes)
            turn.do(Evict(op=op, blobs=goes))
            turn.tell(BlobsEvicted(blobs=tuple(stored.blob for stored in goes)))
        else:
            self._answer_all(turn)
        self._tell_room(turn, free + self._cache)

    def on_evicted(self, turn: Turn, event: Evicted) -> None:
        """Believe what is still here; go on where more is wanted."""
        asked, goes = self._evicting.pop(event.op, (None, ()))
        gone = dict.fromkeys(event.gone)
        for stored in goes:
            if stored.blob in gone:
                if asked is not None:
                    asked.blobs += 1
                    asked.freed += stored.size
            elif stored.whole and not self._swarm.complete(stored.blob):
                self._swarm.add(turn, stored.blob)
        while self._asked and self._asked[0].freed >= self._asked[0].size:
            self._answer(turn, self._asked.pop(0))
        if asked is not None and not gone:  # the disk refuses: asked again at once it would do so again
            self._answer_all(turn)
        if self._asked or self._shown_to:
            self._take_stock(turn)

    def _take_stock(self, turn: Turn) -> None:
        if self._stock_op is None and not self._evicting:
            self._stock_op = self._ops.next()
            turn.do(TakeStock(op=self._stock_op, roots=tuple(self._bonds.scenes(turn.now))))

    def _stock_is_old(self, now: Instant) -> bool:
        return self._stock_at is None or now - self._stock_at >= STOCK_MS

    def _spare(self) -> int:
        """Return how much is kept free of cache."""
        return min(self._host.limit_bytes // STORE_SPARE_PART, STORE_SPARE_BYTES)

    def _wanted_bytes(self, free: int, needed: list[int]) -> int:
        """Return how many bytes should go: up to twice the spare room, so that this is not done at every moment."""
        wanted = 2 * self._spare() - free if free < self._spare() else 0
        # For a scene that does not fit even then, it would go in vain.
        wanted = max([wanted, *(size - free for size in needed if size <= free + self._cache)])
        if self._asked:
            wanted = max(wanted, self._asked[0].size - self._asked[0].freed)
        return wanted

    def _choose(self, cache: tuple[Stored, ...], wanted: int) -> tuple[Stored, ...]:
        goes: list[Stored] = []
        for stored in cache[:EVICTED_AT_ONCE]:
            if wanted <= 0:
                break
            goes.append(stored)
            wanted -= stored.size
        return tuple(goes)

    def _sort(self, now: Now, stock: tuple[Stored, ...]) -> Sorted:
        bound = self._bonds.all(now, self._trees)
        here = (root for root in self._bonds.scenes(now) if self._swarm.complete(root))
        if any(root not in self._trees for root in (*here, *self._bonds.held_scenes())):
            return Sorted(bound=bound, cache=(), resting=0)
        free = [stored for stored in stock if stored.blob not in bound and not self._untold(now, stored)]
        lately = [stored for stored in free if 0 <= now.wall - stored.last_used < USED_LATELY_MS]
        resting = dict.fromkeys(stored.blob for stored in lately)
        cache = [stored for stored in free if stored.blob not in resting]
        cache.sort(key=lambda stored: (self._swarm.sought(stored.blob), stored.last_used, stored.blob))
        return Sorted(bound=bound, cache=tuple(cache), resting=sum(stored.size for stored in lately))

    def _untold(self, now: Now, stored: Stored) -> bool:
        """Whether a blob is whole and unknown to the core: it was just stored, or is part of a scene on its way."""
        fresh = 0 <= now.wall - stored.last_used < UNTOLD_MS
        return stored.whole and fresh and not self._swarm.complete(stored.blob)

    def _tell_room(self, turn: Turn, room: int) -> None:
        before = self._host.full
        self._host.room_bytes = room
        if self._host.full != before:
            turn.tell(RoomChanged())

    def _answer_all(self, turn: Turn) -> None:
        """Say to all who asked for room that no more can be made now."""
        for asked in self._asked:
            self._answer(turn, asked)
        self._asked.clear()

    def _answer(self, turn: Turn, asked: Asked) -> None:
        turn.do(Reply(op=asked.op, reply=Freed(blobs=asked.blobs, size=asked.freed)))

    def _show(self, turn: Turn, event: StockTaken, told: Sorted) -> None:
        """Tell those who asked what is here and for whom."""
        if not self._shown_to:
            return
        counts: dict[JobId | None, list[int]] = {}
        for stored in event.blobs:
            if stored.blob in told.bound:
                count = counts.setdefault(told.bound[stored.blob], [0, 0])
                count[0] += 1
                count[1] += stored.size
        bound = tuple(BoundView(job=job, blobs=blobs, size=size) for job, (blobs, size) in counts.items())
        owed = sum(each.size for each in bound)
        view = StoreView(
            stored=event.stored,
            free=event.free,
            bound=bound,
            cache_blobs=len(event.blobs) - sum(each.blobs for each in bound),
            cache=sum(stored.size for stored in event.blobs) - owed,
        )
        for op in self._shown_to:
            turn.do(Reply(op=op, reply=view))
        self._shown_to.clear()
