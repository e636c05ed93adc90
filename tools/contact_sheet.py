"""Draw what a mesh rendered: all frames on one sheet, each with the peer that rendered it, and who rendered when.

Pure drawing on arrays; text by OpenImageIO, with the font that its wheel brings. Colours are sRGB bytes, lengths are
pixels. Must not know peers or jobs: it gets tiles and bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO

Color = tuple[int, int, int]

BACKGROUND: Color = (22, 24, 29)
PANEL: Color = (31, 34, 41)
TEXT: Color = (232, 234, 238)
FAINT: Color = (140, 146, 158)
ALARM: Color = (232, 93, 83)
PEERS: tuple[Color, ...] = ((90, 169, 230), (127, 194, 126), (244, 162, 97), (196, 139, 214), (236, 205, 92))
"""One for each peer, in order; far enough apart on a dark ground for most eyes, and names stand beside them."""

COLUMNS = 4
TILE_WIDTH = 320
MARGIN = 24
GAP = 12
_CAPTION = 30
_HEAD = 84
_LANE = 30
_AXIS = 26
_NAME_WIDTH = 110
_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One frame; `peer` is an index into the sheet's peers."""

    picture: Path
    frame: int
    peer: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One render: who, which frame, from when to when, in seconds; `cut`: it was killed."""

    peer: int
    frame: int
    begin_s: float
    end_s: float
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Everything that is drawn."""

    title: str
    subtitle: str
    peers: Sequence[str]
    tiles: Sequence[Tile]
    bars: Sequence[Bar]


class Canvas:
    """An array of bytes that can be drawn on."""

    def __init__(self, width: int, height: int) -> None:
        self._buffer = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(width, height, 3, "uint8"))
        self.box(0, 0, width, height, BACKGROUND)

    def box(self, left: float, top: float, width: float, height: float, color: Color) -> None:
        """Fill a rectangle."""
        roi = OpenImageIO.ROI(round(left), round(left + width), round(top), round(top + height))
        OpenImageIO.ImageBufAlgo.fill(self._buffer, _unit(color), roi)

    def text(
        self, left: float, middle: float, text: str, *, size: int = 17, color: Color = TEXT, align: str = "left"
    ) -> None:
        """Write a line whose middle is at a height; `align` says what `left` is: left, right or center."""
        font = "DroidSans-Bold" if size > 20 else "DroidSans"
        OpenImageIO.ImageBufAlgo.render_text(
            self._buffer, round(left), round(middle), text, size, font, _unit(color), alignx=align, aligny="center"
        )

    def picture(self, left: int, top: int, width: int, height: int, path: Path) -> None:
        """Put a picture into a place, scaled to it."""
        source = OpenImageIO.ImageBuf(str(path))
        scaled = OpenImageIO.ImageBufAlgo.resize(source, roi=OpenImageIO.ROI(0, width, 0, height, 0, 1, 0, 3))
        OpenImageIO.ImageBufAlgo.paste(self._buffer, left, top, 0, 0, scaled)

    def write(self, path: Path) -> None:
        """Write the canvas to a PNG file; raise OSError when that fails."""
        if not self._buffer.write(str(path)):
            raise OSError(f"{path}: {self._buffer.geterror()}")

    def pixels(self) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """Return what was drawn."""
        return np.asarray(self._buffer.get_pixels("uint8"), dtype=np.uint8)


def draw(sheet: Sheet) -> Canvas:
    """Draw a sheet."""
    tile_height = _tile_height(sheet)
    rows = -(-len(sheet.tiles) // COLUMNS)
    grid_top = MARGIN + _HEAD
    lanes_top = grid_top + rows * (tile_height + _CAPTION + GAP) + GAP
    width = 2 * MARGIN + COLUMNS * TILE_WIDTH + (COLUMNS - 1) * GAP
    height = lanes_top + len(sheet.peers) * (_LANE + 4) + _AXIS + MARGIN
    canvas = Canvas(width, height)
    canvas.text(MARGIN, MARGIN + 20, sheet.title, size=30)
    canvas.text(MARGIN, MARGIN + 56, sheet.subtitle, size=18, color=FAINT)
    for place, tile in enumerate(sheet.tiles):
        left = MARGIN + place % COLUMNS * (TILE_WIDTH + GAP)
        top = grid_top + place // COLUMNS * (tile_height + _CAPTION + GAP)
        _tile(canvas, sheet, tile, (left, top, tile_height))
    _lanes(canvas, sheet, lanes_top, width)
    return canvas


def _tile(canvas: Canvas, sheet: Sheet, tile: Tile, place: tuple[int, int, int]) -> None:
    left, top, height = place
    middle = top + height + _CAPTION / 2
    canvas.box(left, top + height, TILE_WIDTH, _CAPTION, PANEL)
    canvas.picture(left, top, TILE_WIDTH, height, tile.picture)
    canvas.box(left, top + height, TILE_WIDTH, 3, PEERS[tile.peer % len(PEERS)])
    canvas.text(left + 10, middle + 1, f"frame {tile.frame}", size=16)
    canvas.text(
        left + TILE_WIDTH / 2,
        middle + 1,
        sheet.peers[tile.peer],
        size=16,
        color=PEERS[tile.peer % len(PEERS)],
        align="center",
    )
    canvas.text(left + TILE_WIDTH - 10, middle + 1, tile.text, size=16, color=FAINT, align="right")


def _lanes(canvas: Canvas, sheet: Sheet, top: int, width: int) -> None:
    """Draw who rendered what when: a lane for each peer, a bar for each render."""
    left, span = MARGIN + _NAME_WIDTH, width - 2 * MARGIN - _NAME_WIDTH
    last_s = max((bar.end_s for bar in sheet.bars), default=1.0) or 1.0
    for lane, name in enumerate(sheet.peers):
        y = top + lane * (_LANE + 4)
        canvas.box(left, y, span, _LANE, PANEL)
        canvas.text(MARGIN, y + _LANE / 2, name, color=PEERS[lane % len(PEERS)])
    for bar in sheet.bars:
        x, y = round(left + bar.begin_s / last_s * span), top + bar.peer * (_LANE + 4)
        length = max(4.0, (bar.end_s - bar.begin_s) / last_s * span - 2)
        canvas.box(x, y + 3, length, _LANE - 6, PEERS[bar.peer % len(PEERS)])
        if bar.cut:
            canvas.box(x + length, y - 2, 4, _LANE + 4, ALARM)
            canvas.text(x + length + 12, y + _LANE / 2, "kill -9", size=16, color=ALARM)
        if length > 26:
            canvas.text(x + length / 2, y + _LANE / 2, str(bar.frame), size=15, color=BACKGROUND, align="center")
    step_s = next((step for step in _TICKS_S if last_s / step <= 12), _TICKS_S[-1])
    for tick in range(0, int(last_s) + 1, step_s):
        axis = top + len(sheet.peers) * (_LANE + 4) + _AXIS / 2
        canvas.text(left + tick / last_s * span, axis, f"{tick} s", size=14, color=FAINT, align="center")


def _tile_height(sheet: Sheet) -> int:
    """Return the height of all tiles, by the shape of the first picture."""
    spec = OpenImageIO.ImageBuf(str(sheet.tiles[0].picture)).spec()
    return round(TILE_WIDTH * spec.height / spec.width)


def _unit(color: Color) -> list[float]:
    return [part / 255 for part in color]
