"""The DHT's machine: it answers, meets, asks again, gives up, and keeps what it was told within bounds."""

from __future__ import annotations

import pytest

from mesh.core.dht.endpoints import believed, endpoint_of, range_of
from mesh.core.effects import SendDatagram
from mesh.core.notes import NodeTold, PartFound, PeerDead, PeerGone, PointerKept, PointersRead
from mesh.core.timers import RefreshDue
from mesh.ground.dht_limits import (
    DHT_ANSWERS_PER_SECOND,
    DHT_BUCKET_MS,
    DHT_FAILS,
    DHT_LOOKUPS,
    DHT_OLD_MS,
    DHT_PATIENCE_LEAST_MS,
    DHT_PATIENCE_MOST_MS,
    DHT_PATIENCE_MS,
    DHT_REFRESH_MS,
    POINTER_MS,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import HOUR_MS, SECOND_MS, Instant
from mesh.wire import lookups as lk
from mesh.wire.messages import Address
from tests.support.cast import Actor, Cast
from tests.support.dht_rig import HERE, DhtRig, address, crowd, endpoint, pointer, sent


@pytest.fixture
def rig(cast: Cast) -> DhtRig:
    return DhtRig(cast)


def test_a_ping_is_answered_at_the_address_that_it_came_from(rig: DhtRig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.know(ann)
    effects = rig.hear(ann, lk.NodePing(number=7), 3)
    pong = lk.NodePong(number=7, chain=rig.me.chain)
    assert effects[0] == SendDatagram(peer=ann.id, addresses=(address(3),), message=pong)
    assert rig.dht.table.get(ann.id) is not None


def test_who_was_met_on_a_channel_is_asked_and_comes_into_the_table_once_it_answers(rig: DhtRig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.met(ann, 5)
    rig.tick()
    ((peer, question),) = rig.asked(lk.FindNodes)
    assert (peer, question.target) == (ann.id, lk.dht_id(rig.me.id))
    assert rig.dht.table.get(ann.id) is None
    rig.hear(ann, lk.NodesFound(number=question.number, nodes=()), 5)
    assert rig.dht.table.get(ann.id) is not None


def test_a_stranger_to_this_peer_is_asked_for_its_chain_first(rig: DhtRig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.hear(ann, lk.FindNodes(number=1, target=bytes(20)), 5)
    ((_, ping),) = rig.asked(lk.NodePing)
    assert rig.dht.table.get(ann.id) is None
    rig.hear(ann, lk.NodePong(number=ping.number, chain=ann.chain), 5)
    assert rig.dht.table.get(ann.id) is not None


def test_a_pong_without_a_good_chain_sets_off_no_dance(rig: DhtRig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.hear(ann, lk.NodePing(number=1), 5)
    ((_, ping),) = rig.asked(lk.NodePing)
    assert rig.hear(ann, lk.NodePong(number=ping.number, chain=()), 5) == []
    assert rig.dht.table.get(ann.id) is None


def test_nodes_are_told_nearest_first_and_never_the_asker(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 30)
    target = lk.dht_id(actors[4].id)
    rig.hear(actors[9], lk.FindNodes(number=5, target=target), 9)
    ((peer, found),) = rig.asked(lk.NodesFound)
    assert peer == actors[9].id
    told = [node.peer for node in found.nodes]
    assert told[0] == actors[4].id
    assert actors[9].id not in told
    assert len(told) == lk.MAX_NODES


def test_a_late_question_is_asked_once_more_and_then_its_peer_counts_as_silent(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 1)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    assert len(rig.asked(lk.FindPointers)) == 1
    rig.wait(DHT_PATIENCE_MS)
    assert len(rig.asked(lk.FindPointers)) == 2
    assert rig.notes == []
    rig.wait(2 * DHT_PATIENCE_MS)
    assert len(rig.asked(lk.FindPointers)) == 2
    assert rig.notes == [PointersRead(key=bytes(20), pointers=())]


def test_a_silent_peer_is_asked_whether_it_is_there_before_it_is_forgotten(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    rig.wait(3 * DHT_PATIENCE_MS)
    assert len(rig.asked(lk.NodePing)) == DHT_FAILS - 1
    assert rig.dht.table.get(ann.id) is not None
    assert rig.dht.table.closest(bytes(20)) == []
    rig.wait(3 * DHT_PATIENCE_MOST_MS)
    assert rig.dht.table.get(ann.id) is None


def test_one_word_from_it_clears_a_silent_peer(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    rig.wait(3 * DHT_PATIENCE_MS)
    rig.greet(ann, 0)
    neighbour = rig.dht.table.get(ann.id)
    assert neighbour is not None
    assert neighbour.fails == 0


def test_the_patience_follows_measured_round_trips(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    assert rig.dht.questions.patience_ms(ann.id) == DHT_PATIENCE_MS
    for _ in range(20):
        rig.clear()
        rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
        ((_, asked),) = rig.asked(lk.FindPointers)
        rig.wait(30)
        rig.hear(ann, lk.PointersFound(number=asked.number, pointers=(), nodes=()), 0)
    assert rig.dht.questions.patience_ms(ann.id) == DHT_PATIENCE_LEAST_MS
    assert rig.dht.questions.patience_ms(cast.actor("new").id) == 3 * DHT_PATIENCE_LEAST_MS


def test_a_read_takes_the_highest_sequence_of_what_it_is_told(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 6)
    bob = cast.actor("bob")
    rig.turn(lambda turn: rig.dht.read(turn, bob.id))
    by_id = {cast.actor(f"p{number}").id: number for number in range(6)}
    given = iter([3, 9, 4, 1, 2, 5])
    while not rig.notes:
        asked = rig.asked(lk.FindPointers)
        rig.clear()
        for peer, question in asked:
            number = by_id[peer]
            found = lk.PointersFound(number=question.number, pointers=(pointer(bob, next(given)),), nodes=())
            rig.hear(cast.actor(f"p{number}"), found, number)
    (read,) = rig.notes
    assert isinstance(read, PointersRead)
    assert [one.body.sequence for one in read.pointers] == [9]


def test_a_pointer_under_anothers_key_or_out_of_its_time_is_not_read(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    bob, cid = cast.actor("bob"), cast.actor("cid")
    for bad in (pointer(cid, 1), pointer(bob, 1, life_ms=0), pointer(bob, 1, life_ms=HOUR_MS)):
        rig.clear()
        rig.turn(lambda turn: rig.dht.read(turn, bob.id))
        ((_, asked),) = rig.asked(lk.FindPointers)
        rig.hear(ann, lk.PointersFound(number=asked.number, pointers=(bad,), nodes=()), 0)
        (read,) = rig.notes
        assert isinstance(read, PointersRead)
        assert read.pointers == ()


def test_a_pointer_is_kept_for_its_author_alone_and_answered_with(rig: DhtRig, cast: Cast) -> None:
    ann, bob = crowd(rig, cast, 2)
    mine = pointer(ann, 5)
    rig.hear(bob, lk.StorePointer(number=1, pointer=mine), 1)
    rig.hear(ann, lk.StorePointer(number=2, pointer=mine), 0)
    rig.hear(ann, lk.StorePointer(number=3, pointer=pointer(ann, 4)), 0)
    assert [(peer, stored.sequence) for peer, stored in rig.asked(lk.PointerStored)] == [
        (bob.id, 0),
        (ann.id, 5),
        (ann.id, 5),
    ]
    rig.hear(bob, lk.FindPointers(number=4, key=lk.dht_id(ann.id)), 1)
    ((_, found),) = rig.asked(lk.PointersFound)
    assert found.pointers == (mine,)
    rig.wait(POINTER_MS)
    rig.clear()
    rig.hear(bob, lk.FindPointers(number=5, key=lk.dht_id(ann.id)), 1)
    ((_, found),) = rig.asked(lk.PointersFound)
    assert found.pointers == ()


def test_publishing_stores_with_the_nearest_that_answer(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 4)
    mine = pointer(rig.me, 1)
    rig.turn(lambda turn: rig.dht.publish(turn, mine, afresh=True))
    for _ in range(4):
        asked = rig.asked(lk.FindNodes)
        rig.clear()
        for peer, question in asked:
            number = [actor.id for actor in actors].index(peer)
            rig.hear(actors[number], lk.NodesFound(number=question.number, nodes=()), number)
        if rig.asked(lk.StorePointer):
            break
    stores = rig.asked(lk.StorePointer)
    assert {peer for peer, _ in stores} == {actor.id for actor in actors}
    peer, question = stores[0]
    number = [actor.id for actor in actors].index(peer)
    rig.hear(actors[number], lk.PointerStored(number=question.number, sequence=1), number)
    assert rig.notes == [PointerKept(sequence=1)]


@pytest.mark.parametrize("says", [True, False])
def test_whoever_publishes_waits_to_hear_who_the_nearest_are_and_not_for_ever(
    rig: DhtRig, cast: Cast, says: bool
) -> None:
    (ann,) = crowd(rig, cast, 1)
    stranger = cast.actor("stranger")
    rig.turn(lambda turn: rig.dht.publish(turn, pointer(rig.me, 1), afresh=True))
    ((_, asked),) = rig.asked(lk.FindNodes)
    node = lk.Node(peer=stranger.id, endpoints=(endpoint(7),))
    rig.hear(ann, lk.NodesFound(number=asked.number, nodes=(node,)), 0)
    asked = dict(rig.asked(lk.FindNodes))[stranger.id]
    rig.hear(stranger, lk.NodesFound(number=asked.number, nodes=()), 7)
    ((peer, ping),) = rig.asked(lk.NodePing)
    assert peer == stranger.id
    assert rig.asked(lk.StorePointer) == []
    if says:
        rig.hear(stranger, lk.NodePong(number=ping.number, chain=stranger.chain), 7)
    else:
        rig.wait(4 * DHT_PATIENCE_MOST_MS)
    assert {peer for peer, _ in rig.asked(lk.StorePointer)} == {ann.id, stranger.id}


def test_a_flood_of_questions_is_answered_up_to_a_bound_and_others_are_heard(rig: DhtRig, cast: Cast) -> None:
    ann, bob = crowd(rig, cast, 2)
    rig.tick()
    rig.clear()
    for number in range(1_000):
        rig.hear(ann, lk.FindNodes(number=number, target=bytes(20)), 0)
    assert len(rig.asked(lk.NodesFound)) == DHT_ANSWERS_PER_SECOND
    rig.clear()
    rig.hear(bob, lk.FindNodes(number=1, target=bytes(20)), 1)
    assert len(rig.asked(lk.NodesFound)) == 1
    rig.tick()
    rig.clear()
    rig.hear(ann, lk.FindNodes(number=1, target=bytes(20)), 0)
    assert len(rig.asked(lk.NodesFound)) == 1


def test_look_ups_under_way_are_bounded_and_one_too_many_finds_nothing_at_once(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 3)
    for number in range(DHT_LOOKUPS):
        rig.turn(lambda turn, number=number: rig.dht.read(turn, PeerId(bytes([number]) * 32)))
    assert rig.notes == []
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes([99]) * 32)))
    assert rig.notes == [PointersRead(key=bytes([99]) * 20, pointers=())]


def test_two_who_want_the_same_share_one_look_up(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 3)
    for _ in range(2):
        rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    assert len(rig.asked(lk.FindPointers)) == 3


def test_buckets_are_looked_into_on_joining_and_once_an_hour(rig: DhtRig, cast: Cast) -> None:
    actors = [cast.actor(f"p{number}") for number in range(60)]
    for number, actor in enumerate(actors):
        rig.greet(actor, number)
    rig.clear()
    targets: dict[bytes, None] = {}

    def answer_for(span_ms: int) -> None:
        until = rig.now.instant + span_ms
        while rig.now.instant < until:
            rig.wait(200)
            asked = rig.asked(lk.FindNodes)
            rig.clear()
            for peer, question in asked:
                targets[question.target] = None
                number = [actor.id for actor in actors].index(peer)
                rig.hear(actors[number], lk.NodesFound(number=question.number, nodes=()), number)

    answer_for(8 * DHT_BUCKET_MS)
    assert lk.dht_id(rig.me.id) in targets
    buckets = rig.dht.table.ranges()
    assert buckets
    for bucket in buckets:
        assert any(bucket.lower <= int.from_bytes(target, "big") <= bucket.upper for target in targets)
    targets.clear()
    answer_for(int(1.3 * DHT_REFRESH_MS))
    assert lk.dht_id(rig.me.id) in targets


def test_before_a_full_bucket_turns_a_newcomer_away_its_oldest_is_asked(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 80)
    away = [actor for actor in actors if rig.dht.table.get(actor.id) is None]
    assert away
    number = actors.index(away[0])
    rig.greet(away[0], number)
    assert rig.asked(lk.NodePing) == []
    for neighbour in rig.dht.table.neighbours():
        neighbour.heard_at = Instant(rig.now.instant - DHT_OLD_MS)
    rig.greet(away[0], number)
    assert len(rig.asked(lk.NodePing)) == 1


@pytest.mark.parametrize(
    ("host", "whole"),
    [
        ("10.1.2.3", True),
        ("2001:db8::1", True),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", False),
        ("fe80::1", False),
        ("studio.example.org", False),
    ],
)
def test_which_addresses_become_numbers(host: str, whole: bool) -> None:
    found = endpoint_of(Address(host=host, port=7_000))
    assert (found is not None) == whole
    if "ffff" in host:
        assert found == endpoint_of(Address(host="10.1.2.3", port=7_000))


def test_which_addresses_are_believed() -> None:
    hosts = ["10.1.2.3", "127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "10.1.0.1"]
    told = [found for host in hosts if (found := endpoint_of(Address(host=host, port=7_000)))]
    own = endpoint_of(HERE)
    assert own is not None
    good, home, home6 = told[0], told[1], told[2]
    assert believed([*told, *told], (own,), loopback=False) == (good,)
    assert believed(told, (own,), loopback=True) == (good, home, home6)
    assert range_of(good) == bytes((10, 1, 2))
    assert range_of(home6) == bytes(8)


def test_no_answer_to_what_nobody_asked_changes_anything(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    bob = cast.actor("bob")
    node = lk.Node(peer=cast.actor("cid").id, endpoints=(endpoint(9),))
    rig.turn(lambda turn: rig.dht.read(turn, bob.id))
    ((_, asked),) = rig.asked(lk.FindPointers)
    rig.clear()
    for actor, message in [
        (ann, lk.NodesFound(number=asked.number, nodes=(node,))),
        (ann, lk.PointersFound(number=asked.number + 1, pointers=(), nodes=(node,))),
        (bob, lk.PointersFound(number=asked.number, pointers=(pointer(bob),), nodes=(node,))),
        (ann, lk.PointerStored(number=asked.number, sequence=1)),
        (ann, lk.NodePong(number=asked.number, chain=ann.chain)),
    ]:
        assert rig.hear(actor, message, 0) == []
    assert rig.notes == []
    assert rig.dht.table.get(bob.id) is None


def test_the_same_datagrams_twice_change_nothing_more(rig: DhtRig, cast: Cast) -> None:
    ann, bob = crowd(rig, cast, 2)
    rig.turn(lambda turn: rig.dht.read(turn, PeerId(bytes(32))))
    asked = dict(rig.asked(lk.FindPointers))
    rig.clear()
    answer = lk.PointersFound(
        number=asked[ann.id].number, pointers=(), nodes=(lk.Node(peer=cast.actor("cid").id, endpoints=(endpoint(9),)),)
    )
    assert len(sent(rig.hear(ann, answer, 0), lk.FindPointers)) == 1
    assert rig.hear(ann, answer, 0) == []
    assert bob.id in asked


# Two parts of a mesh that meet.


def near(rig: DhtRig, cast: Cast, count: int) -> list[tuple[Actor, int]]:
    """Return members in the order of their nearness to this node, with numbers of their addresses."""
    at = int.from_bytes(lk.dht_id(rig.me.id), "big")
    actors = [(cast.actor(f"far {number}"), 100 + number) for number in range(count)]
    return sorted(actors, key=lambda one: int.from_bytes(lk.dht_id(one[0].id), "big") ^ at)


def told(actors: list[tuple[Actor, int]]) -> tuple[lk.Node, ...]:
    return tuple(lk.Node(peer=actor.id, endpoints=(endpoint(number),)) for actor, number in actors)


def answer_all(rig: DhtRig, actors: list[tuple[Actor, int]]) -> None:
    """Let those who are there answer whatever is asked until nothing is: each knows all of its own part."""
    numbers = {actor.id: (actor, number) for actor, number in actors}
    for _ in range(3 * DHT_PATIENCE_MOST_MS // SECOND_MS):
        while questions := [one for one in rig.asked(lk.FindNodes) if one[0] in numbers]:
            rig.effects.clear()
            for peer, question in questions:
                actor, number = numbers[peer]
                rig.hear(actor, lk.NodesFound(number=question.number, nodes=told(actors)[: lk.MAX_NODES]), number)
        rig.wait(SECOND_MS)  # the others, of this node's own part, are asked and say nothing


def test_who_meets_a_part_of_the_mesh_that_it_did_not_know_finds_its_neighbours_there(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 20)
    rig.directory.crowd = 1_000
    others = near(rig, cast, 40)
    rig.know(*(actor for actor, _ in others))
    rig.met(*others[-1])
    rig.tick()
    answer_all(rig, others)
    table = rig.dht.table.closest(lk.dht_id(rig.me.id))
    assert {near.peer for near in table} & {actor.id for actor, _ in others}
    assert [note.peer for note in rig.notes if isinstance(note, PartFound)] == [others[0][0].id]


def test_a_single_newcomer_is_no_part_of_the_mesh(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 20)
    rig.directory.crowd = 1_000
    newcomer = near(rig, cast, 40)[:1]
    rig.know(newcomer[0][0])
    rig.met(*newcomer[0])
    rig.tick()
    answer_all(rig, newcomer)
    assert rig.dht.table.get(newcomer[0][0].id) is not None
    assert not [note for note in rig.notes if isinstance(note, PartFound)]


def test_a_node_that_somebody_tells_of_is_asked_who_is_near_unless_it_is_known(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    bob = cast.actor("bob")
    for actor in (ann, bob):
        note = NodeTold(peer=actor.id, addresses=(address(7),))
        rig.turn(lambda turn, note=note: rig.dht.on_node_told(turn, note))
    assert [peer for peer, _ in rig.asked(lk.FindNodes)] == [bob.id]


def test_a_node_is_not_asked_where_nobody_can_be(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 1)
    nowhere, named = Address(host="0.0.0.0", port=7_000), Address(host="bob.local", port=7_000)
    for addresses in ((), (nowhere,), (named,), (HERE,)):
        note = NodeTold(peer=cast.actor("bob").id, addresses=addresses)
        assert rig.turn(lambda turn, note=note: rig.dht.on_node_told(turn, note)) == []


def test_in_a_small_mesh_a_channel_is_proof_enough_and_nothing_is_asked(rig: DhtRig, cast: Cast) -> None:
    crowd(rig, cast, 3)
    ann = cast.actor("ann")
    rig.met(ann, 5)
    rig.tick()
    assert rig.dht.table.get(ann.id) is not None
    assert rig.asked(lk.FindNodes) == rig.asked(lk.NodePing) == []


@pytest.mark.parametrize("note", [PeerDead, PeerGone])
def test_a_peer_that_is_gone_leaves_the_table_at_once(rig: DhtRig, cast: Cast, note: type[PeerDead | PeerGone]) -> None:
    actors = crowd(rig, cast, 3)
    rig.turn(lambda turn: rig.dht.on_peer_gone(turn, note(peer=actors[1].id)))
    assert {near.peer for near in rig.dht.table.neighbours()} == {actors[0].id, actors[2].id}


def test_buckets_are_looked_into_one_by_one(rig: DhtRig, cast: Cast) -> None:
    actors = crowd(rig, cast, 60)
    numbers = {actor.id: number for number, actor in enumerate(actors)}
    rig.turn(lambda turn: rig.dht.on_refresh_due(turn, RefreshDue()))
    begun: dict[bytes, int] = {}
    while len(begun) < 3:
        asked = rig.asked(lk.FindNodes)
        rig.clear()
        for peer, question in asked:
            begun.setdefault(question.target, rig.now.instant)
            number = numbers[peer]
            rig.hear(actors[number], lk.NodesFound(number=question.number, nodes=()), number)
        rig.wait(100)
    joined, *looks = begun.values()
    assert looks[0] - joined >= SECOND_MS
    assert looks[1] - joined >= DHT_BUCKET_MS
