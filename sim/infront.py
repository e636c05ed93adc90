"""Something in front of a core, which passes on what it does not change: what mutants and adversaries start from."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mesh.core.effects import Effect
from mesh.core.election import Election
from mesh.core.events import Event
from mesh.core.holds import Holding
from mesh.core.ledger import Ledger
from mesh.core.membership import Members
from mesh.core.status import JobView, MeshView, TaskView
from mesh.ground.ids import JobId
from mesh.ground.instants import Now

if TYPE_CHECKING:
    from sim.host import Core, Host


class InFront:
    """A core as it is, asked through something else."""

    def __init__(self, host: "Host", inner: "Core") -> None:
        self.host = host
        self.inner = inner

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Pass an event on."""
        return self.inner.handle(now, event)

    @property
    def members(self) -> Members:
        """Pass a question on."""
        return self.inner.members

    @property
    def election(self) -> Election:
        """Pass a question on."""
        return self.inner.election

    @property
    def holding(self) -> Holding:
        """Pass a question on."""
        return self.inner.holding

    @property
    def ledger(self) -> Ledger:
        """Pass a question on."""
        return self.inner.ledger

    def mesh_view(self, now: Now) -> MeshView:
        """Pass a question on."""
        return self.inner.mesh_view(now)

    def job_view(self, now: Now, job: JobId) -> JobView | None:
        """Pass a question on."""
        return self.inner.job_view(now, job)

    def task_views(self, job: JobId, tasks: Iterable[int] | None = None) -> tuple[TaskView, ...]:
        """Pass a question on."""
        return self.inner.task_views(job, tasks)
