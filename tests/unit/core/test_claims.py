"""The claimant's side: whom it believes, what it claims, what it does with a verdict."""

import pytest

from mesh.core.effects import KillRender, StartAssembly, StartRender
from mesh.core.events import ChannelClosed, FrameWritten, RenderFailed, RenderProgressed
from mesh.core.keepers import distance
from mesh.ground.ids import JobId
from mesh.ground.instants import HOUR_MS, SECOND_MS
from mesh.ground.limits import (
    FAILED_HERE_MS,
    FIRST_CLAIMS_MS,
    FOLLOW_PERIOD_MS,
    KEEPER_QUIET_MS,
    RESTARTED_KEEPER_MS,
    UNANSWERED_MS,
    UNFIT_MS,
)
from mesh.wire.grids import Cut
from mesh.wire.kept import KeptHead, KeptMark
from mesh.wire.members import DEFAULT_ROLES, Role
from mesh.wire.messages import (
    Available,
    ClaimSent,
    Follow,
    Head,
    Heartbeat,
    OpenTask,
    Ping,
    Running,
    Verdict,
    Window,
    Withdraw,
)
from mesh.wire.records import MAX_ATTEMPT, Cancel, Check, FailureKind
from tests.support.cast import NOW, Actor, Cast, cut_into
from tests.support.rig import Rig, of, sent


class Claimant:
    """A peer with one slot and a job's scene, that two others keep the job for."""

    def __init__(
        self,
        cast: Cast,
        *,
        frames: int = 20,
        slots: int = 1,
        new: bool = False,
        roles: Role = DEFAULT_ROLES,
        cut: Cut | None = None,
        check: Check = Check.ONCE,
    ) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=slots, roles=roles)
        keepers = [cast.actor("ann"), cast.actor("bob")]
        self.liar = cast.actor("liar")
        self.rig.meet(*keepers, self.liar)
        self.head: Head = cast.head(keepers[0], frames=frames, cut=cut, check=check)
        self.job: JobId = self.rig.learn(self.head, *keepers, by=keepers[0])
        self.rig.peer.scenes._whole[self.head.job.body.scene] = None
        order = self.rig.peer.keepers.of(self.job, self.rig.now)
        self.first, self.second = sorted(keepers, key=lambda keeper: order.index(keeper.id))
        if not new:
            self.rig.wait(SECOND_MS, self.first, self.second)

    def window(self, *tasks: int, attempt: int = 0, slots: int = 1, unclaimed: int | None = None) -> Window:
        parts = self.rig.peer.ledger.jobs[self.job].parts
        return Window(
            job=self.job,
            open=tuple(OpenTask(task=task, attempt=attempt, in_buckets=parts.is_cut(task)) for task in tasks),
            slots=slots,
            unclaimed=len(tasks) if unclaimed is None else unclaimed,
            running=0,
            counting=0,
            stopped=0,
            safe=0,
            median_ms=0,
            ended=False,
        )

    def claimed(self) -> list[tuple[bytes, int]]:
        return [(peer, claim.body.task) for peer, said in sent(self.rig.effects, ClaimSent) for claim in said.claims]

    def answer(self, keeper: Actor, *, yours: bool) -> None:
        for mine in list(self.rig.peer.claims.mine.values()):
            if mine.keeper == keeper.id:
                self.rig.hear(keeper, Verdict(claim=mine.claim.id, yours=yours))

    def rendered(self) -> list[int]:
        return [effect.task for effect in of(self.rig.effects, StartRender)]


def test_a_keeper_that_came_back_follows_the_next_one_until_it_may_decide(cast: Cast) -> None:
    """It would wait two seconds for itself to answer."""
    me, ann = cast.actor("me"), cast.actor("ann")
    heads = (cast.head(ann, frames=frames) for frames in range(1, 100))
    head = next(head for head in heads if distance(me.id, head.job.id) < distance(ann.id, head.job.id))
    job = JobId(head.job.id)
    marks = (KeptMark(mark=cast.mark(keeper, head, NOW.wall + HOUR_MS)) for keeper in (me, ann))
    rig = Rig(cast, kept=(KeptHead(head=head), *marks))
    rig.wait(SECOND_MS // 2)
    rig.meet(ann)
    rig.wait(SECOND_MS, ann)
    assert rig.peer.keepers.of(job, rig.now) == [rig.me.id, ann.id]
    assert (ann.id, Follow(job=job, slots=1)) in sent(rig.effects, Follow)
    rig.wait(RESTARTED_KEEPER_MS + FOLLOW_PERIOD_MS, ann)
    assert rig.peer.claims.following[job].keeper == rig.me.id, "it decides by now, and is the closest"


@pytest.fixture
def claimant(cast: Cast) -> Claimant:
    return Claimant(cast)


def test_nobody_claims_what_waits_for_another_to_agree_with_him(cast: Cast) -> None:
    claimant = Claimant(cast, check=Check.TWICE)
    mine, other = cast.result(claimant.rig.me, claimant.head, 0), cast.result(claimant.liar, claimant.head, 1)
    claimant.rig.peer.swarm._complete[mine.body.what.outputs[0].blob] = None  # type: ignore[union-attr]
    claimant.rig.take(claimant.head, mine, by=claimant.rig.me)
    claimant.rig.take(claimant.head, other, by=claimant.liar)
    claimant.rig.hear(claimant.first, claimant.window(0, attempt=1))
    assert claimant.claimed() == []
    claimant.rig.hear(claimant.first, claimant.window(0, 1, attempt=1))
    assert claimant.claimed() == [(claimant.first.id, 1)]


def test_the_closest_keeper_is_followed(claimant: Claimant) -> None:
    assert next(peer for peer, _ in sent(claimant.rig.effects, Follow)) == claimant.first.id


def test_who_may_not_render_claims_nothing_and_says_so(cast: Cast) -> None:
    guest = Claimant(cast, roles=Role.SUBMIT)
    guest.rig.hear(guest.first, guest.window(0, 1, 2))
    guest.rig.wait(5 * SECOND_MS, guest.first, guest.second)
    assert guest.claimed() == []
    assert {offer.slots for _, offer in sent(guest.rig.effects, Available)} == {0}


def test_every_claim_of_a_host_with_many_slots_is_beaten(cast: Cast) -> None:
    claimant = Claimant(cast, frames=5_000, slots=600)
    for first in range(0, 1_200, 500):
        tasks = range(first, min(first + 500, 1_200))
        claimant.rig.hear(claimant.first, claimant.window(*tasks, slots=600, unclaimed=5_000))
    claimant.answer(claimant.first, yours=True)
    claimant.rig.clear()
    claimant.rig.wait(2 * SECOND_MS, claimant.first, claimant.second)
    beaten = {beat.claim for _, said in sent(claimant.rig.effects, Heartbeat) for beat in said.beats}
    assert beaten == set(claimant.rig.peer.claims.mine)
    assert len(beaten) > 1_024


def test_when_the_keeper_that_told_the_window_is_lost_another_is_asked_at_once(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window())
    claimant.rig.clear()
    claimant.rig.tell(ChannelClosed(peer=claimant.first.id, clean=False))
    assert [peer for peer, _ in sent(claimant.rig.effects, Follow)] == [claimant.second.id]
    claimant.rig.hear(claimant.second, claimant.window(5))
    assert claimant.claimed() == [(claimant.second.id, 5)]


def test_a_new_job_is_claimed_from_once_its_closest_keeper_had_time_to_show_itself(cast: Cast) -> None:
    claimant = Claimant(cast, new=True)
    claimant.rig.hear(claimant.second, claimant.window(5))
    assert claimant.claimed() == []
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.rig.wait(FIRST_CLAIMS_MS)
    assert claimant.claimed() == [(claimant.first.id, 5)]


def test_a_claim_goes_to_whom_the_window_came_from_and_is_rendered_on_yours(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    assert claimant.claimed() == [(claimant.first.id, 5)]
    assert claimant.rendered() == []
    claimant.answer(claimant.first, yours=True)
    assert claimant.rendered() == [5]


def test_a_claim_told_taken_is_given_up_without_a_render_and_never_beats(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=False)
    claimant.rig.clear()
    claimant.rig.wait(5 * SECOND_MS, claimant.first, claimant.second)
    assert claimant.rendered() == []
    assert sent(claimant.rig.effects, Heartbeat) == []
    assert claimant.rig.peer.claims.mine == {}


def test_what_nobody_answers_is_rendered_after_two_seconds(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.rig.wait(UNANSWERED_MS - 1)
    assert claimant.rendered() == []
    claimant.rig.wait(1)
    assert claimant.rendered() == [5]


def test_a_late_taken_ends_the_render_and_is_withdrawn_at_every_keeper(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.rig.wait(UNANSWERED_MS)
    claimant.rig.clear()
    claimant.answer(claimant.first, yours=False)
    assert len(of(claimant.rig.effects, KillRender)) == 1
    assert {peer for peer, _ in sent(claimant.rig.effects, Withdraw)} >= {claimant.second.id}


def test_only_the_keeper_that_was_asked_decides(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=True)
    for keeper in (claimant.second, claimant.liar):
        for mine in list(claimant.rig.peer.claims.mine.values()):
            claimant.rig.hear(keeper, Verdict(claim=mine.claim.id, yours=False))
    assert of(claimant.rig.effects, KillRender) == []


def test_a_window_of_somebody_who_keeps_no_job_is_not_believed(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.liar, claimant.window(5))
    assert claimant.claimed() == []


def test_tasks_that_do_not_exist_are_not_claimed(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(20, 21, 99_999))
    assert claimant.claimed() == []


def test_an_attempt_announced_as_the_last_there_is_can_still_be_claimed(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5, attempt=MAX_ATTEMPT))
    (mine,) = claimant.rig.peer.claims.mine.values()
    assert mine.claim.body.attempt == MAX_ATTEMPT


def test_a_claim_is_one_attempt_after_the_highest_heard_of(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5, attempt=3))
    (mine,) = claimant.rig.peer.claims.mine.values()
    assert mine.claim.body.attempt == 4


def test_a_running_claim_beats_each_second_at_the_closest_keeper_with_its_progress(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=True)
    (effect,) = of(claimant.rig.effects, StartRender)
    claimant.rig.tell(RenderProgressed(op=effect.op, progress=17))
    claimant.rig.clear()
    claimant.rig.wait(4 * SECOND_MS, claimant.first, claimant.second)
    beats = sent(claimant.rig.effects, Heartbeat)
    assert [peer for peer, _ in beats] == [claimant.first.id] * 4
    assert {beat.progress for _, message in beats for beat in message.beats} == {17}


def test_a_keeper_that_tells_news_is_not_asked_whether_it_is_there_and_a_quiet_one_is(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=True)
    claimant.rig.clear()
    for _ in range(20):
        claimant.rig.hear(claimant.first, claimant.window())
        claimant.rig.wait(KEEPER_QUIET_MS // 2, claimant.first, claimant.second)
    assert len(sent(claimant.rig.effects, Heartbeat)) >= 7
    asked = [peer for peer, _ in sent(claimant.rig.effects, Ping)].count(claimant.first.id)
    assert asked <= 3, "each of three is probed every three seconds, here by its channel alone"
    claimant.rig.clear()
    claimant.rig.wait(20 * KEEPER_QUIET_MS // 2, claimant.first, claimant.second)
    assert [peer for peer, _ in sent(claimant.rig.effects, Ping)].count(claimant.first.id) >= 7


def test_a_new_closest_keeper_is_told_the_running_claims_in_full(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=True)
    claimant.rig.wait(2 * SECOND_MS, claimant.first, claimant.second)
    claimant.rig.clear()
    claimant.rig.wait(10 * SECOND_MS, claimant.second)
    running = [message for peer, message in sent(claimant.rig.effects, Running) if peer == claimant.second.id]
    assert running
    assert [claim.body.task for claim in running[0].claims] == [5]


def test_a_mute_keepers_window_is_not_waited_for(claimant: Claimant) -> None:
    claimant.rig.clear()
    claimant.rig.wait(FOLLOW_PERIOD_MS + UNANSWERED_MS + 2 * SECOND_MS, claimant.first, claimant.second)
    assert claimant.second.id in [peer for peer, _ in sent(claimant.rig.effects, Follow)]
    claimant.rig.hear(claimant.second, claimant.window(5))
    assert claimant.claimed() == [(claimant.second.id, 5)]


def test_a_closer_keeper_that_stopped_telling_does_not_stand_in_the_next_ones_way(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window())
    claimant.rig.hear(claimant.second, claimant.window(5))
    assert claimant.claimed() == []
    claimant.rig.wait(2 * FOLLOW_PERIOD_MS + UNANSWERED_MS, claimant.first, claimant.second)
    claimant.rig.hear(claimant.second, claimant.window(5))
    assert claimant.claimed() == [(claimant.second.id, 5)]


def test_nothing_is_claimed_without_the_whole_scene(cast: Cast) -> None:
    claimant = Claimant(cast)
    claimant.rig.peer.scenes._whole.clear()
    claimant.rig.hear(claimant.first, claimant.window(5))
    assert claimant.claimed() == []


def test_the_next_task_is_claimed_ahead_and_starts_when_the_frame_is_written(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(*range(20)))
    claimant.answer(claimant.first, yours=True)
    assert len(claimant.claimed()) == 2
    assert len(claimant.rendered()) == 1
    (effect,) = of(claimant.rig.effects, StartRender)
    claimant.rig.tell(FrameWritten(op=effect.op, render_ms=1_000))
    assert len(claimant.rendered()) == 2
    assert len(claimant.claimed()) == 3


def test_a_task_that_failed_here_is_left_to_others_for_a_while(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=True)
    (effect,) = of(claimant.rig.effects, StartRender)
    claimant.rig.tell(RenderFailed(op=effect.op, kind=FailureKind.CRASHED, reason="", log=None))
    claimant.rig.clear()
    claimant.rig.hear(claimant.first, claimant.window(5, attempt=1))
    assert claimant.claimed() == []
    claimant.rig.wait(FAILED_HERE_MS, claimant.first, claimant.second)
    claimant.rig.hear(claimant.first, claimant.window(5, attempt=1))
    assert claimant.claimed() == [(claimant.first.id, 5)]


def test_a_host_that_is_unfit_leaves_the_whole_job(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.answer(claimant.first, yours=True)
    (effect,) = of(claimant.rig.effects, StartRender)
    claimant.rig.tell(RenderFailed(op=effect.op, kind=FailureKind.DISK_FULL, reason="", log=None))
    claimant.rig.clear()
    claimant.rig.hear(claimant.first, claimant.window(6, 7))
    assert claimant.claimed() == []
    claimant.rig.wait(UNFIT_MS, claimant.first, claimant.second)
    claimant.rig.hear(claimant.first, claimant.window(6, 7))
    assert claimant.claimed() != []


def test_nothing_of_a_cancelled_job_is_claimed_or_rendered_on_a_verdict_that_comes_late(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claims = list(claimant.rig.peer.claims.mine)
    author = next(actor for actor in (claimant.first, claimant.second) if actor.name == "ann")
    claimant.rig.take(claimant.head, claimant.cast.entry(author, claimant.head, Cancel()), by=author)
    for claim in claims:
        claimant.rig.hear(claimant.first, Verdict(claim=claim, yours=True))
    claimant.rig.hear(claimant.first, claimant.window(6))
    claimant.rig.wait(10 * SECOND_MS, claimant.first, claimant.second)
    assert claimant.rendered() == []


def test_what_waits_for_a_verdict_when_the_host_slept_is_withdrawn(claimant: Claimant) -> None:
    claimant.rig.hear(claimant.first, claimant.window(5))
    claimant.rig.jump(3_600 * SECOND_MS)
    claimant.rig.clear()
    claimant.rig.wait(0)
    assert [peer for peer, _ in sent(claimant.rig.effects, Withdraw)] == [claimant.first.id]
    assert claimant.rig.peer.claims.mine == {}
    assert claimant.rendered() == []


def test_a_window_older_than_a_claim_has_no_frame_assembled_twice(cast: Cast) -> None:
    """Its keeper told it before it heard of the claim; the second claim would take the place of the first there."""
    claimant = Claimant(cast, frames=1, cut=cut_into(4, 2))
    for _ in range(2):
        claimant.rig.hear(claimant.first, claimant.window(0))
    assert claimant.claimed() == [(claimant.first.id, 0)]
    claimant.answer(claimant.first, yours=True)
    claimant.rig.hear(claimant.first, claimant.window(0))
    claimant.rig.wait(UNANSWERED_MS, claimant.first)
    assert [effect.task for effect in of(claimant.rig.effects, StartAssembly)] == [0]
