"""Which buckets can be had, and which block of open cells is taken next."""

from collections.abc import Iterable

import pytest

from mesh.core.buckets import Buckets
from mesh.core.parts import Parts
from mesh.core.placement import rank
from mesh.ground.ids import JobId, PeerId
from mesh.wire.grids import Block, Order
from mesh.wire.stills import OpenCells
from tests.support.cast import Cast, bits_of, blob, block, cut_into

CELL = 32 * 32
JOB = JobId(blob("job"))


def peer(number: int) -> PeerId:
    return PeerId(blob(f"peer {number}"))


def of_job(cast: Cast, *, fixed: bool = False, order: Order = Order.ROWS) -> Buckets:
    """The buckets of two whole frames and two of eight by four cells."""
    cut = cut_into(8, 4, frames=2, fixed=fixed, order=order)
    return Buckets(Parts.of_job(cast.head(cast.founder(), frames=4, cut=cut).job.body))


def told(frame: int, cells: Iterable[int] = range(32), attempt: int = 0) -> OpenCells:
    return OpenCells(task=frame, attempt=attempt, bits=bits_of(cells))


@pytest.fixture
def buckets(cast: Cast) -> Buckets:
    return of_job(cast)


def test_nothing_is_open_before_it_was_told(buckets: Buckets) -> None:
    assert buckets.next(CELL) is None
    assert buckets.own(JOB, peer(1), CELL, (), 5) is None
    assert buckets.pixels == 0


def test_a_bucket_has_open_cells_alone_and_no_more_pixels_than_asked_for(buckets: Buckets) -> None:
    buckets.tell([told(2, set(range(32)) - {0})])
    found = buckets.next(4 * CELL)
    assert found is not None
    assert (found.frame, found.block) == (2, block(0, 1))
    buckets.take(2, found.block)
    assert buckets.next(4 * CELL).block == block(1, 0, 1, 2)  # type: ignore[union-attr]


def test_what_was_taken_is_not_open_until_it_is_told_anew(buckets: Buckets) -> None:
    buckets.tell([told(2)])
    assert buckets.pixels == 32 * CELL
    buckets.take(2, block(0, 0, 8, 2))
    buckets.take(2, block(0, 0, 8, 2))
    assert buckets.pixels == 16 * CELL
    assert buckets.next(32 * CELL).block == block(0, 2, 2, 2)  # type: ignore[union-attr]
    buckets.take(3, block(0, 0))
    buckets.tell([told(2)])
    assert buckets.next(32 * CELL).block == block(0, 0, 8, 4)  # type: ignore[union-attr]


def test_frames_come_in_the_jobs_order(buckets: Buckets) -> None:
    buckets.tell([told(2, [31], attempt=4), told(3, attempt=1)])
    first = buckets.next(32 * CELL)
    assert first is not None
    assert (first.frame, first.block, first.attempt) == (2, block(7, 3), 4)
    buckets.take(2, first.block)
    second = buckets.next(32 * CELL)
    assert second is not None
    assert (second.frame, second.attempt) == (3, 1)


def test_cells_of_frames_that_have_none_and_beyond_the_last_are_not_heard(buckets: Buckets) -> None:
    buckets.tell([told(0), told(99), OpenCells(task=2, attempt=0, bits=b"\x00" * 4 + b"\xff")])
    assert buckets.next(CELL) is None
    assert buckets.pixels == 0


def test_cells_that_failed_here_are_in_no_bucket(buckets: Buckets) -> None:
    buckets.tell([told(2, (0, 1, 8, 9))])
    first = buckets.parts.cells_of(2).start
    assert buckets.next(4 * CELL, {first: None}).block == block(0, 1)  # type: ignore[union-attr]
    assert buckets.next(4 * CELL, {first: None, first + 8: None}).block == block(1, 0, 1, 2)  # type: ignore[union-attr]
    assert buckets.next(4 * CELL, dict.fromkeys(buckets.parts.cells_of(2))) is None
    assert buckets.next(4 * CELL).block == block(0, 0, 2, 2)  # type: ignore[union-attr]


def test_fixed_buckets_are_single_cells_however_many_pixels_are_asked_for(cast: Cast) -> None:
    buckets = of_job(cast, fixed=True)
    buckets.tell([told(2)])
    assert buckets.next(10**9).block == block(0, 0)  # type: ignore[union-attr]


@pytest.mark.parametrize(("fixed", "pixels", "size"), [(False, 9 * CELL, 9), (False, 1, 1), (True, 9 * CELL, 1)])
def test_no_bucket_is_smaller_than_a_cell_and_a_fixed_one_is_no_larger(
    cast: Cast, fixed: bool, pixels: int, size: int
) -> None:
    assert of_job(cast, fixed=fixed).size(pixels) == size * CELL


def test_the_jobs_order_is_kept(cast: Cast) -> None:
    buckets = of_job(cast, order=Order.CENTRE)
    buckets.tell([told(2)])
    found = buckets.next(CELL)
    assert found is not None
    assert (found.block.column, found.block.row) in {(3, 1), (4, 1), (3, 2), (4, 2)}


def test_each_takes_of_the_first_few_the_bucket_that_suits_it_best(buckets: Buckets) -> None:
    buckets.tell([told(2), told(3)])
    first = first_buckets(buckets, 8)
    chosen = [buckets.own(JOB, peer(number), CELL, (), 8) for number in range(40)]
    for number, found in enumerate(chosen):
        assert found is not None
        best = min(first, key=lambda one: rank(JOB, buckets.parts.of(one[0], one[1])[0], peer(number)))
        assert (found.frame, found.block) == best
    assert len({found.block for found in chosen if found is not None}) == 8, "they spread over all of them"


def test_who_is_alone_takes_the_first(buckets: Buckets) -> None:
    buckets.tell([told(2), told(3)])
    assert {buckets.own(JOB, peer(number), CELL, (), 1) for number in range(10)} == {buckets.next(CELL)}


def test_the_first_few_reach_into_the_next_frame(buckets: Buckets) -> None:
    buckets.tell([told(2, [5]), told(3)])
    found = {buckets.own(JOB, peer(number), CELL, (), 4) for number in range(60)}
    assert {one.frame for one in found if one is not None} == {2, 3}
    assert len(found) == 4


def first_buckets(buckets: Buckets, count: int) -> list[tuple[int, Block]]:
    """The first buckets of one cell, one after the other."""
    copy = Buckets(buckets.parts, dict(buckets.cells), buckets.attempts)
    found = []
    for _ in range(count):
        bucket = copy.next(CELL)
        assert bucket is not None
        copy.take(bucket.frame, bucket.block)
        found.append((bucket.frame, bucket.block))
    return found
