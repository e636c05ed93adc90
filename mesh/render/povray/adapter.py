"""Render with POV-Ray: an adapter for a program that starts anew for every picture.

Invariants: a scene is read here before POV-Ray sees it, at the submitter's and again wherever it is rendered. The
artist's own files are only read. Must not know jobs, claims or blobs.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import trio

from mesh.ports.renderer import (
    Engine,
    Engines,
    Inspection,
    PathLeavesTree,
    Refusal,
    SavedBy,
    SceneRefused,
    SceneUnreadable,
    StageLimits,
)
from mesh.render import checkout, engines, process
from mesh.render.povray import files, inspection, program, proving, recipe, stages
from mesh.render.povray.files import Places
from mesh.render.povray.stages import PovrayStage, Scene

_TRY_SILENCE_MS = 120_000
_ONE_PIXEL = ["Start_Column=1", "End_Column=1", "Start_Row=1", "End_Row=1", "Quality=0"]


class PovrayAdapter:
    """Render with POV-Ray. All its async methods run in the thread that runs trio."""

    def __init__(self, *, cache: Path, say: engines.Say = engines.unsaid) -> None:
        """Keep proofs in `cache`; `say` hears of what takes a person's time."""
        self._cache = cache
        self._say = say
        self._stages: set[PovrayStage] = set()

    async def probe(self, *, thorough: bool = False) -> Engines:  # noqa: ARG002 - every adapter's
        """Find the program, proven by a tiny real render; there is no more to prove when `thorough`."""
        await trio.to_thread.run_sync(process.sweep)
        return await proving.find(self._cache, self._say)

    def saved_by(self, scene: Path) -> SavedBy:
        """Read from a scene which version of the language it is written in. Raises SceneUnreadable."""
        return inspection.saved_by(scene)

    async def inspect(self, scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
        """Read a scene, and let POV-Ray read it as well where nothing speaks against it; see `Adapter`."""
        scene = _absolute(scene)
        found = await trio.to_thread.run_sync(inspection.inspect, scene, frames, engine)
        if not found.refusals and not found.missing:
            await _try(found, scene)
        return found

    async def warm(self, engine: Engine) -> None:  # noqa: ARG002 - every adapter's
        """Do nothing: POV-Ray starts anew for every picture."""
        await trio.lowlevel.checkpoint()

    async def open_stage(self, engine: Engine, tree: Path, limits: StageLimits) -> PovrayStage:
        """Read a checked-out tree's scene; see `Adapter`."""
        tree = _absolute(tree)
        found = await trio.to_thread.run_sync(_read_tree, tree, engine)
        stage = PovrayStage(engine=engine, tree=tree, recipe=found, limits=limits)
        self._stages = {each for each in self._stages if not each.closed} | {stage}
        await stage.open()
        return stage

    async def aclose(self) -> None:
        """End every process that this adapter started."""
        with trio.CancelScope(shield=True):
            for stage in self._stages:
                await stage.aclose()


async def _try(found: Inspection, scene: Path) -> None:
    """Let POV-Ray parse a scene where it lies, so that its artist hears of mistakes before anybody else."""
    own = await trio.to_thread.run_sync(_own_place, found, scene)
    if own is None:
        return
    session = await stages.launch(found.engine.program)
    try:
        await stages.open_scene(session, own, StageLimits())
        arguments = [*stages.frame_arguments(own.recipe.settings, found.first_frame), *_ONE_PIXEL]
        await session.ask(_TRY_SILENCE_MS, do="try", arguments=arguments)
    finally:
        with trio.CancelScope(shield=True):
            await session.child.aclose()


def _own_place(found: Inspection, scene: Path) -> Scene | None:
    """Give a scene where its artist has it; None: its name would have to be quoted, in a tree it has another."""
    source, written = inspection.locate(scene), recipe.parse(found.recipe)
    if written.main != source.main:
        return None
    return Scene(
        program=found.engine.program,
        directory=source.directory,
        recipe=written,
        libraries=tuple(map(str, inspection.libraries(source))),
        # What links lead to has to be named itself.
        also=tuple(os.path.realpath(file.path) for file in found.files),
    )


def _absolute(path: Path) -> Path:
    return path.absolute()


def _read_tree(tree: Path, engine: Engine) -> recipe.Recipe:
    """Read a tree's recipe, and all that its scene opens. Raises SceneUnreadable, SceneRefused, PathLeavesTree."""
    found = recipe.parse(checkout.read_recipe(tree, recipe.RECIPE_MAX_BYTES))
    if not (tree / found.main).is_file():
        raise SceneUnreadable(f"{found.main} is not there")
    places = Places(
        directory=tree,
        libraries=tuple(tree / name for name in found.library_names),
        includes=program.includes(engine.program),
    )
    opened = files.closure(found.main, found.headers, places)
    if opened.outside:
        raise PathLeavesTree("; ".join(refusal.text for refusal in opened.outside))
    missing = [
        Refusal(code="missing-file", subject=name, text=f"{name} is missing")
        for name in opened.missing
        if name not in found.absent
    ]
    if opened.refusals or missing:
        raise SceneRefused([*opened.refusals, *missing])
    return found
