"""What is looked at and asked for in a second is bounded, and what no longer wants a copy is forgotten."""

import pytest

from mesh.core import repair
from mesh.core.events import ChannelClosed
from mesh.core.repair import _ANSWER_MS
from mesh.ground.instants import DAY_MS, MINUTE_MS, SECOND_MS
from mesh.ground.limits import JOB_DAYS_MS, LOST_AFTER_SAFE_MS
from mesh.wire.copies import Holds
from tests.support.cast import Cast
from tests.support.rig import sent
from tests.unit.core.test_repair import Holder, Taker


@pytest.fixture
def holder(cast: Cast) -> Holder:
    return Holder(cast)


def rank_first(holder: Holder) -> None:
    """Let this peer be the only holder that is left, so that it asks at once."""
    for actor in (holder.bob, holder.ann):
        holder.dies(actor)


def test_only_so_much_is_asked_for_in_a_second(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_ASKS_PER_TICK", 3)
    holder = Holder(cast, frames=20)
    rank_first(holder)
    holder.rig.clear()
    most = max(len(holder.waits(SECOND_MS, holder.bob, holder.ann)) for _ in range(8))
    assert most == 3


def test_what_was_not_looked_at_in_one_second_is_looked_at_in_the_next(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "_LOOKED_AT_PER_TICK", 2)
    holder = Holder(cast, frames=8)
    rank_first(holder)
    each = [len(holder.waits(SECOND_MS, holder.bob, holder.ann)) for _ in range(10)]
    assert max(each) <= 2
    assert sum(each) == 8, "all had their turn"


@pytest.mark.parametrize("ends", ["cancelled", "over"])
def test_what_nobody_is_owed_any_more_is_not_asked_for(holder: Holder, ends: str) -> None:
    if ends == "cancelled":
        holder.rig.peer.repair._lacking.clear()
        holder.dies(holder.bob)
        holder.rig.take(holder.head, holder.cast.cancel(holder.ann, holder.head), by=holder.ann)
    else:
        holder.seal()
        holder.rig.jump(JOB_DAYS_MS + 2 * DAY_MS)
        holder.dies(holder.bob)
    assert holder.waits(MINUTE_MS, holder.bob) == []
    assert holder.rig.peer.repair._lacking == {}


def test_who_was_asked_in_vain_is_asked_again_after_a_while(holder: Holder) -> None:
    """A disk that was full has room again, some day."""
    holder.dies(holder.bob)
    asks = holder.waits(holder.my_turn_ms(holder.bob) + 5 * _ANSWER_MS, holder.bob)
    others = {holder.actors[name].id for name in ("cid", "dan", "eve", "fay")}
    assert [len(asks), {asked for asked, _ in asks}] == [4, others]
    assert holder.waits(LOST_AFTER_SAFE_MS - 3 * _ANSWER_MS, holder.bob) == []
    again = holder.waits(3 * _ANSWER_MS + 4 * SECOND_MS, holder.bob)
    assert again
    assert again[0][0] in others


def test_a_host_without_room_takes_no_copy(cast: Cast) -> None:
    taker = Taker(cast)
    taker.rig.peer.host.limit_bytes, taker.rig.peer.host.room_bytes = 1_000_000_000, 0
    taker.asked()
    assert taker.picture not in taker.rig.peer.swarm.wants
    taker.rig.peer.host.room_bytes = None
    taker.asked()
    assert taker.picture in taker.rig.peer.swarm.wants


def test_who_comes_back_hears_of_who_holds_it_now_and_not_of_who_did_meanwhile(cast: Cast) -> None:
    """A copy that was replaced is cache, and may be gone: nobody says that he holds it (seed 16192602)."""
    taker = Taker(cast)
    taker.rig.tell(ChannelClosed(peer=taker.bob.id, clean=False))
    taker.asked()
    taker.brings()
    taker.checks()
    (mine,) = taker.given()
    listed = (mine.id, *mine.body.replaces)
    eve = cast.actor("eve")
    taker.rig.let_in(eve)
    eves = cast.hold(eve, taker.head, taker.picture, b"eve's".ljust(16), replaces=listed)
    taker.rig.hear(eve, Holds(holds=(eves,)))
    assert not taker.rig.peer.holding.binds(taker.job, taker.picture)
    taker.rig.clear()
    taker.rig.let_in(taker.bob)
    assert sent(taker.rig.effects, Holds) == [(taker.bob.id, Holds(holds=(eves,)))]
