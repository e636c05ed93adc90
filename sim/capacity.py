"""Who lived when, and how fast: what the best mesh could have done with it.

A host counts from its process's start to its end, and not while it is frozen or asleep. The ideal for so much work is
the time in which the capacity that lived adds up to it, plus the longest task, which somebody has to do last.
"""

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.world import World


class Capacity:
    """The slots that lived at each moment, each counted by its host's speed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._times_ms: list[int] = [0]
        self._percent: list[int] = [0]
        """What lived from each of these times on: hundredths of a fastest slot."""
        self._sums: list[int] = [0]
        """What had lived until each of these times, in hundredths of a slot's millisecond."""

    def note(self) -> None:
        """Look again at who lives: somebody has just started, ended, or was stopped or let go on."""
        now_ms = self._world.now_ms
        percent = sum(host.slots * host.farm.speed_percent for host in self._world.hosts if host.works)
        self._sums.append(self._until(now_ms))
        self._times_ms.append(now_ms)
        self._percent.append(percent)

    def between(self, since_ms: int, until_ms: int) -> int:
        """Return the milliseconds of a fastest slot that lived between two times."""
        return (self._until(until_ms) - self._until(since_ms)) // 100

    def ideal_ms(self, since_ms: int, work_ms: int) -> int:
        """Return in how long after `since_ms` so much work of a fastest slot could have been done."""
        wanted = self._until(since_ms) + 100 * work_ms
        place = bisect_right(self._sums, wanted) - 1
        percent = self._percent[place]
        assert percent > 0, "somebody lives who can render"
        return self._times_ms[place] + -(-(wanted - self._sums[place]) // percent) - since_ms

    def _until(self, time_ms: int) -> int:
        place = bisect_right(self._times_ms, time_ms) - 1
        return self._sums[place] + self._percent[place] * (time_ms - self._times_ms[place])
