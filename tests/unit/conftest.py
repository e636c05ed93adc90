"""Unit tests stay fast: the whole folder is run after every change of a line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# Processor time, not the clock's: it says the same on a machine that renders meanwhile.
CPU_SECONDS_MAX = 6.0


@pytest.fixture(autouse=True)
def _is_fast(request: pytest.FixtureRequest) -> Generator[None]:
    started_s = time.process_time()
    yield
    spent_s = time.process_time() - started_s
    if spent_s > CPU_SECONDS_MAX and request.node.get_closest_marker("slow") is None:
        pytest.fail(f"took {spent_s:.1f} s of processor time: make it smaller, move it, or mark it slow and say why")
