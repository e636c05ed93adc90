"""Fetching a job's frames into a directory: an order to the core, watched until its files are there.

Theory: the core writes whatever counts, as it can be had; this only asks and watches. A peer that did not follow the
job learns its records first, so that the number of frames that count is believed only after a moment without news
beside a peer that keeps them.

Invariants: a file in the way that may not be overwritten is named, and stays as it is; the others are written all the
same, and one that is the frame already is as good as written. Two fetches into one directory watch the same files."""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import trio

from mesh.core.effects import Declined, Export
from mesh.core.events import Exported, ExportFailed, FetchAsked
from mesh.core.status import JobView, TaskView
from mesh.ground.ids import JobId
from mesh.node.asking import Asking, pause_s
from mesh.node.rows import rendered
from mesh.ports.desk import FetchAnswer, NobodyHasIt, RefusalRow, Report, Unwritten
from mesh.ports.folders import FolderError, Folders
from mesh.ports.world import World

SETTLED_S: Final = 2.0
"""With nothing new for so long, no more frames are known to be rendered: records come within a second."""

PATIENCE_S: Final = 60.0
"""With a frame missing and nothing new for so long, nobody has it."""

_LOOK_S: Final = 0.1


class Fate(enum.Enum):
    """What became of one file."""

    WRITTEN = enum.auto()
    WAS_THERE = enum.auto()
    IN_THE_WAY = enum.auto()
    FAILED = enum.auto()
    """It is tried again; what is watched is the next attempt."""


class _Fates(dict[str, Fate]):
    """What became of each file of one directory, and why the last one that could not be written was not."""

    trouble: str = ""


class Fetching:
    """Orders and watches."""

    def __init__(
        self,
        *,
        world: World,
        folders: Folders,
        asking: Asking,
        job: Callable[[JobId], JobView | None],
        tasks: Callable[[JobId], Sequence[TaskView]],
    ) -> None:
        self._world = world
        self._folders = folders
        self._asking = asking
        self._job = job
        self._tasks = tasks
        self._watched: dict[int, tuple[JobId, str, _Fates]] = {}

    def exported(self, effect: Export, answer: Exported | ExportFailed, *, written: bool) -> None:
        """Note what became of a file; `written`: it was not there before."""
        fate = Fate.WRITTEN if written else Fate.WAS_THERE
        if isinstance(answer, ExportFailed):
            fate = Fate.IN_THE_WAY if answer.exists else Fate.FAILED
        for job, directory, fates in self._watched.values():
            if (job, directory) == (effect.job, effect.directory):
                fates[effect.name] = fate
                fates.trouble = answer.reason if isinstance(answer, ExportFailed) and not answer.exists else ""

    async def fetch(self, job: JobView, directory: str, *, overwrite: bool, report: Report) -> FetchAnswer | Declined:
        """Write every frame that is rendered by now. Raises `Unwritten`, `FolderError`, `NobodyHasIt`."""
        unusable = await self._world.in_thread(lambda: self._folders.usable(directory))
        if unusable:
            raise Unwritten([_unusable(directory, unusable)])
        with self._watching(job.job, directory) as fates:
            reply = await self._asking.ask(
                lambda op: FetchAsked(op=op, job=job.job, directory=directory, overwrite=overwrite)
            )
            if isinstance(reply, Declined):
                return reply
            return await self._until_there(job, directory, fates, report)

    @contextmanager
    def _watching(self, job: JobId, directory: str) -> Iterator[_Fates]:
        fates = _Fates()
        self._watched[id(fates)] = (job, directory, fates)
        try:
            yield fates
        finally:
            del self._watched[id(fates)]

    async def _until_there(self, job: JobView, directory: str, fates: _Fates, report: Report) -> FetchAnswer:
        seen, quiet_since_s = (-1, -1, False), trio.current_time()
        while True:
            began_s = trio.current_time()
            wanted = [task for task in self._tasks(job.job) if rendered(task)]
            settled = {
                name: fates.get(name, Fate.FAILED) for name in (job.record.names.name(task.frame) for task in wanted)
            }
            missing = [name for name, fate in settled.items() if fate is Fate.FAILED]
            done = len(wanted) - len(missing)
            now = self._job(job.job)
            known = now is not None and now.known
            if (done, len(wanted), known) != seen:
                seen, quiet_since_s = (done, len(wanted), known), trio.current_time()
                report({"phase": "fetch", "text": "fetching", "done": done, "total": len(wanted), "unit": "files"})
            quiet_s = trio.current_time() - quiet_since_s
            if not missing and (len(wanted) == job.tasks or (known and quiet_s > SETTLED_S)):
                return _answer(job, directory, settled)
            if quiet_s > PATIENCE_S and fates.trouble:
                raise FolderError(f"{fates.trouble}; {_there(done)}")
            if quiet_s > PATIENCE_S and not known:
                raise NobodyHasIt(
                    f"no peer that knows what is rendered answered for {PATIENCE_S:.0f} s; {_there(done)}"
                )
            if quiet_s > PATIENCE_S:
                raise NobodyHasIt(f"{missing[0]} did not come for {PATIENCE_S:.0f} s; {_there(done)}")
            await trio.sleep(pause_s(trio.current_time() - began_s, _LOOK_S))


def _answer(job: JobView, directory: str, fates: Mapping[str, Fate]) -> FetchAnswer:
    in_the_way = [_in_the_way(directory, name) for name, fate in fates.items() if fate is Fate.IN_THE_WAY]
    if in_the_way:
        raise Unwritten(in_the_way)
    return {
        "job": job.job.hex(),
        "directory": directory,
        "written": sum(fate is Fate.WRITTEN for fate in fates.values()),
        "already": sum(fate is Fate.WAS_THERE for fate in fates.values()),
        "unfinished": job.tasks - len(fates),
    }


def _there(done: int) -> str:
    return f"{done} file{'' if done == 1 else 's'} {'is' if done == 1 else 'are'} there"


def _unusable(directory: str, why: str) -> RefusalRow:
    return {
        "code": "output-unusable",
        "subject": directory,
        "text": f"frames cannot be written into {directory}: it {why}",
        "remedy": "name a directory that you can write into: --output DIR",
    }


def _in_the_way(directory: str, name: str) -> RefusalRow:
    return {
        "code": "output-exists",
        "subject": f"{directory}/{name}",
        "text": f"{directory}/{name} is another file already",
        "remedy": "move it away, choose another directory (--output DIR), or write over it (--overwrite)",
    }
