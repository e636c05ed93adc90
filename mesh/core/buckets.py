"""Which buckets can be had: the open cells of a job's cut frames, and which block of them is taken next.

Theory: cells are told as open by whoever arbitrates them; what is taken here is no longer open here until it is told
anew. Frames come in the job's order. Peers who choose by themselves at the same time would all take the first bucket,
so each takes of the first few the one that suits it best by a rank of its own.

Invariants: a bucket is made of open cells alone. Pure: knows no clock, and not who renders what.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice

from mesh.core.parts import Parts
from mesh.core.placement import rank
from mesh.core.tiling import next_blocks
from mesh.ground.ids import JobId, PeerId
from mesh.wire.grids import Block, Order
from mesh.wire.stills import OpenCells


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A block of one frame's cells, and the highest attempt that was heard of for any of them."""

    frame: int
    block: Block
    attempt: int


@dataclass(slots=True)
class Buckets:
    """The open cells of a job's frames, by frame in the job's order."""

    parts: Parts
    cells: dict[int, int] = field(default_factory=dict)
    """One bit for each open cell of a frame; no frame has none."""
    attempts: dict[int, int] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """How many pixels all open cells have, taken for equal."""
        grid = self.parts.grid
        return sum(bits.bit_count() for bits in self.cells.values()) * grid.region.area // len(grid)

    def size(self, pixels: float) -> float:
        """Return how many pixels a bucket has that should have at most so many: one cell at least, or just one."""
        cut = self.parts.cut
        assert cut is not None
        cell = cut.grid.region.area / len(cut.grid)
        return cell if cut.fixed else max(pixels, cell)

    def tell(self, told: Iterable[OpenCells]) -> None:
        """Take a keeper's word for what is open."""
        self.cells, self.attempts = {}, {}
        for frame in told:
            if self.parts.is_cut(frame.task):
                self._leave(frame.task, int.from_bytes(frame.bits, "little") & ((1 << self.parts.cells) - 1))
                self.attempts[frame.task] = frame.attempt

    def take(self, frame: int, block: Block) -> None:
        """Note that nobody else needs to render these."""
        if frame in self.cells:
            self._leave(frame, self.cells[frame] & ~self.parts.grid.bits(block))

    def _leave(self, frame: int, bits: int) -> None:
        if bits:
            self.cells[frame] = bits
        else:
            self.cells.pop(frame, None)

    def next(self, pixels: float, excluded: Collection[int] = (), within: float = 0.0) -> Bucket | None:
        """Return the first bucket in the job's order, of at most so many pixels or one cell, without these tasks; where
        blocks of at most `within` pixels are larger, in the first of these.
        """
        return next(iter(self._first(pixels, excluded, 1, within)), None)

    def own(self, job: JobId, peer: PeerId, pixels: float, excluded: Collection[int], spread: int) -> Bucket | None:
        """Return of the first `spread` buckets the one that suits `peer` best."""
        found = self._first(pixels, excluded, spread, 0.0)
        return min(found, key=lambda bucket: rank(job, self._task(bucket), peer), default=None)

    def _first(self, pixels: float, excluded: Collection[int], count: int, within: float) -> list[Bucket]:
        cut = self.parts.cut
        assert cut is not None
        found: list[Bucket] = []
        for frame, cells in self.cells.items():
            own = self.parts.cells_of(frame)
            able = cells & ~sum(1 << task - own.start for task in excluded if task in own)
            at_most = (0.0, 0.0) if cut.fixed else (pixels, within)
            blocks = next_blocks(cut.grid, able, Order(cut.order), *at_most)
            found += [
                Bucket(frame=frame, block=block, attempt=self.attempts[frame])
                for block in islice(blocks, count - len(found))
            ]
            if len(found) == count:
                break
        return found

    def _task(self, bucket: Bucket) -> int:
        return self.parts.of(bucket.frame, bucket.block)[0]
