"""The checker of L6: what was safe once can be had from somebody who runs, at nearly any moment.

An output is safe when a peer that keeps its job has shown it so; it can be had while it is whole on the disk of a host
that runs. When all has healed, every one can be had again.
"""

from typing import TYPE_CHECKING

from mesh.core.status import TaskState
from mesh.ground.ids import BlobId, JobId
from mesh.wire.records import Result
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.world import World


class Reach:
    """All outputs that ever were safe, and the worst share of them that could be had."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.safe: dict[BlobId, JobId] = {}
        self.worst_permille = 1_000

    def look(self) -> None:
        """See which are safe now, and how many of all can be had. Raises Violation."""
        least = self._world.scenario.reachable_permille
        if not least:
            return
        self._learn()
        if not self.safe:
            return
        missing = self._missing()
        self.worst_permille = min(self.worst_permille, 1_000 - -(-1_000 * len(missing) // len(self.safe)))
        if self.worst_permille < (least if self._world.faulty else 1_000):
            text = f"of {len(self.safe)} safe outputs nobody who runs has {len(missing)}"
            raise Violation("L6", text, self.safe[missing[0]], missing[0])

    def _learn(self) -> None:
        for host in self._world.hosts:
            if not host.works:
                continue
            for job, entries in self._world.books.of(host).entries.items():
                for view in host.core.task_views(job):
                    made = entries.get(view.result) if view.result is not None else None
                    if view.state is TaskState.SAFE and made is not None and isinstance(made.body.what, Result):
                        self.safe.update({output.blob: job for output in made.body.what.outputs})

    def _missing(self) -> list[BlobId]:
        disks = [host.disk for host in self._world.hosts if host.running]
        return [blob for blob in self.safe if not any(disk.intact(blob) for disk in disks)]
