"""Pieces of a blob as the bits of a number: which of them are lacking, and how rare each is among what is offered.

Theory: who has what is looked at whenever anybody says that it has a piece more, so hundreds of times for each piece
of a blob that many fetch at once. Whole numbers do that for all pieces together: copies are counted in columns of
binary digits, one number for each digit, so that one more offer costs a few operations however many pieces there are.

Invariants: bit n is piece n. Pure.
"""

from collections.abc import Iterable, Iterator


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
