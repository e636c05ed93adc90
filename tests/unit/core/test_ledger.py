"""The ledger's bounds: what one author may say, and that every peer keeps the same of it."""

from itertools import permutations

from mesh.core.ledger import JobLedger
from mesh.ground.ids import BlobId
from mesh.ground.limits import LOST_PER_AUTHOR, SEALS_PER_AUTHOR
from mesh.wire.records import Seal
from tests.support.cast import Cast


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
