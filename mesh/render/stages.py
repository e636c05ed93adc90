"""Be a stage for the node: a process of its own that makes the files of one scene's frames, whichever program it is.

Invariants: one file at a time. A frame's file appears under its final name only when it is whole. After any error but
a frame's own the process is gone and the stage stays closed. Must not know jobs, claims, or which program renders.
"""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import trio

from mesh.ports.renderer import (
    Engine,
    FinishTask,
    FrameFailed,
    Output,
    OutputUnwritable,
    Progress,
    Rendered,
    RenderTask,
    StageClosed,
    StageLimits,
)
from mesh.render.channel import Message, listed, number
from mesh.render.session import Session

_FREE_MIN_BYTES = 64 << 10
"""A file system with less than this free has cut off the frame, or will cut off the next."""

OnProgress = Callable[[Progress], None]


class ProcessStage(ABC):
    """Hold one process that makes files. An adapter's stage says how it is started, and what it is told."""

    def __init__(self, engine: Engine, limits: StageLimits) -> None:
        self._engine = engine
        self._limits = limits
        self._session: Session | None = None
        self._output: Output | None = None
        self._closed = False

    @property
    def engine(self) -> Engine:
        """Give the engine that renders."""
        return self._engine

    @property
    def output(self) -> Output:
        """Give what each frame must look like."""
        assert self._output is not None, "the stage is not open"
        return self._output

    @property
    def closed(self) -> bool:
        """Say whether the stage was closed or killed."""
        return self._closed

    async def open(self) -> None:
        """Start the process and have it load the scene. Raises what `Renderer.open_stage` names."""
        self._session = session = await self._start()
        if self._closed:
            await self.aclose()
            raise StageClosed("the stage was closed while it opened")
        if self._limits.memory_bytes is not None:
            session.child.limit_memory(self._limits.memory_bytes)
        try:
            self._output = await self._load(session)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the process and wait until none of its tree is left."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            with trio.CancelScope(shield=True):
                await session.child.aclose()

    def kill(self) -> None:
        """End the process tree at once; a render in hand raises StageClosed."""
        self._closed = True
        if self._session is not None:
            self._session.child.kill()

    @abstractmethod
    async def _start(self) -> Session:
        """Start the process and wait for its hello."""

    @abstractmethod
    async def _load(self, session: Session) -> Output:
        """Tell the process which scene it has, and give what its frames must look like."""

    async def _make(self, task: RenderTask | FinishTask, on_progress: OnProgress, **command: object) -> Rendered:
        """Have the process make one file of a frame and look whether it is there."""
        session = self._session
        if session is None or self._closed:
            raise StageClosed("the stage is closed")
        place = session.child.log.place()
        temporary = task.directory / f".rendering-{task.frame}-{session.child.pid}"
        _make_directory(temporary)
        try:
            answer = await session.ask(
                self._limits.silence_ms,
                lambda message: on_progress(_progress(task.frame, message)),
                frame=task.frame,
                directory=str(task.directory),
                temporary=str(temporary),
                **command,
            )
        except (FrameFailed, OutputUnwritable):
            raise
        except BaseException:
            await self.aclose()
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        done = Rendered(
            frame=task.frame,
            files=_written(task.directory, listed(answer, "files")),
            render_ms=number(answer, "render_ms"),
            memory_bytes=number(answer, "memory_bytes"),
            log=session.log(place),
        )
        _refuse_if_full(done)
        return done


def _written(directory: Path, named: list[object]) -> tuple[Path, ...]:
    """Find the plain files that a stage says it left in a frame's directory. Raises FrameFailed, OutputUnwritable."""
    try:
        with os.scandir(directory) as entries:
            there = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    except OSError as error:
        raise OutputUnwritable(f"{directory} cannot be read: {error.strerror}") from error
    names = [str(name).rpartition("/")[2] for name in named[:2]]
    if not names or not there.issuperset(names):
        raise FrameFailed("the renderer wrote no picture where it says")
    if len(names) > 1:
        raise FrameFailed("the renderer wrote several files for one frame")
    return (directory / names[0],)


def _refuse_if_full(done: Rendered) -> None:
    """Raise OutputUnwritable where the disk had no room: Blender says `Saved` then, and exits with 0."""
    for file in done.files:
        try:
            empty, free = file.stat().st_size == 0, shutil.disk_usage(file.parent).free
        except OSError as error:
            raise FrameFailed(f"{file.name} is gone again: {error.strerror}") from error
        if empty or "No space left on device" in done.log or free < _FREE_MIN_BYTES:
            file.unlink(missing_ok=True)
            raise OutputUnwritable(f"{file.name} is not whole: the disk of {file.parent} is full")


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise OutputUnwritable(f"{directory.parent} cannot be written: {error.strerror}") from error


def _progress(frame: int, message: Message) -> Progress:
    return Progress(
        frame=frame,
        sample=number(message, "sample"),
        samples=number(message, "samples"),
        text=str(message.get("text", "")),
        memory_bytes=number(message, "memory_bytes"),
    )
