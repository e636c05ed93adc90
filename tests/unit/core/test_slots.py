"""Tasks in hand: from a won claim to a result, and every way out."""

import pytest

from mesh.core.effects import CloseStage, KillRender, StartRender, Stopped
from mesh.core.events import FrameWritten, Rendered, RenderFailed, RenderProgressed, StopAsked
from mesh.core.notes import ClaimWon
from mesh.core.turn import Turn
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import NEWS_AFTER_GAP_MS
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block, Cut
from mesh.wire.kept import KeptEntries
from mesh.wire.records import Cancel, Claim, Entry, Failed, FailureKind, Output, Result
from tests.support.cast import Cast, blob, block, cut_into
from tests.support.rig import Rig, kept, of


class Bench:
    """A host with two slots that wins what the test gives it."""

    def __init__(self, cast: Cast, slots: int = 2, *, cut: Cut | None = None) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=slots)
        self.ann = cast.actor("ann")
        self.rig.meet(self.ann)
        self.head = cast.head(self.ann, frames=10, cut=cut)
        self.job = self.rig.learn(self.head, self.ann, by=self.ann)
        self.rig.clear()

    def win(self, task: int, *, block: Block | None = None, assembles: bool = False) -> Signed[Claim]:
        claim = self.cast.claim(self.rig.me, self.head, task, block=block, assembles=assembles)
        turn = Turn(self.rig.now, self.rig.peer._dice, self.rig.me.id)
        self.rig.peer.slots.on_claim_won(turn, ClaimWon(claim=claim))
        self.rig.effects += turn.effects
        return claim

    def started(self) -> list[StartRender]:
        return of(self.rig.effects, StartRender)

    def written(self, effect: StartRender) -> None:
        self.rig.tell(FrameWritten(op=effect.op, render_ms=500))

    def rendered(self, effect: StartRender) -> None:
        picture = Output(blob=blob(f"picture {effect.op}"), size=1)
        self.rig.tell(Rendered(op=effect.op, outputs=(picture,), log=None))

    def records(self) -> list[Signed[Entry]]:
        return [
            entry
            for message in kept(self.rig.effects, KeptEntries)
            for entry in message.entries
            if entry.author == self.rig.me.id
        ]


@pytest.fixture
def bench(cast: Cast) -> Bench:
    return Bench(cast)


def test_one_render_a_slot_and_the_next_when_a_frame_is_written(bench: Bench) -> None:
    for task in range(4):
        bench.win(task)
    assert [(effect.task, effect.slot) for effect in bench.started()] == [(0, 0), (1, 1)]
    bench.written(bench.started()[1])
    assert [(effect.task, effect.slot) for effect in bench.started()] == [(0, 0), (1, 1), (2, 1)]
    assert bench.rig.peer.slots.busy == 2


def test_a_result_embeds_the_claim_it_answers_and_the_time_it_took(bench: Bench) -> None:
    claim = bench.win(3)
    (effect,) = bench.started()
    bench.written(effect)
    bench.rendered(effect)
    (entry,) = bench.records()
    assert isinstance(entry.body.what, Result)
    assert (entry.body.what.claim, entry.body.what.render_ms) == (claim, 500)
    assert bench.rig.peer.slots.idle


def test_a_failure_says_what_and_which_attempt(bench: Bench) -> None:
    bench.win(3)
    (effect,) = bench.started()
    failed = RenderFailed(op=effect.op, kind=FailureKind.HUNG, reason="é" * 2_000, log=None)
    bench.rig.tell(failed)
    (entry,) = bench.records()
    assert isinstance(entry.body.what, Failed)
    assert (entry.body.what.task, entry.body.what.attempt, entry.body.what.kind) == (3, 1, FailureKind.HUNG)
    assert bench.rig.peer.slots.idle


def test_what_counts_already_is_given_up_and_never_published(bench: Bench) -> None:
    bench.win(0)
    bench.win(1)
    renders, checks = bench.started()
    bench.written(checks)
    for task in (0, 1):
        bench.rig.take(bench.head, bench.cast.result(bench.ann, bench.head, task), by=bench.ann)
    assert of(bench.rig.effects, KillRender) == [KillRender(op=renders.op)]
    bench.rendered(checks)
    assert bench.records() == []
    assert bench.rig.peer.slots.idle


def test_a_task_that_counts_is_not_started_at_all(bench: Bench) -> None:
    bench.rig.take(bench.head, bench.cast.result(bench.ann, bench.head, 5), by=bench.ann)
    bench.win(5)
    assert bench.started() == []
    assert bench.rig.peer.slots.idle


def test_a_cancel_ends_all_of_the_job_and_its_stages(bench: Bench) -> None:
    for task in range(4):
        bench.win(task)
    ops = [effect.op for effect in bench.started()]
    bench.rig.take(bench.head, bench.cast.entry(bench.ann, bench.head, Cancel()), by=bench.ann)
    assert [effect.op for effect in of(bench.rig.effects, KillRender)] == ops
    assert of(bench.rig.effects, CloseStage) == [CloseStage(job=bench.job)]
    assert len(bench.started()) == 2
    assert bench.rig.peer.slots.idle


def test_a_cancel_ends_what_is_written_and_not_stored_too(bench: Bench) -> None:
    """Its stage ends with all that it was asked for: nobody answers, and who waited for that could never stop."""
    bench.win(0)
    (started,) = bench.started()
    bench.written(started)
    bench.rig.take(bench.head, bench.cast.entry(bench.ann, bench.head, Cancel()), by=bench.ann)
    assert bench.rig.peer.slots.idle
    bench.rig.tell(StopAsked(now=False))
    bench.rig.wait(12 * SECOND_MS, bench.ann)
    assert of(bench.rig.effects, Stopped)


def test_progress_never_falls(bench: Bench) -> None:
    claim = bench.win(0)
    (effect,) = bench.started()
    for progress in (3, 9, 5):
        bench.rig.tell(RenderProgressed(op=effect.op, progress=progress))
    assert bench.rig.peer.slots.progress_of(claim.id) == 9  # type: ignore[arg-type]


def test_a_claim_that_waits_gets_on_with_what_is_before_it_and_never_falls_back(cast: Cast) -> None:
    bench = Bench(cast, slots=1)
    bench.win(0)
    waiting = bench.win(1)

    def seen() -> int:
        return bench.rig.peer.slots.progress_of(waiting.id)  # type: ignore[arg-type]

    (effect,) = bench.started()
    numbers = [seen()]
    for progress in (1, 2, 5):
        bench.rig.tell(RenderProgressed(op=effect.op, progress=progress))
        numbers.append(seen())
    bench.written(effect)
    numbers.append(seen())
    assert sorted(set(numbers)) == numbers, "it gets on, or its lease would end while it waits"
    bench.rendered(effect)
    assert seen() == numbers[-1]
    bench.rig.tell(RenderProgressed(op=bench.started()[1].op, progress=1))
    assert seen() == numbers[-1] + 1


def test_after_a_gap_results_wait_for_the_news_and_leave_only_if_still_wanted(bench: Bench) -> None:
    bench.win(0)
    bench.win(1)
    first, second = bench.started()
    bench.written(first)
    bench.written(second)
    bench.rig.jump(600 * SECOND_MS)
    bench.rendered(first)
    bench.rendered(second)
    assert bench.records() == []
    bench.rig.take(bench.head, bench.cast.result(bench.ann, bench.head, 0), by=bench.ann)
    bench.rig.wait(NEWS_AFTER_GAP_MS, bench.ann)
    assert [entry.body.what.task for entry in bench.records() if isinstance(entry.body.what, Result)] == [1]
    assert bench.rig.peer.slots.idle


def test_a_peer_that_is_asked_to_stop_finishes_what_renders_and_begins_nothing(bench: Bench) -> None:
    for task in range(3):
        bench.win(task)
    bench.rig.tell(StopAsked(now=False))
    first, second = bench.started()
    for effect in (first, second):
        bench.written(effect)
        bench.rendered(effect)
    assert len(bench.started()) == 2
    assert len(bench.records()) == 2
    bench.rig.wait(12 * SECOND_MS, bench.ann)
    assert of(bench.rig.effects, Stopped)


def test_answers_to_ops_that_nobody_waits_for_change_nothing(bench: Bench) -> None:
    bench.win(0)
    before = len(bench.rig.effects)
    for event in (
        FrameWritten(op=99, render_ms=1),
        Rendered(op=99, outputs=(), log=None),
        RenderFailed(op=99, kind=FailureKind.HUNG, reason="", log=None),
        RenderProgressed(op=99, progress=1),
    ):
        bench.rig.tell(event)
    assert len(bench.rig.effects) == before


LEFT, RIGHT = block(0, 0, 2, 2), block(2, 0, 2, 2)


@pytest.fixture
def tiler(cast: Cast) -> Bench:
    """A host with two slots; the last frame of the job has four by two cells."""
    return Bench(cast, cut=cut_into(4, 2))


def test_a_bucket_is_rendered_as_a_part_of_its_frame(tiler: Bench) -> None:
    tiler.win(9, block=LEFT)
    tiler.win(0)
    assert [(effect.task, effect.block) for effect in tiler.started()] == [(9, LEFT), (0, None)]


def test_a_buckets_result_and_failure_say_which_it_was(tiler: Bench) -> None:
    claim = tiler.win(9, block=LEFT)
    tiler.win(9, block=RIGHT)
    left, right = tiler.started()
    tiler.written(left)
    tiler.rendered(left)
    tiler.rig.tell(RenderFailed(op=right.op, kind=FailureKind.CRASHED, reason="", log=None))
    result, failed = (entry.body.what for entry in tiler.records())
    assert isinstance(result, Result)
    assert isinstance(failed, Failed)
    assert (result.claim, result.block) == (claim, LEFT)
    assert (failed.task, failed.block) == (9, RIGHT)


def test_a_bucket_is_given_up_once_others_have_rendered_all_of_its_cells(tiler: Bench) -> None:
    tiler.win(9, block=LEFT)
    tiler.win(9, block=RIGHT)
    left, _ = tiler.started()
    for cells, killed in ((block(0, 0, 1, 2), []), (block(1, 0, 1, 2), [KillRender(op=left.op)])):
        tiler.rig.take(tiler.head, tiler.cast.result(tiler.ann, tiler.head, 9, block=cells), by=tiler.ann)
        assert of(tiler.rig.effects, KillRender) == killed
    assert tiler.rig.peer.slots.busy == 1


def test_buckets_of_a_frame_that_counts_are_given_up_and_never_published(tiler: Bench) -> None:
    tiler.win(9, block=LEFT)
    tiler.win(9, block=RIGHT)
    tiler.win(9, block=block(0, 0))
    tiler.win(0)
    renders, checks = tiler.started()
    tiler.written(checks)
    tiler.rig.take(tiler.head, tiler.cast.result(tiler.ann, tiler.head, 9, assembles=True), by=tiler.ann)
    assert renders.op in [effect.op for effect in of(tiler.rig.effects, KillRender)]
    tiler.rendered(checks)
    assert tiler.records() == []
    assert [(effect.task, effect.block) for effect in tiler.started()][-1] == (0, None)


def test_cells_of_another_frame_end_nothing(cast: Cast) -> None:
    tiler = Bench(cast, cut=cut_into(4, 2, frames=2))
    tiler.win(9, block=LEFT)
    tiler.rig.take(tiler.head, tiler.cast.result(tiler.ann, tiler.head, 8, block=LEFT), by=tiler.ann)
    assert of(tiler.rig.effects, KillRender) == []


@pytest.mark.parametrize("whole", [False, True])
def test_a_bucket_that_nobody_needs_is_not_begun(tiler: Bench, whole: bool) -> None:
    counting = None if whole else block(0, 0, 4, 2)
    tiler.rig.take(tiler.head, tiler.cast.result(tiler.ann, tiler.head, 9, block=counting), by=tiler.ann)
    tiler.win(9, block=LEFT)
    assert tiler.started() == []
    assert tiler.rig.peer.slots.idle


def test_an_assembly_takes_no_slot(tiler: Bench) -> None:
    tiler.win(9, assembles=True)
    assert tiler.started() == []
    assert tiler.rig.peer.slots.wanting_slots() == []
    assert tiler.rig.peer.slots.idle
