"""Real scenes and a real engine for tests: made once per process, checked out as a node would."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import OpenImageIO
import pytest
import trio

from mesh.ports.renderer import (
    RECIPE_NAME,
    CheckoutFile,
    Engine,
    Inspection,
    Progress,
    Rendered,
    RenderTask,
    Stage,
    StageLimits,
)
from mesh.render import engines, install
from mesh.render.blender.adapter import BlenderAdapter
from mesh.render.installed import reads_blend
from mesh.render.renderers import Renderers
from tools import scenes, still_scenes

Result = TypeVar("Result")

ROOT = Path(__file__).resolve().parents[2]
CACHE = engines.cache_directory(os.environ)


@functools.cache
def python() -> Path:
    """Give the embedded engine's Python, or skip the test with the remedy."""
    found = install.embedded_python(CACHE)
    if found is None:
        pytest.skip(reason="the embedded engine is not installed: meshnode engine install blender")
    return found


@functools.cache
def engine() -> Engine:
    """Give the embedded engine, proven."""
    python()
    return trio.run(functools.partial(engines.find, CACHE, thorough=False)).usable[0]


def run(main: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
    """Run an async test with an engine at hand; engines start from the main thread, before trio does."""
    engine()
    return trio.run(main, *arguments)


@functools.cache
def directory() -> Path:
    """Give the directory of what all tests of a process share."""
    made = Path(tempfile.mkdtemp(prefix="meshnode-scenes-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def scene(name: str) -> Path:
    """Give one of the project's scenes, for reading only."""
    if name in still_scenes.SCENES:
        scenes.make(python(), directory(), [name])
    else:
        _make_small()
    return directory() / name / f"{name}.blend"


@functools.cache
def _make_small() -> None:
    """Make all scenes but the real stills at once: Blender takes longer to start than to make one."""
    scenes.make(python(), directory(), [name for name in scenes.SCENES if name not in still_scenes.SCENES])


def own_scene(name: str, directory: Path) -> Path:
    """Give a scene that the test may change."""
    shutil.copytree(scene(name).parent, directory / name)
    return directory / name / f"{name}.blend"


@functools.cache
def reference(name: str, first: int, last: int) -> Path:
    """Give the directory of reference frames, under their own names."""
    prefix = directory() / f"{name}-{first}-{last}" / "frame_"
    script = Path(__file__).with_name("reference.py")
    command = [python(), "-I", script, scene(name), prefix, str(first), str(last)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return prefix.parent


def pixels(picture: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Give a picture's pixels as floats, bit for bit where it holds floats."""
    read = OpenImageIO.ImageBuf(str(picture)).get_pixels(OpenImageIO.FLOAT)
    assert read is not None, picture
    return np.asarray(read)


def changed_part(left: Path, right: Path) -> float:
    """Give the part of the pixels that differ between two pictures, in any channel, in any bit."""
    one, other = pixels(left), pixels(right)
    assert one.shape == other.shape
    return float((one.view(np.uint32) != other.view(np.uint32)).any(axis=2).mean())


@asynccontextmanager
async def renderer():  # type: ignore[no-untyped-def]
    """Give a renderer whose processes are all gone afterwards."""
    made = Renderers({"blender": (BlenderAdapter(cache=CACHE), reads_blend)})
    try:
        yield made
    finally:
        await made.aclose()


def tree_files(inspection: Inspection, recipe: bytes | None = None) -> Iterator[CheckoutFile]:
    """Yield the files of a scene's tree, with its own recipe or another."""
    for file in inspection.files:
        data = file.path.read_bytes()
        yield CheckoutFile(name=file.name, size=len(data), blocks=[data])
    data = inspection.recipe if recipe is None else recipe
    yield CheckoutFile(name=RECIPE_NAME, size=len(data), blocks=[data])


async def opened(made: Renderers, path: Path, tree: Path, limits: StageLimits | None = None) -> Stage:
    """Inspect a scene, check it out into a new tree and open a stage on it."""
    inspection = await made.inspect(path, None, engine())
    made.check_out(tree, tree_files(inspection))
    return await made.open_stage(engine(), tree, limits or StageLimits(threads=2))


async def rendered(stage: Stage, frame: int, directory: Path) -> Rendered:
    """Render one frame and ask nothing of its progress."""
    return await stage.render(RenderTask(frame=frame, directory=directory), ignore)


def ignore(_: Progress) -> None:
    """Hear nothing."""


def is_alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def as_json(document: object) -> bytes:
    """Write a recipe of the test's own."""
    return json.dumps(document).encode()
