"""How much of the frames that are cut is rendered, in pixels, and what a pixel took: for people alone.

Theory: cells differ in size, those at the edges most, so that a count of cells says little of a picture. What buckets
took so far, of however many peers, tells best how long the rest takes.

Invariants: pure arithmetic on what it was told; nothing that others must agree on rests on it.
"""

from collections import Counter

from mesh.core.parts import Parts
from mesh.wire.records import Result


class Growth:
    """Count the pixels of one job."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._counting: Counter[int] = Counter()
        """By frame, the pixels of its cells that count."""
        self._rendered = 0
        self._took_ms = 0

    @property
    def frame_pixels(self) -> int:
        """How many pixels each frame has, 0 where none is cut."""
        return self._parts.grid.region.area if self._parts.cut is not None else 0

    @property
    def pixel_ns(self) -> int:
        """What a pixel takes one slot, in nanoseconds, on average of all buckets so far; 0: none yet."""
        return self._took_ms * 1_000_000 // self._rendered if self._rendered else 0

    def note(self, result: Result) -> None:
        """Learn what a bucket took, whether it counts or not."""
        if result.block is not None and self._parts.of(result.task, result.block):
            self._rendered += self._parts.grid.pixels(result.block).area
            self._took_ms += result.render_ms

    def count(self, task: int, change: int) -> None:
        """Note that a cell counts from now on (1), or does no more (-1)."""
        self._counting[self._parts.frame_of(task)] += change * self._parts.pixels_of(task)

    def begun(self) -> dict[int, int]:
        """Return the pixels that count of each frame of which any cell does or did."""
        return dict(self._counting)
