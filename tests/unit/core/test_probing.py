"""Who of the view is there: probes, help, doubts, tidings, and what hearsay cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.core.contacts import Contacting, Directory
from mesh.core.doubts import doubt_ms
from mesh.core.effects import CloseChannel, Dial, SendDatagram
from mesh.core.events import ChannelOpened, DatagramHeard
from mesh.core.probing import Probing
from mesh.core.turn import Turn
from mesh.ground.dice import Dice
from mesh.ground.instants import HOUR_MS, SECOND_MS
from mesh.ground.limits import (
    CLOCK_BAD_MS,
    DEAF_MS,
    DEAF_PROBES,
    DOUBT_WITNESSES,
    DOUBTS_PER_TELLER,
    GAP_MS,
    HEARTBEAT_MS,
    MAX_TIDINGS_KEPT,
    PROBE_HELPERS,
    PROBE_PATIENCE_MS,
    PROBE_WHOLE_MS,
    PROBES_ANSWERED_PER_SECOND,
    PROBES_HELPED_PER_SECOND,
    REDIAL_MS,
)
from mesh.wire.lookups import Endpoint
from mesh.wire.messages import Ping
from mesh.wire.probes import UNKNOWN, Alive, Gossip, Probe, Probed, ProbeFor, State, Tiding
from tests.support.cast import NOW, blob, boot
from tests.support.probed import INCARNATION, TRIP_MS, View, address, endpoint, tiding
from tests.support.rig import of, sent

if TYPE_CHECKING:
    from mesh.ground.ids import PeerId
    from tests.support.cast import Actor, Cast

LONG_MS = 60 * SECOND_MS


def probing(view: View) -> Probing:
    return view.rig.peer.probing


def doubted(view: View) -> list[PeerId]:
    return list(probing(view).doubts)


def closed(view: View) -> list[PeerId]:
    return [effect.peer for effect in of(view.rig.effects, CloseChannel)]


def doubt(view: View, silent: Actor) -> None:
    """Let time pass until a member that answers nothing is doubted."""
    view.silence(silent)
    waited_ms = 0
    while silent.id not in doubted(view):
        view.wait(10)
        waited_ms += 10
        assert waited_ms < LONG_MS


def given_up_after(view: View, peer: PeerId) -> int:
    """Return how long it takes from now until a member is given up."""
    began_ms = view.now_ms
    while peer not in closed(view):
        view.wait(10)
        assert view.now_ms - began_ms < LONG_MS
    return view.now_ms - began_ms


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
    assert not doubted(view)
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


def test_who_answers_another_is_not_doubted(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    hidden = view.actors[0]
    view.on_channel.pop(hidden.id)
    view.by_datagram.pop(hidden.id)
    view.clear()
    for _ in range(80):
        view.wait(100)
        assert not doubted(view)
        assert probing(view).probes.illness == 0
    assert view.sent(ProbeFor)


def test_a_peer_that_no_datagram_reaches_is_asked_on_its_channel_alone_and_never_doubted(cast: Cast) -> None:
    view = View(cast, 3)
    walled = view.actors[1]
    view.by_datagram.pop(walled.id)
    doubts = 0
    for _ in range(DEAF_PROBES * 4):
        view.wait(SECOND_MS)
        doubts += len(doubted(view))
    assert doubts == 0
    view.clear()
    view.wait(DEAF_MS - 60 * SECOND_MS)
    assert not [peer for peer, _ in view.sent(Probe) if peer == walled.id]
    assert len([peer for peer, _ in sent(view.rig.effects, Ping) if peer == walled.id]) > DEAF_MS / 3 / SECOND_MS * 0.8
    view.wait(120 * SECOND_MS)
    assert len([peer for peer, _ in view.sent(Probe) if peer == walled.id]) == 1, "it is tried again, once"
    assert not closed(view)


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
    view.on_channel.pop(stuck.id)
    view.wait(LONG_MS)
    assert closed(view)[:1] == [stuck.id], "the way by the channel is broken, and no datagram mends it"
    assert probing(view).given_up == 0
    assert stuck.id not in doubted(view)


# Doubts.


def test_a_silent_peer_is_doubted_told_so_and_then_given_up_but_not_called_dead(cast: Cast) -> None:
    view = View(cast, 5)
    view.turns()
    silent = view.actors[2]
    view.clear()
    doubt(view, silent)
    assert not closed(view)
    view.clear()
    given_up_after(view, silent.id)
    assert closed(view) == [silent.id]
    assert probing(view).given_up == 1
    assert view.rig.peer.mesh_view(view.rig.now).given_up == 1
    to_itself = [probe.tidings[0] for peer, probe in view.sent(Probe) if peer == silent.id]
    assert to_itself
    assert set(to_itself) == {tiding(silent, State.SUSPECT)}
    known = view.rig.peer.directory.peers[silent.id]
    assert known.boot == boot(silent.name), "silence proves no death"
    assert not known.left
    assert of(view.wait(REDIAL_MS + SECOND_MS), Dial) == [Dial(peer=silent.id, addresses=(address(2),))]


def test_what_is_told_of_a_silent_peer_goes_from_suspect_to_gone_to_several(cast: Cast) -> None:
    view = View(cast, 8)
    view.turns()
    silent = view.actors[3]
    view.clear()
    doubt(view, silent)
    given_up_after(view, silent.id)
    view.wait(5 * SECOND_MS)
    told = [(peer, gossip.tidings) for peer, gossip in view.sent(Gossip)]
    states = [tidings[0].state for _, tidings in told]
    assert states == sorted(states)
    assert set(states) == {State.SUSPECT, State.GONE}
    assert len({peer for peer, _ in told}) >= 6
    view.clear()
    view.wait(LONG_MS)
    assert not view.sent(Gossip), "nobody tells for ever"


@pytest.mark.parametrize("peers", [2, 8, 100, 1_000])
def test_a_doubt_lasts_shorter_with_each_witness_and_longer_in_a_larger_view(peers: int) -> None:
    lasts = [doubt_ms(peers, witnesses) for witnesses in range(DOUBT_WITNESSES + 1)]
    assert lasts == sorted(lasts, reverse=True)
    assert len(set(lasts)) == len(lasts)
    assert doubt_ms(peers, DOUBT_WITNESSES + 5) == lasts[-1]
    assert all(doubt_ms(10 * peers, witnesses) > last for witnesses, last in enumerate(lasts))


@pytest.mark.parametrize(
    ("words", "witnesses"),
    [
        ([], 0),
        ([(1, State.DOUBTED), (3, State.DOUBTED), (4, State.DOUBTED)], 0),
        ([(1, State.SUSPECT), (1, State.SUSPECT), (1, State.GONE)], 1),
        ([(1, State.SUSPECT), (3, State.GONE)], 2),
        ([(1, State.SUSPECT), (3, State.GONE), (4, State.SUSPECT)], 3),
    ],
)
def test_who_found_a_peer_silent_itself_shortens_the_doubt_once(
    cast: Cast, words: list[tuple[int, State]], witnesses: int
) -> None:
    view = View(cast, 5)
    view.turns()
    silent = view.actors[0]
    doubt(view, silent)
    for number, state in words:
        view.hear(view.actors[number], Gossip(tidings=(tiding(silent, state),)))
    took_ms = given_up_after(view, silent.id)
    assert doubt_ms(6, witnesses) <= took_ms + 10
    assert took_ms <= doubt_ms(6, witnesses) + 500


def test_who_hears_of_a_doubt_asks_at_once_and_gives_up_only_after_its_own_silence(cast: Cast) -> None:
    view = View(cast, 7)
    view.turns()
    silent = view.actors[6]
    view.silence(silent)
    view.clear()
    for teller in view.actors[:4]:
        view.hear(teller, Gossip(tidings=(tiding(silent, State.GONE),)))
    assert [peer for peer, _ in view.sent(Probe)] == [silent.id]
    assert not closed(view)
    took_ms = given_up_after(view, silent.id)
    assert took_ms >= max(PROBE_WHOLE_MS, doubt_ms(8, 3))


def test_hearsay_is_told_on_while_it_stands_and_not_as_ones_own_word(cast: Cast) -> None:
    view = View(cast, 5)
    view.turns()
    silent = view.actors[0]
    view.silence(silent)
    view.clear()
    view.hear(view.actors[1], Gossip(tidings=(tiding(silent, State.GONE),)))
    view.wait(PROBE_PATIENCE_MS)
    states = {one.state for _, gossip in view.sent(Gossip) for one in gossip.tidings}
    assert states == {State.DOUBTED}
    view.wait(PROBE_WHOLE_MS)
    assert State.SUSPECT in {one.state for _, gossip in view.sent(Gossip) for one in gossip.tidings}


def test_a_liar_that_declares_everybody_gone_costs_probes_and_closes_nothing(cast: Cast) -> None:
    view = View(cast, 40)
    view.wait(5 * SECOND_MS)
    liar, *others = view.actors
    view.clear()
    began_ms = view.now_ms
    for _ in range(40):
        others = [*others[7:], *others[:7]]
        for start in range(0, len(others), 16):
            lies = tuple(tiding(one, State.GONE, view.incarnations[one.id]) for one in others[start : start + 16])
            view.hear(liar, Gossip(tidings=lies))
        view.wait(250)
    seconds = (view.now_ms - began_ms) / SECOND_MS
    assert not closed(view)
    assert probing(view).given_up == 0
    assert view.rig.peer.directory.all_connected() == sorted(view.by_id)
    asked = view.sent(Probe)
    assert len({peer for peer, _ in asked}) == len(others), "it asks itself, before it believes"
    assert len(asked) <= (DOUBTS_PER_TELLER + 1) * (seconds + 1)
    view.wait(2 * SECOND_MS)
    assert not doubted(view)


def test_a_member_says_nothing_of_peers_that_this_one_does_not_know(cast: Cast) -> None:
    view = View(cast, 3)
    stranger = cast.actor("stranger")
    view.clear()
    view.hear(view.actors[0], Gossip(tidings=(tiding(stranger, State.GONE), tiding(view.actors[1], State(3), 2**62))))
    view.wait(3 * SECOND_MS)
    assert stranger.id not in view.rig.peer.directory.peers
    assert not view.sent(Gossip)
    assert not doubted(view), "and an incarnation that nobody can outbid is none"


def test_a_word_of_a_newer_life_ends_a_doubt_and_an_old_one_begins_none(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    teller, silent = view.actors[:2]
    doubt(view, silent)
    view.hear(teller, Gossip(tidings=(tiding(silent, State.ALIVE),)))
    assert doubted(view) == [silent.id], "that is what was doubted"
    view.hear(teller, Gossip(tidings=(tiding(silent, State.ALIVE, INCARNATION + 1),)))
    assert not doubted(view)
    view.hear(teller, Gossip(tidings=(tiding(silent, State.GONE),)))
    assert not doubted(view)
    view.hear(teller, Gossip(tidings=(tiding(silent, State.DOUBTED, INCARNATION + 1),)))
    assert doubted(view) == [silent.id]


def test_whoever_does_not_know_a_peers_incarnation_is_heard_all_the_same(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    teller, silent = view.actors[:2]
    view.silence(silent)
    view.clear()
    view.hear(teller, Gossip(tidings=(tiding(silent, State.SUSPECT, UNKNOWN),)))
    assert doubted(view) == [silent.id]
    view.wait(3 * SECOND_MS)
    told = {one for _, gossip in view.sent(Gossip) for one in gossip.tidings}
    assert tiding(silent, State.SUSPECT) in told, "it is told on in the incarnation that is known here"


def test_any_datagram_of_a_doubted_peer_ends_the_doubt_and_it_hears_of_it_first(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    silent = view.actors[2]
    doubt(view, silent)
    (answer,) = of(view.hear(silent, Probe(number=5)), SendDatagram)
    assert isinstance(answer.message, Alive)
    assert answer.message.tidings[0] == tiding(silent, State.SUSPECT)
    assert not doubted(view)
    view.clear()
    view.wait(200)
    assert not view.sent(Gossip), "and nothing more is told of it"


def test_a_peer_with_a_new_channel_is_doubted_no_more(cast: Cast) -> None:
    view = View(cast, 3)
    silent = view.actors[0]
    doubt(view, silent)
    view.tell(ChannelOpened(peer=silent.id, boot=boot("another life"), address=None))
    assert not doubted(view)


# Of oneself.


def test_who_is_said_to_be_gone_outbids_it_and_tells_so(cast: Cast) -> None:
    view = View(cast, 3)
    first, second, _ = view.actors
    mine = probing(view).incarnation
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
    assert probing(view).incarnation == mine + 8, "it was outbid already"
    too_far = Tiding(peer=view.rig.me.id, incarnation=view.rig.now.wall + CLOCK_BAD_MS + 1, state=State.GONE)
    view.hear(second, Gossip(tidings=(too_far,)))
    assert probing(view).incarnation == mine + 8


def test_a_peer_that_must_clear_itself_or_is_late_waits_longer_for_others(cast: Cast) -> None:
    view = View(cast, 4)
    view.wait(5 * SECOND_MS)
    well_ms = probing(view).probes.whole_ms
    for _ in range(5):
        mine = probing(view).incarnation
        view.hear(view.actors[0], Gossip(tidings=(Tiding(peer=view.rig.me.id, incarnation=mine, state=State.GONE),)))
    assert probing(view).probes.whole_ms == 2 * well_ms, "a liar makes nobody ill at will"
    view.wait(5 * SECOND_MS)
    assert probing(view).probes.whole_ms == well_ms
    view.rig.jump(1_500)
    view.wait(10)
    assert probing(view).probes.whole_ms > well_ms


def test_nobody_is_doubted_by_a_timer_that_came_late(cast: Cast) -> None:
    view = View(cast, 1)
    view.wait(5 * SECOND_MS)
    asked = probing(view).probes
    view.silence(*view.actors)
    while not any(one.again for one in asked.own.values()):
        view.wait(10)
    view.rig.jump(1_200)
    view.on_channel.update(dict.fromkeys(view.by_id))
    view.wait(10)
    assert not doubted(view)
    view.by_datagram.update(dict.fromkeys(view.by_id))
    view.wait(10 * SECOND_MS)
    assert not doubted(view)
    assert not closed(view)


@pytest.mark.parametrize("slept_ms", [HEARTBEAT_MS + GAP_MS + 1, HOUR_MS])
def test_after_a_sleep_nobody_is_taken_for_silent(cast: Cast, slept_ms: int) -> None:
    view = View(cast, 5)
    view.turns()
    doubt(view, view.actors[0])
    view.wait(SECOND_MS // 2)
    view.rig.jump(slept_ms)
    view.by_datagram.update(dict.fromkeys(view.by_id))
    view.on_channel.update(dict.fromkeys(view.by_id))
    view.wait(10)
    assert not doubted(view)
    view.wait(LONG_MS)
    assert not closed(view)
    assert probing(view).given_up == 0


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
    assert not doubted(view), "what one asks for others is not one's own"


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
    while silent.id not in probing(view).probes.own:
        view.wait(10)
    number = probing(view).probes.own[silent.id].number
    view.hear(liar, Alive(number=number, incarnation=9_999))
    view.hear(liar, Probed(number=number, answered=True))
    view.hear(liar, Probed(number=number + 1, answered=True))
    assert silent.id in probing(view).probes.own
    view.wait(2 * SECOND_MS)
    assert doubted(view) == [silent.id]


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
    assert sorted(closed(view)) == sorted(one.id for one in lost)
    assert len(probing(view)._tidings) <= MAX_TIDINGS_KEPT


def test_an_id_is_no_member_without_a_channel(cast: Cast) -> None:
    view = View(cast, 1)
    view.hear(view.actors[0], ProbeFor(number=1, peer=blob("nobody"), endpoints=()))  # type: ignore[arg-type]
    view.wait(LONG_MS)
    assert {peer for peer, _ in view.sent(Probe)} == {view.actors[0].id}
    assert [word.answered for _, word in view.sent(Probed)] == [False]
