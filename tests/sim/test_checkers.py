"""Every rule has a checker, which catches the mutant that breaks it: a checker that nothing trips proves nothing."""

import re
from collections.abc import Iterator

import pytest

from sim.mutants import MUTANTS, Caught
from sim.violation import Violation
from sim.world import World
from tools.sources import ROOT

pytestmark = pytest.mark.interpreted

RULES = (*(f"S{number}" for number in range(1, 15)), *(f"L{number}" for number in range(1, 12)))
"""What must hold, and what must happen at last."""


def judged() -> Iterator[str]:
    """Yield each rule that the sources of some checker name."""
    for path in sorted((ROOT / "sim").glob("*.py")):
        if path.stem != "mutants" and not path.stem.endswith("cheats"):
            yield from re.findall(r'"([SL]\d+)"', path.read_text("utf-8"))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_checker_and_a_mutant(rule: str) -> None:
    assert rule in set(judged())
    assert rule in {each.rule for each in MUTANTS}


def test_no_mutant_is_caught_by_a_rule_that_there_is_not() -> None:
    own = {"pause", "slot", "assembly", "waste", "grant", "news", "twin", "wire"}
    assert {each.rule for each in MUTANTS} <= {*RULES, *own}


@pytest.mark.parametrize("caught", MUTANTS, ids=lambda caught: f"{caught.rule}-{caught.mutant.__name__}")
def test_a_mutant_is_caught_by_the_rule_that_it_breaks(caught: Caught) -> None:
    world = World(caught.scenario, 1, make_core=caught.mutant)
    with pytest.raises(Violation) as raised:
        world.run()
    assert raised.value.rule == caught.rule, raised.value
