"""The last word: who may say it, when, and which word stands."""

from dataclasses import replace

import pytest

from mesh.core.effects import Export, FetchManifest, FetchPieces, ReadPage, WritePage
from mesh.core.events import BlobStarted, Exported, FetchAsked, PageRead, PageWritten, RejectAsked
from mesh.core.judge import acts, valid_page
from mesh.core.status import JobState
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import SEALS_PER_AUTHOR
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.grids import Cut
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import Have, Head
from mesh.wire.records import Cancel, Entry, Result, Seal, SealedTask, SealPage, page_bytes
from tests.support.cast import Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig, kept, of

PAGE = blob("page")


class Notary:
    """A keeper of ann's job of two frames and two copies; bob rendered both, bob and cid hold them."""

    def __init__(self, cast: Cast, *, cut: Cut | None = None) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
        self.head: Head = cast.head(self.ann, frames=2, cut=cut)
        self.results = [cast.result(self.bob, self.head, task) for task in range(2)]
        self.rig.meet(self.ann, self.bob, self.cid)
        self.job = self.rig.keep(self.head, by=self.ann)

    def all_rendered(self) -> None:
        self.rig.take(self.head, *self.results, by=self.bob)

    def all_safe(self) -> None:
        for actor in (self.bob, self.cid):
            holds = tuple(self.cast.hold(actor, self.head, self.picture(result)) for result in self.results)
            self.rig.hear(actor, Holds(holds=holds))

    @staticmethod
    def picture(result: Signed[Entry]):  # type: ignore[no-untyped-def]
        assert isinstance(result.body.what, Result)
        return result.body.what.outputs[0].blob

    def page(self, *, holders: tuple[Actor, ...] = (), results: list[Signed[Entry] | None] | None = None) -> SealPage:
        tasks = []
        for result in self.results if results is None else results:
            held = () if result is None else tuple(self.cast.hold(a, self.head, self.picture(result)) for a in holders)
            tasks.append(SealedTask(result=result, holds=held))
        return SealPage(job=self.job, tasks=tuple(tasks), chains=())

    def judged(self, author: Actor, page: SealPage) -> bool:
        seal = self.cast.entry(author, self.head, Seal(blob=PAGE))
        return valid_page(seal, page, self.rig.peer.ledger.jobs[self.job], self.rig.peer.members)

    def wait(self, for_ms: int, *alive: Actor) -> None:
        for _ in range(for_ms // (5 * SECOND_MS)):
            self.rig.wait(5 * SECOND_MS, *alive)


@pytest.fixture
def notary(cast: Cast) -> Notary:
    return Notary(cast)


def test_what_keepers_sealed_and_the_submitter_had_rejected_its_own_seal_says_is_stopped(cast: Cast) -> None:
    rig, bob, cid = Rig(cast, slots=0), cast.actor("bob"), cast.actor("cid")
    head = cast.head(rig.me, frames=2)
    rig.meet(bob, cid)
    job = rig.keep(head, by=bob)
    rig.tell(FetchAsked(op=1, job=job, directory="/out", overwrite=False))
    results = [cast.result(bob, head, task) for task in range(2)]
    for result in results:
        rig.peer.swarm._complete[Notary.picture(result)] = None
    rig.take(head, results[0], by=bob)
    rig.tell(RejectAsked(op=2, job=job, frames=(1,), reason=""))
    rig.take(head, results[1], by=bob)
    for export in of(rig.effects, Export):
        rig.tell(Exported(op=export.op))
    holds = [tuple(cast.hold(a, head, Notary.picture(result)) for a in (bob, cid)) for result in results]
    tasks = tuple(SealedTask(result=result, holds=held) for result, held in zip(results, holds, strict=True))
    rig.peer.swarm._complete[PAGE] = None
    rig.take(head, cast.entry(bob, head, Seal(blob=PAGE)), by=bob)
    (read,) = of(rig.effects, ReadPage)
    rig.tell(PageRead(op=read.op, blob=PAGE, page=SealPage(job=job, tasks=tasks, chains=())))
    rig.wait(10 * SECOND_MS, bob, cid)
    own = of(rig.effects, WritePage)[-1].page
    assert [task.result for task in own.tasks] == [None, results[1]]


def test_a_keeper_seals_when_all_is_safe_and_the_submitter_has_had_its_time(notary: Notary) -> None:
    everybody = (notary.ann, notary.bob, notary.cid)
    notary.all_rendered()
    notary.wait(MINUTE_MS, *everybody)
    assert of(notary.rig.effects, WritePage) == []
    notary.all_safe()
    notary.wait(5 * SECOND_MS, *everybody)
    assert of(notary.rig.effects, WritePage) == []
    notary.wait(MINUTE_MS, *everybody)
    (effect,) = of(notary.rig.effects, WritePage)
    assert [task.result for task in effect.page.tasks] == notary.results
    assert notary.judged(notary.rig.me, effect.page)


def test_a_seal_is_published_once_its_page_is_on_the_disk_and_counts_once_it_was_read(notary: Notary) -> None:
    notary.all_rendered()
    notary.all_safe()
    notary.wait(2 * MINUTE_MS, notary.ann, notary.bob, notary.cid)
    (effect,) = of(notary.rig.effects, WritePage)
    seals = [e for m in kept(notary.rig.effects, KeptEntries) for e in m.entries if isinstance(e.body.what, Seal)]
    assert seals == []
    notary.rig.tell(PageWritten(op=effect.op, blob=PAGE))
    seals = [e for m in kept(notary.rig.effects, KeptEntries) for e in m.entries if isinstance(e.body.what, Seal)]
    assert [seal.author for seal in seals] == [notary.rig.me.id]
    view = notary.rig.peer.job_view(notary.rig.now, notary.job)
    assert view is not None
    assert view.state is JobState.RENDERED
    (read,) = of(notary.rig.effects, ReadPage)
    notary.rig.tell(PageRead(op=read.op, blob=PAGE, page=effect.page))
    view = notary.rig.peer.job_view(notary.rig.now, notary.job)
    assert view is not None
    assert view.state is JobState.SEALED


def test_a_job_that_was_cancelled_while_its_page_was_written_is_not_sealed(notary: Notary) -> None:
    notary.all_rendered()
    notary.all_safe()
    notary.wait(2 * MINUTE_MS, notary.ann, notary.bob, notary.cid)
    (effect,) = of(notary.rig.effects, WritePage)
    notary.rig.take(notary.head, notary.cast.entry(notary.ann, notary.head, Cancel()), by=notary.ann)
    notary.rig.tell(PageWritten(op=effect.op, blob=PAGE))
    assert not [e for m in kept(notary.rig.effects, KeptEntries) for e in m.entries if isinstance(e.body.what, Seal)]


def test_a_keepers_page_needs_as_many_holds_of_members_as_the_job_asks(notary: Notary) -> None:
    notary.all_rendered()
    stranger = Cast("another").actor("stranger")
    assert notary.judged(notary.cid, notary.page(holders=(notary.bob, notary.cid)))
    assert not notary.judged(notary.cid, notary.page(holders=(notary.bob,)))
    assert not notary.judged(notary.cid, notary.page(holders=(notary.bob, notary.bob)))
    assert not notary.judged(notary.cid, notary.page(holders=(notary.bob, stranger)))


def test_only_the_submitter_may_leave_tasks_out_and_needs_no_holds(notary: Notary) -> None:
    page = notary.page(results=[notary.results[0], None])
    assert notary.judged(notary.ann, page)
    assert not notary.judged(
        notary.cid, notary.page(results=[notary.results[0], None], holders=(notary.bob, notary.cid))
    )


def test_a_page_of_the_wrong_length_order_or_job_is_none(notary: Notary) -> None:
    assert not notary.judged(notary.ann, notary.page(results=notary.results[:1]))  # type: ignore[arg-type]
    assert not notary.judged(notary.ann, notary.page(results=notary.results[::-1]))  # type: ignore[arg-type]
    other = SealPage(job=blob("another"), tasks=notary.page().tasks, chains=())  # type: ignore[arg-type]
    assert not notary.judged(notary.ann, other)
    stranger = Cast("another").actor("stranger")
    foreign = notary.cast.result(stranger, notary.head, 0)
    assert not notary.judged(notary.ann, notary.page(results=[foreign, notary.results[1]]))


def test_a_result_of_more_than_one_output_is_none(notary: Notary) -> None:
    result = notary.results[0].body.what
    assert isinstance(result, Result)
    many = replace(result, outputs=result.outputs * 6)
    entry = notary.cast.entry(notary.bob, notary.head, many)
    assert not acts(entry, notary.rig.peer.ledger.jobs[notary.job], notary.rig.peer.members)


def test_no_page_is_wanted_any_more_once_the_submitters_stands(notary: Notary) -> None:
    for actor in (notary.bob, notary.cid):
        seal = notary.cast.entry(actor, notary.head, Seal(blob=blob(f"{actor.name}'s page")))
        notary.rig.take(notary.head, seal, by=actor)
    assert len(notary.rig.peer.swarm.wants) == 2 + 1  # the scene too, which a keeper holds
    notary.rig.peer.swarm._complete[PAGE] = None
    notary.rig.take(notary.head, notary.cast.entry(notary.ann, notary.head, Seal(blob=PAGE)), by=notary.ann)
    (read,) = of(notary.rig.effects, ReadPage)
    notary.rig.tell(PageRead(op=read.op, blob=PAGE, page=notary.page()))
    assert notary.rig.peer.ledger.jobs[notary.job].ended
    assert notary.rig.peer.swarm.wants == {}
    late = notary.cast.entry(notary.cid, notary.head, Seal(blob=blob("a late page")))
    notary.rig.take(notary.head, late, by=notary.cid)
    assert notary.rig.peer.swarm.wants == {}


def test_no_page_of_a_cancelled_job_is_wanted(notary: Notary) -> None:
    seal = notary.cast.entry(notary.cid, notary.head, Seal(blob=blob("a page")))
    notary.rig.take(notary.head, seal, by=notary.cid)
    notary.rig.take(notary.head, notary.cast.entry(notary.ann, notary.head, Cancel()), by=notary.ann)
    assert notary.rig.peer.swarm.wants == {}


def test_a_page_is_fetched_as_one_so_that_a_full_store_takes_it(notary: Notary) -> None:
    seal = notary.cast.entry(notary.cid, notary.head, Seal(blob=PAGE))
    notary.rig.take(notary.head, seal, by=notary.cid)
    notary.rig.hear(notary.cid, Have(blob=PAGE, pieces=0, bits=b""))
    (manifest,) = [effect for effect in of(notary.rig.effects, FetchManifest) if effect.blob == PAGE]
    notary.rig.tell(BlobStarted(op=manifest.op, blob=PAGE, pieces=1, have=()))
    (pieces,) = [effect for effect in of(notary.rig.effects, FetchPieces) if effect.blob == PAGE]
    assert manifest.page_bytes == pieces.page_bytes == page_bytes(2)


def test_what_is_no_page_is_fetched_as_none(notary: Notary) -> None:
    scene = notary.head.job.body.scene
    notary.rig.hear(notary.ann, Have(blob=scene, pieces=0, bits=b""))
    (manifest,) = of(notary.rig.effects, FetchManifest)
    assert (manifest.blob, manifest.page_bytes) == (scene, 0)


def test_an_invalid_seal_ends_nothing(notary: Notary) -> None:
    seal = notary.cast.entry(notary.cid, notary.head, Seal(blob=PAGE))
    notary.rig.take(notary.head, seal, by=notary.cid)
    notary.rig.peer.swarm._complete[PAGE] = None
    notary.rig.tell(PageRead(op=77, blob=PAGE, page=notary.page()))
    assert not notary.rig.peer.ledger.jobs[notary.job].ended


def test_seals_without_pages_do_not_pile_up_in_what_is_wanted(notary: Notary) -> None:
    # Each pushes out one that was wanted before.
    for page in sorted((blob(f"no page {number}") for number in range(300)), reverse=True):
        notary.rig.take(notary.head, notary.cast.entry(notary.cid, notary.head, Seal(blob=page)), by=notary.cid)
    assert len(notary.rig.peer.swarm.wants) <= SEALS_PER_AUTHOR + 1


def test_a_job_in_buckets_is_sealed_by_its_frames(cast: Cast) -> None:
    notary = Notary(cast, cut=cut_into(4, 2))
    everybody = (notary.ann, notary.bob, notary.cid)
    bucket = notary.cast.result(notary.bob, notary.head, 1, block=block(0, 0, 4, 2))
    notary.rig.take(notary.head, notary.results[0], bucket, by=notary.bob)
    notary.results[1] = bucket
    notary.all_safe()
    notary.wait(2 * MINUTE_MS, *everybody)
    assert of(notary.rig.effects, WritePage) == [], "its last frame is not assembled"
    notary.results[1] = notary.cast.result(notary.bob, notary.head, 1, assembles=True)
    notary.all_rendered()
    notary.all_safe()
    notary.wait(2 * MINUTE_MS, *everybody)
    (effect,) = of(notary.rig.effects, WritePage)
    assert [task.result for task in effect.page.tasks] == notary.results


def test_a_seal_that_names_a_bucket_ends_nothing(cast: Cast) -> None:
    notary = Notary(cast, cut=cut_into(4, 2))
    bucket = notary.cast.result(notary.bob, notary.head, 1, block=block(0, 0, 4, 2))
    page = notary.page(holders=(notary.bob, notary.cid), results=[notary.results[0], bucket])
    for number, author in enumerate((notary.ann, notary.cid)):
        blob_of_page = blob(f"page {number}")
        notary.rig.peer.swarm._complete[blob_of_page] = None
        seal = notary.cast.entry(author, notary.head, Seal(blob=blob_of_page))
        notary.rig.take(notary.head, seal, by=author)
        read = of(notary.rig.effects, ReadPage)[-1]
        assert (read.blob, read.tasks) == (blob_of_page, 2), "as many as the job has frames"
        notary.rig.tell(PageRead(op=read.op, blob=blob_of_page, page=page))
    assert not notary.rig.peer.ledger.jobs[notary.job].ended
