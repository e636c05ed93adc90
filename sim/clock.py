"""A host's two clocks, as functions of the world's time.

The monotonic clock starts anywhere, drifts, and goes on while the host sleeps; it never steps. The wall clock starts
off by some amount and may be stepped by a person or a time server. The core sees only these two, never the world's
time.
"""

from mesh.ground.instants import Instant, Now, WallTime

EPOCH_MS = 1_790_000_000_000
"""The world's time 0 on a right calendar: September 2026."""

_MILLION = 1_000_000


class HostClock:
    """The clocks of one host; `drift_ppm` is the monotonic clock's error in millionths."""

    __slots__ = ("_base_ms", "_drift_ppm", "_first_offset_ms", "_wall_offset_ms")

    def __init__(self, *, base_ms: int, drift_ppm: int, wall_offset_ms: int) -> None:
        self._base_ms = base_ms
        self._drift_ppm = drift_ppm
        self._wall_offset_ms = self._first_offset_ms = wall_offset_ms

    def read(self, world_ms: int) -> Now:
        """Read both clocks at `world_ms`."""
        instant = self._base_ms + world_ms + world_ms * self._drift_ppm // _MILLION
        return Now(instant=Instant(instant), wall=WallTime(EPOCH_MS + world_ms + self._wall_offset_ms))

    def instant(self, world_ms: int) -> Instant:
        """Read the monotonic clock at `world_ms`."""
        return Instant(self._base_ms + world_ms + world_ms * self._drift_ppm // _MILLION)

    def when(self, instant: Instant) -> int:
        """Return the first millisecond of the world at which the monotonic clock reads `instant` or more."""
        passed_ms, drift_ppm = instant - self._base_ms, self._drift_ppm
        if not drift_ppm:
            return passed_ms
        world_ms = passed_ms * _MILLION // (_MILLION + drift_ppm)
        while world_ms + world_ms * drift_ppm // _MILLION >= passed_ms:
            world_ms -= 1
        while world_ms + world_ms * drift_ppm // _MILLION < passed_ms:
            world_ms += 1
        return world_ms

    def step(self, by_ms: int) -> None:
        """Set the wall clock forward, or back, by `by_ms`."""
        self._wall_offset_ms += by_ms

    def correct(self) -> None:
        """Take all steps back, as a time server does."""
        self._wall_offset_ms = self._first_offset_ms
