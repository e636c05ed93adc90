"""What others say of a result: who must agree, who may reject, and what falls with a rejected bucket."""

import pytest

from mesh.core.fold import TaskFold
from mesh.core.judge import acts, valid_page
from mesh.core.ledger import JobLedger
from mesh.ground.limits import FAILURES_PER_TRY
from mesh.wire.envelope import Signed
from mesh.wire.members import Role
from mesh.wire.records import Check, Entry, Result, Seal, SealedTask, SealPage, Vouch
from tests.support.cast import Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig

CUT = 1
"""The second of two frames is cut into two by one cells."""


class Case:
    """A job of ann's, with cid for a judge."""

    def __init__(self, cast: Cast, *, twice: bool = True, cut: bool = False) -> None:
        self.cast = cast
        self.ann, self.bob, self.cid, self.dan = (cast.actor(name) for name in ("ann", "bob", "cid", "dan"))
        check = Check.TWICE if twice else Check.ONCE
        self.head = cast.head(self.ann, frames=2, cut=cut_into(2, 1) if cut else None, check=check, judges=(self.cid,))
        self.ledger = JobLedger(self.head)

    def add(self, *entries: Signed[Entry]) -> None:
        for entry in entries:
            self.ledger.add(entry)

    @property
    def counting(self) -> bytes | None:
        counting = self.ledger.task(0).counting
        return counting.id if counting is not None else None

    @property
    def waiting(self) -> list[bytes]:
        return [entry.id for entry in self.ledger.task(0).waiting]


@pytest.fixture
def case(cast: Cast) -> Case:
    return Case(cast)


def test_a_result_waits_for_another_author_and_its_task_is_open_until_then(case: Case) -> None:
    result = case.cast.result(case.bob, case.head, 0)
    case.add(result)
    assert (case.counting, case.waiting, case.ledger.waiting) == (None, [result.id], 1)
    assert case.ledger.is_open(0)
    assert case.ledger.task(0).waits_for_others(case.bob.id)
    assert not case.ledger.task(0).waits_for_others(case.dan.id)
    case.add(case.cast.vouch(case.dan, case.head, result))
    assert (case.counting, case.waiting, case.ledger.waiting) == (result.id, [], 0)
    assert not case.ledger.is_open(0)


def test_nobody_vouches_for_himself(case: Case) -> None:
    result = case.cast.result(case.bob, case.head, 0)
    case.add(result, case.cast.vouch(case.bob, case.head, result))
    assert case.counting is None


def test_a_vouch_may_be_here_before_its_result(case: Case) -> None:
    result = case.cast.result(case.bob, case.head, 0)
    case.add(case.cast.vouch(case.dan, case.head, result), result)
    assert case.counting == result.id


def test_a_vouch_for_one_task_is_none_for_another(case: Case) -> None:
    result, other = case.cast.result(case.bob, case.head, 0), case.cast.claim(case.dan, case.head, 1)
    case.add(result, case.cast.entry(case.dan, case.head, Vouch(claim=other, result=result.id, render_ms=1)))  # type: ignore[arg-type]
    assert case.counting is None


def test_where_two_differ_a_third_decides_and_the_lowest_of_those_vouched_for_counts(case: Case) -> None:
    wrong, right = case.cast.result(case.bob, case.head, 0, 1), case.cast.result(case.dan, case.head, 0, 2)
    case.add(wrong, right)
    assert case.waiting == [wrong.id, right.id]
    case.add(case.cast.vouch(case.cid, case.head, right))
    assert case.counting == right.id
    case.add(case.cast.vouch(case.ann, case.head, wrong))
    assert case.counting == wrong.id, "both are vouched for, and it is the lower one"


def test_a_lost_result_waits_for_nobody(case: Case) -> None:
    result = case.cast.result(case.bob, case.head, 0)
    case.add(result, case.cast.lost(case.bob, case.head, result))
    assert case.waiting == []


def test_authors_of_whom_no_two_agree_stop_a_task_with_those_who_failed(cast: Cast) -> None:
    case = Case(cast)
    tries = case.ledger.job.tries
    for number in range(tries * FAILURES_PER_TRY - 1):
        case.add(cast.result(cast.actor(f"p{number}"), case.head, 0))
    assert case.ledger.task(0).state is TaskFold.OPEN
    last = cast.failed(case.bob, case.head, 0)
    case.add(last)
    assert case.ledger.task(0).state is TaskFold.STOPPED
    case.add(cast.vouch(case.dan, case.head, case.ledger.task(0).waiting[0]))
    assert case.ledger.task(0).state is TaskFold.COUNTS


def test_without_a_check_nobody_has_to_agree(cast: Cast) -> None:
    case = Case(cast, twice=False)
    result = cast.result(case.bob, case.head, 0)
    case.add(result)
    assert (case.counting, case.waiting) == (result.id, [])


@pytest.mark.parametrize("twice", [False, True])
def test_a_rejected_result_counts_no_more_and_another_does(cast: Cast, twice: bool) -> None:
    case = Case(cast, twice=twice)
    first, second = cast.result(case.bob, case.head, 0, 1), cast.result(case.dan, case.head, 0, 2)
    vouches = [cast.vouch(case.ann, case.head, result) for result in (first, second)] if twice else []
    case.add(first, *vouches)
    assert case.counting == first.id
    case.add(cast.reject(case.ann, case.head, first))
    assert case.counting is None
    assert case.ledger.is_open(0)
    assert case.ledger.task(0).attempt == 1, "the next attempt is above it"
    case.add(second)
    assert case.counting == second.id
    assert case.ledger.opinions.reason(first) == "it is black"


def test_a_picture_falls_with_a_bucket_that_was_rejected_later(cast: Cast) -> None:
    case = Case(cast, twice=False, cut=True)
    buckets = [cast.result(case.bob, case.head, CUT, block=block(column, 0)) for column in (0, 1)]
    made = cast.result(case.dan, case.head, CUT, assembles=True)
    case.add(*buckets, made)
    assert case.ledger.task(CUT).counting == made
    assert case.ledger.without(CUT) is None
    case.add(cast.reject(case.cid, case.head, buckets[0]))
    assert case.ledger.task(CUT).counting is None
    anew = cast.result(case.bob, case.head, CUT, 2, block=block(0, 0))
    again = cast.result(case.dan, case.head, CUT, 2, assembles=True, without=case.ledger.without(CUT))
    case.add(anew, again)
    assert case.ledger.task(CUT).counting == again


class Court:
    """A peer that judges records of the same job."""

    def __init__(self, cast: Cast, *, twice: bool = True) -> None:
        self.case = Case(cast, twice=twice)
        self.admin, self.guest = cast.founder(), cast.actor("guest", Role.SUBMIT)
        self.rig = Rig(cast, slots=0)
        everybody = (self.case.ann, self.case.bob, self.case.cid, self.case.dan, self.admin, self.guest)
        self.rig.meet(*everybody)
        self.job = self.rig.learn(self.case.head, by=self.case.ann)

    def acts(self, entry: Signed[Entry]) -> bool:
        return acts(entry, self.rig.peer.ledger.jobs[self.job], self.rig.peer.members)

    def sealed(self, by: Actor, vouchers: list[Actor | None]) -> bool:
        case, tasks = self.case, []
        for task, voucher in enumerate(vouchers):
            result = case.cast.result(case.bob, case.head, task)
            assert isinstance(result.body.what, Result)
            output = result.body.what.outputs[0].blob
            holds = tuple(case.cast.hold(holder, case.head, output) for holder in (case.ann, case.cid))
            vouch = case.cast.vouch(voucher, case.head, result) if voucher is not None else None
            tasks.append(SealedTask(result=result, holds=holds, vouch=vouch))
        page = SealPage(job=self.job, tasks=tuple(tasks), chains=())
        seal = case.cast.entry(by, case.head, Seal(blob=blob("page")))
        return valid_page(seal, page, self.rig.peer.ledger.jobs[self.job], self.rig.peer.members)


def test_submitter_judge_and_admin_reject_and_nobody_else(cast: Cast) -> None:
    court = Court(cast)
    case = court.case
    result = cast.result(case.bob, case.head, 0)
    by = {actor.name: court.acts(cast.reject(actor, case.head, result)) for actor in (case.ann, case.cid, court.admin)}
    assert by == {"ann": True, "cid": True, "founder": True}
    assert not any(court.acts(cast.reject(actor, case.head, result)) for actor in (case.bob, case.dan, court.guest))


def test_a_vouch_needs_a_renderer_with_a_claim_of_its_own_and_a_job_that_asks(cast: Cast) -> None:
    court = Court(cast)
    case = court.case
    result = cast.result(case.bob, case.head, 0)
    assert court.acts(cast.vouch(case.dan, case.head, result))
    assert not court.acts(cast.vouch(court.guest, case.head, result)), "it may not render"
    borrowed = Vouch(claim=cast.claim(case.bob, case.head, 0), result=result.id, render_ms=1)  # type: ignore[arg-type]
    assert not court.acts(cast.entry(case.dan, case.head, borrowed))
    plain = Court(cast, twice=False)
    assert not plain.acts(cast.vouch(plain.case.dan, plain.case.head, result))


def test_a_seal_names_a_vouch_of_another_author_for_each_task(cast: Cast) -> None:
    court = Court(cast)
    case = court.case
    for by in (case.ann, case.dan):
        assert court.sealed(by, [case.dan, case.cid])
        assert not court.sealed(by, [case.dan, None])
        assert not court.sealed(by, [case.dan, case.bob]), "it made it"
