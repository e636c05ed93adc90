"""Several jobs at once: there are ten minutes to judge, and within them each job gets its share (L10)."""

import dataclasses

import pytest

from mesh.ground.ids import JobId
from sim.fair import WINDOW_MS, Fair
from sim.named import named
from sim.scenario import Act, Scenario
from sim.sharing import SHARING
from sim.violation import Violation
from sim.world import World


def ran(scenario: Scenario, seed: int = 1) -> World:
    """Run a world until its safety phase ends; by then ten minutes were judged."""
    world = World(scenario, seed)
    world.begin()
    world.at(scenario.safety_ms + 1, lambda: setattr(world, "finished", True))
    world.go_on()
    return world


def judged(fair: Fair) -> list[tuple[int, ...]]:
    """Return the weights of the jobs that were rivals for at least ten minutes."""
    stretches = fair.stretches()
    return [
        tuple(weight for _, weight in rivals)
        for since_ms, until_ms, rivals in stretches
        if until_ms - since_ms >= WINDOW_MS
    ]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("scenario", SHARING, ids=lambda scenario: scenario.name)
def test_ten_minutes_are_judged(scenario: Scenario, seed: int) -> None:
    fair = ran(scenario, seed).fair
    (weights,) = judged(fair)
    assert fair.judge() >= len(weights)
    assert weights == tuple(shape.weight for shape in scenario.shapes)


@pytest.mark.parametrize(("part_ms", "is_judged"), [(100_000, True), (1_000, False)])
def test_a_share_of_which_one_frame_is_too_much_is_not_judged(part_ms: int, is_judged: bool) -> None:
    """After a long frame of a third job a slot gave two others six parts and four: found by seed 200 of 4 peers."""
    world = World(named("fair"), 1)
    world.people.plan_all()
    fair, jobs = world.fair, (JobId(b"1" * 32), JobId(b"2" * 32))
    for plan, job in zip(world.people.plans, jobs, strict=False):
        plan.job = job
    fair._seen = [(time_ms, tuple((job, 10) for job in jobs)) for time_ms in range(0, WINDOW_MS + 60_000, 3_000)]
    fair._times = [(0, parts * part_ms, job) for job, parts in zip(jobs, (6, 4), strict=True)]
    if is_judged:
        with pytest.raises(Violation, match="L10"):
            fair.judge()
    else:
        assert fair.judge() == 0


def test_a_change_of_weight_is_followed_by_every_host() -> None:
    scenario = dataclasses.replace(
        named("fair-weights"), script=(Act(at_ms=60_000, what="weigh", job=0, weight=90),), safety_ms=100_000
    )
    world = ran(scenario)
    job = world.people.plans[0].job
    assert isinstance(job, bytes)
    assert [host.core.ledger.jobs[JobId(job)].weight for host in world.hosts] == [90] * len(world.hosts)
    assert world.people.plans[0].weight == 90
