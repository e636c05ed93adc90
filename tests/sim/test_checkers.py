"""Every checker catches the mutant that breaks its rule: a checker that nothing trips proves nothing."""

import pytest

from sim.mutants import MUTANTS, Caught
from sim.violation import Violation
from sim.world import World


@pytest.mark.parametrize("caught", MUTANTS, ids=lambda caught: f"{caught.rule}-{caught.mutant.__name__}")
def test_a_mutant_is_caught_by_the_rule_that_it_breaks(caught: Caught) -> None:
    world = World(caught.scenario, 1, make_core=caught.mutant)
    with pytest.raises(Violation) as raised:
        world.run()
    assert raised.value.rule == caught.rule, raised.value
