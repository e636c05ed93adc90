"""Find the installed POV-Ray and prove it by a tiny real render, and that it can be kept inside a scene's files."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from mesh.ports.renderer import (
    BrokenEngine,
    Engine,
    EngineBroken,
    Engines,
    FrameFailed,
    Output,
    RendererError,
    StageLimits,
)
from mesh.render import proofs
from mesh.render.picture import PictureChecker
from mesh.render.povray import confine, program, stages
from mesh.render.povray.recipe import RENDERER, Recipe
from mesh.render.session import Session

_SILENCE_MS = 60_000
_SIDE = 16
_LIT = """#version 3.7;
global_settings { assumed_gamma 1.0 }
camera { location <0, 0, -3> look_at 0 }
light_source { <4, 5, -6> rgb 1 }
sphere { 0, 1 pigment { rgb <1, 0.5, 0.2> } }
"""
_OUTSIDE = "outside.txt"
_PRYING = '#version 3.7;\n#fopen Outside "{path}" read\n' + _LIT
"""A scene that reads what is not its own."""

Say = Callable[[str], None]


async def find(cache: Path, say: Say) -> Engines:
    """Find and prove the program that is on the path."""
    if (found := program.installed()) is None:
        return Engines()
    try:
        return Engines(usable=(await proven(cache, found, say),))
    except RendererError as error:
        return Engines(broken=(BrokenEngine(name=RENDERER, program=found, reason=str(error)),))


async def proven(cache: Path, found: Path, say: Say) -> Engine:
    """Give a proven engine, from memory if this very program was proven before. Raises EngineBroken and its kin."""
    identity = await trio.to_thread.run_sync(program.identity, found)
    remembered = proofs.remembered(cache).get(str(found))
    if isinstance(remembered, dict) and remembered.get("identity") == identity:
        return _engine(found, remembered)
    say(f"trying out the {program.TITLE} at {found} with a tiny render, once; this takes some seconds")
    version = await _prove(found)
    build = await trio.to_thread.run_sync(program.build, found)
    proof = {"version": version, "build": build}
    proofs.remember(cache, str(found), {**proof, "identity": identity, "at_ms": round(time.time() * 1000)})
    return _engine(found, proof)


async def _prove(found: Path) -> str:
    """Render a lit ball, and fail to render what reads a file outside; give the program's version."""
    session = await stages.launch(found)
    pictures = PictureChecker()
    try:
        version = await _render(session, found, _LIT)
        output = Output(format="PNG", width=_SIDE, height=_SIDE, color_mode="RGB", depth=8)
        if (await pictures.check(session.child.private / "proof.png", output)).constant:
            raise EngineBroken(f"{found}: the picture of the test scene is empty")
        outside = _outside(session.child.private, found)
        try:
            await _render(session, found, _PRYING.replace("{path}", str(outside)))
        except FrameFailed as error:
            if _OUTSIDE in str(error):
                return version
            raise
    except RendererError as error:
        raise EngineBroken(f"{found} does not render: {error}") from error
    finally:
        with trio.CancelScope(shield=True):
            await session.child.aclose()
            await pictures.aclose()
    raise EngineBroken(f"{found} reads files outside of its scene, though the system was asked to prevent it")


def _outside(private: Path, found: Path) -> Path:
    """Write a file that everybody may read, but no scene: beside the one's tree. Raises EngineBroken."""
    path = private.resolve() / _OUTSIDE
    includes = program.includes(found)
    allowed = [*map(Path, confine.SYSTEM), *([] if includes is None else [includes.parent])]
    if under := next((each for each in allowed if path.is_relative_to(each.resolve())), None):
        raise EngineBroken(f"temporary files lie below {under}, which every scene may read: set TMPDIR to elsewhere")
    path.write_bytes(b"1\n")
    return path


async def _render(session: Session, found: Path, scene: str) -> str:
    private = session.child.private
    (private / "tree").mkdir(exist_ok=True)
    (private / "tree" / "proof.pov").write_text(scene, encoding="ascii")
    settings = {"Width": str(_SIDE), "Height": str(_SIDE), "Output_File_Type": "N", "Bits_Per_Color": "8"}
    recipe = Recipe(main="proof.pov", prefix="proof", libraries=0, headers=(), settings=settings, declares={})
    opened = stages.Scene(program=found, directory=private / "tree", recipe=recipe, libraries=())
    await stages.open_scene(session, opened, StageLimits(silence_ms=_SILENCE_MS))
    answer = await session.ask(
        _SILENCE_MS,
        do="render",
        arguments=[],
        crop=None,
        size=[_SIDE, _SIDE],
        directory=str(private),
        temporary=str(private / "tree"),
        name="proof.png",
    )
    version = str(answer.get("version", ""))
    if not version:
        raise EngineBroken(f"{found} does not tell its version")
    return version


def _engine(found: Path, proof: Mapping[str, object]) -> Engine:
    return Engine(
        name=RENDERER,
        version=str(proof.get("version")),
        build=str(proof.get("build")),
        program=found,
        embedded=False,
        renders=(program.TITLE,),
    )
