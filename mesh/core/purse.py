"""What somebody may still spend: filled at once, then evenly over time, and never fuller than it began."""

from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS, Instant


class Purse:
    """So many coins at once, and so many a second in the long run; counted in thousandths, so that no time is lost."""

    __slots__ = ("_at", "_left_milli", "_most_milli", "_per_second")

    def __init__(self, now: Instant, *, most: int, per_second: int) -> None:
        self._most_milli = self._left_milli = most * SECOND_MS
        self._per_second = per_second
        self._at = now

    def pay(self, now: Instant, coins: int) -> bool:
        """Spend `coins` if there are as many; tell whether there were."""
        self._fill(now)
        if self._left_milli < coins * SECOND_MS:
            return False
        self._left_milli -= coins * SECOND_MS
        return True

    def full(self, now: Instant) -> bool:
        """Whether a new one would be no fuller."""
        self._fill(now)
        return self._left_milli == self._most_milli

    def _fill(self, now: Instant) -> None:
        self._left_milli = min(self._most_milli, self._left_milli + (now - self._at) * self._per_second)
        self._at = now


class Purses:
    """One purse for each of many; of too many that one is forgotten which was used by nobody for longest."""

    __slots__ = ("_kept", "_most", "_per_second", "_purses")

    def __init__(self, *, most: int, per_second: int, kept: int) -> None:
        self._most, self._per_second, self._kept = most, per_second, kept
        self._purses: dict[PeerId, Purse] = {}

    def pay(self, now: Instant, who: PeerId, coins: int = 1) -> bool:
        """Have somebody spend `coins` if there are as many; tell whether there were."""
        purse = self._purses.pop(who, None) or Purse(now, most=self._most, per_second=self._per_second)
        self._purses[who] = purse
        if len(self._purses) > self._kept:
            del self._purses[next(iter(self._purses))]
        return purse.pay(now, coins)
