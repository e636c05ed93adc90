"""Cells in the ledger: a bucket's record is about each of them, and they are only a means to their frame."""

from itertools import permutations

import pytest

from mesh.core.fold import TaskFold
from mesh.core.ledger import JobLedger
from mesh.core.notes import CellsChanged, TaskChanged
from mesh.ground.limits import BUCKETS_PER_AUTHOR, LOST_PER_AUTHOR, LOST_PER_BUCKET
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.messages import Head
from mesh.wire.records import Entry, Lost, Result
from tests.support.cast import Cast, block, cut_into

WHOLE, CUT, LATER = 7, 8, 9
"""A frame without cells, and two with four by two of them."""


class Book:
    """The ledger of ann's job of ten frames, the last two of which are cut; bob and cid render."""

    def __init__(self, cast: Cast, *, tries: int = 3) -> None:
        self.cast = cast
        self.ann, self.bob, self.cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
        self.head: Head = cast.head(self.ann, frames=10, tries=tries, cut=cut_into(4, 2, frames=2))
        self.ledger = JobLedger(self.head)

    def add(self, *entries: Signed[Entry]) -> list[tuple[int, ...] | None]:
        return [self.ledger.add(entry) for entry in entries]

    def bucket(self, found: Block, attempt: int = 1, *, label: str = "") -> Signed[Entry]:
        return self.cast.result(self.bob, self.head, CUT, attempt, block=found, label=label)

    def cells(self, frame: int = CUT) -> list[int]:
        """The places of the open cells of a frame."""
        return [task - self.ledger.parts.cells_of(frame).start for task in self.ledger.open_cells(frame)]

    def stop(self, found: Block) -> list[Signed[Entry]]:
        return [self.cast.failed(actor, self.head, CUT, block=found) for actor in (self.ann, self.bob, self.cid)]


@pytest.fixture
def book(cast: Cast) -> Book:
    return Book(cast)


def test_a_buckets_result_counts_for_each_of_its_cells_and_for_nothing_else(book: Book) -> None:
    first = book.ledger.parts.cells_of(CUT).start
    assert book.add(book.bucket(block(0, 0, 2, 2))) == [(first, first + 1, first + 4, first + 5)]
    assert book.cells() == [2, 3, 6, 7]
    assert book.cells(LATER) == list(range(8))
    assert (book.ledger.cells_counting, book.ledger.counting, book.ledger.stopped) == (4, 0, 0)
    assert list(book.ledger.open_frames()) == list(range(10))


def test_a_block_is_needed_while_any_of_its_cells_is(book: Book) -> None:
    book.add(book.bucket(block(0, 0, 2, 2)))
    for needed, found in ((False, block(0, 0, 2, 2)), (False, block(1, 1)), (True, block(0, 0, 4, 2))):
        assert book.ledger.needs(CUT, found) == needed
        assert book.ledger.lacks(CUT, found) == needed
    assert book.ledger.needs(LATER, block(0, 0, 2, 2))
    assert not book.ledger.needs(WHOLE, block(0, 0)), "there is no such cell"
    assert not book.ledger.lacks(WHOLE, block(0, 0))


def test_of_overlapping_results_each_cell_has_the_lowest_attempt(book: Book) -> None:
    large, small = book.bucket(block(0, 0, 4, 2), 2), book.bucket(block(2, 0), 1)
    book.add(large, small)
    first = book.ledger.parts.cells_of(CUT).start
    assert [book.ledger.task(first + cell).counting for cell in range(8)] == [
        small if cell == 2 else large for cell in range(8)
    ]
    assert book.ledger.cells_counting == 8


def test_all_cells_do_not_make_a_frame_but_its_own_result_makes_cells_needless(book: Book) -> None:
    book.add(book.bucket(block(0, 0, 4, 1)))
    assert book.ledger.needs(CUT, None)
    assert book.add(book.cast.result(book.cid, book.head, CUT, assembles=True)) == [(CUT,)]
    assert book.cells() == []
    assert not book.ledger.needs(CUT, block(0, 1))
    assert not book.ledger.lacks(CUT, block(0, 1))
    assert not any(map(book.ledger.is_open, book.ledger.parts.cells_of(CUT)))
    assert (book.ledger.counting, book.ledger.cells_counting) == (1, 4)


def test_a_bucket_that_is_lost_after_its_frame_was_made_is_needed_by_nobody(book: Book) -> None:
    found = book.bucket(block(0, 0, 4, 1))
    book.add(found, book.cast.result(book.cid, book.head, CUT, assembles=True))
    book.add(book.cast.lost(book.cid, book.head, found))
    cells = book.ledger.parts.of(CUT, block(0, 0, 4, 1))
    assert all(book.ledger.task(cell).counting is None for cell in cells), "it is lost"
    assert book.cells() == []
    assert not book.ledger.needs(CUT, block(0, 0, 4, 1))
    assert not book.ledger.lacks(CUT, block(0, 0, 4, 1))
    assert book.ledger.task(CUT).counting is not None


def test_there_are_no_tasks_beyond_the_last_cell(book: Book) -> None:
    last = book.ledger.parts.tasks - 1
    assert [book.ledger.is_open(task) for task in (-1, 0, last, last + 1)] == [False, True, True, False]


def test_a_stopped_cell_stops_its_frame_and_no_other(book: Book) -> None:
    one, two, three = book.stop(block(2, 0, 2, 2))
    book.add(one, two)
    assert book.ledger.task(CUT).state is TaskFold.OPEN
    assert book.add(three) == [(CUT, *book.ledger.parts.of(CUT, block(2, 0, 2, 2)))]
    assert book.ledger.task(CUT).state is TaskFold.STOPPED
    assert book.ledger.stopped == 1
    assert book.cells() == []
    assert not book.ledger.needs(CUT, block(0, 0)), "nobody needs cells of a frame that never comes"
    assert book.ledger.lacks(CUT, block(2, 0)), "a result is wanted even where it was stopped"
    assert list(book.ledger.open_frames()) == [frame for frame in range(10) if frame != CUT]
    assert book.ledger.task(LATER).state is TaskFold.OPEN


def test_a_frame_goes_on_once_its_last_stopped_cell_has_a_result(book: Book) -> None:
    book.add(*book.stop(block(2, 0, 2, 1)))
    assert book.add(book.bucket(block(2, 0), 2)) == [(book.ledger.parts.of(CUT, block(2, 0))[0],)]
    assert book.ledger.task(CUT).state is TaskFold.STOPPED
    (cell,) = book.ledger.parts.of(CUT, block(3, 0))
    assert book.add(book.bucket(block(3, 0), 2)) == [(CUT, cell)]
    assert book.ledger.task(CUT).state is TaskFold.OPEN
    assert book.ledger.stopped == 0
    assert book.cells() == [0, 1, 4, 5, 6, 7]


def test_a_frame_that_counts_is_not_stopped_by_its_cells(book: Book) -> None:
    book.add(book.cast.result(book.cid, book.head, CUT), *book.stop(block(0, 0)))
    assert book.ledger.task(CUT).state is TaskFold.COUNTS
    assert (book.ledger.counting, book.ledger.stopped) == (1, 0)


def test_whatever_order_records_come_in_the_cells_fold_alike(book: Book) -> None:
    result = book.bucket(block(0, 0, 2, 2))
    records = [*book.stop(block(0, 0)), result, book.cast.lost(book.cid, book.head, result)]
    seen = []
    for order in permutations(records):
        ledger = JobLedger(book.head)
        for entry in order:
            ledger.add(entry)
        states = [ledger.task(task) for task in range(ledger.parts.tasks)]
        seen.append((states, ledger.stopped, ledger.counting, ledger.cells_counting, ledger.digest()))
    assert all(one == seen[0] for one in seen)
    assert seen[0][1:4] == (1, 0, 0)


def test_a_lost_bucket_opens_all_of_its_cells(book: Book) -> None:
    found = book.bucket(block(0, 0, 2, 2))
    book.add(found)
    assert book.add(book.cast.lost(book.cid, book.head, found)) == [book.ledger.parts.of(CUT, block(0, 0, 2, 2))]
    assert book.cells() == list(range(8))
    assert book.ledger.cells_counting == 0


def lost_again(book: Book, count: int) -> list[Signed[Entry]]:
    """Statements by cid that buckets are lost, of as many different ones."""
    return [
        book.cast.entry(book.cid, book.head, Lost(task=CUT, result=found.id, block=block(0, 0)))  # type: ignore[arg-type]
        for found in (book.bucket(block(0, 0), label=str(number)) for number in range(count))
    ]


def test_one_author_says_of_each_bucket_twice_that_it_is_lost_and_of_frames_apart(book: Book) -> None:
    assert book.ledger.may_say_bucket_lost(book.cid.id, CUT, block(0, 0))
    book.add(*lost_again(book, LOST_PER_BUCKET))
    assert not book.ledger.may_say_bucket_lost(book.cid.id, CUT, block(0, 0))
    assert book.ledger.may_say_bucket_lost(book.cid.id, CUT, block(1, 0)), "another bucket"
    assert book.ledger.may_say_bucket_lost(book.bob.id, CUT, block(0, 0)), "another author"
    assert book.ledger.may_say_bucket_lost(book.ann.id, CUT, block(0, 0)), "she submitted it"
    book.add(*lost_again(book, 5))
    assert len(book.ledger.entries) == LOST_PER_BUCKET
    assert book.ledger.may_say_lost(book.cid.id) == LOST_PER_AUTHOR
    book.add(book.cast.lost(book.cid, book.head, book.cast.result(book.bob, book.head, WHOLE)))
    assert book.ledger.may_say_lost(book.cid.id) == LOST_PER_AUTHOR - 1


def test_nobody_reopens_frames_by_saying_that_buckets_are_lost(book: Book) -> None:
    results = [book.cast.result(book.bob, book.head, frame) for frame in range(8)]
    lies = [
        book.cast.entry(book.cid, book.head, Lost(task=CUT, result=found.id, block=block(0, 0)))  # type: ignore[arg-type]
        for found in results
    ]
    book.add(*results, *lies)
    assert book.ledger.counting == 8
    again = JobLedger(book.head)
    for entry in (*lies, *results):
        again.add(entry)
    assert again.counting == 8


def test_nobody_reopens_buckets_by_saying_that_frames_are_lost(book: Book) -> None:
    found = book.bucket(block(0, 0, 4, 2))
    book.add(found, book.cast.entry(book.cid, book.head, Lost(task=CUT, result=found.id)))  # type: ignore[arg-type]
    assert book.ledger.cells_counting == 8


def test_what_one_author_says_of_a_bucket_is_bounded_and_kept_alike_everywhere(book: Book) -> None:
    said = [book.bucket(block(0, 0), label=str(number)) for number in range(BUCKETS_PER_AUTHOR + 2)]
    kept = []
    for order in list(permutations(said))[::37]:
        ledger = JobLedger(book.head)
        for entry in order:
            ledger.add(entry)
        kept.append((sorted(ledger.entries), ledger.task(ledger.parts.cells_of(CUT).start)))
    assert all(one == kept[0] for one in kept)
    assert len(kept[0][0]) == BUCKETS_PER_AUTHOR
    assert book.add(book.bucket(block(1, 0))) != [None], "of another bucket it may say as much"


def test_news_of_cells_are_told_of_each_frame_at_once(book: Book) -> None:
    first, later = book.ledger.parts.cells_of(CUT), book.ledger.parts.cells_of(LATER)
    told = list(book.ledger.news((CUT, first[0], later[0], first[3], 2)))
    assert told == [
        TaskChanged(job=book.ledger.id, task=CUT),
        TaskChanged(job=book.ledger.id, task=2),
        CellsChanged(job=book.ledger.id, frame=CUT, tasks=(first[0], first[3])),
        CellsChanged(job=book.ledger.id, frame=LATER, tasks=(later[0],)),
    ]


def test_a_failure_of_a_bucket_is_listed_once_while_anything_needs_it(book: Book) -> None:
    failed = book.cast.failed(book.bob, book.head, CUT, block=block(0, 0, 2, 2))
    book.add(failed)
    assert book.ledger.failures() == (failed,)
    book.add(book.bucket(block(0, 0, 2, 1), 2))
    assert book.ledger.failures() == (failed,)
    book.add(book.cast.result(book.cid, book.head, CUT, assembles=True))
    assert book.ledger.failures() == ()


def test_assembling_is_no_render_whose_time_tells_what_the_next_takes(book: Book) -> None:
    book.add(book.cast.result(book.cid, book.head, CUT, assembles=True))
    assert book.ledger.median_ms == 0
    book.add(book.bucket(block(0, 0)))
    assert book.ledger.median_ms == 1_000


def test_how_long_a_frame_takes_no_bucket_tells_once_one_was_rendered_whole(book: Book) -> None:
    """Or the buckets of an animation's last frames say that the other ones are too short to be split."""
    book.add(book.cast.result(book.cid, book.head, WHOLE, render_ms=60_000))
    book.add(*(book.bucket(block(column, row)) for column in range(4) for row in range(2)))
    assert book.ledger.median_ms == 60_000


def test_buckets_are_no_outputs_that_anybody_holds(book: Book) -> None:
    frame = book.cast.result(book.cid, book.head, CUT, assembles=True)
    book.add(book.bucket(block(0, 0)), frame)
    assert isinstance(frame.body.what, Result)
    assert book.ledger.by_output == {frame.body.what.outputs[0].blob: {CUT: None}}


def test_a_struck_authors_buckets_are_open_again_and_its_failures_stop_nothing(book: Book) -> None:
    book.add(book.bucket(block(0, 0, 2, 2)), *book.stop(block(3, 0)))
    assert book.ledger.task(CUT).state is TaskFold.STOPPED
    changed = book.ledger.strike([book.bob.id])
    assert changed is not None
    assert set(changed) == {*book.ledger.parts.of(CUT, block(0, 0, 2, 2)), *book.ledger.parts.of(CUT, block(3, 0)), CUT}
    assert book.cells() == list(range(8))
    assert (book.ledger.cells_counting, book.ledger.stopped) == (0, 0)
