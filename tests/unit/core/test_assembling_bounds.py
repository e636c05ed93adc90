"""Whoever assembles a frame: what it fetches and pastes, when it finishes, what it says of buckets that are gone."""

import pytest

from mesh.core.effects import EndAssembly, FinishAssembly, PasteBucket, StartAssembly
from mesh.core.events import BlobStarted, BucketPasted, RenderFailed
from mesh.core.swarm import Swarm
from mesh.ground.ids import BlobId, JobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LOST_BUCKET_MS, LOST_PER_BUCKET, NEWS_AFTER_GAP_MS
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import ClaimSent, Head, OpenTask, Verdict, Window
from mesh.wire.records import Entry, Failed, FailureKind, Lost, Result
from tests.support.cast import Cast, cut_into
from tests.support.rig import Rig, kept, of, sent


class Assembler:
    """A peer that has won the assembly of a job's only frame; `ann` keeps the job, `bob` renders buckets."""

    def __init__(self, cast: Cast, columns: int, rows: int) -> None:
        self.cast = cast
        self.rig = Rig(cast)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.head: Head = cast.head(self.ann, frames=1, cut=cut_into(columns, rows))
        self.job: JobId = self.rig.learn(self.head, self.ann, by=self.ann)
        self.rig.peer.scenes._whole[self.head.job.body.scene] = None
        self.rig.wait(SECOND_MS, self.ann, self.bob)
        self.blocks = [Block(column=c, row=r, columns=1, rows=1) for r in range(rows) for c in range(columns)]

    @property
    def swarm(self) -> Swarm:
        return self.rig.peer.swarm

    def rendered(self, *blocks: Block, here: bool = False, attempt: int = 1) -> list[Signed[Entry]]:
        """Let bob tell of buckets, which are on this peer's disk or not."""
        made = [self.cast.result(self.bob, self.head, 0, attempt, block=block) for block in blocks]
        if here:
            self.swarm.restore(tuple(map(blob_of, made)))
        for at in range(0, len(made), 64):
            self.rig.take(self.head, *made[at : at + 64], by=self.bob)
        return made

    def win(self) -> StartAssembly:
        """Be told the window, claim the frame's assembly, and get it."""
        window = Window(
            job=self.job,
            open=(OpenTask(task=0, attempt=0, in_buckets=True),),
            slots=1,
            unclaimed=1,
            running=0,
            counting=0,
            stopped=0,
            safe=0,
            median_ms=0,
            ended=False,
        )
        self.rig.hear(self.ann, window)
        (claim,) = (claim for _, said in sent(self.rig.effects, ClaimSent) for claim in said.claims)
        assert claim.body.assembles
        self.rig.hear(self.ann, Verdict(claim=claim.id, yours=True))
        (start,) = of(self.rig.effects, StartAssembly)
        return start

    def fetched(self) -> list[BlobId]:
        """Return which buckets are fetched now."""
        return [blob for blob in self.swarm.wants if blob != self.head.job.body.scene]

    def pasted(self, paste: PasteBucket, problem: str = "", *, unlike: bool = False) -> None:
        self.rig.tell(BucketPasted(op=paste.op, blob=paste.blob, problem=problem, unlike=unlike))

    def renders(self, block: Block) -> Signed[Entry]:
        """Let this peer have rendered a bucket itself."""
        entry = self.cast.result(self.rig.me, self.head, 0, block=block)
        self.swarm.restore((blob_of(entry),))
        self.rig.take(self.head, entry, by=self.ann)
        return entry

    def losses(self) -> set[bytes]:
        return {what.result for what in self.said() if isinstance(what, Lost)}

    def said(self) -> list[object]:
        """Return what this peer has published."""
        entries = (entry for each in kept(self.rig.effects, KeptEntries) for entry in each.entries)
        return [entry.body.what for entry in entries if entry.author == self.rig.me.id]


def blob_of(entry: Signed[Entry]) -> BlobId:
    assert isinstance(entry.body.what, Result)
    return entry.body.what.outputs[0].blob


@pytest.fixture
def still(cast: Cast) -> Assembler:
    return Assembler(cast, 4, 2)


def test_a_frame_is_finished_once_each_of_its_cells_is_pasted(still: Assembler) -> None:
    still.rendered(*still.blocks[:5], here=True)
    start = still.win()
    still.rendered(*still.blocks[5:], here=True)
    pastes = of(still.rig.effects, PasteBucket)
    assert sorted(paste.block.column + 4 * paste.block.row for paste in pastes) == list(range(8))
    for paste in pastes[:-1]:
        still.pasted(paste)
    assert not of(still.rig.effects, FinishAssembly)
    still.pasted(pastes[-1])
    assert of(still.rig.effects, FinishAssembly) == [FinishAssembly(op=start.op)]


def test_who_takes_over_a_frame_of_the_most_cells_fetches_some_of_its_buckets_at_a_time(cast: Cast) -> None:
    """All at once would be more than one turn may come to."""
    still = Assembler(cast, 64, 64)
    still.rendered(*still.blocks)
    still.win()
    assert 0 < len(still.fetched()) < 1_024
    pasted = 0
    finished = False
    while fetched := still.fetched():
        for blob in fetched:
            still.rig.clear()
            still.rig.tell(BlobStarted(op=0, blob=blob, pieces=1, have=(0,)))
            for paste in of(still.rig.effects, PasteBucket):
                pasted += 1
                still.pasted(paste)
            finished = bool(of(still.rig.effects, FinishAssembly))
    assert (pasted, finished) == (4_096, True)


def test_a_bucket_that_is_bad_is_said_to_be_lost_and_one_that_is_always_bad_ends_the_assembly(still: Assembler) -> None:
    """Nobody can render it better: people must hear of that, rather than wait for ever."""
    start = still.win()
    for attempt in range(1, LOST_PER_BUCKET + 2):
        assert not of(still.rig.effects, EndAssembly)
        (bad,) = still.rendered(still.blocks[0], here=True, attempt=attempt)
        (paste,) = (paste for paste in of(still.rig.effects, PasteBucket) if paste.blob == blob_of(bad))
        still.pasted(paste, problem="it is half a file")
    *losses, failed = still.said()
    assert [isinstance(lost, Lost) for lost in losses] == [True] * LOST_PER_BUCKET
    assert isinstance(failed, Failed)
    assert (failed.task, failed.block, failed.reason) == (0, None, "it is half a file")
    assert of(still.rig.effects, EndAssembly) == [EndAssembly(op=start.op)]


def test_after_a_gap_a_frame_that_cannot_be_assembled_fails_once_the_news_was_heard(still: Assembler) -> None:
    still.win()
    for attempt in range(1, LOST_PER_BUCKET + 2):
        (bad,) = still.rendered(still.blocks[0], here=True, attempt=attempt)
        (paste,) = (paste for paste in of(still.rig.effects, PasteBucket) if paste.blob == blob_of(bad))
        if attempt > LOST_PER_BUCKET:
            still.rig.jump(10 * SECOND_MS)
        still.pasted(paste, problem="it is half a file")
    assert not [what for what in still.said() if isinstance(what, Failed)]
    still.rig.wait(NEWS_AFTER_GAP_MS, still.ann, still.bob)
    assert len([what for what in still.said() if isinstance(what, Failed)]) == 1


def test_buckets_that_nobody_has_are_lost_and_are_fetched_from_whoever_renders_them_again(still: Assembler) -> None:
    gone = still.rendered(*still.blocks[:3])
    still.win()
    still.rig.wait(LOST_BUCKET_MS - SECOND_MS, still.ann, still.bob)
    assert still.said() == []
    still.rig.wait(3 * SECOND_MS, still.ann, still.bob)
    lost = [what for what in still.said() if isinstance(what, Lost)]
    assert {what.result for what in lost} == {entry.id for entry in gone}
    assert not still.fetched()
    again = still.rendered(*still.blocks[:3], attempt=2)
    assert set(still.fetched()) == set(map(blob_of, again))


def test_nothing_is_fetched_for_an_assembly_that_failed(still: Assembler) -> None:
    still.rendered(*still.blocks)
    start = still.win()
    assert still.fetched()
    kind = FailureKind.OUT_OF_MEMORY
    still.rig.tell(RenderFailed(op=start.op, kind=kind, reason="killed", log=None))
    assert not still.fetched()


def test_a_copy_that_is_bad_does_not_keep_a_whole_frame_from_its_end(still: Assembler) -> None:
    """Of the last bucket there may be two results: one is pasted, and what the other is worth no longer matters."""
    start = still.win()
    still.rendered(*still.blocks[1:], here=True)
    for paste in of(still.rig.effects, PasteBucket):
        still.pasted(paste)
    still.rig.clear()
    for author, attempt in ((still.bob, 2), (still.ann, 1)):  # of the lower attempt, which counts from then on
        copy = still.cast.result(author, still.head, 0, attempt, block=still.blocks[0])
        still.swarm.restore((blob_of(copy),))
        still.rig.take(still.head, copy, by=author)
    good, bad = of(still.rig.effects, PasteBucket)
    assert good.blob != bad.blob
    still.pasted(good)
    assert not of(still.rig.effects, FinishAssembly)
    still.pasted(bad, problem="it is half a file")
    assert of(still.rig.effects, FinishAssembly) == [FinishAssembly(op=start.op)]


OTHERWISE = "its channels are not those of the other buckets"


def test_a_peer_believes_its_own_bucket_before_others_that_were_pasted_first(still: Assembler) -> None:
    """Or the first one, of whomever, has all honest ones rendered again until the frame is given up."""
    liars = still.rendered(*still.blocks[:2], here=True)
    start = still.win()
    for paste in of(still.rig.effects, PasteBucket):
        still.pasted(paste)
    still.rig.clear()
    own = still.renders(still.blocks[2])
    still.pasted(of(still.rig.effects, PasteBucket)[0], OTHERWISE, unlike=True)
    assert of(still.rig.effects, EndAssembly) == [EndAssembly(op=start.op)]
    (anew,) = of(still.rig.effects, StartAssembly)
    assert still.losses() == {entry.id for entry in liars}
    (paste,) = [paste for paste in of(still.rig.effects, PasteBucket) if paste.op == anew.op]
    assert paste.blob == blob_of(own)
    still.pasted(paste)
    still.rig.clear()
    (again,) = still.rendered(still.blocks[0], here=True, attempt=2)
    still.pasted(of(still.rig.effects, PasteBucket)[0], OTHERWISE, unlike=True)
    assert still.losses() == {again.id}
    assert of(still.rig.effects, StartAssembly) == []


@pytest.mark.parametrize(("own_first", "unlike"), [(True, True), (False, False)])
def test_a_frame_is_not_begun_anew_for_what_tells_nothing(still: Assembler, own_first: bool, unlike: bool) -> None:
    """One's own buckets that are unlike each other, and an own one that is bad by itself."""
    still.win()
    if own_first:
        still.renders(still.blocks[0])
    still.rendered(still.blocks[1], here=True)
    for paste in of(still.rig.effects, PasteBucket):
        still.pasted(paste)
    still.rig.clear()
    own = still.renders(still.blocks[2])
    still.pasted(of(still.rig.effects, PasteBucket)[0], OTHERWISE, unlike=unlike)
    assert still.losses() == {own.id}
    assert of(still.rig.effects, StartAssembly) == []
