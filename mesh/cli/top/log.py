"""A log as lines, each attempt under a heading. Pure. The texts were made printable before, their line breaks left."""

from typing import Final

from mesh.cli import printable, words
from mesh.cli.top.board import Log
from mesh.cli.top.lines import Line, Span, Tone
from mesh.ports.desk import TaskRow

LINES_MOST: Final = 5_000
"""Of a log only its end is kept: an engine may print a megabyte, and what went wrong stands last."""

COLUMNS_MOST: Final = 2_000
"""Longer lines are no text for people."""


def title(frame: int | None) -> str:
    """Name a log."""
    return "Log: failed attempts and the newest frame" if frame is None else f"Log of frame {frame}"


def lines(log: Log) -> list[Line]:
    """Return the whole log, the newest attempt last."""
    if log.answer is None:
        return [(Span(log.why, Tone.BAD),)]
    found: list[Line] = []
    for part in log.answer["parts"]:
        outcome = printable.line(part["outcome"])
        tone = Tone.GOOD if outcome == "rendered" else Tone.BAD
        heading = f"── frame {part['frame']}, attempt {part['attempt']}, {printable.line(part['peer_name'])}: "
        found.append((Span(heading, Tone.BOLD), Span(outcome, tone)))
        text = printable.block(part["text"]).expandtabs(4).rstrip()
        found += [(Span(one[:COLUMNS_MOST]),) for one in text.split("\n")[-LINES_MOST:]] if text else [_SILENT]
    found += [(Span(f"gone: {printable.line(gone)}", Tone.WARN),) for gone in log.answer["gone"]]
    if not found:
        return [(Span("There is no log: no attempt has ended, or its engine left none.", Tone.DIM),)]
    left_out = len(found) - LINES_MOST
    if left_out > 0:
        return [(Span(f"({words.count(left_out, 'line')} before these)", Tone.DIM),), *found[-LINES_MOST:]]
    return found


def without(task: TaskRow) -> list[Line]:
    """Return what is known of a frame's attempts where none of them left a log."""
    found: list[Line] = []
    for attempt, failure in enumerate(task["failures"], start=1):
        heading = f"── frame {task['frame']}, attempt {attempt}, {failure['peer_name']}: "
        found += [(Span(heading, Tone.BOLD), Span(failure["kind"], Tone.BAD)), (Span(failure["reason"]),)]
    end = "The engine left no log." if found else "No attempt at this frame has ended yet."
    return [*found, (Span(end, Tone.DIM),)]


_SILENT: Final[Line] = (Span("(the engine said nothing)", Tone.DIM),)


def shifted(line: Line, columns: int) -> Line:
    """Return a line without its first letters, as when a window moves to the right."""
    if not columns:
        return line
    kept = []
    for span in line:
        kept.append(Span(span.text[columns:], span.tone))
        columns = max(0, columns - len(span.text))
    return tuple(kept)
