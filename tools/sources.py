"""What the checks of the source share: which files there are, what a module is called, how a complaint reads.

Only the standard library, so that a check runs before anything is installed.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
CODE = ("mesh", "sim", "tools", "tests")


class Problem(NamedTuple):
    """One complaint about one line; they sort by place."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """Print as compilers do, so that editors can jump to it."""
        return f"{self.path}:{self.line}: {self.text}"


def files(root: Path, folders: Iterable[str], suffix: str) -> Iterator[tuple[str, str]]:
    """Yield (path below root, text) of every file of a kind in these folders, in order of path."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*" + suffix)):
            parts = path.relative_to(root).parts
            if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
                yield "/".join(parts), path.read_text("utf-8")


def parse(path: str, text: str) -> ast.Module | Problem:
    """Give a module's syntax tree, or the complaint that this Python cannot read it."""
    try:
        return ast.parse(text, path)
    except SyntaxError as error:
        return Problem(path, error.lineno or 1, f"Python {sys.version_info[0]}.{sys.version_info[1]}: {error.msg}")


def module_name(path: str) -> str:
    """Give the dotted name of the module in a file: `mesh/wire/__init__.py` is `mesh.wire`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str, tree: ast.Module, *, absolute: bool = True, relative: bool = True) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that a module imports, wherever in it, relative imports resolved.

    `from mesh import wire` yields `mesh.wire`, since it may be the module that is meant; so does
    `from mesh.wire import cbor` yield `mesh.wire.cbor`, of which `mesh.wire` is a prefix.
    """
    package = module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and absolute:
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (relative if node.level else absolute):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def report(problems: Iterable[Problem], praise: str) -> int:
    """Print the complaints in order, or the praise if there are none; return the exit code."""
    found = sorted(problems)
    for problem in found:
        print(problem)
    print(f"{len(found)} problems" if found else praise, file=sys.stderr)
    return 1 if found else 0
