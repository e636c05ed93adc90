"""What is told on: the least told first, each a number of times, the newest word alone."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.core.tidings import Tidings
from mesh.ground.ids import PeerId
from mesh.ground.limits import MAX_TIDINGS_KEPT, TIDINGS_TOLD
from mesh.wire.probes import MAX_TIDINGS, State, Tiding


def tiding(number: int, state: State = State.SUSPECT, incarnation: int = 1) -> Tiding:
    return Tiding(peer=PeerId(number.to_bytes(32, "big")), incarnation=incarnation, state=state)


@pytest.mark.parametrize(("peers", "digits"), [(2, 1), (9, 1), (10, 2), (100, 3), (1_000, 4)])
def test_each_is_told_as_often_as_an_epidemic_needs_and_then_no_more(peers: int, digits: int) -> None:
    tidings = Tidings()
    for number in range(2 * MAX_TIDINGS):
        tidings.add(tiding(number))
    told: Counter[Tiding] = Counter()
    while tidings:
        told.update(tidings.take(peers))
    assert set(told.values()) == {TIDINGS_TOLD * digits}
    assert len(told) == 2 * MAX_TIDINGS
    assert tidings.take(peers) == ()


def test_the_least_told_goes_first_and_what_must_be_said_before_all() -> None:
    tidings = Tidings()
    for number in range(MAX_TIDINGS):
        tidings.add(tiding(number))
    tidings.take(100)
    tidings.add(tiding(99))
    taken = tidings.take(100, tiding(77))
    assert taken[:2] == (tiding(77), tiding(99))
    assert len(taken) == MAX_TIDINGS


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        ((State.DOUBTED, 1), (State.SUSPECT, 1), 1),
        ((State.SUSPECT, 1), (State.DOUBTED, 1), 0),
        ((State.GONE, 1), (State.ALIVE, 2), 1),
        ((State.ALIVE, 2), (State.GONE, 1), 0),
        ((State.ALIVE, 2), (State.DOUBTED, 2), 1),
    ],
)
def test_of_one_peer_the_newest_and_gravest_word_is_told(
    first: tuple[State, int], second: tuple[State, int], stays: int
) -> None:
    tidings = Tidings()
    words = [tiding(1, *first), tiding(1, *second)]
    for word in words:
        tidings.add(word)
    assert tidings.take(100) == (words[stays],)


def test_they_are_bounded_and_the_most_told_makes_room() -> None:
    tidings = Tidings()
    for number in range(MAX_TIDINGS_KEPT):
        tidings.add(tiding(number))
    told = tidings.take(10_000)
    tidings.add(tiding(MAX_TIDINGS_KEPT))
    assert len(tidings) == MAX_TIDINGS_KEPT
    left = [one for _ in range(MAX_TIDINGS_KEPT) for one in tidings.take(10_000)]
    assert len(set(told) - set(left)) == 1


def test_nothing_more_is_told_of_who_is_there() -> None:
    tidings = Tidings()
    tidings.add(tiding(1))
    tidings.drop(tiding(1).peer)
    tidings.drop(tiding(2).peer)
    assert not tidings
