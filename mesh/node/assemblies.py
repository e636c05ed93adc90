"""Assemblies: frames that grow from buckets on this host, and become files once the last one is pasted.

Theory: what pastes runs in a process of the renderer's, one for each frame, and is told of each bucket as it comes. The
file is made by a stage of the job, borrowed between two renders, from all passes of the pasted frame: then it is
checked and stored like any other.

Invariants: each paste is answered by one `BucketPasted`, each finish by one `Rendered` or `RenderFailed`, unless the
assembly was ended or its bench closed. Which buckets there are, and when they are all there, is the core's to know.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import trio

from mesh.core.effects import EndAssembly, FinishAssembly, PasteBucket, StartAssembly
from mesh.core.events import BucketPasted, Event, FrameWritten
from mesh.ground.errors import MeshError
from mesh.ground.ids import JobId, PeerId
from mesh.node.bench import Bench, Tools
from mesh.node.failures import failure_of
from mesh.node.outputs import lay_out
from mesh.node.renders import Pace, keep_log, remove, stored_as, wanted_output
from mesh.node.timings import Step
from mesh.ports.assembly import Assembly
from mesh.ports.renderer import FinishTask, OutputTruncated, OutputUnwritable, OutputWrong, RendererCrashed
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block, Cut
from mesh.wire.records import Job

ORDERS_MAX: Final = 8_192
"""Buckets of one frame that wait to be pasted: more than a frame has cells."""

PREVIEW_PERIOD_S: Final = 0.5
"""A preview is made again at most that often."""

PREVIEW_COSTS: Final = 20
"""And not before so many times as long went by as it took: what pastes does nothing else meanwhile."""

_PASSES: Final = "passes.exr"

_BUCKET: Final = "bucket.exr"
_FINISHED: Final = "finished"

Order: TypeAlias = PasteBucket | FinishAssembly
Orders: TypeAlias = trio.MemoryReceiveChannel[PasteBucket | FinishAssembly]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growing:
    """One assembly's orders, and what ends it."""

    orders: trio.MemorySendChannel[Order]
    scope: trio.CancelScope


@dataclass(slots=True, kw_only=True)
class _Site:
    """Where one frame grows."""

    op: int
    cut: Cut
    job: Signed[Job]
    frame: int
    orders: Orders
    directory: Path
    pasted: list[PasteBucket] = field(default_factory=list)
    added: set[Block] = field(default_factory=set)
    """Of samples; these cannot be taken twice."""
    show_s: float = 0.0
    """When its preview may be made again."""


class Assemblies:
    """Performs the core's effects about frames made of buckets."""

    def __init__(
        self,
        *,
        tools: Tools,
        bench: Callable[[Signed[Job]], Bench],
        tell: Callable[[Event], Awaitable[None]],
        hint: Callable[[Event], bool],
        scratch: Path,
        me: PeerId,
    ) -> None:
        self._tools = tools
        self._bench = bench
        self._tell = tell
        self._hint = hint
        self._scratch = scratch
        self._me = me
        self._previews: dict[JobId, Path] = {}
        self._growing: dict[int, _Growing] = {}

    def start(self, effect: StartAssembly) -> None:
        """Begin a frame."""
        orders, orders_in = trio.open_memory_channel[Order](ORDERS_MAX)
        growing = self._growing[effect.op] = _Growing(orders=orders, scope=trio.CancelScope())
        bench = self._bench(effect.job)
        bench.order(lambda: self._grow(growing, bench, effect, orders_in))

    def paste(self, effect: PasteBucket) -> None:
        """Paste a bucket when those before it are pasted."""
        self._order(effect)

    def finish(self, effect: FinishAssembly) -> None:
        """Make the frame's file of what is pasted."""
        self._order(effect)

    def end(self, effect: EndAssembly) -> None:
        """Drop a frame without an answer."""
        growing = self._growing.pop(effect.op, None)
        if growing is not None:
            growing.scope.cancel()

    def close(self, job: JobId) -> None:
        """Forget a job's preview: it is over, or nothing of it grows here any more."""
        path = self._previews.pop(job, None)
        if path is not None:
            with suppress(OSError):
                path.unlink()

    def preview(self, job: JobId) -> str:
        """Return where a picture of a job of this peer's grows, nothing where none does."""
        path = self._previews.get(job)
        return str(path) if path is not None else ""

    def _order(self, order: Order) -> None:
        growing = self._growing.get(order.op)
        if growing is not None:  # it may just have failed by itself
            growing.orders.send_nowait(order)

    async def _grow(self, growing: _Growing, bench: Bench, effect: StartAssembly, orders: Orders) -> None:
        try:
            with growing.scope:
                try:
                    try:
                        await self._carry_out(bench, effect, orders)
                    except OSError as error:
                        raise OutputUnwritable(f"the frame's files cannot be written: {error.strerror}") from error
                except MeshError as error:
                    log = await keep_log(self._tools.world, self._tools.store, getattr(error, "log", ""))
                    await self._tell(failure_of(effect.op, error, log))
        finally:
            self._growing.pop(effect.op, None)

    async def _carry_out(self, bench: Bench, effect: StartAssembly, orders: Orders) -> None:
        cut = effect.job.body.cut
        assert cut is not None, "a frame of a job without buckets is assembled"
        site = _Site(
            op=effect.op,
            cut=cut,
            job=effect.job,
            frame=effect.job.body.frames.frame(effect.task),
            orders=orders,
            directory=await bench.new_directory(),
        )
        try:
            while not await self._whole(site):
                pass  # what pastes died on a bucket: the others are pasted anew, without it
            await self._finish(bench, site, effect.op)
        finally:
            await remove(self._tools.world, site.directory)

    async def _whole(self, site: _Site) -> bool:
        """Paste until told to finish, and write all passes; False where what pastes has died."""
        cut = site.cut
        async with self._tools.renderer.assembly(cut.width, cut.height, cut.picture) as made:
            site.added.clear()
            for before in site.pasted:
                await self._paste(made, site, before)
            async for order in site.orders:
                if isinstance(order, FinishAssembly):
                    break
                try:
                    await self._paste(made, site, order)
                except (OutputTruncated, OutputWrong, RendererCrashed) as error:
                    problem = str(error) or type(error).__name__
                    unlike = isinstance(error, OutputWrong) and error.unlike_others
                    await self._tell(BucketPasted(op=order.op, blob=order.blob, problem=problem, unlike=unlike))
                    if isinstance(error, RendererCrashed):
                        return False
                else:
                    site.pasted.append(order)
                    await self._tell(BucketPasted(op=order.op, blob=order.blob, problem=""))
                    if not await self._show(made, site):
                        return False
            self._mark(Step.PASTED, site)
            await made.write(site.directory / _PASSES)
            self._mark(Step.ASSEMBLED, site)
        return True

    def _mark(self, step: Step, site: _Site) -> None:
        self._tools.mark(step, site.job.id, site.frame)

    async def _paste(self, made: Assembly, site: _Site, order: PasteBucket) -> None:
        samples = site.cut.sampled(order.block)
        if samples is not None and order.block in site.added:
            return  # its samples are there by another result, which counted before
        path = site.directory / _BUCKET
        await self._tools.world.in_thread(lambda: lay_out(self._tools.store, order.blob, path))
        if samples is None:
            await made.paste(path, held=site.cut.held(order.block), taken=site.cut.grid.pixels(order.block))
        else:
            await made.add(path, samples)
            site.added.add(order.block)

    async def _show(self, made: Assembly, site: _Site) -> bool:
        """Keep a picture of what is there up to date for the job's own person, where nothing has to wait for it.

        False where what pastes died of it: it is shown no more.
        """
        started_s = trio.current_time()
        if site.job.author != self._me or site.orders.statistics().current_buffer_used or started_s < site.show_s:
            return True
        job = JobId(site.job.id)
        path = self._scratch / f"preview-{job.hex()[:16]}.png"
        fresh = site.directory / "preview.png"
        try:
            await made.preview(fresh)
            await self._tools.world.in_thread(lambda: fresh.replace(path))  # whoever looks never sees half of it
            self._previews[job] = path
            if site.op not in self._growing:
                self.close(job)  # it was ended meanwhile, and perhaps its job, too
        except RendererCrashed:
            site.show_s = math.inf
            return False
        except (OutputUnwritable, OutputWrong, OSError):
            pass  # it is for eyes alone
        now_s = trio.current_time()
        site.show_s = now_s + max(PREVIEW_PERIOD_S, PREVIEW_COSTS * (now_s - started_s))
        return True

    async def _finish(self, bench: Bench, site: _Site, op: int) -> None:
        """Have a stage make the file, check and store it."""
        pace = Pace(op, self._hint)
        task = FinishTask(frame=site.frame, directory=site.directory / _FINISHED, passes=site.directory / _PASSES)
        await self._tools.world.in_thread(task.directory.mkdir)
        async with bench.borrowed() as seat:
            done = await seat.stage.finish(task, pace.heard)
        await self._tell(FrameWritten(op=op, render_ms=done.render_ms))
        for picture in done.files:
            await self._tools.renderer.check_picture(picture, wanted_output(site.job.body.picture))
        await self._tell(await self._tools.world.in_thread(lambda: stored_as(self._tools.store, op, done)))
