"""The people of tier B: they submit, cancel and fetch at the desks of their peers, and ask again where nobody answered,
or where what they fetched was not all rendered yet.

An answer that is lost with its process says nothing: the job may be there, and then it is a job like any other that
nobody waits for. So each attempt has a directory of its own.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from mesh.ground.errors import MeshError
from mesh.ground.ids import JobId
from mesh.ground.share_limits import WEIGHT_DEFAULT
from mesh.ports.desk import Desk, FetchAnswer, Progress, SubmitAnswer
from mesh.ports.renderer import RECIPE_NAME
from mesh.ports.submission import SubmitRequest
from sim.shell.course import Task
from sim.stagehand import NAMES, SCENE_NAME, picture

if TYPE_CHECKING:
    from sim.shell.host import Host
    from sim.shell.mesh import Mesh

T = TypeVar("T")

AGAIN_S: Final = 3.0
TEXTURE_BYTES: Final = 40_000


class People:
    """All people of one run."""

    def __init__(self, mesh: "Mesh") -> None:
        self._mesh = mesh
        self.accepted: dict[JobId, Host] = {}
        """Jobs whose submission was answered, and where."""
        self.cancelled: dict[JobId, None] = {}
        self._scenes: dict[JobId, dict[str, bytes]] = {}
        self._fetched: list[tuple[JobId, Host, str]] = []
        self._busy = len(mesh.course.tasks)

    @property
    def all_said(self) -> bool:
        """Whether nobody wants anything any more."""
        return not self._busy

    async def run(self) -> None:
        """Do all that is planned."""
        async with trio.open_nursery() as nursery:
            for number, task in enumerate(self._mesh.course.tasks):
                nursery.start_soon(self._see_to, number, task)

    async def at_desk(self, host: "Host", ask: Callable[[Desk], Awaitable[T]]) -> T | None:
        """Ask at a host's desk; None where nobody is there, it ends meanwhile, or it says no."""
        life = host.life
        if life is None or life.desk is None:
            return None
        answer: T | None = None
        desk = life.desk

        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                await life.ended.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
            try:
                answer = await ask(desk)
            except MeshError as error:
                self._mesh.happened(host, f"says {type(error).__name__}: {error}")
            nursery.cancel_scope.cancel()
        return answer

    async def _see_to(self, number: int, task: Task) -> None:
        await trio.sleep(max(0, task.at_ms - self._mesh.now_ms) / 1000)
        host = self._mesh.hosts[task.host]
        job = await self._submit(number, task, host)
        if task.cancelled_after_ms:
            await trio.sleep(task.cancelled_after_ms / 1000)
            await self._again(host, lambda desk: desk.cancel(job.hex()))
            self.cancelled[job] = None
        elif task.fetched_by is not None:
            other, directory = self._mesh.hosts[task.fetched_by], f"/fetched/{number}"
            ask = partial(_fetch, job, directory)
            while (left := (await self._again(other, ask))["unfinished"]) > 0:
                self._mesh.happened(other, f"has fetched all but {left} frames of job{number}, which are not rendered")
                await trio.sleep(AGAIN_S)
            self._fetched.append((job, other, directory))
        self._busy -= 1

    async def _submit(self, number: int, task: Task, host: "Host") -> JobId:
        scene = Path("scenes") / f"job{number}" / "shot.txt"
        scene.parent.mkdir(parents=True)
        text = f"frames 1 {task.frames}\nms {task.frame_ms}\nfile tex.bin"
        texture = self._mesh.dice.fork(b"texture" + bytes([number])).draw(TEXTURE_BYTES)
        scene.write_text(text, "utf-8")
        (scene.parent / "tex.bin").write_bytes(texture)
        attempt = 0
        while True:
            attempt += 1
            request = _request(scene, f"/out/{number}-{attempt}", still=task.still)
            answer = await self.at_desk(host, partial(_submit, request))
            if answer is not None and answer["job"] is not None:
                job = JobId(bytes.fromhex(answer["job"]["id"]))
                self.accepted[job] = host
                files = {SCENE_NAME: text.encode(), RECIPE_NAME: b"{}", "files/tex.bin": texture}
                self._scenes[job] = dict(sorted(files.items()))
                return job
            await trio.sleep(AGAIN_S)

    async def _again(self, host: "Host", ask: Callable[[Desk], Awaitable[T]]) -> T:
        """Ask until there is an answer."""
        while True:
            answer = await self.at_desk(host, ask)
            if answer is not None:
                return answer
            await trio.sleep(AGAIN_S)

    def look_at_files(self, job: JobId, host: "Host") -> None:
        """S2: every file that was delivered or fetched is the picture of its frame; none is missing."""
        places = [(host, host.orders.get(job, ""))]
        places += [(other, directory) for fetched, other, directory in self._fetched if fetched == job]
        for other, directory in places:
            files = {name: data for (where, name), data in other.disk.files.items() if where == directory}
            frames = range(1, len(host.book.heads[job].body.frames) + 1) if job not in self.cancelled else range(0)
            for frame in frames:
                name = NAMES.name(frame)
                if name not in files:
                    self._mesh.checks.broken("L2", f"{other.name} lacks {directory}/{name}", job)
                elif files[name] != picture(self._scenes[job].values(), frame):
                    self._mesh.checks.broken("S2", f"{other.name} has another picture as {directory}/{name}", job)


def _request(scene: Path, output: str, *, still: bool) -> SubmitRequest:
    return {
        "scene": str(scene),
        "frames": None,
        "step": None,
        "name": scene.parent.name,
        "output": output,
        "engine": None,
        "dry_run": False,
        "allow_missing": False,
        "overwrite": False,
        "still": still,
        "buckets": "auto",
        "samples_split": 0,
        "order": "centre",
        "split": False,
        "memory_mb": 0,
        "weight": WEIGHT_DEFAULT,
        "check": "once",
        "judges": [],
    }


async def _submit(request: SubmitRequest, desk: Desk) -> SubmitAnswer:
    return await desk.submit(request, _unheard)


async def _fetch(job: JobId, directory: str, desk: Desk) -> FetchAnswer:
    return await desk.fetch(job.hex(), directory, False, _unheard)


def _unheard(_progress: Progress) -> None:
    """Take progress and say nothing."""
