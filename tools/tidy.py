#!/usr/bin/env python3
"""Hold the house rules that linters do not know: sizes, docstrings, words that must not stay, links that must lead.

Every rule acts from the first commit and for every file; there is no list of old sins. The bounds stand here beside
their reasons. Works on text and syntax trees alone and imports nothing that it checks.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools.sources import CODE, ROOT, Problem, files, imports, parse, report

if TYPE_CHECKING:
    from collections.abc import Iterator

# A module that a person can hold in mind; beyond it there are two nouns in one file.
MODULE_LINES_MAX = 500
# A function that fits a screen; most are far shorter.
FUNCTION_LINES_MAX = 70
# More positional arguments than these get mixed up at the call.
POSITIONAL_MAX = 5

# Words that mark something unfinished, spelt so that this file does not hold them itself.
UNFINISHED = tuple(a + b for a, b in (("NotImplemented", "Error"), ("TO", "DO"), ("FIX", "ME"), ("X", "XX")))
UNFINISHED_WORD = re.compile(r"\b(" + "|".join(UNFINISHED) + r")\b")
CONFLICT = re.compile(r"^(<{7}|>{7}|={7}|\|{7})( |$)")

# Where catching everything is right: an effect or an event of any kind may fail there, and the loop must go on.
EDGES = ("mesh/node/driver.py", "mesh/node/executor.py")
# Both halves of what Blender's Python runs report any error over their channel instead of dying mute.
BLENDER_EDGES = ("mesh/render/blender/stage.py",)

# What another platform would do differently has few homes: a floor's `posix.py`, and these where a line or two need it.
POSIX_HOMES = {
    "mesh/net/machine.py": "the machine's size",
    "mesh/net/interfaces.py": "the machine's addresses",
    "mesh/cli/compose/host.py": "the limits of this host's processes",
    "mesh/render/blender/host.py": "the half of the renderer that runs inside Blender",
}
POSIX_MODULES = frozenset({"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"})
POSIX_CALLS = frozenset(
    {
        "chown",
        "chroot",
        "fchown",
        "fork",
        "forkpty",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getpgid",
        "getpgrp",
        "getpriority",
        "getuid",
        "killpg",
        "mkfifo",
        "mknod",
        "nice",
        "sched_getaffinity",
        "sched_setaffinity",
        "setgid",
        "setpgid",
        "setpriority",
        "setsid",
        "setuid",
        "statvfs",
        "sysconf",
        "uname",
        "wait3",
        "wait4",
        "waitid",
    }
)

MARKDOWN_LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
MARKDOWN_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")


def check_python(path: str, text: str) -> Iterator[Problem]:
    """Yield the complaints about one Python file."""
    lines = text.splitlines()
    tree = parse(path, text)
    if isinstance(tree, Problem):
        yield tree
        return
    if len(lines) > MODULE_LINES_MAX:
        yield Problem(path, len(lines), f"{len(lines)} lines; a module has at most {MODULE_LINES_MAX}: two nouns here?")
    if lines and ast.get_docstring(tree) is None and not _is_empty(tree):
        yield Problem(path, 1, "no module docstring: say the theory, the invariants and what it must not know")
    for number, line in enumerate(lines, start=1):
        if found := UNFINISHED_WORD.search(line):
            yield Problem(path, number, f"{found[1]}: finish it or file it, do not leave it here")
        if CONFLICT.match(line):
            yield Problem(path, number, "a conflict marker was left behind")
    yield from _check_platform(path, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _check_function(path, node)
        elif isinstance(node, ast.ExceptHandler):
            yield from _check_handler(path, node)
        elif isinstance(node, ast.Call):
            yield from _check_call(path, node)
        elif isinstance(node, ast.Attribute) and path.startswith("tests/") and _dotted(node) == "pytest.mark.skip":
            yield from _check_bare_mark(path, node, tree)


def _is_empty(tree: ast.Module) -> bool:
    return not tree.body


def _check_function(path: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Problem]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    length = (node.end_lineno or node.lineno) - first + 1
    if length > FUNCTION_LINES_MAX:
        yield Problem(path, node.lineno, f"{node.name} has {length} lines; a function has at most {FUNCTION_LINES_MAX}")
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    if positional and positional[0] in ("self", "cls"):
        positional.pop(0)
    # What pytest passes is passed by name.
    if len(positional) > POSITIONAL_MAX and not _called_by_name(path, node):
        yield Problem(
            path, node.lineno, f"{node.name} takes {len(positional)} positional arguments; at most {POSITIONAL_MAX}"
        )


def _called_by_name(path: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a framework calls this function with its arguments' names: tests, fixtures, click's commands."""
    if path.startswith("tests/") and (node.name.startswith("test_") or "fixture" in _decorators(node)):
        return True
    return path.startswith("mesh/cli/") and bool(_decorators(node) & {"command", "group", "option", "argument"})


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    names = set()
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        names.add(_dotted(target).rpartition(".")[2])
    return names


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _check_handler(path: str, node: ast.ExceptHandler) -> Iterator[Problem]:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    names = {_dotted(one) if one is not None else "Exception" for one in caught}
    last = node.body[-1]
    passes_on = isinstance(last, ast.Raise) and last.exc is None  # it only cleans up
    if names & {"Exception", "BaseException"} and not passes_on and path not in EDGES + BLENDER_EDGES:
        yield Problem(path, node.lineno, "catches everything: name what may happen; only driver and executor may")


def _check_call(path: str, node: ast.Call) -> Iterator[Problem]:
    if not path.startswith("tests/"):
        return
    name = _dotted(node.func)
    if name == "time.sleep":
        yield Problem(path, node.lineno, "a test waits for a condition, never for a time")
    elif name == "pytest.skip" and not node.args and not _has_keyword(node, "reason", "msg"):
        yield Problem(path, node.lineno, "a skipped test says why")
    elif name in ("pytest.mark.skip", "pytest.mark.skipif") and not _has_keyword(node, "reason"):
        yield Problem(path, node.lineno, "a skipped test says why: reason=...")


def _check_platform(path: str, tree: ast.Module) -> Iterator[Problem]:
    if not path.startswith("mesh/") or path.endswith("/posix.py") or path in POSIX_HOMES:
        return
    used = [(line, name) for line, name in imports(path, tree) if name.partition(".")[0] in POSIX_MODULES]
    used += [
        (node.lineno, f"os.{node.attr}")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in POSIX_CALLS and _dotted(node) == f"os.{node.attr}"
    ]
    for line, name in used:
        yield Problem(path, line, f"only POSIX systems have {name}: it belongs into its floor's posix.py")


def _has_keyword(node: ast.Call, *names: str) -> bool:
    return any(keyword.arg in names for keyword in node.keywords)


def _check_bare_mark(path: str, node: ast.Attribute, tree: ast.Module) -> Iterator[Problem]:
    called = any(isinstance(other, ast.Call) and other.func is node for other in ast.walk(tree))
    if not called:
        yield Problem(path, node.lineno, "a skipped test says why: reason=...")


def anchor(heading: str) -> str:
    """Give the anchor that a heading gets on the usual forges."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page that are no code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "", line)


def check_page(root: Path, path: str, text: str) -> Iterator[Problem]:
    """Yield the complaints about one page: words left unfinished, links to what does not exist."""
    here = (root / path).parent
    for number, line in prose(text):
        if found := UNFINISHED_WORD.search(line):
            yield Problem(path, number, f"{found[1]}: finish it or file it, do not leave it here")
        if CONFLICT.match(line) and set(line) != {"="}:
            yield Problem(path, number, "a conflict marker was left behind")
        for link in MARKDOWN_LINK.findall(line):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue  # the world's pages come and go; a build must not depend on them
            target, _, fragment = link.partition("#")
            page = (here / target).resolve() if target else (root / path).resolve()
            if not page.exists():
                yield Problem(path, number, f"the link {link} leads nowhere")
            elif not page.is_relative_to(root.resolve()):
                yield Problem(path, number, f"the link {link} leads out of the project")
            elif fragment and page.suffix == ".md" and fragment not in _anchors(page):
                yield Problem(path, number, f"the page {target or path} has no heading for #{fragment}")


def _anchors(page: Path) -> set[str]:
    headings = (MARKDOWN_HEADING.match(line) for line in page.read_text("utf-8").splitlines())
    return {anchor(found[1]) for found in headings if found}


def check(root: Path = ROOT) -> list[Problem]:
    """Check every module and every page of the checkout."""
    problems = [problem for path, text in files(root, CODE, ".py") for problem in check_python(path, text)]
    pages = [(path.name, path.read_text("utf-8")) for path in sorted(root.glob("*.md"))]
    pages += files(root, ("docs", *CODE), ".md")
    problems += [problem for path, text in pages for problem in check_page(root, path, text)]
    return problems


if __name__ == "__main__":
    raise SystemExit(report(check(), "tidy"))
