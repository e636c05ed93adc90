"""How a frame is cut: edges told by rulers, blocks of whole cells, and what cannot be a cut."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from mesh.ground.errors import WireError
from mesh.wire.codec import from_value, to_value
from mesh.wire.grids import (
    MAX_CELLS,
    MAX_RUNS,
    MAX_SAMPLES,
    MAX_SIDE,
    Block,
    Cut,
    Grid,
    Order,
    Region,
    Ruler,
    Run,
    SampleRange,
    ruler,
    told_bits,
)
from tests.support.cast import block, cut_into, shared

EDGES = [(0, 10), (7, 40, 72, 104, 110), tuple(range(0, 1_081, 27)), (0, 1, 3, 4, 6), (0, MAX_SIDE)]
FIVE_BY_THREE = cut_into(5, 3).grid


@pytest.mark.parametrize("edges", EDGES)
def test_a_ruler_tells_the_edges_that_it_was_made_of(edges: tuple[int, ...]) -> None:
    made = ruler(edges)
    assert made.edges == edges
    assert made.cells == len(edges) - 1


def test_cells_of_one_size_beside_each_other_are_one_run() -> None:
    assert ruler((7, 40, 72, 104, 110)) == Ruler(
        first=7, runs=(Run(cells=1, size=33), Run(cells=2, size=32), Run(cells=1, size=6))
    )


def test_more_runs_than_a_job_can_tell_are_refused() -> None:
    edges = [0, 1, 3, 6, 10]
    assert len(ruler(edges).runs) == MAX_RUNS
    with pytest.raises(ValueError, match=f"5 different sizes beside each other; a job can tell {MAX_RUNS}"):
        ruler([*edges, 15])


def values(cut: Cut) -> list[Any]:
    """What travels of a cut, to be changed by a test."""
    told = to_value(cut)
    assert isinstance(told, list)
    return told


WIDTH, HEIGHT, ACROSS, DOWN, MARGIN, ORDER, FIXED, FRAMES, WHOLE, SAMPLES, PART = range(11)


def test_a_cut_comes_back_as_it_was_told() -> None:
    cut = cut_into(5, 3, margin=8, order=Order.SPIRAL)
    assert from_value(Cut, values(cut)) == cut


def test_the_most_cells_are_read_and_one_row_more_is_not() -> None:
    most = cut_into(128, 64)
    assert len(from_value(Cut, values(most)).grid) == MAX_CELLS
    told = values(most)
    told[DOWN] = [0, [[65, 1]]]
    with pytest.raises(WireError):
        from_value(Cut, told)
    with pytest.raises(ValueError, match=f"at most {MAX_CELLS} cells, not 128 x 65"):
        replace(most, down=Ruler(first=0, runs=(Run(cells=65, size=1),)))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (WIDTH, 0),
        (WIDTH, 159),
        (WIDTH, MAX_SIDE + 1),
        (HEIGHT, 95),
        (HEIGHT, 0),
        (ACROSS, [0, []]),
        (ACROSS, [-1, [[1, 32]]]),
        (ACROSS, [1, [[5, 32]]]),
        (ACROSS, [MAX_SIDE + 1, [[1, 1]]]),
        (ACROSS, [0, [[0, 32]]]),
        (ACROSS, [0, [[1, 0]]]),
        (ACROSS, [0, [[1, -32]]]),
        (ACROSS, [0, [[MAX_CELLS + 1, 1]]]),
        (ACROSS, [0, [[MAX_CELLS, MAX_SIDE]]]),
        (ACROSS, [0, [[1, MAX_SIDE], [1, 1]]]),
        (ACROSS, [0, [[1, 8], [1, 9], [1, 8], [1, 9], [1, 8]]]),
        (ACROSS, [0, [[MAX_CELLS, 1], [MAX_CELLS, 1]]]),
        (DOWN, [0, []]),
        (DOWN, [1, [[3, 32]]]),
        (MARGIN, -1),
        (MARGIN, 1_025),
        (ORDER, 0),
        (ORDER, 4),
        (FIXED, 1),
        (FRAMES, 0),
        (FRAMES, 100_001),
        (WHOLE, None),
    ],
)
def test_a_cut_that_cannot_be_is_refused(place: int, told: object) -> None:
    hostile = values(cut_into(5, 3))
    hostile[place] = told
    with pytest.raises(WireError):
        from_value(Cut, hostile)


def test_cells_may_be_a_part_of_the_frame_and_reach_to_its_edge() -> None:
    told = values(cut_into(5, 3))
    told[ACROSS] = [32, [[4, 32]]]
    cut = from_value(Cut, told)
    assert cut.grid.region == Region(left=32, top=0, right=160, bottom=96)


def test_shares_of_samples_are_cells_of_which_each_is_the_whole_picture() -> None:
    cut = shared(5, samples=13)
    told = values(cut)
    assert from_value(Cut, told) == cut
    assert told[SAMPLES:] == [13, [4, 2, 60, 40]]
    ranges = [cut.sampled(block(column, 0)) for column in range(5)]
    assert ranges == [
        SampleRange(first=first, count=after - first, of=13) for first, after in pairwise((0, 2, 5, 7, 10, 13))
    ]
    assert cut.sampled(block(0, 0, 5)) == SampleRange(first=0, count=13, of=13)
    assert cut.held(block(3, 0)) == cut.picture == Region(left=4, top=2, right=60, bottom=40)


def test_a_cut_by_place_tells_nothing_of_samples_as_before_there_were_any() -> None:
    cut = cut_into(5, 3, margin=8)
    assert len(values(cut)) == SAMPLES
    assert cut.sampled(block(1, 1)) is None
    assert cut.picture == cut.grid.region


def test_as_many_shares_as_there_can_be_cells_or_samples() -> None:
    assert len(shared(MAX_CELLS, samples=MAX_SAMPLES).grid) == MAX_CELLS
    few = shared(7, samples=7)
    assert all(few.sampled(block(column, 0)) == SampleRange(first=column, count=1, of=7) for column in range(7))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (WIDTH, 59),
        (HEIGHT, 39),
        (ACROSS, [1, [[5, 1]]]),
        (ACROSS, [0, [[5, 2]]]),
        (ACROSS, [0, [[4, 1], [1, 1]]]),
        (DOWN, [0, [[2, 1]]]),
        (DOWN, [0, [[1, 38]]]),
        (MARGIN, 1),
        (FIXED, False),
        (SAMPLES, 0),
        (SAMPLES, 4),
        (SAMPLES, -1),
        (SAMPLES, MAX_SAMPLES + 1),
        (SAMPLES, True),
        (PART, None),
        (PART, [4, 2, 4, 40]),
        (PART, [4, 40, 60, 40]),
        (PART, [-1, 2, 60, 40]),
        (PART, [4, 2, MAX_SIDE + 1, 40]),
        (PART, [4, 2, 60]),
    ],
)
def test_shares_that_cannot_be_are_refused(place: int, told: object) -> None:
    hostile = values(shared(5, samples=13, size=(60, 40)))
    hostile[place] = told
    with pytest.raises(WireError):
        from_value(Cut, hostile)


@pytest.mark.parametrize("more", [[13], [0, [4, 2, 60, 40]], [13, None]])
def test_a_cut_by_place_that_tells_of_samples_is_refused(more: list[object]) -> None:
    with pytest.raises(WireError):
        from_value(Cut, values(cut_into(5, 3)) + more)


@pytest.mark.parametrize(("first", "count", "of"), [(-1, 2, 8), (0, 0, 8), (7, 2, 8), (0, 1, MAX_SAMPLES + 1)])
def test_samples_that_a_frame_does_not_have(first: int, count: int, of: int) -> None:
    with pytest.raises(ValueError, match="are no part of"):
        SampleRange(first=first, count=count, of=of)


@pytest.mark.parametrize(
    ("where", "value"),
    [(0, -1), (0, MAX_CELLS), (1, -1), (1, MAX_CELLS), (2, 0), (2, MAX_CELLS + 1), (3, 0), (3, MAX_CELLS + 1)],
)
def test_a_block_that_no_grid_has_is_refused(where: int, value: int) -> None:
    told = [0, 0, 1, 1]
    assert from_value(Block, told) == block(0, 0)
    told[where] = value
    with pytest.raises(WireError):
        from_value(Block, told)


@pytest.mark.parametrize(
    ("cells", "bits"),
    [
        ([], b""),
        ([0], b"\x01"),
        ([7, 8], b"\x80\x01"),
        ([1, 3], b"\x0a"),
        ([23], b"\x00\x00\x80"),
    ],
)
def test_one_bit_a_cell_the_lowest_first_and_no_empty_bytes_at_the_end(cells: list[int], bits: bytes) -> None:
    assert told_bits(sum(1 << cell for cell in cells)) == bits


def test_all_cells_of_a_frame_fit_what_a_window_may_tell() -> None:
    assert told_bits((1 << MAX_CELLS) - 1) == b"\xff" * (MAX_CELLS // 8)


@pytest.mark.parametrize(
    ("found", "aligned"),
    [
        (block(0, 0), True),
        (block(4, 2), True),
        (block(2, 0, 2, 2), True),
        (block(0, 0, 4, 2), True),
        (block(0, 0, 5, 3), True),
        (block(4, 0, 1, 3), True),
        (block(0, 2, 4, 1), True),
        (block(1, 0, 2, 1), False),
        (block(0, 1, 1, 2), False),
        (block(2, 0, 4, 1), False),
        (block(0, 0, 3, 1), False),
        (block(2, 0, 3, 1), False),
        (block(0, 0, 8, 1), False),
        (block(5, 0), False),
        (block(0, 3), False),
        (block(4, 2, 2, 2), False),
        (block(MAX_CELLS - 1, MAX_CELLS - 1, MAX_CELLS, MAX_CELLS), False),
    ],
)
def test_a_block_lies_at_a_multiple_of_its_own_size_or_ends_with_the_grid(found: Block, aligned: bool) -> None:
    assert FIVE_BY_THREE.aligned(found) == aligned


def test_a_cell_lies_in_few_of_the_blocks_that_are_aligned() -> None:
    grid = cut_into(45, 32).grid
    sizes = [
        block(column, row, columns, rows)
        for columns in range(1, 46)
        for rows in range(1, 33)
        for column in range(20 - columns + 1, 21)
        for row in range(20 - rows + 1, 21)
        if column >= 0 and row >= 0
    ]
    assert sum(map(grid.aligned, sizes)) <= 7 * 6


def test_a_blocks_cells_go_along_the_rows_and_its_pixels_are_all_theirs() -> None:
    found = block(2, 1, 2, 2)
    assert list(FIVE_BY_THREE.cells(found)) == [7, 8, 12, 13]
    assert FIVE_BY_THREE.pixels(found) == Region(left=64, top=32, right=128, bottom=96)
    assert FIVE_BY_THREE.pixels(block(0, 0, 5, 3)) == FIVE_BY_THREE.region
    with pytest.raises(AssertionError, match="beyond 5 x 3"):
        FIVE_BY_THREE.pixels(block(4, 0, 2, 1))


@pytest.mark.parametrize(
    ("margin", "held"),
    [
        (0, Region(left=64, top=32, right=96, bottom=64)),
        (8, Region(left=56, top=24, right=104, bottom=72)),
        (40, Region(left=24, top=0, right=136, bottom=96)),
        (1_000, Region(left=0, top=0, right=160, bottom=96)),
    ],
)
def test_a_buckets_file_holds_its_margin_as_far_as_cells_reach(margin: int, held: Region) -> None:
    assert cut_into(5, 3, margin=margin).held(block(2, 1)) == held


def test_no_margin_reaches_beyond_the_cells_into_the_rest_of_the_frame() -> None:
    cut = replace(cut_into(5, 3, margin=100), across=ruler((32, 64, 96)))
    assert cut.held(block(0, 0)) == Region(left=32, top=0, right=96, bottom=96)
    within = Region(left=0, top=0, right=160, bottom=96)
    assert Region(left=10, top=20, right=30, bottom=40).grown(15, within) == Region(left=0, top=5, right=45, bottom=55)


def test_jobs_that_are_cut_alike_have_one_grid() -> None:
    assert cut_into(5, 3).grid is cut_into(5, 3, fixed=True, margin=4).grid
    assert isinstance(cut_into(5, 3).grid, Grid)
