"""What fails is made smaller, fails by the same rule as before, and is kept so that it fails again."""

import dataclasses
from pathlib import Path

import pytest

from sim.__main__ import main
from sim.cheats import OffersNothing
from sim.minimise import _STEPS, Minimiser, Smallest, shrink
from sim.named import named
from sim.randomiser import draw
from sim.run import Order, run
from sim.scenario import Scenario, Shape, from_toml
from tests.support.stumbling import Stumbles

SEED = 5
PATIENCE_S = 600
"""The search ends by itself long before."""


def much() -> Scenario:
    """Return a scenario with something of everything."""
    drawn = draw(SEED, 12, 1)
    shapes = (Shape(frames=8), Shape(frames=5, still_frames=2))
    return dataclasses.replace(drawn, jobs=3, shapes=shapes, kills=6, powers=4, loss_ppm=1_000, replays=5)


def test_a_mutant_is_caught_in_a_much_smaller_world_that_fails_again() -> None:
    steps: list[Smallest] = []
    before = much()
    found = Minimiser(within_s=PATIENCE_S, make_core=OffersNothing, say=steps.append).minimise(before, SEED)
    assert found is not None
    assert found.ran.rule == "S7"
    assert {step.ran.rule for step in steps} == {"S7"}
    after = found.scenario
    assert (after.peers, after.jobs, after.of_job(0).frames) == (2, 1, 1)
    assert (after.script, after.kills, after.powers, after.loss_ppm, after.replays) == ((), 0, 0, 0, 0)
    assert found.ran.events * 20 < run(before, SEED, make_core=OffersNothing).events
    text = found.toml("python -m sim run --seed 5")
    assert text.startswith("# Breaks S7.\n# FAILED at ")
    assert "# Found by: python -m sim run --seed 5\n" in text
    assert found.ran.story[-1].strip() in text
    kept, seed = from_toml(text)
    again = run(kept, seed, make_core=OffersNothing)
    assert (again.rule, again.trace) == ("S7", found.ran.trace)


@pytest.mark.parametrize("name", ["islands-third", "islands-beacon", "hoarder", "small-disks"])
def test_no_step_proposes_what_nobody_could_finish(name: str) -> None:
    proposals = [proposal for step in _STEPS for proposal in step(named(name))]
    assert len(proposals) > 20
    for proposal in proposals:
        assert not proposal.islanders or proposal.beacons or proposal.bridges
        assert all(peer < proposal.peers for peer in (*proposal.hoarders, *proposal.islanders, *proposal.bridges))


def test_what_breaks_no_rule_is_not_shrunk() -> None:
    assert Minimiser(within_s=PATIENCE_S).minimise(named("two-peers"), 1) is None


def test_an_error_of_the_core_goes_by_where_it_was_raised() -> None:
    found = Minimiser(within_s=PATIENCE_S, make_core=Stumbles).minimise(named("storm"), 1)
    assert found is not None
    assert found.ran.rule == "AssertionError in stumbling.handle"
    assert found.scenario.peers == 1


def test_no_more_is_tried_when_the_time_is_over() -> None:
    found = Minimiser(within_s=0, make_core=Stumbles).minimise(named("storm"), 1)
    assert found is not None
    assert found.scenario == named("storm")
    assert found.runs == 1


def test_the_command_says_that_nothing_is_broken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "kept.toml"
    assert main(["shrink", "--seed", "1", "--scenario", "two-peers", "--out", str(file)]) == 1
    assert capsys.readouterr().out == "seed 1\nno rule is broken\n"
    assert not file.exists()


def test_the_command_keeps_what_is_left_and_says_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "kept.toml"
    assert shrink(Order(scenario="storm"), 1, within_s=PATIENCE_S, out=file, make_core=Stumbles) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"repeat: python -m sim again {file}"
    kept, seed = from_toml(file.read_text())
    assert kept.peers == 1
    assert run(kept, seed, make_core=Stumbles).rule == "AssertionError in stumbling.handle"
    assert "# Found by: python -m sim run --seed 1 --scenario storm" in file.read_text()


def test_a_scenario_with_a_cloned_disk_is_shrunk_too() -> None:
    found = Minimiser(within_s=PATIENCE_S, make_core=Stumbles).minimise(named("cloned-disk"), 1)
    assert found is not None
    assert found.scenario.script == ()
