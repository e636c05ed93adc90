"""What panes are made of: lines of spans, each a text and a tone. Pure values; how a tone looks is decided elsewhere.

Widths are counted in columns of a terminal, of which a letter may take two, or none.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size


class Tone(enum.Enum):
    """What a text is to the reader; never the only thing that says so, since there may be no colour."""

    PLAIN = "plain"
    DIM = "dim"
    BOLD = "bold"
    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    ALARM = "alarm"
    """A whole line that must be seen."""
    RULE = "rule"
    CELL_OPEN = "cell-open"
    CELL_RUNNING = "cell-running"
    CELL_FAILED = "cell-failed"
    CELL_COUNTS = "cell-counts"
    CELL_SAFE = "cell-safe"
    CELL_STOPPED = "cell-stopped"
    PEER = "peer"
    """What a peer rendered, in the peer's hue."""
    PEER_RUNS = "peer-runs"
    """What it renders now."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line; `marked` is where the cursor is, `hue` a peer's colour as `#rrggbb` where a tone needs one."""

    text: str
    tone: Tone = Tone.PLAIN
    marked: bool = False
    hue: str = ""


Line: TypeAlias = tuple[Span, ...]


def width(line: Iterable[Span]) -> int:
    """Return how many columns a line takes."""
    return sum(cell_len(span.text) for span in line)


def cut(text: str, most: int) -> str:
    """Return text of at most `most` columns, its end left out if need be."""
    if cell_len(text) <= most:
        return text
    return set_cell_size(text, most - 1).rstrip() + "…" if most > 0 else ""


def fit(text: str, columns: int, *, right: bool = False) -> str:
    """Return text of exactly so many columns, cut or filled with blanks."""
    text = cut(text, columns)
    blanks = " " * (columns - cell_len(text))
    return blanks + text if right else text + blanks


def clip(line: Line, most: int) -> Line:
    """Return a line of at most `most` columns, its end left out if need be."""
    if width(line) <= most:
        return line
    kept: list[Span] = []
    left = most
    for span in line:
        if left <= 0:
            break
        # The span that is cut shows it, also where it would just have filled the line.
        last = cell_len(span.text) >= left
        text = cut(span.text + "…", left) if last else span.text
        kept.append(Span(text, span.tone, span.marked, span.hue))
        left -= cell_len(text)
    return tuple(kept)


def rule(title: str, columns: int, note: str = "", *, focused: bool = False) -> Line:
    """Return the line above a pane: its title, a note at the right, and whether keys go to it."""
    head = f"━━ {title} " if focused else f"── {title} "
    stroke = "━" if focused else "─"
    tail = f" {note} {stroke}{stroke}" if note else ""
    if cell_len(head) + cell_len(tail) > columns:
        tail = ""
    head = cut(head, columns)
    filling = stroke * max(0, columns - cell_len(head) - cell_len(tail))
    return (Span(head, Tone.BOLD if focused else Tone.RULE), Span(filling, Tone.RULE), Span(tail, Tone.RULE))


def scrolled(top: int, cursor: int, count: int, height: int) -> int:
    """Return the first line to show so that the cursor's is among `height` of `count`, moving as little as possible."""
    height = max(1, height)
    top = min(max(top, cursor - height + 1), cursor)
    return max(0, min(top, count - height))
