"""Many small draws at little cost: a dice's bytes taken in blocks.

The world draws several numbers for every message; one call of the hash serves a thousand of them.
"""

from mesh.ground.dice import Dice

_WORD_BYTES = 4
_BLOCK_BYTES = 4_096


class Draws:
    """A stream of draws from one dice, which nobody else may use."""

    __slots__ = ("_at", "_block", "_dice")

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._block = b""
        self._at = 0

    def below(self, bound: int) -> int:
        """Draw an integer in [0, bound), for bounds up to some millions."""
        if self._at >= len(self._block):
            self._block = self._dice.draw(_BLOCK_BYTES)
            self._at = 0
        at = self._at
        self._at = at + _WORD_BYTES
        return int.from_bytes(self._block[at : at + _WORD_BYTES], "little") % bound
