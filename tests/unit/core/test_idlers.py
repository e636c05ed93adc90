"""Who claims and renders nothing, or wrongly: how much it may have, and when others come first."""

import pytest

from mesh.core.placement import rank
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import (
    RUN_MOST,
    SETTLE_LEAST_MS,
    SETTLE_MOST_MS,
    STALLED_LEAST_MS,
    STALLED_UNKNOWN_MS,
    UNANSWERED_MS,
)
from mesh.wire.envelope import Signed
from mesh.wire.messages import ClaimSent
from mesh.wire.records import Claim, Output, Result
from tests.support.cast import Cast, blob, cut_into
from tests.support.court import Court


@pytest.fixture
def court(cast: Cast) -> Court:
    return Court(cast)


def test_who_claims_all_that_there_is_has_two_tasks_a_slot_until_its_results_count(cast: Cast) -> None:
    """A hoarder of two slots had 48 tasks of a job of 50 until its leases stalled, after minutes."""
    court = Court(cast, frames=100)

    def held() -> int:
        for task in range(50):
            court.claim(court.bob, task)
        court.rig.wait(SETTLE_LEAST_MS)
        return len(court.docket.leases)

    assert held() == 2
    for done in range(1, RUN_MOST + 3):
        court.rig.take(court.head, court.cast.result(court.bob, court.head, 100 - done), by=court.bob)
        assert held() == 2 * min(1 + done, 1 + RUN_MOST)


def test_two_whose_results_take_each_others_place_gain_nothing_by_it(court: Court) -> None:
    court.claim(court.stranger, 1)
    court.rig.take(court.head, court.cast.result(court.ann, court.head, 0, 2), by=court.ann)
    assert (court.docket.proven[court.ann.id], court.docket.proven[court.bob.id]) == (1, 0)
    court.rig.take(court.head, court.cast.result(court.bob, court.head, 0, 1), by=court.bob)
    assert (court.docket.proven[court.ann.id], court.docket.proven[court.bob.id]) == (0, 1)


def stall(court: Court, *claims: Signed[Claim]) -> None:
    """Let claims of Bob's end for want of progress, before there is any result."""
    for _ in range(STALLED_UNKNOWN_MS // (5 * SECOND_MS) + 1):
        for claim in claims:
            court.beat(court.bob, claim)
        court.rig.wait(5 * SECOND_MS, court.bob, court.ann, court.other)
    assert court.docket.leases == {}


def test_who_let_a_lease_stall_comes_last_for_any_task(court: Court) -> None:
    stall(court, court.granted(court.bob))
    mine = [task for task in range(8) if rank(court.job, task, court.bob.id) < rank(court.job, task, court.ann.id)]
    assert mine, "it would have some before Ann, by rank"
    for task in mine[:2]:
        idlers, others = court.claim(court.bob, task, 2), court.claim(court.ann, task, 2)
        court.rig.wait(SETTLE_LEAST_MS)
        assert court.verdicts()[others.id]
        assert not court.verdicts()[idlers.id]


def test_who_let_a_lease_stall_before_any_result_has_no_quarter_of_an_hour_again(court: Court) -> None:
    stall(court, court.granted(court.bob))
    again = court.granted(court.bob, settle_ms=SETTLE_MOST_MS)
    for _ in range(STALLED_LEAST_MS // (5 * SECOND_MS) + 1):
        assert 0 in court.docket.leases
        court.beat(court.bob, again)
        court.rig.wait(5 * SECOND_MS, court.bob, court.ann, court.other)
    assert court.docket.leases == {}


def test_who_is_far_off_has_time_to_claim_before_who_let_a_lease_stall(court: Court) -> None:
    """A member that claims at once what it never renders, and lives next to the keeper, had its task again for ever."""
    stall(court, court.granted(court.bob))
    idlers = court.claim(court.bob, 0, 2)
    court.rig.wait(SETTLE_MOST_MS - SETTLE_LEAST_MS - 1)
    assert idlers.id not in court.verdicts()
    assert not court.docket.taken(0), "others are told that it is open"
    others = court.claim(court.ann, 0, 2)
    assert court.docket.taken(0)
    court.rig.wait(SETTLE_LEAST_MS)
    assert court.verdicts()[others.id]
    assert not court.verdicts()[idlers.id]


def test_whose_picture_was_rejected_comes_last_until_a_result_of_its_counts(court: Court) -> None:
    wrong, right = court.cast.result(court.bob, court.head, 0), court.cast.result(court.bob, court.head, 1)
    court.rig.take(court.head, wrong, court.cast.reject(court.bob, court.head, wrong), by=court.bob)
    assert court.docket.idlers == {}, "he may reject nothing"
    court.rig.take(court.head, court.cast.reject(court.ann, court.head, wrong), by=court.ann)
    assert list(court.docket.idlers) == [court.bob.id]
    court.rig.take(court.head, right, by=court.bob)
    assert court.docket.idlers == {}


def test_where_nobody_else_claims_who_let_a_lease_stall_has_it_before_it_begins_unanswered(court: Court) -> None:
    stall(court, court.granted(court.bob))
    court.granted(court.bob, 0, settle_ms=SETTLE_MOST_MS)
    assert SETTLE_MOST_MS < UNANSWERED_MS


def test_who_let_a_lease_stall_has_one_assembly_a_slot_until_a_result_of_its_counts(cast: Cast) -> None:
    court = Court(cast, frames=8, cut=cut_into(2, 2))
    claims = [cast.claim(court.bob, court.head, frame, assembles=True) for frame in range(2)]
    court.rig.hear(court.bob, ClaimSent(claims=(claims[0],)))
    court.rig.wait(SETTLE_MOST_MS)
    court.docket.idlers[court.bob.id] = None
    court.rig.hear(court.bob, ClaimSent(claims=(claims[1],)))
    court.rig.wait(SETTLE_MOST_MS)
    assert [court.verdicts()[claim.id] for claim in claims] == [True, False]


def test_who_let_a_lease_stall_has_one_task_a_slot_until_a_result_of_its_counts(court: Court) -> None:
    """Who claims all that is open, and renders nothing, had all that others did not claim at that moment for ever."""
    stall(court, *(court.granted(court.bob, task) for task in range(2)))
    first = court.granted(court.bob, 0, settle_ms=SETTLE_MOST_MS)
    ahead = court.claim(court.bob, 1)
    court.rig.wait(SETTLE_MOST_MS)
    assert not court.verdicts()[ahead.id]
    result = court.cast.entry(
        court.bob,
        court.head,
        Result(claim=first, outputs=(Output(blob=blob("a picture"), size=1),), render_ms=1, log=None),
    )
    court.rig.take(court.head, result, by=court.bob)
    court.granted(court.bob, 1)
    court.granted(court.bob, 2)
