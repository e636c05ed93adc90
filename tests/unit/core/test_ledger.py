"""The ledger's bounds: what one author may say, and that every peer keeps the same of it."""

import sys
from itertools import permutations

from mesh.core.ledger import JobLedger
from mesh.ground.ids import BlobId, RecordId
from mesh.ground.limits import LOST_PER_AUTHOR, LOST_PER_BUCKET, SEALS_PER_AUTHOR
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.records import Entry, Lost, Result, Seal, SealedTask, SealPage
from tests.support.cast import Cast, blob, cut_into


def test_an_author_that_says_too_much_is_heard_alike_everywhere() -> None:
    cast = Cast()
    ann, bob = cast.actor("ann"), cast.actor("bob")
    head = cast.head(ann, frames=4)
    seals = [cast.entry(bob, head, Seal(blob=BlobId(bytes([number]) * 32))) for number in range(SEALS_PER_AUTHOR + 2)]
    kept = []
    for order in permutations(seals, len(seals)):
        ledger = JobLedger(head)
        for entry in order:
            ledger.add(entry)
        kept.append((sorted(ledger.entries), ledger.digest()))
        if len(kept) == 60:
            break
    assert kept == [kept[0]] * 60
    assert len(kept[0][0]) == SEALS_PER_AUTHOR


def test_only_the_submitter_can_reopen_more_than_a_few_tasks() -> None:
    cast = Cast()
    ann, bob, cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
    head = cast.head(ann, frames=8)
    results = [cast.result(bob, head, task) for task in range(8)]
    for author, reopened in ((cid, LOST_PER_AUTHOR), (ann, 8)):
        ledger = JobLedger(head)
        for entry in results:
            ledger.add(entry)
        assert ledger.all_count
        for entry in results:
            ledger.add(cast.lost(author, head, entry))
        assert len(list(ledger.open_frames())) == reopened
        assert ledger.counting == 8 - reopened


def test_all_buckets_that_a_host_took_with_it_can_be_said_to_be_lost_by_one_peer() -> None:
    """Hundreds, where a person chose small ones; of one bucket again and again only the submitter may say it."""
    cast = Cast()
    ann, bob, cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
    head = cast.head(ann, frames=1, cut=cut_into(20, 20))
    blocks = [Block(column=column, row=row, columns=1, rows=1) for column in range(20) for row in range(20)]
    ledger = JobLedger(head)
    for attempt in range(1, 5):
        results = [cast.result(bob, head, 0, attempt, block=block) for block in blocks]
        for entry in results:
            ledger.add(entry)
        assert ledger.cells_counting == 400
        for entry, block in zip(results, blocks, strict=True):
            assert ledger.may_say_bucket_lost(cid.id, 0, block) == (attempt <= LOST_PER_BUCKET)
            ledger.add(cast.lost(cid, head, entry))
        if attempt <= LOST_PER_BUCKET:
            assert ledger.cells_counting == 0


def test_a_statement_of_loss_acts_on_nothing_but_what_it_names() -> None:
    """Or whoever may say it of a few frames says it of many, by calling each a bucket of another one."""
    cast = Cast()
    ann, bob, cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
    head = cast.head(ann, frames=2, cut=cut_into(4, 4))
    block = Block(column=0, row=0, columns=1, rows=1)
    ledger = JobLedger(head)
    for entry in (cast.result(bob, head, 0), cast.result(bob, head, 1), cast.result(bob, head, 1, block=block)):
        ledger.add(entry)
        for task, part in ((0, None), (1, None), (1, block)):
            what = entry.body.what
            assert isinstance(what, Result)
            if (what.task, what.block) != (task, part):
                ledger.add(cast.entry(cid, head, Lost(task=task, result=RecordId(entry.id), block=part)))
    assert (ledger.counting, ledger.cells_counting) == (2, 1)


def test_a_statement_of_loss_costs_as_much_however_many_were_said() -> None:
    cast = Cast()
    ann = cast.actor("ann")
    head = cast.head(ann, frames=600)
    ledger = JobLedger(head)
    costs = []
    for task in range(600):
        lost = cast.entry(ann, head, Lost(task=task, result=RecordId(blob(f"result {task}"))))
        costs.append(_steps(ledger, lost))
    assert costs[-1] <= 2 * costs[10]


def _steps(ledger: JobLedger, entry: Signed[Entry]) -> int:
    """Add a record, and count the calls that it takes."""
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, _arg: calls.append(event))
    try:
        ledger.add(entry)
    finally:
        sys.setprofile(None)
    return len(calls)


def test_a_struck_authors_loss_acts_no_more_once_the_seal_that_let_it_act_is_said_too_often() -> None:
    cast = Cast()
    ann, bob, thief = cast.actor("ann"), cast.actor("bob"), cast.actor("thief")
    head = cast.head(ann, frames=1)
    result = cast.result(bob, head, 0)
    *lower, highest = [cast.entry(bob, head, Seal(blob=BlobId(bytes([number]) * 32))) for number in range(1, 6)]
    page = SealPage(job=result.body.job, tasks=(SealedTask(result=result, holds=()),), chains=())
    ledger = JobLedger(head, [thief.id])
    for entry in (result, highest, cast.lost(thief, head, result)):
        ledger.add(entry)
    ledger.add_seal(highest, page)
    assert ledger.counting == 0
    changed = [ledger.add(entry) for entry in lower]
    assert not ledger.seals, "four lower ones stay, whose pages were not read"
    assert (ledger.counting, changed[-1]) == (1, (0,))
