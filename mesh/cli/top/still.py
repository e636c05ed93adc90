"""A frame in buckets as a picture of letters: whose bucket is where. Pure.

Theory: a letter of a terminal is about twice as high as wide, so that the picture keeps its shape where a line stands
for as many pixels as two columns. Each letter shows what is in its middle. Letters and colours are those of the map
that `meshnode show --map` writes; beside the picture stand the peers.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Final

from mesh.cli import buckets, words
from mesh.cli.buckets import Maker
from mesh.cli.top import grid
from mesh.cli.top.lines import Line, Span, Tone, fit
from mesh.ports.desk import TaskRow
from mesh.ports.stills import BucketRow, BucketsAnswer

ASPECT: Final = 2
"""How many times as high as wide a letter is."""
LEGEND: Final = 34
"""Columns that the peers need beside the picture."""
LEAST: Final = 4
"""Lines below which no picture is to be seen."""

_OPEN: Final = Span(".", Tone.CELL_OPEN)
_STOPPED: Final = Span("x", Tone.CELL_STOPPED)
_NOTHING: Final = Span(" ")


def size(told: BucketsAnswer, columns: int, most: int) -> tuple[int, int]:
    """Return how many columns and lines a frame's picture takes, as large as fits beside the peers."""
    room = max(1, columns - LEGEND - 3)
    shape = told["width"] * ASPECT / told["height"]
    wide = min(room, max(1, round(most * shape)))
    return wide, max(1, min(most, round(wide / shape)))


def height(told: BucketsAnswer, columns: int, most: int) -> int:
    """Return how many lines the picture and the peers take, at most so many."""
    peers = len({row["peer"] for row in told["buckets"] if row["peer"]})
    return min(most, max(size(told, columns, most)[1], peers + 2))


def lines(told: BucketsAnswer, columns: int, room: int) -> list[Line]:
    """Return the picture with the peers beside it."""
    found = buckets.makers(told["buckets"])
    wide, high = size(told, columns, room)
    picture = _picture(told, found, wide, high)
    legend = _legend(told, found, columns - wide - 3, room)
    blank: Line = (Span(" " * wide),)
    return [
        (Span(" "), *(picture[at] if at < high else blank), Span("  "), *(legend[at] if at < len(legend) else ()))
        for at in range(min(room, max(high, len(legend))))
    ]


def _picture(told: BucketsAnswer, found: Mapping[str, Maker], wide: int, high: int) -> list[Line]:
    cells = [[_NOTHING] * wide for _ in range(high)]
    for row in told["buckets"]:
        left, top, right, bottom = row["region"]
        shown = _letter(row, found.get(row["peer"]))
        # A letter is in the bucket that its middle is in.
        across = range(_first(left, told["width"], wide), _first(right, told["width"], wide))
        for line in cells[_first(top, told["height"], high) : _first(bottom, told["height"], high)]:
            for at in across:
                line[at] = shown
    return [tuple(_joined(line)) for line in cells]


def _first(edge: int, pixels: int, letters: int) -> int:
    """Return the first letter whose middle lies at or beyond an edge."""
    return -((pixels - 2 * edge * letters) // (2 * pixels))


def _joined(cells: list[Span]) -> list[Span]:
    """Join what looks alike: a terminal is slower with many short pieces."""
    return [Span(one.text * len(list(alike)), one.tone, hue=one.hue) for one, alike in groupby(cells)]


def _letter(row: BucketRow, maker: Maker | None) -> Span:
    if row["state"] == "open":
        return _OPEN
    if row["state"] == "stopped":
        return _STOPPED
    if maker is None:
        return Span("?", Tone.CELL_COUNTS)
    if row["state"] == "running":
        return Span(maker.letter.lower(), Tone.PEER_RUNS, hue=maker.colour)
    return Span(maker.letter, Tone.PEER, hue=maker.colour)


def _legend(told: BucketsAnswer, found: Mapping[str, Maker], columns: int, room: int) -> list[Line]:
    """Return the peers, who made most first: how many buckets, how much of the picture, how many now."""
    name_room = max(4, columns - 26)
    found_lines: list[Line] = [(Span(f"   {fit('PEER', name_room)} BUCKETS  SHARE  NOW", Tone.DIM),)]
    total = buckets.area(told["region"])
    ranked = buckets.ranked(found.values())
    most = max(1, room - 2)
    for maker in ranked[:most]:
        share = words.percent(maker.pixels, total)
        numbers = f" {maker.buckets:>7}  {share:>5}  {maker.running or '–':>3}"
        found_lines.append(
            (
                Span(f" {maker.letter} ", Tone.PEER, hue=maker.colour),
                Span(f" {fit(maker.name, name_room - 1)}"),
                Span(numbers),
            )
        )
    if len(ranked) > most:
        found_lines[-1] = (Span(f"   and {len(ranked) - most + 1} more", Tone.DIM),)
    found_lines.append(
        (
            Span(" . ", Tone.CELL_OPEN),
            Span(" open   ", Tone.DIM),
            Span("a", Tone.BOLD),
            Span(" renders, or claimed", Tone.DIM),
        )
    )
    return found_lines


def frame_lines(task: TaskRow, told: BucketsAnswer) -> list[Line]:
    """Return two lines about a frame in buckets: how far it is and who assembles it, and its last failure."""
    shown, last = grid.mark(task), grid.frame_lines(task)[1]
    parts = [f"{words.percent(buckets.rendered(told), buckets.area(told['region']))} of it"]
    if made := buckets.made_by(buckets.makers(told["buckets"]).values()):
        parts.append(made)
    if told["assembler_name"]:
        parts.append(
            f"{'assembled' if told['state'] in ('counts', 'safe') else 'assembling'} at {told['assembler_name']}"
        )
    if task["delivered"]:
        parts.append(task["file"])
    first = (
        Span(f" frame {task['frame']}  ", Tone.BOLD),
        Span(f" {grid.letter(task)} ", shown.tone),
        Span(f" {shown.word}"),
        Span(f"  {', '.join(parts)}"),
    )
    return [first, last]
