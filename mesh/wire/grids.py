"""How a frame is cut: a grid of cells, and the blocks of whole cells that buckets are.

Theory: how large a bucket should be is only known while a still is rendered, but what is done must be countable by
everybody, whoever chose the size. So a job cuts each of its frames once into small *cells*, which are what is counted,
and a bucket is a block of them. Edges are told, not computed: however they were chosen, all have the same.

A frame may also be cut by its *samples*: then each cell is the whole picture, with a share of its samples, and the grid
counts shares, one pixel each. So all that counts, claims and leases cells need not know the difference.

Invariants: every pixel of the region lies in just one cell, since edges rise and neighbours share them. Pixels are
counted from the left and from the top, cells along the rows. Whoever makes a value by hand is held to the same bounds
as bytes are, by `ValueError`.
"""

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Annotated, TypeAlias

from mesh.wire.codec import AtMost, Between
from mesh.wire.tasks import MAX_TASKS

MAX_SIDE = 2**17
"""The widest and highest picture, in pixels."""

MAX_CELLS = 8_192
"""Cells of one frame; each is a task in every ledger."""

MAX_RUNS = 4
"""Runs of equal cells on one ruler: what is left at both ends, what lies between, and strips that differ by a pixel."""

MAX_MARGIN = 1_024
"""The widest margin of a bucket, in pixels."""

MAX_SAMPLES = 2**24
"""Samples of one pixel: Cycles counts no further."""

_GRIDS_KEPT = 64

Edge: TypeAlias = Annotated[int, Between(0, MAX_SIDE)]


class Order(enum.IntEnum):
    """The order in which the buckets of a frame are started."""

    CENTRE = 1
    """By their distance from the middle, where pictures mostly have what they are about."""
    SPIRAL = 2
    """Round and round from the middle, so that what is done is one piece."""
    ROWS = 3
    """From left to right, from the top down."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle of pixels: from `left` and `top` to before `right` and `bottom`."""

    left: Edge
    top: Edge
    right: Edge
    bottom: Edge

    @property
    def width(self) -> int:
        """How many pixels it is wide."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """How many pixels it is high."""
        return self.bottom - self.top

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return self.width * self.height

    def grown(self, margin: int, within: "Region") -> "Region":
        """Return it with so many pixels more on each side, as far as `within` reaches."""
        return Region(
            left=max(within.left, self.left - margin),
            top=max(within.top, self.top - margin),
            right=min(within.right, self.right + margin),
            bottom=min(within.bottom, self.bottom + margin),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SampleRange:
    """Some of the samples of each pixel: `count` of them from `first` on, of so many as a whole frame has."""

    first: int
    count: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.first + self.count <= self.of <= MAX_SAMPLES:
            raise ValueError(f"{self.count} samples from {self.first} are no part of {self.of}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A rectangle of cells: the first column and row, and how many of each."""

    column: Annotated[int, Between(0, MAX_CELLS - 1)]
    row: Annotated[int, Between(0, MAX_CELLS - 1)]
    columns: Annotated[int, Between(1, MAX_CELLS)]
    rows: Annotated[int, Between(1, MAX_CELLS)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The edges of a frame's cells, each at least two."""

    lefts: tuple[int, ...]
    """Where columns begin, and where the last one ends."""
    tops: tuple[int, ...]
    """Where rows begin, and where the last one ends."""

    def __post_init__(self) -> None:
        for edges in (self.lefts, self.tops):
            if len(edges) < 2 or any(after <= before for before, after in pairwise(edges)):
                raise ValueError("the edges of cells do not rise")
            if edges[0] < 0 or edges[-1] > MAX_SIDE:
                raise ValueError(f"cells reach from {edges[0]} to {edges[-1]}; a picture has {MAX_SIDE} pixels a side")
        if len(self) > MAX_CELLS:
            raise ValueError(f"a frame has at most {MAX_CELLS} cells, not {len(self)}")

    def __len__(self) -> int:
        return self.columns * self.rows

    @property
    def columns(self) -> int:
        """How many cells stand beside each other."""
        return len(self.lefts) - 1

    @property
    def rows(self) -> int:
        """How many cells stand above each other."""
        return len(self.tops) - 1

    @property
    def region(self) -> Region:
        """All pixels of all cells."""
        return Region(left=self.lefts[0], top=self.tops[0], right=self.lefts[-1], bottom=self.tops[-1])

    def has(self, block: Block) -> bool:
        """Whether all cells of `block` are cells of this grid."""
        return block.column + block.columns <= self.columns and block.row + block.rows <= self.rows

    def aligned(self, block: Block) -> bool:
        """Whether a block of this grid lies where tiling puts one: so each cell lies in few different blocks."""
        across = _aligned(block.column, block.columns, self.columns)
        return self.has(block) and across and _aligned(block.row, block.rows, self.rows)

    def pixels(self, block: Block) -> Region:
        """Return the pixels of a block of this grid."""
        assert self.has(block), f"{block} lies beyond {self.columns} x {self.rows} cells"
        return Region(
            left=self.lefts[block.column],
            top=self.tops[block.row],
            right=self.lefts[block.column + block.columns],
            bottom=self.tops[block.row + block.rows],
        )

    def cells(self, block: Block) -> Iterator[int]:
        """Yield the numbers of a block's cells, along the rows."""
        for row in range(block.row, block.row + block.rows):
            yield from range(row * self.columns + block.column, row * self.columns + block.column + block.columns)

    def bits(self, block: Block) -> int:
        """Return the cells of a block as one number, one bit a cell, the lowest for cell 0."""
        line = ((1 << block.columns) - 1) << block.column
        found = 0
        for row in range(block.row, block.row + block.rows):
            found |= line << row * self.columns
        return found


def told_bits(number: int) -> bytes:
    """Return the bits of a number, the lowest bit of the first byte for cell 0, without empty bytes at the end."""
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def _aligned(first: int, count: int, of: int) -> bool:
    """Whether so many columns or rows from `first` are a power of two and begin at a multiple of it, or end as such."""
    whole = 1 << (count - 1).bit_length()
    return first % whole == 0 and (count == whole or first + count == of)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """So many cells of one size beside each other."""

    cells: Annotated[int, Between(1, MAX_CELLS)]
    size: Annotated[int, Between(1, MAX_SIDE)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """Edges, told shortly: the first one, and the distances of those that follow."""

    first: Edge
    runs: Annotated[tuple[Run, ...], AtMost(MAX_RUNS)]

    @property
    def cells(self) -> int:
        """How many cells it marks."""
        return sum(run.cells for run in self.runs)

    @property
    def edges(self) -> tuple[int, ...]:
        """Return all edges, in rising order."""
        found = [self.first]
        for run in self.runs:
            found += [found[-1] + run.size * number for number in range(1, run.cells + 1)]
        return tuple(found)


def ruler(edges: Sequence[int]) -> Ruler:
    """Return the ruler with these edges; raises `ValueError` where they fall into too many runs."""
    sizes = [after - before for before, after in pairwise(edges)]
    runs = tuple(Run(cells=len(list(alike)), size=size) for size, alike in groupby(sizes))
    if len(runs) > MAX_RUNS:
        raise ValueError(f"cells of {len(runs)} different sizes beside each other; a job can tell {MAX_RUNS}")
    return Ruler(first=edges[0], runs=runs)


def counting(cells: int) -> Ruler:
    """Return the ruler of so many cells that are only counted: one pixel each."""
    return Ruler(first=0, runs=(Run(cells=cells, size=1),))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the last frames of a job are cut: the same grid for each."""

    width: Annotated[int, Between(1, MAX_SIDE)]
    height: Annotated[int, Between(1, MAX_SIDE)]
    """Of the whole frame in pixels, of which the cells may be a part."""
    across: Ruler
    down: Ruler
    margin: Annotated[int, Between(0, MAX_MARGIN)]
    """Pixels that are rendered around each bucket and thrown away."""
    order: Annotated[int, Between(min(Order), max(Order))]
    fixed: bool
    """Each bucket is one cell: a person said how large they are."""
    frames: Annotated[int, Between(1, MAX_TASKS)]
    """How many frames of the job are cut: its last ones."""
    whole: bool
    """These frames may also be rendered whole."""
    samples: Annotated[int, Between(0, MAX_SAMPLES)] = 0
    """Of each pixel, where cells are shares of these; 0: cells are parts of the picture."""
    part: Region | None = None
    """What is rendered of the frame where cells do not tell it, because they are shares of samples."""

    def __post_init__(self) -> None:
        if max(self.across.cells, self.down.cells, self.across.cells * self.down.cells) > MAX_CELLS:
            raise ValueError(f"a frame has at most {MAX_CELLS} cells, not {self.across.cells} x {self.down.cells}")
        if (self.part is not None) is not (self.samples > 0):
            raise ValueError("the part of a frame is told where cells are shares of its samples, and only there")
        if self.samples:
            self._check_shares()
        region = self.picture
        if region.right > self.width or region.bottom > self.height:
            raise ValueError(f"cells reach beyond a frame of {self.width}x{self.height} pixels")
        if region.left >= region.right or region.top >= region.bottom:
            raise ValueError("nothing of the frame is rendered")

    def _check_shares(self) -> None:
        shares = self.across.cells
        if (self.across, self.down) != (counting(shares), counting(1)) or self.margin or not self.fixed:
            raise ValueError("cells that are shares of samples stand in one row, are one pixel large, and fixed")
        if shares > self.samples:
            raise ValueError(f"{self.samples} samples have no {shares} shares")

    @property
    def grid(self) -> Grid:
        """The grid of each cut frame."""
        return _grid(self.across, self.down)

    @property
    def picture(self) -> Region:
        """What is rendered of each cut frame, in all its cells together."""
        return self.part if self.part is not None else self.grid.region

    def held(self, block: Block) -> Region:
        """Return the pixels that a bucket's file holds: its own and its margin, as far as cells reach."""
        if self.part is not None:
            return self.part
        grid = self.grid
        return grid.pixels(block).grown(self.margin, grid.region)

    def sampled(self, block: Block) -> SampleRange | None:
        """Return which samples a bucket's file holds; None: all of them, of its pixels."""
        if not self.samples:
            return None
        shares, after = self.across.cells, block.column + block.columns
        first = self.samples * block.column // shares
        return SampleRange(first=first, count=self.samples * after // shares - first, of=self.samples)


@lru_cache(maxsize=_GRIDS_KEPT)
def _grid(across: Ruler, down: Ruler) -> Grid:
    return Grid(lefts=across.edges, tops=down.edges)
