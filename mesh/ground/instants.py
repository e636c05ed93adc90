"""Two kinds of time that must never be mixed: what this host's clock counted, and what a calendar says.

An `Instant` orders events of one process and bounds waits. A `WallTime` is signed into statements that others read.
Both are integer milliseconds, and differences of either are plain `int` with `_ms` in their name.
"""

from dataclasses import dataclass
from typing import NewType

Instant = NewType("Instant", int)
"""Milliseconds of a monotonic clock that goes on while the machine sleeps; meaningless on any other host."""

WallTime = NewType("WallTime", int)
"""Milliseconds since 1970-01-01 00:00 UTC, as this host believes."""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Both clocks, read once at the start of a turn."""

    instant: Instant
    wall: WallTime


def later(instant: Instant, by_ms: int) -> Instant:
    """Return the instant `by_ms` milliseconds after `instant`."""
    return Instant(instant + by_ms)


def wall_later(wall: WallTime, by_ms: int) -> WallTime:
    """Return the wall time `by_ms` milliseconds after `wall`."""
    return WallTime(wall + by_ms)
