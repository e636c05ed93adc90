"""Tiling: how a frame is cut into cells, and which of them the next bucket is made of.

Theory: cells come in blocks that are aligned to their own size, each the halves of a larger one, as in a quadtree. So
buckets of all sizes fit together without slivers between them, and what was taken and is open again is made of blocks,
too. What bounds a cell from below is its margin: an engine that samples adaptively renders some pixels around a bucket
to know what lies inside, and throws them away.

Invariants: a bucket is made of open cells alone. While a cell is open there is a next bucket. The module is pure, and
knows no peer, claim or clock.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias

from mesh.wire.grids import MAX_CELLS, Block, Grid, Order, Region

UNIT: Final = 32
"""Cells begin at multiples of it: POV-Ray repeats itself only there, and the worst of a smaller cell is its margin."""

CELLS_AIM: Final = MAX_CELLS
"""A frame is cut as finely as this allows: thirty buckets for each of 256 slots, or the last ones would be long."""

MARGIN_COSTS_MOST: Final = 0.15
"""The part of a cell's area that its margin may add."""

_ORDERS_KEPT = 16
"""Of frames of one grid and shape of bucket, all shapes of one still: putting two thousand blocks in order takes 5 ms,
and the order of eight thousand single cells has 5 MB, since each has its bit in a number of as many."""

Rank: TypeAlias = tuple[float, ...]


def cut(region: Region, margin: int = 0) -> Grid:
    """Cut `region` for buckets of any size, with a margin of so many pixels around each."""
    side = UNIT
    while _cells(region, side, side) > CELLS_AIM or not _pays(side, margin):
        side *= 2
    return Grid(lefts=_edges(region.left, region.right, side), tops=_edges(region.top, region.bottom, side))


def cut_to(region: Region, width: int, height: int) -> Grid:
    """Cut `region` into cells of just this size, from its left and its top; raises `ValueError` for too many."""
    if width < 1 or height < 1:
        raise ValueError(f"buckets of {width}x{height} pixels")
    if (cells := math.ceil(region.width / width) * math.ceil(region.height / height)) > MAX_CELLS:
        raise ValueError(f"buckets of {width}x{height} pixels: {cells} of them, and a frame has at most {MAX_CELLS}")
    return Grid(
        lefts=(*range(region.left, region.right, width), region.right),
        tops=(*range(region.top, region.bottom, height), region.bottom),
    )


def strips(region: Region, count: int) -> Grid:
    """Cut `region` into so many strips from side to side, whose heights differ by a pixel at most."""
    if not 1 <= count <= min(region.height, MAX_CELLS):
        raise ValueError(f"{count} strips of a picture {region.height} pixels high")
    tops = tuple(region.top + number * region.height // count for number in range(count + 1))
    return Grid(lefts=(region.left, region.right), tops=tops)


def next_block(grid: Grid, open_cells: int, order: Order, pixels: float) -> Block | None:
    """Return the first bucket of at most so many pixels, or of one cell, of those whose bits are set; None: none is."""
    return next(next_blocks(grid, open_cells, order, pixels), None)


def next_blocks(grid: Grid, open_cells: int, order: Order, pixels: float, within: float = 0.0) -> Iterator[Block]:
    """Yield buckets of at most so many pixels, or of one cell, in their order: the first of each part of the frame.

    Parts are as large as buckets, or have at most `within` pixels where these are more. Buckets have no cell in common.
    There may be more than are yielded, but one at least while a cell is open.
    """
    if not open_cells:
        return
    shape, part = _shape(grid, pixels), _shape(grid, max(pixels, within))
    rank = _ranks(grid, order)
    for block, bits in _in_order(grid, order, *part):
        if open_cells & bits == bits and part == shape:
            yield block
        elif open_cells & bits:
            yield _within(grid, block, open_cells, shape, rank)


@lru_cache(maxsize=_ORDERS_KEPT)
def _in_order(grid: Grid, order: Order, columns: int, rows: int) -> tuple[tuple[Block, int], ...]:
    blocks = sorted(_blocks(grid, columns, rows), key=_ranks(grid, order))
    return tuple((block, grid.bits(block)) for block in blocks)


def _within(grid: Grid, block: Block, open_cells: int, shape: tuple[int, int], rank: Callable[[Block], Rank]) -> Block:
    """Return the first part of `block`, it or half of a half of it, of no more columns and rows than `shape` has, of
    which all cells are open; some cell of it is.
    """
    bits = grid.bits(block)
    if open_cells & bits == bits and block.columns <= shape[0] and block.rows <= shape[1]:
        return block
    half = next(half for half in sorted(_halves(block), key=rank) if open_cells & grid.bits(half))
    return _within(grid, half, open_cells, shape, rank)


def _halves(block: Block) -> tuple[Block, Block]:
    """Cut a block at the greatest power of two within it, across its longer side."""
    if block.columns >= block.rows:
        first = _half(block.columns)
        return (
            Block(column=block.column, row=block.row, columns=first, rows=block.rows),
            Block(column=block.column + first, row=block.row, columns=block.columns - first, rows=block.rows),
        )
    first = _half(block.rows)
    return (
        Block(column=block.column, row=block.row, columns=block.columns, rows=first),
        Block(column=block.column, row=block.row + first, columns=block.columns, rows=block.rows - first),
    )


def _half(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _shape(grid: Grid, pixels: float) -> tuple[int, int]:
    """Return of how many columns and rows blocks are that have at most so many pixels, about square."""
    width, height = _widest(grid.lefts), _widest(grid.tops)
    columns = rows = 1
    while columns < grid.columns or rows < grid.rows:
        across = rows >= grid.rows or (columns < grid.columns and columns * width <= rows * height)
        wider, higher = (columns * 2, rows) if across else (columns, rows * 2)
        if min(wider, grid.columns) * width * min(higher, grid.rows) * height > pixels:
            break
        columns, rows = wider, higher
    return columns, rows


def _widest(edges: Sequence[int]) -> int:
    return max(after - before for before, after in pairwise(edges))


def _blocks(grid: Grid, columns: int, rows: int) -> Iterator[Block]:
    for row in range(0, grid.rows, rows):
        for column in range(0, grid.columns, columns):
            yield Block(
                column=column,
                row=row,
                columns=min(columns, grid.columns - column),
                rows=min(rows, grid.rows - row),
            )


def _ranks(grid: Grid, order: Order) -> Callable[[Block], Rank]:
    middle_x, middle_y = _middle(grid.region)

    def rank(block: Block) -> Rank:
        region = grid.pixels(block)
        if order is Order.ROWS:
            return (region.top, region.left)
        x, y = _middle(region)
        across, down = x - middle_x, y - middle_y
        angle = math.atan2(down, across)
        if order is Order.CENTRE:
            return (math.hypot(across, down), angle)
        ring = max(abs(across) / region.width, abs(down) / region.height)
        return (math.floor(ring + 0.5), angle)

    return rank


def _middle(region: Region) -> tuple[float, float]:
    return (region.left + region.right) / 2, (region.top + region.bottom) / 2


def _cells(region: Region, width: int, height: int) -> int:
    return (len(_edges(region.left, region.right, width)) - 1) * (len(_edges(region.top, region.bottom, height)) - 1)


def _edges(first: int, last: int, side: int) -> tuple[int, ...]:
    """Return multiples of `side` from `first` to `last`, and these two; what is under half a cell at an end is none."""
    inner = [edge for edge in range((first // side + 1) * side, last, side) if edge - first >= side / 2]
    return (first, *(edge for edge in inner if last - edge >= side / 2), last)


def _pays(side: int, margin: int) -> bool:
    return (side + 2 * margin) ** 2 <= (1 + MARGIN_COSTS_MOST) * side**2
