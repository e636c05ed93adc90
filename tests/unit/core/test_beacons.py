"""When a peer shows itself on its LAN, and what one that shows itself earns."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.effects import Knock, SendBeacon
from mesh.core.events import BeaconHeard, ChannelClosed
from mesh.ground.ids import PeerId
from mesh.ground.instants import DAY_MS, MINUTE_MS, SECOND_MS, Now, WallTime
from mesh.ground.limits import (
    BEACON_ALONE_MS,
    BEACON_ANSWER_MS,
    BEACON_KNOCKS,
    BEACON_KNOCKS_PER_SECOND,
    REDIAL_MOST_MS,
)
from mesh.wire.messages import Address
from tests.support.cast import Actor, Cast, blob
from tests.support.rig import Rig, of

HERE = Address(host="10.0.0.9", port=7)
FIRST = Address(host="10.0.0.1", port=7)
SECOND = Address(host="10.8.0.1", port=7)


@pytest.fixture
def rig(cast: Cast) -> Rig:
    return Rig(cast, beacon=True, addresses=(HERE,))


def heard(rig: Rig, peer: PeerId, wall: int, *addresses: Address) -> list[Address]:
    """Let a beacon be heard; return where it makes the peer knock."""
    effects = rig.tell(BeaconHeard(peer=peer, wall=WallTime(wall), addresses=addresses or (FIRST,)))
    return [knock.address for knock in of(effects, Knock)]


def times(rig: Rig, for_ms: int, *others: Actor) -> list[int]:
    """Let time pass; return when beacons were sent."""
    return [rig.now.instant for _ in range(for_ms // 100) if of(rig.wait(100, *others), SendBeacon)]


def pauses(sent: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(sent)]


def test_who_is_alone_shows_itself_often_and_for_ever(rig: Rig) -> None:
    sent = times(rig, 5 * MINUTE_MS)
    assert sent[2] - sent[0] < 6 * SECOND_MS
    assert max(pauses(sent)) <= BEACON_ALONE_MS * 1.2 + SECOND_MS
    assert len(sent) < 100


def test_who_has_company_shows_itself_seldom_until_it_is_alone_again(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    times(rig, 2 * MINUTE_MS, ann)
    sent = times(rig, 5 * MINUTE_MS, ann)
    assert REDIAL_MOST_MS * 0.7 < min(pauses(sent)) <= max(pauses(sent)) < REDIAL_MOST_MS * 1.3 + SECOND_MS
    rig.tell(ChannelClosed(peer=ann.id, clean=False))
    assert times(rig, BEACON_ALONE_MS + 2 * SECOND_MS)


def test_in_a_large_mesh_all_together_are_heard_about_once_a_second(rig: Rig, cast: Cast) -> None:
    crowd = [cast.actor(f"peer {number}") for number in range(100)]
    rig.meet(*crowd)
    rig.wait(5 * MINUTE_MS, *crowd)
    sent = times(rig, 6 * MINUTE_MS, *crowd)
    assert all(70 * SECOND_MS < pause < 130 * SECOND_MS for pause in pauses(sent))


def test_each_beacon_is_newer_than_the_last_though_the_clock_is_set_back(rig: Rig) -> None:
    walls = []
    for _ in range(40):
        walls += [effect.wall for effect in of(rig.wait(SECOND_MS), SendBeacon)]
        rig.now = Now(instant=rig.now.instant, wall=WallTime(rig.now.wall - 10 * MINUTE_MS))
    assert len(walls) > 4
    assert walls == sorted(set(walls))


def test_without_a_lan_nobody_is_called(cast: Cast) -> None:
    assert not of(Rig(cast).wait(MINUTE_MS), SendBeacon)


def test_a_beacon_is_knocked_at_once_and_never_again(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann").id
    assert heard(rig, ann, 1_000) == [FIRST]
    for wall in (1_000, 999, 1):
        assert heard(rig, ann, wall) == []
    assert heard(rig, ann, 1_001) == [FIRST]


def test_each_newer_beacon_leads_to_the_next_address(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann").id
    assert [heard(rig, ann, wall, FIRST, HERE, SECOND) for wall in (1, 2, 3)] == [[FIRST], [SECOND], [FIRST]]


def test_who_has_a_channel_or_is_this_peer_itself_is_not_knocked_at(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    assert heard(rig, ann.id, 1) == []
    assert heard(rig, rig.me.id, 1) == []
    rig.tell(ChannelClosed(peer=ann.id, clean=False))
    assert heard(rig, ann.id, 2) == [FIRST]


def test_a_beacon_from_the_far_future_is_nothing_and_hides_no_true_one(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann").id
    assert heard(rig, ann, rig.now.wall + DAY_MS + MINUTE_MS) == []
    assert heard(rig, ann, rig.now.wall) == [FIRST]


def test_who_hears_a_stranger_of_its_mesh_shows_itself_soon_and_not_for_each_copy(rig: Rig, cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann)
    rig.wait(3 * MINUTE_MS, ann)
    while not of(rig.wait(100, ann), SendBeacon):
        pass
    rig.wait(BEACON_ANSWER_MS, ann)
    heard(rig, bob.id, rig.now.wall)
    assert len(times(rig, 3 * SECOND_MS, ann)) == 1
    wall = rig.now.wall
    heard(rig, bob.id, wall)
    sent = []
    for _ in range(100):
        heard(rig, bob.id, wall)
        sent += times(rig, 100, ann)
    assert len(sent) <= 1


def test_a_flood_of_invented_peers_makes_few_knocks(rig: Rig) -> None:
    knocks = 0
    for second in range(60):
        for number in range(200):
            knocks += len(heard(rig, PeerId(blob(f"{second} {number}")), 1))
        rig.wait(SECOND_MS)
    assert BEACON_KNOCKS <= knocks <= BEACON_KNOCKS + 60 * BEACON_KNOCKS_PER_SECOND


@settings(max_examples=50)
@given(said=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=60))
def test_whatever_is_replayed_in_whatever_order_each_beacon_is_knocked_at_once_at_most(
    said: list[tuple[int, int]],
) -> None:
    cast = Cast()
    rig = Rig(cast, beacon=True)
    newest: dict[int, int] = {}
    for number, wall in said:
        knocked = heard(rig, PeerId(blob(f"peer {number}")), wall)
        assert len(knocked) <= (wall > newest.get(number, -1))
        newest[number] = max(wall, newest.get(number, -1))
        rig.wait(300)
