"""Know the installed program: where its includes lie, which exact build it is.

Theory: two hosts render alike if they have the same program and the same standard includes, which are parts of many
scenes. So a build is named by a hash over both.
"""

import hashlib
import os
import shutil
from pathlib import Path

from mesh.ports.renderer import EngineBroken

TITLE = "POV-Ray"

_COMMAND = "povray"
_BUILD_CHARACTERS = 12


def installed() -> Path | None:
    """Find the program on the path."""
    found = shutil.which(_COMMAND)
    return None if found is None else Path(os.path.realpath(found))


def includes(program: Path) -> Path | None:
    """Find the directory of the program's standard includes; None: they are not installed."""
    share = program.parent.parent / "share"
    found = sorted(path for path in share.glob("povray-*/include") if path.is_dir())
    return found[-1] if found else None


def build(program: Path) -> str:
    """Name the very build by its bytes and those of its includes; blocks. Raises EngineBroken."""
    digest = hashlib.sha256()
    directory = includes(program)
    parts = sorted(path for path in directory.rglob("*") if path.is_file()) if directory is not None else []
    try:
        for path in (program, *parts):
            with open(path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise EngineBroken(f"{program} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:_BUILD_CHARACTERS]


def identity(program: Path) -> str:
    """Tell one program and its includes from any later ones, without reading them. Raises EngineBroken."""
    try:
        own, directory = program.stat(), includes(program)
        found = [directory, *directory.rglob("*")] if directory is not None else []
        # A link that leads nowhere is no part of the build.
        times = [path.stat().st_mtime_ns for path in found if path.exists()]
    except OSError as error:
        raise EngineBroken(f"{program} cannot be read: {error.strerror}") from error
    return f"{program}:{own.st_size}:{own.st_mtime_ns}:{len(times)}:{max(times, default=0)}"
