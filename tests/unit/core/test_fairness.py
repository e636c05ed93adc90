"""Whose turn it is: time by weight, late jobs, jobs that were away, several slots at once."""

from collections import Counter

import pytest

from mesh.core.effects import StartRender
from mesh.core.events import FrameWritten, RenderFailed
from mesh.core.fairness import Fairness
from mesh.core.notes import SlotFreed
from mesh.ground.ids import JobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.share_limits import FAIR_LAG_MS, WEIGHT_DEFAULT
from mesh.wire.messages import ClaimSent, Head, OpenTask, Verdict, Window
from mesh.wire.records import FailureKind
from tests.support.cast import Cast
from tests.support.rig import Rig, of, sent


class Host:
    """A host that has the scenes of several jobs, all kept by one other peer."""

    def __init__(self, cast: Cast, jobs: int = 2, *, slots: int = 1) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=slots)
        self.ann = cast.actor("ann")
        self.rig.meet(self.ann)
        self.heads: list[Head] = []
        self.jobs = [self.learn(number) for number in range(jobs)]
        self.rig.wait(SECOND_MS, self.ann)
        self.rig.clear()

    def learn(self, number: int) -> JobId:
        head = self.cast.head(self.ann, frames=1_000 + number)
        self.heads.append(head)
        job = self.rig.learn(head, self.ann, by=self.ann)
        self.rig.peer.scenes._whole[head.job.body.scene] = None
        return job

    @property
    def fairness(self) -> Fairness:
        return self.rig.peer.claims.fairness

    def tell(self, job: JobId, tasks: int = 40, *, weight: int = WEIGHT_DEFAULT, slots: int = 1, ms: int = 0) -> None:
        """Let the keeper tell which tasks are open."""
        first = 1 + max((claim.task for claim in self.rig.peer.claims._hand.of(job)), default=-1)
        self.rig.hear(
            self.ann,
            Window(
                job=job,
                open=tuple(OpenTask(task=first + task, attempt=0) for task in range(tasks)),
                slots=slots,
                unclaimed=tasks,
                running=0,
                counting=0,
                stopped=0,
                safe=0,
                median_ms=ms,
                ended=False,
                weight=weight,
            ),
        )

    def claimed(self) -> Counter[int]:
        """Say yes to all claims; return how many there were of each job, by its place."""
        claims = [claim for _, said in sent(self.rig.effects, ClaimSent) for claim in said.claims]
        self.rig.clear()
        for claim in claims:
            self.rig.hear(self.ann, Verdict(claim=claim.id, yours=True))
        return Counter(self.jobs.index(claim.body.job) for claim in claims)

    def give(self, place: int, for_ms: int) -> None:
        self.fairness.on_slot_freed(SlotFreed(job=self.jobs[place], taken_ms=for_ms))

    def turn(self, *places: int) -> int:
        """Return whose turn it is of jobs that could all be rendered."""
        jobs = [self.jobs[place] for place in places]
        self.fairness.enter(jobs, self.rig.now.instant)
        found = self.fairness.fairest(jobs, self.rig.now.instant)
        assert found is not None
        return self.jobs.index(found)


@pytest.fixture
def host(cast: Cast) -> Host:
    return Host(cast, 3)


def test_the_job_that_was_given_the_least_goes_first(host: Host) -> None:
    host.turn(0, 1, 2)
    for place, ms in enumerate((5_000, 3_000, 4_000)):
        host.give(place, ms)
    assert host.turn(0, 1, 2) == 1
    host.give(1, 1_500)
    assert host.turn(0, 1, 2) == 2


def test_of_equals_another_one_goes_first_at_each_peer(cast: Cast) -> None:
    heads = [cast.head(cast.actor("ann"), frames=frames) for frames in (10, 11)]
    jobs = [JobId(head.job.id) for head in heads]
    first = Counter[JobId]()
    for number in range(20):
        rig = Rig(cast, f"peer {number}")
        for head in heads:
            rig.peer.ledger.open(head)
        rig.peer.claims.fairness.enter(jobs, rig.now.instant)
        found = rig.peer.claims.fairness.fairest(jobs, rig.now.instant)
        assert found is not None
        first[found] += 1
    assert min(first[job] for job in jobs) >= 4, "all would begin with the same job"


def test_time_is_counted_by_weight_as_the_keeper_tells_it(host: Host) -> None:
    host.tell(host.jobs[0], 0, weight=30)
    host.turn(0, 1)
    host.give(0, 29_000)
    host.give(1, 10_000)
    assert host.turn(0, 1) == 0
    host.give(0, 2_000)
    assert host.turn(0, 1) == 1


def test_a_late_job_begins_beside_the_others(host: Host) -> None:
    host.turn(0, 1)
    host.give(0, 600_000)
    host.give(1, 600_000)
    host.turn(0, 1, 2)
    host.give(2, 1)
    assert host.turn(0, 1, 2) != 2, "it does not make up for what was given before it came"


def test_who_had_nothing_open_for_long_is_behind_by_little(host: Host) -> None:
    host.turn(0, 1)
    host.give(0, 600_000)
    host.turn(0)
    assert host.turn(0, 1) == 1
    host.give(1, FAIR_LAG_MS - 1)
    assert host.turn(0, 1) == 1
    host.give(1, 2)
    assert host.turn(0, 1) == 0


def test_a_job_that_can_be_rendered_all_the_time_loses_nothing_by_that(host: Host) -> None:
    host.turn(0, 1)
    host.give(0, 600_000)
    host.turn(0, 1)
    host.give(1, 300_000)
    assert host.turn(0, 1) == 1


def test_slots_that_are_free_at_once_are_shared_out(cast: Cast) -> None:
    host = Host(cast, 2, slots=4)
    for following in host.rig.peer.claims.following.values():
        following.unfit_until = host.rig.now.instant + 1
    for job in host.jobs:
        host.tell(job, slots=4)
    host.rig.clear()
    host.rig.wait(2 * SECOND_MS, host.ann)
    assert host.claimed() == {0: 4, 1: 4}


def test_no_other_job_is_claimed_ahead_in_the_place_of_whose_turn_it_is(host: Host) -> None:
    """The one with few tasks left would have none rendered as long as the other one lasts."""
    host.turn(0, 1)
    host.tell(host.jobs[0])
    assert host.claimed() == {0: 2}
    host.give(0, 60_000)
    host.tell(host.jobs[1], 3, slots=20)
    assert not host.claimed(), "it is its turn, but somebody idle could take its few tasks at once"
    for _ in range(2):
        (running,) = host.rig.peer.slots.in_hand()
        assert not host.claimed()
        host.rig.tell(FrameWritten(op=running.op, render_ms=1))
    assert host.claimed() == {1: 1}


def test_what_failed_has_cost_time_too(host: Host) -> None:
    host.turn(0, 1)
    host.tell(host.jobs[0])
    host.claimed()
    (render,) = of(host.rig.effects, StartRender)
    host.rig.wait(20 * SECOND_MS, host.ann)
    before_us = host.fairness._given[host.jobs[0]].time_us
    host.rig.tell(RenderFailed(op=render.op, kind=FailureKind.CRASHED, reason="", log=None))
    assert host.fairness._given[host.jobs[0]].time_us - before_us == 20 * SECOND_MS * 1_000


def test_a_picture_that_fails_its_check_is_counted_once(host: Host) -> None:
    host.tell(host.jobs[0])
    host.claimed()
    (render,) = of(host.rig.effects, StartRender)
    host.rig.wait(5 * SECOND_MS, host.ann)
    host.rig.tell(FrameWritten(op=render.op, render_ms=1))
    given = host.fairness._given[host.jobs[0]].taken_ms
    assert given == 5 * SECOND_MS
    host.rig.tell(RenderFailed(op=render.op, kind=FailureKind.WRONG_PICTURE, reason="", log=None))
    assert host.fairness._given[host.jobs[0]].taken_ms == given


def test_an_hour_of_sleep_was_given_to_nobody(host: Host) -> None:
    host.tell(host.jobs[0])
    host.claimed()
    (render,) = of(host.rig.effects, StartRender)
    host.rig.jump(3_600 * SECOND_MS)
    host.rig.wait(SECOND_MS, host.ann)
    host.rig.tell(FrameWritten(op=render.op, render_ms=1))
    assert host.fairness._given[host.jobs[0]].taken_ms <= 2 * SECOND_MS


def test_a_grant_is_its_jobs_turn_unless_another_is_behind(host: Host) -> None:
    now = host.rig.now.instant
    assert host.fairness.is_turn(host.jobs[0], now), "nobody else could use the slot"
    host.turn(0, 1)
    assert host.fairness.is_turn(host.jobs[0], now)
    host.give(0, 5_000)
    assert not host.fairness.is_turn(host.jobs[0], now)
    assert host.fairness.is_turn(host.jobs[1], now)
