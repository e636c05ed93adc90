"""The tasks of a job by number: first its frames in their order, then the cells of each frame that is cut.

Theory: what counts, counts for a task, and whatever asks about one asks by a number. Records say more plainly what they
are about: a frame, or a block of its cells. This is where the one becomes the other.

Invariants: every task has one number, every number from 0 to before `tasks` is a task's. Must know nothing of records.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Self

from mesh.wire.grids import Block, Cut, Grid
from mesh.wire.records import Job

_GRIDS_KEPT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How a job's tasks are numbered."""

    frames: int
    cells: int
    """Of each frame that is cut."""
    first_cut: int
    """The first frame that is cut, all later ones are: `frames` where none is."""
    cut: Cut | None
    _grid: Grid | None = field(init=False, repr=False, compare=False)
    """Asked for at every turn."""
    _pixels: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Of each cell of a frame: asked for at each cell that is rendered."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_grid", self.cut.grid if self.cut is not None else None)
        object.__setattr__(self, "_pixels", _pixels_of(self.cut.grid) if self.cut is not None else ())

    @classmethod
    def of_job(cls, job: Job) -> Self:
        """Return the numbers of a job's tasks."""
        frames = len(job.frames)
        if job.cut is None:
            return cls(frames=frames, cells=0, first_cut=frames, cut=None)
        return cls(frames=frames, cells=len(job.cut.grid), first_cut=frames - job.cut.frames, cut=job.cut)

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return self.frames + (self.frames - self.first_cut) * self.cells

    @property
    def grid(self) -> Grid:
        """The grid of a cut frame; there must be one."""
        assert self._grid is not None, "no frame of this job is cut"
        return self._grid

    def is_cut(self, frame: int) -> bool:
        """Whether the frame with this number has cells."""
        return self.first_cut <= frame < self.frames

    def may_be_whole(self, frame: int) -> bool:
        """Whether a frame may be rendered at once, by one peer."""
        return not self.is_cut(frame) or (self.cut is not None and self.cut.whole)

    def of(self, frame: int, block: Block | None) -> tuple[int, ...]:
        """Return the tasks that are meant: the frame's own, or those of a block of its cells; none: there are not."""
        if block is None:
            return (frame,) if 0 <= frame < self.frames else ()
        if not self.is_cut(frame) or not self.grid.aligned(block):
            return ()
        first = self.cells_of(frame).start
        return tuple(first + cell for cell in self.grid.cells(block))

    def cells_of(self, frame: int) -> range:
        """Return the tasks of all cells of a frame, none where it is not cut."""
        if not self.is_cut(frame):
            return range(0)
        first = self.frames + (frame - self.first_cut) * self.cells
        return range(first, first + self.cells)

    def frame_of(self, task: int) -> int:
        """Return the number of the frame that a task belongs to, its own where it is a frame's."""
        return task if task < self.frames else self.first_cut + (task - self.frames) // self.cells

    def pixels_of(self, task: int) -> int:
        """Return how many pixels a cell has."""
        return self._pixels[(task - self.frames) % self.cells]


@lru_cache(maxsize=_GRIDS_KEPT)
def _pixels_of(grid: Grid) -> tuple[int, ...]:
    heights = [below - above for above, below in pairwise(grid.tops)]
    widths = [right - left for left, right in pairwise(grid.lefts)]
    return tuple(width * height for height in heights for width in widths)
