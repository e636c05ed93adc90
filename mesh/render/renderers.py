"""Be one renderer to the node, made of an adapter for each program.

Theory: which adapter does the work is told by what it is done to: a scene file by what is in it, everything else by the
name of the engine. A tree's recipe says whose it is, so that a foreign one is refused by the adapter that opens it.

Invariants: a scene is never given to an adapter of another kind. Trees are written, pictures looked at and
frames assembled by the same code for all.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import trio

from mesh.ports.assembly import Assembly
from mesh.ports.renderer import (
    CheckoutFile,
    Engine,
    EngineMissing,
    Engines,
    Inspection,
    Output,
    PictureReport,
    SavedBy,
    SceneUnreadable,
    Stage,
    StageLimits,
)
from mesh.render import assemble, checkout
from mesh.render.picture import PictureChecker
from mesh.wire.grids import Region


class Reads(Protocol):
    """Say whether a scene file looks like one of an adapter's, by what is in it; runs in a thread."""

    def __call__(self, scene: Path) -> bool:
        """Raises SceneUnreadable for what cannot be read at all."""
        ...


class Adapter(Protocol):
    """Render with one kind of program: what a renderer does that differs from one to the next."""

    async def probe(self, *, thorough: bool = False) -> Engines:
        """Find the engines, each proven; see `Renderer`."""
        ...

    def saved_by(self, scene: Path) -> SavedBy:
        """Read from a scene's first bytes which version it is for; runs in a thread. Raises SceneUnreadable."""
        ...

    async def inspect(self, scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
        """Read a scene without running its scripts; see `Renderer`."""
        ...

    async def warm(self, engine: Engine) -> None:
        """Hold an engine that waits for a scene, where that saves anything; see `Renderer`."""
        ...

    async def open_stage(self, engine: Engine, tree: Path, limits: StageLimits) -> Stage:
        """Load a checked-out tree's scene; see `Renderer`."""
        ...

    async def aclose(self) -> None:
        """End every process that this adapter started."""
        ...


class Renderers:
    """Dispatch to adapters, given by the names of their engines, in the order in which scenes are offered to them."""

    def __init__(self, adapters: Mapping[str, tuple[Adapter, Reads]]) -> None:
        self._adapters = {name: adapter for name, (adapter, _) in adapters.items()}
        self._reads = {name: reads for name, (_, reads) in adapters.items()}
        self._pictures = PictureChecker()

    async def probe(self, *, thorough: bool = False) -> Engines:
        """Find the engines of all, in the order of the adapters; see the port."""
        found = [await adapter.probe(thorough=thorough) for adapter in self._adapters.values()]
        return Engines(
            usable=tuple(engine for each in found for engine in each.usable),
            broken=tuple(engine for each in found for engine in each.broken),
        )

    def saved_by(self, scene: Path) -> SavedBy:
        """Read from a scene's first bytes which engine is for it. Raises SceneUnreadable."""
        return self._adapters[self._kind(scene)].saved_by(scene)

    async def inspect(self, scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
        """Read a scene with an engine of its kind; see the port."""
        kind = await trio.to_thread.run_sync(self._kind, scene)
        if kind != engine.name:
            raise SceneUnreadable(f"{scene.name} is a scene for {kind}, not for {engine.name}")
        return await self._of(engine).inspect(scene, frames, engine)

    def check_out(self, directory: Path, files: Iterable[CheckoutFile]) -> None:
        """Write a tree's files under a new private directory; see the port."""
        checkout.check_out(directory, files)

    def discard(self, directory: Path) -> None:
        """Remove a checked-out tree."""
        checkout.discard(directory)

    async def warm(self, engine: Engine) -> None:
        """Hold an engine that waits for a scene, where that saves anything; see the port."""
        await self._of(engine).warm(engine)

    async def open_stage(self, engine: Engine, tree: Path, limits: StageLimits) -> Stage:
        """Load a checked-out tree's scene; see the port."""
        return await self._of(engine).open_stage(engine, tree, limits)

    def assembly(self, width: int, height: int, region: Region) -> AbstractAsyncContextManager[Assembly]:
        """Begin a frame that is made of buckets; see the port."""
        return assemble.assembly(width, height, region)

    async def check_picture(self, picture: Path, output: Output) -> PictureReport:
        """Decode a finished frame and hold it against what the scene promised; see the port."""
        return await self._pictures.check(picture, output)

    async def pictures_alike(self, mine: Path, theirs: Path) -> bool:
        """Tell whether two files show the same frame; see the port."""
        return await self._pictures.alike(mine, theirs)

    async def aclose(self) -> None:
        """End every process that any of the adapters started."""
        with trio.CancelScope(shield=True):
            for adapter in self._adapters.values():
                await adapter.aclose()
            await self._pictures.aclose()

    def _of(self, engine: Engine) -> Adapter:
        try:
            return self._adapters[engine.name]
        except KeyError:
            raise EngineMissing(f"no adapter here renders with {engine.name}") from None

    def _kind(self, scene: Path) -> str:
        """Tell whose a scene is. Raises SceneUnreadable."""
        for name, reads in self._reads.items():
            if reads(scene):
                return name
        raise SceneUnreadable(f"{scene.name}: it is no scene of {' or '.join(self._adapters)}")
