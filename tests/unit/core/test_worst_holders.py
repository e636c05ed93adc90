"""Holders at their worst: who takes a copy is slow, a line breaks while a peer leaves, a member lies, half is lost."""

import pytest

from mesh.core.effects import Stopped
from mesh.core.events import ChannelClosed, StopAsked
from mesh.core.holders import _HOLDS_PER_BLOB, _RENEWED_MOST
from mesh.core.notes import SceneComplete
from mesh.core.turn import Turn
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import HAND_OVER_MS, LEASE_MS
from mesh.wire.copies import HoldAsk, Holds
from mesh.wire.kept import KeptHold
from mesh.wire.messages import KeepAsk, Seek
from tests.support.cast import Cast, cut_into
from tests.support.rig import Rig, kept, of, sent
from tests.unit.core.test_repair import NAMES, Holder


@pytest.fixture
def holder(cast: Cast) -> Holder:
    return Holder(cast)


def test_who_leaves_waits_for_who_still_fetches_and_not_for_ever(holder: Holder) -> None:
    for name in NAMES[3:]:
        holder.holds(holder.actors[name])
    holder.rig.tell(StopAsked(now=False, leave=True))
    assert [peer for peer, _ in sent(holder.rig.effects, HoldAsk)] == [holder.cid.id]
    for _ in range((HAND_OVER_MS - 5 * SECOND_MS) // (5 * SECOND_MS)):
        holder.rig.hear(holder.cid, Seek(blobs=(holder.picture,)))
        holder.waits(5 * SECOND_MS)
        assert not of(holder.rig.effects, Stopped)
    holder.rig.hear(holder.cid, Seek(blobs=(holder.picture,)))
    holder.waits(6 * SECOND_MS)
    assert of(holder.rig.effects, Stopped)


def test_the_time_to_hand_over_begins_when_nothing_renders_any_more(holder: Holder) -> None:
    """A frame of a quarter of an hour would leave none of it for what others are to take, that frame among it."""
    for name in NAMES[3:]:
        holder.holds(holder.actors[name])

    def fetches(for_ms: int) -> None:
        for _ in range(for_ms // (5 * SECOND_MS)):
            holder.rig.hear(holder.cid, Seek(blobs=(holder.picture,)))
            holder.waits(5 * SECOND_MS)

    stopping = holder.rig.peer.stopping
    stopping._idle = lambda: False
    holder.rig.tell(StopAsked(now=False, leave=True))
    fetches(HAND_OVER_MS + 5 * MINUTE_MS)
    stopping._idle = lambda: True
    fetches(5 * MINUTE_MS)
    assert not of(holder.rig.effects, Stopped)
    fetches(6 * MINUTE_MS)
    assert of(holder.rig.effects, Stopped)


def test_who_leaves_is_not_gone_because_its_line_breaks_for_a_moment(holder: Holder) -> None:
    holder.rig.tell(StopAsked(now=False, leave=True))
    for actor in holder.others():
        holder.rig.tell(ChannelClosed(peer=actor.id, clean=False))
    holder.rig.wait(SECOND_MS)
    assert not of(holder.rig.effects, Stopped)
    holder.rig.wait(LEASE_MS + 2 * SECOND_MS)
    assert of(holder.rig.effects, Stopped)


def test_a_scene_that_comes_while_a_peer_leaves_is_not_handed_over(cast: Cast) -> None:
    holder = Holder(cast, cut=cut_into(4, 2))
    holder.rig.peer.stopping._idle = lambda: False
    holder.rig.tell(StopAsked(now=False, leave=True))
    turn = Turn(holder.rig.now, holder.rig.peer._dice, holder.rig.me.id)
    holder.rig.peer.holding.on_scene_complete(turn, SceneComplete(job=holder.job))
    holder.rig.peer._settle(turn)
    assert holder.rig.peer.repair.handing_over == 0


def test_of_what_is_missing_here_no_64_that_nobody_has_keep_the_rest_from_being_sought(cast: Cast) -> None:
    before = Holder(cast, frames=70)
    again = Rig(cast, kept=before.journal, actor=before.rig.me, slots=0)
    again.meet(before.ann)
    again.wait(2 * MINUTE_MS, before.ann)
    sought = {blob for _, message in sent(again.effects, Seek) for blob in message.blobs}
    assert set(before.pictures) <= sought


def test_what_one_member_says_makes_nobody_drop_what_fewer_hold_than_the_job_asks(holder: Holder) -> None:
    dan = holder.actors["dan"]
    all_three = (holder.mine().id, holder.hold_of(holder.ann).id, holder.hold_of(holder.bob).id)
    said = holder.cast.hold(dan, holder.head, holder.picture, b"said".ljust(16), replaces=all_three)
    holder.rig.hear(dan, Holds(holds=(said,)))
    assert holder.holders() == {dan.id}
    assert holder.picture in holder.rig.peer.larder._bonds.all(holder.rig.now, {})


def test_who_gives_its_hold_again_and_again_fills_no_journal(holder: Holder) -> None:
    last, written = holder.hold_of(holder.bob), 0
    for number in range(2 * _RENEWED_MOST):
        again = number.to_bytes(16, "big")
        last = holder.cast.hold(holder.bob, holder.head, holder.picture, again, replaces=(last.id,))
        written += len(kept(holder.rig.hear(holder.bob, Holds(holds=(last,))), KeptHold))
    assert written <= _RENEWED_MOST + _HOLDS_PER_BLOB


def test_who_was_away_since_it_was_asked_to_keep_a_job_is_asked_again_at_once(cast: Cast) -> None:
    rig, ann, bob = Rig(cast, slots=0), cast.actor("ann"), cast.actor("bob")
    rig.meet(ann, bob)
    rig.learn(cast.head(rig.me, copies=3), rig.me, by=ann)
    assert bob.id in [peer for peer, _ in sent(rig.wait(SECOND_MS, ann, bob), KeepAsk)]
    rig.tell(ChannelClosed(peer=bob.id, clean=False))
    rig.wait(9 * SECOND_MS, ann)
    rig.meet(bob, life=" again")
    assert bob.id in [peer for peer, _ in sent(rig.wait(4 * SECOND_MS, ann, bob), KeepAsk)]
