"""Be a stage for the node: one scene, rendered frame after frame in one Blender process.

Invariants: one frame at a time. A frame's file appears under its final name only when it is whole. After any error but
a frame's own the process is gone and the stage stays closed. Must not know jobs or claims.
"""

import os
import shutil
from collections.abc import Awaitable, Callable
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
    SceneUnreadable,
    StageClosed,
    StageLimits,
)
from mesh.render.blender.recipe import Recipe
from mesh.render.channel import Message, listed, number
from mesh.render.session import Session

_FREE_MIN_BYTES = 64 << 10
"""A file system with less than this free has cut off the frame, or will cut off the next."""

Launch = Callable[[], Awaitable[Session]]


class BlenderStage:
    """Render one scene's frames. Made by `open_stage`."""

    def __init__(self, *, engine: Engine, tree: Path, recipe: Recipe, limits: StageLimits, launch: Launch) -> None:
        self._engine = engine
        self._tree = tree
        self._recipe = recipe
        self._limits = limits
        self._launch = launch
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
        """Start a process and load the scene. Raises what `Renderer.open_stage` names."""
        self._session = session = await self._launch()
        if self._closed:
            await self.aclose()
            raise StageClosed("the stage was closed while it opened")
        if self._limits.memory_bytes is not None:
            session.child.limit_memory(self._limits.memory_bytes)
        try:
            answer = await session.ask(
                self._limits.silence_ms,
                do="open",
                tree=str(self._tree),
                recipe={"main": self._recipe.main, "links": self._recipe.links, "absent": self._recipe.absent},
                threads=self._limits.threads,
                memory_bytes=self._limits.memory_bytes,
            )
            self._output = read_output(answer.get("output"))
        except BaseException:
            await self.aclose()
            raise

    async def render(self, task: RenderTask, on_progress: Callable[[Progress], None]) -> Rendered:
        """Render one frame, or a part of one; see the port for what it raises."""
        box = task.region and [task.region.left, task.region.top, task.region.right, task.region.bottom]
        samples = task.samples and [task.samples.first, task.samples.count, task.samples.of]
        return await self._made(task.frame, task.directory, on_progress, do="render", region=box, samples=samples)

    async def finish(self, task: FinishTask, on_progress: Callable[[Progress], None]) -> Rendered:
        """Make the file of one frame from its passes; see the port for what it raises."""
        passes = str(task.passes.absolute())
        return await self._made(task.frame, task.directory, on_progress, do="finish", passes=passes)

    async def _made(
        self, frame: int, directory: Path, on_progress: Callable[[Progress], None], **command: object
    ) -> Rendered:
        """Have the process make one file of a frame and look whether it is there."""
        session = self._session
        if session is None or self._closed:
            raise StageClosed("the stage is closed")
        place = session.child.log.place()
        temporary = directory / f".rendering-{frame}-{session.child.pid}"
        _make(temporary)
        try:
            answer = await session.ask(
                self._limits.silence_ms,
                lambda message: on_progress(_progress(frame, message)),
                frame=frame,
                directory=str(directory),
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
            frame=frame,
            files=_written(directory, listed(answer, "files")),
            render_ms=number(answer, "render_ms"),
            memory_bytes=number(answer, "memory_bytes"),
            log=session.log(place),
        )
        _refuse_if_full(done)
        return done

    async def aclose(self) -> None:
        """End the process and wait until none of its tree is left."""
        self._closed = True
        await self._end_process()

    def kill(self) -> None:
        """End the process tree at once; a render in hand raises StageClosed."""
        self._closed = True
        if self._session is not None:
            self._session.child.kill()

    async def _end_process(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with trio.CancelScope(shield=True):
                await session.child.aclose()


def read_output(value: object) -> Output:
    """Read what the stage says of the scene's output. Raises SceneUnreadable."""
    if not isinstance(value, dict):
        raise SceneUnreadable("the stage does not say what the scene writes")
    try:
        return Output(
            format=str(value["format"]),
            width=int(value["width"]),
            height=int(value["height"]),
            color_mode=str(value["color_mode"]),
            depth=int(value["depth"]),
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise SceneUnreadable(f"the stage does not say what the scene writes: {error}") from error


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
    """Raise OutputUnwritable where the disk had no room for a frame: Blender says `Saved` then, and exits with 0."""
    for file in done.files:
        try:
            empty, free = file.stat().st_size == 0, shutil.disk_usage(file.parent).free
        except OSError as error:
            raise FrameFailed(f"{file.name} is gone again: {error.strerror}") from error
        if empty or "No space left on device" in done.log or free < _FREE_MIN_BYTES:
            file.unlink(missing_ok=True)
            raise OutputUnwritable(f"{file.name} is not whole: the disk of {file.parent} is full")


def _make(directory: Path) -> None:
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
