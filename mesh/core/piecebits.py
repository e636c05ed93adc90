"""Pieces of a blob as the bits of a number: which of them are lacking, and how rare each is among what is offered.

Theory: who has what is looked at whenever anybody says that it has a piece more, so hundreds of times for each piece
of a blob that many fetch at once. Whole numbers do that for all pieces together: copies are counted in columns of
binary digits, one number for each digit, so that one more offer costs a few operations however many pieces there are.

Invariants: bit n is piece n. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

Source = TypeVar("Source")


def bits_of(numbers: Iterable[int]) -> int:
    """Return the bits of these pieces."""
    found = 0
    for number in numbers:
        found |= 1 << number
    return found


def numbers_of(bits: int) -> Iterator[int]:
    """Yield the pieces whose bits are set, the lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def by_rarity(wanted: int, offers: Iterable[int]) -> list[tuple[int, int]]:
    """Return in how many offers the wanted pieces are, the fewest first, each with the bits of all that are in so many.

    No piece is in two of them, none is missing, and none of the bits is empty.
    """
    digits: list[int] = []
    for offer in offers:
        carry, place = offer & wanted, 0
        while carry and place < len(digits):
            digits[place], carry = digits[place] ^ carry, digits[place] & carry
            place += 1
        if carry:
            digits.append(carry)
    found = [(0, wanted)] if wanted else []
    for place in reversed(range(len(digits))):
        digit = digits[place]
        halves = (
            (count + (one << place), bits & (digit if one else ~digit)) for count, bits in found for one in (0, 1)
        )
        found = [half for half in halves if half[1]]
    return found


def even_share_of(total: int, rank: bytes, others: Collection[bytes]) -> int:
    """Return which pieces fall to one of some peers who all know each other, told by their ranks: every so manieth."""
    place = sum(other < rank for other in others)
    return bits_of(range(place, total, 1 + len(others)))


def share_of(total: int, rank: bytes, others: Collection[bytes]) -> int:
    """Return which pieces fall to one of many peers, of whom not all know of all.

    Ranks are points on a ring, and so are pieces; a piece is the next peer's on it. So one that is not known of only
    makes two think that a piece is theirs, and never nobody.
    """
    before = max((other for other in others if other < rank), default=None)
    first = 0 if before is None else _first_after(before, total)
    bits = (1 << _first_after(rank, total)) - (1 << first)
    if before is None and others:
        bits |= (1 << total) - (1 << _first_after(max(others), total))  # beyond the last peer the ring begins again
    return bits if others else (1 << total) - 1


def _first_after(rank: bytes, total: int) -> int:
    """Return the first piece beyond a point of the ring."""
    return (int.from_bytes(rank, "big") * total >> 8 * len(rank)) + 1 if total else 0


class Narrower(Generic[Source]):
    """What sources offer that have less than another one, which is left for what only it has."""

    def __init__(self, offers: Mapping[Source, int], widths: Mapping[Source, tuple[bool, int]]) -> None:
        self._widths = widths
        self._below: dict[tuple[bool, int], int] = {}
        below = same = 0
        last: tuple[bool, int] | None = None
        for peer in sorted(widths, key=lambda peer: widths[peer]):
            if widths[peer] != last:
                last, below = widths[peer], below | same
                self._below[last] = below
            same |= offers[peer]

    def than(self, peer: Source) -> int:
        """Return the bits of all that narrower sources have."""
        return self._below[self._widths[peer]]
