#!/usr/bin/env python3
"""Run Python on a copy of the checkout whose core is compiled: `python tools/native.py -m sim speed`.

mypyc compiles the shipping sources, unchanged but for how their dataclasses are written (`tools/native_source.py`): all
of `mesh.core`, `mesh.wire` and `mesh.ground`, and what of the simulator runs at each event. The same seed leaves the
same trace, which CI checks; it takes half the time. What lives in classes that others inherit from at run time stays
interpreted: scenarios, mutants, small worlds, the shell.

The copy lies in the platform's cache under the hash of all that went into it, and is made when it is first asked for:
two minutes on two cores. Without arguments it is made and its folder printed. Needs a C compiler and Python's headers;
the exit code is 2 without them, with the remedy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import setup

if __name__ == "__main__":
    setup.enter(__file__)

from platformdirs import user_cache_path

from tools.native_source import native_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COPIED: Final = ("mesh", "sim", "tools")
NATIVE_FOLDERS: Final = ("mesh/core", "mesh/wire", "mesh/ground")
SHELLS_WIRE: Final = (
    *("beacon", "bulk", "calls", "cipher", "datagram", "greeting", "halfopen", "handshake", "invites", "noise"),
    *("pairs", "signing"),
)
"""Modules of the wire that only shells speak; they copy themselves in ways that compiled objects do not know."""

NATIVE_SIM: Final = (
    *("assemblies", "books", "bucketrows", "cancels", "clock", "crowd", "crowd_costs", "crowd_net", "delays", "dht"),
    *("disk", "draws", "eclipse", "economy"),
    *("epochs", "fair", "faults", "host", "liveness", "looks", "memberrows", "model", "net", "parcels", "people"),
    *("percentile", "probes", "reach", "render", "returns", "safety", "secrets", "sharing", "shelf", "stalls"),
    *("stills", "storerows", "trace", "trust", "versions", "views", "violation", "world"),
)
"""Modules of the simulator that run at each event and that nothing inherits from at run time."""

KEPT: Final = 3
"""Copies in the cache: this checkout's, the one before it, and one of another checkout."""

GIVEN_UP_S: Final = 24 * 3600
"""What is still being made after so long was given up."""


_LIBRARY: Final = sysconfig.get_config_var("EXT_SUFFIX")


def native_modules(root: Path) -> list[Path]:
    """List the sources that are compiled, relative to a checkout."""
    found = [path.relative_to(root) for folder in NATIVE_FOLDERS for path in (root / folder).rglob("*.py")]
    found = [path for path in found if path.parent != Path("mesh/wire") or path.stem not in SHELLS_WIRE]
    return sorted([*found, *(Path("sim", f"{name}.py") for name in NATIVE_SIM)])


def lacking() -> setup.SetupError | None:
    """Return what this machine lacks to compile, with the remedy; nothing where it lacks nothing."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return setup.SetupError(f"There is no C compiler, {compiler}.", "apt-get install -y gcc, or your system's own")
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").exists():
        return setup.SetupError(f"There are no headers of Python in {headers}.", "apt-get install -y python3-dev")
    return None


def copy_of(root: Path) -> Path:
    """Return the folder of the compiled copy of a checkout, which is made where it is not there yet.

    Raises `SetupError` where something is missing that the compiler needs, or where it refuses a source.
    """
    cache = user_cache_path("meshnode") / "native"
    folder = cache / _key(root)
    if folder.exists():
        os.utime(folder)  # the oldest go first
        return folder
    if lack := lacking():
        raise lack
    cache.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    try:
        _make(root, making)
        making.chmod(0o755)
        try:
            making.rename(folder)
        except OSError:
            if not folder.exists():  # whoever was faster has made the same
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    for old in sorted(cache.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    for left in cache.glob("making-*"):
        if time.time() - left.stat().st_mtime > GIVEN_UP_S:
            shutil.rmtree(left, ignore_errors=True)
    return folder


def environment(root: Path = setup.ROOT) -> dict[str, str]:
    """Return what makes `python -P` run the compiled copy of a checkout. Raises `SetupError`."""
    return {"PYTHONPATH": str(copy_of(root))}


def _sources(root: Path) -> Iterator[Path]:
    for folder in COPIED:
        yield from sorted(
            path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )


def _key(root: Path) -> str:
    parts = [
        sys.version,
        sysconfig.get_platform(),
        version("mypy"),
        (root / "pyproject.toml").read_text("utf-8"),
    ]
    hashed = hashlib.sha256("\0".join(parts).encode())
    for path in _sources(root):
        hashed.update(f"\0{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()[:32]


def _make(root: Path, folder: Path) -> None:
    print(f"compiling the core into {folder.parent}: two minutes on two cores", file=sys.stderr, flush=True)
    for path in _sources(root):
        copied = folder / path.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copied)
    modules = native_modules(root)
    for module in modules:
        (folder / module).write_text(native_source((root / module).read_text("utf-8")), "utf-8")
    (folder / "modules.txt").write_text("\n".join(map(str, modules)), "utf-8")
    # In a folder of its own: where it is built, it would be setuptools' to read.
    (folder / "mypy").mkdir()
    shutil.copy2(root / "pyproject.toml", folder / "mypy" / "pyproject.toml")
    command = [sys.executable, "tools/native_build.py", "build_ext", "--inplace"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        log = folder.parent / "failed.log"
        log.write_text(built.stdout + built.stderr, "utf-8")
        raise setup.SetupError(
            "The core could not be compiled.", f"read {log}; without it all runs interpreted, slower"
        )
    # Without its library a module would run interpreted, and nobody would notice.
    bare = [str(module) for module in modules if not (folder / module.with_suffix(_LIBRARY)).exists()]
    assert not bare, f"not compiled: {bare}"
    for passing in ("build", "mypy", ".mypy_cache"):
        shutil.rmtree(folder / passing, ignore_errors=True)
    for module in modules:
        # What runs is the compiled one; tracebacks show the lines of this.
        shutil.copy2(root / module, folder / module)


def main(arguments: Sequence[str]) -> int:
    """Run Python on the compiled copy; return its exit code, 2 where there can be no copy."""
    if arguments and arguments[0] not in {"-m", "-c"}:
        # A script by its path would import what lies beside it, and run interpreted.
        print(f"say a module, not {arguments[0]}: python tools/native.py -m sim speed", file=sys.stderr)
        return 2
    try:
        added = environment()
    except setup.SetupError as error:
        print(error, file=sys.stderr)
        return 2
    if not arguments:
        print(added["PYTHONPATH"])
        return 0
    # -P: the folder that one stands in, which mostly is the checkout, does not come before the copy.
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, env={**os.environ, **added}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
