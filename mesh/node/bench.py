"""A bench: one job on this host, its scene checked out once, and its stages.

Theory: a stage belongs to whoever renders in it and lies on the bench between frames, so that there are never more
stages than renders at a time, plus one that was opened ahead. Whoever takes a stage gets one that lies there, waits for
one that is being opened ahead, or opens one of its own; a failure to open ahead is forgotten, since the taker meets it
itself. Whoever finishes a frame that is made of buckets only borrows a stage between two renders: a second one would
load the scene for a moment's work.

Invariants: everything that works at a bench runs inside `run`; when it ends, whatever the reason, no process of its
stages lives and its directory is gone. The scene is checked out by one task at a time, and again after a failure."""

import itertools
import shutil
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mesh.ground.errors import MeshError
from mesh.node.engines import EngineRack
from mesh.node.timings import Mark, Step, unmarked
from mesh.ports.renderer import CheckoutFile, FrameFailed, OutputUnwritable, Renderer, Stage, StageLimits
from mesh.ports.storage import BlobStore, Scenes
from mesh.ports.world import World
from mesh.wire.envelope import Signed
from mesh.wire.records import Job
from mesh.wire.tree import Tree

ORDERS_MAX: Final = 64
"""Renders at one bench that have not begun; a host has far fewer slots."""

OUTGROWN_TENTHS: Final = 13
"""A stage above 1.3 times its first frame's memory leaks, or keeps what it needs no more, and starts afresh."""

OUTGROWN_LEAST_BYTES: Final = 64 * 2**20
"""Below this growth a fresh start costs more than it frees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every bench of this host works with."""

    world: World
    store: BlobStore
    scenes: Scenes
    renderer: Renderer
    rack: EngineRack
    limits: StageLimits
    mark: Mark = unmarked


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """An open stage, and what is remembered of it."""

    stage: Stage
    frames: int = 0
    first_memory_bytes: int = 0
    outgrown: bool = False

    def note(self, memory_bytes: int) -> None:
        """Count a frame that took `memory_bytes`."""
        self.frames += 1
        self.first_memory_bytes = self.first_memory_bytes or memory_bytes
        self.outgrown = has_outgrown(self.first_memory_bytes, memory_bytes)


def has_outgrown(first_bytes: int, now_bytes: int) -> bool:
    """Say whether a stage should start afresh, from its memory after the first frame and now."""
    growth = now_bytes - first_bytes
    return growth > OUTGROWN_LEAST_BYTES and growth * 10 > first_bytes * (OUTGROWN_TENTHS - 10)


class _Lying:
    """A seat that lies on the bench, or will."""

    __slots__ = ("ready", "seat")

    def __init__(self, seat: Seat | None = None) -> None:
        self.seat = seat
        self.ready = trio.Event()
        if seat is not None:
            self.ready.set()


class Bench:
    """One job on this host; `run` is its life."""

    def __init__(self, job: Signed[Job], directory: Path, tools: Tools) -> None:
        self._job = job
        self._directory = directory
        self._tools = tools
        self._orders, self._orders_in = trio.open_memory_channel[Callable[[], Awaitable[None]]](ORDERS_MAX)
        self._scope = trio.CancelScope()
        self._open: list[Seat] = []
        self._lying: deque[_Lying] = deque()
        self._lent = 0
        self._came_back = trio.Event()
        self._checking_out = trio.Lock()
        self._checked_out = False
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Carry out orders until the bench is closed, then leave nothing behind."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    async for order in self._orders_in:
                        nursery.start_soon(order)
        finally:
            with trio.CancelScope(shield=True):
                for seat in tuple(self._open):
                    await self.drop(seat)
                await self._tools.world.in_thread(self._discard)

    def order(self, work: Callable[[], Awaitable[None]]) -> None:
        """Start `work` at this bench."""
        self._orders.send_nowait(work)

    def close(self) -> None:
        """End everything that works here."""
        self._scope.cancel()

    def open_ahead(self) -> None:
        """Begin to open a stage for whoever takes one next, unless one lies here."""
        if not self._lying:
            lying = _Lying()
            self._lying.append(lying)
            self.order(lambda: self._open_ahead(lying))

    async def take(self) -> Seat:
        """Return a stage that nobody else has. Raises `RendererError`, `StorageError`, `WireError`."""
        while True:
            seat = await self._lying_seat()
            if seat is not None:
                return seat
            if not self._lent:
                return await self.open()
            await self._came_back.wait()

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Seat]:
        """Yield a stage between two renders; opens one only where there is none. Raises what `take` raises."""
        seat = await self._lying_seat()
        while seat is None and self._open:
            await self._came_back.wait()
            seat = await self._lying_seat()
        self._lent += 1
        try:
            seat = seat or await self.open()
            try:
                yield seat
            except FrameFailed:
                self.put_back(seat)
                raise
            except BaseException:
                await self.drop(seat)
                raise
            self.put_back(seat)
        finally:
            self._lent -= 1
            self._wake()

    async def _lying_seat(self) -> Seat | None:
        while self._lying:
            lying = self._lying.popleft()
            try:
                await lying.ready.wait()
            except trio.Cancelled:
                self._lying.appendleft(lying)
                raise
            if lying.seat is not None:
                return lying.seat
        return None

    async def open(self) -> Seat:
        """Open a fresh stage. Raises what `take` raises."""
        await self._check_out()
        engine = self._tools.rack.find(self._job.body.engine)
        self._tools.mark(Step.OPENING, self._job.id)
        seat = Seat(stage=await self._tools.renderer.open_stage(engine, self._tree, self._tools.limits))
        self._tools.mark(Step.OPENED, self._job.id)
        self._open.append(seat)
        return seat

    def put_back(self, seat: Seat) -> None:
        """Lay a stage back, for the next frame; one that has outgrown its memory is closed and another opened."""
        if seat.outgrown:
            self.order(lambda: self.drop(seat))
            self.open_ahead()
        else:
            self._lying.appendleft(_Lying(seat))
        self._wake()

    async def drop(self, seat: Seat) -> None:
        """End a stage, also where it has ended already, and in spite of a cancellation; the renderer bounds its end."""
        with trio.CancelScope(shield=True):
            await seat.stage.aclose()
        if seat in self._open:
            self._open.remove(seat)
        self._wake()

    async def new_directory(self) -> Path:
        """Make a directory for one frame's files. Raises `OutputUnwritable`."""
        path = self._directory / "frames" / str(next(self._numbers))
        await self._tools.world.in_thread(lambda: _make(path))
        return path

    def _wake(self) -> None:
        """Have whoever waits for a stage look again."""
        self._came_back.set()
        self._came_back = trio.Event()

    @property
    def _tree(self) -> Path:
        return self._directory / "scene"

    async def _open_ahead(self, lying: _Lying) -> None:
        try:
            # Whoever takes a stage next meets the reason of a failure itself, and tells it.
            with suppress(MeshError):
                lying.seat = await self.open()
        finally:
            lying.ready.set()

    async def _check_out(self) -> None:
        async with self._checking_out:
            if not self._checked_out:
                await self._tools.world.in_thread(self._check_out_now)
                self._checked_out = True

    def _check_out_now(self) -> None:
        tree = self._tools.scenes.open_tree(self._job.body.scene)
        _make(self._directory)
        self._tools.renderer.check_out(self._tree, self._files(tree))

    def _files(self, tree: Tree) -> Iterator[CheckoutFile]:
        for entry in tree.entries:
            yield CheckoutFile(name=entry.name, size=entry.size, blocks=self._tools.scenes.read_entry(entry))

    def _discard(self) -> None:
        self._tools.renderer.discard(self._tree)
        shutil.rmtree(self._directory, ignore_errors=True)


def _make(directory: Path) -> None:
    """Make a directory; runs in a thread. A full disk has no room for one either. Raises `OutputUnwritable`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputUnwritable(f"{directory} cannot be made: {error.strerror}") from error
