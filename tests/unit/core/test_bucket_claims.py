"""The claimant's side of frames in buckets: which it claims and how many, and who assembles."""

import pytest

from mesh.core.costs import Costs
from mesh.core.effects import FinishAssembly, StartAssembly, StartRender
from mesh.core.events import FrameWritten, RenderFailed, StopAsked
from mesh.core.ledger import JobLedger
from mesh.ground.ids import JobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import (
    BUCKET_LEAST_MS,
    BUCKETS_PER_SLOT,
    FAILED_HERE_MS,
    GAP_MS,
    HEARTBEAT_MS,
    SELF_CLAIM_MS,
    UNANSWERED_MS,
)
from mesh.wire.envelope import Signed, sign
from mesh.wire.grids import Block, Cut
from mesh.wire.messages import (
    Available,
    ClaimSent,
    Head,
    Heartbeat,
    OpenTask,
    Running,
    Verdict,
    Window,
    Withdraw,
)
from mesh.wire.records import Cancel, Claim, FailureKind
from mesh.wire.stills import Grant, Grants, OpenCells
from tests.support.cast import ENGINE, Actor, Cast, bits_of, block, cut_into
from tests.support.rig import Rig, of, sent

CELL = 32 * 32
FIRST = 6
"""The first frame that is cut, of ten."""

FOUR = block(0, 0, 2, 2)


class Tiler:
    """A peer with a job's scene, that two others keep the job for; nobody else can render it."""

    def __init__(self, cast: Cast, *, slots: int = 1, cut: Cut | None = None, others: int = 0) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=slots)
        keepers = [cast.actor("ann"), cast.actor("bob")]
        self.rig.meet(*keepers)
        for keeper, renders in zip(keepers, (others, 0), strict=True):
            offer = Available(engines=(ENGINE,), slots=renders, busy=0, cores=4, memory_mb=8_000, draining=False)
            self.rig.hear(keeper, offer)
        self.cut = cut or cut_into(8, 8, frames=4)
        self.head: Head = cast.head(keepers[0], frames=10, cut=self.cut)
        self.job: JobId = self.rig.learn(self.head, *keepers, by=keepers[0])
        self.rig.peer.scenes._whole[self.head.job.body.scene] = None
        order = self.rig.peer.keepers.of(self.job, self.rig.now)
        self.first, self.second = sorted(keepers, key=lambda keeper: order.index(keeper.id))
        self.rig.wait(SECOND_MS, self.first, self.second)
        self.rig.clear()

    @property
    def ledger(self) -> JobLedger:
        return self.rig.peer.ledger.jobs[self.job]

    @property
    def costs(self) -> Costs:
        return self.rig.peer.claims._costs

    def hears(
        self,
        cells: dict[int, range] | None = None,
        *,
        attempt: int = 0,
        open_frames: tuple[int, ...] = (),
        slots: int = 1,
        by: Actor | None = None,
        in_buckets: bool = True,
    ) -> None:
        """Hear a window that tells these cells and frames as open."""
        told, parts = {} if cells is None else cells, self.ledger.parts
        window = Window(
            job=self.job,
            open=tuple(
                OpenTask(task=task, attempt=attempt, in_buckets=in_buckets and parts.is_cut(task))
                for task in open_frames
            ),
            slots=slots,
            unclaimed=len(open_frames),
            running=0,
            counting=0,
            stopped=0,
            safe=0,
            median_ms=0,
            ended=False,
            cells=tuple(
                OpenCells(task=frame, attempt=attempt, bits=bits_of(of_frame)) for frame, of_frame in told.items()
            ),
        )
        self.rig.hear(by or self.first, window)
        self.rig.wait(SELF_CLAIM_MS, self.first, self.second)

    def claims(self) -> list[Claim]:
        return [claim.body for _, said in sent(self.rig.effects, ClaimSent) for claim in said.claims]

    def blocks(self) -> list[tuple[int, Block | None]]:
        return [(claim.task, claim.block) for claim in self.claims()]

    def mine(self) -> list[Signed[Claim]]:
        return [mine.claim for mine in self.rig.peer.claims.mine.values()]

    def answered(self, *, yours: bool = True) -> None:
        for mine in list(self.rig.peer.claims.mine.values()):
            self.rig.hear(self.first, Verdict(claim=mine.claim.id, yours=yours))

    def rendered(self) -> list[tuple[int, Block | None]]:
        return [(effect.task, effect.block) for effect in of(self.rig.effects, StartRender)]

    def written(self, render_ms: int) -> None:
        """Let the last render be written."""
        self.rig.tell(FrameWritten(op=of(self.rig.effects, StartRender)[-1].op, render_ms=render_ms))
        self.rig.wait(SELF_CLAIM_MS, self.first, self.second)


@pytest.fixture
def tiler(cast: Cast) -> Tiler:
    return Tiler(cast)


def test_a_bucket_is_claimed_and_rendered_on_yours(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)}, attempt=3)
    claim = tiler.claims()[0]
    assert (claim.task, claim.block, claim.assembles, claim.attempt) == (FIRST, block(0, 0, 1, 1), False, 4)
    assert tiler.rendered() == []
    tiler.answered()
    assert tiler.rendered() == [(FIRST, block(0, 0, 1, 1))]


@pytest.mark.parametrize("slots", [1, 3])
def test_one_is_claimed_for_each_slot_and_one_ahead_of_it(cast: Cast, slots: int) -> None:
    tiler = Tiler(cast, slots=slots)
    tiler.hears({FIRST: range(64)}, slots=slots)
    assert len(tiler.claims()) == 2 * slots
    cells = [cell for claim in tiler.claims() for cell in tiler.ledger.parts.of(claim.task, claim.block)]
    assert len(cells) == len(set(cells)), "no cell twice"
    tiler.answered()
    assert len(tiler.rendered()) == slots
    tiler.written(1_000)
    assert len(tiler.rendered()) == slots + 1
    assert len(tiler.claims()) == 2 * slots + 1


@pytest.mark.parametrize(("others", "cells", "claimed"), [(0, 4, 2), (0, 5, 3), (2, 4, 2), (2, 6, 2), (2, 7, 3)])
def test_none_is_claimed_ahead_when_one_for_each_slot_is_all_that_is_left(
    cast: Cast, others: int, cells: int, claimed: int
) -> None:
    """However dear a cell is: whoever is idle could begin it at once."""
    tiler = Tiler(cast, slots=2, others=others)
    tiler.hears({FIRST: range(cells)}, slots=2 + others)
    assert len(tiler.claims()) == claimed
    dear = Tiler(Cast("dear"), slots=2, others=others)
    dear.costs.note(dear.job, dear.rig.me.id, CELL, 60_000)
    dear.hears({FIRST: range(cells)}, slots=2 + others)
    assert len(dear.claims()) == claimed


def test_fixed_buckets_are_claimed_ahead_however_cheap_they_are(cast: Cast) -> None:
    tiler = Tiler(cast, cut=cut_into(8, 8, fixed=True))
    tiler.costs.note(tiler.job, tiler.rig.me.id, 64 * CELL, 1)
    tiler.hears({9: range(64)})
    assert len(tiler.claims()) == 2


def test_buckets_shrink_towards_the_end(tiler: Tiler) -> None:
    """A fourth of what is left for the slot, as soon as it is known what a pixel costs."""
    tiler.costs.note(tiler.job, tiler.rig.me.id, 64 * CELL, 64_000)
    tiler.hears({FIRST: range(64)})
    areas = [tiler.cut.grid.pixels(claim.block).area // CELL for claim in tiler.claims() if claim.block is not None]
    assert areas == [64 // BUCKETS_PER_SLOT, 16], "the largest block within a half more than a fourth of 48"
    tiler.answered()
    for _ in range(30):
        tiler.written(4_000)
        tiler.answered()
    areas = [tiler.cut.grid.pixels(claim.block).area // CELL for claim in tiler.claims() if claim.block is not None]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] == 1
    assert sum(areas) == 64


def test_what_a_bucket_cost_says_how_large_the_next_one_is(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)})
    tiler.answered()
    tiler.rig.clear()
    (first, *_) = tiler.mine()
    assert first.body.block is not None
    area = tiler.cut.grid.pixels(first.body.block).area
    (render,) = tiler.rig.peer.slots.in_hand()
    assert render.claim == first
    tiler.rig.tell(FrameWritten(op=render.op, render_ms=10 * BUCKET_LEAST_MS))
    tiler.rig.wait(12 * BUCKET_LEAST_MS, tiler.first, tiler.second)
    assert tiler.costs.expected_ms(tiler.job, tiler.rig.me.id, area) == 10 * BUCKET_LEAST_MS
    areas = [tiler.cut.grid.pixels(claim.block).area for claim in tiler.claims() if claim.block is not None]
    assert areas == [CELL], "what the probe has left of the first block of four"
    pixels = tiler.costs.bucket_pixels(tiler.job, tiler.rig.me.id, 61 * CELL, 1)
    assert pixels == 4 * CELL, "of fifteen that would be its part, as many as take twenty seconds"


def test_what_was_claimed_is_not_open_in_a_window_that_came_late(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)}, open_frames=(FIRST,))
    claimed = [cell for claim in tiler.claims() for cell in tiler.ledger.parts.of(FIRST, claim.block)]
    tiler.rig.clear()
    for keeper in (tiler.first, tiler.first, tiler.second):
        tiler.hears({FIRST: range(64)}, open_frames=(FIRST,), by=keeper)
    assert tiler.claims() == []
    first = tiler.ledger.parts.cells_of(FIRST).start
    buckets = tiler.rig.peer.claims.following[tiler.job].buckets
    left = [cell for cell in range(64) if buckets.cells[FIRST] >> cell & 1]
    assert left == [cell for cell in range(64) if first + cell not in claimed]


def test_a_peer_that_is_told_taken_takes_the_next_one(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)})
    claimed = set(tiler.blocks())
    tiler.answered(yours=False)
    tiler.rig.wait(SELF_CLAIM_MS, tiler.first, tiler.second)
    assert len(set(tiler.blocks()) - claimed) >= 1
    assert tiler.rendered() == []


def test_peers_that_choose_at_the_same_time_choose_differently() -> None:
    chosen = []
    for number in range(12):
        cast = Cast()
        cast.signer = lambda name, of=cast.signer, number=number: of(f"{name} {number}" if name == "me" else name)  # type: ignore[method-assign, misc]
        tiler = Tiler(cast, others=11)
        tiler.costs.note(tiler.job, tiler.rig.me.id, CELL, 2 * BUCKET_LEAST_MS)
        tiler.hears({FIRST: range(64)}, slots=12)
        chosen.append(tiler.blocks()[0])
    assert len(set(chosen)) >= 6
    assert {found for _, found in chosen if found is not None} <= {
        block(column, row) for row in range(2) for column in range(8)
    }, "all of them are among the first"


def test_the_jobs_order_of_frames_is_kept_and_the_next_one_is_begun_at_the_end_of_one(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(1), FIRST + 1: range(64)})
    frames = [claim.task for claim in tiler.claims()]
    assert frames == [FIRST, FIRST + 1]


def test_fixed_buckets_are_single_cells(cast: Cast) -> None:
    tiler = Tiler(cast, cut=cut_into(8, 8, fixed=True), slots=2)
    tiler.hears({9: range(64)}, slots=2)
    assert {(found.columns, found.rows) for _, found in tiler.blocks() if found is not None} == {(1, 1)}
    assert len(tiler.blocks()) == 4


def test_cells_of_frames_that_are_not_cut_and_beyond_the_last_are_not_claimed(tiler: Tiler) -> None:
    tiler.hears({0: range(64), 5: range(64), 10: range(64), 99_999: range(64)})
    assert tiler.claims() == []
    tiler.hears({FIRST: range(64, 200)})
    assert tiler.claims() == []


def test_nobody_renders_a_frame_whole_that_is_made_of_buckets_alone(tiler: Tiler) -> None:
    """Whatever a keeper says of it: a still may take a night."""
    tiler.hears(open_frames=(0, FIRST), in_buckets=False)
    assert [claim.task for claim in tiler.claims()] == [0]


def test_nothing_is_said_where_nothing_is_claimed(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)})
    tiler.answered()
    tiler.rig.clear()
    tiler.rig.wait(3 * SECOND_MS, tiler.first, tiler.second)
    assert sent(tiler.rig.effects, ClaimSent) == []


def test_cells_that_failed_here_are_left_to_others_for_a_while(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(1)})
    tiler.answered()
    (effect,) = of(tiler.rig.effects, StartRender)
    tiler.rig.tell(RenderFailed(op=effect.op, kind=FailureKind.CRASHED, reason="", log=None))
    tiler.rig.clear()
    tiler.hears({FIRST: range(2)}, attempt=1)
    assert tiler.blocks() == [(FIRST, block(1, 0))]
    tiler.answered(yours=False)
    tiler.rig.wait(FAILED_HERE_MS, tiler.first, tiler.second)
    assert (FIRST, block(0, 0)) in tiler.blocks()


def test_what_nobody_answers_is_rendered_after_two_seconds_while_a_cell_of_it_is_needed(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(3)})
    first, *others = tiler.blocks()
    assert others == [(FIRST, block(1, 0))]
    counts = tiler.cast.result(tiler.first, tiler.head, FIRST, block=block(1, 0))
    tiler.rig.take(tiler.head, counts, by=tiler.first)
    tiler.rig.wait(UNANSWERED_MS - 1)
    assert tiler.rendered() == []
    tiler.rig.wait(1)
    assert tiler.rendered() == [first]
    assert [claim.body.block for claim in tiler.mine()] == [block(0, 0)]


def test_a_bucket_that_is_given_up_is_withdrawn(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(1)})
    tiler.answered()
    tiler.rig.clear()
    frame = tiler.cast.result(tiler.first, tiler.head, FIRST, assembles=True)
    tiler.rig.take(tiler.head, frame, by=tiler.first)
    assert {peer for peer, _ in sent(tiler.rig.effects, Withdraw)} == {tiler.first.id, tiler.second.id}
    assert tiler.mine() == []


def test_held_buckets_beat_and_are_told_with_their_cells(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(3)}, open_frames=(FIRST,))
    tiler.answered()
    claims = tiler.mine()
    tiler.rig.clear()
    tiler.rig.wait(SECOND_MS, tiler.first, tiler.second)
    beats = {beat.claim for _, said in sent(tiler.rig.effects, Heartbeat) for beat in said.beats}
    assert beats == {claim.id for claim in claims}
    told = [claim for _, said in sent(tiler.rig.effects, Running) for claim in said.claims]
    assert told == claims


def test_a_frame_is_claimed_to_be_assembled_and_takes_no_slot(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)}, open_frames=(FIRST,))
    (assembly,) = [claim for claim in tiler.claims() if claim.assembles]
    assert (assembly.task, assembly.block) == (FIRST, None)
    assert len(tiler.claims()) == 3, "a bucket for the slot, one ahead, and the assembly"
    tiler.answered()
    assert [effect.task for effect in of(tiler.rig.effects, StartAssembly)] == [FIRST]
    assert len(tiler.rendered()) == 1


def test_a_peer_assembles_few_frames_of_a_job_at_a_time(tiler: Tiler) -> None:
    tiler.hears(open_frames=(FIRST, FIRST + 1, FIRST + 2, FIRST + 3))
    assert [(claim.task, claim.assembles) for claim in tiler.claims()] == [(FIRST, True), (FIRST + 1, True)]
    tiler.answered()
    tiler.rig.clear()
    tiler.hears(open_frames=(FIRST + 2, FIRST + 3))
    assert tiler.claims() == []
    tiler.rig.take(tiler.head, tiler.cast.result(tiler.first, tiler.head, FIRST), by=tiler.first)
    tiler.rig.wait(SECOND_MS, tiler.first, tiler.second)
    assert [claim.task for claim in tiler.claims()] == [FIRST + 2]


def test_an_assembly_that_is_told_taken_is_left_to_whoever_has_it(tiler: Tiler) -> None:
    tiler.hears(open_frames=(FIRST,))
    tiler.answered(yours=False)
    assert of(tiler.rig.effects, StartAssembly) == []
    assert tiler.mine() == []


def test_a_frame_that_nobody_answers_for_is_assembled_after_two_seconds(tiler: Tiler) -> None:
    tiler.hears(open_frames=(FIRST,))
    tiler.rig.wait(UNANSWERED_MS)
    assert [effect.task for effect in of(tiler.rig.effects, StartAssembly)] == [FIRST]


def test_a_frame_that_failed_to_be_assembled_here_is_left_to_others_for_a_while(tiler: Tiler) -> None:
    tiler.hears(open_frames=(FIRST,))
    tiler.answered()
    (started,) = of(tiler.rig.effects, StartAssembly)
    tiler.rig.tell(RenderFailed(op=started.op, kind=FailureKind.CRASHED, reason="", log=None))
    tiler.rig.clear()
    tiler.hears(open_frames=(FIRST,))
    assert tiler.claims() == []
    tiler.rig.wait(FAILED_HERE_MS, tiler.first, tiler.second)
    assert [claim.assembles for claim in tiler.claims()] == [True]


def granted(tiler: Tiler, by: Actor, *, to: Actor | None = None, found: Block = FOUR, frame: int = FIRST) -> Grants:
    """A bucket that somebody grants this peer."""
    body = Grant(job=tiler.job, epoch=1, number=1, peer=(to or tiler.rig.me).id, task=frame, block=found, attempt=2)
    return Grants(grants=(sign(body, by.signer),))


def test_what_a_keeper_grants_is_claimed_of_it_at_once(tiler: Tiler) -> None:
    tiler.hears()
    grants = granted(tiler, tiler.first)
    tiler.rig.hear(tiler.first, grants)
    (claim,) = tiler.claims()
    assert (claim.block, claim.attempt, claim.grant) == (FOUR, 3, grants.grants[0].id)
    tiler.answered()
    assert tiler.rendered() == [(FIRST, FOUR)]


def test_nobody_who_keeps_no_job_has_others_render_for_it(tiler: Tiler) -> None:
    """What nobody answers for two seconds is rendered: it would be, however many grants somebody made up."""
    liar = tiler.cast.actor("liar")
    tiler.rig.meet(liar)
    tiler.hears()
    tiler.rig.hear(liar, granted(tiler, liar))
    tiler.rig.wait(UNANSWERED_MS, tiler.first, tiler.second)
    assert tiler.claims() == []
    assert tiler.rendered() == []


@pytest.mark.parametrize("found", [block(1, 0, 2, 1), block(8, 0), block(0, 0, 4_096, 4_096)])
def test_a_grant_of_a_block_that_there_is_not_is_given_back(tiler: Tiler, found: Block) -> None:
    tiler.hears()
    grants = granted(tiler, tiler.first, found=found)
    tiler.rig.hear(tiler.first, grants)
    assert tiler.claims() == []
    assert sent(tiler.rig.effects, Withdraw) == [
        (tiler.first.id, Withdraw(job=tiler.job, claims=(grants.grants[0].id,)))
    ]


def test_a_grant_to_another_or_in_anothers_name_is_not_heard(tiler: Tiler) -> None:
    tiler.hears()
    tiler.rig.hear(tiler.first, granted(tiler, tiler.first, to=tiler.second), granted(tiler, tiler.second))
    assert tiler.claims() == []
    assert sent(tiler.rig.effects, Withdraw) == []


def test_frames_that_are_not_cut_are_rendered_whole_beside(tiler: Tiler) -> None:
    tiler.hears(open_frames=(0, FIRST))
    assert sorted((claim.task, claim.assembles) for claim in tiler.claims()) == [(0, False), (FIRST, True)]


def test_who_is_about_to_stop_withdraws_what_nobody_has_answered(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)}, open_frames=(FIRST,))
    tiler.rig.tell(StopAsked(now=False))
    withdrawn = {claim for _, said in sent(tiler.rig.effects, Withdraw) for claim in said.claims}
    assert len(withdrawn) == 3
    assert tiler.mine() == []


def test_nothing_of_a_cancelled_job_is_begun(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)}, open_frames=(FIRST,))
    author = next(actor for actor in (tiler.first, tiler.second) if actor.name == "ann")
    tiler.rig.take(tiler.head, tiler.cast.entry(author, tiler.head, Cancel()), by=author)
    tiler.answered()
    tiler.hears({FIRST: range(64)}, open_frames=(FIRST,))
    assert (tiler.rendered(), of(tiler.rig.effects, StartAssembly), tiler.mine()) == ([], [], [])
    assert of(tiler.rig.effects, FinishAssembly) == []


def test_of_a_job_that_ended_while_a_picture_is_checked_nothing_is_kept(tiler: Tiler) -> None:
    tiler.hears({FIRST: range(64)})
    tiler.answered()
    tiler.written(1_000)
    author = next(actor for actor in (tiler.first, tiler.second) if actor.name == "ann")
    tiler.rig.take(tiler.head, tiler.cast.entry(author, tiler.head, Cancel()), by=author)
    assert tiler.mine() == [], "it ends with its stage"
    tiler.rig.wait(2 * SECOND_MS, tiler.first, tiler.second)
    claims = tiler.rig.peer.claims
    assert (claims.following, claims.fairness._given, tiler.costs._paces) == ({}, {}, {})


def test_who_slept_claims_nothing_of_what_was_told_before(tiler: Tiler) -> None:
    """A grant is waited for as long as the bucket in hand takes: longer than a keeper is silent to who wakes up."""
    tiler.costs.note(tiler.job, tiler.rig.me.id, CELL, 90 * SECOND_MS)
    tiler.hears({FIRST: range(64)})
    tiler.answered()
    tiler.hears({FIRST: range(2, 64)})
    tiler.rig.clear()
    tiler.rig.jump(HEARTBEAT_MS + GAP_MS + 1)
    tiler.rig.wait(120 * SECOND_MS, tiler.first, tiler.second)
    assert tiler.claims() == []
