"""The liveness checkers: after all has healed, everything that was asked for is done, and in time.

L2 above all: what one capable peer can still reach is rendered; what the submitter or enough others are back for is
sealed; files lie where people wanted them. The demands are made of the core set of peers alone.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mesh.core.status import JobState, JobView, TaskState, TaskView
from mesh.ground.ids import BlobId, JobId
from mesh.wire.envelope import Signed
from mesh.wire.records import Hold, Result, Seal
from sim.people import Plan
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


class Liveness:
    """What is still to be done in the liveness phase."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def finished(self) -> bool:
        """Tell whether nothing is left to wait for: all is done, and peers have settled on the same seals."""
        return self._first_missing() is None and self._world.safety.unsettled() is None

    def fail(self) -> None:
        """Raise what is missing although its time is over."""
        missing = self._first_missing()
        if missing is not None:
            text, ids = missing
            raise Violation("L2", text, *ids)
        unsettled = self._world.safety.unsettled()
        if unsettled is not None:
            raise unsettled

    def _first_missing(self) -> tuple[str, tuple[bytes, ...]] | None:
        hosts = [host for host in self._world.hosts if self._world.faults.is_core(host)]
        for host in hosts:
            if not host.running:
                return (f"{host.name} does not run", (host.peer_id,))
        for plan in self._world.people.plans:
            missing = self._missing_of(plan, hosts)
            if missing is not None:
                return missing
        return None

    def _missing_of(self, plan: Plan, hosts: "list[Host]") -> tuple[str, tuple[bytes, ...]] | None:
        if plan.job is None:
            return (f"{plan.name} was never accepted: {plan.declined or 'no answer'}", ())
        job = plan.job
        hosts = [host for host in hosts if self._world.versions.may_have_part(host, job)]
        for host in hosts:
            view = host.core.job_view(host.now(), plan.job)
            if view is None:
                return (f"{host.name} does not know {plan.name}", (plan.job,))
            if plan.cancelled:
                if view.state is not JobState.CANCELLED:
                    return (f"{host.name} shows the cancelled {plan.name} as {view.state.value}", (plan.job,))
            elif plan.cancel_asked and view.state is JobState.CANCELLED:
                continue
            elif plan.poisoned:
                if host.index == plan.submitter and view.counting + view.stopped < view.tasks:
                    text = f"{host.name} counts {view.counting} and {view.stopped} stopped of {view.tasks}"
                    return (f"{text} of {plan.name}", (plan.job,))
            elif not self._done(plan, view, hosts) and self._takes_part(plan, host, view):
                text = f"{host.name} shows {plan.name} as {view.state.value}, {view.counting} of {view.tasks} counting"
                return (f"{text}, {view.safe} safe, {view.delivered} delivered {view.problems}", (plan.job,))
        if plan.cancel_asked:
            return None
        return self._missing_files(plan, plan.job, hosts)

    def _done(self, plan: Plan, view: JobView, hosts: "list[Host]") -> bool:
        """Tell whether a job is as far as it can be: sealed, or only rendered where too few are left to seal it."""
        if view.state is JobState.SEALED:
            return True
        may_seal = plan.submitter in self._world.faults.core or len(hosts) >= view.record.copies
        return not may_seal and view.counting == view.tasks

    def _takes_part(self, plan: Plan, host: "Host", view: JobView) -> bool:
        """Tell whether a host has to know how a job ended; who neither keeps nor wants it may learn so later."""
        return view.keeping or host.index == plan.submitter or host.index in plan.fetchers

    def _missing_files(self, plan: Plan, job: JobId, hosts: "list[Host]") -> tuple[str, tuple[bytes, ...]] | None:
        body = self._world.books.jobs[job].body
        stopped = len(set(plan.poisoned))
        for host in hosts:
            directory = plan.directory if host.index == plan.submitter else plan.fetchers.get(host.index, "")
            if not directory:
                continue
            names = [body.names.name(frame) for frame in body.frames]
            missing = [name for name in names if (directory, name) not in host.disk.files]
            if missing:
                gone = self._gone(host, job)
                missing = [name for name in missing if names.index(name) not in gone]
            if len(missing) > stopped:
                return (f"{host.name} lacks {len(missing)} files of {plan.name}, {missing[0]} first", (job,))
        return None

    def _gone(self, host: "Host", job: JobId) -> list[int]:
        """Return the tasks of which nobody can have the file any more, though the job is sealed.

        Rot may take all copies that were promised, a job's only one above all, and a keeper, who goes by holds, seals
        all the same; but whoever sealed it himself as its submitter had every file. What keepers sealed while the
        submitter was away is promised as long as one holder's disk survives: all of them may have been left out of the
        core.
        """
        view = host.core.job_view(host.now(), job)
        if view is None or view.state is not JobState.SEALED:
            return []
        held: dict[BlobId, dict[int, None]] = {}
        for core in self._world.faults.core:
            for hold in self._holds_of(core):
                held.setdefault(hold.body.blob, {})[core] = None
        sealed = self._sealed(host, job)
        gone: list[int] = []
        for task in host.core.task_views(job):
            outputs = self._outputs(host, job, task)
            unheld = bool(outputs) and not held.keys() & outputs
            rotted = not sealed and any(self._has_rotted(blob, held.get(blob, {})) for blob in outputs)
            # who rejected one may not have stopped a keeper's seal in time
            if task.state is TaskState.STOPPED or unheld or rotted:
                gone.append(task.task)
        return gone

    def _sealed(self, host: "Host", job: JobId) -> bool:
        """Tell whether a host sealed a job as its submitter, and so had every file."""
        entries = self._world.books.of(host).entries.get(job, {}).values()
        mine = host.peer_id == self._world.books.jobs[job].author
        return mine and any(entry.author == host.peer_id and isinstance(entry.body.what, Seal) for entry in entries)

    def _has_rotted(self, blob: BlobId, holders: Iterable[int]) -> bool:
        """Tell whether a blob rotted on the disk of everyone who holds it, and nobody of the core has it whole."""
        rotted, hosts = self._world.faults.rotted.get(blob, {}), self._world.hosts
        whole = any(hosts[core].disk.intact(blob) for core in self._world.faults.core)
        return bool(rotted) and not whole and all(holder in rotted for holder in holders)

    def _holds_of(self, index: int) -> Iterable[Signed[Hold]]:
        return self._world.books.standing(self._world.hosts[index])

    def _outputs(self, host: "Host", job: JobId, view: TaskView) -> dict[BlobId, None]:
        """Return the blobs of what a host shows as a task's result."""
        entry = self._world.books.of(host).entries.get(job, {}).get(view.result) if view.result else None
        if entry is None or not isinstance(entry.body.what, Result):
            return {}
        return {output.blob: None for output in entry.body.what.outputs}
