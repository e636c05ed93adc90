"""The checker of L9: a peer that is cut off one way keeps none of the others from work for longer than one lease.

While there is one cut, one way and of one peer, whoever else could render must not be idle for longer than it takes to
find out that somebody does not answer. It is judged while far more tasks are open than all slots could have claimed.
"""

from typing import TYPE_CHECKING

from mesh.ground.limits import LEASE_MS, UNANSWERED_MS
from sim.views import peer_behind
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

IDLE_MOST_MS = LEASE_MS + UNANSWERED_MS


class Stalls:
    """Who is cut off one way, and who has been idle since."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._cut: dict[int, tuple[int, int]] = {}
        """By the cut's number: which host, and since when."""

    def parted(self, number: int, side: tuple[int, ...], other: tuple[int, ...], both: bool) -> None:
        """Note that somebody can be heard no more, or hears nothing."""
        alone = side if len(side) == 1 else other
        if not both and len(alone) == 1:
            self._cut[number] = (alone[0], self._world.now_ms)

    def mended(self, number: int) -> None:
        """Forget a cut that ended."""
        self._cut.pop(number, None)

    def look(self) -> None:
        """Judge all others. Raises Violation."""
        world = self._world
        if len(self._cut) != 1 or world.faults.cuts_now != 1:
            return
        ((victim, since_ms),) = self._cut.values()
        open_to_all = [job for job, _ in world.fair.rivals()]
        for host in world.hosts:
            if host.index == victim or not open_to_all or not self._could_render(host, since_ms):
                continue
            idle_ms = host.farm.idle_ms(max(since_ms, host.started_ms))
            if idle_ms > IDLE_MOST_MS:
                text = f"{host.name} has been idle for {idle_ms} ms, p{victim} being cut off one way"
                raise Violation("L9", text, open_to_all[0], host.peer_id)

    def _could_render(self, host: "Host", since_ms: int) -> bool:
        """Whether nothing else kept a host from work: a hoarder keeps itself from it."""
        paused = host.index in self._world.faults.paused or host.index in self._world.scenario.hoarders
        disk = host.disk.full or host.disk.stall_ms
        steady = host.works and host.frozen_at_ms < since_ms - 2 * IDLE_MOST_MS
        if not host.slots or not steady or paused or disk or host.index in self._world.net.lags:
            return False
        core = peer_behind(host.core)
        return not core.host.full and not core.stopping.asked  # who is to stop takes no frames, however long it waits
