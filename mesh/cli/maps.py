"""A map of one frame's buckets, as shapes: who rendered which part, and for how long. Pure.

Theory: one drawing, two ways to write it. A bucket has its peer's colour and letter, brighter where a pixel took
longer, and its time where there is room; what is rendered now is outlined, what is open stays dark. Below stand the
peers with what each made.

Coordinates are of the drawing, in its own pixels, from the left and the top.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal, TypeAlias

from mesh.cli import buckets, printable, words
from mesh.cli.buckets import Maker
from mesh.ports.stills import BucketRow, BucketsAnswer

MARK: Final = "meshnode bucket map"
"""Stands in every file, so that a map replaces a map, and never a picture."""

WIDE: Final = 1_280
HIGH: Final = 1_024
"""A picture is drawn as large as fits in there, however large it is."""
MARGIN: Final = 24
LINE: Final = 24
TITLE: Final = 20
SMALL: Final = 14
LEAST_WIDTH: Final = 640
"""Room for a legend beside a picture that is high and narrow."""

GROUND: Final = "#14171c"
OPEN: Final = "#1d2128"
EDGE: Final = "#343b46"
INK: Final = "#0c0f13"
PAPER: Final = "#e4e7ec"
DIM: Final = "#8b93a1"
STOPPED: Final = "#a32a22"
DIMMEST: Final = 0.5
"""How bright the cheapest pixels are, of the peer's colour."""

Anchor: TypeAlias = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle with an outline inside it."""

    left: int
    top: int
    right: int
    bottom: int
    fill: str
    edge: str
    stroke: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text at a point of its baseline."""

    x: int
    y: int
    text: str
    size: int
    colour: str
    anchor: Anchor = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn, one over the other."""

    width: int
    height: int
    shapes: tuple[Box | Label, ...]


def drawing(told: BucketsAnswer) -> Drawing:
    """Draw the buckets of a frame, with the peers that made them below."""
    found = buckets.makers(told["buckets"])
    scale = min(WIDE / told["width"], HIGH / told["height"])
    wide, high = max(1, round(told["width"] * scale)), max(1, round(told["height"] * scale))
    top = MARGIN + 2 * LINE
    frame = Box(left=MARGIN, top=top, right=MARGIN + wide, bottom=top + high, fill=GROUND, edge=EDGE)
    shapes: list[Box | Label] = [*_title(told), frame]
    costs = _costs(told["buckets"])
    for row in told["buckets"]:
        left, upper, right, lower = (round(edge * scale) for edge in row["region"])
        place = (MARGIN + left, top + upper, MARGIN + right, top + lower)
        shapes += _bucket(row, found.get(row["peer"]), place, costs)
    legend = _legend(told, found, top + high + LINE)
    bottom = max(shape.y for shape in legend if isinstance(shape, Label))
    return Drawing(width=max(LEAST_WIDTH, wide + 2 * MARGIN), height=bottom + MARGIN, shapes=(*shapes, *legend))


def _title(told: BucketsAnswer) -> list[Label]:
    share = words.percent(buckets.rendered(told), buckets.area(told["region"]))
    name = f"{printable.line(told['name'])}, frame {told['frame']}"
    size = f"{told['shares']} shares of samples" if told["shares"] else f"{told['width']}×{told['height']}"
    how = printable.line(buckets.how_made(told))
    return [
        Label(x=MARGIN, y=MARGIN + TITLE - 4, text=name, size=TITLE, colour=PAPER),
        Label(
            x=MARGIN,
            y=MARGIN + TITLE + LINE - 6,
            text=f"{size}, {share} rendered" + (f": {how}" if how else ""),
            size=SMALL,
            colour=DIM,
        ),
    ]


def _costs(rows: Sequence[BucketRow]) -> tuple[float, float] | None:
    """Return how long a pixel took at least and at most, in milliseconds, None where nothing tells it."""
    found = [cost for row in rows if (cost := _cost(row)) > 0]
    return (min(found), max(found)) if found else None


def _cost(row: BucketRow) -> float:
    return row["render_ms"] / buckets.area(row["bucket"])


def _brightness(row: BucketRow, costs: tuple[float, float] | None) -> float:
    """Return how bright a bucket is: the scale is of ratios, since times differ by powers of ten."""
    cost = _cost(row)
    if costs is None or not cost or costs[1] < 1.1 * costs[0]:
        return (1 + DIMMEST) / 2
    return DIMMEST + (1 - DIMMEST) * math.log(cost / costs[0]) / math.log(costs[1] / costs[0])


def _bucket(
    row: BucketRow, maker: Maker | None, place: tuple[int, int, int, int], costs: tuple[float, float] | None
) -> list[Box | Label]:
    left, top, right, bottom = place
    if row["state"] == "open":
        return [Box(left=left, top=top, right=right, bottom=bottom, fill=OPEN, edge=EDGE)]
    if row["state"] == "stopped":
        return [Box(left=left, top=top, right=right, bottom=bottom, fill=STOPPED, edge=EDGE), *_inside(place, "x", "")]
    colour = maker.colour if maker is not None else DIM
    letter = maker.letter if maker is not None else "?"
    if row["state"] == "running":
        box = Box(
            left=left, top=top, right=right, bottom=bottom, fill=mixed(GROUND, colour, 0.25), edge=colour, stroke=2
        )
        return [box, *_inside(place, letter.lower(), "", colour)]
    fill = mixed("#000000", colour, _brightness(row, costs))
    took = words.span(row["render_ms"]) if row["render_ms"] else ""
    ink = INK if luminance(fill) > 0.25 else PAPER
    return [
        Box(left=left, top=top, right=right, bottom=bottom, fill=fill, edge=GROUND),
        *_inside(place, letter, took, ink),
    ]


def _inside(place: tuple[int, int, int, int], letter: str, took: str, colour: str = PAPER) -> list[Box | Label]:
    """Return what is written in a bucket, as far as it has room: its letter, and below it its time."""
    left, top, right, bottom = place
    x, y, wide, high = (left + right) // 2, (top + bottom) // 2, right - left, bottom - top
    if wide < 12 or high < 14:
        return []
    size = 12 if wide < 40 or high < 36 else SMALL
    # A digit is a little more than half as wide as it is high.
    if not took or high < 34 or wide < 7 * len(took) + 6:
        return [Label(x=x, y=y + size // 3, text=letter, size=size, colour=colour, anchor="center")]
    return [
        Label(x=x, y=y - 2, text=letter, size=size, colour=colour, anchor="center"),
        Label(x=x, y=y + 13, text=took, size=12, colour=colour, anchor="center"),
    ]


_COLUMNS: Final = ((230, "PEER"), (320, "BUCKETS"), (400, "SHARE"), (510, "RENDERED FOR"), (600, "NOW"))
"""Where the legend's columns end, but for the first, which begins left."""


def _legend(told: BucketsAnswer, found: Mapping[str, Maker], top: int) -> list[Box | Label]:
    shapes: list[Box | Label] = []
    y = top + SMALL
    for place, (right, title) in enumerate(_COLUMNS):
        x, anchor = (MARGIN + 28, "left") if place == 0 else (MARGIN + right, "right")
        shapes.append(Label(x=x, y=y, text=title, size=12, colour=DIM, anchor=anchor))  # type: ignore[arg-type]
    total = buckets.area(told["region"])
    for maker in buckets.ranked(found.values()):
        y += LINE
        shapes += [
            Box(left=MARGIN, top=y - 15, right=MARGIN + 20, bottom=y + 5, fill=maker.colour, edge=maker.colour),
            Label(x=MARGIN + 10, y=y, text=maker.letter, size=SMALL, colour=INK, anchor="center"),
            Label(x=MARGIN + 28, y=y, text=_short(maker.name), size=SMALL, colour=PAPER),
        ]
        values = (
            str(maker.buckets),
            words.percent(maker.pixels, total),
            words.span(maker.render_ms) if maker.render_ms else "–",
            str(maker.running) if maker.running else "–",
        )
        for (right, _), value in zip(_COLUMNS[1:], values, strict=True):
            shapes.append(Label(x=MARGIN + right, y=y, text=value, size=SMALL, colour=PAPER, anchor="right"))
    y += LINE + 6
    shapes.append(Label(x=MARGIN, y=y, text=_key(told), size=12, colour=DIM))
    return shapes


def _short(name: str) -> str:
    plain = printable.line(name)
    return plain if len(plain) <= 20 else plain[:19] + "…"


def _key(told: BucketsAnswer) -> str:
    states = {row["state"] for row in told["buckets"]}
    parts = ["The brighter, the longer a pixel took" if _costs(told["buckets"]) else ""]
    parts.append("outlined: rendered now, or claimed" if "running" in states else "")
    parts.append("dark: open" if "open" in states else "")
    parts.append("x: failed too often" if "stopped" in states else "")
    return "; ".join(part for part in parts if part)


def mixed(under: str, over: str, part: float) -> str:
    """Return a colour laid over another, `part` of it."""
    pairs = zip(channels(under), channels(over), strict=True)
    return "#" + "".join(f"{round(below + (above - below) * part):02x}" for below, above in pairs)


def channels(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#rrggbb`, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: str) -> float:
    """Return about how light a colour is to the eye, 0 to 1, as the guidelines for readable text have it."""
    red, green, blue = (math.pow(channel / 255, 2.2) for channel in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_ANCHORS: Final[Mapping[Anchor, str]] = {"left": "start", "center": "middle", "right": "end"}


def svg(drawn: Drawing) -> str:
    """Write a drawing as SVG."""
    size = f'width="{drawn.width}" height="{drawn.height}" viewBox="0 0 {drawn.width} {drawn.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Droid Sans, DejaVu Sans, Arial, sans-serif">',
        f"<!-- {MARK} -->",
        f'<rect width="{drawn.width}" height="{drawn.height}" fill="{GROUND}"/>',
    ]
    for shape in drawn.shapes:
        if isinstance(shape, Box):
            inset = shape.stroke / 2
            lines.append(
                f'<rect x="{shape.left + inset:g}" y="{shape.top + inset:g}"'
                f' width="{max(0, shape.right - shape.left - shape.stroke)}"'
                f' height="{max(0, shape.bottom - shape.top - shape.stroke)}"'
                f' fill="{shape.fill}" stroke="{shape.edge}" stroke-width="{shape.stroke}"/>'
            )
        else:
            lines.append(
                f'<text x="{shape.x}" y="{shape.y}" font-size="{shape.size}" fill="{shape.colour}"'
                f' text-anchor="{_ANCHORS[shape.anchor]}">{escape(shape.text)}</text>'
            )
    return "\n".join([*lines, "</svg>", ""])
