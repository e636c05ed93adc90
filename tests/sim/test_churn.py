"""A job while peers die and come back: how many do, what is asked of it, and how soon all know who lives."""

import dataclasses

import pytest

from mesh.ground.instants import HOUR_MS, MINUTE_MS
from sim.crowd_report import bounds_for
from sim.hours import BOUNDS, FAIR_HOUR, HOURS, TASKS_EACH, WASTE_PERCENT, churn, shared
from sim.named import named
from sim.randomiser import draw
from sim.scenario import Act, Scenario
from sim.violation import Violation
from sim.world import World

SMALL = dataclasses.replace(churn(30, peers=8, frame_ms=3_000), churn_percent=1_500, down_ms=10_000)
"""Of eight peers as many die for each frame that a slot renders as of a hundred in an hour."""


@pytest.mark.parametrize("hour", HOURS, ids=lambda hour: hour.name)
def test_an_hour_is_one_of_a_hundred_peers_with_tasks_enough(hour: Scenario) -> None:
    scenario = named(hour.name)
    assert scenario.peers == scenario.renderers == 100
    assert scenario.safety_ms == HOUR_MS
    assert scenario.frames >= 20 * scenario.renderers * scenario.slots
    assert scenario.makespan_percent == BOUNDS[scenario.churn_percent]


def test_a_shared_hour_is_as_much_work_and_its_jobs_end_together() -> None:
    alone, shapes = named("churn-hour"), named("fair-hour").shapes
    works_ms = [shape.frames * shape.frame_ms for shape in shapes]
    assert works_ms == pytest.approx([alone.frames * alone.frame_ms / 2] * 2, rel=0.01)
    assert (FAIR_HOUR.peers, FAIR_HOUR.safety_ms, len({shape.weight for shape in shapes})) == (100, HOUR_MS, 1)


def test_while_peers_die_each_of_two_jobs_gets_its_share() -> None:
    """Slow: twenty minutes of ten slots, of which two at least are lost for a minute."""
    small = dataclasses.replace(churn(100, peers=10, frame_ms=40_000), down_ms=MINUTE_MS)
    world = World(shared(small, 25_000, 15_000, name="small"), 1)
    world.run()
    assert world.faults.failures >= 2
    assert world.fair.judge() >= 2, "of each job once"


def test_both_rates_that_are_promised_are_asked_for() -> None:
    assert {hour.churn_percent: hour.makespan_percent for hour in HOURS} == {30: 125, 100: 200}
    assert WASTE_PERCENT == {30: 5}


@pytest.mark.parametrize("seed", [1, 2])
def test_while_peers_die_the_work_takes_little_more_than_what_lived_could_do(seed: int) -> None:
    world = World(SMALL, seed)
    world.run()
    took_ms, ideal_ms = world.economy.makespan()
    assert 0 < took_ms * 100 <= ideal_ms * BOUNDS[30]
    assert world.faults.failures >= SMALL.peers * SMALL.churn_percent * SMALL.safety_ms // (100 * HOUR_MS)


def test_so_many_die_an_hour_as_was_asked() -> None:
    world = World(dataclasses.replace(SMALL, churn_percent=7_000, frames=8, down_ms=500), 3)
    world.run()
    ended = [text for _, _, text in world.trace.happenings if text in ("is killed", "loses power")]
    asked = 8 * 7_000 * SMALL.safety_ms // (100 * HOUR_MS)
    assert asked <= len(ended) + 3
    assert len(ended) <= asked + 1
    assert set(ended) == {"is killed", "loses power"}


def test_what_was_not_delivered_was_not_done_in_time() -> None:
    world = World(dataclasses.replace(SMALL, frames=8), 1)
    world.run()
    world.economy.exported_ms.clear()
    with pytest.raises(Violation, match="L1"):
        world.economy.end()


def test_a_job_has_frames_enough_for_its_time() -> None:
    scenario = churn(0, peers=20, frame_ms=20_000)
    assert scenario.frames == TASKS_EACH * 20
    assert scenario.makespan_percent == 0
    assert MINUTE_MS < scenario.safety_ms < HOUR_MS


# Views.


def test_views_are_right_at_once_where_nobody_was_lost_and_soon_where_many_were() -> None:
    calm = World(named("calm"), 1)
    calm.run()
    assert calm.views.converged_ms == 0
    split = World(dataclasses.replace(named("split"), script=(Act(at_ms=15_000, what="cut", peers=(0, 1, 5)),)), 1)
    split.run()
    assert split.views.converged_ms is not None
    assert 0 < split.views.converged_ms <= 10_000


def test_a_run_goes_on_until_views_are_right() -> None:
    cut = Act(at_ms=15_000, what="cut", peers=(0, 1))
    world = World(dataclasses.replace(named("calm"), steady=False, frames=8, least_ms=0, script=(cut,)), 1)
    world.run()
    assert world.views.converged_ms is not None
    assert world.now_ms >= world.scenario.safety_ms + world.views.converged_ms


@pytest.mark.parametrize(("peers", "within_s"), [(100, 60), (1_000, 120), (10_000, 300)])
def test_larger_meshes_have_longer(peers: int, within_s: int) -> None:
    assert bounds_for(peers).heal_ms == within_s * 1_000


# Splits.


def test_some_seeds_draw_a_split_in_which_both_sides_are_judged() -> None:
    drawn = [draw(seed, 8, 2) for seed in range(60)]
    long = [(seed, each) for seed, each in enumerate(drawn) if [act.what for act in each.script] == ["cut", "mend"]]
    assert len(long) > 3
    seed, scenario = min(long, key=lambda one: one[1].safety_ms)
    world = World(scenario, seed)
    world.run()
    assert world.economy.sides_judged == 2
