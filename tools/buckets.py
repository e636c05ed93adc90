"""Render one frame as a mesh does that cuts it, and as one host does alone, both through the renderer's port.

Theory: three stages, each a process with a checkout of its own, stand for three peers. Each takes the next open block
of the grid until there is none, as peers do, and each another number of cells at once, so that buckets of several sizes
meet. What they render is pasted by a process of its own, and one of them finishes the frame. The whole is rendered by
processes that have rendered nothing before.

Nothing here compares. Must not know which renderer it is, nor tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from mesh.core.tiling import cut_to, next_block
from mesh.ports.renderer import (
    RECIPE_NAME,
    CheckoutFile,
    Cutting,
    Engine,
    FinishTask,
    Inspection,
    Progress,
    Renderer,
    RenderTask,
    Stage,
    StageLimits,
)
from mesh.render.assemble import Assembly, assembly
from mesh.wire.grids import Grid, Order, Region

PEERS = 3
THREADS = 1
"""Of each peer's stage; the whole is rendered with as many as the machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """One frame: all passes of its region before anything was done to it as a whole, and its finished file."""

    passes: Path
    picture: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """A frame made of buckets: its files, the grid, and what each bucket was, in the order in which they came."""

    files: Files
    grid: Grid
    buckets: tuple[Region, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is rendered, by what, and where files go."""

    renderer: Renderer
    engine: Engine
    inspection: Inspection
    directory: Path

    @property
    def cutting(self) -> Cutting:
        """How the frame can be cut."""
        return self.inspection.cutting

    @property
    def frame(self) -> int:
        """The frame: the scene's first."""
        return self.inspection.first_frame

    async def open(self, name: str, *, threads: int) -> Stage:
        """Check the scene out for one peer and load it."""
        tree = self.directory / name
        self.renderer.check_out(tree, _tree_files(self.inspection))
        return await self.renderer.open_stage(self.engine, tree, StageLimits(threads=threads))


async def in_buckets(subject: Subject, cell: tuple[int, int]) -> Pieces:
    """Render a frame in buckets of one, two and four cells of this size; raises what stages and assemblies raise."""
    cutting = subject.cutting
    grid = cut_to(cutting.region, *cell)
    passes = subject.directory / "pasted.exr"
    stages = [await subject.open(f"peer-{number}", threads=THREADS) for number in range(PEERS)]
    try:
        async with assembly(cutting.width, cutting.height, cutting.region) as growing:
            work = _Work(subject, grid, growing)
            async with trio.open_nursery() as nursery:
                for number, stage in enumerate(stages):
                    nursery.start_soon(work.take, stage, 2**number * cell[0] * cell[1])
            await growing.write(passes)
        task = FinishTask(frame=subject.frame, directory=subject.directory / "finished", passes=passes)
        done = await stages[0].finish(task, _unheard)
    finally:
        for stage in stages:
            await stage.aclose()
    return Pieces(files=Files(passes=passes, picture=done.files[0]), grid=grid, buckets=tuple(work.done))


async def whole(subject: Subject) -> Files:
    """Render a frame at once, and all passes of its region at once, each in a fresh process."""
    return Files(picture=await _at_once(subject, "whole", None), passes=await whole_passes(subject))


async def whole_passes(subject: Subject) -> Path:
    """Render all passes of a frame's region at once, in a fresh process."""
    return await _at_once(subject, "whole-passes", subject.cutting.region)


async def _at_once(subject: Subject, name: str, region: Region | None) -> Path:
    stage = await subject.open(f"tree-of-{name}", threads=0)
    try:
        task = RenderTask(frame=subject.frame, directory=subject.directory / name, region=region)
        return (await stage.render(task, _unheard)).files[0]
    finally:
        await stage.aclose()


class _Work:
    """The cells of one frame that nobody has taken yet."""

    def __init__(self, subject: Subject, grid: Grid, growing: Assembly) -> None:
        self._subject = subject
        self._grid = grid
        self._growing = growing
        self._open = (1 << len(grid)) - 1
        self.done: list[Region] = []

    async def take(self, stage: Stage, pixels: int) -> None:
        """Render with one stage bucket after bucket, each of at most so many pixels, until no cell is open."""
        cutting = self._subject.cutting
        while (block := next_block(self._grid, self._open, Order.CENTRE, pixels)) is not None:
            self._open &= ~self._grid.bits(block)
            taken = self._grid.pixels(block)
            held = widened(taken, cutting.margin, cutting.region)
            task = RenderTask(frame=self._subject.frame, directory=self._subject.directory / "buckets", region=held)
            done = await stage.render(task, _unheard)
            await self._growing.paste(done.files[0], held=held, taken=taken)
            self.done.append(taken)


def widened(taken: Region, margin: int, within: Region) -> Region:
    """Give a bucket with its margin, as far as the region reaches."""
    return Region(
        left=max(taken.left - margin, within.left),
        top=max(taken.top - margin, within.top),
        right=min(taken.right + margin, within.right),
        bottom=min(taken.bottom + margin, within.bottom),
    )


def _tree_files(inspection: Inspection) -> Iterator[CheckoutFile]:
    for file in inspection.files:
        data = file.path.read_bytes()
        yield CheckoutFile(name=file.name, size=len(data), blocks=[data])
    yield CheckoutFile(name=RECIPE_NAME, size=len(inspection.recipe), blocks=[inspection.recipe])


def _unheard(_: Progress) -> None:
    """Hear nothing of what a stage does."""
