"""One look-up: who is asked, in which order, and when it is over."""

from __future__ import annotations

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.dht.kin import Kin
from mesh.core.dht.lookup import Candidate, Lookup
from mesh.ground.dht_limits import (
    DHT_AGREEING,
    DHT_CANDIDATES,
    DHT_COPIES,
    DHT_LIES,
    DHT_PARALLEL,
    DHT_QUESTIONS,
    DHT_SAME_NEAR,
)
from mesh.ground.ids import PeerId
from mesh.wire.lookups import Endpoint, dht_id
from tests.support.cast import Cast
from tests.support.dht_rig import pointer

ME = PeerId(blake3(b"me").digest())
TARGET = bytes(20)
WHERE = (Endpoint(ip=b"\x0a\x00\x00\x01", port=7_000),)


def peer(distance: int) -> PeerId:
    """Return a peer so far from the target, in its own unit."""
    return PeerId(distance.to_bytes(4, "big") + bytes(28))


def known(*distances: int, teller: PeerId | None = None) -> list[Candidate]:
    return [Candidate(peer(distance), WHERE, teller) for distance in distances]


def alone(_candidate: Candidate) -> Kin:
    return Kin(invite=None, range=None)


def asked(lookup: Lookup) -> list[int]:
    return [int.from_bytes(one.peer[:4], "big") for one in lookup.next()]


def test_the_nearest_are_asked_first_and_no_more_than_some_at_once() -> None:
    lookup = Lookup(TARGET, ME, reads=False, kin=alone)
    lookup.learn(known(50, 10, 40, 20, 30))
    assert asked(lookup) == [10, 20, 30][:DHT_PARALLEL]
    assert asked(lookup) == []
    lookup.answered(peer(20), known(5, teller=peer(20)), ())
    assert asked(lookup) == [5]


def test_a_late_one_holds_nobody_up() -> None:
    lookup = Lookup(TARGET, ME, reads=False, kin=alone)
    lookup.learn(known(*range(1, 9)))
    assert asked(lookup) == [1, 2, 3]
    for late in (1, 2, 3):
        lookup.late(peer(late))
    assert asked(lookup) == [4, 5, 6]
    for far in (4, 5, 6):
        lookup.answered(peer(far), (), ())
    assert asked(lookup) == [7, 8]
    assert not lookup.over
    for far in (7, 8):
        lookup.answered(peer(far), (), ())
    assert not lookup.over, "the late ones may still answer, and are nearer"
    lookup.answered(peer(2), (), ())
    for dead in (1, 3):
        lookup.failed(peer(dead))
    assert lookup.over
    assert [one.peer for one in lookup.nearest()] == [peer(one) for one in (2, 4, 5, 6, 7, 8)]


def test_with_everybody_dead_it_ends_and_has_found_nobody() -> None:
    lookup = Lookup(TARGET, ME, reads=True, kin=alone)
    lookup.learn(known(*range(1, 20)))
    for _ in range(100):
        for dead in asked(lookup):
            lookup.failed(peer(dead))
    assert lookup.over
    assert lookup.nearest() == []
    assert lookup.pointers == {}
    assert Lookup(TARGET, ME, reads=True, kin=alone).over, "and so does one that knows nobody at all"


def test_readers_take_the_union_of_authors_and_of_each_the_highest_sequence() -> None:
    ann, bob = Cast().actor("ann"), Cast().actor("bob")
    lookup = Lookup(TARGET, ME, reads=True, kin=alone)
    lookup.learn(known(1, 2, 3))
    assert asked(lookup) == [1, 2, 3]
    lookup.answered(peer(1), (), (pointer(ann, 4),))
    lookup.answered(peer(2), (), (pointer(ann, 7), pointer(bob, 2)))
    lookup.answered(peer(3), (), (pointer(ann, 5),))
    assert {author: one.body.sequence for author, one in lookup.pointers.items()} == {ann.id: 7, bob.id: 2}


def test_one_answer_with_a_pointer_is_not_enough_for_there_may_be_a_newer_one() -> None:
    ann = Cast().actor("ann")
    lookup = Lookup(TARGET, ME, reads=True, kin=alone)
    lookup.learn(known(*range(1, 9)))
    for number in range(1, DHT_AGREEING + 1):
        assert not lookup.over
        lookup.next()
        lookup.answered(peer(number), (), (pointer(ann, number),))
    assert lookup.over


def test_a_liars_other_nodes_are_dropped_and_an_honest_tellers_are_not() -> None:
    lookup = Lookup(TARGET, ME, reads=False, kin=alone)
    lookup.learn(known(1000, 1001))
    assert asked(lookup) == [1000, 1001]
    lookup.answered(peer(1000), known(*range(1, 9), teller=peer(1000)), ())
    lookup.answered(peer(1001), known(*range(101, 104), teller=peer(1001)), ())
    silent = 0
    while not lookup.over:
        for one in asked(lookup):
            if one < 100:
                silent += 1
                lookup.failed(peer(one))
            else:
                lookup.answered(peer(one), (), ())
    assert silent < DHT_LIES + DHT_PARALLEL
    assert [one.peer for one in lookup.nearest()] == [peer(one) for one in (101, 102, 103, 1000, 1001)]


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_told_it_ends_and_asks_nobody_twice(data: st.DataObject) -> None:
    lookup = Lookup(TARGET, ME, reads=data.draw(st.booleans()), kin=alone)
    lookup.learn(known(*data.draw(st.lists(st.integers(1, 10_000), max_size=20))))
    waiting: list[PeerId] = []
    everybody: list[PeerId] = []
    late: set[PeerId] = set()
    for _ in range(2_000):
        if lookup.over:
            break
        new = [one.peer for one in lookup.next()]
        everybody += new
        waiting += new
        assert waiting, "neither over nor waiting: it would hang for ever"
        one = waiting[data.draw(st.integers(0, len(waiting) - 1))]
        what = data.draw(st.integers(0, 2))
        if what == 0 and one not in late:
            late.add(one)
            lookup.late(one)
            continue
        waiting.remove(one)
        if what == 1:
            lookup.failed(one)
        else:
            told = data.draw(st.lists(st.integers(0, 2**31), max_size=8))
            lookup.answered(one, known(*told, teller=one), ())
    assert lookup.over
    assert len(everybody) == len(set(everybody)) <= DHT_QUESTIONS
    assert len(lookup._met) <= DHT_CANDIDATES
    assert len(lookup.nearest()) <= DHT_COPIES


def test_where_the_nearest_are_kin_the_nearest_beyond_them_are_asked_too() -> None:
    kin = dict.fromkeys(range(1, 21), b"one invite")

    def kin_of(candidate: Candidate) -> Kin:
        return Kin(invite=kin.get(int.from_bytes(candidate.peer[:4], "big")), range=None)

    ann = Cast().actor("ann")
    lookup = Lookup(TARGET, ME, reads=True, kin=kin_of)
    lookup.learn(known(*range(1, 31)))
    everybody: list[int] = []
    while not lookup.over:
        for one in asked(lookup):
            everybody.append(one)
            lookup.answered(peer(one), (), (pointer(ann),) if one > len(kin) else ())
    beyond = [one for one in everybody if one > len(kin)]
    assert everybody[:DHT_COPIES] == list(range(1, DHT_COPIES + 1))
    assert beyond == list(range(len(kin) + 1, len(kin) + 1 + len(beyond)))
    assert DHT_AGREEING <= len(beyond) <= DHT_COPIES - DHT_SAME_NEAR
    assert len(everybody) == DHT_COPIES + len(beyond), "of the kin nobody farther off is asked"
    assert ann.id in lookup.pointers


def test_who_stores_stores_with_kin_and_beyond_them() -> None:
    lookup = Lookup(
        TARGET, ME, reads=False, kin=lambda one: Kin(invite=b"one" if one.peer < peer(10) else None, range=None)
    )
    lookup.learn(known(*range(1, 31)))
    while not lookup.over:
        for one in asked(lookup):
            lookup.answered(peer(one), (), ())
    stored = [int.from_bytes(one.peer[:4], "big") for one in lookup.nearest()]
    assert stored == [*range(1, DHT_COPIES + 1), *range(10, 10 + DHT_COPIES - DHT_SAME_NEAR)]


def test_it_never_asks_oneself() -> None:
    lookup = Lookup(dht_id(ME), ME, reads=False, kin=alone)
    lookup.learn([Candidate(ME, WHERE, None), *known(1)])
    assert [one.peer for one in lookup.next()] == [peer(1)]


def test_the_others_of_a_word_wait_while_some_of_it_are_late() -> None:
    lookup = Lookup(TARGET, ME, reads=False, kin=alone)
    lookup.learn(known(1000, 1001))
    assert asked(lookup) == [1000, 1001]
    lookup.answered(peer(1000), known(*range(1, 9), teller=peer(1000)), ())
    assert asked(lookup) == [1, 2]
    lookup.answered(peer(1001), (), ())
    assert asked(lookup) == [3]
    for late in range(1, 1 + DHT_LIES):
        lookup.late(peer(late))
    assert asked(lookup) == []
    assert not lookup.over, "a late one may answer after all"
    lookup.answered(peer(2), (), ())
    assert asked(lookup) == [4, 5, 6], "the word was good"


def test_of_a_doubtful_word_a_late_node_is_not_worth_a_second_question() -> None:
    lookup = Lookup(TARGET, ME, reads=False, kin=alone)
    lookup.learn(known(1000))
    asked(lookup)
    lookup.answered(peer(1000), known(1, 2, 3, teller=peer(1000)), ())
    asked(lookup)
    for late in (1, 2):
        lookup.late(peer(late))
        assert not lookup.doubts(peer(late))
    lookup.late(peer(3))
    assert lookup.doubts(peer(3))
    assert not lookup.doubts(peer(1000)), "it is in this peer's own table"
