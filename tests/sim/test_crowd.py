"""The crowd: its network keeps what it promises, its bytes are counted, and a small mesh meets what is asked of it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.core.effects import Dial, Knock, Send, SendDatagram
from mesh.core.events import ChannelClosed, ChannelOpened, DatagramHeard, DialFailed, Event, MessageHeard
from mesh.ground.datagram_limits import CALL_MS, PAIR_FRESH_MS
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.wire import lookups, messages
from mesh.wire.lookups import NodePing, PointerStored
from mesh.wire.messages import Ping
from sim.crowd import Crowd, Node
from sim.crowd_costs import RECORD_BYTES, SEALED_BYTES, TCP_BYTES, UNANSWERED_CALL_BYTES, flight_bytes
from sim.crowd_measures import QUICK, Measured, Walk, measure
from sim.crowd_net import DIAL_GIVEN_UP_MS, LOSS_PPM
from sim.crowd_reach import NEAREST, Reach, nearest
from sim.crowd_report import bounds_for, kinds, missed, rows, table

pytestmark = pytest.mark.interpreted

ROOT = Path(__file__).resolve().parents[2]
PEERS = 16


class Ear(Node):
    """A node that keeps what it hears, and says nothing."""

    def __init__(self, crowd: Crowd, node: Node) -> None:
        super().__init__(crowd, node.index, node.signer, node.chain)
        self.heard: list[Event] = []
        self.up = True
        crowd.net.place(self)

    def hear(self, event: Event) -> None:
        self.heard.append(event)

    def numbers(self) -> list[int]:
        return [event.message.number for event in self.heard if isinstance(event, MessageHeard | DatagramHeard)]  # type: ignore[union-attr]


def two(seed: int = 1) -> tuple[Crowd, Ear, Ear]:
    crowd = Crowd(2, seed)
    one, other = (Ear(crowd, node) for node in crowd.nodes)
    other.side = 1 - one.side
    return crowd, one, other


def joined(seed: int = 1) -> tuple[Crowd, Ear, Ear]:
    crowd, one, other = two(seed)
    crowd.net.dial(one, Dial(peer=other.id, addresses=(other.address,)))
    crowd.run_for(SECOND_MS)
    for ear in (one, other):
        assert [type(event) for event in ear.heard] == [ChannelOpened]
        ear.heard.clear()
    return crowd, one, other


def ping(number: int) -> Ping:
    return Ping(number=number)


# Channels.


def test_a_channel_opens_at_both_ends_and_each_pays_for_its_handshake() -> None:
    crowd, one, other = joined()
    assert (one.sent, other.sent) == (crowd.costs.dialler, crowd.costs.listener)
    assert (one.received, other.received) == (other.sent, one.sent)
    assert 500 < crowd.costs.listener < crowd.costs.dialler < 4_000


def test_messages_keep_their_order_whatever_is_lost() -> None:
    crowd, one, other = joined()
    count = 4 * 1_000_000 // LOSS_PPM
    for number in range(count):
        crowd.after(number, crowd.net.send, one, Send(peer=other.id, message=ping(number)))
    crowd.run_for(MINUTE_MS)
    assert other.numbers() == list(range(count))


def test_a_message_costs_its_encoding_and_its_headers_and_an_acknowledgement() -> None:
    crowd, one, other = joined()
    before = one.sent, other.received, other.sent
    crowd.net.send(one, Send(peer=other.id, message=ping(7)))
    crowd.run_for(SECOND_MS)
    size = len(messages.encode(ping(7))) + RECORD_BYTES + TCP_BYTES
    assert one.sent - before[0] == other.received - before[1] == size
    assert other.sent - before[2] == TCP_BYTES
    assert flight_bytes(3_000) == 3_000 + 3 * TCP_BYTES


def test_what_waits_behind_a_cut_arrives_when_it_is_mended() -> None:
    crowd, one, other = joined()
    crowd.net.cut = True
    for number in range(3):
        crowd.net.send(one, Send(peer=other.id, message=ping(number)))
    crowd.run_for(MINUTE_MS)
    assert other.heard == []
    crowd.net.mend()
    crowd.run_for(SECOND_MS)
    assert other.numbers() == [0, 1, 2]


def test_a_closed_channel_is_heard_of_as_one_that_broke() -> None:
    crowd, one, other = joined()
    crowd.net.close(one, other.id)
    crowd.run_for(SECOND_MS)
    assert one.heard == []
    assert other.heard == [ChannelClosed(peer=one.id, clean=False)]
    assert not one.channels and not other.channels


def test_a_channel_closed_behind_a_cut_is_found_dead_by_whoever_speaks_on_it() -> None:
    crowd, one, other = joined()
    crowd.net.cut = True
    crowd.net.close(one, other.id)
    crowd.run_for(SECOND_MS)
    crowd.net.mend()
    crowd.net.send(other, Send(peer=one.id, message=ping(1)))
    crowd.run_for(SECOND_MS)
    assert other.heard == [ChannelClosed(peer=one.id, clean=False)]
    assert one.heard == []


def test_two_that_dial_each_other_at_once_have_one_channel() -> None:
    crowd, one, other = two()
    crowd.net.dial(one, Dial(peer=other.id, addresses=(other.address,)))
    crowd.net.dial(other, Dial(peer=one.id, addresses=(one.address,)))
    crowd.run_for(SECOND_MS)
    assert [type(event) for event in one.heard] == [type(event) for event in other.heard] == [ChannelOpened]
    assert one.channels[other.id] is other.channels[one.id]


@pytest.mark.parametrize("how", ["gone", "cut", "somebody else"])
def test_a_dial_that_leads_nowhere_says_so(how: str) -> None:
    crowd, one, other = two()
    other.up = how != "gone"
    crowd.net.cut = how == "cut"
    peer = PeerId(bytes(32)) if how == "somebody else" else other.id
    crowd.net.dial(one, Dial(peer=peer, addresses=(other.address,)))
    crowd.run_for(DIAL_GIVEN_UP_MS)
    assert one.heard == [DialFailed(peer=peer, refused=False)]
    assert one.sent > 0


def test_a_knock_costs_nothing_where_a_dialled_channel_lasts() -> None:
    crowd, one, other = joined()
    before = one.sent
    crowd.net.knock(one, Knock(address=other.address))
    crowd.run_for(SECOND_MS)
    assert one.sent == before
    crowd.net.knock(other, Knock(address=one.address))
    crowd.run_for(SECOND_MS)
    assert other.heard == [], "there was one"
    assert one.sent == before + crowd.costs.listener


# Datagrams.


def say(crowd: Crowd, one: Ear, other: Ear, number: int) -> None:
    crowd.net.send_datagram(
        one, SendDatagram(peer=other.id, addresses=(other.address,), message=NodePing(number=number))
    )


def test_the_first_datagram_waits_for_a_handshake_that_both_pay_for() -> None:
    crowd, one, other = two()
    say(crowd, one, other, 1)
    say(crowd, one, other, 2)
    crowd.run_for(SECOND_MS)
    say(crowd, other, one, 3)
    crowd.run_for(SECOND_MS)
    size = len(lookups.encode(NodePing(number=1))) + SEALED_BYTES
    assert sorted(other.numbers()) == [1, 2] and one.numbers() == [3]
    assert (one.sent, other.sent) == (crowd.costs.caller + 2 * size, crowd.costs.called + size)
    assert 1_900 < crowd.costs.caller < 2_100, "the first is as long as a datagram may be"


def test_keys_that_were_not_heard_under_for_long_are_made_anew() -> None:
    crowd, one, other = two()
    say(crowd, one, other, 1)
    crowd.run_for(SECOND_MS)
    say(crowd, other, one, 2)
    crowd.run_for(PAIR_FRESH_MS + SECOND_MS)
    before = one.sent
    say(crowd, one, other, 3)
    assert one.sent - before > crowd.costs.caller


def test_the_dead_are_called_once_for_all_that_waits_for_them() -> None:
    crowd, one, other = two()
    other.up = False
    for number in range(4):
        say(crowd, one, other, number)
        crowd.run_for(SECOND_MS // 2)
    assert one.sent == UNANSWERED_CALL_BYTES
    crowd.run_for(CALL_MS)
    say(crowd, one, other, 9)
    assert one.sent == 2 * UNANSWERED_CALL_BYTES
    assert other.heard == []


def test_who_falls_silent_is_doubted_and_called() -> None:
    crowd, one, other = two()
    say(crowd, one, other, 1)
    crowd.run_for(SECOND_MS)
    say(crowd, other, one, 2)
    crowd.run_for(MINUTE_MS)
    other.up = False
    before = one.sent
    say(crowd, one, other, 3)
    assert one.sent - before < 100
    crowd.run_for(SECOND_MS)
    say(crowd, one, other, 4)
    assert one.sent - before > UNANSWERED_CALL_BYTES


def test_who_only_answers_doubts_nobody() -> None:
    crowd, one, other = two()
    say(crowd, one, other, 1)
    crowd.run_for(SECOND_MS)
    answer = SendDatagram(peer=one.id, addresses=(one.address,), message=PointerStored(number=1, sequence=0))
    crowd.net.send_datagram(other, answer)
    crowd.run_for(MINUTE_MS)
    before = other.sent
    say(crowd, other, one, 2)
    assert other.sent - before < 100


def test_datagrams_are_lost_now_and_then() -> None:
    crowd, one, other = two()
    say(crowd, one, other, 0)
    count = 4_000
    for number in range(1, count):
        crowd.after(SECOND_MS + number, say, crowd, one, other, number)
        crowd.after(SECOND_MS + number, say, crowd, other, one, number)
    crowd.run_for(MINUTE_MS)
    lost = count - len(other.numbers())
    assert count * LOSS_PPM / 1_000_000 / 3 < lost < count * LOSS_PPM / 1_000_000 * 3


# What is judged.


def test_nearest_are_the_nearest() -> None:
    peers = [node.id for node in Crowd(60, 4).nodes]
    for peer, found in nearest(peers).items():
        at = int.from_bytes(peer[:20], "big")
        others = sorted((int.from_bytes(other[:20], "big") ^ at, other) for other in peers if other != peer)
        assert found == tuple(other for _, other in others[:NEAREST])
    assert nearest(peers[:3])[peers[0]] in {(peers[1], peers[2]), (peers[2], peers[1])}


@pytest.fixture(scope="module")
def small() -> Measured:
    return measure(PEERS, 3, QUICK)


def test_a_small_crowd_finds_itself_before_and_after_a_third_is_gone(small: Measured) -> None:
    assert small.quiet.success >= 99.9
    assert small.after.success >= 99
    assert small.quiet.percentile(50) < 1_500 > small.after.percentile(50)
    assert small.idle.sent < bounds_for(PEERS).idle
    assert small.neighbours > NEAREST


def test_the_halves_of_a_small_crowd_become_one_again(small: Measured) -> None:
    healing = small.healing
    assert healing.whole_before == PEERS
    assert healing.all_ms is not None and 0 < healing.all_ms <= bounds_for(PEERS).heal_ms
    assert (healing.strangers, healing.unknown_heads) == (0, 0)


def test_kinds_of_traffic_add_up_to_all_of_it(small: Measured) -> None:
    for part in (small.idle, small.vanished):
        assert sum(size for _, size in part.kinds.values()) == pytest.approx(part.sent, rel=0.02)
    assert any("handshakes of channels" in line for line in kinds(small))


def test_a_figure_that_is_missed_is_said(small: Measured) -> None:
    def named(measured: Measured) -> list[str]:
        return [line.partition(":")[0] for line in missed(measured)]

    fine = replace(small, vanished=small.idle, joined=small.idle)
    assert named(fine) == []
    assert "**missed**" not in "".join(table(fine))
    loud = replace(fine.idle, sent=6 * fine.idle.sent, sent_by_old=0.0)
    assert named(replace(fine, vanished=loud)) == ["sent in the minute after 30 % vanished at once, mean of all"]
    late = replace(fine.healing, all_ms=61 * SECOND_MS)
    assert named(replace(fine, healing=late)) == ["as many as before whole again, after healing"]
    assert named(replace(fine, healing=replace(late, all_ms=None))) == named(replace(fine, healing=late))
    assert len(named(replace(fine, quiet=replace(fine.quiet, found=0)))) == 1
    assert len(named(replace(fine, idle=replace(fine.idle, sent=3_001.0)))) == 1
    assert "**missed**" in "".join(table(replace(fine, healing=late)))
    assert len(rows(fine)) == len(table(fine)) - 2


def test_parted_halves_are_not_whole() -> None:
    walk = Walk(8, 5, QUICK, lambda _what: None)
    walk.gather()
    crowd = walk.crowd
    reach = Reach(crowd)
    assert reach.lacking() == []
    crowd.net.cut = True
    crowd.run_for(2 * MINUTE_MS)
    assert len(reach.lacking()) == 8 == reach.strangers()
    crowd.submit(crowd.up()[0])
    crowd.run_for(SECOND_MS)
    assert 0 < reach.unknown_heads() < 8


def test_pointers_lie_on_the_nodes_nearest_to_their_key() -> None:
    crowd = Crowd(PEERS, 11)
    for node in crowd.nodes:
        crowd.start(node)
    crowd.run_for(2 * MINUTE_MS)
    up = {node.id: node for node in crowd.up()}
    for peer, near in nearest(list(up)).items():
        holding = [other for other in near if up[other].peer.whereabouts.dht.shelf.get(peer[:20])]
        assert len(holding) >= 6


def test_one_seed_gives_one_table_in_any_process() -> None:
    command = (sys.executable, "-m", "sim", "crowd", "--peers", "6", "--seed", "5", "--quick", "--by-kind")
    running = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for seed in ("1", "2")
    ]
    one, other = (each.communicate(timeout=120)[0] for each in running)
    assert "| 6 peers, seed 5 |" in one
    assert one == other
    assert {each.returncode for each in running} == {1 if "MISSED" in one else 0}
