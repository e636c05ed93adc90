"""How commands print: tables that fit the terminal, colours only on one, JSON for programs, errors with their remedy.

Answers go to standard output; progress, notices and errors go to standard error. No command prints in any other way.
Nothing here knows what it prints about.
"""

import json
import os
import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mesh.cli import printable
from mesh.ground.errors import MeshError

WIDTH_MOST = 110
"""Lines longer than this are hard to follow, however wide the terminal."""
WIDTH_LEAST = 40

GAP = "  "

LIKE_MOST = 12
"""Reasons of one kind that are listed: a scene's thousand frames that exist are one reason to a person."""

_SPEAK_FOR_THEMSELVES = frozenset({"UsageError", "Misused", "NotRunningError", "NotFound", "NoMembership"})
"""Errors whose message alone says what kind of error it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table; `right` aligns numbers, `gives` lets it be cut where the table is too wide."""

    title: str
    right: bool = False
    gives: bool = False


def width() -> int:
    """Return how many columns lines may have here; 80 where there is no terminal."""
    return max(WIDTH_LEAST, min(WIDTH_MOST, shutil.get_terminal_size((80, 24)).columns))


def may_cut() -> bool:
    """Say whether what is too wide is cut: on a terminal, and where `COLUMNS` asks for it. A pipe gets all there is."""
    return sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))


def say(text: str = "") -> None:
    """Print a line of the answer."""
    click.echo(text)


def notice(text: str) -> None:
    """Print a line about what is going on, beside the answer."""
    click.echo(text, err=True)


def ask(question: str) -> None:
    """Print a question, and leave the cursor behind it."""
    click.echo(question, err=True, nl=False)


def say_json(value: Any) -> None:
    """Print one JSON value on one line."""
    click.echo(printable.json_text(json.dumps(value, ensure_ascii=False)))


def bold(text: str) -> str:
    """Make text stand out."""
    return click.style(text, bold=True)


def dim(text: str) -> str:
    """Make text step back."""
    return click.style(text, dim=True)


def good(text: str) -> str:
    """Colour what is well."""
    return click.style(text, fg="green")


def busy(text: str) -> str:
    """Colour what is under way."""
    return click.style(text, fg="cyan")


def bad(text: str) -> str:
    """Colour what needs somebody to look."""
    return click.style(text, fg="red")


def cut(text: str, most: int) -> str:
    """Return text of at most `most` columns, its end left out if need be; styled text must fit."""
    return text if len(click.unstyle(text)) <= most else text[: max(0, most - 1)] + "…"


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Lay out rows under their titles; where it may be cut, at most `width()` wide as far as columns that give allow.

    The widest of these gives first, so that short words stay whole.
    """
    cells = [list(row) for row in rows]
    widths = [
        max([len(column.title), *(len(click.unstyle(row[place])) for row in cells)])
        for place, column in enumerate(columns)
    ]
    over = len(indent) + sum(widths) + len(GAP) * (len(columns) - 1) - width() if may_cut() else 0
    while over > 0:
        able = [place for place, column in enumerate(columns) if column.gives and widths[place] > _least(column)]
        if not able:
            break
        widths[max(able, key=lambda place: widths[place])] -= 1
        over -= 1
    lines = [_row(columns, widths, [dim(column.title) for column in columns], indent)]
    lines += [_row(columns, widths, row, indent) for row in cells]
    return lines


def _least(column: Column) -> int:
    return max(8, len(column.title))


def _row(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str], indent: str) -> str:
    cells = []
    for column, wide, text in zip(columns, widths, row, strict=True):
        shown = cut(text, wide)
        pad = " " * (wide - len(click.unstyle(shown)))
        cells.append(pad + shown if column.right else shown + pad)
    return (indent + GAP.join(cells)).rstrip()


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lay out named facts under each other, values wrapped beside their names."""
    shown = [(name, value) for name, value in pairs if value]
    wide = max((len(name) for name, _ in shown), default=0)
    lines = []
    for name, value in shown:
        indent = " " * (wide + len(GAP))
        wrapped = wrap(value, width() - len(indent)) or [""]
        lines.append(dim(name.ljust(wide)) + GAP + wrapped[0])
        lines += [indent + more for more in wrapped[1:]]
    return lines


def wrap(text: str, wide: int) -> list[str]:
    """Break text into lines, never inside a path or another long word."""
    return textwrap.wrap(text, max(20, wide), break_long_words=False, break_on_hyphens=False)


def paragraph(text: str, indent: str = "") -> list[str]:
    """Break text into indented lines."""
    return [indent + line for line in wrap(text, width() - len(indent))]


def warning(text: str) -> None:
    """Print something that a person should know and that stops nothing."""
    head, *rest = paragraph(text, "         ")
    notice(click.style("warning: ", fg="yellow") + head.strip())
    for line in rest:
        notice(line)


def error_lines(error: MeshError) -> list[str]:
    """Say what happened and what to do, each refusal by name."""
    refusals = printable.every_text(list(getattr(error, "refusals", ())), printable.line)
    if not refusals:
        head, *rest = paragraph(named(error), "       ")
        lines = [click.style("error: ", fg="red", bold=True) + head.strip(), *rest]
        return [*lines, *(dim(line) for line in paragraph(remedy(error), "       "))]
    reasons = "one thing stands" if len(refusals) == 1 else f"{len(refusals)} things stand"
    # What it comes to stands in the advice up to its colon, such as `Nothing was sent`.
    outcome = error.advice.partition(":")[0]
    lines = [click.style("error: ", fg="red", bold=True) + f"{outcome[:1].lower()}{outcome[1:]}; {reasons} against it:"]
    like: Counter[str] = Counter()
    every = Counter(refusal["code"] for refusal in refusals)
    for place, refusal in enumerate(refusals):
        code = refusal["code"]
        like[code] += 1
        if like[code] <= LIKE_MOST:
            first, *rest = paragraph(refusal["text"], "    ")
            lines += ["  " + click.style("✗ ", fg="red") + first.strip(), *rest]
        elif like[code] == every[code]:
            lines.append(dim(f"    and {every[code] - LIKE_MOST} more like these; --json names all"))
        # A remedy that several in a row share is said once, after the last of them.
        following = refusals[place + 1]["remedy"] if place + 1 < len(refusals) else ""
        if refusal["remedy"] != following:
            first, *rest = paragraph(refusal["remedy"], "      ")
            lines += [dim(f"    → {first.strip()}"), *(dim(line) for line in rest)]
    return lines


def named(error: MeshError) -> str:
    """Return an error's name, in words, and its message: `disk full: /home has 3 MiB left`."""
    kind = type(error).__name__
    message = printable.line(str(error))
    if kind in _SPEAK_FOR_THEMSELVES:
        return message
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.removesuffix("Error")).lower()
    return f"{words}: {message}" if message else words


def remedy(error: MeshError) -> str:
    """Return what to do about an error: its advice without the first sentence, which its message says better."""
    return error.advice.partition(". ")[2]


def error_value(error: MeshError) -> dict[str, Any]:
    """Return an error as JSON, in the same form in which the local API has it."""
    return {
        "error": type(error).__name__,
        "message": str(error),
        "advice": error.advice,
        "exit_code": error.exit_code,
        "refusals": list(getattr(error, "refusals", ())),
    }
