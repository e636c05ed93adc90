"""Bits tell of pieces what sets and counters would."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.piecebits import bits_of, by_rarity, numbers_of

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
