"""Many small draws at little cost: a dice's bytes taken in blocks.

The world draws several numbers for every message; one call of the hash serves a thousand of them.
"""

import struct

from mesh.ground.dice import Dice

_WORDS = struct.Struct("<1024I")
"""What a block of bytes is: so many draws."""


class Draws:
    """A stream of draws from one dice, which nobody else may use."""

    __slots__ = ("_dice", "_words")

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._words: list[int] = []
        """Those of the present block that are left, the last one first."""

    def below(self, bound: int) -> int:
        """Draw an integer in [0, bound), for bounds up to some millions."""
        if not self._words:
            self._words.extend(reversed(_WORDS.unpack(self._dice.draw(_WORDS.size))))
        return self._words.pop() % bound
