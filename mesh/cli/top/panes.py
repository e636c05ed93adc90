"""The widgets: panes that paint lines of spans and move a cursor. What they show is made elsewhere, without Textual.

Theory: a pane makes just the lines that it has room for, when it is painted, from values that a screen gave it; it
scrolls by itself, by lines of its own content. So what is on the screen is a pure function of the board, the size and
the cursor. Spans become Rich segments directly: no text is ever read as markup.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mesh.cli.maps import GROUND, mixed
from mesh.cli.top import grid, still, tables
from mesh.cli.top import log as logs
from mesh.cli.top.lines import Line, Span, Tone, clip, rule, scrolled
from mesh.cli.top.tables import Column, Row, Sort
from mesh.ports.desk import TaskRow
from mesh.ports.stills import BucketsAnswer

STYLES: Final[dict[Tone, Style]] = {
    Tone.PLAIN: Style(color="#d5d9e0"),
    Tone.DIM: Style(color="#8b93a1"),
    Tone.BOLD: Style(color="#f2f4f7", bold=True),
    Tone.GOOD: Style(color="#7fc27e"),
    Tone.BUSY: Style(color="#5aa9e6"),
    Tone.WARN: Style(color="#f4a261"),
    Tone.BAD: Style(color="#f0776d"),
    Tone.ALARM: Style(color="#ffffff", bgcolor="#a32a22", bold=True),
    Tone.RULE: Style(color="#6f7887"),
    Tone.CELL_OPEN: Style(color="#8b93a1", bgcolor="#262a32"),
    Tone.CELL_RUNNING: Style(color="#08131f", bgcolor="#5aa9e6"),
    Tone.CELL_FAILED: Style(color="#1d1206", bgcolor="#f4a261"),
    Tone.CELL_COUNTS: Style(color="#e3f1e3", bgcolor="#356a3b"),
    Tone.CELL_SAFE: Style(color="#0b190b", bgcolor="#7fc27e"),
    Tone.CELL_STOPPED: Style(color="#ffffff", bgcolor="#c2352b", bold=True),
    Tone.PEER: Style(),
    Tone.PEER_RUNS: Style(bold=True),
}
"""Far enough apart on the dark ground for most eyes; a letter or a word stands beside every colour."""

MARKED: Final = Style(bgcolor="#2c3646", bold=True)
MARKED_CELL: Final = Style(color="#000000", bgcolor="#ffffff", bold=True, reverse=False)


def style(span: Span) -> Style:
    """Return how a span looks."""
    found = STYLES[span.tone] + _hued(span) if span.hue else STYLES[span.tone]
    if not span.marked:
        return found
    # Without colours only this is left of a marked cell of one letter.
    return MARKED_CELL + Style(underline=True) if found.bgcolor is not None else found + MARKED


def _hued(span: Span) -> Style:
    """Return a peer's colours: what it rendered is of its hue, what it renders has its letter in it."""
    if span.tone is Tone.PEER:
        return Style(color=mixed(GROUND, span.hue, 0.3), bgcolor=span.hue)
    return Style(color=span.hue, bgcolor=mixed(GROUND, span.hue, 0.25))


class Pane(Widget):
    """Paints the lines that `paint` returns."""

    DEFAULT_CSS = "Pane { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's name
        super().__init__(id=id)
        self._painted: list[Line] = []
        self._painted_for: Size | None = None

    @abstractmethod
    def paint(self, columns: int, height: int) -> list[Line]:
        """Return the lines for a pane of this size."""

    def redraw(self) -> None:
        """Paint again, since what is shown has changed."""
        self._painted_for = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line, as Textual asks for it."""
        if self._painted_for != self.size:
            self._painted = self.paint(self.size.width, self.size.height)
            self._painted_for = self.size
        ground = self.rich_style
        line = clip(self._painted[y], self.size.width) if y < len(self._painted) else ()
        strip = Strip([Segment(span.text, ground + style(span)) for span in line if span.text])
        filling = ground + MARKED if line and line[-1].marked and len(line) > 1 else ground
        return strip.adjust_cell_length(self.size.width, filling)

    def on_focus(self) -> None:
        """Show that keys go here."""
        self.redraw()

    def on_blur(self) -> None:
        """Show that they do not."""
        self.redraw()


class TextPane(Pane):
    """A few lines that somebody else made for the width."""

    DEFAULT_CSS = "TextPane { height: 1; }"

    def __init__(self, make: Callable[[int], Sequence[Line]], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._make = make

    def paint(self, columns: int, height: int) -> list[Line]:
        """Return the lines."""
        return list(self._make(columns))[:height]


class StillPane(Pane):
    """A frame that grows from buckets."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._told: BucketsAnswer | None = None

    def show(self, told: BucketsAnswer | None) -> None:
        """Show this frame; None: it is not known yet."""
        self._told = told
        self.redraw()

    def paint(self, columns: int, height: int) -> list[Line]:
        """Return the rule and the picture."""
        if self._told is None:
            return [rule("Buckets", columns)]
        title = f"Buckets of frame {self._told['frame']}, {self._told['width']}×{self._told['height']}"
        return [rule(title, columns), *still.lines(self._told, columns, max(1, height - 1))]


_STEPS: Final[list[BindingType]] = [
    Binding("up,k", "step(-1)", show=False),
    Binding("down,j", "step(1)", show=False),
    Binding("pageup", "page(-1)", show=False),
    Binding("pagedown,space", "page(1)", show=False),
    Binding("home,g", "end(-1)", show=False),
    Binding("end,G", "end(1)", show=False),
    Binding("enter", "choose", show=False),
]


class Cursor(Message):
    """The cursor of a pane stands on something else."""


class Chosen(Message):
    """Enter was pressed on what the cursor stands on."""


class TablePane(Pane, can_focus=True):
    """Rows under their titles, sorted, with a cursor that stays on its row wherever that goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_STEPS,
        Binding("s", "sort", show=False),
        Binding("r", "turn", show=False),
    ]

    def __init__(self, title: str, columns: Sequence[Column], empty: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._title = title
        self._columns = columns
        self._empty = empty
        self._told: list[Row] = []
        self._rows: list[Row] = []
        self._sort = Sort()
        self._place = 0
        self._top = 0
        self.key: str | None = None
        """Of the row where the cursor is."""

    def show(self, rows: list[Row]) -> None:
        """Show these rows."""
        self._told = rows
        self._arrange()

    def _arrange(self) -> None:
        self._rows = self._sort.order(self._told, self._columns)
        keys = [row.key for row in self._rows]
        if self.key in keys:
            self._place = keys.index(self.key)
        self._go(self._place)

    def _go(self, place: int) -> None:
        self._place = max(0, min(place, len(self._rows) - 1))
        before, self.key = self.key, self._rows[self._place].key if self._rows else None
        self.redraw()
        if self.key != before:
            self.post_message(Cursor())

    def paint(self, columns: int, height: int) -> list[Line]:
        """Return the rule, the titles, and the rows around the cursor."""
        room = height - 2
        self._top = scrolled(self._top, self._place, len(self._rows), room)
        name = self._columns[self._sort.column].title if self._sort.column is not None else ""
        by = f"by {name.lower()}" if name else ""
        count = len(self._rows)
        part_seen = f"{self._top + 1}–{min(count, self._top + room)} of {count}" if count > room else ""
        note = ", ".join(part for part in (by, part_seen) if part)
        head = rule(f"{self._title} {count}", columns, note, focused=self.has_focus)
        if not self._rows:
            return [head, (Span(f"  {self._empty}", Tone.DIM),)]
        seen = range(self._top, min(count, self._top + room))
        titles, lines = tables.sheet(self._columns, self._rows, seen, self._sort, columns)
        cursor = self._place - self._top
        lines[cursor] = tables.marked(lines[cursor], focused=self.has_focus)
        return [head, titles, *lines]

    def action_step(self, step: int) -> None:
        """Move by rows."""
        self._go(self._place + step)

    def action_page(self, step: int) -> None:
        """Move by what is seen."""
        self._go(self._place + step * max(1, self.size.height - 3))

    def action_end(self, step: int) -> None:
        """Move to the first or last row."""
        self._go(0 if step < 0 else len(self._rows) - 1)

    def action_choose(self) -> None:
        """Open the row."""
        if self._rows:
            self.post_message(Chosen())

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = self._sort.next(len(self._columns))
        self._arrange()

    def action_turn(self) -> None:
        """Sort the other way round."""
        self._sort = self._sort.turned()
        self._arrange()


class GridPane(Pane, can_focus=True):
    """A job's frames, with a cursor on one of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "along(-1)", show=False),
        Binding("right,l", "along(1)", show=False),
        Binding("n", "failed", show=False),
        *_STEPS,
    ]

    def __init__(self, *, cursor: bool, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = cursor
        self._frames: Sequence[TaskRow] = ()
        self._title = ""
        self._top = 0
        self._has_cursor = cursor
        self._shape: grid.Shape | None = None
        self.place = 0
        """Of the frame where the cursor is, in the job's own order."""

    def show(self, title: str, frames: Sequence[TaskRow], place: int | None = None) -> None:
        """Show these frames; a place moves the cursor."""
        self._title, self._frames = title, frames
        if place is not None:
            self.place = place
        self.place = max(0, min(self.place, len(frames) - 1))
        self.redraw()

    def _laid(self) -> grid.Shape:
        return grid.shape(self._frames, self.size.width, max(1, self.size.height - 1))

    def paint(self, columns: int, height: int) -> list[Line]:
        """Return the rule and the rows around the cursor."""
        if not self._frames:
            return [rule(self._title, columns)]
        laid, room = self._laid(), max(1, height - 1)
        at = self.place // laid.per_row if self._has_cursor else 0
        self._top = scrolled(self._top, at, laid.rows, room)
        note = f"rows {self._top + 1}–{min(laid.rows, self._top + room)} of {laid.rows}" if laid.rows > room else ""
        cursor = self.place if self._has_cursor else None
        head = rule(self._title, columns, note, focused=self.has_focus)
        return [head, *grid.rows(self._frames, laid, self._top, room, cursor)]

    def _go(self, place: int) -> None:
        if place != self.place:
            self.place = place
            self.redraw()
            self.post_message(Cursor())

    def action_along(self, step: int) -> None:
        """Move by frames."""
        self._go(grid.moved(self.place, len(self._frames), step))

    def action_step(self, step: int) -> None:
        """Move by rows."""
        self._go(grid.moved(self.place, len(self._frames), step * self._laid().per_row))

    def action_page(self, step: int) -> None:
        """Move by what is seen."""
        rows = max(1, self.size.height - 2)
        if self._frames:
            self._go(grid.paged(self.place, len(self._frames), step * rows * self._laid().per_row))

    def action_end(self, step: int) -> None:
        """Move to the first or last frame."""
        if self._frames:
            self._go(0 if step < 0 else len(self._frames) - 1)

    def action_failed(self) -> None:
        """Move to the next frame that failed."""
        if self._frames:
            self._go(grid.next_failed(self._frames, self.place))

    def action_choose(self) -> None:
        """Open the frame."""
        if self._frames:
            self.post_message(Chosen())


class LogPane(Pane, can_focus=True):
    """A log; its end is shown, and goes on being shown, until somebody scrolls up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "along(-1)", show=False),
        Binding("right,l", "along(1)", show=False),
        *_STEPS,
    ]
    ALONG: ClassVar[int] = 16

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._title = ""
        self._lines: list[Line] = []
        self._top: int | None = None
        self._left = 0

    def show(self, title: str, lines: list[Line]) -> None:
        """Show a log; one of another title begins at its end."""
        if title != self._title:
            self._top, self._left = None, 0
        self._title, self._lines = title, lines
        self.redraw()

    @property
    def _last_top(self) -> int:
        return max(0, len(self._lines) - max(1, self.size.height - 1))

    def paint(self, columns: int, height: int) -> list[Line]:
        """Return the rule and the part of the log that is seen."""
        room = max(1, height - 1)
        top = self._last_top if self._top is None else min(self._top, self._last_top)
        count = len(self._lines)
        note = f"{top + 1}–{min(count, top + room)} of {count}" if count > room else ""
        part = [logs.shifted(line, self._left) for line in self._lines[top : top + room]]
        return [rule(self._title, columns, note, focused=self.has_focus), *((Span(" "), *line) for line in part)]

    def _go(self, top: int) -> None:
        # At the very end it follows what comes.
        self._top = None if top >= self._last_top else max(0, top)
        self.redraw()

    def _now(self) -> int:
        return self._last_top if self._top is None else self._top

    def action_along(self, step: int) -> None:
        """Move sideways along lines that are longer than the window."""
        self._left = max(0, self._left + step * self.ALONG)
        self.redraw()

    def action_step(self, step: int) -> None:
        """Move by lines."""
        self._go(self._now() + step)

    def action_page(self, step: int) -> None:
        """Move by what is seen."""
        self._go(self._now() + step * max(1, self.size.height - 2))

    def action_end(self, step: int) -> None:
        """Move to the beginning or the end."""
        self._go(0 if step < 0 else self._last_top)

    def action_choose(self) -> None:
        """Open the log."""
        self.post_message(Chosen())
