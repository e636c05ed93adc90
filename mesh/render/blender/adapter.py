"""Render with Blender, an installed one or the embedded `bpy`, through one stage script: one of a peer's adapters.

Invariants: a scene's header is read before any engine sees the scene. The artist's own files are only read. Every
process started here ends with `aclose`, and by itself when this process is gone. Must not know jobs, claims or blobs.
"""

from collections.abc import Sequence
from pathlib import Path

import trio

from mesh.ports.renderer import (
    Engine,
    Engines,
    Inspection,
    PathLeavesTree,
    SavedBy,
    StageLimits,
)
from mesh.render import checkout, engines, process
from mesh.render.blender import inspection, paths, recipe, session
from mesh.render.blender.stages import BlenderStage
from mesh.render.session import Session

_INSPECT_SILENCE_MS = 120_000


class BlenderAdapter:
    """Render with Blender. All its async methods run in the thread that runs trio."""

    def __init__(self, *, cache: Path, say: engines.Say = engines.unsaid) -> None:
        """Keep engines and proofs in `cache`; `say` hears of what takes a person's time."""
        self._cache = cache
        self._say = say
        self._waiting: dict[str, _Waiting] = {}
        self._stages: set[BlenderStage] = set()

    async def probe(self, *, thorough: bool = False) -> Engines:
        """Find the engines, each proven by a tiny real render; see `Adapter`."""
        await trio.to_thread.run_sync(process.sweep)
        return await engines.find(self._cache, thorough=thorough, say=self._say)

    def saved_by(self, scene: Path) -> SavedBy:
        """Read from a scene's header alone which version saved it. Raises SceneUnreadable."""
        return SavedBy(engine="blender", version=inspection.read_header(scene).version)

    async def inspect(self, scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
        """Read a scene without running its scripts; see `Adapter`."""
        scene = _absolute(scene)
        closure = await trio.to_thread.run_sync(inspection.read_closure, scene, engine)
        # A process of its own: the one that waits is for the stage, which is opened soon after.
        blender = await _launch(engine)
        try:
            facts = await blender.ask(
                _INSPECT_SILENCE_MS,
                do="inspect",
                scene=str(scene),
                frames=[[run.start, run.stop, run.step] for run in frames] if frames is not None else None,
                engines=dict(closure.engines),
            )
        finally:
            with trio.CancelScope(shield=True):
                await blender.child.aclose()
        return inspection.assemble(scene, engine, closure, facts, blender.log(0))

    async def warm(self, engine: Engine) -> None:
        """Hold one process of an engine that waits for a scene; see `Adapter`."""
        if engine.key in self._waiting:
            return
        waiting = self._waiting[engine.key] = _Waiting()
        try:
            waiting.session = await _launch(engine)
            waiting.ready.set()
            await waiting.taken.wait()
        finally:
            if not waiting.taken.is_set():
                del self._waiting[engine.key]
                unused, waiting.session = waiting.session, None
                waiting.ready.set()
                if unused is not None:
                    await unused.child.aclose()

    async def open_stage(self, engine: Engine, tree: Path, limits: StageLimits) -> BlenderStage:
        """Load a checked-out tree's scene; see `Adapter`."""
        tree = _absolute(tree)
        found = await trio.to_thread.run_sync(_read_tree, tree, engine)
        stage = BlenderStage(engine=engine, tree=tree, recipe=found, limits=limits, launch=lambda: self._take(engine))
        self._stages = {each for each in self._stages if not each.closed} | {stage}
        await stage.open()
        return stage

    async def aclose(self) -> None:
        """End every process that this adapter started."""
        with trio.CancelScope(shield=True):
            for stage in self._stages:
                await stage.aclose()
            for waiting in self._waiting.values():
                if waiting.session is not None:
                    await waiting.session.child.aclose()

    async def _take(self, engine: Engine) -> Session:
        """Take the process of an engine that waits for a scene, or is about to, if there is one; else start one."""
        waiting = self._waiting.get(engine.key)
        if waiting is not None and not waiting.promised:
            waiting.promised = True
            try:
                await waiting.ready.wait()
            finally:
                waiting.promised = False
            if waiting.session is not None:
                del self._waiting[engine.key]
                waiting.taken.set()
                if waiting.session.child.is_alive():
                    return waiting.session
                await waiting.session.child.aclose()
        return await _launch(engine)


class _Waiting:
    """A process that waits for a scene, or is being started; it belongs to `warm` until it is taken."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.promised = False
        self.ready = trio.Event()
        self.taken = trio.Event()


async def _launch(engine: Engine) -> Session:
    return await session.launch(engine.program, embedded=engine.embedded, name=session.title(engine))


def _absolute(path: Path) -> Path:
    return path.absolute()


def _read_tree(tree: Path, engine: Engine) -> recipe.Recipe:
    """Read a tree's recipe, and its scene's header before Blender does. Raises SceneUnreadable, EngineTooOld."""
    found = recipe.parse(checkout.read_recipe(tree, recipe.RECIPE_MAX_BYTES))
    try:
        main = Path(paths.inside(str(tree), found.main))
    except paths.LeavesTree as error:
        raise PathLeavesTree(str(error)) from error
    inspection.refuse_newer(main.name, inspection.read_header(main), engine)
    return found
