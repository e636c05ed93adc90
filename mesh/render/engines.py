"""Find the renderers of this host and prove each by a tiny real render.

Theory: a renderer that is found may still not start (a library is missing) or abort in the middle (no graphics), so
each is proven in throw-away processes. A proof is remembered by the identity of the binary, so that a node's start
costs nothing; a failed one is tried again each time, since the remedy may have been applied meanwhile.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs
import trio

from mesh.ports.renderer import BrokenEngine, Engine, EngineBroken, Engines, RendererError
from mesh.render import install, proofs
from mesh.render.blender import session

CACHE_VARIABLE = "MESHNODE_CACHE"

_SILENCE_MS = 60_000
_ALSO_RENDERS = ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE", "BLENDER_WORKBENCH")

Say = Callable[[str], None]


def unsaid(_text: str) -> None:
    """Tell nobody."""


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Give the directory that engines and proofs are shared in by all peers of a user."""
    if chosen := environment.get(CACHE_VARIABLE):
        return Path(chosen).absolute()
    return platformdirs.user_cache_path("meshnode", appauthor=False)


async def find(cache: Path, *, thorough: bool, say: Say = unsaid) -> Engines:
    """Find and prove the engines, the embedded one first: their order is the preference. `say` hears of each proof."""
    usable: list[Engine] = []
    broken: list[BrokenEngine] = []
    for program, embedded in candidates(cache):
        try:
            usable.append(await proven(cache, program, embedded=embedded, thorough=thorough, say=say))
        except RendererError as error:
            broken.append(BrokenEngine(name="blender", program=program, reason=str(error)))
    return Engines(usable=tuple(usable), broken=tuple(broken))


def candidates(cache: Path) -> list[tuple[Path, bool]]:
    """List (program, whether it is the embedded Python with bpy) of all Blenders here."""
    found: list[tuple[Path, bool]] = []
    if (python := install.embedded_python(cache)) is not None:
        found.append((python, True))
    if (blender := shutil.which("blender")) is not None:
        found.append((Path(os.path.realpath(blender)), False))
    return found


async def proven(cache: Path, program: Path, *, embedded: bool, thorough: bool, say: Say = unsaid) -> Engine:
    """Give a proven engine, from memory if this very binary was proven before. Raises EngineBroken and its kin."""
    identity = _identity(program, embedded=embedded)
    remembered = proofs.remembered(cache).get(str(program))
    known = isinstance(remembered, dict) and remembered.get("identity") == identity
    if isinstance(remembered, dict) and known and (remembered.get("thorough") or not thorough):
        return _engine(program, remembered, embedded=embedded)
    say(f"trying out the Blender at {program} with a tiny render, once; this takes some seconds")
    proof = await _prove(program, embedded=embedded, thorough=thorough)
    proofs.remember(cache, str(program), {**proof, "identity": identity, "at_ms": round(time.time() * 1000)})
    return _engine(program, proof, embedded=embedded)


async def _prove(program: Path, *, embedded: bool, thorough: bool) -> dict[str, object]:
    """Render with each render engine in a process of its own; Cycles must work.

    The others need graphics and compile their shaders first: 40 s where a processor does a graphics card's work.
    """
    version, build = await _prove_one(program, "CYCLES", embedded=embedded)
    renders = ["CYCLES"]
    for name in _ALSO_RENDERS if thorough else ():
        try:
            await _prove_one(program, name, embedded=embedded)
        except RendererError:
            continue
        renders.append(name)
    return {"version": version, "build": build, "renders": renders, "thorough": thorough}


async def _prove_one(program: Path, render_engine: str, *, embedded: bool) -> tuple[str, str]:
    blender = await session.launch(program, embedded=embedded, name=str(program))
    try:
        picture = blender.child.private / "proof.png"
        await blender.ask(_SILENCE_MS, do="prove", engine=render_engine, file=str(picture))
    except RendererError as error:
        raise EngineBroken(f"{program} does not render with {render_engine}: {error}") from error
    finally:
        with trio.CancelScope(shield=True):
            await blender.child.aclose()
    version = ".".join(str(part) for part in blender.version)
    return version, session.build_name(blender.build, embedded=embedded)


def _identity(program: Path, *, embedded: bool) -> str:
    """Tell one binary from any later one under the same name."""
    binary = install.embedded_binary(program) if embedded else program
    try:
        status = binary.stat()
    except OSError as error:
        raise EngineBroken(f"{binary} cannot be read: {error.strerror}") from error
    return f"{binary}:{status.st_size}:{status.st_mtime_ns}"


def _engine(program: Path, proof: Mapping[str, object], *, embedded: bool) -> Engine:
    renders = proof.get("renders")
    return Engine(
        name="blender",
        version=str(proof.get("version")),
        build=str(proof.get("build")),
        program=program,
        embedded=embedded,
        renders=tuple(str(each) for each in renders) if isinstance(renders, list) else (),
    )
