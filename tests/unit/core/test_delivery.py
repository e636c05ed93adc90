"""Files where a person wants them: once each, and never in another program's place."""

import pytest

from mesh.core.effects import Accepted, Export, ReadPage, Reply
from mesh.core.events import Exported, ExportFailed, FetchAsked, PageRead
from mesh.ground.ids import BlobId, JobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LOST_AFTER_MS
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptDelivery, KeptDone, KeptOrder
from mesh.wire.messages import Entries
from mesh.wire.records import Cancel, Entry, Result, Seal, SealedTask, SealPage
from tests.support.cast import Cast, blob
from tests.support.rig import Rig, kept, of

OUT = "/home/me/out"


class Shop:
    """A peer on which a person wants the files of ann's job, or of their `own`; all pictures are on this disk."""

    def __init__(self, cast: Cast, *, frames: int = 3, own: bool = False) -> None:
        self.cast = cast
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig = Rig(cast, slots=0)
        self.head = cast.head(self.rig.me if own else self.ann, frames=frames)
        self.rig.meet(self.ann, self.bob)
        self.job: JobId = self.rig.keep(self.head, by=self.ann)

    def order(self, directory: str = OUT, *, overwrite: bool = False) -> None:
        effects = self.rig.tell(FetchAsked(op=5, job=self.job, directory=directory, overwrite=overwrite))
        assert of(effects, Reply) == [Reply(op=5, reply=Accepted(job=self.job))]

    def rendered(self, task: int, attempt: int = 1) -> Signed[Entry]:
        result = self.cast.result(self.bob, self.head, task, attempt)
        self.rig.peer.swarm._complete[self.picture(result)] = None
        self.rig.take(self.head, result, by=self.bob)
        return result

    @staticmethod
    def picture(result: Signed[Entry]) -> BlobId:
        assert isinstance(result.body.what, Result)
        return result.body.what.outputs[0].blob

    def exports(self) -> list[Export]:
        return of(self.rig.effects, Export)

    def done(self, export: Export) -> None:
        self.rig.tell(Exported(op=export.op))


@pytest.fixture
def shop(cast: Cast) -> Shop:
    return Shop(cast)


def test_what_counts_is_written_under_its_frames_name(shop: Shop) -> None:
    shop.order()
    result = shop.rendered(1)
    (export,) = shop.exports()
    assert (export.blob, export.directory, export.name) == (shop.picture(result), OUT, "shot_0002.png")
    assert not export.overwrite


def test_an_order_is_on_the_disk_before_its_person_hears_that_it_was_taken(shop: Shop) -> None:
    effects = shop.rig.tell(FetchAsked(op=5, job=shop.job, directory=OUT, overwrite=True))
    answered = next(at for at, effect in enumerate(effects) if isinstance(effect, Reply))
    assert [entry.overwrite for entry in kept(effects[:answered], KeptOrder)] == [True]


def test_a_delivered_file_is_not_written_again_for_what_counts_later(shop: Shop) -> None:
    shop.order()
    late = shop.cast.result(shop.bob, shop.head, 0, 1)
    first = shop.rendered(0, attempt=2)
    shop.done(shop.exports()[0])
    shop.rig.peer.swarm._complete[shop.picture(late)] = None
    shop.rig.take(shop.head, late, by=shop.bob)
    assert shop.rig.peer.ledger.jobs[shop.job].task(0).counting == late
    shop.rig.wait(20 * SECOND_MS, shop.ann, shop.bob)
    assert len(shop.exports()) == 1
    (entry,) = kept(shop.rig.effects, KeptDelivery)
    assert entry.result == first.id


def test_an_order_whose_files_are_all_written_is_closed(shop: Shop) -> None:
    shop.order()
    for task in range(3):
        shop.rendered(task)
        shop.done(shop.exports()[-1])
    assert [entry.directory for entry in kept(shop.rig.effects, KeptDone)] == [OUT]


def test_a_file_in_the_way_is_left_alone_and_named_until_the_person_orders_again(shop: Shop) -> None:
    shop.order()
    shop.rendered(0)
    shop.rig.tell(ExportFailed(op=shop.exports()[0].op, reason="another file is there", exists=True))
    shop.rig.wait(60 * SECOND_MS, shop.ann, shop.bob)
    assert len(shop.exports()) == 1
    view = shop.rig.peer.job_view(shop.rig.now, shop.job)
    assert view is not None
    assert any("another file is there" in problem for problem in view.problems)
    assert (view.blocked, view.unwritten) == (0, ()), "the job was submitted elsewhere"
    shop.order(overwrite=True)
    assert [export.overwrite for export in shop.exports()] == [False, True]


def test_the_submitter_sees_which_of_its_files_wait_for_it(cast: Cast) -> None:
    shop = Shop(cast, own=True)
    shop.order()
    for task, exists in ((0, True), (1, False)):
        shop.rendered(task)
        shop.rig.tell(ExportFailed(op=shop.exports()[-1].op, reason="no", exists=exists))
    view = shop.rig.peer.job_view(shop.rig.now, shop.job)
    assert view is not None
    assert view.blocked == 1
    assert view.unwritten == tuple(f"frame {frame} was not written to {OUT}: no" for frame in (1, 2))
    shop.order(overwrite=True)
    shop.done(shop.exports()[-1])
    shop.done(shop.exports()[-2])
    view = shop.rig.peer.job_view(shop.rig.now, shop.job)
    assert view is not None
    assert (view.blocked, view.unwritten, view.delivered) == (0, (), 2)


def test_a_write_that_failed_otherwise_is_tried_again_after_a_while(shop: Shop) -> None:
    shop.order()
    shop.rendered(0)
    shop.rig.tell(ExportFailed(op=shop.exports()[0].op, reason="the disk is full", exists=False))
    shop.rig.wait(3 * SECOND_MS, shop.ann, shop.bob)
    assert len(shop.exports()) == 1
    shop.rig.wait(5 * SECOND_MS, shop.ann, shop.bob)
    assert len(shop.exports()) == 2


def test_few_files_are_written_at_a_time(cast: Cast) -> None:
    shop = Shop(cast, frames=20)
    for task in range(20):
        shop.rendered(task)
    shop.order()
    seen = 0
    while seen < len(shop.exports()):
        assert len(shop.exports()) - seen <= 4
        shop.done(shop.exports()[seen])
        seen += 1
    assert sorted(export.name for export in shop.exports()) == [f"shot_{frame:04d}.png" for frame in range(1, 21)]


def test_files_that_nobody_has_keep_no_others_from_the_disk(cast: Cast) -> None:
    shop = Shop(cast, frames=40)
    shop.order()
    for task in range(36):
        shop.rig.take(shop.head, cast.result(shop.bob, shop.head, task), by=shop.bob)
    for task in range(36, 40):
        shop.rendered(task)
    assert sorted(export.name for export in shop.exports()) == [f"shot_{frame:04d}.png" for frame in range(37, 41)]
    assert len(shop.rig.peer.swarm.wants) == 33, "32, and the one that was asked for first: the scene"


def test_two_orders_of_one_job_are_both_fulfilled(shop: Shop) -> None:
    shop.order("/one")
    shop.order("/other")
    shop.rendered(0)
    assert {export.directory for export in shop.exports()} == {"/one", "/other"}


def test_nothing_of_a_cancelled_job_is_written(shop: Shop) -> None:
    shop.order()
    shop.rig.take(shop.head, shop.cast.entry(shop.ann, shop.head, Cancel()), by=shop.ann)
    shop.rendered(0)
    shop.rig.wait(20 * SECOND_MS, shop.ann, shop.bob)
    assert shop.exports() == []


def test_after_a_restart_only_what_lacks_is_written(shop: Shop) -> None:
    shop.order()
    results = [shop.rendered(task) for task in range(2)]
    shop.done(shop.exports()[0])
    entries = tuple(entry for effect in shop.rig.effects if hasattr(effect, "entries") for entry in effect.entries)
    again = Rig(
        shop.cast,
        kept=entries,
        complete=tuple(shop.picture(result) for result in results),
        actor=shop.rig.me,
        slots=0,
    )
    again.wait(2 * SECOND_MS)
    assert [export.name for export in of(again.effects, Export)] == ["shot_0002.png"]


def unfetchable(shop: Shop, frames: int) -> list[BlobId]:
    """Order a job that is sealed, and whose pictures but the last only somebody has who is not here; wait for long."""
    cast, rig, cid = shop.cast, shop.rig, shop.cast.actor("cid")
    results = [cast.result(cid, shop.head, task) for task in range(frames - 1)]
    results.append(cast.result(shop.bob, shop.head, frames - 1))
    page, sealed = blob("page"), tuple(SealedTask(result=result, holds=()) for result in results)
    rig.peer.swarm._complete[page] = None
    rig.hear(shop.ann, Entries(job=shop.job, entries=(), chains=(cid.chain,)))
    rig.take(shop.head, cast.entry(shop.ann, shop.head, Seal(blob=page)), by=shop.ann)
    read = of(rig.effects, ReadPage)[-1]
    rig.tell(PageRead(op=read.op, blob=page, page=SealPage(job=shop.job, tasks=sealed, chains=())))
    assert rig.peer.ledger.jobs[shop.job].ended
    shop.order()
    rig.wait(LOST_AFTER_MS + 5 * SECOND_MS, shop.ann, shop.bob)
    return [shop.picture(result) for result in results]


def test_pictures_that_nobody_has_keep_none_from_coming_that_somebody_has(cast: Cast) -> None:
    shop = Shop(cast, frames=41)
    *_, last = unfetchable(shop, 41)
    assert last in shop.rig.peer.swarm.wants


def test_of_pictures_that_nobody_has_so_many_are_sought_at_a_time_and_each_has_its_turn(cast: Cast) -> None:
    shop = Shop(cast, frames=200)
    pictures, swarm = unfetchable(shop, 200), shop.rig.peer.swarm
    sought: dict[BlobId, None] = {}
    for _ in range(12):
        assert len(swarm.wants) <= 64 + 32
        sought.update(dict.fromkeys(swarm.wants))
        shop.rig.wait(LOST_AFTER_MS // 2, shop.ann, shop.bob)
    assert sought == dict.fromkeys(pictures)


def test_a_person_hears_which_pictures_nobody_has_and_who_would_have_to_come_back(cast: Cast) -> None:
    shop = Shop(cast, frames=3)
    pictures = unfetchable(shop, 3)
    dan, away = cast.actor("dan"), cast.actor("cid").id.hex()[:8]
    shop.rig.hear(shop.bob, Entries(job=shop.job, entries=(), chains=(dan.chain,)))
    shop.rig.hear(shop.bob, Holds(holds=(cast.hold(dan, shop.head, pictures[1]),)))
    view = shop.rig.peer.job_view(shop.rig.now, shop.job)
    assert view is not None
    assert view.problems == (
        f"nobody who is connected has the picture of frame 1: it comes once {away} is back",
        f"nobody who is connected has the picture of frame 2: it comes once {away} or {dan.id.hex()[:8]} is back",
        "nobody who is connected has the picture of frame 3: those who had it have it no more",
    )
