"""Render with POV-Ray: the renderer port's adapter for a program that starts anew for every picture.

Invariants: a scene is read here before POV-Ray sees it, at the submitter's and again wherever it is rendered. The
artist's own files are only read. Must not know jobs, claims or blobs.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from mesh.ports.assembly import Assembly
from mesh.ports.renderer import (
    CheckoutFile,
    Engine,
    Engines,
    Inspection,
    Output,
    PathLeavesTree,
    PictureReport,
    Refusal,
    SavedBy,
    SceneRefused,
    SceneUnreadable,
    StageLimits,
)
from mesh.render import assemble, checkout, engines, process
from mesh.render.picture import PictureChecker
from mesh.render.povray import files, inspection, program, proving, recipe, stages
from mesh.render.povray.files import Places
from mesh.render.povray.stages import PovrayStage, Scene
from mesh.wire.grids import Region

_TRY_SILENCE_MS = 120_000
_ONE_PIXEL = ["Start_Column=1", "End_Column=1", "Start_Row=1", "End_Row=1", "Quality=0"]


class PovrayRenderer:
    """Be a peer's renderer. All its async methods run in the thread that runs trio."""

    def __init__(self, *, cache: Path, say: engines.Say = engines.unsaid) -> None:
        """Keep proofs in `cache`; `say` hears of what takes a person's time."""
        self._cache = cache
        self._say = say
        self._stages: set[PovrayStage] = set()
        self._pictures = PictureChecker()

    async def probe(self, *, thorough: bool = False) -> Engines:  # noqa: ARG002 - the port's
        """Find the program, proven by a tiny real render; there is no more to prove when `thorough`."""
        await trio.to_thread.run_sync(process.sweep)
        return await proving.find(self._cache, self._say)

    def saved_by(self, scene: Path) -> SavedBy:
        """Read from a scene which version of the language it is written in. Raises SceneUnreadable."""
        return inspection.saved_by(scene)

    async def inspect(self, scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
        """Read a scene, and let POV-Ray read it as well where nothing speaks against it; see the port."""
        scene = _absolute(scene)
        found = await trio.to_thread.run_sync(inspection.inspect, scene, frames, engine)
        if not found.refusals and not found.missing:
            await _try(found, scene)
        return found

    def check_out(self, directory: Path, files: Iterable[CheckoutFile]) -> None:
        """Write a tree's files under a new private directory; see the port."""
        checkout.check_out(directory, files)

    def discard(self, directory: Path) -> None:
        """Remove a checked-out tree."""
        checkout.discard(directory)

    async def warm(self, engine: Engine) -> None:  # noqa: ARG002 - the port's
        """Do nothing: POV-Ray starts anew for every picture."""
        await trio.lowlevel.checkpoint()

    async def open_stage(self, engine: Engine, tree: Path, limits: StageLimits) -> PovrayStage:
        """Read a checked-out tree's scene; see the port."""
        tree = _absolute(tree)
        found = await trio.to_thread.run_sync(_read_tree, tree, engine)
        stage = PovrayStage(engine=engine, tree=tree, recipe=found, limits=limits)
        self._stages = {each for each in self._stages if not each.closed} | {stage}
        await stage.open()
        return stage

    def assembly(self, width: int, height: int, region: Region) -> AbstractAsyncContextManager[Assembly]:
        """Begin a frame that is made of buckets; see the port."""
        return assemble.assembly(width, height, region)

    async def check_picture(self, picture: Path, output: Output) -> PictureReport:
        """Decode a finished frame and hold it against what the scene promised; see the port."""
        return await self._pictures.check(picture, output)

    async def aclose(self) -> None:
        """End every process that this renderer started."""
        with trio.CancelScope(shield=True):
            for stage in self._stages:
                await stage.aclose()
            await self._pictures.aclose()


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
