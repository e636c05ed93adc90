"""A renderer without an engine, for tests of the shell that have no minute to spare for a real one.

A scene is a text file of `key value` lines; its pictures are a few bytes that depend on the scene's files and the
frame, so that two hosts render alike and a missing file shows. What goes wrong is written in the scene too: `crash 3`
ends the renderer at frame 3 on every host, `crash-once DIR` only where DIR is made by it, and so on.

    frames 1 12        the scene's range          file tex.png      an external file, beside the scene
    ms 50              time of a whole frame         saved-by 4.2      which version saved it
    crash 3            ends at that frame         truncated 4       half a picture
    current 7          where it was saved         whole text        cannot be cut into buckets
    samples 64         of each pixel              joint text        its samples cannot be added
    unreadable         cannot be opened           refused text      the mesh cannot render it
    once DIR           the first process to make DIR crashes, whatever the frame
    work 300           thousands of rounds of hashing for each frame, at a renderer's priority: for benches

Invariants: it keeps every promise of the renderer's port, and starts no process.
"""

import filecmp
import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
from blake3 import blake3

from mesh.ports.renderer import (
    CheckoutFile,
    Cutting,
    Engine,
    EngineMissing,
    Engines,
    ExternalFile,
    FinishTask,
    FrameFailed,
    FrameNames,
    Inspection,
    Output,
    OutputTruncated,
    OutputWrong,
    PathLeavesTree,
    PictureReport,
    Progress,
    Refusal,
    Rendered,
    RendererCrashed,
    RenderTask,
    SavedBy,
    SceneFile,
    SceneUnreadable,
    StageClosed,
    StageLimits,
)
from mesh.wire.grids import Region, SampleRange

MAGIC: Final = b"PICTURE\n"
BUCKET_MAGIC: Final = b"BUCKET\n"
PICTURE: Final = Output(format="PNG", width=64, height=36, color_mode="RGB", depth=8)
NAMES: Final = FrameNames(prefix="frame_", digits=4, suffix=".png")
SCENE_NAME: Final = "scene.txt"
MEMORY_BYTES: Final = 100 * 2**20
_NICENESS: Final = 10


def engine(version: str = "4.2.23", build: str = "fake") -> Engine:
    """Return an engine of the stagehand's."""
    return Engine(
        name="blender", version=version, build=build, program=Path("/nowhere"), embedded=True, renders=("CYCLES",)
    )


def picture(files: Iterable[bytes], frame: int) -> bytes:
    """Return what a frame of a scene with these files, sorted by name, must be."""
    hasher = blake3(b"".join(blake3(data).digest() for data in files))
    return MAGIC + hasher.update(frame.to_bytes(4, "big")).digest(length=2000)


def bucket(whole: bytes, region: Region) -> bytes:
    """Return what a bucket of a picture must be: it says which pixels it holds."""
    return BUCKET_MAGIC + f"{region.left} {region.top} {region.right} {region.bottom}\n".encode() + whole


def share(whole: bytes, samples: SampleRange) -> bytes:
    """Return what some samples of a picture must be: it says which these are."""
    return BUCKET_MAGIC + f"samples {samples.first} {samples.count} {samples.of}\n".encode() + whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a scene file says."""

    first: int = 1
    last: int = 4
    ms: int = 5
    work: int = 0
    saved_by: str = "4.2"
    files: tuple[str, ...] = ()
    crash: frozenset[int] = frozenset()
    truncated: frozenset[int] = frozenset()
    once: str = ""
    unreadable: bool = False
    refused: str = ""
    current: int = 1
    whole: str = ""
    samples: int = 64
    joint: str = ""

    @staticmethod
    def read(path: Path) -> "Script":
        """Read a scene; raise `SceneUnreadable`."""
        try:
            lines = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise SceneUnreadable(f"{path}: {error}") from error
        said: dict[str, list[list[str]]] = {}
        for key, *words in lines:
            said.setdefault(key, []).append(words)

        def numbers(key: str) -> frozenset[int]:
            return frozenset(int(words[0]) for words in said.get(key, []))

        first, last = map(int, said.get("frames", [["1", "4"]])[0])
        return Script(
            first=first,
            last=last,
            ms=int(said.get("ms", [["5"]])[0][0]),
            work=int(said.get("work", [["0"]])[0][0]),
            saved_by=said.get("saved-by", [["4.2"]])[0][0],
            files=tuple(words[0] for words in said.get("file", [])),
            crash=numbers("crash"),
            truncated=numbers("truncated"),
            once=said.get("once", [[""]])[0][0],
            unreadable="unreadable" in said,
            refused=" ".join(said.get("refused", [[]])[0]),
            current=int(said.get("current", [["1"]])[0][0]),
            whole=" ".join(said.get("whole", [[]])[0]),
            samples=int(said.get("samples", [["64"]])[0][0]),
            joint=" ".join(said.get("joint", [[]])[0]),
        )


class FakeStage:
    """A stage that sleeps instead of rendering."""

    def __init__(self, stagehand: "Stagehand", tree: Path) -> None:
        self._stagehand = stagehand
        self._script = Script.read(tree / SCENE_NAME)
        self._files = [path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()]
        self._closed = False
        self.memory_bytes = MEMORY_BYTES

    @property
    def engine(self) -> Engine:
        """Give the engine that renders."""
        return self._stagehand.engine

    @property
    def output(self) -> Output:
        """Give what each frame must look like."""
        return PICTURE

    async def render(self, task: RenderTask, on_progress: Callable[[Progress], None]) -> Rendered:
        """Sleep, then leave the frame's bytes."""
        started_s = trio.current_time()
        self._stagehand.calls.append((trio.current_time(), task.frame))
        self._stagehand.regions.append(task.region or task.samples)
        self._stagehand.note(task.frame)
        if self._closed:
            raise RendererCrashed("the stage is gone")
        part = task.region.area / (PICTURE.width * PICTURE.height) if task.region is not None else 1.0
        part = task.samples.count / task.samples.of if task.samples is not None else part
        for sample in (1, 2):
            on_progress(Progress(frame=task.frame, sample=sample, samples=2, text="", memory_bytes=self.memory_bytes))
            await trio.sleep(self._script.ms * part / 2000)
        if self._script.work:
            self._stagehand.worked_ns += await trio.to_thread.run_sync(_work, self._script.work)
        self._fail(task.frame)
        data = self._stagehand.paint(self._files, task.frame)
        data = data[: len(data) // 2] if task.frame in self._script.truncated else data
        path = task.directory / NAMES.name(task.frame)
        if task.region is not None:
            path = path.with_suffix(".exr")
            data = bucket(data, task.region)
        elif task.samples is not None:
            if task.samples.of != self._script.samples:
                raise FrameFailed(f"a pixel has {self._script.samples} samples, not {task.samples.of}")
            path = path.with_suffix(".exr")
            data = share(data, task.samples)
        path.write_bytes(data)
        return Rendered(
            frame=task.frame,
            files=(path,),
            render_ms=int((trio.current_time() - started_s) * 1000),
            memory_bytes=self.memory_bytes,
            log=f"frame {task.frame}\n",
        )

    def _fail(self, frame: int) -> None:
        if self._stagehand.killed:
            raise StageClosed("killed")
        crashes = frame in self._script.crash
        if self._script.once and not crashes:
            try:
                Path(self._script.once).mkdir()
                crashes = True
            except FileExistsError:
                crashes = False
        if crashes:
            self._closed = True
            raise RendererCrashed(f"ended at frame {frame}")

    async def finish(self, task: FinishTask, on_progress: Callable[[Progress], None]) -> Rendered:
        """Leave the bytes of the whole frame, where its passes are whole."""
        on_progress(Progress(frame=task.frame, sample=0, samples=0, text="finishing", memory_bytes=self.memory_bytes))
        await trio.sleep(self._script.ms / 2000)
        data = picture(self._files, task.frame)
        if task.passes.read_bytes() != data:
            raise FrameFailed("the passes are those of another frame")
        path = task.directory / NAMES.name(task.frame)
        path.write_bytes(data)
        return Rendered(frame=task.frame, files=(path,), render_ms=1, memory_bytes=self.memory_bytes, log="finished\n")

    async def aclose(self) -> None:
        """End the stage."""
        self._closed = True
        self._stagehand.open.pop(self, None)
        await trio.lowlevel.checkpoint()

    def kill(self) -> None:
        """End the stage at once."""
        self._closed = True


def _work(thousands: int) -> int:
    """Keep one processor busy, and nothing else waiting, since hashing holds no lock of Python's; return how long."""
    begun_ns = time.thread_time_ns()
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    hashlib.pbkdf2_hmac("sha256", b"frame", b"scene", thousands * 1_000)
    return time.thread_time_ns() - begun_ns


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _refuse_half(picture: Path) -> None:
    data = picture.read_bytes()
    if data.startswith(BUCKET_MAGIC):
        data = data.partition(b"\n")[2].partition(b"\n")[2]
    if not data.startswith(MAGIC) or len(data) != len(MAGIC) + 2000:
        raise OutputTruncated(f"{picture.name}: {len(data)} bytes")


class FakeAssembly:
    """A frame that is whole once every pixel was pasted."""

    def __init__(self, region: Region) -> None:
        self._left = {(x, y) for x in range(region.left, region.right) for y in range(region.top, region.bottom)}
        self._wholes: set[bytes] = set()
        self._samples: set[int] = set()

    async def paste(self, bucket: Path, *, held: Region, taken: Region) -> None:
        """Take the pixels of a bucket that says that it holds them."""
        await trio.lowlevel.checkpoint()
        data = _read(bucket)
        head, _, whole = data.removeprefix(BUCKET_MAGIC).partition(b"\n")
        if head != f"{held.left} {held.top} {held.right} {held.bottom}".encode():
            raise OutputWrong(f"{bucket.name} holds {head!r}")
        self._wholes.add(whole)
        self._left -= {(x, y) for x in range(taken.left, taken.right) for y in range(taken.top, taken.bottom)}

    async def add(self, bucket: Path, samples: SampleRange) -> None:
        """Take the samples of a bucket that says that it holds them, the whole picture once all are there."""
        await trio.lowlevel.checkpoint()
        head, _, whole = _read(bucket).removeprefix(BUCKET_MAGIC).partition(b"\n")
        if head != f"samples {samples.first} {samples.count} {samples.of}".encode():
            raise OutputWrong(f"{bucket.name} holds {head!r}")
        new = set(range(samples.first, samples.first + samples.count))
        assert not self._samples & new, "samples are added twice"
        self._samples |= new
        self._wholes.add(whole)
        if len(self._samples) == samples.of:
            self._left.clear()

    async def preview(self, picture: Path) -> None:
        """Write how many pixels are left."""
        await trio.lowlevel.checkpoint()
        _write(picture, f"{len(self._left)} pixels to come, {len(self._samples)} samples\n".encode())

    async def write(self, picture: Path) -> None:
        """Write what all buckets say the whole is."""
        await trio.lowlevel.checkpoint()
        assert not self._left, f"{len(self._left)} pixels were never pasted"
        assert len(self._wholes) == 1, "buckets of different pictures"
        _write(picture, next(iter(self._wholes)))


@dataclass(eq=False)
class Stagehand:
    """The `Renderer` of its port, without an engine."""

    engine: Engine = field(default_factory=engine)
    has_engine: bool = True
    open_ms: int = 5
    calls: list[tuple[float, int]] = field(default_factory=list)
    """When each render was called, and of which frame."""
    regions: list[Region | SampleRange | None] = field(default_factory=list)
    """What each was asked for; None: the whole frame."""
    opened: int = 0
    warmed: int = 0
    open: dict[FakeStage, None] = field(default_factory=dict)
    killed: bool = False
    note: Callable[[int], None] = lambda _frame: None
    """Hears of each frame as it begins."""
    look: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    """What looking at a picture takes."""
    worked_ns: int = 0
    """Processor time that scenes asked for."""
    wrong: str = ""
    """What each picture shows besides: none of somebody else's is like it; empty: what it must be."""

    def paint(self, files: Iterable[bytes], frame: int) -> bytes:
        """Return what this renderer makes of a frame."""
        return picture((*files, self.wrong.encode()) if self.wrong else files, frame)

    async def probe(self, *, thorough: bool = False) -> Engines:  # noqa: ARG002 (the port's)
        """Tell of the one engine."""
        await trio.lowlevel.checkpoint()
        return Engines(usable=(self.engine,) if self.has_engine else ())

    def saved_by(self, scene: Path) -> SavedBy:
        """Read which version the scene says saved it."""
        return SavedBy(engine="blender", version=Script.read(scene).saved_by)

    async def inspect(
        self,
        scene: Path,
        frames: Sequence[range] | None,  # noqa: ARG002 (the port's)
        engine: Engine,
    ) -> Inspection:
        """Read a scene."""
        await trio.lowlevel.checkpoint()
        script = Script.read(scene)
        paths = [scene.parent / name for name in script.files]
        return Inspection(
            scene=scene,
            scene_name="Scene",
            saved_by=script.saved_by,
            saved_at_ms=0,
            engine=engine,
            render_engine="CYCLES",
            first_frame=script.first,
            last_frame=script.last,
            frame_step=1,
            current_frame=script.current,
            output=PICTURE,
            output_directory=scene.parent / "out",
            frame_names=NAMES,
            cutting=Cutting(
                width=PICTURE.width,
                height=PICTURE.height,
                region=Region(left=0, top=0, right=PICTURE.width, bottom=PICTURE.height),
                obstacles=(Refusal(code="whole", subject=str(scene), text=script.whole),) if script.whole else (),
                samples=script.samples,
                sample_obstacles=(Refusal(code="joint", subject=str(scene), text=script.joint),)
                if script.joint
                else (),
            ),
            color_management=(),
            external=tuple(
                ExternalFile(
                    kind="image",
                    path=path,
                    stored=f"//{path.name}",
                    owner=scene,
                    user=f"Image {path.name}",
                    files=(path,),
                    missing=() if path.exists() else (path,),
                )
                for path in paths
            ),
            files=(
                SceneFile(name=SCENE_NAME, path=scene),
                *(SceneFile(name=f"files/{path.name}", path=path) for path in paths if path.exists()),
            ),
            recipe=b"{}",
            refusals=(Refusal(code="refused", subject=str(scene), text=script.refused),) if script.refused else (),
        )

    def check_out(self, directory: Path, files: Iterable[CheckoutFile]) -> None:
        """Write a tree's files."""
        directory.mkdir()
        for file in files:
            path = directory / file.name
            if not path.resolve().is_relative_to(directory.resolve()):
                raise PathLeavesTree(file.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(file.blocks))

    def discard(self, directory: Path) -> None:
        """Remove a tree."""
        shutil.rmtree(directory, ignore_errors=True)

    async def warm(self, engine: Engine) -> None:  # noqa: ARG002 (the port's)
        """Count."""
        self.warmed += 1
        await trio.lowlevel.checkpoint()

    async def open_stage(
        self,
        engine: Engine,
        tree: Path,
        limits: StageLimits,  # noqa: ARG002 (the port's)
    ) -> FakeStage:
        """Load a scene."""
        if engine != self.engine:
            raise EngineMissing(engine.key)
        await trio.sleep(self.open_ms / 1000)
        stage = FakeStage(self, tree)
        if stage._script.unreadable:  # noqa: SLF001 (its own kind)
            raise SceneUnreadable("it says so itself")
        self.opened += 1
        self.open[stage] = None
        return stage

    @asynccontextmanager
    async def assembly(self, width: int, height: int, region: Region) -> AsyncIterator["FakeAssembly"]:
        """Begin a frame that is made of buckets."""
        assert (width, height) == (PICTURE.width, PICTURE.height)
        await trio.lowlevel.checkpoint()
        yield FakeAssembly(region)

    async def check_picture(self, picture: Path, output: Output) -> PictureReport:
        """Look whether it is one of ours, and whole."""
        await self.look()
        _refuse_half(picture)
        return PictureReport(width=output.width, height=output.height, channels=("R", "G", "B"), constant=False)

    async def pictures_alike(self, mine: Path, theirs: Path) -> bool:
        """Look whether they are the same: what is made here repeats itself exactly."""
        await self.look()
        return filecmp.cmp(mine, theirs, shallow=False)

    async def aclose(self) -> None:
        """End every stage."""
        for stage in tuple(self.open):
            await stage.aclose()
