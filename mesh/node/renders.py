"""Renders: from a claim that was won to a picture in the store, at the pace of the renderer.

Theory: a frame is one pipeline. A stage of the job's bench renders it; the core hears at once that the file is written,
so that the next frame starts; then the picture is checked, stored and told. A few frames may be in the later part at a
time; beyond that the stage waits, since a disk that cannot keep up is full at last. A stage that dies as it begins a
frame, with older frames behind it, proves nothing against the frame: it is tried once more in a fresh stage.

Invariants: every render is answered by exactly one `Rendered` or `RenderFailed`, unless it was killed or its bench was
closed. The module must not know which frame comes next, nor what becomes of the picture.
"""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from mesh.core.effects import CloseStage, KillRender, OpenStage, StartRender, WarmEngine
from mesh.core.events import Event, FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, JobId
from mesh.node.bench import Bench, Seat, Tools
from mesh.node.failures import failure_of
from mesh.node.timings import Step, unmarked
from mesh.ports import renderer as ports
from mesh.ports.renderer import Progress, RendererCrashed, RenderTask
from mesh.ports.storage import BlobStore
from mesh.ports.world import World
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_OUTPUTS, Job, Output, Picture

LATER_PARTS: Final = 4
"""Frames written and not yet stored: enough to hide the check behind the next frame, few enough to bound the disk."""

PROGRESS_PERIOD_S: Final = 0.25
"""Progress is told at most that often; leases need it once a second."""

LOG_MAX_BYTES: Final = 256 * 1024
"""What is kept of a render's log: its end, where the reasons are."""

_Tell = Callable[[Event], Awaitable[None]]
_Hint = Callable[[Event], bool]


def wanted_output(picture: Picture) -> ports.Output:
    """Return what a job's record promises of every frame, as the renderer names it."""
    return ports.Output(
        format=picture.format,
        width=picture.width,
        height=picture.height,
        color_mode=picture.color_mode,
        depth=picture.depth,
    )


def asked_of(effect: StartRender, directory: Path) -> tuple[RenderTask, ports.Output]:
    """Return what a stage is asked for, and what it must give."""
    job, block = effect.job.body, effect.block
    frame = job.frames.frame(effect.task)
    if job.cut is None or block is None:
        return RenderTask(frame=frame, directory=directory), wanted_output(job.picture)
    held, samples = job.cut.held(block), job.cut.sampled(block)
    region = held if samples is None else None
    return RenderTask(frame=frame, directory=directory, region=region, samples=samples), ports.bucket_output(held)


class Pace:
    """One render's progress as a number that grows only when something was done."""

    def __init__(self, op: int, hint: _Hint, mark: Callable[[Step], None] = unmarked) -> None:
        self._op = op
        self._hint = hint
        self.mark = mark
        self._steps = 0
        self._sample = 0
        self._text = ""
        self._told_at_s = -PROGRESS_PERIOD_S
        self.begun = False
        """Whether the renderer said anything of this frame."""

    def step(self) -> None:
        """Count a step outside of the renderer."""
        self._steps += 1
        self._say()

    def heard(self, progress: Progress) -> None:
        """Count what the renderer said, if it said anything new; times and memory in its text are nothing new."""
        text = "".join(letter for letter in progress.text if not letter.isdigit())
        self.begun = True
        if progress.sample > self._sample or text != self._text:
            first = self._sample == 0 < progress.sample
            if first:
                self.mark(Step.SAMPLED)
            self._sample = max(self._sample, progress.sample)
            self._text = text
            self._steps += 1
            self._say(now=first)

    def _say(self, *, now: bool = False) -> None:
        now_s = trio.current_time()
        if now or now_s - self._told_at_s >= PROGRESS_PERIOD_S:
            self._told_at_s = now_s
            self._hint(RenderProgressed(op=self._op, progress=self._steps, sample=self._sample))


def stored_as(store: BlobStore, op: int, done: ports.Rendered) -> Rendered:
    """Store a frame's files and its log; runs in a thread."""
    blobs = [store.ingest(path) for path in done.files[:MAX_OUTPUTS]]
    outputs = tuple(Output(blob=blob, size=store.manifest(blob).size) for blob in blobs)
    return Rendered(op=op, outputs=outputs, log=_store_log(store, done.log))


async def keep_log(world: World, store: BlobStore, text: str) -> BlobId | None:
    """Store a failed render's log; a disk that is full of pictures may have no room for it."""
    try:
        return await world.in_thread(lambda: _store_log(store, text))
    except MeshError:
        return None


async def remove(world: World, directory: Path) -> None:
    """Remove a frame's directory, also when cancelled."""
    with trio.CancelScope(shield=True):
        await world.in_thread(lambda: shutil.rmtree(directory, ignore_errors=True))


def _store_log(store: BlobStore, text: str) -> BlobId | None:
    return store.ingest(text.encode()[-LOG_MAX_BYTES:]) if text else None


class Renders:
    """Performs the core's effects about rendering."""

    def __init__(self, *, nursery: trio.Nursery, tools: Tools, scratch: Path, tell: _Tell, hint: _Hint) -> None:
        self._nursery = nursery
        self._tools = tools
        self._scratch = scratch
        self._tell = tell
        self._hint = hint
        self._benches: dict[JobId, Bench] = {}
        self._bench_count = 0
        self._warming: dict[JobId, trio.CancelScope] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        self._later_parts = trio.Semaphore(LATER_PARTS)

    def warm(self, effect: WarmEngine) -> None:
        """Start the job's engine, so that its stage opens fast."""
        scope = self._warming[JobId(effect.job.id)] = trio.CancelScope()
        self._nursery.start_soon(self._warm, scope, effect.job)

    def open_stage(self, effect: OpenStage) -> None:
        """Check the scene out and open a stage ahead."""
        self.bench(effect.job).open_ahead()

    def close_stage(self, effect: CloseStage) -> None:
        """End everything of a job."""
        bench = self._benches.pop(effect.job, None)
        if bench is not None:
            bench.close()
        warming = self._warming.pop(effect.job, None)
        if warming is not None:
            warming.cancel()

    def start(self, effect: StartRender) -> None:
        """Begin a render."""
        self._mark(Step.CLAIMED, effect)
        scope = self._scopes[effect.op] = trio.CancelScope()
        bench = self.bench(effect.job)
        bench.order(lambda: self._render(scope, bench, effect))

    def kill(self, effect: KillRender) -> None:
        """End a render without an answer."""
        scope = self._scopes.pop(effect.op, None)
        if scope is not None:
            scope.cancel()

    def bench(self, job: Signed[Job]) -> Bench:
        """Return the job's bench on this host, made where there is none."""
        key = JobId(job.id)
        if key not in self._benches:
            # A number of its own: the directory of an older bench of this job may not be gone yet.
            self._bench_count += 1
            directory = self._scratch / f"{job.id.hex()[:16]}-{self._bench_count}"
            bench = self._benches[key] = Bench(job, directory, self._tools)
            self._nursery.start_soon(bench.run)
        return self._benches[key]

    def _mark(self, step: Step, effect: StartRender) -> None:
        frame = effect.job.body.frames.frame(effect.task)
        self._tools.mark(step, effect.job.id, frame)

    async def _warm(self, scope: trio.CancelScope, job: Signed[Job]) -> None:
        with scope:
            await self._tools.rack.warm(job.body.engine)
        if self._warming.get(JobId(job.id)) is scope:
            del self._warming[JobId(job.id)]

    async def _render(self, scope: trio.CancelScope, bench: Bench, effect: StartRender) -> None:
        try:
            with scope:
                await self._tell(await self._answer(bench, effect))
        finally:
            self._scopes.pop(effect.op, None)

    async def _answer(self, bench: Bench, effect: StartRender) -> Rendered | RenderFailed:
        pace = Pace(effect.op, self._hint, lambda step: self._mark(step, effect))
        log = ""
        directory: Path | None = None
        try:
            directory = await bench.new_directory()
            task, wanted = asked_of(effect, directory)
            seat, done = await self._written(bench, task, pace)
            pace.mark(Step.WRITTEN)
            log = done.log
            try:
                await self._later_parts.acquire()
            finally:
                # A render that is killed while it waits leaves a good stage too.
                bench.put_back(seat)
            try:
                await self._tell(FrameWritten(op=effect.op, render_ms=done.render_ms))
                for picture in done.files:
                    await self._tools.renderer.check_picture(picture, wanted)
                stored = await self._tools.world.in_thread(lambda: stored_as(self._tools.store, effect.op, done))
                pace.mark(Step.STORED)
                return stored
            finally:
                self._later_parts.release()
        except MeshError as error:
            kept = await keep_log(self._tools.world, self._tools.store, log or getattr(error, "log", ""))
            return failure_of(effect.op, error, kept)
        finally:
            if directory is not None:
                await remove(self._tools.world, directory)

    async def _written(self, bench: Bench, task: RenderTask, pace: Pace) -> tuple[Seat, ports.Rendered]:
        """Have a frame written by a stage, by a fresh one if an old one dies as it begins."""
        seat = await bench.take()
        pace.step()
        try:
            return seat, await self._written_by(bench, seat, task, pace)
        except RendererCrashed:
            if seat.frames == 0 or pace.begun:
                raise
        seat = await bench.open()
        return seat, await self._written_by(bench, seat, task, pace)

    async def _written_by(self, bench: Bench, seat: Seat, task: RenderTask, pace: Pace) -> ports.Rendered:
        pace.mark(Step.CALLED)
        try:
            done = await seat.stage.render(task, pace.heard)
        except ports.FrameFailed:
            bench.put_back(seat)
            raise
        except BaseException:
            await bench.drop(seat)
            raise
        if task.region is None and task.samples is None:
            # A bucket's memory follows its size, and its passes.
            seat.note(done.memory_bytes)
        return done
