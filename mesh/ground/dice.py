"""Seeded draws for the core: the same seed gives the same draws on every machine and Python version.

The standard library's generator promises this only for some of its methods, so this is a counter hashed with BLAKE3.
Not for keys: secrets come from the operating system through a port.
"""

from blake3 import blake3

_WORD = 8


class Dice:
    """A stream of draws from one seed."""

    __slots__ = ("_counter", "_seed")

    def __init__(self, seed: bytes) -> None:
        self._seed = blake3(seed).digest()
        self._counter = 0

    def draw(self, size: int) -> bytes:
        """Draw `size` bytes."""
        self._counter += 1
        return blake3(self._counter.to_bytes(_WORD, "big"), key=self._seed).digest(length=size)

    def below(self, bound: int) -> int:
        """Draw an integer in [0, bound); the bias is under 2**-32 for every bound below 2**32."""
        assert bound > 0
        return int.from_bytes(self.draw(_WORD), "big") % bound

    def jitter(self, period_ms: int, tenths: int = 2) -> int:
        """Draw a duration within `tenths` tenths of `period_ms`, so that periodic work of many peers spreads out.

        It is never negative, and may be a millisecond off however short the period.
        """
        assert period_ms > 0
        assert 0 <= tenths <= 10
        reach_ms = max(1, period_ms * tenths // 10)
        return period_ms - reach_ms + self.below(2 * reach_ms + 1)

    def fork(self, label: bytes) -> "Dice":
        """Return an independent stream named by `label`: the same one however often it is asked for, and whenever.

        It does not move this one.
        """
        return Dice(self._seed + label)
