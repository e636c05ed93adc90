"""The screen that says what the keys do."""

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from mesh.cli.top import grid
from mesh.cli.top.lines import Line, Span, Tone, cut
from mesh.cli.top.panes import TextPane

_HELP: Final = (
    ("Everywhere", ""),
    ("?", "this help; escape closes it"),
    ("q, ctrl+c", "quit; the peer runs on"),
    ("arrows, h j k l", "move; pages and ends with page up, page down, home, end"),
    ("enter, escape", "open what the cursor stands on; go back"),
    ("tab", "to the other table, or between frames and log"),
    ("", ""),
    ("Peers and jobs", ""),
    ("s, r", "sort by the next column; the other way round"),
    ("l", "the job's log: failed attempts and the newest frame"),
    ("", ""),
    ("One job", ""),
    ("n", "to the next frame that failed"),
    ("enter, L", "the frame's log; the whole job's"),
)


class HelpScreen(ModalScreen[None]):
    """What the keys do and what the letters mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,question_mark,space", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        """Make the one pane."""
        with Vertical(id="help"):
            yield TextPane(self._lines, id="help-text")

    def _lines(self, columns: int) -> list[Line]:
        found: list[Line] = []
        for key, does in _HELP:
            if not does:
                found.append((Span(key, Tone.BOLD),))
            else:
                found.append((Span(f"  {key:<16}", Tone.BUSY), Span(cut(does, columns - 18))))
        legend = [(Span(f" {one.letter} ", one.tone), Span(f" {text}", Tone.DIM)) for one, text in _MEANINGS]
        pairs = [(*first, *self._second(first, rest)) for first, rest in zip(legend[::2], legend[1::2], strict=True)]
        found += [(), (Span("Letters", Tone.BOLD), Span("  (capital: the file is delivered)", Tone.DIM)), *pairs]
        room = self.size.height - 2
        return (
            found
            if len(found) <= room
            else [*found[: room - 1], (Span("The window is too small for more.", Tone.WARN),)]
        )

    @staticmethod
    def _second(first: Line, line: Line) -> Line:
        taken = sum(len(span.text) for span in first)
        return (Span(" " * max(1, 32 - taken)), *line)


_MEANINGS: Final = (
    (grid.OPEN, "open: nobody renders it yet"),
    (grid.RUNNING, "is rendered now"),
    (grid.FAILED, "failed, and is tried again"),
    (grid.STOPPED, "stopped: failed too often"),
    (grid.COUNTS, "counts: it is rendered"),
    (grid.SAFE, "safe: enough peers hold it"),
)
