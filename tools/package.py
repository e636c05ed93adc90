#!/usr/bin/env python3
"""Build the wheel, look inside it, and try it in an empty environment from an empty directory.

What works in a checkout may be missing from what people install: a data file, a dependency that only the developer's
tools brought, a module that imports the simulator. So the wheel is installed with its own dependencies alone, every
module of it is imported there, and the command is started.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import setup

if __name__ == "__main__":
    setup.enter(__file__)

from tools.sources import Problem, files, imports, module_name, parse

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable, Sequence

ROOT = setup.ROOT
# Runs in the empty environment: imports all that the wheel holds but what belongs into Blender's Python.
TRIAL = """
import importlib, pathlib, sys
import mesh
root = pathlib.Path(mesh.__file__).parent
assert (root / "py.typed").is_file(), "py.typed is missing: the types are lost"
assert not root.is_relative_to(sys.argv[1]), f"{root} is the checkout, not the wheel"
for name in sys.argv[2:]:
    importlib.import_module(name)
for name in ("sim", "tools", "tests"):
    assert importlib.util.find_spec(name) is None, f"{name} was installed too"
"""


class PackageError(Exception):
    """The wheel is not what people should get; the text says why."""


def expected_files(root: Path) -> set[str]:
    """List what the wheel must hold of the package: all that the checkout has of it."""
    kept = (path for path in (root / "mesh").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix() for path in kept}


def check_contents(names: Iterable[str], expected: set[str]) -> None:
    """Raise PackageError unless the wheel holds the whole package, its licence and its command, and nothing else."""
    held = set(names)
    about = {name for name in held if ".dist-info/" in name}
    for end in ("/licenses/LICENSE", "/entry_points.txt", "/METADATA"):
        if not any(name.endswith(".dist-info" + end) for name in about):
            raise PackageError(f"the wheel lacks {end[1:]}")
    if missing := expected - held:
        raise PackageError(f"the wheel lacks {sorted(missing)}")
    if strange := held - about - expected:
        raise PackageError(f"the wheel holds what does not belong there: {sorted(strange)}")


def importable(root: Path) -> list[str]:
    """List the modules that must import on a machine without Blender: all but those that run inside it."""
    needs = {
        module_name(path): {name for _, name in imports(path, _tree(path, text))}
        for path, text in files(root, ("mesh",), ".py")
        if not path.endswith("__main__.py")
    }
    inside = {"bpy"}
    while found := {module for module in needs.keys() - inside if any(_names(name, inside) for name in needs[module])}:
        inside |= found
    return sorted(needs.keys() - inside)


def _names(name: str, modules: set[str]) -> bool:
    """Tell whether a dotted name is one of these modules or something in it."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _tree(path: str, text: str) -> ast.Module:
    tree = parse(path, text)
    if isinstance(tree, Problem):
        raise PackageError(str(tree))
    return tree


def run(command: Sequence[str], purpose: str, directory: Path) -> str:
    """Run one step in a directory; return what it printed, raise PackageError with it if it fails."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise PackageError(f"could not {purpose}:\n{done.stdout}{done.stderr}")
    return done.stdout


def try_wheel(scratch: Path) -> str:
    """Build, check and try the wheel; return a line that says what was tried."""
    empty = scratch / "empty"
    empty.mkdir()
    run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(scratch), str(ROOT)],
        "build the wheel",
        empty,
    )
    (wheel,) = scratch.glob("meshnode-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        check_contents(archive.namelist(), expected_files(ROOT))
    venv.create(scratch / "venv", with_pip=True, symlinks=True)
    python = str(setup.venv_python(scratch / "venv"))
    run([python, "-m", "pip", "install", "-q", "--no-input", str(wheel)], "install the wheel", empty)
    modules = importable(ROOT)
    run([python, "-I", "-c", TRIAL, str(ROOT), *modules], "import the modules", empty)
    command = str(Path(python).parent / "meshnode")
    run([command, "--version"], "ask the command for its version", empty)
    if "submit" not in run([command, "--help"], "ask the command for help", empty):
        raise PackageError("meshnode --help does not name its commands")
    if left := sorted(path.name for path in empty.iterdir()):
        raise PackageError(f"the command left {left} in the directory that it was started from")
    return f"{wheel.name}: {wheel.stat().st_size // 1024} KiB, {len(modules)} modules import, the command answers"


def main() -> int:
    """Try the wheel and say what came of it."""
    with tempfile.TemporaryDirectory(prefix="meshnode-wheel-") as scratch:
        try:
            print(try_wheel(Path(scratch)))
        except PackageError as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
