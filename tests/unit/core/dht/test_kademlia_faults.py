"""What was found wrong with the stock library, one test for each: none of it may come back by the door of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mesh.core.effects import SendDatagram
from mesh.core.notes import PointersRead
from mesh.ground.dht_limits import (
    DHT_PARALLEL,
    DHT_PATIENCE_MOST_MS,
    MAX_POINTERS,
    POINTER_CHANGED_MS,
    POINTER_MS,
)
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from mesh.wire import cbor
from mesh.wire import lookups as lk
from mesh.wire.envelope import check, peer_id
from tests.strategies import SIGNERS, sample
from tests.support.cast import Cast
from tests.support.dht_rig import AVAILABLE, DhtRig, address, crowd, endpoint, pointer, sent


@pytest.fixture
def rig(cast: Cast) -> DhtRig:
    return DhtRig(cast)


def test_1_nothing_is_handed_on_to_a_newcomer_however_near_it_is_to_what_is_kept(rig: DhtRig, cast: Cast) -> None:
    ann, *others = crowd(rig, cast, 25)
    rig.hear(ann, lk.StorePointer(number=1, pointer=pointer(ann)), 0)
    rig.clear()
    for number, actor in enumerate(others):
        for _ in range(3):
            rig.hear(actor, lk.NodePing(number=2), 1 + number)
    newcomers = [cast.actor(f"new{number}") for number in range(20)]
    for number, actor in enumerate(newcomers):
        rig.greet(actor, 100 + number)
    assert rig.asked(lk.StorePointer) == []


def test_1b_a_node_that_only_waits_for_a_place_is_no_news_at_every_packet(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 80)
    waiting = next(actor for actor in actors if rig.dht.table.get(actor.id) is None)
    for number in range(5):
        effects = rig.hear(waiting, lk.NodePing(number=number), actors.index(waiting))
        assert [type(one) for one in effects] == [SendDatagram], "its answer and nothing else"


def test_2_a_forged_pointer_is_no_datagram_and_a_true_one_is_taken_from_its_author_alone(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    true = pointer(ann)
    forged = lk.StorePointer(number=1, pointer=sample(lk.StorePointer).pointer)
    data = bytearray(lk.encode(forged))
    data[-1] ^= 1
    with pytest.raises(WireError):
        check(lk.decode(bytes(data)), cast.keyring.verifier)
    rig = DhtRig(cast)
    rig.greet(bob, 1)
    rig.hear(bob, lk.StorePointer(number=1, pointer=true), 1)
    assert len(rig.dht.shelf) == 0
    assert MAX_POINTERS * lk.MAX_POINTER_BYTES < 5_000_000


def test_3_no_holder_stores_again_and_what_nobody_publishes_again_dies(rig: DhtRig, cast: Cast) -> None:
    ann, *_ = crowd(rig, cast, 10)
    rig.hear(ann, lk.StorePointer(number=1, pointer=pointer(ann, 5)), 0)
    rig.hear(ann, lk.StorePointer(number=2, pointer=pointer(ann, 4)), 0)
    assert [one.body.sequence for one in rig.dht.shelf.get(lk.dht_id(ann.id))] == [5]
    rig.clear()
    rig.wait(2 * HOUR_MS, ticking=True)
    assert rig.asked(lk.StorePointer) == []
    assert len(rig.dht.shelf) == 0


def test_4_the_highest_sequence_wins_against_any_majority_and_is_written_back_to_nobody(
    rig: DhtRig, cast: Cast
) -> None:
    actors = crowd(rig, cast, 3)
    bob = cast.actor("bob")
    rig.turn(lambda turn: rig.dht.read(turn, bob.id))
    asked = dict(rig.asked(lk.FindPointers))
    for number, sequence in enumerate((1, 1, 2)):
        question = asked[actors[number].id]
        found = lk.PointersFound(number=question.number, pointers=(pointer(bob, sequence),), nodes=())
        rig.hear(actors[number], found, number)
    (read,) = rig.notes
    assert isinstance(read, PointersRead)
    assert [one.body.sequence for one in read.pointers] == [2]
    assert rig.asked(lk.StorePointer) == []


@pytest.mark.parametrize("value", [["value"], [["value"]], [{}], "value", [[1, 2, 3]]])
def test_4b_a_value_of_the_wrong_form_is_refused_before_anybody_compares_it(value: object) -> None:
    try:
        data = cbor.encode([6, [1, value, []]])  # type: ignore[list-item]
    except TypeError:
        return
    with pytest.raises(WireError):
        lk.decode(data)


def test_5_dead_nodes_cost_neither_five_seconds_nor_a_round(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 8)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    began = rig.now.instant
    dead = {peer for peer, _ in rig.asked(lk.FindPointers)}
    assert len(dead) == DHT_PARALLEL
    ids = [actor.id for actor in actors]
    while not rig.notes:
        asked = [one for one in rig.asked(lk.FindPointers) if one[0] not in dead]
        rig.clear()
        for peer, question in asked:
            number = ids.index(peer)
            rig.hear(actors[number], lk.PointersFound(number=question.number, pointers=(), nodes=()), number)
        if not rig.notes:
            rig.wait(50)
        assert rig.now.instant - began < 3 * DHT_PATIENCE_MOST_MS
    assert rig.now.instant - began < 2_500, "three dead of eight, each asked twice"
    assert all(rig.dht.table.get(peer) is not None for peer in dead), "one loss evicts nobody"


def test_6_publishing_where_all_neighbours_are_dead_raises_nothing_and_is_tried_again(rig: DhtRig, cast: Cast) -> None:
    rig.contacting.available = AVAILABLE
    (ann,) = crowd(rig, cast, 1)
    rig.wait(POINTER_CHANGED_MS // 2, ticking=True)
    assert rig.asked(lk.StorePointer) == []
    for _ in range(3):
        rig.greet(ann, 0)
        rig.clear()
        rig.wait(POINTER_CHANGED_MS, ticking=True)
        assert rig.asked(lk.FindNodes)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\x01\x02",
        bytes(1_000),
        cbor.encode([3, [1, bytes(21)]]),
        cbor.encode([3, [1, "20 letters of a text"]]),
        cbor.encode([4, [1, [[bytes(32), [[bytes(4), 70_000]]]]]]),
        cbor.encode([4, [1, [[bytes(32), [["10.0.0.1", 7_000]]]]]]),
    ],
)
def test_7_malformed_bytes_ids_and_ports_are_refused_as_one_kind_of_error(data: bytes) -> None:
    with pytest.raises(WireError):
        lk.decode(data)


def test_8_a_peer_that_comes_from_a_new_address_is_asked_and_told_there(rig: DhtRig, cast: Cast) -> None:
    ann, bob = crowd(rig, cast, 2)
    rig.greet(ann, 77)
    rig.clear()
    rig.hear(bob, lk.FindNodes(number=1, target=lk.dht_id(ann.id)), 1)
    ((_, found),) = rig.asked(lk.NodesFound)
    assert [node.endpoints[0] for node in found.nodes if node.peer == ann.id] == [endpoint(77)]
    rig.clear()
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    to = [one.addresses[0] for one in rig.effects if isinstance(one, SendDatagram) and one.peer == ann.id]
    assert to == [address(77)]


def test_9_the_nearest_are_found_across_all_buckets(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 120)
    everybody = rig.dht.table.neighbours()
    for number in range(40):
        target = lk.dht_id(cast.actor(f"t{number}").id)
        at = int.from_bytes(target, "big")
        nearest = sorted(everybody, key=lambda one: one.long_id ^ at)[:8]
        assert rig.dht.table.closest(target, count=8) == nearest


def test_10_no_answer_is_longer_than_a_datagram_and_none_goes_where_nobody_asked(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 40)
    rig.hear(actors[0], lk.StorePointer(number=1, pointer=pointer(actors[0])), 0)
    rig.clear()
    for question in (
        lk.NodePing(number=1),
        lk.FindNodes(number=2, target=bytes(20)),
        lk.FindPointers(number=3, key=lk.dht_id(actors[0].id)),
    ):
        (answer,) = (one for one in rig.hear(actors[1], question, 1) if isinstance(one, SendDatagram))
        assert answer.addresses == (address(1),)
        assert len(lk.encode(answer.message)) <= lk.MAX_LOOKUP_BYTES


def test_11_nodes_in_answers_are_bounded_and_their_addresses_looked_at(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    ((_, question),) = rig.asked(lk.FindPointers)
    rig.clear()
    bad = [bytes(4), b"\x7f\x00\x00\x01", b"\xe0\x00\x00\x01", b"\xff\xff\xff\xff", bytes(16), b"\x0a\x01\x00\x01"]
    nodes = tuple(
        lk.Node(peer=cast.actor(f"bad{number}").id, endpoints=(lk.Endpoint(ip=ip, port=7_000),))
        for number, ip in enumerate(bad)
    )
    rig.hear(ann, lk.PointersFound(number=question.number, pointers=(), nodes=nodes), 0)
    assert rig.asked(lk.FindPointers) == [], "every one leads nowhere, or here"
    assert len(rig.notes) == 1
    assert len(rig.dht.table) == 1, "nobody is in the table by hearsay"


def test_11b_an_ipv4_address_in_ipv6s_clothes_is_not_passed_on() -> None:
    mapped = bytes(10) + b"\xff\xff\x0a\x00\x00\x01"
    with pytest.raises(WireError):
        lk.decode(cbor.encode([4, [1, [[bytes(32), [[mapped, 7_000]]]]]]))


def test_12_neither_pickle_nor_the_asyncio_parts_of_the_library_are_loaded() -> None:
    code = "import sys, mesh.core.peer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "kademlia.routing" in loaded
    for unwanted in ("kademlia.network", "kademlia.protocol", "kademlia.crawling", "rpcudp", "umsgpack", "trio"):
        assert unwanted not in loaded


def test_13_who_has_nobody_left_asks_those_it_knows_for_ever(rig: DhtRig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.met(ann, 3)
    rig.wait(MINUTE_MS, ticking=True)
    tries = len(rig.asked(lk.FindNodes))
    rig.wait(HOUR_MS, ticking=True)
    assert tries > 2
    assert len(rig.asked(lk.FindNodes)) > 20 * tries
    rig.greet(ann, 3)
    assert len(rig.dht.table) == 1


def test_13b_joining_looks_for_oneself_so_that_others_know(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 1)
    rig.wait(2 * SECOND_MS)
    targets = {question.target for _, question in rig.asked(lk.FindNodes)}
    assert targets == {lk.dht_id(rig.me.id)}


def test_14_reading_asks_others_although_a_copy_is_here(rig: DhtRig, cast: Cast) -> None:
    ann, bob = crowd(rig, cast, 2)
    rig.hear(ann, lk.StorePointer(number=1, pointer=pointer(ann, 3)), 0)
    rig.clear()
    rig.turn(lambda turn: rig.dht.read(turn, ann.id))
    asked = dict(rig.asked(lk.FindPointers))
    assert set(asked) == {ann.id, bob.id}
    newer = lk.PointersFound(number=asked[ann.id].number, pointers=(pointer(ann, 4),), nodes=())
    rig.hear(ann, newer, 0)
    rig.hear(bob, lk.PointersFound(number=asked[bob.id].number, pointers=(), nodes=()), 1)
    (read,) = rig.notes
    assert isinstance(read, PointersRead)
    assert [one.body.sequence for one in read.pointers] == [4]


def test_14b_ids_are_of_the_same_hash_as_everywhere() -> None:
    assert lk.dht_id(peer_id(SIGNERS[0].key)) == peer_id(SIGNERS[0].key)[:20]


def test_a_reply_from_another_address_than_its_peers_own_channel_key_is_nobodys(rig: DhtRig, cast: Cast) -> None:
    ann, bob = crowd(rig, cast, 2)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    asked = dict(rig.asked(lk.FindPointers))
    lie = lk.PointersFound(number=asked[ann.id].number, pointers=(), nodes=())
    assert sent(rig.hear(bob, lie, 0), lk.FindPointers) == []
    assert rig.notes == []
    rig.wait(POINTER_MS // 100)
    assert len(rig.notes) == 1
