"""Places in a bounded set: fair between authors, and the same for everybody whatever came first."""

from __future__ import annotations

import itertools

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.shares import Shares
from mesh.ground.ids import PeerId

ANN, BOB, CID = (PeerId(bytes([number]) * 32) for number in range(3))

Entries = list[tuple[PeerId, int]]


def kept(entries: Entries, each: int, total: int) -> dict[PeerId, list[int]]:
    shares: Shares[int] = Shares(each=each, total=total)
    for author, number in entries:
        shares.add(author, number)
    found = {author: shares.of(author) for author in (ANN, BOB, CID)}
    assert len(shares) == sum(map(len, found.values()))
    return found


@pytest.mark.parametrize(
    ("asked", "each", "total", "stay"),
    [
        ((3, 0, 0), 5, 9, (3, 0, 0)),  # all fit
        ((7, 2, 0), 5, 9, (5, 2, 0)),  # more than anybody may have
        ((9, 2, 0), 9, 9, (7, 2, 0)),  # together too many: whoever has most loses
        ((9, 9, 2), 9, 9, (4, 3, 2)),  # two of them in turn, the higher id first
        ((9, 9, 9), 9, 9, (3, 3, 3)),
        ((1, 1, 1), 1, 2, (1, 1, 0)),
    ],
)
def test_who_has_most_loses_the_highest(asked: tuple[int, ...], each: int, total: int, stay: tuple[int, ...]) -> None:
    entries = [
        (author, number) for author, count in zip((ANN, BOB, CID), asked, strict=True) for number in range(count)
    ]
    for order in (entries, entries[::-1], sorted(entries, key=lambda one: blake3(repr(one).encode()).digest())):
        found = kept(order, each, total)
        assert found == {author: list(range(count)) for author, count in zip((ANN, BOB, CID), stay, strict=True)}


@given(
    st.lists(st.tuples(st.sampled_from([ANN, BOB, CID]), st.integers(0, 30)), unique=True, max_size=25),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
    st.integers(1, 14),
)
def test_what_stays_is_a_function_of_what_was_heard(entries: Entries, chance: object, each: int, total: int) -> None:
    shuffled = list(entries)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    found = kept(entries, each, total)
    assert kept(shuffled, each, total) == found
    again = [(author, number) for author, numbers in found.items() for number in numbers]
    assert kept(again, each, total) == found, "nothing that has a place loses it by being told again"
    ranked = sorted(
        (place, author, number)
        for author in (ANN, BOB, CID)
        for place, number in enumerate(sorted(number for one, number in entries if one == author)[:each])
    )
    assert sorted(again) == sorted((author, number) for _, author, number in ranked[:total])


def test_a_place_that_is_given_back_is_free() -> None:
    shares: Shares[int] = Shares(each=2, total=2)
    for number in (1, 2):
        assert shares.add(ANN, number) is None
    assert shares.add(ANN, 3) == 3
    shares.discard(ANN, 1)
    shares.discard(ANN, 9)  # it has none
    assert shares.add(ANN, 3) is None
    assert shares.of(ANN) == [2, 3]


def test_of_all_orders_of_few_entries_none_matters() -> None:
    entries: Entries = [(ANN, 1), (ANN, 2), (ANN, 3), (BOB, 1), (BOB, 2), (CID, 5)]
    assert len({repr(kept(list(order), 2, 4)) for order in itertools.permutations(entries)}) == 1
