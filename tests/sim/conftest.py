"""What all tests of the simulator share: nobody looks for garbage while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sim.run import uncollected
from tests.support.ended import ran

if TYPE_CHECKING:
    from collections.abc import Generator

    from sim.world import World


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Look for garbage between tests alone, fixtures included: within them it took a fifth of their time."""
    with uncollected():
        return (yield)


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> World:
    """A named scenario that ran to its end; pytest has all tests that look at it follow each other, in any file."""
    name, seed = request.param
    return ran(name, seed)
