"""Doubts about members of the view: what begins, shortens and ends them, and what hearsay cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.core.doubts import doubt_ms
from mesh.core.effects import Dial, SendDatagram
from mesh.core.events import ChannelOpened
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import (
    DOUBT_WITNESSES,
    DOUBTS_PER_TELLER,
    HEALTH_WORST,
    PROBE_PATIENCE_MS,
    PROBE_WHOLE_MS,
    REDIAL_MS,
)
from mesh.wire.probes import UNKNOWN, Alive, Gossip, Probe, State
from tests.support.cast import boot
from tests.support.probed import INCARNATION, View, address, tiding
from tests.support.rig import of

if TYPE_CHECKING:
    from tests.support.cast import Cast

LONG_MS = 60 * SECOND_MS


def test_a_silent_peer_is_doubted_told_so_and_then_given_up_but_not_called_dead(cast: Cast) -> None:
    view = View(cast, 5)
    view.turns()
    silent = view.actors[2]
    view.clear()
    view.doubt(silent)
    assert not view.closed()
    view.clear()
    view.given_up_after(silent.id)
    assert view.closed() == [silent.id]
    assert view.probing.given_up == 1
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
    view.doubt(silent)
    view.given_up_after(silent.id)
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
    view.doubt(silent)
    for number, state in words:
        view.hear(view.actors[number], Gossip(tidings=(tiding(silent, state),)))
    took_ms = view.given_up_after(silent.id)
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
    assert not view.closed()
    took_ms = view.given_up_after(silent.id)
    assert took_ms >= max(PROBE_WHOLE_MS, doubt_ms(8, 3))


def test_however_many_say_so_nobody_is_given_up_before_it_was_asked_from_here(cast: Cast) -> None:
    view = View(cast, 7)
    view.turns()
    silent = view.actors[6]
    view.silence(silent)
    view.probing.probes.feel(HEALTH_WORST)
    patience_ms = view.probing.probes.whole_ms
    assert patience_ms > doubt_ms(8, 3)
    for teller in view.actors[:4]:
        view.hear(teller, Gossip(tidings=(tiding(silent, State.GONE),)))
    assert view.given_up_after(silent.id) > patience_ms / 2


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
    assert not view.closed()
    assert view.probing.given_up == 0
    assert view.rig.peer.directory.all_connected() == sorted(view.by_id)
    assert {one.state for _, gossip in view.sent(Gossip) for one in gossip.tidings} == {State.ALIVE}
    asked = view.sent(Probe)
    assert len({peer for peer, _ in asked}) == len(others), "it asks itself, before it believes"
    assert len(asked) <= (DOUBTS_PER_TELLER + 1) * (seconds + 1)
    view.wait(2 * SECOND_MS)
    assert not view.doubted()


def test_a_member_says_nothing_of_peers_that_this_one_does_not_know(cast: Cast) -> None:
    view = View(cast, 3)
    stranger = cast.actor("stranger")
    view.clear()
    view.hear(view.actors[0], Gossip(tidings=(tiding(stranger, State.GONE), tiding(view.actors[1], State(3), 2**62))))
    view.wait(3 * SECOND_MS)
    assert stranger.id not in view.rig.peer.directory.peers
    assert not view.sent(Gossip)
    assert not view.doubted(), "and an incarnation that nobody can outbid is none"


def test_a_word_of_a_newer_life_ends_a_doubt_and_an_old_one_begins_none(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    teller, silent = view.actors[:2]
    view.doubt(silent)
    view.hear(teller, Gossip(tidings=(tiding(silent, State.ALIVE),)))
    assert view.doubted() == [silent.id], "that is what was doubted"
    view.hear(teller, Gossip(tidings=(tiding(silent, State.ALIVE, INCARNATION + 1),)))
    assert not view.doubted()
    view.hear(teller, Gossip(tidings=(tiding(silent, State.GONE),)))
    assert not view.doubted()
    view.hear(teller, Gossip(tidings=(tiding(silent, State.DOUBTED, INCARNATION + 1),)))
    assert view.doubted() == [silent.id]


def test_whoever_does_not_know_a_peers_incarnation_is_heard_all_the_same(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    teller, silent = view.actors[:2]
    view.silence(silent)
    view.clear()
    view.hear(teller, Gossip(tidings=(tiding(silent, State.SUSPECT, UNKNOWN),)))
    assert view.doubted() == [silent.id]
    view.wait(3 * SECOND_MS)
    told = {one for _, gossip in view.sent(Gossip) for one in gossip.tidings}
    assert tiding(silent, State.SUSPECT) in told, "it is told on in the incarnation that is known here"


def test_any_datagram_of_a_doubted_peer_ends_the_doubt_and_it_hears_of_it_first(cast: Cast) -> None:
    view = View(cast, 4)
    view.turns()
    silent = view.actors[2]
    view.doubt(silent)
    (answer,) = of(view.hear(silent, Probe(number=5)), SendDatagram)
    assert isinstance(answer.message, Alive)
    assert answer.message.tidings[0] == tiding(silent, State.SUSPECT)
    assert not view.doubted()
    view.clear()
    view.wait(200)
    assert not view.sent(Gossip), "and nothing more is told of it"


def test_a_peer_with_a_new_channel_is_doubted_no_more(cast: Cast) -> None:
    view = View(cast, 3)
    silent = view.actors[0]
    view.doubt(silent)
    view.tell(ChannelOpened(peer=silent.id, boot=boot("another life"), address=None))
    assert not view.doubted()
