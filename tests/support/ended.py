"""Named scenarios that ran to their end: each once, for all tests that look at nothing but how it ended."""

from collections.abc import Iterable

import pytest

from sim.named import named
from sim.world import World

SEEDS = (1, 2)
"""What most scenarios are run with."""


def ran(name: str, seed: int) -> World:
    """Run a scenario to its end; any broken rule is raised."""
    world = World(named(name), seed)
    world.run()
    return world


def ended(*names: str, seeds: Iterable[int] = SEEDS) -> pytest.MarkDecorator:
    """Give a test the `world` (tests/sim/conftest.py) of each of these scenarios and seeds, which it may not change."""
    return pytest.mark.parametrize(
        "world", [pytest.param((name, seed), id=f"{name}-{seed}") for name in names for seed in seeds], indirect=True
    )
