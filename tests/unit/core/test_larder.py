"""What goes when room is needed: what nobody is owed, and nothing else."""

from collections.abc import Iterable

from mesh.core.effects import Evict, FetchManifest, Freed, ReadTree, Reply, TakeStock
from mesh.core.events import EnginesProbed, TreeRead
from mesh.core.status import StoreView
from mesh.core.stock import Evicted, FreeAsked, StockTaken, StoreAsked, Stored, StoreMeasured
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import DAY_MS, WallTime
from mesh.ground.store_limits import STOCK_MS, UNTOLD_MS, USED_LATELY_MS
from mesh.wire.kept import KeptHead, KeptHold, KeptMark
from mesh.wire.messages import Have, Holds, KeepAsk, Seek
from tests.support.cast import ENGINE, Cast, blob
from tests.support.rig import Rig, kept, of, sent

MB = 1_000_000
LIMIT = 100 * MB
ROOT, PARTS = blob("scene"), (blob("part 0"), blob("part 1"))
OLD, NEW, PICTURE = blob("old"), blob("new"), blob("picture")


class Pantry:
    """A peer with a store of 100 MB, and ann's job, of which it may hold something."""

    def __init__(
        self,
        cast: Cast,
        *,
        holds: Iterable[BlobId] = (),
        here: tuple[BlobId, ...] = (),
        slots: int = 0,
        keeps: bool = False,
    ) -> None:
        self.cast = cast
        self.ann = cast.actor("ann")
        me = cast.actor("me")
        self.head = cast.head(self.ann, scene=ROOT, copies=3)
        journal: list[KeptHead | KeptHold | KeptMark] = [KeptHead(head=self.head)]
        journal += [KeptHold(hold=cast.hold(me, self.head, held)) for held in holds]
        if keeps:
            journal.append(KeptMark(mark=cast.mark(me, self.head)))
        self.rig = Rig(cast, actor=me, slots=slots, kept=tuple(journal), complete=here)
        self.rig.meet(self.ann)
        for read in of(self.rig.effects, ReadTree):
            self.rig.tell(TreeRead(op=read.op, root=ROOT, blobs=PARTS))
        self.rig.clear()
        self.job = JobId(self.head.job.id)

    def stored(self, *blobs: BlobId, size: int = 10 * MB, age_ms: int = DAY_MS, whole: bool = True) -> list[Stored]:
        """Return blobs that were used a day ago, one after the other."""
        at = self.rig.now.wall - age_ms
        return [
            Stored(blob=each, size=size, last_used=WallTime(at + number), whole=whole)
            for number, each in enumerate(blobs)
        ]

    def press(self, *stock: Stored, free: int = 5 * MB, trees: bool = True) -> tuple[BlobId, ...]:
        """Let the store be that full; return what goes."""
        self.rig.clear()
        self.rig.tell(StoreMeasured(stored=LIMIT - free, free=free))
        return self.list(*stock, free=free, trees=trees)

    def list(self, *stock: Stored, free: int, trees: bool = True) -> tuple[BlobId, ...]:
        (wanted,) = of(self.rig.effects, TakeStock)
        named = tuple((root, PARTS) for root in wanted.roots) if trees else ()
        self.rig.clear()
        self.rig.tell(StockTaken(op=wanted.op, stored=LIMIT - free, free=free, blobs=stock, trees=named))
        return tuple(each.blob for evict in of(self.rig.effects, Evict) for each in evict.blobs)

    def answer(self, *kept_back: BlobId) -> None:
        """Say that all went but this."""
        (evict,) = of(self.rig.effects, Evict)
        gone = tuple(each.blob for each in evict.blobs if each.blob not in kept_back)
        self.rig.clear()
        self.rig.tell(Evicted(op=evict.op, gone=gone))


def test_with_enough_room_nothing_is_even_listed(cast: Cast) -> None:
    pantry = Pantry(cast)
    pantry.rig.tell(StoreMeasured(stored=80 * MB, free=20 * MB))
    assert not of(pantry.rig.effects, TakeStock)


def test_the_least_recently_used_goes_until_there_is_twice_the_spare_room(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW, PICTURE))
    assert pantry.press(*reversed(pantry.stored(OLD, NEW, PICTURE))) == (OLD, NEW)


def test_what_is_sought_just_now_goes_last(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW, PICTURE))
    pantry.rig.hear(pantry.ann, Seek(blobs=(OLD,)))
    assert pantry.press(*pantry.stored(OLD, NEW, PICTURE)) == (NEW, PICTURE)


def test_a_hold_binds_until_its_job_is_cancelled_or_past_its_last_day(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE], here=(PICTURE, NEW))
    assert pantry.press(*pantry.stored(PICTURE, NEW)) == (NEW,)
    pantry.answer()
    pantry.rig.take(pantry.head, cast.cancel(pantry.ann, pantry.head), by=pantry.ann)
    assert pantry.press(*pantry.stored(PICTURE)) == (PICTURE,)


def test_a_hold_of_a_job_past_its_last_day_binds_no_more(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE], here=(PICTURE,))
    pantry.rig.jump(pantry.head.job.body.last_day - pantry.rig.now.wall + 1)
    pantry.rig.wait(2_000)
    assert pantry.press(*pantry.stored(PICTURE)) == (PICTURE,)


def test_all_of_a_scene_that_is_held_is_bound(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[ROOT], here=(ROOT, *PARTS, NEW))
    assert pantry.press(*pantry.stored(ROOT, *PARTS, NEW)) == (NEW,)


def test_while_nobody_knows_what_a_held_scene_consists_of_nothing_goes(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[ROOT], here=(ROOT, *PARTS, NEW))
    stock = pantry.stored(ROOT, *PARTS, NEW)
    assert pantry.press(*stock, trees=False) == ()
    pantry.rig.wait(STOCK_MS)
    assert pantry.press(*stock) == (NEW,)


def test_the_scene_of_a_live_job_is_bound_for_who_renders_and_who_keeps(cast: Cast) -> None:
    for pantry in (Pantry(cast, here=(ROOT, *PARTS, NEW), slots=1), Pantry(cast, here=(ROOT, *PARTS, NEW), keeps=True)):
        assert pantry.press(*pantry.stored(ROOT, *PARTS, NEW)) == (NEW,)
    away = Pantry(cast, here=(ROOT, *PARTS, NEW))
    assert away.press(*away.stored(ROOT, *PARTS, NEW)) == (ROOT, *PARTS)[:2]


def test_what_was_used_a_moment_ago_stays(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW))
    stock = [*pantry.stored(OLD, age_ms=USED_LATELY_MS // 2), *pantry.stored(NEW, age_ms=USED_LATELY_MS)]
    assert pantry.press(*stock) == (NEW,)


def test_a_clock_that_was_set_back_keeps_nothing(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD,))
    assert pantry.press(*pantry.stored(OLD, age_ms=-DAY_MS)) == (OLD,)


def test_what_the_core_was_not_told_of_yet_stays_for_an_hour(cast: Cast) -> None:
    pantry = Pantry(cast)
    part = pantry.stored(NEW, age_ms=UNTOLD_MS // 2, whole=False)
    assert pantry.press(*pantry.stored(OLD, age_ms=UNTOLD_MS // 2), *part) == (NEW,)
    pantry.answer()
    assert pantry.press(*pantry.stored(OLD, age_ms=UNTOLD_MS)) == (OLD,)


def test_what_is_being_fetched_stays(cast: Cast) -> None:
    pantry = Pantry(cast, slots=1)
    assert sent(pantry.rig.effects, Seek) == []  # said while it met ann
    assert pantry.press(*pantry.stored(ROOT, whole=False), *pantry.stored(NEW, whole=False)) == (NEW,)


def test_what_went_is_offered_and_held_no_more(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE], here=(PICTURE,))
    bob = cast.actor("bob")
    pantry.rig.meet(bob)
    pantry.rig.take(pantry.head, cast.cancel(pantry.ann, pantry.head), by=pantry.ann)
    assert pantry.press(*pantry.stored(PICTURE)) == (PICTURE,)
    pantry.rig.clear()
    pantry.rig.hear(bob, Seek(blobs=(PICTURE,)))
    pantry.rig.hear(bob, KeepAsk(job=pantry.job, fresh=False))
    assert not sent(pantry.rig.effects, Have)
    assert not sent(pantry.rig.effects, Holds)


def test_what_was_used_meanwhile_is_believed_again(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW))
    assert pantry.press(*pantry.stored(OLD, NEW)) == (OLD, NEW)
    pantry.answer(NEW)
    for wanted, offered in ((OLD, []), (NEW, [Have(blob=NEW, pieces=0, bits=b"")])):
        pantry.rig.clear()
        pantry.rig.hear(pantry.ann, Seek(blobs=(wanted,)))
        assert [have for _, have in sent(pantry.rig.effects, Have)] == offered


def test_a_full_host_claims_and_keeps_nothing_and_says_so(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE], here=(PICTURE,), slots=1)
    assert pantry.rig.peer.host.takes_frames
    assert pantry.press(*pantry.stored(PICTURE, size=97 * MB), free=3 * MB) == ()
    assert pantry.rig.peer.mesh_view(pantry.rig.now).full
    assert not pantry.rig.peer.host.takes_frames
    pantry.rig.clear()
    pantry.rig.hear(pantry.ann, KeepAsk(job=pantry.job, fresh=True))
    assert not kept(pantry.rig.effects, KeptMark)
    pantry.rig.tell(StoreMeasured(stored=50 * MB, free=50 * MB))
    assert not pantry.rig.peer.mesh_view(pantry.rig.now).full
    pantry.rig.hear(pantry.ann, KeepAsk(job=pantry.job, fresh=True))
    assert kept(pantry.rig.effects, KeptMark)


def test_a_full_keeper_takes_no_copies(cast: Cast) -> None:
    for full in (False, True):
        pantry, bob = Pantry(cast, holds=[PICTURE], here=(PICTURE,), keeps=True), cast.actor("bob")
        pantry.rig.meet(bob)
        if full:
            pantry.press(*pantry.stored(PICTURE, size=97 * MB), free=3 * MB)
        pantry.rig.clear()
        pantry.rig.take(pantry.head, cast.result(bob, pantry.head, 0), by=bob)
        assert bool(sent(pantry.rig.effects, Seek)) != full


def test_others_are_asked_to_keep_in_the_place_of_those_that_decline(cast: Cast) -> None:
    pantry = Pantry(cast, keeps=True)
    others = [cast.actor(name) for name in ("bob", "cid", "dan", "eve", "fay", "gus")]
    pantry.rig.meet(*others)
    asked: dict[PeerId, int] = {}
    for _ in range(20):
        for peer, _ask in sent(pantry.rig.wait(1_000, pantry.ann, *others), KeepAsk):
            asked[peer] = asked.get(peer, 0) + 1
    assert asked.keys() == {actor.id for actor in (pantry.ann, *others)}
    assert max(asked.values()) <= 3, "who declines is left alone for a minute"


def test_a_full_store_is_not_listed_at_every_look(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE], here=(PICTURE,))
    pantry.press(*pantry.stored(PICTURE, size=97 * MB), free=3 * MB)
    pantry.rig.clear()
    for _ in range(4):
        pantry.rig.wait(5_000)
        pantry.rig.tell(StoreMeasured(stored=97 * MB, free=3 * MB))
    assert not of(pantry.rig.effects, TakeStock)
    pantry.rig.wait(STOCK_MS)
    pantry.rig.tell(StoreMeasured(stored=97 * MB, free=3 * MB))
    assert of(pantry.rig.effects, TakeStock)


class Hungry(Pantry):
    """The same, as it learns how large the scene is that it needs."""

    def __init__(self, cast: Cast, size: int, free: int = 50 * MB) -> None:
        super().__init__(cast, here=(ROOT, OLD))
        self.rig.tell(StoreMeasured(stored=LIMIT - free, free=free))
        self.rig.tell(EnginesProbed(engines=(ENGINE,), slots=1, cores=4, memory_mb=8_000))
        (read,) = of(self.rig.effects, ReadTree)
        self.rig.tell(TreeRead(op=read.op, root=ROOT, blobs=PARTS, sizes=(size // 2, size // 2)))

    def fetches(self) -> bool:
        self.rig.clear()
        self.rig.wait(6_000)
        return any(PARTS[0] in seek.blobs for _, seek in sent(self.rig.effects, Seek))


def test_a_scene_that_has_room_is_fetched_and_counts_as_if_it_were_here(cast: Cast) -> None:
    hungry = Hungry(cast, 40 * MB)
    assert hungry.rig.peer.host.room_bytes == 10 * MB
    assert hungry.fetches()
    assert not hungry.rig.peer.mesh_view(hungry.rig.now).no_room


def test_cache_makes_way_for_a_scene(cast: Cast) -> None:
    hungry = Hungry(cast, 60 * MB)
    assert [each.size for each in hungry.rig.peer.mesh_view(hungry.rig.now).no_room] == [60 * MB]
    assert hungry.list(*hungry.stored(OLD, size=40 * MB), free=50 * MB) == (OLD,)
    hungry.answer()
    hungry.rig.tell(StoreMeasured(stored=10 * MB, free=90 * MB))
    assert hungry.fetches()


def test_nothing_goes_for_a_scene_that_never_fits_and_the_host_says_so(cast: Cast) -> None:
    hungry = Hungry(cast, 2 * LIMIT)
    assert hungry.list(*hungry.stored(OLD, size=40 * MB), free=50 * MB) == ()
    assert not hungry.fetches()
    assert not of(hungry.rig.effects, FetchManifest)
    (told,) = hungry.rig.peer.mesh_view(hungry.rig.now).no_room
    assert (told.job, told.size) == (hungry.job, 2 * LIMIT)


def test_who_asks_for_room_gets_it_in_as_many_steps_as_it_takes(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW, PICTURE))
    pantry.rig.tell(FreeAsked(op=7, size=15 * MB))
    pantry.rig.tell(StoreAsked(op=8))
    stock = pantry.stored(OLD, NEW, PICTURE)
    assert pantry.list(*stock, free=60 * MB) == (OLD, NEW)
    assert [type(reply.reply) for reply in of(pantry.rig.effects, Reply)] == [StoreView]
    pantry.answer(NEW)
    assert not of(pantry.rig.effects, Reply)
    assert pantry.list(*stock[1:], free=70 * MB) == (NEW,)
    pantry.answer()
    assert of(pantry.rig.effects, Reply) == [Reply(op=7, reply=Freed(blobs=2, size=20 * MB))]


def test_who_asks_for_more_than_there_is_hears_how_much_it_was(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE], here=(PICTURE, OLD))
    pantry.rig.tell(FreeAsked(op=7, size=50 * MB))
    assert pantry.list(*pantry.stored(PICTURE, OLD), free=80 * MB) == (OLD,)
    pantry.answer()
    assert pantry.list(*pantry.stored(PICTURE), free=90 * MB) == ()
    assert of(pantry.rig.effects, Reply) == [Reply(op=7, reply=Freed(blobs=1, size=10 * MB))]


def test_the_owner_is_told_what_is_bound_to_which_job(cast: Cast) -> None:
    pantry = Pantry(cast, holds=[PICTURE, ROOT], here=(PICTURE, ROOT, *PARTS, OLD))
    pantry.rig.tell(StoreAsked(op=8))
    pantry.list(*pantry.stored(PICTURE, ROOT, *PARTS, OLD), free=50 * MB)
    (reply,) = of(pantry.rig.effects, Reply)
    assert isinstance(reply.reply, StoreView)
    (bound,) = reply.reply.bound
    assert (bound.job, bound.blobs, bound.size) == (pantry.job, 4, 40 * MB)
    assert (reply.reply.cache_blobs, reply.reply.cache) == (1, 10 * MB)


def test_a_cancelled_jobs_scene_is_cache(cast: Cast) -> None:
    pantry = Pantry(cast, here=(ROOT, *PARTS), slots=1)
    pantry.rig.take(pantry.head, cast.cancel(pantry.ann, pantry.head), by=pantry.ann)
    assert pantry.press(*pantry.stored(ROOT, *PARTS)) == (ROOT, PARTS[0])
