"""A keeper's claims and leases: who gets a task, and when it is free again."""

import pytest

from mesh.core.events import ChannelClosed, DialFailed
from mesh.core.keepers import distance
from mesh.core.leases import _LEASES_PER_SLOT, _STRANGERS_SLOTS
from mesh.core.placement import rank
from mesh.ground.ids import PeerId, RecordId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import (
    KEEPERS,
    LEASE_MS,
    NOTES_PER_TURN,
    RESTARTED_KEEPER_MS,
    RUN_MOST,
    SETTLE_LEAST_MS,
    SETTLE_MOST_MS,
    SETTLE_SAMPLES,
    STALLED_LEAST_MS,
    STALLED_UNKNOWN_MS,
)
from mesh.wire.grids import Block
from mesh.wire.members import Role
from mesh.wire.messages import (
    Available,
    ClaimSent,
    Follow,
    LeaseHeard,
    LeasesHeard,
    Running,
    Window,
    Withdraw,
)
from mesh.wire.records import Cancel
from tests.support.cast import ENGINE, Cast, cut_into
from tests.support.court import Court
from tests.support.rig import news, sent


@pytest.fixture
def court(cast: Cast) -> Court:
    return Court(cast)


def test_nothing_is_decided_before_the_settle_time_and_then_one_claim_wins(court: Court) -> None:
    claims = [court.claim(actor) for actor in (court.ann, court.bob)]
    court.rig.wait(SETTLE_LEAST_MS - 1)
    assert court.verdicts() == {}
    court.rig.wait(1)
    best = min(claims, key=lambda claim: (rank(court.job, 0, claim.author), claim.id))
    assert court.verdicts() == {claim.id: claim == best for claim in claims}


@pytest.mark.parametrize(("slow", "waits_ms"), [(0, 2 * 90), (2, 2 * 90), (3, SETTLE_MOST_MS)])
def test_the_settle_time_is_twice_the_way_to_the_middle_one_whatever_the_slowest_takes(
    court: Court, slow: int, waits_ms: int
) -> None:
    """Who answers late, on purpose or not, made every claim in the mesh wait a second once."""
    for number, actor in enumerate((court.stranger, court.other, court.bob, court.ann)):
        for _ in range(SETTLE_SAMPLES):
            court.rig.peer.contacting.measured(actor.id, 5_000 if number < slow else 90)
    claim = court.claim(court.ann)
    court.rig.wait(waits_ms - 1)
    assert court.verdicts() == {}
    court.rig.wait(1)
    assert court.verdicts() == {claim.id: True}


def test_a_keepers_word_does_not_change_while_the_lease_lives(court: Court) -> None:
    first = court.granted(court.bob)
    second = court.claim(court.ann)
    assert court.verdicts()[second.id] is False
    court.rig.hear(court.bob, ClaimSent(claims=(first,)))
    assert court.verdicts()[first.id] is True


def test_who_claims_twice_while_it_waits_has_one_claim(court: Court) -> None:
    for _ in range(50):
        court.claim(court.ann)
    assert [len(waiting.claims) for waiting in court.docket.pending.values()] == [1]


def test_a_task_that_was_given_up_is_settled_anew(court: Court) -> None:
    first = court.claim(court.ann)
    court.rig.wait(SETTLE_LEAST_MS - 10)
    court.rig.hear(court.ann, Withdraw(job=court.job, claims=(first.id,)))
    second = court.claim(court.bob)
    court.rig.wait(SETTLE_LEAST_MS - 1)
    assert court.verdicts() == {}, "the settle time of a claim that is gone decides nothing"
    court.rig.wait(1)
    assert court.verdicts() == {second.id: True}


def test_nobody_holds_many_more_tasks_than_it_has_slots_for(cast: Cast) -> None:
    court = Court(cast, frames=200)
    court.proves(court.ann, RUN_MOST)
    claims = tuple(cast.claim(court.ann, court.head, task) for task in range(200))
    court.rig.hear(court.ann, ClaimSent(claims=claims[:100]))
    court.rig.wait(SETTLE_LEAST_MS)
    court.rig.hear(court.ann, Running(claims=claims[100:]), ClaimSent(claims=claims[:100]))
    court.rig.wait(SETTLE_LEAST_MS)
    held = [lease for lease in court.docket.leases.values() if lease.holder == court.ann.id]
    assert 1 + RUN_MOST <= len(held) <= 2 * (1 + RUN_MOST)
    assert sum(court.verdicts().values()) == len(held)
    free = next(task for task in range(200) if task not in court.docket.leases)
    court.granted(court.bob, free)


def test_whoever_claims_everything_again_and_again_leaves_the_rest_open_to_others(cast: Cast) -> None:
    """While a claim waits for its settle time its task is open to nobody."""
    court = Court(cast, frames=200)
    court.proves(court.ann, RUN_MOST)
    for _ in range(5):
        for at in range(0, 200, 50):
            claims = tuple(cast.claim(court.ann, court.head, task) for task in range(at, at + 50))
            court.rig.hear(court.ann, ClaimSent(claims=claims))
            occupied = [task for task in range(200) if court.rig.peer.leases.taken(court.job, task)]
            assert len(occupied) <= 2 * (1 + RUN_MOST)
            assert not court.verdicts()[claims[-1].id], "it is told at once"
        court.rig.wait(SETTLE_LEAST_MS // 2)
    free = next(task for task in range(200) if not court.rig.peer.leases.taken(court.job, task))
    court.granted(court.bob, free)


def test_a_claim_in_anothers_name_is_not_heard(court: Court) -> None:
    claim = court.cast.claim(court.ann, court.head, 0)
    court.rig.hear(court.bob, ClaimSent(claims=(claim,)))
    assert court.docket.pending == {}


def test_a_task_that_has_its_result_is_taken(court: Court) -> None:
    court.rig.take(court.head, court.cast.result(court.ann, court.head, 0), by=court.ann)
    claim = court.claim(court.bob)
    assert court.verdicts()[claim.id] is False


def test_who_renders_what_another_has_rendered_is_told_so(court: Court) -> None:
    """It has no records but its own, and would render to the end."""
    claim = court.granted(court.bob)
    court.rig.clear()
    court.rig.take(court.head, court.cast.result(court.ann, court.head, 0), by=court.ann)
    assert court.verdicts() == {claim.id: False}


def test_whose_own_result_counts_is_told_nothing(court: Court) -> None:
    court.granted(court.bob)
    court.rig.clear()
    court.rig.take(court.head, court.cast.result(court.bob, court.head, 0), by=court.bob)
    assert court.verdicts() == {}


def test_silence_ends_a_lease_and_a_heartbeat_keeps_it(court: Court) -> None:
    claim = court.granted(court.bob)
    for _ in range(5):
        court.rig.wait(LEASE_MS - SECOND_MS)
        court.beat(court.bob, claim)
    assert 0 in court.docket.leases
    court.rig.wait(LEASE_MS + SECOND_MS)
    assert court.docket.leases == {}


def test_another_keepers_word_keeps_a_lease_but_no_strangers(court: Court) -> None:
    claim = court.granted(court.bob)
    heard = LeaseHeard(claim=claim.id, holder=court.bob.id, task=0, attempt=1, progress=0)
    for _ in range(4):
        court.rig.wait(LEASE_MS - SECOND_MS, court.other)
        court.rig.hear(court.other, LeasesHeard(job=court.job, leases=(heard,)))
    assert 0 in court.docket.leases
    for _ in range(2):
        court.rig.wait(LEASE_MS - SECOND_MS, court.other)
        court.rig.hear(court.stranger, LeasesHeard(job=court.job, leases=(heard,)))
    assert court.docket.leases == {}


def test_a_claim_has_one_lease_though_another_keeper_tells_of_it_at_another_task(court: Court) -> None:
    """Nothing ended the first one, and its task was open to nobody here until the job's end."""
    claim = court.claim(court.bob, 2)
    heard = LeaseHeard(claim=claim.id, holder=court.bob.id, task=3, attempt=1, progress=0)
    court.rig.hear(court.other, LeasesHeard(job=court.job, leases=(heard,)))
    assert list(court.docket.leases) == [3]
    court.rig.wait(SETTLE_LEAST_MS)
    assert court.verdicts()[claim.id] is True
    assert list(court.docket.leases) == [2]


def test_who_keeps_no_job_cannot_occupy_its_tasks(court: Court) -> None:
    heard = LeaseHeard(claim=court.job, holder=court.stranger.id, task=3, attempt=1, progress=0)  # type: ignore[arg-type]
    court.rig.hear(court.stranger, LeasesHeard(job=court.job, leases=(heard,)))
    assert court.docket.leases == {}


def test_another_keeper_cannot_fill_a_job_with_leases_that_nobody_could_have(cast: Cast) -> None:
    court = Court(cast, frames=400)
    for number, holder in enumerate((court.bob.id, PeerId(bytes(32)), PeerId(b"1" * 32))):
        told = tuple(
            LeaseHeard(
                claim=RecordId(bytes([number, task % 256]) * 16), holder=holder, task=task, attempt=1, progress=0
            )
            for task in range(200 * (number > 1), 200 * (1 + (number > 1)))
        )
        court.rig.hear(court.other, LeasesHeard(job=court.job, leases=told))
    holders = [lease.holder for lease in court.docket.leases.values()]
    assert holders.count(court.bob.id) == _LEASES_PER_SLOT
    assert len(holders) == (1 + _STRANGERS_SLOTS) * _LEASES_PER_SLOT


def test_only_the_closest_keepers_are_believed_of_leases(cast: Cast) -> None:
    court = Court(cast)
    keepers = [court.other, *(cast.actor(f"keeper {number}") for number in range(2 * KEEPERS))]
    court.rig.meet(*keepers[1:])
    court.rig.hear(court.ann, news(marks=tuple(cast.mark(keeper, court.head) for keeper in keepers)))
    here = court.rig.me.id
    farthest = max((keeper for keeper in keepers), key=lambda keeper: distance(keeper.id, court.job))
    assert farthest.id != here
    heard = LeaseHeard(claim=RecordId(bytes(32)), holder=court.bob.id, task=3, attempt=1, progress=0)
    court.rig.hear(farthest, LeasesHeard(job=court.job, leases=(heard,)))
    assert court.docket.leases == {}
    closest = min((keeper for keeper in keepers), key=lambda keeper: distance(keeper.id, court.job))
    court.rig.hear(closest, LeasesHeard(job=court.job, leases=(heard,)))
    assert list(court.docket.leases) == [3]


def test_what_other_keepers_say_is_not_told_on(court: Court) -> None:
    claim = court.cast.claim(court.bob, court.head, 2)
    heard = LeaseHeard(claim=claim.id, holder=court.bob.id, task=2, attempt=1, progress=0)
    court.rig.hear(court.other, LeasesHeard(job=court.job, leases=(heard,)))
    assert 2 in court.docket.leases
    court.rig.clear()
    court.rig.wait(3 * SECOND_MS, court.other)
    assert sent(court.rig.effects, LeasesHeard) == []


def test_what_is_heard_of_a_lease_is_told_the_other_keepers_each_second(court: Court) -> None:
    claim = court.granted(court.bob)
    court.rig.wait(10, court.other)
    court.rig.clear()
    for _ in range(3):
        court.beat(court.bob, claim)
        court.rig.wait(SECOND_MS, court.other)
    told = sent(court.rig.effects, LeasesHeard)
    assert {peer for peer, _ in told} == {court.other.id}
    assert [[lease.claim for lease in message.leases] for _, message in told] == [[claim.id]] * 3


def test_keepers_do_not_keep_a_silent_peers_lease_alive_by_telling_each_other(court: Court) -> None:
    claim = court.granted(court.bob)
    court.beat(court.bob, claim)
    court.rig.wait(SECOND_MS, court.other)
    court.rig.clear()
    court.rig.wait(LEASE_MS - 2 * SECOND_MS, court.other)
    assert 0 in court.docket.leases
    assert sent(court.rig.effects, LeasesHeard) == []


def test_a_lease_that_another_keeper_hears_ends_no_later_than_one_of_its_own(court: Court) -> None:
    claim = court.cast.claim(court.bob, court.head, 2)
    heard = LeaseHeard(claim=claim.id, holder=court.bob.id, task=2, attempt=1, progress=0)
    for _ in range(2):
        court.rig.hear(court.other, LeasesHeard(job=court.job, leases=(heard,)))
        court.rig.wait(SECOND_MS, court.other)
    court.rig.wait(LEASE_MS - 2 * SECOND_MS, court.other)
    assert 2 in court.docket.leases
    court.rig.wait(SECOND_MS, court.other)
    assert court.docket.leases == {}


def test_a_refused_dial_frees_a_dead_peers_tasks_at_once(court: Court) -> None:
    court.granted(court.bob)
    court.rig.tell(ChannelClosed(peer=court.bob.id, clean=False))
    assert 0 in court.docket.leases
    court.rig.tell(DialFailed(peer=court.bob.id, refused=True))
    assert court.docket.leases == {}


def test_a_new_boot_frees_the_old_ones_tasks_at_once(court: Court) -> None:
    court.granted(court.bob)
    court.rig.tell(ChannelClosed(peer=court.bob.id, clean=False))
    court.rig.meet(court.bob, life="another")
    assert court.docket.leases == {}


def test_a_withdrawn_task_is_told_the_followers_as_free(court: Court) -> None:
    court.rig.hear(court.ann, Follow(job=court.job, slots=1))
    court.rig.wait(2 * SECOND_MS, court.ann)
    claim = court.claim(court.bob, 0)
    court.rig.hear(court.bob, Withdraw(job=court.job, claims=(claim.id,)))
    court.rig.clear()
    court.rig.wait(SECOND_MS, court.ann, court.bob)
    windows = [message for peer, message in sent(court.rig.effects, Window) if peer == court.ann.id]
    assert windows
    assert 0 in [task.task for task in windows[-1].open]


def test_nobody_withdraws_anothers_claim(court: Court) -> None:
    claim = court.granted(court.bob)
    court.rig.hear(court.ann, Withdraw(job=court.job, claims=(claim.id,)))
    assert 0 in court.docket.leases


@pytest.mark.parametrize(("rendered", "patience_ms"), [(True, STALLED_LEAST_MS), (False, STALLED_UNKNOWN_MS)])
def test_a_render_without_progress_loses_its_lease_and_the_task_is_another_attempt(
    court: Court, rendered: bool, patience_ms: int
) -> None:
    if rendered:
        court.rig.take(court.head, court.cast.result(court.ann, court.head, 7), by=court.ann)
    claim = court.granted(court.bob)

    def waits(for_ms: int) -> None:
        for _ in range(for_ms // (5 * SECOND_MS)):
            court.rig.wait(5 * SECOND_MS, court.bob, court.ann, court.other)
            court.beat(court.bob, claim, progress=7)

    waits(patience_ms)
    assert 0 in court.docket.leases
    waits(10 * SECOND_MS)
    assert court.docket.leases == {}
    court.rig.hear(court.bob, Running(claims=(claim,)))
    assert court.docket.leases == {}
    assert court.rig.peer.leases.attempt(court.job, 0) == 1


def test_a_render_that_gets_on_keeps_its_lease_for_hours(court: Court) -> None:
    claim = court.granted(court.bob)
    for turn in range(60):
        court.rig.wait(5 * SECOND_MS, court.bob, court.other)
        court.beat(court.bob, claim, progress=turn)
    assert 0 in court.docket.leases


def test_who_may_not_render_gets_no_lease(cast: Cast) -> None:
    court = Court(cast)
    guest = cast.actor("guest", Role.SUBMIT)
    court.rig.meet(guest)
    claim = court.claim(guest)
    court.rig.wait(SETTLE_LEAST_MS)
    assert court.verdicts() == {claim.id: False}
    court.rig.hear(guest, Running(claims=(claim,)))
    assert court.docket.leases == {}


def test_a_keeper_that_did_not_see_the_submission_waits_for_the_leases_that_live(cast: Cast) -> None:
    court = Court(cast, fresh=False)
    court.rig.hear(court.bob, Follow(job=court.job, slots=1))
    assert sent(court.rig.effects, Window) == []
    early = court.claim(court.bob, 0)
    running = court.cast.claim(court.ann, court.head, 1)
    court.rig.hear(court.ann, Running(claims=(running,)))
    court.rig.wait(SECOND_MS, court.ann)
    assert early.id not in court.verdicts()
    for _ in range(RESTARTED_KEEPER_MS // SECOND_MS):
        court.beat(court.ann, running)
        court.rig.wait(SECOND_MS, court.ann, court.bob)
    windows = [message for _, message in sent(court.rig.effects, Window)]
    assert [task.task for task in windows[-1].open] == [0, 2, 3, 4]
    late = court.claim(court.bob, 1)
    assert court.verdicts()[late.id] is False


def test_the_leases_of_a_peer_with_thousands_of_tasks_end_in_one_turn(cast: Cast) -> None:
    court = Court(cast, frames=NOTES_PER_TURN + 100)
    court.rig.hear(
        court.bob, Available(engines=(ENGINE,), slots=1_024, busy=0, cores=4, memory_mb=8_000, draining=False)
    )
    court.proves(court.bob, RUN_MOST)
    claims = [court.cast.claim(court.bob, court.head, task) for task in range(NOTES_PER_TURN + 50)]
    for at in range(0, len(claims), 32):
        court.rig.hear(court.bob, Running(claims=tuple(claims[at : at + 32])))
    assert len(court.docket.leases) == len(claims)
    court.rig.wait(LEASE_MS + 2 * SECOND_MS)
    assert court.docket.leases == {}


def test_a_lease_of_a_task_that_does_not_exist_is_not_heard(court: Court) -> None:
    claim = court.cast.claim(court.bob, court.head, 8)
    court.rig.hear(court.bob, Running(claims=(claim,)), ClaimSent(claims=(claim,)))
    assert court.docket.leases == {}
    assert court.docket.pending == {}


def test_a_cancelled_or_sealed_job_has_no_docket(court: Court) -> None:
    court.granted(court.bob)
    court.rig.take(court.head, court.cast.entry(court.ann, court.head, Cancel()), by=court.ann)
    assert court.job not in court.rig.peer.leases.dockets
    court.claim(court.bob, 1)
    court.rig.wait(MINUTE_MS)
    assert court.job not in court.rig.peer.leases.dockets


def test_an_assembly_that_waits_for_buckets_does_not_hang_and_one_that_has_them_all_does(cast: Cast) -> None:
    court = Court(cast, frames=1, cut=cut_into(2, 1))
    claim = cast.claim(court.ann, court.head, 0, assembles=True)
    court.rig.hear(court.ann, ClaimSent(claims=(claim,)))
    court.rig.wait(SETTLE_LEAST_MS)
    halves = [cast.result(court.bob, court.head, 0, block=Block(column=c, row=0, columns=1, rows=1)) for c in (0, 1)]
    court.rig.take(court.head, halves[0], by=court.bob)

    def lives_for(for_ms: int) -> bool:
        for _ in range(for_ms // SECOND_MS):
            court.beat(court.ann, claim)
            court.rig.wait(SECOND_MS, court.ann, court.bob, court.other)
        return claim.id in court.docket.by_claim

    assert lives_for(STALLED_LEAST_MS + 10 * SECOND_MS)
    court.rig.take(court.head, halves[1], by=court.bob)
    assert lives_for(STALLED_LEAST_MS - 10 * SECOND_MS)
    assert not lives_for(20 * SECOND_MS)
