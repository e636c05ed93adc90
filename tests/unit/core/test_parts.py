"""A job's tasks by number: frames first, then the cells of those that are cut."""

import pytest

from mesh.core.parts import Parts
from mesh.wire.grids import Block
from tests.support.cast import Cast, block, cut_into


@pytest.fixture
def parts(cast: Cast) -> Parts:
    """Of six frames, the last two of which have five by three cells."""
    return Parts.of_job(cast.head(cast.founder(), frames=6, cut=cut_into(5, 3, frames=2)).job.body)


def test_without_a_cut_the_frames_are_all_there_is(cast: Cast) -> None:
    parts = Parts.of_job(cast.head(cast.founder(), frames=6).job.body)
    assert parts.tasks == 6
    assert not any(parts.is_cut(frame) for frame in range(-1, 8))
    assert [parts.of(frame, None) for frame in (-1, 0, 5, 6)] == [(), (0,), (5,), ()]
    assert parts.of(0, block(0, 0)) == ()
    assert list(parts.cells_of(5)) == []


def test_every_number_is_one_task(parts: Parts) -> None:
    frames = [task for frame in range(6) for task in parts.of(frame, None)]
    cells = [
        task
        for frame in range(6)
        for row in range(3)
        for column in range(5)
        for task in parts.of(frame, block(column, row))
    ]
    assert frames + cells == list(range(parts.tasks))
    assert parts.tasks == 6 + 2 * 15


def test_a_tasks_frame_is_its_own_or_the_one_whose_cell_it_is(parts: Parts) -> None:
    assert [parts.frame_of(task) for task in (0, 5, 6, 20, 21, 35)] == [0, 5, 4, 4, 5, 5]
    assert [list(parts.cells_of(frame)) for frame in (3, 4, 5, 6)] == [
        [],
        list(range(6, 21)),
        list(range(21, 36)),
        [],
    ]


def test_a_blocks_tasks_go_along_the_rows_of_its_frame(parts: Parts) -> None:
    assert parts.of(4, block(2, 0, 2, 2)) == (8, 9, 13, 14)
    assert parts.of(5, block(2, 0, 2, 2)) == (23, 24, 28, 29)


def test_all_cells_of_a_frame_are_one_block(parts: Parts) -> None:
    assert parts.of(4, block(0, 0, 5, 3)) == tuple(parts.cells_of(4))


@pytest.mark.parametrize(
    ("frame", "asked"),
    [
        (3, block(0, 0)),
        (6, block(0, 0)),
        (-1, block(0, 0)),
        (99_999, block(0, 0)),
        (4, block(1, 0, 2, 1)),
        (4, block(5, 0)),
        (4, block(0, 2, 1, 2)),
        (4, block(0, 0, 4_096, 4_096)),
    ],
)
def test_what_there_is_not_has_no_task(parts: Parts, frame: int, asked: Block) -> None:
    assert parts.of(frame, asked) == ()
