"""Telling where this peer is, and finding where others are."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from mesh.core.directory import Known
from mesh.core.effects import Dial, PeerFound
from mesh.core.events import PeerAsked
from mesh.core.notes import PeerUnreachable, PointerKept
from mesh.core.whereabouts import engine_digest
from mesh.ground.dht_limits import (
    POINTER_AGAIN_MS,
    POINTER_CHANGED_MS,
    POINTER_CLOCKS_MS,
    POINTER_MS,
    SEEK_PEER_MOST_MS,
    SEEKS,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.wire import lookups as lk
from mesh.wire.envelope import sign
from mesh.wire.messages import Address
from tests.support.cast import ENGINE, NOW, Actor, Cast
from tests.support.dht_rig import AVAILABLE, HERE, DhtRig, address, endpoint, pointer


@pytest.fixture
def rig(cast: Cast) -> DhtRig:
    made = DhtRig(cast)
    made.contacting.available = AVAILABLE
    return made


def live(rig: DhtRig, others: list[Actor], for_ms: int, kept: int | None = None) -> list[lk.Pointer]:
    """Let time pass while everybody answers; return the pointers that the first of them was asked to keep."""
    found: list[lk.Pointer] = []
    until = rig.now.instant + for_ms
    while True:
        answer_all(rig, others, found, kept)
        if rig.now.instant >= until:
            return found
        rig.wait(SECOND_MS, ticking=True)


def answer_all(rig: DhtRig, others: list[Actor], found: list[lk.Pointer], kept: int | None) -> None:
    """Answer until nobody is asked any more."""
    ids = [actor.id for actor in others]
    while asked := [(peer, question) for peer, question in rig.asked(object) if peer in ids]:
        rig.effects.clear()
        for peer, question in asked:
            number = ids.index(peer)
            answer: lk.Lookup
            match question:
                case lk.StorePointer():
                    if number == 0:
                        found.append(question.pointer.body)
                    sequence = question.pointer.body.sequence if kept is None else kept
                    answer = lk.PointerStored(number=question.number, sequence=sequence)
                case lk.FindNodes():
                    answer = lk.NodesFound(number=question.number, nodes=())
                case lk.FindPointers():
                    answer = lk.PointersFound(number=question.number, pointers=(), nodes=())
                case lk.NodePing():
                    answer = lk.NodePong(number=question.number, chain=others[number].chain)
                case _:
                    continue
            rig.hear(others[number], answer, number)


def crowd(rig: DhtRig, cast: Cast, many: int) -> list[Actor]:
    actors = [cast.actor(f"p{number}") for number in range(many)]
    for number, actor in enumerate(actors):
        rig.greet(actor, number)
    return actors


def test_a_pointer_says_where_this_peer_is_and_what_it_can_do(rig: DhtRig, cast: Cast) -> None:
    (said,) = live(rig, crowd(rig, cast, 4), 5 * SECOND_MS)
    assert said.key == lk.dht_id(rig.me.id)
    assert said.endpoints == (lk.Endpoint(ip=bytes((10, 1, 0, 1)), port=7_000),)
    assert (said.name, said.slots, said.busy, said.draining) == ("me", 1, 0, False)
    assert said.engines == (engine_digest(ENGINE),)
    assert abs(said.expires - rig.now.wall - POINTER_MS) < 6 * SECOND_MS


def test_it_is_published_again_in_time_and_with_a_rising_sequence(rig: DhtRig, cast: Cast) -> None:
    said = live(rig, crowd(rig, cast, 4), 40 * MINUTE_MS)
    sequences = [one.sequence for one in said]
    assert sequences == sorted(set(sequences))
    times = [one.expires for one in said]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert gaps[0] == POINTER_CHANGED_MS, "once the nodes nearest to it are known"
    assert min(gaps[1:]) > 0.75 * POINTER_AGAIN_MS
    assert max(gaps) < POINTER_MS - MINUTE_MS


def test_one_that_nobody_keeps_is_published_again_at_doubling_intervals(rig: DhtRig, cast: Cast) -> None:
    times = [one.expires for one in live(rig, crowd(rig, cast, 4), 10 * MINUTE_MS, kept=0)]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    doubled = [POINTER_CHANGED_MS * 2**turn for turn in range(4)]
    assert gaps[0] == POINTER_CHANGED_MS, "once the nodes nearest to it are known"
    assert all(abs(gap - expected) <= SECOND_MS for gap, expected in zip(gaps[1:], doubled, strict=False))


def test_a_change_is_told_but_not_every_one(rig: DhtRig, cast: Cast) -> None:
    others = crowd(rig, cast, 4)
    live(rig, others, 5 * SECOND_MS)
    said = []
    for busy in range(60):
        rig.contacting.available = dataclasses.replace(AVAILABLE, busy=busy % 2)
        said += live(rig, others, 3 * SECOND_MS)
    times = [one.expires for one in said]
    assert len(said) >= 4
    assert all(later - sooner >= POINTER_CHANGED_MS for sooner, later in pairwise(times))


def test_a_keeper_that_has_a_higher_one_is_outdone(rig: DhtRig, cast: Cast) -> None:
    others = crowd(rig, cast, 4)
    before = NOW.wall + MINUTE_MS
    first, second, *_ = live(rig, others, 2 * MINUTE_MS, kept=before)
    assert first.sequence < before
    assert second.sequence == before + 1


def test_a_liar_cannot_drive_the_sequence_to_its_end(rig: DhtRig, cast: Cast) -> None:
    others = crowd(rig, cast, 4)
    for lie in (2**62, rig.now.wall + 2 * POINTER_CLOCKS_MS + MINUTE_MS):
        note = PointerKept(sequence=lie)
        rig.turn(lambda turn, note=note: rig.whereabouts.on_pointer_kept(turn, note))
    (said,) = live(rig, others, 5 * SECOND_MS)
    assert said.sequence <= rig.now.wall


def test_a_lost_peer_is_looked_up_and_dialled_where_its_pointer_says(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    bob = cast.actor("bob")
    rig.directory.peers[bob.id] = Known(addresses=(address(50),))
    rig.clear()
    rig.turn(lambda turn: rig.whereabouts.on_peer_unreachable(turn, PeerUnreachable(peer=bob.id)))
    ((_, question),) = rig.asked(lk.FindPointers)
    answer = lk.PointersFound(number=question.number, pointers=(pointer(bob, 51),), nodes=())
    effects = rig.hear(ann, answer, 0)
    assert [one for one in effects if isinstance(one, Dial)] == [
        Dial(peer=bob.id, addresses=(address(51), address(50)))
    ]
    assert rig.directory.peers[bob.id].dialling


def test_a_pointer_that_says_nothing_new_dials_nobody(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    bob = cast.actor("bob")
    rig.directory.peers[bob.id] = Known(addresses=(address(51),))
    rig.clear()
    rig.turn(lambda turn: rig.whereabouts.on_peer_unreachable(turn, PeerUnreachable(peer=bob.id)))
    ((_, question),) = rig.asked(lk.FindPointers)
    effects = rig.hear(ann, lk.PointersFound(number=question.number, pointers=(pointer(bob, 51),), nodes=()), 0)
    assert not [one for one in effects if isinstance(one, Dial)]


def test_loopback_in_a_pointer_is_believed_on_loopback_alone(cast: Cast) -> None:
    home = lk.Endpoint(ip=b"\x7f\x00\x00\x01", port=7_005)
    for here, dialled in ((HERE, False), (Address(host="127.0.0.1", port=7_000), True)):
        rig = DhtRig(cast, here=here)
        (ann,) = crowd(rig, cast, 1)
        bob = cast.actor("bob")
        rig.directory.peers[bob.id] = Known(addresses=(address(50),))
        rig.clear()
        rig.turn(lambda turn, rig=rig, bob=bob: rig.whereabouts.on_peer_unreachable(turn, PeerUnreachable(peer=bob.id)))
        ((_, question),) = rig.asked(lk.FindPointers)
        body = dataclasses.replace(pointer(bob).body, endpoints=(home,))
        told = lk.PointersFound(number=question.number, pointers=(sign(body, bob.signer),), nodes=())
        assert any(isinstance(one, Dial) for one in rig.hear(ann, told, 0)) == dialled


def test_lost_peers_are_looked_up_ever_more_seldom_and_some_at_a_time(rig: DhtRig, cast: Cast) -> None:
    others = crowd(rig, cast, 3)
    live(rig, others, 5 * SECOND_MS)
    lost = PeerId(bytes(32))
    reads = []
    for second in range(2 * SEEK_PEER_MOST_MS // SECOND_MS):
        rig.turn(lambda turn: rig.whereabouts.on_peer_unreachable(turn, PeerUnreachable(peer=lost)))
        if rig.asked(lk.FindPointers):
            reads.append(second)
        live(rig, others, SECOND_MS)
    assert 4 <= len(reads) <= 9
    gaps = [later - sooner for sooner, later in pairwise(reads)]
    assert gaps[0] < gaps[-1]
    rig.clear()
    for number in range(1, 3 * SEEKS):
        one = PeerUnreachable(peer=PeerId(bytes([number]) * 32), urgent=True)
        rig.turn(lambda turn, one=one: rig.whereabouts.on_peer_unreachable(turn, one))
    assert len({question.key for _, question in rig.asked(lk.FindPointers)}) == SEEKS


def test_a_person_is_told_what_the_dht_has_or_that_it_has_nothing(rig: DhtRig, cast: Cast) -> None:
    (ann,) = crowd(rig, cast, 1)
    bob = cast.actor("bob")
    for op, found in ((7, (pointer(bob, 5),)), (8, ())):
        rig.clear()
        event = PeerAsked(op=op, peer=bob.id)
        rig.turn(lambda turn, event=event: rig.whereabouts.on_peer_asked(turn, event))
        ((_, question),) = rig.asked(lk.FindPointers)
        rig.hear(ann, lk.PointersFound(number=question.number, pointers=found, nodes=()), 0)
        (reply,) = rig.replies()
        assert reply.op == op
        assert reply.reply == PeerFound(pointer=found[0] if found else None)


def test_alone_a_person_is_answered_at_once(rig: DhtRig) -> None:
    rig.turn(lambda turn: rig.whereabouts.on_peer_asked(turn, PeerAsked(op=1, peer=PeerId(bytes(32)))))
    assert [one.reply for one in rig.replies()] == [PeerFound(pointer=None)]
    assert endpoint(1).port == 7_000
