"""Start Blender processes and talk with them, and name their builds."""

import platform
import re
import sys
from pathlib import Path

from mesh.ports.renderer import Engine
from mesh.render import process
from mesh.render.channel import Message
from mesh.render.session import Session

_STAGE = Path(__file__).with_name("stage.py")
_SAMPLE = re.compile(r"Sample (\d{1,9})/(\d{1,9})")


async def launch(program: Path, *, embedded: bool, name: str) -> Session:
    """Start a Blender process and wait for its hello. Raises EngineBroken."""
    session = Session(process.start(command_line(program, embedded=embedded)), name, printed_progress)
    try:
        await session.hello()
    except BaseException:
        await session.child.aclose()
        raise
    return session


def command_line(program: Path, *, embedded: bool) -> list[str]:
    """Give what starts a stage, to which the number of its socket is added."""
    if embedded:
        return [str(program), "-I", str(_STAGE), "--"]
    options = ["-b", "--factory-startup", "--disable-autoexec", "-noaudio", "--python-exit-code", "70"]
    return [str(program), *options, "--python", str(_STAGE), "--"]


def build_name(build: str, *, embedded: bool) -> str:
    """Name a build: its commit, and what else makes pictures differ between two builds of it."""
    return ".".join([build, sys.platform, platform.machine(), "bpy" if embedded else "app"])


def printed_progress(log: str) -> Message | None:
    """Read the last progress that Blender printed; old ones print it and tell the stage's handler nothing."""
    line = next((line for line in reversed(log.splitlines()) if line.startswith("Fra:")), None)
    if line is None:
        return None
    sample, samples = (int(number) for number in match.groups()) if (match := _SAMPLE.search(line)) else (0, 0)
    return {"is": "progress", "sample": sample, "samples": samples, "text": line}


def title(engine: Engine) -> str:
    """Name an engine as people do."""
    return f"Blender {engine.version}"
