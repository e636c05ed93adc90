"""Who of the view is there: probes, help, doubts, tidings, and what hearsay cannot do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from mesh.core.contacts import Contacting
from mesh.core.directory import Directory
from mesh.core.effects import CloseChannel, SendDatagram
from mesh.core.events import DatagramHeard, MessageHeard
from mesh.core.probing import Probing
from mesh.core.turn import Turn
from mesh.core.view import distance
from mesh.ground.dice import Dice
from mesh.ground.instants import HOUR_MS, SECOND_MS
from mesh.ground.limits import (
    CHANNEL_QUIET_MS,
    CLOCK_BAD_MS,
    DEAF_MS,
    DEAF_PROBES,
    GAP_MS,
    HEARTBEAT_MS,
    MAX_TIDINGS_KEPT,
    PROBE_HELPERS,
    PROBE_PATIENCE_MS,
    PROBES_ANSWERED_PER_SECOND,
    PROBES_HELPED_PER_SECOND,
    SILENT_MS,
    TIDINGS_LARGE_MS,
    TIDINGS_MS,
)
from mesh.wire.lookups import Endpoint
from mesh.wire.messages import Ping, Pong
from mesh.wire.probes import Alive, Gossip, Probe, Probed, ProbeFor, State, Tiding
from tests.support.cast import NOW, blob
from tests.support.probed import TRIP_MS, View, address, endpoint, tiding
from tests.support.rig import Rig, of, sent

if TYPE_CHECKING:
    from tests.support.cast import Cast

LONG_MS = 60 * SECOND_MS


# Asking.


@pytest.mark.parametrize("many", [1, 2, 7])
def test_each_second_one_member_is_probed_and_each_in_its_turn(cast: Cast, many: int) -> None:
    view = View(cast, many)
    view.wait(3 * many * SECOND_MS)
    asked = [peer for peer, _ in view.sent(Probe)]
    assert len(asked) == 3 * many
    assert asked[:many] == asked[many : 2 * many] == asked[2 * many :]
    assert sorted(asked[:many]) == sorted(view.by_id)


def test_of_peers_with_one_calendar_each_probes_another(cast: Cast) -> None:
    """So each member is probed by one peer a second, and not by several at once and then by nobody."""
    view = View(cast, 9)
    everybody = sorted([*view.by_id, view.rig.me.id])
    asked = []
    for peer in everybody:
        directory = Directory(peer)
        one = Probing(directory, Contacting(directory))
        for other in everybody:
            if other != peer:
                one.watch(other)
        turn = Turn(NOW, Dice(b""), peer)
        one.on_started(turn)
        one.on_probe_due(turn, None)  # type: ignore[arg-type]
        asked += list(one.probes.own)
    assert len(set(asked)) >= len(everybody) - 1


def test_who_answers_is_not_doubted_and_its_round_trip_is_measured(cast: Cast) -> None:
    view = View(cast, 3)
    view.wait(LONG_MS)
    assert not view.doubted()
    assert not view.sent(Gossip)
    assert not view.sent(ProbeFor)
    for actor in view.actors:
        measured = view.rig.peer.directory.peers[actor.id].round_trips_ms
        assert len(measured) > 5
        assert all(TRIP_MS <= trip_ms <= 2 * TRIP_MS for trip_ms in measured)


def test_who_does_not_answer_is_asked_by_three_others_and_on_its_channel(cast: Cast) -> None:
    view = View(cast, 6)
    view.turns()
    silent = view.actors[0]
    view.silence(silent)
    view.clear()
    view.turns()
    asked = view.sent(ProbeFor)
    assert len(asked) == PROBE_HELPERS
    assert len({peer for peer, _ in asked}) == PROBE_HELPERS
    for peer, wish in asked:
        assert peer != silent.id
        assert (wish.peer, wish.endpoints) == (silent.id, (endpoint(0),))
    assert {peer for peer, _ in sent(view.rig.effects, Ping)} == {silent.id}


def test_in_a_large_mesh_those_nearest_to_a_silent_peer_are_asked_to_probe_it(cast: Cast) -> None:
    """They have a channel with it, and need not call it."""
    view = View(cast, 12)
    view.turns()
    view.rig.peer.directory.crowd = 1_000
    silent = view.actors[0]
    view.silence(silent)
    view.clear()
    view.turns()
    nearest = sorted(view.actors[1:], key=lambda actor: distance(silent.id, actor.id))
    assert [peer for peer, _ in view.sent(ProbeFor)] == [actor.id for actor in nearest[:PROBE_HELPERS]]


@pytest.mark.parametrize(("crowd", "apart_ms"), [(0, TIDINGS_MS), (1_000, TIDINGS_LARGE_MS)])
def test_tidings_leave_less_often_in_a_large_mesh(cast: Cast, crowd: int, apart_ms: int) -> None:
    view = View(cast, 12)
    view.turns()
    view.rig.peer.directory.crowd = crowd
    view.silence(view.actors[0])
    times = []
    for _ in range(600):
        view.clear()
        view.wait(25)
        if view.sent(Gossip):
            times.append(view.now_ms)
    assert len(times) > 1
    assert min(later - sooner for sooner, later in pairwise(times)) == apart_ms


def test_in_a_large_view_a_channel_may_be_quiet_for_half_a_round(cast: Cast) -> None:
    """The other end asks once a round, too; and both asked, each time."""
    many = 2 * 20
    view = View(cast, many)
    view.wait(5 * SECOND_MS)
    for actor in view.actors:
        view.tell(MessageHeard(peer=actor.id, message=Pong(number=1_000_000)))
    view.clear()
    view.rig.clear()
    view.wait(many // 2 * SECOND_MS - SECOND_MS)
    assert many // 2 * SECOND_MS - SECOND_MS > CHANNEL_QUIET_MS
    assert sent(view.rig.effects, Ping) == []
    view.wait(CHANNEL_QUIET_MS)
    assert sent(view.rig.effects, Ping)


def test_who_answers_another_is_not_doubted(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    hidden = view.actors[0]
    view.on_channel.pop(hidden.id)
    view.by_datagram.pop(hidden.id)
    view.clear()
    for _ in range(80):
        view.wait(100)
        assert not view.doubted()
        assert view.probing.probes.illness == 0
    assert view.sent(ProbeFor)


def test_a_peer_that_no_datagram_reaches_is_asked_on_its_channel_alone_and_never_doubted(cast: Cast) -> None:
    view = View(cast, 3)
    walled = view.actors[1]
    view.by_datagram.pop(walled.id)
    doubts = 0
    for _ in range(DEAF_PROBES * 4):
        view.wait(SECOND_MS)
        doubts += len(view.doubted())
    assert doubts == 0
    view.clear()
    view.wait(DEAF_MS - 60 * SECOND_MS)
    assert not [peer for peer, _ in view.sent(Probe) if peer == walled.id]
    assert len([peer for peer, _ in sent(view.rig.effects, Ping) if peer == walled.id]) > DEAF_MS / 3 / SECOND_MS * 0.8
    view.wait(120 * SECOND_MS)
    assert len([peer for peer, _ in view.sent(Probe) if peer == walled.id]) == 1, "it is tried again, once"
    assert not view.closed()


def test_a_peer_that_datagrams_reach_again_is_probed_by_them(cast: Cast) -> None:
    view = View(cast, 2)
    walled = view.actors[0]
    view.by_datagram.pop(walled.id)
    view.wait(DEAF_PROBES * 3 * SECOND_MS)
    view.by_datagram[walled.id] = None
    view.wait(DEAF_MS)
    view.clear()
    view.wait(10 * SECOND_MS)
    assert [peer for peer, _ in view.sent(Probe)].count(walled.id) == 5


def test_a_channel_that_said_nothing_for_long_is_asked_though_its_peer_answers_datagrams(cast: Cast) -> None:
    view = View(cast, 2)
    stuck = view.actors[0]
    view.wait(5 * SECOND_MS)
    view.on_channel.pop(stuck.id)
    view.wait(LONG_MS)
    assert view.closed()[:1] == [stuck.id], "the way by the channel is broken, and no datagram mends it"
    assert view.probing.given_up == 0
    assert stuck.id not in view.doubted()


# Of oneself.


def test_who_is_said_to_be_gone_outbids_it_and_tells_so(cast: Cast) -> None:
    view = View(cast, 3)
    first, second, _ = view.actors
    mine = view.probing.incarnation
    assert mine == NOW.wall, "a life that begins later begins higher"
    rumour = Tiding(peer=view.rig.me.id, incarnation=mine + 7, state=State.SUSPECT)
    view.clear()
    (answer,) = of(view.hear(first, Probe(number=3, tidings=(rumour,))), SendDatagram)
    assert answer.message == Alive(
        number=3,
        incarnation=mine + 8,
        tidings=(Tiding(peer=view.rig.me.id, incarnation=mine + 8, state=State.ALIVE),),
    )
    view.wait(SECOND_MS)
    assert {one.incarnation for _, gossip in view.sent(Gossip) for one in gossip.tidings} == {mine + 8}
    view.hear(second, Gossip(tidings=(rumour,)))
    assert view.probing.incarnation == mine + 8, "it was outbid already"
    too_far = Tiding(peer=view.rig.me.id, incarnation=view.rig.now.wall + CLOCK_BAD_MS + 1, state=State.GONE)
    view.hear(second, Gossip(tidings=(too_far,)))
    assert view.probing.incarnation == mine + 8


def test_a_peer_that_must_clear_itself_or_is_late_waits_longer_for_others(cast: Cast) -> None:
    view = View(cast, 4)
    view.wait(5 * SECOND_MS)
    well_ms = view.probing.probes.whole_ms
    for _ in range(5):
        mine = view.probing.incarnation
        view.hear(view.actors[0], Gossip(tidings=(Tiding(peer=view.rig.me.id, incarnation=mine, state=State.GONE),)))
    assert view.probing.probes.whole_ms == 2 * well_ms, "a liar makes nobody ill at will"
    view.wait(5 * SECOND_MS)
    assert view.probing.probes.whole_ms == well_ms
    view.rig.jump(1_500)
    view.wait(10)
    assert view.probing.probes.whole_ms > well_ms


def test_nobody_is_doubted_by_a_timer_that_came_late(cast: Cast) -> None:
    view = View(cast, 1)
    view.wait(5 * SECOND_MS)
    asked = view.probing.probes
    view.silence(*view.actors)
    while not any(one.again for one in asked.own.values()):
        view.wait(10)
    view.rig.jump(1_200)
    view.on_channel.update(dict.fromkeys(view.by_id))
    view.wait(10)
    assert not view.doubted()
    view.by_datagram.update(dict.fromkeys(view.by_id))
    view.wait(10 * SECOND_MS)
    assert not view.doubted()
    assert not view.closed()


@pytest.mark.parametrize("slept_ms", [HEARTBEAT_MS + GAP_MS + 1, HOUR_MS])
def test_after_a_sleep_nobody_is_taken_for_silent(cast: Cast, slept_ms: int) -> None:
    view = View(cast, 5)
    view.turns()
    view.doubt(view.actors[0])
    view.wait(SECOND_MS // 2)
    view.rig.jump(slept_ms)
    view.by_datagram.update(dict.fromkeys(view.by_id))
    view.on_channel.update(dict.fromkeys(view.by_id))
    view.wait(10)
    assert not view.doubted()
    view.wait(LONG_MS)
    assert not view.closed()
    assert view.probing.given_up == 0


def test_what_a_peer_said_while_this_host_slept_is_no_answer(cast: Cast) -> None:
    """It died meanwhile, others have told so, and it is probed in a minute: seed 72 of 50 peers."""
    rig, ann, *others = Rig(cast), *(cast.actor(f"peer {number}") for number in range(60))
    rig.meet(ann, *others)
    rig.wait(5 * SECOND_MS, ann, *others)
    rig.jump(HOUR_MS)
    for actor in (ann, *others):
        rig.hear(actor, Ping(number=1))
    rig.clear()
    rig.wait(2 * SILENT_MS + 4 * SECOND_MS, *others)
    assert of(rig.effects, CloseChannel) == [CloseChannel(peer=ann.id, channel=0)]


# For others.


def test_who_is_asked_to_probe_does_and_says_what_it_heard(cast: Cast) -> None:
    view = View(cast, 3)
    view.turns()
    asker, third, silent = view.actors
    for wanted, answered in ((third, True), (silent, False)):
        view.silence(silent)
        view.clear()
        view.hear(asker, ProbeFor(number=77, peer=wanted.id, endpoints=(endpoint(9),)))
        assert [peer for peer, _ in view.sent(Probe)] == [wanted.id]
        view.wait(PROBE_PATIENCE_MS)
        (said,) = [(peer, word) for peer, word in view.sent(Probed)]
        assert (said[0], said[1].number, said[1].answered) == (asker.id, 77, answered)
    assert not view.doubted(), "what one asks for others is not one's own"


def test_a_third_that_is_not_known_is_asked_where_the_asker_says_but_not_at_this_host(cast: Cast) -> None:
    view = View(cast, 2)
    third = cast.actor("third")
    here = Endpoint(ip=bytes((127, 0, 0, 1)), port=7_000)
    view.rig.clear()
    view.hear(view.actors[0], ProbeFor(number=1, peer=third.id, endpoints=(here, endpoint(9))))
    (said,) = of(view.rig.effects, SendDatagram)
    assert (said.peer, said.addresses) == (third.id, (address(9),))
    view.hear(third, Alive(number=said.message.number, incarnation=5))  # type: ignore[union-attr]
    assert [word.answered for _, word in view.sent(Probed)] == [True]


def test_what_one_peer_may_have_done_in_a_second_is_bounded(cast: Cast) -> None:
    view = View(cast, 3)
    asker, third, other = view.actors
    view.clear()
    for number in range(100):
        view.hear(asker, Probe(number=number))
        view.hear(asker, ProbeFor(number=number, peer=third.id, endpoints=()))
    assert len(view.sent(Alive)) == PROBES_ANSWERED_PER_SECOND
    assert len(view.sent(Probe)) == PROBES_HELPED_PER_SECOND
    view.hear(other, Probe(number=1))
    assert len(view.sent(Alive)) == PROBES_ANSWERED_PER_SECOND + 1
    view.wait(SECOND_MS)
    view.hear(asker, Probe(number=1))
    assert len(view.sent(Alive)) == PROBES_ANSWERED_PER_SECOND + 2


def test_answers_that_nobody_asked_for_are_nothing(cast: Cast) -> None:
    view = View(cast, 3)
    view.turns()
    liar, silent, _ = view.actors
    view.silence(silent)
    while silent.id not in view.probing.probes.own:
        view.wait(10)
    number = view.probing.probes.own[silent.id].number
    view.hear(liar, Alive(number=number, incarnation=9_999))
    view.hear(liar, Probed(number=number, answered=True))
    view.hear(liar, Probed(number=number + 1, answered=True))
    assert silent.id in view.probing.probes.own
    view.wait(2 * SECOND_MS)
    assert view.doubted() == [silent.id]


def test_who_was_thrown_out_is_neither_answered_nor_believed(cast: Cast) -> None:
    view = View(cast, 2)
    out, other = view.actors
    directory = Directory(view.rig.me.id)
    alone = Probing(directory, Contacting(directory), {out.id: True}.get)  # type: ignore[arg-type]
    for actor in view.actors:
        alone.watch(actor.id)
    turn = Turn(NOW, Dice(b""), view.rig.me.id)
    alone.on_started(turn)
    said = Probe(number=1, tidings=(tiding(other, State.GONE),))
    alone.on_datagram_heard(turn, DatagramHeard(peer=out.id, address=address(0), message=said), said)
    assert not of(turn.effects, SendDatagram)
    assert not alone.doubts
    wish = ProbeFor(number=1, peer=out.id, endpoints=(endpoint(0),))
    alone.on_datagram_heard(turn, DatagramHeard(peer=other.id, address=address(1), message=wish), wish)
    assert not of(turn.effects, SendDatagram)
    plain = Probe(number=1)
    alone.on_datagram_heard(turn, DatagramHeard(peer=other.id, address=address(1), message=plain), plain)
    assert [effect.peer for effect in of(turn.effects, SendDatagram)] == [other.id], "somebody else's is answered"


def test_however_many_are_lost_at_once_all_are_given_up(cast: Cast) -> None:
    view = View(cast, 180)
    view.wait(5 * SECOND_MS)
    lost = view.actors[:75]
    view.silence(*lost)
    for start in range(0, 75, 15):
        words = tuple(tiding(one, State.SUSPECT) for one in lost[start : start + 15])
        for teller in view.actors[100 + start : 103 + start]:
            view.hear(teller, Gossip(tidings=words))
    view.wait(15 * SECOND_MS)
    assert sorted(view.closed()) == sorted(one.id for one in lost)
    assert len(view.probing._tidings) <= MAX_TIDINGS_KEPT


def test_an_id_is_no_member_without_a_channel(cast: Cast) -> None:
    view = View(cast, 1)
    view.hear(view.actors[0], ProbeFor(number=1, peer=blob("nobody"), endpoints=()))  # type: ignore[arg-type]
    view.wait(LONG_MS)
    assert {peer for peer, _ in view.sent(Probe)} == {view.actors[0].id}
    assert [word.answered for _, word in view.sent(Probed)] == [False]
