"""Bits tell of pieces what sets and counters would."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.piecebits import Narrower, bits_of, by_rarity, even_share_of, numbers_of, share_of

PIECES = st.frozensets(st.integers(min_value=0, max_value=70))


@given(PIECES)
def test_bits_are_the_numbers_that_they_were_made_of(numbers: frozenset[int]) -> None:
    assert list(numbers_of(bits_of(numbers))) == sorted(numbers)


@given(PIECES, st.lists(PIECES, max_size=9))
def test_the_rarest_come_first_and_each_once(wanted: frozenset[int], offers: list[frozenset[int]]) -> None:
    copies = Counter(number for offer in offers for number in offer)
    found = by_rarity(bits_of(wanted), map(bits_of, offers))
    assert [count for count, _ in found] == sorted({copies[number] for number in wanted})
    assert {number: count for count, bits in found for number in numbers_of(bits)} == {n: copies[n] for n in wanted}


RANKS = st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=9, unique=True)


@given(st.integers(min_value=0, max_value=70), RANKS)
def test_each_piece_falls_to_one_of_those_who_all_know_each_other(total: int, ranks: list[bytes]) -> None:
    for share in (share_of, even_share_of):
        shares = [share(total, rank, [other for other in ranks if other != rank]) for rank in ranks]
        found = [number for bits in shares for number in numbers_of(bits)]
        assert sorted(found) == list(range(total))


@given(st.integers(min_value=0, max_value=70), RANKS, st.data())
def test_each_piece_falls_to_somebody_whoever_does_not_know_of_whom(
    total: int, ranks: list[bytes], data: st.DataObject
) -> None:
    found = 0
    for rank in ranks:
        known = data.draw(st.lists(st.sampled_from(ranks), unique=True))
        found |= share_of(total, rank, [other for other in known if other != rank])
    assert found == (1 << total) - 1


def test_what_narrower_sources_have_is_not_what_equal_ones_have() -> None:
    narrower = Narrower({"a": 0b001, "b": 0b010, "c": 0b111}, {"a": (False, 1), "b": (False, 1), "c": (True, 1)})
    assert [narrower.than(source) for source in ("a", "b", "c")] == [0, 0, 0b011]
