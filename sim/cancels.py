"""The checker of L11: a cancel reaches every connected peer within two seconds, and its renders stop within two more.

It is said when the first journal has it. Who was connected then, to whoever said it or by way of others, must have it
in time; whoever has it must have ended the job's renders and assemblies soon after. A mesh in which a line or a process
fails in these seconds is not asked, nor one that loses messages.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.core.effects import Append, Effect
from mesh.ground.ids import JobId
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

REACHES_MS = 2_000
REACHES_MANY_MS = 10_000
MANY = 100
"""Of more peers, it takes the longer time."""

STOPS_MS = 2_000


class Cancels:
    """Who has heard of which cancel, and what must have come of it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._said: dict[JobId, None] = {}
        self._heard: dict[tuple[int, JobId], None] = {}

    def turned(self, host: "Host", effects: Sequence[Effect]) -> None:
        """See whether a host has just heard of a cancel: what follows from it waits until that is on its disk."""
        for job in self._world.books.of(host).cancels:
            if (host.index, job) in self._heard:
                continue
            self._heard[host.index, job] = None
            written = host.next_write if any(type(effect) is Append for effect in effects) else 0
            self._world.after(STOPS_MS, self._stopped, host, host.life, job, written)
            if job not in self._said:
                self._said[job] = None
                self._expect(host, job)

    def _expect(self, origin: "Host", job: JobId) -> None:
        """Remember who is connected now."""
        limit_ms = REACHES_MS if len(self._world.hosts) <= MANY else REACHES_MANY_MS
        lives = {host.index: host.life for host in self._connected(origin, job)}
        if self._calm():
            self._world.after(limit_ms, self._reached, lives, self._world.faults.failures, job)

    def _connected(self, origin: "Host", job: JobId) -> "list[Host]":
        """Return who has a way of channels to a host by others who have, and who know the job."""
        net, found, at = self._world.net, [origin], 0
        while at < len(found):
            one, at = found[at], at + 1
            for other in self._world.hosts:
                open_both = other not in found and net.holds(one, other) and net.holds(other, one)
                if open_both and other.works and job in self._world.books.of(other).heads:
                    found.append(other)
        return found

    def _calm(self) -> bool:
        """Whether nothing is wrong with any line or disk."""
        net, faults = self._world.net, self._world.faults
        slow = net.lags or any(host.disk.stall_ms or host.disk.full for host in self._world.hosts)
        return not (slow or faults.cuts_now or net.faults.loss_ppm or net.faults.reorder_ppm)

    def _reached(self, lives: dict[int, int], failures: int, job: JobId) -> None:
        world = self._world
        hosts = [world.hosts[index] for index in lives]
        if failures != world.faults.failures or not self._calm() or any(not host.works for host in hosts):
            return
        for host in hosts:
            if host.life == lives[host.index] and (host.index, job) not in self._heard:
                raise Violation("L11", f"{host.name} has not heard of a cancel, though connected", job, host.peer_id)

    def _stopped(self, host: "Host", life: int, job: JobId, written: int) -> None:
        if not host.works or host.life != life or self._world.now_ms - host.frozen_at_ms <= STOPS_MS:
            return
        if host.writes < written:
            self._world.after(STOPS_MS, self._stopped, host, life, job, written)
            return
        renders = [render for render in host.farm.renders.values() if render.job == job and render.writing]
        assemblies = [growing for growing in host.assemblies.growing.values() if growing.job == job]
        if renders or assemblies:
            raise Violation("L11", f"{host.name} goes on with a job of whose cancel it heard", job, host.peer_id)
