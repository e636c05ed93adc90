"""A keeper's leases of buckets: each of all its cells, and of a frame's assembly, which leaves its cells open."""

from collections import Counter
from dataclasses import replace

import pytest

from mesh.core.dockets import Docket, lease_of
from mesh.core.events import ChannelClosed, DialFailed
from mesh.core.leases import _LEASES_PER_SLOT
from mesh.ground.ids import JobId, RecordId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LEASE_MS, RESTARTED_KEEPER_MS, RUN_MOST, SETTLE_LEAST_MS
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.members import Role
from mesh.wire.messages import (
    Beat,
    ClaimSent,
    Head,
    Heartbeat,
    LeaseHeard,
    LeasesHeard,
    Running,
    Verdict,
    Withdraw,
)
from mesh.wire.records import Claim
from tests.support.cast import Actor, Cast, block, cut_into
from tests.support.rig import Rig, sent

WHOLE, CUT = 0, 1
ALL = block(0, 0, 8, 4)
LEFT, RIGHT = block(0, 0, 4, 4), block(4, 0, 4, 4)


class Court:
    """A keeper of ann's job of two frames, the second of eight by four cells; two claimants, and another keeper."""

    def __init__(self, cast: Cast, *, rows: int = 4, fresh: bool = True, whole: bool = False) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.other = cast.actor("ann"), cast.actor("bob"), cast.actor("other keeper")
        self.rig.meet(self.ann, self.bob, self.other)
        self.head: Head = cast.head(self.ann, frames=2, cut=replace(cut_into(8, rows), whole=whole))
        self.job: JobId = self.rig.keep(self.head, self.other, by=self.ann, fresh=fresh)

    @property
    def docket(self) -> Docket:
        return self.rig.peer.leases.dockets[self.job]

    def claim(
        self, actor: Actor, found: Block | None, attempt: int = 1, *, frame: int = CUT, assembles: bool = False
    ) -> Signed[Claim]:
        claim = self.cast.claim(actor, self.head, frame, attempt, block=found, assembles=assembles)
        self.rig.hear(actor, ClaimSent(claims=(claim,)))
        return claim

    def verdicts(self) -> dict[bytes, bool]:
        return {verdict.claim: verdict.yours for _, verdict in sent(self.rig.effects, Verdict)}

    def granted(self, actor: Actor, found: Block, attempt: int = 1) -> Signed[Claim]:
        claim = self.claim(actor, found, attempt)
        assert self.verdicts()[claim.id]
        return claim

    def assembly(self, actor: Actor) -> Signed[Claim]:
        claim = self.claim(actor, None, assembles=True)
        self.rig.wait(SETTLE_LEAST_MS)
        assert self.verdicts()[claim.id]
        return claim

    def runs(self, actor: Actor, found: Block | None) -> None:
        """Hear that somebody renders what nobody here gave it."""
        running = self.cast.claim(actor, self.head, CUT, block=found)
        self.rig.hear(actor, Running(claims=(running,)))

    def copies(self, actor: Actor, found: Block) -> None:
        """Have somebody render what another one does."""
        claim = self.cast.claim(actor, self.head, CUT, block=found)
        self.docket.begin(lease_of(claim, tuple(sorted(self.tasks(found))), self.rig.now.instant))

    def holders(self) -> list[bytes]:
        return [lease.holder for lease in self.docket.by_claim.values()]

    def tasks(self, found: Block) -> set[int]:
        return set(self.rig.peer.ledger.jobs[self.job].parts.of(CUT, found))

    def leased(self) -> set[int]:
        assert {id(lease) for lease in self.docket.leases.values()} == set(map(id, self.docket.by_claim.values()))
        assert self.docket.rendering == sum(not lease.assembles for lease in self.docket.by_claim.values())
        assert self.docket.held == Counter(self.holders())
        tasks = range(self.rig.peer.ledger.jobs[self.job].parts.tasks)
        assert set(self.docket.all_taken()) == set(filter(self.docket.taken, tasks))
        return set(self.docket.leases)

    def takes(self, actor: Actor, found: Block, attempt: int = 1) -> None:
        """Hear that somebody rendered a bucket."""
        self.rig.take(self.head, self.cast.result(actor, self.head, CUT, attempt, block=found), by=actor)

    def tells(self, found: Block | None, *, frame: int = CUT, assembles: bool = False, number: int = 1) -> None:
        """Hear from another keeper that bob has a lease."""
        heard = LeaseHeard(
            claim=RecordId(bytes([number]) * 32),
            holder=self.bob.id,
            task=frame,
            attempt=3,
            progress=0,
            block=found,
            assembles=assembles,
        )
        self.rig.hear(self.other, LeasesHeard(job=self.job, leases=(heard,)))


@pytest.fixture
def court(cast: Cast) -> Court:
    return Court(cast)


def test_a_buckets_claim_is_answered_at_once(court: Court) -> None:
    claim = court.claim(court.bob, LEFT)
    assert court.verdicts() == {claim.id: True}
    assert court.leased() == court.tasks(LEFT)
    assert len(court.docket.by_claim) == 1
    assert court.docket.pending == {}


def test_a_bucket_of_which_a_cell_is_claimed_is_taken_and_what_lies_beside_it_is_not(court: Court) -> None:
    court.granted(court.bob, LEFT)
    over, within, beside = (court.claim(court.ann, found) for found in (ALL, block(2, 2), RIGHT))
    assert [court.verdicts()[claim.id] for claim in (over, within, beside)] == [False, False, True]
    assert court.leased() == court.tasks(ALL)


def test_the_word_does_not_change_while_the_lease_lives(court: Court) -> None:
    claim = court.granted(court.bob, LEFT)
    court.claim(court.ann, LEFT)
    court.rig.clear()
    court.rig.hear(court.bob, ClaimSent(claims=(claim,)))
    assert court.verdicts() == {claim.id: True}


def test_a_bucket_is_claimed_whole_or_not_at_all(court: Court) -> None:
    court.takes(court.ann, block(0, 0))
    claim = court.claim(court.bob, LEFT)
    assert court.verdicts()[claim.id] is False
    assert court.leased() == set()
    court.granted(court.bob, block(2, 0, 2, 2))


def test_a_bucket_of_a_frame_that_counts_is_taken(court: Court) -> None:
    court.rig.take(court.head, court.cast.result(court.ann, court.head, CUT), by=court.ann)
    claim = court.claim(court.bob, LEFT)
    assert court.verdicts()[claim.id] is False


def test_a_lease_lives_until_all_of_its_cells_count(court: Court) -> None:
    court.granted(court.bob, LEFT)
    court.takes(court.ann, block(0, 0, 4, 2))
    assert court.leased() == court.tasks(LEFT)
    court.takes(court.ann, block(0, 2, 4, 2))
    assert court.leased() == set()


def test_a_lease_ends_when_its_frame_counts(court: Court) -> None:
    court.granted(court.bob, LEFT)
    court.assembly(court.ann)
    court.rig.take(court.head, court.cast.result(court.ann, court.head, CUT, assembles=True), by=court.ann)
    assert court.leased() == set()
    assert court.docket.by_claim == {}


def test_a_lease_ends_when_its_frame_is_stopped(court: Court) -> None:
    court.granted(court.bob, LEFT)
    for actor in (court.ann, court.other, court.cast.actor("cid")):
        court.rig.take(court.head, court.cast.failed(actor, court.head, CUT, block=block(7, 3)), by=actor)
    assert court.leased() == set()


def test_a_lease_ends_when_its_holder_failed_and_no_others(court: Court) -> None:
    court.granted(court.bob, LEFT, 2)
    court.granted(court.ann, RIGHT, 1)
    court.rig.take(court.head, court.cast.failed(court.bob, court.head, CUT, 1, block=LEFT), by=court.bob)
    assert court.leased() == court.tasks(ALL), "it failed before, and tries again"
    court.rig.take(court.head, court.cast.failed(court.bob, court.head, CUT, 2, block=LEFT), by=court.bob)
    assert court.leased() == court.tasks(RIGHT)


def test_a_cell_claimed_again_is_another_attempt_until_it_counts(court: Court) -> None:
    claim = court.granted(court.bob, LEFT, 4)
    court.rig.hear(court.bob, Withdraw(job=court.job, claims=(claim.id,)))
    (cell,) = court.tasks(block(3, 3))
    (other,) = court.tasks(block(4, 0))
    assert court.rig.peer.leases.attempt(court.job, cell) == 4
    assert court.rig.peer.leases.attempt(court.job, other) == 0
    court.takes(court.ann, LEFT)
    assert court.rig.peer.leases.attempt(court.job, cell) == 0


def test_a_withdrawn_bucket_is_open_and_nobody_withdraws_anothers(court: Court) -> None:
    claim = court.granted(court.bob, LEFT)
    court.rig.hear(court.ann, Withdraw(job=court.job, claims=(claim.id,)))
    assert court.leased() == court.tasks(LEFT)
    court.rig.hear(court.bob, Withdraw(job=court.job, claims=(claim.id,)))
    assert court.leased() == set()
    assert court.docket.by_claim == {}


def test_a_dead_peers_buckets_are_open_at_once(court: Court) -> None:
    for found in (LEFT, block(4, 0)):
        court.granted(court.bob, found)
    court.assembly(court.bob)
    court.granted(court.ann, block(4, 2, 2, 2))
    court.rig.tell(ChannelClosed(peer=court.bob.id, clean=False))
    court.rig.tell(DialFailed(peer=court.bob.id, refused=True))
    assert court.leased() == court.tasks(block(4, 2, 2, 2))


def test_silence_ends_a_buckets_lease_and_a_heartbeat_keeps_it(court: Court) -> None:
    claim = court.granted(court.bob, LEFT)
    for _ in range(3):
        court.rig.wait(LEASE_MS - SECOND_MS)
        court.rig.hear(court.bob, Heartbeat(job=court.job, beats=(Beat(claim=claim.id, progress=1),)))
    assert court.leased() == court.tasks(LEFT)
    court.rig.wait(LEASE_MS + SECOND_MS)
    assert court.leased() == set()


def test_other_keepers_are_told_of_a_bucket_with_its_cells(court: Court) -> None:
    claim = court.granted(court.bob, LEFT)
    assembly = court.assembly(court.ann)
    told = {lease.claim: lease for _, said in sent(court.rig.effects, LeasesHeard) for lease in said.leases}
    bucket, frame = told[RecordId(claim.id)], told[RecordId(assembly.id)]
    assert (bucket.task, bucket.block, bucket.assembles) == (CUT, LEFT, False)
    assert (frame.task, frame.block, frame.assembles) == (CUT, None, True)


def test_a_bucket_that_another_keeper_tells_of_is_a_lease_of_all_its_cells(court: Court) -> None:
    court.tells(LEFT)
    assert court.leased() == court.tasks(LEFT)
    claim = court.claim(court.ann, block(2, 0, 2, 2))
    assert court.verdicts()[claim.id] is False
    (cell,) = court.tasks(block(0, 0))
    assert court.rig.peer.leases.attempt(court.job, cell) == 3


def test_a_bucket_over_one_that_has_a_lease_is_not_heard(court: Court) -> None:
    claim = court.granted(court.ann, block(0, 0))
    court.tells(LEFT)
    assert court.leased() == court.tasks(block(0, 0))
    running = court.cast.claim(court.bob, court.head, CUT, block=ALL)
    court.rig.hear(court.bob, Running(claims=(running,)))
    assert list(court.docket.by_claim) == [claim.id]


def test_a_bucket_that_its_holder_tells_is_a_lease_while_a_cell_of_it_is_open(court: Court) -> None:
    court.takes(court.ann, block(0, 0, 4, 2))
    running = court.cast.claim(court.bob, court.head, CUT, block=LEFT)
    court.rig.hear(court.bob, Running(claims=(running,)))
    assert court.leased() == court.tasks(LEFT)
    court.takes(court.ann, RIGHT)
    late = court.cast.claim(court.bob, court.head, CUT, block=RIGHT)
    court.rig.hear(court.bob, Running(claims=(late,)))
    court.tells(RIGHT)
    assert court.leased() == court.tasks(LEFT)


def test_an_assembly_is_a_lease_of_the_frame_alone_and_settled_as_frames_are(court: Court) -> None:
    claim = court.claim(court.ann, None, assembles=True)
    assert court.verdicts() == {}
    court.rig.wait(SETTLE_LEAST_MS)
    assert court.verdicts() == {claim.id: True}
    assert court.leased() == {CUT}
    assert court.docket.leases[CUT].assembles
    court.granted(court.bob, ALL)
    again = court.claim(court.bob, None, assembles=True)
    assert court.verdicts()[again.id] is False


def test_a_cell_that_counts_leaves_the_assembly_its_lease(court: Court) -> None:
    court.assembly(court.ann)
    court.takes(court.bob, ALL)
    assert court.leased() == {CUT}


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (CUT, block(1, 0, 2, 1)),
        (CUT, block(8, 0)),
        (CUT, block(0, 0, 16, 4)),
        (CUT, block(0, 0, 4_096, 4_096)),
        (WHOLE, block(0, 0)),
        (99_999, block(0, 0)),
    ],
)
def test_a_block_that_there_is_not_is_nobodys(court: Court, frame: int, found: Block) -> None:
    claim = court.claim(court.bob, found, frame=frame)
    court.rig.hear(court.bob, Running(claims=(claim,)))
    court.tells(found, frame=frame)
    assert court.leased() == set()
    assert court.verdicts() == {}


@pytest.mark.parametrize(("assembles", "buckets"), [(False, _LEASES_PER_SLOT), (True, _LEASES_PER_SLOT - 1)])
def test_nobody_has_many_more_buckets_and_assemblies_than_its_slots_explain(
    cast: Cast, assembles: bool, buckets: int
) -> None:
    court = Court(cast, rows=8)
    if assembles:
        court.assembly(court.bob)
    places = [(column, row) for row in range(8) for column in range(8)]
    claims = [court.claim(court.bob, block(*places.pop(0)))]
    court.docket.proven[court.bob.id] = RUN_MOST
    claims += [court.claim(court.bob, block(*place)) for place in places]
    assert sum(court.verdicts()[claim.id] for claim in claims) == buckets
    court.granted(court.ann, block(7, 7))


@pytest.mark.parametrize("assembles", [False, True])
def test_a_peer_of_which_nothing_counts_yet_has_two_buckets_a_slot_beside_an_assembly(
    court: Court, assembles: bool
) -> None:
    if assembles:
        court.assembly(court.bob)
    claims = [court.claim(court.bob, block(column, 0)) for column in range(6)]
    assert sum(court.verdicts()[claim.id] for claim in claims) == 2


def test_a_keeper_that_begins_credits_whose_buckets_count_already(court: Court) -> None:
    bucket = court.cast.result(court.bob, court.head, CUT, block=LEFT)
    court.rig.take(court.head, bucket, by=court.bob)
    court.rig.peer.leases.dockets.clear()
    court.claim(court.ann, block(7, 3))
    assert court.docket.proven[court.bob.id] == len(court.tasks(LEFT))


def test_who_may_not_render_gets_no_bucket(court: Court) -> None:
    guest = court.cast.actor("guest", Role.SUBMIT)
    court.rig.meet(guest)
    claim = court.claim(guest, LEFT)
    court.rig.hear(guest, Running(claims=(claim,)))
    assert court.verdicts() == {claim.id: False}
    assert court.leased() == set()


def test_a_bucket_in_anothers_name_is_not_heard(court: Court) -> None:
    claim = court.cast.claim(court.ann, court.head, CUT, block=LEFT)
    court.rig.hear(court.bob, ClaimSent(claims=(claim,)), Running(claims=(claim,)))
    assert court.leased() == set()
    assert court.verdicts() == {}


def test_a_keeper_that_did_not_see_the_submission_gives_no_bucket_yet(cast: Cast) -> None:
    court = Court(cast, fresh=False)
    early = court.claim(court.bob, LEFT)
    assert early.id not in court.verdicts()
    court.rig.wait(RESTARTED_KEEPER_MS, court.bob, court.ann, court.other)
    court.granted(court.bob, LEFT)


def test_a_bucket_that_says_it_assembles_is_no_claim_and_no_lease(court: Court) -> None:
    """An assembly waits for others as long as it takes: a bucket must not."""
    claim = court.claim(court.bob, LEFT, assembles=True)
    court.tells(RIGHT, assembles=True)
    assert claim.id not in court.verdicts()
    assert court.leased() == set()


@pytest.mark.parametrize("found", [block(0, 0), LEFT])
def test_a_tail_copys_lease_ends_with_the_bucket_whoever_rendered_it(court: Court, found: Block) -> None:
    court.granted(court.ann, found)
    court.copies(court.bob, found)
    court.takes(court.bob, found, 2)
    assert court.holders() == []
    assert court.leased() == set()


@pytest.mark.parametrize(("failing", "left"), [("bob", "ann"), ("ann", "bob")])
def test_of_a_bucket_and_its_copy_that_lease_ends_whose_holder_failed(court: Court, failing: str, left: str) -> None:
    actors = {"ann": court.ann, "bob": court.bob}
    court.granted(court.ann, LEFT)
    court.copies(court.bob, LEFT)
    failed = court.cast.failed(actors[failing], court.head, CUT, block=LEFT)
    court.rig.take(court.head, failed, by=actors[failing])
    assert court.holders() == [actors[left].id]
    assert court.leased() == court.tasks(LEFT)


def test_a_frame_that_is_made_of_buckets_alone_is_nobodys_whole(court: Court) -> None:
    """Or whoever claims it and does nothing keeps its cells from all others, for a quarter of an hour."""
    claim = court.claim(court.bob, None)
    court.runs(court.bob, None)
    court.tells(None)
    court.rig.wait(SETTLE_LEAST_MS)
    assert court.verdicts() == {claim.id: False}
    assert court.leased() == set()


def test_a_bucket_claimed_while_its_frame_is_settled_leaves_the_frame_to_buckets(cast: Cast) -> None:
    court = Court(cast, whole=True)
    whole = court.claim(court.ann, None)
    court.granted(court.bob, LEFT)
    court.rig.wait(SETTLE_LEAST_MS)
    assert court.verdicts()[whole.id] is False
    assert court.leased() == court.tasks(LEFT)


def test_a_frame_and_its_buckets_are_not_leased_both_whoever_tells_of_them(cast: Cast) -> None:
    court = Court(cast, whole=True)
    court.granted(court.ann, LEFT)
    court.runs(court.bob, None)
    court.tells(None)
    assert court.leased() == court.tasks(LEFT)
    other = Court(Cast("another mesh"), whole=True)
    other.claim(other.ann, None)
    other.rig.wait(SETTLE_LEAST_MS)
    other.runs(other.bob, LEFT)
    other.tells(RIGHT)
    refused = other.claim(other.bob, LEFT)
    assert other.verdicts()[refused.id] is False
    assert other.leased() == {CUT}
