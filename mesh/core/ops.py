"""Numbers for effects that take time, one series for the whole core."""


class Ops:
    """Count from 1."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Return a number that no effect of this boot has had."""
        self._last += 1
        return self._last
