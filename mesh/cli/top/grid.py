"""A job's frames as a grid: a cell for each, with a letter and a colour for its state. Pure.

Theory: cells stand in groups of ten, so that a frame can be found by counting, and each row begins with the number of
its first frame. Cells are as wide as lets all rows be seen at once; where even the narrowest do not, rows are scrolled.
Only the rows that are seen are made: a job may have a hundred thousand frames.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.cli import words
from mesh.cli.top.lines import Line, Span, Tone, cut, fit
from mesh.ports.desk import TaskRow

GROUP: Final = 10
CELLS: Final = (3, 2, 1)
"""Widths of a cell, widest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a grid is laid out: widths in columns of the label and of a cell, frames in a row, rows in all."""

    label: int
    cell: int
    per_row: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a state is shown; the letter is a capital where the frame's file is at its submitter's."""

    letter: str
    word: str
    tone: Tone


OPEN: Final = Mark(letter=".", word="open", tone=Tone.CELL_OPEN)
RUNNING: Final = Mark(letter="r", word="renders", tone=Tone.CELL_RUNNING)
FAILED: Final = Mark(letter="f", word="failed", tone=Tone.CELL_FAILED)
"""It is open, and an attempt failed."""
COUNTS: Final = Mark(letter="c", word="counts", tone=Tone.CELL_COUNTS)
SAFE: Final = Mark(letter="s", word="safe", tone=Tone.CELL_SAFE)
STOPPED: Final = Mark(letter="x", word="stopped", tone=Tone.CELL_STOPPED)
MARKS: Final = (OPEN, RUNNING, FAILED, COUNTS, SAFE, STOPPED)


def mark(task: TaskRow) -> Mark:
    """Return how a frame's state is shown."""
    match task["state"]:
        case "running":
            return RUNNING
        case "counts":
            return COUNTS
        case "safe":
            return SAFE
        case "stopped":
            return STOPPED
        case "open":
            return FAILED if task["failures"] else OPEN


def letter(task: TaskRow) -> str:
    """Return the frame's letter."""
    return mark(task).letter.upper() if task["delivered"] else mark(task).letter


def shape(frames: Sequence[TaskRow], columns: int, height: int) -> Shape:
    """Lay out a grid for a pane of this size."""
    count = len(frames)
    label = max((len(str(task["frame"])) for task in (*frames[:1], *frames[-1:])), default=1) + 2
    found = Shape(label=label, cell=1, per_row=GROUP, rows=-(-count // GROUP))
    for cell in CELLS:
        groups = max(1, (columns - label + 1) // (GROUP * cell + 1))
        per_row = groups * GROUP
        found = Shape(label=label, cell=cell, per_row=per_row, rows=-(-count // per_row))
        if found.rows <= height and label + groups * (GROUP * cell + 1) - 1 <= columns:
            break
    return found


def moved(place: int, count: int, step: int) -> int:
    """Return the place `step` frames on, within the job; a step that leads out of it is not made."""
    return place + step if 0 <= place + step < count else place


def paged(place: int, count: int, step: int) -> int:
    """Return the place `step` frames on, or the first or last one."""
    return max(0, min(count - 1, place + step))


def interesting(frames: Sequence[TaskRow]) -> int:
    """Return the place to look at first: what stopped, else what failed, else what renders, else the first."""
    for wanted in (STOPPED, FAILED, RUNNING):
        for place, task in enumerate(frames):
            if mark(task) is wanted:
                return place
    return 0


def next_failed(frames: Sequence[TaskRow], place: int) -> int:
    """Return the next place whose frame stopped or failed, from the start again after the last; else the same."""
    order = [*range(place + 1, len(frames)), *range(place)]
    return next((at for at in order if frames[at]["failures"] or frames[at]["state"] == "stopped"), place)


def rows(frames: Sequence[TaskRow], laid: Shape, top: int, height: int, cursor: int | None) -> list[Line]:
    """Return the rows from `top` on, at most `height` of them; the cell at `cursor` is marked."""
    lines: list[Line] = []
    for row in range(top, min(laid.rows, top + height)):
        first = row * laid.per_row
        line = [Span(f"{frames[first]['frame']:>{laid.label - 1}} ", Tone.DIM)]
        for place in range(first, min(len(frames), first + laid.per_row)):
            if place > first and place % GROUP == 0:
                line.append(Span(" "))
            line += _cell(frames[place], laid.cell, chosen=place == cursor)
        lines.append(tuple(line))
    return lines


def _cell(task: TaskRow, cell: int, *, chosen: bool) -> list[Span]:
    shown, tone = letter(task), mark(task).tone
    if cell == 3:
        return [Span(f"[{shown}]" if chosen else f" {shown} ", tone, chosen)]
    return [Span(shown, tone, chosen), *([Span(" ")] if cell == 2 else [])]


def legend() -> Line:
    """Return what the letters mean."""
    line: list[Span] = [Span(" ")]
    for one in MARKS:
        line += [Span(f" {one.letter} ", one.tone), Span(f" {one.word}  ", Tone.DIM)]
    return (*line, Span("C S", Tone.BOLD), Span(" here", Tone.DIM))


def frame_lines(task: TaskRow) -> list[Line]:
    """Return two lines about one frame: its state, and its last failure."""
    shown = mark(task)
    parts = []
    if task["holder_name"]:
        parts.append(f"{'at' if task['state'] == 'running' else 'by'} {task['holder_name']}")
    if task["render_ms"]:
        parts.append(f"in {words.span(task['render_ms'])}")
    if task["attempt"] > 1:
        parts.append(f"attempt {task['attempt']}")
    if task["state"] in ("counts", "safe"):
        parts.append(words.count(task["holds"], "hold"))
    if task["delivered"]:
        parts.append(task["file"])
    first = [
        Span(f" frame {task['frame']}  ", Tone.BOLD),
        Span(f" {letter(task)} ", shown.tone),
        Span(f" {shown.word}"),
        Span(f"  {', '.join(parts)}"),
    ]
    if not task["failures"]:
        return [tuple(first), ()]
    last, times = task["failures"][-1], len(task["failures"])
    often = "failed" if times == 1 else f"failed {times} times, last"
    why = f" {often} at {last['peer_name']}: {last['kind']}" + (f": {last['reason']}" if last["reason"] else "")
    return [tuple(first), (Span(cut(why, 400), Tone.BAD),)]


def failure_lines(frames: Sequence[TaskRow], most: int) -> list[Line]:
    """Return a line for each frame that failed, the stopped ones first, at most so many."""
    failed = [task for task in frames if task["failures"]]
    lines: list[Line] = []
    for task in sorted(failed, key=lambda task: task["state"] != "stopped")[:most]:
        shown, last = mark(task), task["failures"][-1]
        why = f"{last['kind']}: {last['reason']}" if last["reason"] else last["kind"]
        times = f", {len(task['failures'])} times" if len(task["failures"]) > 1 else ""
        text = f" frame {task['frame']} at {last['peer_name']}{times}: {why}"
        lines.append((Span(" "), Span(f" {letter(task)} ", shown.tone), Span(cut(text, 400), Tone.PLAIN)))
    if len(failed) > most:
        lines[-1] = (Span(f" and {len(failed) - most + 1} more", Tone.DIM),)
    return lines


def share_lines(frames: Sequence[TaskRow], most: int) -> list[Line]:
    """Return a line for each peer that rendered frames, who rendered most first, at most so many."""
    took: defaultdict[str, list[int]] = defaultdict(list)
    for task in frames:
        if task["render_ms"]:
            took[task["holder_name"]].append(task["render_ms"])
    total = sum(map(len, took.values()))
    ranked = sorted(took.items(), key=lambda item: (-len(item[1]), item[0]))
    lines: list[Line] = []
    for name, times in ranked[:most]:
        share = f"{words.count(len(times), 'frame'):>12}  {words.percent(len(times), total):>5}"
        each = f"  {words.span(sum(times) / len(times))} each"
        lines.append((Span(f"  {fit(name, 16)}", Tone.PLAIN), Span(share), Span(each, Tone.DIM)))
    if len(ranked) > most:
        lines[-1] = (Span(f"  and {len(ranked) - most + 1} more", Tone.DIM),)
    return lines


def has_log(task: TaskRow) -> bool:
    """Say whether an attempt at the frame left a log."""
    return task["has_log"] or any(failure["has_log"] for failure in task["failures"])


def log_stamp(task: TaskRow) -> tuple[int, int, bool]:
    """Return what changes whenever a frame has another log than before."""
    return task["frame"], len(task["failures"]), task["has_log"]
