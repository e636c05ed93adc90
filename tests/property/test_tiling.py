"""Cells and buckets of pictures of any size: every pixel once, nothing left over, whatever the order."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.tiling import CELLS_AIM, MARGIN_COSTS_MOST, UNIT, cut, cut_to, next_block, strips
from mesh.wire.grids import MAX_CELLS, Block, Grid, Order, Region

SIDES = st.integers(1, 90) | st.sampled_from([127, 128, 129, 333, 1_080, 1_920, 4_096, 2**17])
SMALL = st.integers(1, 40)


@st.composite
def regions(draw: st.DrawFn, sides: st.SearchStrategy[int] = SIDES) -> Region:
    """A picture or a part of one, as a render region is."""
    left, top = draw(st.just(0) | st.integers(0, 70)), draw(st.just(0) | st.integers(0, 70))
    width, height = min(draw(sides), 2**17 - left), min(draw(sides), 2**17 - top)
    return Region(left=left, top=top, right=left + width, bottom=top + height)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    region = draw(regions(SMALL))
    match draw(st.sampled_from(["fixed", "strips", "any"])):
        case "fixed":
            return cut_to(region, draw(st.integers(1, 50)), draw(st.integers(1, 50)))
        case "strips":
            return strips(region, draw(st.integers(1, region.height)))
    inner = st.lists(st.integers(0, 40), max_size=12)
    return Grid(
        lefts=tuple(sorted({region.left, region.right, *(x for x in draw(inner) if region.left < x < region.right)})),
        tops=tuple(sorted({region.top, region.bottom, *(y for y in draw(inner) if region.top < y < region.bottom)})),
    )


def painted(grid: Grid, blocks: list[Block]) -> Counter[tuple[int, int]]:
    """How often each pixel was painted."""
    return Counter(
        (x, y)
        for region in map(grid.pixels, blocks)
        for y in range(region.top, region.bottom)
        for x in range(region.left, region.right)
    )


def drawn(data: st.DataObject, grid: Grid, order: Order) -> list[Block]:
    """Take buckets of all sizes until none is left."""
    left, blocks = (1 << len(grid)) - 1, []
    while left:
        pixels = data.draw(st.floats(0, 2_000))
        block = next_block(grid, left, order, pixels)
        assert block is not None
        cells = list(grid.cells(block))
        assert all(left >> cell & 1 for cell in cells)
        assert grid.bits(block) == sum(1 << cell for cell in cells)
        assert len(cells) == 1 or grid.pixels(block).area <= pixels
        left &= ~grid.bits(block)
        blocks.append(block)
    assert next_block(grid, left, order, 1_000) is None
    return blocks


@given(grids(), st.sampled_from(Order), st.data())
def test_every_pixel_is_rendered_once_whatever_the_sizes_and_the_order(
    grid: Grid, order: Order, data: st.DataObject
) -> None:
    region = grid.region
    every = {(x, y) for y in range(region.top, region.bottom) for x in range(region.left, region.right)}
    assert painted(grid, drawn(data, grid, order)) == dict.fromkeys(every, 1)


@given(grids(), st.sampled_from(Order), st.data())
def test_what_is_open_again_is_taken_again_and_nothing_else(grid: Grid, order: Order, data: st.DataObject) -> None:
    blocks = drawn(data, grid, order)
    lost = data.draw(st.sets(st.sampled_from(range(len(blocks)))))
    left = sum(grid.bits(blocks[number]) for number in lost)
    again: list[int] = []
    while (block := next_block(grid, left, order, data.draw(st.floats(0, 2_000)))) is not None:
        again += grid.cells(block)
        left &= ~grid.bits(block)
    assert sorted(again) == sorted({cell for number in lost for cell in grid.cells(blocks[number])})


@given(regions(), st.sampled_from([0, 1, 8, 16]))
def test_cells_of_any_picture_begin_where_engines_repeat_themselves_and_pay_for_their_margins(
    region: Region, margin: int
) -> None:
    grid = cut(region, margin)
    assert grid.region == region
    assert len(grid) <= CELLS_AIM
    for edges, first, last in ((grid.lefts, region.left, region.right), (grid.tops, region.top, region.bottom)):
        assert all(edge % UNIT == 0 for edge in edges[1:-1])
        sides = [after - before for before, after in pairwise(edges)]
        if margin and len(sides) > 2:
            assert all((side + 2 * margin) ** 2 <= (1 + MARGIN_COSTS_MOST) * side**2 for side in sides[1:-1])
        if last - first >= UNIT:
            assert min(sides) >= UNIT / 2, "no slivers at the ends"


@given(regions(), st.integers(1, 2**17), st.integers(1, 2**17))
def test_fixed_buckets_have_their_size_but_for_the_last(region: Region, width: int, height: int) -> None:
    count = -(-region.width // width) * -(-region.height // height)
    if count > MAX_CELLS:
        with pytest.raises(ValueError, match=f"{count} of them"):
            cut_to(region, width, height)
        return
    grid = cut_to(region, width, height)
    assert (grid.region, len(grid)) == (region, count)
    wide = [after - before for before, after in pairwise(grid.lefts)]
    assert wide[:-1] == [width] * (len(wide) - 1)
    assert 1 <= wide[-1] <= width


@given(regions(), st.integers(1, MAX_CELLS))
def test_strips_go_from_side_to_side_and_are_of_one_height(region: Region, count: int) -> None:
    if count > region.height:
        with pytest.raises(ValueError, match=f"{count} strips"):
            strips(region, count)
        return
    grid = strips(region, count)
    assert (grid.region, grid.columns, grid.rows) == (region, 1, count)
    high = [after - before for before, after in pairwise(grid.tops)]
    assert max(high) - min(high) <= 1
