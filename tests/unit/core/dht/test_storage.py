"""The shelf: nobody's word is another's, nothing old overwrites what is newer, and everything ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kademlia.storage import IStorage

from mesh.core.dht import storage
from mesh.core.dht.storage import Shelf, newer, pointer_problem
from mesh.ground.dht_limits import POINTER_CLOCKS_MS, POINTER_MS
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, Instant, Now, WallTime
from mesh.wire.lookups import dht_id
from tests.support.cast import NOW, Cast
from tests.support.dht_rig import pointer

CAST = Cast()
ANN, BOB = CAST.actor("ann"), CAST.actor("bob")


def at(shelf: Shelf, after_ms: int, wall_ms: int | None = None) -> None:
    wall = NOW.wall + (after_ms if wall_ms is None else wall_ms)
    shelf.at(Now(instant=Instant(NOW.instant + after_ms), wall=WallTime(wall)))


def shelf() -> Shelf:
    made = Shelf(PeerId(bytes(32)))
    at(made, 0)
    return made


def test_it_is_the_storage_that_kademlia_asks_for() -> None:
    assert isinstance(shelf(), IStorage)
    assert shelf().get(b"none") == ()
    with pytest.raises(KeyError):
        shelf()[b"none"]


@settings(max_examples=60)
@given(sequences=st.lists(st.tuples(st.sampled_from([ANN, BOB]), st.integers(1, 9)), max_size=20))
def test_of_each_author_the_highest_sequence_is_kept_in_whatever_order_they_come(
    sequences: list[tuple[object, int]],
) -> None:
    kept = shelf()
    key = dht_id(ANN.id)
    for author, sequence in sequences:
        kept[key] = pointer(author, sequence)  # type: ignore[arg-type]
    highest: dict[bytes, int] = {}
    for author, sequence in sequences:
        highest[author.id] = max(sequence, highest.get(author.id, 0))  # type: ignore[attr-defined]
    assert {one.author: one.body.sequence for one in kept.get(key)} == highest
    assert len(kept) == len(highest)


def test_two_of_one_sequence_are_settled_alike_everywhere() -> None:
    one, other = pointer(ANN, 3), pointer(ANN, 3, life_ms=POINTER_MS - 1)
    assert newer(one, other) is newer(other, one)


def test_a_pointer_dies_when_it_expires_and_anothers_beside_it_lives() -> None:
    kept = shelf()
    key = dht_id(ANN.id)
    kept[key] = pointer(ANN, life_ms=MINUTE_MS)
    kept[key] = pointer(BOB, life_ms=2 * MINUTE_MS)
    at(kept, MINUTE_MS)
    assert [one.author for one in kept.get(key)] == [BOB.id]
    at(kept, 2 * MINUTE_MS)
    assert len(kept) == 0
    assert list(kept) == []


def test_a_pointer_dies_although_the_calendar_was_set_back() -> None:
    kept = shelf()
    kept[dht_id(ANN.id)] = pointer(ANN)
    at(kept, POINTER_MS + POINTER_CLOCKS_MS, wall_ms=-MINUTE_MS)
    assert len(kept) == 0


def test_the_farthest_key_goes_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MAX_POINTERS", 10)
    kept = shelf()
    keys = [bytes([number]) + bytes(19) for number in range(1, 16)]
    for key in reversed(keys):
        kept[key] = pointer(ANN)
    assert sorted(key for key, _ in kept) == keys[:10]
    assert len(kept) == 10


@pytest.mark.parametrize(
    ("made", "key", "problem"),
    [
        (pointer(ANN), dht_id(ANN.id), ""),
        (pointer(ANN), dht_id(BOB.id), "under another's key"),
        (pointer(ANN, life_ms=0), dht_id(ANN.id), "expired"),
        (pointer(ANN, life_ms=POINTER_MS + POINTER_CLOCKS_MS), dht_id(ANN.id), ""),
        (pointer(ANN, life_ms=POINTER_MS + POINTER_CLOCKS_MS + 1), dht_id(ANN.id), "from the future"),
    ],
)
def test_what_belongs_under_a_key(made: object, key: bytes, problem: str) -> None:
    found = pointer_problem(made, key, NOW.wall)  # type: ignore[arg-type]
    assert problem in found
    assert bool(problem) == bool(found)
