"""How a frame is cut: a grid of cells, and the blocks of whole cells that buckets are.

Theory: how large a bucket should be is only known while a still is rendered, but what is done must be countable by
everybody, whoever chose the size. So a job cuts each of its frames once into small *cells*, which are what is counted,
and a bucket is a block of them. Edges are told, not computed: however they were chosen, all have the same.

Invariants: every pixel of the region lies in just one cell, since edges rise and neighbours share them. Pixels are
counted from the left and from the top, cells along the rows. Whoever makes a value by hand is held to the same bounds
as bytes are, by `ValueError`.
"""

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, TypeAlias

from mesh.wire.codec import AtMost, Between

MAX_SIDE = 2**17
"""The widest and highest picture, in pixels."""

MAX_CELLS = 4_096
"""Cells of one frame; each is a task in every ledger."""

Edge: TypeAlias = Annotated[int, Between(0, MAX_SIDE)]
Edges: TypeAlias = Annotated[tuple[Edge, ...], AtMost(MAX_CELLS + 1)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle of pixels: from `left` and `top` to before `right` and `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

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

    lefts: Edges
    """Where columns begin, and where the last one ends."""
    tops: Edges
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
