"""Buckets in their orders, and cells that cannot be."""

import sys
from itertools import pairwise

import pytest

from mesh.core.tiling import _ORDERS_KEPT, _in_order, cut, cut_to, next_block, next_blocks, strips
from mesh.wire.grids import MAX_CELLS, MAX_SIDE, Block, Grid, Order, Region

HD = Region(left=0, top=0, right=1_920, bottom=1_080)


def places(grid: Grid, order: Order, pixels: float = 0) -> list[tuple[int, int]]:
    """The column and row of each bucket, in the order in which they are started."""
    left, found = (1 << len(grid)) - 1, []
    while (block := next_block(grid, left, order, pixels)) is not None:
        found.append((block.column, block.row))
        left &= ~grid.bits(block)
    return found


def test_rows_go_as_one_reads() -> None:
    grid = cut_to(Region(left=0, top=0, right=30, bottom=20), 10, 10)
    assert places(grid, Order.ROWS) == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_the_centre_comes_first_and_the_corners_last() -> None:
    grid = cut_to(Region(left=0, top=0, right=50, bottom=30), 10, 10)
    found = places(grid, Order.CENTRE)
    assert found[0] == (2, 1)
    assert set(found[-4:]) == {(0, 0), (4, 0), (0, 2), (4, 2)}


def test_a_spiral_goes_round_ring_by_ring_and_each_step_is_to_a_neighbour() -> None:
    grid = cut_to(Region(left=0, top=0, right=50, bottom=50), 10, 10)
    found = places(grid, Order.SPIRAL)
    assert found[0] == (2, 2)
    rings = [max(abs(column - 2), abs(row - 2)) for column, row in found]
    assert rings == [0] + [1] * 8 + [2] * 16
    for (column, row), (next_column, next_row) in pairwise(found[1:9]):
        assert abs(column - next_column) + abs(row - next_row) == 1


def test_all_orders_that_are_kept_together_have_less_than_a_hundred_megabytes() -> None:
    grid = cut_to(Region(left=0, top=0, right=128, bottom=64), 1, 1)
    assert len(grid) == MAX_CELLS
    ordered = _in_order(grid, Order.CENTRE, 1, 1)
    size = sum(sys.getsizeof(each) + sum(map(sys.getsizeof, each)) for each in ordered)
    assert size * _ORDERS_KEPT < 100_000_000


def test_larger_buckets_are_whole_blocks_and_smaller_ones_fill_what_they_leave() -> None:
    grid = cut(HD)
    left = (1 << len(grid)) - 1
    first = next_block(grid, left, Order.ROWS, 256 * 128)
    assert first == Block(column=0, row=0, columns=8, rows=4)
    left &= ~grid.bits(first)
    second = next_block(grid, left, Order.ROWS, 128 * 128)
    assert second == Block(column=8, row=0, columns=4, rows=4)


def test_a_bucket_never_takes_a_cell_that_is_done() -> None:
    grid = cut(HD)
    left = (1 << len(grid)) - 1 & ~(1 << grid.columns + 1)
    block = next_block(grid, left, Order.ROWS, HD.area)
    assert block is not None
    assert grid.columns + 1 not in set(grid.cells(block))


def test_adaptive_sampling_takes_larger_cells() -> None:
    sides = {margin: cut(HD, margin).lefts[1] for margin in (0, 1, 8)}
    assert sides == {0: 32, 1: 32, 8: 256}


@pytest.mark.parametrize(
    ("lefts", "tops", "why"),
    [
        ((0,), (0, 1), "do not rise"),
        ((0, 5, 5), (0, 1), "do not rise"),
        ((0, 7, 5), (0, 1), "do not rise"),
        ((-1, 5), (0, 1), "reach from -1"),
        ((0, 5), (0, MAX_SIDE + 1), f"to {MAX_SIDE + 1}"),
        (tuple(range(92)), tuple(range(92)), "at most 8192 cells, not 8281"),
    ],
)
def test_edges_that_cannot_be_are_refused(lefts: tuple[int, ...], tops: tuple[int, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Grid(lefts=lefts, tops=tops)


def test_buckets_that_cannot_be_are_refused_by_their_size() -> None:
    with pytest.raises(ValueError, match="0x32"):
        cut_to(HD, 0, 32)
    with pytest.raises(ValueError, match=r"8x8 pixels: 32400 of them"):
        cut_to(HD, 8, 8)
    with pytest.raises(ValueError, match="0 strips"):
        strips(HD, 0)


def test_small_buckets_come_from_one_block_until_it_is_done() -> None:
    grid = cut(HD)
    open_cells = (1 << len(grid)) - 1
    first = next_block(grid, open_cells, Order.CENTRE, 256 * 256)
    assert first is not None
    taken = []
    for _ in range(first.columns * first.rows):
        block = next(next_blocks(grid, open_cells, Order.CENTRE, 32 * 32, 256 * 256))
        open_cells &= ~grid.bits(block)
        taken.append(block)
    assert all(block.columns == block.rows == 1 for block in taken)
    assert sum(map(grid.bits, taken)) == grid.bits(first)
