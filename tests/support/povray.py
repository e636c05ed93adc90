"""Real scenes and the real program for tests of POV-Ray; what is not about one renderer is in `scenes`."""

import functools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mesh.ports.renderer import Engine, Stage, StageLimits
from mesh.render.povray import inspection, program, proving
from mesh.render.povray.adapter import PovrayAdapter
from mesh.render.renderers import Renderers
from tests.support import scenes
from tools import povray_scenes

PATIENCE_S = 240


@functools.cache
def engine() -> Engine:
    """Give the installed POV-Ray, proven, or skip the test with the remedy."""
    if program.installed() is None:
        pytest.skip(reason="POV-Ray is not installed: apt-get install povray")
    found = trio.run(proving.find, Path(tempfile.gettempdir()) / "meshnode-test-proofs", lambda _: None)
    assert not found.broken, found.broken
    return found.usable[0]


def timed(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test that starts POV-Ray: it may have to wait for a busy machine."""

    @functools.wraps(test)
    def run(**arguments: object) -> None:
        async def bounded() -> None:
            with trio.fail_after(PATIENCE_S):
                await test(**arguments)

        engine()
        trio.run(bounded)

    return run


def scene(name: str, directory: Path) -> Path:
    """Write one of the project's scenes and give its main file."""
    povray_scenes.make(directory, [name])
    return directory / name / f"{name}.pov"


@asynccontextmanager
async def renderer() -> AsyncIterator[Renderers]:
    """Give a renderer whose processes are all gone afterwards."""
    cache = Path(tempfile.gettempdir()) / "meshnode-test-proofs"
    made = Renderers({"povray": (PovrayAdapter(cache=cache), inspection.reads)})
    try:
        yield made
    finally:
        await made.aclose()


async def opened(
    made: Renderers, path: Path, tree: Path, limits: StageLimits | None = None, recipe: bytes | None = None
) -> Stage:
    """Inspect a scene, check it out into a new tree and open a stage on it."""
    found = await made.inspect(path, None, engine())
    made.check_out(tree, scenes.tree_files(found, recipe))
    return await made.open_stage(engine(), tree, limits or StageLimits(threads=1))
