"""The routing table: bounded, true about who is nearest, and not to be taken over by anybody's many identities."""

from __future__ import annotations

import heapq

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.dht.table import Bucket, Neighbour, Table
from mesh.ground.dht_limits import (
    DHT_BUCKET,
    DHT_COPIES,
    DHT_SAME_INVITE,
    DHT_SAME_NEAR,
    DHT_SAME_RANGE,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.wire.lookups import Endpoint, dht_id

ME = PeerId(blake3(b"me").digest())


def peer(number: int) -> PeerId:
    return PeerId(blake3(b"peer %d" % number).digest())


def neighbour(identity: PeerId, *, invite: bytes = b"", place: bytes = b"", heard_at: int = 0) -> Neighbour:
    where = place or blake3(identity).digest(length=3)
    return Neighbour(
        identity,
        (Endpoint(ip=where + b"\x01", port=7_000),),
        invite=invite or identity,
        heard_at=Instant(heard_at),
    )


def full(many: int) -> Table:
    table = Table(ME)
    for number in range(many):
        table.add(neighbour(peer(number)))
    return table


@settings(max_examples=40)
@given(many=st.integers(0, 400), target=st.binary(min_size=20, max_size=20), count=st.integers(1, 20))
def test_the_nearest_of_all_are_found_not_the_first_that_are_walked_past(many: int, target: bytes, count: int) -> None:
    table = full(many)
    at = int.from_bytes(target, "big")
    everybody = [int.from_bytes(dht_id(one.peer), "big") ^ at for one in table.neighbours()]
    found = [int.from_bytes(dht_id(one.peer), "big") ^ at for one in table.closest(target, count=count)]
    assert found == heapq.nsmallest(count, everybody)


def test_what_most_share_is_always_that_of_those_who_have_a_place_now() -> None:
    """It is counted where the table has changed, and remembered else."""
    table = Table(ME)
    for number in range(1_500):
        table.add(neighbour(peer(number), invite=bytes([min(number % 4, 1)])))
        if number % 7 == 3:
            table.remove(peer(number // 2))
        there = [one.invite for one in table.neighbours()]
        for invite in (bytes([0]), bytes([1])):
            seen = table.kin_by(invite, bytes(3)).invite
            assert seen == (None if 2 * there.count(invite) > len(there) else invite)


@settings(max_examples=30)
@given(acts=st.lists(st.tuples(st.sampled_from("aahfmr"), st.integers(0, 150)), max_size=300))
def test_who_is_there_and_answers_is_what_the_buckets_say_whatever_came(acts: list[tuple[str, int]]) -> None:
    """Both are remembered, and gathered anew where something changed."""
    table = Table(ME)
    for act, number in acts:
        there = table.get(peer(number))
        if act == "a":
            table.add(neighbour(peer(number)))
        elif act == "r":
            table.remove(peer(number))
        elif act == "h" and there is not None:
            table.heard(there, Instant(1))
        elif act == "f" and there is not None:
            table.failed(there)
        elif act == "m" and there is not None:
            table.move(there, neighbour(peer(number), place=bytes([number % 3, 0, 0])).endpoints)
        everybody = [one for bucket in table.buckets() for one in bucket]
        assert table.neighbours() == everybody
        assert len(table) == len(everybody)
        assert table.answering() == [one.peer for one in everybody if not one.fails]


@settings(max_examples=30)
@given(numbers=st.lists(st.integers(0, 2_000), max_size=300))
def test_whatever_comes_no_bucket_has_more_than_its_places(numbers: list[int]) -> None:
    table = Table(ME)
    for number in numbers:
        table.add(neighbour(peer(number), invite=bytes([number % 5])))
    buckets = table._tree.buckets
    assert all(len(bucket) <= DHT_BUCKET and len(bucket.replacement_nodes) <= DHT_BUCKET for bucket in buckets)
    edges = [edge for bucket in buckets for edge in bucket.range]
    assert edges[0] == 0
    assert edges[-1] == 2**160 - 1
    assert all(two == one + 1 for one, two in zip(edges[1::2], edges[2::2], strict=False))
    for bucket in buckets:
        inside = [one.invite for one in bucket.nodes.values()]
        assert all(inside.count(invite) <= DHT_SAME_INVITE for invite in inside)
        assert all(bucket.has_in_range(one) for one in bucket.nodes.values())


def test_an_id_at_the_very_middle_is_found_in_the_bucket_that_it_was_put_into() -> None:
    table = full(200)
    for bucket in list(table._tree.buckets):
        for edge in bucket.range:
            identity = PeerId(edge.to_bytes(20, "big") + bytes(12))
            table.add(neighbour(identity))
            there = table.get(identity)
            assert there is None or there.peer == identity
            assert table._tree.buckets[table._tree.get_bucket_for(neighbour(identity))].has_in_range(
                neighbour(identity)
            )


def test_only_the_bucket_of_ones_own_id_splits() -> None:
    table = full(3_000)
    assert len(table.ranges()) == len(table._tree.buckets) - 1
    assert len(table._tree.buckets) < 14  # the stock table would split far ones as well
    assert len(table) < 14 * DHT_BUCKET


def test_twenty_identities_of_one_invite_leave_room_in_every_bucket() -> None:
    table = Table(ME)
    near = [PeerId(dht_id(ME)[:15] + blake3(b"bad %d" % number).digest(length=17)) for number in range(200)]
    for identity in near:
        table.add(neighbour(identity, invite=b"one invite"))
    for number in range(100):
        table.add(neighbour(peer(number)))
    for bucket in table._tree.buckets:
        assert sum(one.invite == b"one invite" for one in bucket.nodes.values()) <= DHT_SAME_INVITE
    mine = table.closest(dht_id(peer(7)), count=20)
    assert sum(one.invite == b"one invite" for one in mine) <= 20 - DHT_COPIES


def test_one_address_range_fills_no_bucket_either() -> None:
    table = Table(ME)
    for number in range(200):
        table.add(neighbour(peer(number), place=b"\x0a\x00\x07"))
    for bucket in table._tree.buckets:
        assert len(bucket) <= DHT_SAME_RANGE


def test_kin_of_a_crowd_cannot_come_in_by_the_door_of_those_that_wait() -> None:
    bucket = Bucket(0, 2**160 - 1, DHT_BUCKET)
    good = [neighbour(peer(number)) for number in range(DHT_BUCKET - DHT_SAME_INVITE)]
    bad = [neighbour(peer(100 + number), invite=b"bad") for number in range(60)]
    for one in (*bad, *good):
        bucket.add_node(one)
    assert len(bucket) == DHT_BUCKET
    for one in good:
        bucket.remove_node(one)
    assert sum(one.invite == b"bad" for one in bucket.nodes.values()) == DHT_SAME_INVITE
    assert len(bucket) == DHT_SAME_INVITE


def test_who_moves_into_a_crowded_range_gives_up_its_place() -> None:
    table = Table(ME)
    crowd = [neighbour(peer(number), place=b"\x0a\x00\x07") for number in range(DHT_SAME_RANGE)]
    mover = neighbour(PeerId(dht_id(ME)[:1] + peer(99)[1:]))
    for one in (*crowd, mover):
        table.add(one)
    before = len(table)
    table.move(mover, (Endpoint(ip=b"\x0a\x00\x07\x63", port=1),))
    for bucket in table._tree.buckets:
        assert sum(one.range == b"\x0a\x00\x07" for one in bucket.nodes.values()) <= DHT_SAME_RANGE
    assert len(table) <= before


def test_nobody_has_two_places_and_nobody_takes_anothers_or_ones_own() -> None:
    table = full(5)
    twin = PeerId(dht_id(peer(3)) + bytes(12))
    assert not table.add(neighbour(twin))
    assert table.get(twin) is None
    assert not table.add(neighbour(ME))
    assert not table.add(neighbour(PeerId(dht_id(ME) + bytes(12))))
    assert table.add(neighbour(peer(3)))
    assert len(table) == 5


def test_one_that_did_not_answer_is_not_told_on_and_one_that_waits_takes_its_place() -> None:
    bucket_mates = [PeerId(b"\x80" + blake3(b"far %d" % number).digest(length=31)) for number in range(DHT_BUCKET + 1)]
    me = PeerId(bytes(32))
    table = Table(me)
    for number in range(DHT_BUCKET):
        table.add(neighbour(PeerId(bytes(1) + peer(number)[1:])))
    for number, identity in enumerate(bucket_mates):
        table.add(neighbour(identity, heard_at=number))
    oldest = table.oldest_beside(bucket_mates[-1])
    assert oldest is not None
    assert oldest.peer == bucket_mates[0]
    assert table.get(bucket_mates[-1]) is None
    table.failed(oldest)
    assert oldest not in table.closest(oldest.id, count=3)
    table.remove(oldest.peer)
    assert table.get(bucket_mates[-1]) is not None


def test_those_that_are_told_are_not_all_kin_as_long_as_there_are_others() -> None:
    table = full(100)
    target = dht_id(table.closest(bytes(20))[0].peer)
    crowd = [
        neighbour(PeerId(target[:3] + bytes((number,)) + bytes(28)), invite=b"one") for number in range(DHT_SAME_INVITE)
    ]
    for one in crowd:
        assert table.add(one)
    assert {one.peer for one in table.closest(target)} & {one.peer for one in crowd}
    told = table.unlike(target)
    assert sum(one.invite == b"one" for one in told) == DHT_SAME_NEAR
    assert len(told) == DHT_COPIES


@given(target=st.binary(min_size=20, max_size=20))
def test_where_most_came_by_one_invite_that_says_nothing(target: bytes) -> None:
    table = Table(ME)
    for number in range(60):
        table.add(neighbour(peer(number), invite=b"studio", place=b"\x0a\x00\x01"))
    table.add(neighbour(peer(60), invite=b"other"))
    assert table.unlike(target) == table.closest(target)
    table.remove(peer(60))
    assert table.unlike(target) == table.closest(target)
