"""The coordinator's work: whom it grants which buckets, and that it forgets a job that has ended."""

import pytest

from mesh.core.dockets import DEAF_MS, Docket
from mesh.core.stills import _pays
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import SECOND_MS
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.members import Role
from mesh.wire.messages import Available, ClaimSent, Follow, Head, Window
from mesh.wire.stills import Grant, Grants
from tests.support.cast import ENGINE, Actor, Cast, block, cut_into
from tests.support.rig import Rig, sent

CUT = 0
ALL = block(0, 0, 8, 8)


class Desk:
    """Who coordinates ann's still of eight by eight cells; bob and cid can render it."""

    def __init__(self, cast: Cast, *, fixed: bool = True) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
        self.rig.meet(self.ann, self.bob, self.cid)
        self.head: Head = cast.head(self.ann, frames=1, cut=cut_into(8, 8, fixed=fixed))
        self.job: JobId = self.rig.keep(self.head, by=self.ann)
        self.offers(self.ann, 0)
        self.wait(5 * SECOND_MS)
        assert self.rig.peer.election.leads(self.job, self.rig.now)
        self.rig.clear()

    @property
    def docket(self) -> Docket:
        return self.rig.peer.leases.dockets[self.job]

    def wait(self, for_ms: int) -> None:
        self.rig.wait(for_ms, self.ann, self.bob, self.cid)

    def offers(self, actor: Actor, slots: int, *, draining: bool = False) -> None:
        offer = Available(engines=(ENGINE,), slots=slots, busy=0, cores=4, memory_mb=8_000, draining=draining)
        self.rig.hear(actor, offer)

    def follows(self, actor: Actor, slots: int = 1) -> None:
        self.rig.hear(actor, Follow(job=self.job, slots=slots))

    def granted(self, actor: Actor) -> list[Signed[Grant]]:
        """What somebody was granted since the last `clear`."""
        return [grant for peer, said in sent(self.rig.effects, Grants) if peer == actor.id for grant in said.grants]

    def blocks(self, actor: Actor) -> list[Block]:
        return [grant.body.block for grant in self.granted(actor)]

    def takes_up(self, actor: Actor) -> None:
        """Claim all that was granted."""
        for grant in self.granted(actor):
            claim = self.cast.claim(
                actor, self.head, CUT, grant.body.attempt + 1, block=grant.body.block, grant=RecordId(grant.id)
            )
            self.rig.hear(actor, ClaimSent(claims=(claim,)))
        self.rig.clear()

    def renders_but_the_last(self) -> None:
        """Hear that cid has rendered all cells but the last one, each in a second."""
        blocks = [block(column, row) for row in range(8) for column in range(8)][:-1]
        for found in blocks:
            self.rig.take(self.head, self.cast.result(self.cid, self.head, CUT, block=found), by=self.cid)

    def cancel(self) -> None:
        self.rig.take(self.head, self.cast.cancel(self.ann, self.head), by=self.ann)

    def in_hand(self) -> list[PeerId]:
        return [lease.holder for lease in self.docket.by_claim.values()]


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


def test_each_slot_is_granted_one_bucket_and_one_ahead(desk: Desk) -> None:
    desk.follows(desk.bob)
    desk.follows(desk.cid)
    assert (len(desk.granted(desk.bob)), len(desk.granted(desk.cid))) == (2, 2)
    desk.takes_up(desk.bob)
    assert desk.in_hand() == [desk.bob.id, desk.bob.id]


def test_of_a_job_that_has_ended_nothing_is_kept_and_nothing_learnt_that_comes_late(desk: Desk) -> None:
    peer, late = desk.rig.peer, desk.cast.result(desk.bob, desk.head, CUT, block=block(1, 0))
    desk.follows(desk.bob)
    desk.rig.take(desk.head, desk.cast.result(desk.bob, desk.head, CUT, block=block(0, 0)), by=desk.bob)
    peer.stills.tail_copies[desk.job] += 1
    desk.cancel()
    desk.rig.clear()
    desk.rig.take(desk.head, late, by=desk.bob)
    desk.follows(desk.bob)
    desk.wait(2 * SECOND_MS)
    kept = {
        "costs": peer.stills._costs._paces,
        "copies": peer.stills.tail_copies,
        "freed": peer.stills._freed_at,
        "reigns": peer.election._reigns,
        "followers": peer.windows._audiences,
        "safe": peer.windows.safe,
        "dockets": peer.leases.dockets,
        "followed": peer.claims.following,
        "given": peer.claims.fairness._given,
    }
    assert {name: dict(by_job) for name, by_job in kept.items() if by_job} == {}
    assert [window.ended for to, window in sent(desk.rig.effects, Window) if to == desk.bob.id] == [True]


def test_nobody_is_granted_cells_that_it_failed_and_others_are(desk: Desk) -> None:
    """It would give them back, and be granted nothing for seconds."""
    rows = block(0, 0, 8, 1), block(0, 1, 8, 1)
    for row in rows:
        desk.rig.take(desk.head, desk.cast.failed(desk.bob, desk.head, CUT, block=row), by=desk.bob)
    desk.follows(desk.bob)
    assert [found.row for found in desk.blocks(desk.bob)] == [2, 2]
    desk.follows(desk.cid)
    assert [found.row for found in desk.blocks(desk.cid)] == [0, 0]


def test_who_failed_all_that_is_left_keeps_it_from_nobody(desk: Desk) -> None:
    desk.rig.take(desk.head, desk.cast.failed(desk.bob, desk.head, CUT, block=ALL), by=desk.bob)
    desk.follows(desk.bob)
    assert desk.granted(desk.bob) == []
    desk.follows(desk.cid)
    assert len(desk.granted(desk.cid)) == 2


@pytest.mark.parametrize("failed", [False, True])
def test_nobody_is_granted_a_copy_of_what_it_failed(cast: Cast, failed: bool) -> None:
    desk = Desk(cast)
    if failed:
        desk.rig.take(desk.head, desk.cast.failed(desk.cid, desk.head, CUT, block=block(7, 7)), by=desk.cid)
    desk.renders_but_the_last()
    desk.follows(desk.bob)
    desk.takes_up(desk.bob)
    assert desk.in_hand() == [desk.bob.id]
    desk.wait(5 * SECOND_MS)
    desk.rig.clear()
    desk.follows(desk.cid)
    assert len(desk.granted(desk.cid)) == (0 if failed else 1)


def test_what_was_claimed_ahead_is_late_only_once_it_was_begun_for_long(desk: Desk) -> None:
    """Its lease is older: a copy would take the engine from one of two that end at about the same time."""

    def renders(actor: Actor, *found: Block, in_ms: int = 2_000) -> None:
        for each in found:
            result = desk.cast.result(actor, desk.head, CUT, block=each, render_ms=in_ms)
            desk.rig.take(desk.head, result, by=actor)

    blocks = [block(column, row) for row in range(8) for column in range(8)]
    renders(desk.cid, blocks[0], in_ms=100)
    renders(desk.cid, *blocks[1:-4])
    desk.follows(desk.bob)
    first, second = desk.blocks(desk.bob)
    desk.takes_up(desk.bob)
    renders(desk.cid, *(each for each in blocks[-4:] if each not in (first, second)))
    desk.wait(2_000)
    renders(desk.bob, first)
    desk.follows(desk.cid)
    desk.rig.clear()
    desk.wait(1_900)
    assert desk.granted(desk.cid) == [], "its lease is four seconds old, and half of it was another bucket's"
    desk.wait(3_000)
    assert desk.blocks(desk.cid) == [second]


def test_nobody_is_granted_more_than_the_slots_explain_that_it_offers(desk: Desk) -> None:
    """Or one that names a thousand keeps all cells from the others, two seconds of each five."""
    desk.follows(desk.bob, 1_000)
    assert len(desk.granted(desk.bob)) == 2
    desk.offers(desk.bob, 3)
    desk.rig.clear()
    desk.follows(desk.bob, 2)
    assert len(desk.granted(desk.bob)) == 2, "as many more as the second slot asks for"
    assert desk.rig.peer.windows.slots(desk.job) == 2


def test_to_whom_a_lease_stalled_is_granted_one_bucket_a_slot_beside_the_assembly_that_waits_for_it(desk: Desk) -> None:
    """It was granted a bucket ahead, and refused it, hundreds of times a second, and an assembler for ever."""
    assembly = desk.cast.claim(desk.bob, desk.head, CUT, assembles=True)
    desk.rig.hear(desk.bob, ClaimSent(claims=(assembly,)))
    desk.wait(SECOND_MS)
    assert desk.in_hand() == [desk.bob.id]
    desk.docket.idlers[desk.bob.id] = None
    desk.follows(desk.bob)
    assert len(desk.granted(desk.bob)) == 1
    desk.takes_up(desk.bob)
    assert desk.in_hand() == [desk.bob.id, desk.bob.id]
    assert desk.granted(desk.bob) == []
    desk.follows(desk.cid)
    assert len(desk.granted(desk.cid)) == 2


def test_who_is_refused_what_it_was_granted_is_granted_nothing_for_a_while(desk: Desk) -> None:
    """Or the same is granted it, and refused it, as fast as messages travel."""
    desk.offers(desk.bob, 2)
    desk.follows(desk.bob, 2)
    assert len(desk.granted(desk.bob)) == 4
    desk.offers(desk.bob, 1)
    desk.takes_up(desk.bob)
    assert desk.in_hand() == [desk.bob.id, desk.bob.id]
    desk.follows(desk.bob, 2)
    assert (desk.granted(desk.bob), list(desk.docket.deaf)) == ([], [desk.bob.id])
    desk.wait(DEAF_MS + SECOND_MS)
    assert desk.docket.deaf == {}


def test_nobody_is_granted_anything_that_stops_or_may_not_render(desk: Desk) -> None:
    guest = desk.cast.actor("guest", Role.SUBMIT)
    desk.rig.meet(guest)
    desk.offers(desk.bob, 1, draining=True)
    for actor in (guest, desk.bob):
        desk.follows(actor)
        assert desk.granted(actor) == []
    assert desk.rig.peer.windows.slots(desk.job) == 0


def test_a_copy_must_save_more_than_the_engine_that_it_costs() -> None:
    assert _pays(4_000, 6_000, 500)
    assert not _pays(5_000, 6_000, 500), "a sixth less is within what costs are wrong by"
    assert not _pays(200, 1_100, 500), "one of the two loses its engine"
    assert not _pays(4_000, 9_900, 6_000), "and it may take long until it is there again"
    assert _pays(4_000, 10_000, 6_000)
