"""Which picture stands: the rules of acceptance, one by one."""

import pytest

from mesh.core.fold import NOTHING, TaskFold, fold_task
from mesh.core.ledger import JobLedger
from mesh.ground.ids import RecordId
from mesh.ground.limits import FAILURES_PER_TRY, LOST_PER_AUTHOR
from mesh.wire.envelope import Signed, sign
from mesh.wire.records import UNFIT_KINDS, Cancel, Entry, FailureKind, Seal, SealedTask, SealPage
from tests.support.cast import Cast, blob


def fold(*records: Signed[Entry], lost: tuple[Signed[Entry], ...] = (), tries: int = 3) -> tuple[TaskFold, bytes]:
    folded = fold_task(records, {RecordId(entry.id): None for entry in lost}, tries)
    return folded.state, folded.counting.id if folded.counting else b""


def test_a_task_without_records_is_open() -> None:
    assert fold() == (TaskFold.OPEN, b"")
    assert NOTHING.state is TaskFold.OPEN


def test_the_lowest_attempt_counts_whichever_came_first(cast: Cast) -> None:
    ann = cast.actor("ann")
    head = cast.head(ann)
    first, second = cast.result(ann, head, 0, 1), cast.result(ann, head, 0, 2)
    assert fold(second, first) == (TaskFold.COUNTS, first.id)


def test_of_equal_attempts_the_lowest_id_counts(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    head = cast.head(ann)
    results = [cast.result(author, head, 0, 1, label=str(turn)) for author in (ann, bob) for turn in range(4)]
    assert fold(*results) == (TaskFold.COUNTS, min(entry.id for entry in results))


def test_a_lost_result_gives_way_to_any_other_and_its_task_is_open_until_then(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    head = cast.head(ann)
    first, later = cast.result(ann, head, 0, 1), cast.result(bob, head, 0, 7)
    assert fold(first, lost=(first,)) == (TaskFold.OPEN, b"")
    assert fold(first, later, lost=(first,)) == (TaskFold.COUNTS, later.id)


def test_a_result_beats_failures(cast: Cast) -> None:
    people = [cast.actor(name) for name in ("ann", "bob", "cid")]
    head = cast.head(people[0])
    failures = [cast.failed(author, head, 0) for author in people]
    result = cast.result(people[0], head, 0, 9)
    assert fold(*failures) == (TaskFold.STOPPED, b"")
    assert fold(*failures, result) == (TaskFold.COUNTS, result.id)


@pytest.mark.parametrize(
    ("authors", "each", "state"),
    [
        (1, 1, TaskFold.OPEN),
        (1, 3 * FAILURES_PER_TRY - 1, TaskFold.OPEN),
        (1, 3 * FAILURES_PER_TRY, TaskFold.STOPPED),
        (2, 4, TaskFold.OPEN),
        (3, 1, TaskFold.STOPPED),
    ],
)
def test_a_task_stops_after_three_authors_or_three_times_as_many_failures(
    cast: Cast, authors: int, each: int, state: TaskFold
) -> None:
    people = [cast.actor(f"p{number}") for number in range(authors)]
    head = cast.head(people[0])
    assert fold(*(cast.failed(author, head, 0, turn + 1) for author in people for turn in range(each)))[0] is state


@pytest.mark.parametrize("kind", sorted(UNFIT_KINDS))
@pytest.mark.parametrize(("authors", "state"), [(3, TaskFold.OPEN), (8, TaskFold.OPEN), (9, TaskFold.STOPPED)])
def test_hosts_whose_own_disk_or_engine_fails_stop_no_task_that_others_can_render(
    cast: Cast, kind: FailureKind, authors: int, state: TaskFold
) -> None:
    people = [cast.actor(f"p{number}") for number in range(authors)]
    head = cast.head(people[0])
    assert fold(*(cast.failed(author, head, 0, kind=kind) for author in people))[0] is state


def test_who_is_unfit_adds_nothing_to_those_who_found_the_task_at_fault(cast: Cast) -> None:
    people = [cast.actor(f"p{number}") for number in range(5)]
    head = cast.head(people[0])
    unfit = [cast.failed(author, head, 0, kind=FailureKind.DISK_FULL) for author in people[:3]]
    crashed = [cast.failed(author, head, 0) for author in people[2:]]
    assert fold(*unfit, *crashed[:2])[0] is TaskFold.OPEN
    assert fold(*unfit, *crashed)[0] is TaskFold.STOPPED


def test_the_highest_attempt_of_any_record_is_remembered(cast: Cast) -> None:
    ann = cast.actor("ann")
    head = cast.head(ann)
    assert fold_task([cast.result(ann, head, 0, 2), cast.failed(ann, head, 0, 5)], {}, 3).attempt == 5


def test_a_liar_can_reopen_three_tasks_of_a_job_and_no_more(cast: Cast) -> None:
    ann, liar = cast.actor("ann"), cast.actor("liar")
    head = cast.head(ann, frames=10)
    ledger = JobLedger(head)
    results = [cast.result(ann, head, task) for task in range(10)]
    lies = [cast.lost(liar, head, result) for result in results]
    for entry in (*lies, *results):
        ledger.add(entry)
    assert list(ledger.open_frames()) == sorted(
        lie.body.what.task for lie in sorted(lies, key=lambda lie: lie.id)[:LOST_PER_AUTHOR]
    )


def test_a_lower_statement_of_loss_takes_the_place_of_a_higher_one(cast: Cast) -> None:
    ann, liar = cast.actor("ann"), cast.actor("liar")
    head = cast.head(ann, frames=4)
    ledger = JobLedger(head)
    results = [cast.result(ann, head, task) for task in range(4)]
    lies = sorted((cast.lost(liar, head, result) for result in results), key=lambda lie: lie.id, reverse=True)
    for entry in (*results, *lies[:3]):
        ledger.add(entry)
    assert ledger.counting == 1
    changed = ledger.add(lies[3])
    pushed_out, lowest = lies[0].body.what.task, lies[3].body.what.task
    assert changed == tuple(sorted((pushed_out, lowest)))
    assert ledger.task(pushed_out).state is TaskFold.COUNTS
    assert ledger.task(lowest).state is TaskFold.OPEN


def test_a_record_that_is_known_changes_nothing(cast: Cast) -> None:
    ann = cast.actor("ann")
    head = cast.head(ann)
    ledger = JobLedger(head)
    entry = cast.result(ann, head, 0)
    assert ledger.add(entry) == (0,)
    digest = ledger.digest()
    assert ledger.add(entry) is None
    assert ledger.digest() == digest


def test_there_is_no_open_task_beyond_the_last(cast: Cast) -> None:
    ledger = JobLedger(cast.head(cast.actor("ann"), frames=3))
    assert ledger.is_open(2)
    assert not ledger.is_open(3)
    assert not ledger.is_open(-1)


def sealed(cast: Cast, author: object, head: object, label: str) -> tuple[Signed[Entry], SealPage]:
    page = SealPage(job=head.job.id, tasks=(SealedTask(result=None, holds=()),), chains=())  # type: ignore[attr-defined]
    return cast.entry(author, head, Seal(blob=blob(label))), page  # type: ignore[arg-type]


def test_the_submitters_seal_wins_and_else_the_lowest_page(cast: Cast) -> None:
    ann, bob, cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
    head = cast.head(ann, frames=1)
    theirs = [sealed(cast, author, head, author.name) for author in (bob, cid)]
    own = sealed(cast, ann, head, "ann")
    for order in (theirs, theirs[::-1]):
        ledger = JobLedger(head)
        for seal in order:
            ledger.add_seal(*seal)
        assert ledger.sealed is not None
        assert ledger.sealed[0].body.what.blob == min(seal[0].body.what.blob for seal in theirs)
        ledger.add_seal(*own)
        assert ledger.sealed[0].author == ann.id


def test_a_cancel_stands_above_every_seal(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    head = cast.head(ann, frames=1)
    ledger = JobLedger(head)
    ledger.add_seal(*sealed(cast, bob, head, "bob"))
    assert ledger.ended
    assert ledger.cancel is None
    ledger.add(cast.entry(ann, head, Cancel()))
    assert ledger.cancel is not None
    assert list(ledger.open_frames()) == []


def test_the_same_body_signed_again_is_the_same_record(cast: Cast) -> None:
    ann = cast.actor("ann")
    head = cast.head(ann)
    ledger = JobLedger(head)
    entry = cast.failed(ann, head, 0)
    ledger.add(entry)
    assert ledger.add(sign(entry.body, ann.signer)) is None
