"""Frames that grow from buckets: what is fetched and pasted, when a frame is finished, and every way out."""

import pytest

from mesh.core.assembling import Growing
from mesh.core.effects import (
    EndAssembly,
    FetchManifest,
    FetchPieces,
    FinishAssembly,
    PasteBucket,
    StartAssembly,
    StartRender,
)
from mesh.core.events import (
    BlobStarted,
    BucketPasted,
    ChannelClosed,
    DialFailed,
    FrameWritten,
    PauseAsked,
    PiecesStored,
    Rendered,
    RenderFailed,
    RenderProgressed,
    StopAsked,
)
from mesh.core.notes import ClaimLost, ClaimWon
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LOST_BUCKET_MS, NEWS_AFTER_GAP_MS
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import Have
from mesh.wire.records import Cancel, Claim, Entry, Failed, FailureKind, Lost, Output, Result
from tests.support.cast import Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig, kept, of

CUT = 1
WHOLE = block(0, 0, 2, 2)


class Easel:
    """A peer that won the assembly of ann's second frame, of two by two cells; bob renders buckets of it."""

    def __init__(self, cast: Cast, *, won: bool = True) -> None:
        self.cast = cast
        self.rig = Rig(cast)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.head = cast.head(self.ann, frames=2, cut=cut_into(2, 2))
        self.job = self.rig.learn(self.head, self.ann, by=self.ann)
        self.rig.clear()
        self.claim = self.win() if won else cast.claim(self.rig.me, self.head, CUT, assembles=True)

    def _turn(self) -> Turn:
        return Turn(self.rig.now, self.rig.peer._dice, self.rig.me.id)

    def win(self) -> Signed[Claim]:
        claim = self.cast.claim(self.rig.me, self.head, CUT, assembles=True)
        turn = self._turn()
        for machine in (self.rig.peer.slots, self.rig.peer.assembling):
            machine.on_claim_won(turn, ClaimWon(claim=claim))
        self.rig.effects += turn.effects
        return claim

    def loses(self) -> None:
        turn = self._turn()
        self.rig.peer.assembling.on_claim_lost(turn, ClaimLost(claim=self.claim))
        self.rig.effects += turn.effects

    @property
    def growing(self) -> list[Growing]:
        return self.rig.peer.assembling.growing()

    @property
    def op(self) -> int:
        return of(self.rig.effects, StartAssembly)[-1].op

    def hears(
        self, found: Block, attempt: int = 1, *, by: Actor | None = None, picture: BlobId | None = None
    ) -> Signed[Entry]:
        """Hear of a bucket's result."""
        author = by or self.bob
        entry = self.cast.result(author, self.head, CUT, attempt, block=found, picture=picture)
        self.rig.take(self.head, entry, by=author)
        return entry

    def comes(self, picture: BlobId) -> None:
        """Let a blob come from bob."""
        self.rig.hear(self.bob, Have(blob=picture, pieces=0, bits=b""))
        manifest = next(one for one in of(self.rig.effects, FetchManifest) if one.blob == picture)
        self.rig.tell(BlobStarted(op=manifest.op, blob=picture, pieces=1, have=()))
        pieces = next(one for one in of(self.rig.effects, FetchPieces) if one.blob == picture)
        self.rig.tell(PiecesStored(op=pieces.op, blob=picture, numbers=(0,), complete=True))

    def pasted(self, entry: Signed[Entry], problem: str = "") -> None:
        self.rig.tell(BucketPasted(op=self.op, blob=output(entry), problem=problem))

    def done(self, found: Block, attempt: int = 1) -> Signed[Entry]:
        """Hear of a bucket, fetch and paste it."""
        entry = self.hears(found, attempt)
        self.comes(output(entry))
        self.pasted(entry)
        return entry

    def rendered(self) -> None:
        self.rig.tell(FrameWritten(op=self.op, render_ms=700))
        self.rig.tell(Rendered(op=self.op, outputs=(Output(blob=blob("frame"), size=1),), log=None))

    def fails(self) -> None:
        self.rig.tell(RenderFailed(op=self.op, kind=FailureKind.WRONG_PICTURE, reason="torn", log=None))

    def pastes(self) -> list[Block]:
        return [effect.block for effect in of(self.rig.effects, PasteBucket)]

    def wanted(self) -> list[BlobId]:
        return [wanted for wanted in self.rig.peer.swarm.wants if wanted != self.head.job.body.scene]

    def records(self) -> list[Signed[Entry]]:
        entries = [entry for message in kept(self.rig.effects, KeptEntries) for entry in message.entries]
        return [entry for entry in entries if entry.author == self.rig.me.id]

    def losses(self) -> list[bytes]:
        said = [entry.body.what for entry in self.records()]
        return [what.result for what in said if isinstance(what, Lost)]


def output(entry: Signed[Entry]) -> BlobId:
    assert isinstance(entry.body.what, Result)
    return entry.body.what.outputs[0].blob


@pytest.fixture
def easel(cast: Cast) -> Easel:
    return Easel(cast)


def test_it_begins_with_what_counts_already_and_takes_no_slot(cast: Cast) -> None:
    easel = Easel(cast, won=False)
    entry = easel.hears(block(0, 0))
    assert easel.wanted() == []
    easel.win()
    (started,) = of(easel.rig.effects, StartAssembly)
    assert (started.task, started.job) == (CUT, easel.head.job)
    assert easel.wanted() == [output(entry)]
    assert of(easel.rig.effects, StartRender) == []
    assert easel.rig.peer.slots.idle
    assert not easel.rig.peer.assembling.idle


def test_a_bucket_is_fetched_as_it_counts_and_pasted_as_it_comes(easel: Easel) -> None:
    first, second = easel.hears(block(0, 0, 1, 2)), easel.hears(block(1, 0))
    assert easel.wanted() == [output(first), output(second)]
    easel.comes(output(second))
    assert easel.pastes() == [block(1, 0)]
    assert easel.wanted() == [output(first)]
    easel.comes(output(first))
    assert easel.pastes() == [block(1, 0), block(0, 0, 1, 2)]


def test_what_is_here_already_is_pasted_at_once(easel: Easel) -> None:
    picture = blob("rendered here")
    easel.rig.peer.swarm._complete[picture] = None
    easel.hears(block(0, 0), picture=picture)
    assert of(easel.rig.effects, PasteBucket) == [PasteBucket(op=easel.op, blob=picture, block=block(0, 0))]
    assert easel.wanted() == []


def test_the_frame_is_finished_once_every_cell_is_pasted_and_not_before(easel: Easel) -> None:
    easel.done(block(0, 0, 1, 2))
    easel.done(block(1, 0))
    last = easel.hears(block(1, 1))
    easel.comes(output(last))
    assert of(easel.rig.effects, FinishAssembly) == []
    easel.pasted(last)
    assert of(easel.rig.effects, FinishAssembly) == [FinishAssembly(op=easel.op)]


def test_a_frame_of_one_bucket_is_finished_too(easel: Easel) -> None:
    easel.done(WHOLE)
    assert of(easel.rig.effects, FinishAssembly) == [FinishAssembly(op=easel.op)]


def test_the_result_answers_the_claim_and_says_how_long_finishing_took(easel: Easel) -> None:
    easel.done(WHOLE)
    easel.rendered()
    (entry,) = easel.records()
    what = entry.body.what
    assert isinstance(what, Result)
    assert (what.claim, what.block, what.render_ms, what.outputs[0].blob) == (easel.claim, None, 700, blob("frame"))
    assert easel.rig.peer.assembling.idle
    assert not easel.rig.peer.ledger.jobs[easel.job].lacks(CUT, None)


def test_a_frame_that_cannot_be_finished_is_a_failure_of_the_frame(easel: Easel) -> None:
    easel.done(WHOLE)
    easel.fails()
    (entry,) = easel.records()
    assert isinstance(entry.body.what, Failed)
    assert (entry.body.what.task, entry.body.what.block, entry.body.what.attempt) == (CUT, None, 1)
    assert easel.rig.peer.assembling.idle


def test_an_assembly_that_fails_fetches_no_more(easel: Easel) -> None:
    easel.hears(block(0, 0))
    assert len(easel.wanted()) == 1
    easel.fails()
    assert easel.wanted() == []


def test_of_overlapping_buckets_those_are_fetched_of_which_a_cell_counts(easel: Easel) -> None:
    small = easel.hears(block(0, 0), 1)
    large = easel.hears(WHOLE, 2)
    hidden = easel.hears(block(0, 0), 3)
    assert easel.wanted() == [output(small), output(large)]
    assert output(hidden) not in easel.wanted()


def test_what_counts_no_more_before_it_came_is_fetched_no_more(easel: Easel) -> None:
    late = easel.hears(block(0, 0), 5)
    better = easel.hears(WHOLE, 1)
    assert output(late) not in easel.wanted()
    assert easel.wanted() == [output(better)]


def test_a_bucket_of_which_some_cell_still_counts_is_fetched_on(easel: Easel) -> None:
    large = easel.hears(WHOLE, 5)
    small = easel.hears(block(0, 0), 1)
    assert easel.wanted() == [output(large), output(small)]


def test_what_counts_later_changes_nothing_that_is_pasted(easel: Easel) -> None:
    easel.done(block(0, 0, 1, 2), 5)
    better = easel.hears(block(0, 0), 1)
    assert output(better) not in easel.wanted()
    assert easel.pastes() == [block(0, 0, 1, 2)]


def test_a_frame_is_not_finished_while_a_bucket_is_still_being_pasted(easel: Easel) -> None:
    small, large = easel.hears(block(0, 0), 1), easel.hears(WHOLE, 2)
    for entry in (small, large):
        easel.comes(output(entry))
    easel.pasted(large)
    assert of(easel.rig.effects, FinishAssembly) == []
    easel.pasted(small)
    assert of(easel.rig.effects, FinishAssembly) == [FinishAssembly(op=easel.op)]


def test_for_a_frame_that_is_being_finished_nothing_is_fetched_any_more(easel: Easel) -> None:
    """Of a copy, say: another bucket gave its cells before it came."""
    small, large = easel.hears(block(0, 0), 1), easel.hears(WHOLE, 2)
    easel.comes(output(large))
    easel.pasted(large)
    assert of(easel.rig.effects, FinishAssembly) == [FinishAssembly(op=easel.op)]
    assert output(small) not in easel.wanted()
    assert easel.pastes() == [WHOLE]


def test_two_buckets_that_are_the_same_bytes_are_both_pasted(easel: Easel) -> None:
    """As two of an empty sky may be."""
    sky = blob("sky")
    easel.hears(block(0, 0), picture=sky)
    entry = easel.hears(block(1, 0), picture=sky)
    easel.comes(sky)
    easel.pasted(entry)
    easel.pasted(entry)
    assert easel.pastes() == [block(0, 0), block(1, 0)]
    easel.done(block(0, 1))
    easel.done(block(1, 1))
    assert of(easel.rig.effects, FinishAssembly) == [FinishAssembly(op=easel.op)]


def test_whoever_says_that_anothers_bucket_is_its_own_of_another_place_keeps_nobody_waiting(easel: Easel) -> None:
    honest = easel.hears(block(0, 0))
    liar = easel.cast.actor("liar")
    easel.rig.meet(liar)
    lie = easel.hears(block(1, 0, 1, 2), by=liar, picture=output(honest))
    easel.comes(output(honest))
    easel.pasted(honest)
    easel.pasted(lie, "it holds other pixels")
    assert easel.losses() == [lie.id]
    assert easel.rig.peer.ledger.jobs[easel.job].needs(CUT, block(1, 0))


def test_a_bad_bucket_is_said_lost_and_the_next_result_is_pasted(easel: Easel) -> None:
    bad = easel.hears(WHOLE)
    easel.comes(output(bad))
    easel.pasted(bad, "it has other channels")
    assert easel.losses() == [bad.id]
    (said,) = [entry.body.what for entry in easel.records()]
    assert isinstance(said, Lost)
    assert (said.task, said.block) == (CUT, WHOLE)
    assert of(easel.rig.effects, FinishAssembly) == []
    assert easel.rig.peer.ledger.jobs[easel.job].needs(CUT, WHOLE)
    easel.done(WHOLE, 2)
    assert of(easel.rig.effects, FinishAssembly) == [FinishAssembly(op=easel.op)]


def test_a_bucket_that_nobody_has_is_said_lost_soon(easel: Easel) -> None:
    gone = easel.hears(block(0, 0))
    easel.rig.tell(ChannelClosed(peer=easel.bob.id, clean=False))
    easel.rig.wait(LOST_BUCKET_MS - SECOND_MS, easel.ann)
    assert easel.losses() == []
    easel.rig.wait(2 * SECOND_MS, easel.ann)
    assert easel.losses() == [gone.id]
    assert easel.wanted() == []
    easel.rig.wait(LOST_BUCKET_MS, easel.ann)
    assert easel.losses() == [gone.id]


def test_a_bucket_of_an_author_that_died_before_it_was_fetched_is_said_lost_at_once(easel: Easel) -> None:
    here, gone, anns = easel.done(block(0, 0)), easel.hears(block(1, 0)), easel.hears(block(1, 1), by=easel.ann)
    easel.rig.tell(ChannelClosed(peer=easel.bob.id, clean=False))
    assert easel.losses() == []
    easel.rig.tell(DialFailed(peer=easel.bob.id, refused=True))
    assert easel.losses() == [gone.id]
    assert here.id not in easel.losses()
    assert easel.wanted() == [output(anns)]


def test_a_bucket_that_somebody_has_is_waited_for(easel: Easel) -> None:
    found = easel.hears(block(0, 0))
    for _ in range(5):
        easel.rig.hear(easel.bob, Have(blob=output(found), pieces=0, bits=b""))
        easel.rig.wait(LOST_BUCKET_MS // 3, easel.ann, easel.bob)
    assert easel.losses() == []


def test_of_two_lost_buckets_with_the_same_bytes_both_are_said_lost(easel: Easel) -> None:
    sky = blob("sky")
    gone = [easel.hears(block(0, 0), picture=sky), easel.hears(block(1, 1), picture=sky)]
    easel.rig.tell(ChannelClosed(peer=easel.bob.id, clean=True))
    easel.rig.wait(LOST_BUCKET_MS + 2 * SECOND_MS, easel.ann)
    assert sorted(easel.losses()) == sorted(entry.id for entry in gone)
    assert easel.wanted() == []


def test_it_is_given_up_when_the_frame_counts(easel: Easel) -> None:
    easel.hears(block(0, 0))
    easel.rig.take(easel.head, easel.cast.result(easel.ann, easel.head, CUT), by=easel.ann)
    assert of(easel.rig.effects, EndAssembly) == [EndAssembly(op=easel.op)]
    assert easel.rig.peer.assembling.idle
    assert easel.wanted() == []
    easel.hears(block(1, 1))
    assert easel.wanted() == []


def test_another_frame_that_counts_ends_nothing(easel: Easel) -> None:
    easel.rig.take(easel.head, easel.cast.result(easel.ann, easel.head, 0), by=easel.ann)
    assert of(easel.rig.effects, EndAssembly) == []


def test_a_frame_that_counts_is_not_begun(cast: Cast) -> None:
    easel = Easel(cast, won=False)
    easel.rig.take(easel.head, easel.cast.result(easel.ann, easel.head, CUT), by=easel.ann)
    easel.win()
    assert of(easel.rig.effects, StartAssembly) == []
    assert easel.rig.peer.assembling.idle


@pytest.mark.parametrize("finishing", [False, True])
def test_a_lost_claim_and_a_cancelled_job_end_it(cast: Cast, finishing: bool) -> None:
    for ending in ("lost", "cancelled"):
        easel = Easel(Cast(ending))
        easel.done(WHOLE) if finishing else easel.hears(block(0, 0))
        if ending == "lost":
            easel.loses()
        else:
            easel.rig.take(easel.head, easel.cast.entry(easel.ann, easel.head, Cancel()), by=easel.ann)
        assert of(easel.rig.effects, EndAssembly) == [EndAssembly(op=easel.op)]
        assert easel.growing == []
        assert easel.wanted() == []


def test_another_claims_loss_ends_nothing(easel: Easel) -> None:
    claim, easel.claim = easel.claim, easel.cast.claim(easel.rig.me, easel.head, 0)
    easel.loses()
    assert [growing.claim for growing in easel.growing] == [claim]


@pytest.mark.parametrize("finishing", [False, True])
def test_a_paused_host_leaves_it_to_others(easel: Easel, finishing: bool) -> None:
    easel.done(WHOLE) if finishing else easel.hears(block(0, 0))
    easel.rig.tell(PauseAsked(op=900, until=None, now=False))
    assert of(easel.rig.effects, EndAssembly) == [EndAssembly(op=easel.op)]
    assert easel.growing == []
    assert easel.wanted() == []


@pytest.mark.parametrize(("now", "finishing", "ended"), [(False, False, 1), (False, True, 0), (True, True, 1)])
def test_a_host_that_stops_finishes_what_it_is_finishing_unless_it_has_no_time(
    easel: Easel, now: bool, finishing: bool, ended: int
) -> None:
    easel.done(WHOLE) if finishing else easel.hears(block(0, 0))
    easel.rig.tell(StopAsked(now=now))
    assert len(of(easel.rig.effects, EndAssembly)) == ended
    if not ended:
        easel.rendered()
        assert len(easel.records()) == 1
    assert easel.rig.peer.assembling.idle


def test_after_a_gap_the_frame_waits_for_the_news_and_leaves_only_if_still_wanted(easel: Easel) -> None:
    easel.done(WHOLE)
    easel.rig.jump(600 * SECOND_MS)
    easel.rendered()
    assert easel.records() == []
    easel.rig.wait(NEWS_AFTER_GAP_MS, easel.ann)
    assert len(easel.records()) == 1

    other = Easel(Cast("another"))
    other.done(WHOLE)
    other.rig.jump(600 * SECOND_MS)
    other.rendered()
    other.rig.take(other.head, other.cast.result(other.ann, other.head, CUT), by=other.ann)
    other.rig.wait(NEWS_AFTER_GAP_MS, other.ann)
    assert other.records() == []
    assert other.rig.peer.assembling.idle


def test_an_assembly_that_failed_in_a_gap_is_told_to_do_nothing_more(easel: Easel) -> None:
    """Its process is gone: there is nothing that could be pasted into."""
    easel.hears(block(0, 0))
    easel.rig.jump(600 * SECOND_MS)
    easel.fails()
    assert easel.wanted() == []
    easel.hears(block(0, 1))
    assert easel.wanted() == []
    here = blob("here")
    easel.rig.peer.swarm._complete[here] = None
    easel.hears(block(1, 1), picture=here)
    assert easel.pastes() == []
    easel.rig.wait(NEWS_AFTER_GAP_MS, easel.ann)
    assert [type(entry.body.what) for entry in easel.records()] == [Failed]


def test_it_gets_on_with_each_bucket_and_each_step_of_finishing(easel: Easel) -> None:
    seen = [easel.rig.peer.assembling.progress_of(easel.claim.id)]  # type: ignore[arg-type]
    for found in (block(0, 0, 1, 2), block(1, 0, 1, 2)):
        easel.done(found)
        seen.append(easel.rig.peer._progress_of(easel.claim.id))  # type: ignore[arg-type]
    easel.rig.tell(RenderProgressed(op=easel.op, progress=1))
    seen.append(easel.rig.peer._progress_of(easel.claim.id))  # type: ignore[arg-type]
    assert seen == [0, 1, 2, 3]
    easel.rendered()
    assert easel.rig.peer.assembling.progress_of(easel.claim.id) is None  # type: ignore[arg-type]


def test_answers_that_nobody_waits_for_change_nothing(easel: Easel) -> None:
    before = len(easel.rig.effects)
    easel.rig.tell(BucketPasted(op=99, blob=blob("none"), problem=""))
    assert len(easel.rig.effects) == before
    assert not easel.rig.peer.assembling.idle


def test_a_frame_that_is_stopped_is_given_up_so_that_another_can_be_assembled(cast: Cast) -> None:
    """Of two that wait for ever nobody else's frame would ever come next (seed 1023 of eight peers)."""
    easel = Easel(cast)
    for name in ("bob", "cid", "dan"):
        author = cast.actor(name)
        easel.rig.let_in(author)
        easel.rig.take(easel.head, cast.failed(author, easel.head, CUT, block=block(0, 0)), by=author)
    assert of(easel.rig.effects, EndAssembly) == [EndAssembly(op=easel.op)]
    assert easel.growing == []
