#!/usr/bin/env python3
"""Check that each floor of the house imports only from below, and that the pure floors stay pure.

The house, from the ground up, is drawn in CONTRIBUTING.md; FLOORS below is that drawing as a table. A floor may import
itself and what its row names, nothing else of ours. Four rules more:

- the pure floors (PURE) name no clock, no randomness, no disk, no network and no thread: time and seeds are arguments
  there, and what they ask of the world they return as effects;
- what runs inside Blender's Python (whatever imports bpy, and the siblings that it imports) names nothing of ours but
  siblings, by relative imports: that Python has no `mesh`, and gets them under a name of their own;
- nothing in `mesh` imports the simulator, the tools or the tests;
- of the foreign packages in FOREIGN only the named modules are imported, and by the named room alone.

Works on syntax trees alone and imports nothing that it checks: an import in a function, or one for type checkers only,
is an import all the same, since it ties two floors together.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools.sources import CODE, ROOT, Problem, files, imports, module_name, parse, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BELOW_ADAPTERS = ("mesh.ports", "mesh.wire", "mesh.ground")
HOUSE = ("mesh.ground", "mesh.wire", "mesh.ports", "mesh.core", "mesh.net", "mesh.store", "mesh.render", "mesh.node")
# Floor: the floors that it may import beside itself. A module is on the longest floor whose name it lies within, and a
# row names exactly the floors it means: `sim` alone does not open `sim.shell`.
FLOORS: dict[str, tuple[str, ...]] = {
    "mesh": (),
    "mesh.ground": (),
    "mesh.wire": ("mesh.ground",),
    "mesh.ports": ("mesh.wire", "mesh.ground"),
    "mesh.core": ("mesh.wire", "mesh.ground"),
    "mesh.net": BELOW_ADAPTERS,
    "mesh.store": BELOW_ADAPTERS,
    "mesh.render": BELOW_ADAPTERS,
    "mesh.node": ("mesh.core", *BELOW_ADAPTERS),
    "mesh.cli": ("mesh.cli.compose", "mesh.node", "mesh.core", *BELOW_ADAPTERS),
    # The composition root: the only place that knows which adapter stands behind which port.
    "mesh.cli.compose": ("mesh.cli", *HOUSE),
    "sim": ("mesh.core", *BELOW_ADAPTERS),
    # The simulator's shell tier runs the real node on a virtual clock.
    "sim.shell": ("sim", "mesh.node", "mesh.core", *BELOW_ADAPTERS),
    # The command line of both tiers.
    "sim.__main__": ("sim", "sim.shell", "mesh.core", *BELOW_ADAPTERS),
    "tools": ("sim", "sim.shell", "sim.__main__", "mesh.cli", "mesh.cli.compose", *HOUSE),
    "tests": ("tools", "sim", "sim.shell", "sim.__main__", "mesh.cli", "mesh.cli.compose", *HOUSE),
}
OURS = ("mesh", "sim", "tools", "tests")

PURE = ("mesh.ground", "mesh.wire", "mesh.core")
WORLD = frozenset(
    {
        "asyncio",
        "concurrent",
        "datetime",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "trio",
        "uuid",
    }
)
# A pure module that must name one all the same gets a line with the reason.
PURE_EXCEPTIONS: frozenset[tuple[str, str]] = frozenset(
    {
        # Seeded draws for the core: a generator made from a seed is a value like any other.
        ("mesh.ground.dice", "random"),
    }
)
# What a foreign package may be imported for, and by whom alone.
FOREIGN: dict[str, tuple[str, frozenset[str]]] = {
    # Its values only: table, nodes, storage interface; its server, protocol and crawl are asyncio and pickle. That the
    # routing module itself imports asyncio and time is known: whatever would use either is replaced in our classes.
    "kademlia": ("mesh.core.dht", frozenset({"kademlia.routing", "kademlia.node", "kademlia.storage"})),
}
WORLDLY_CALLS = frozenset({"open", "input", "print", "__import__", "breakpoint"})


def within(module: str, floor: str) -> bool:
    """Tell whether a dotted name is a floor or lies inside it."""
    return module == floor or module.startswith(floor + ".")


def floor_of(module: str) -> str | None:
    """Give the floor that a module of ours is on: the longest name in FLOORS that it lies within."""
    return max((floor for floor in FLOORS if within(module, floor)), key=len, default=None)


def check_module(path: str, text: str) -> Iterator[Problem]:
    """Yield a complaint for each import or call in one file that its floor must not have."""
    tree = parse(path, text)
    if isinstance(tree, Problem):
        yield tree
        return
    module = module_name(path)
    floor = floor_of(module)
    if floor is None or (floor == "mesh" and module != "mesh"):
        yield Problem(path, 1, f"{module} is on no floor: put it in a room, or add its floor to tools/floors.py")
        return
    named = list(imports(path, tree))
    yield from _check_ours(path, floor, named)
    yield from _check_foreign(path, module, named)
    if any(within(module, pure) for pure in PURE):
        yield from _check_pure(path, module, tree, named)


def _check_ours(path: str, floor: str, named: list[tuple[int, str]]) -> Iterator[Problem]:
    for line, target in named:
        if not any(within(target, ours) for ours in OURS):
            continue
        # The bare package `mesh` holds nothing but its name.
        if target != "mesh" and floor_of(target) not in (floor, *FLOORS[floor]):
            yield Problem(path, line, f"{floor} must not import {target}")


def _check_foreign(path: str, module: str, named: list[tuple[int, str]]) -> Iterator[Problem]:
    for line, target in named:
        room, parts = FOREIGN.get(target.partition(".")[0], (module, frozenset({target})))
        if not within(module, room) and not within(module, "tests"):
            yield Problem(path, line, f"only {room} may import {target}")
        elif not any(within(target, part) for part in parts):
            yield Problem(path, line, f"of {target.partition('.')[0]} only {', '.join(sorted(parts))} may be imported")


def check_blender(texts: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a complaint for each import that what runs inside Blender, found among these files, cannot make there."""
    found = {path: parse(path, text) for path, text in texts.items() if within(module_name(path), "mesh")}
    trees = {module_name(path): (path, tree) for path, tree in found.items() if isinstance(tree, ast.Module)}
    inside: dict[str, None] = {}
    waiting = [name for name, (path, tree) in trees.items() if any(within(n, "bpy") for _, n in imports(path, tree))]
    while waiting:
        module = waiting.pop()
        if module in inside or module not in trees:
            continue
        inside[module] = None
        path, tree = trees[module]
        package = module.rpartition(".")[0]
        for line, target in imports(path, tree, relative=False):
            if any(within(target, ours) for ours in OURS):
                yield Problem(path, line, f"this runs inside Blender's Python, which does not have {target}")
        for line, target in imports(path, tree, absolute=False):
            # `from .paths import resolve` is seen as `paths.resolve`: the sibling is its first part.
            sibling = f"{package}.{target.removeprefix(package + '.').partition('.')[0]}"
            if not within(target, package):
                yield Problem(path, line, f"this runs inside Blender's Python, which has only siblings, not {target}")
            waiting.append(sibling)


def _check_pure(path: str, module: str, tree: ast.Module, named: list[tuple[int, str]]) -> Iterator[Problem]:
    for line, target in named:
        root = target.partition(".")[0]
        if root in WORLD and (module, root) not in PURE_EXCEPTIONS:
            yield Problem(path, line, f"{module} is pure and must not name {root}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORLDLY_CALLS:
            yield Problem(path, node.lineno, f"{module} is pure and must not call {node.func.id}()")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield Problem(path, node.lineno, f"{module} is pure and must not wait")


def check(root: Path = ROOT) -> list[Problem]:
    """Check every module of the checkout."""
    texts = dict(files(root, CODE, ".py"))
    problems = [problem for path, text in texts.items() for problem in check_module(path, text)]
    return [*problems, *check_blender(texts)]


if __name__ == "__main__":
    raise SystemExit(report(check(), "every floor imports only from below"))
