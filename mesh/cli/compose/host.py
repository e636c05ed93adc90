"""Looking at this host for `meshnode doctor`: facts, never judgements, and nothing is changed.

What cannot be looked at is told as such; no look takes more than a few seconds, needs more rights than the user has, or
starts a program.
"""

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mesh.cli import firewall
from mesh.cli.checks import HostFacts
from mesh.cli.compose import is_member
from mesh.ground.errors import MeshError
from mesh.render import install
from mesh.render.engines import cache_directory
from mesh.render.proofs import proven_at_ms
from mesh.store import posix
from mesh.store.home import read_settings

CONNECT_S: Final = 2.0
"""Until a port of this very host has answered, even on a busy one."""

_WRITTEN: Final = b"doctor" * 700
_UNLIMITED: Final = 1 << 20


def examine(home: Path) -> HostFacts:
    """Gather what can be seen of this host without its peer."""
    return HostFacts(
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        program=os.path.realpath(sys.executable),
        home=str(home),
        member=is_member(home),
        free_bytes=shutil.disk_usage(_nearest(home)).free,
        write_error=write_error(home),
        settings_error=settings_error(home),
        open_files=_open_files(),
        firewall=firewall.look(sys.platform),
        missing_packages=tuple(install.missing_packages()),
        proven_at_ms=proven_at_ms(cache_directory(os.environ)),
    )


def write_error(home: Path) -> str:
    """Write, synchronise and remove a file in the home, or where it would be made; return what went wrong, if so."""
    try:
        if (there := posix.nearest(home)) is not None and not there.is_dir():
            return posix.NO_DIRECTORY
        with tempfile.TemporaryFile(dir=_nearest(home), prefix=".doctor-") as file:
            file.write(_WRITTEN)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def settings_error(home: Path) -> str:
    """Return why a peer would not start with the settings that lie in its home; empty: it would."""
    try:
        read_settings(home)
    except (MeshError, OSError) as error:
        return str(error)
    return ""


def _nearest(path: Path) -> Path:
    """Return the directory itself, or the nearest one above it that exists."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _open_files() -> int:
    """Return how many files a process of this user may have open."""
    with suppress(ImportError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return soft if soft != resource.RLIM_INFINITY else _UNLIMITED
    return _UNLIMITED


def answers(addresses: Iterable[str]) -> dict[str, str]:
    """Connect to each `HOST:PORT` of this host's own peer; return why it does not answer, empty where it does."""
    return {address: _connect_error(address) for address in addresses}


def _connect_error(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""
