"""The screens: the mesh, one job, and a log. Each shows the board when told to."""

from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer

from mesh.cli import jobrows, words
from mesh.cli.top import grid, still, tables
from mesh.cli.top import log as logs
from mesh.cli.top.board import Board, KnownJob
from mesh.cli.top.lines import Line, Span, Tone, rule
from mesh.cli.top.panes import GridPane, LogPane, StillPane, TablePane, TextPane
from mesh.ports.desk import TaskRow
from mesh.ports.stills import BucketsAnswer

if TYPE_CHECKING:
    from mesh.cli.top.app import Top

TALL: Final = 32
"""From that many lines on, the mesh's screen has room for the frames of the job under the cursor."""

HEADS: Final = 8
"""Lines of a job's screen around the frames and what is below: head, job, legend, frame and keys."""

LOG_LEAST: Final = 6
"""Fewer lines of a log, its title among them, say little."""

SETTLED_S: Final = 0.2
"""A log is asked for when the cursor stood still for so long: keys repeat faster."""


def keys(*pairs: tuple[str, str]) -> Line:
    """Return the last line of a screen: keys and what they do."""
    line: list[Span] = []
    for key, does in pairs:
        line += [Span(f" {key}", Tone.BOLD), Span(f" {does} ", Tone.DIM)]
    return tuple(line)


_COMMON: Final = (("?", "help"), ("q", "quit"))


class BoardScreen(Screen[None]):
    """A screen with the head above and the keys below."""

    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()

    @property
    def top(self) -> "Top":
        """The program."""
        return cast("Top", self.app)

    @property
    def board(self) -> Board:
        """What is known."""
        return self.top.board

    @property
    def looked_at(self) -> str | None:
        """The job that a person looks at here."""
        return None

    def compose(self) -> ComposeResult:
        """Make the panes."""
        yield TextPane(lambda columns: [tables.head(self.board, columns)], id="head")
        yield from self.panes()
        yield TextPane(lambda _columns: [keys(*self.KEYS, *_COMMON)], id="keys")

    def panes(self) -> ComposeResult:
        """Make what stands between."""
        yield from ()

    def on_screen_resume(self) -> None:
        """Show what is known by now."""
        self.show()
        self.top.follow()

    def show(self) -> None:
        """Show the board as it is now."""
        self.query_one("#head", TextPane).redraw()


class MeshScreen(BoardScreen):
    """Peers and jobs; on a tall terminal also the frames of the job under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("l", "log", show=False), Binding("tab", "other", show=False)]
    KEYS = (("↑↓", "move"), ("tab", "peers, jobs"), ("enter", "open"), ("l", "log"), ("s", "sort"), ("r", "turn"))

    def panes(self) -> ComposeResult:
        """Make the two tables, the details of the row under the cursor, and what came of them."""
        yield TablePane("Peers", tables.PEERS, "No peers.", id="peers")
        yield TablePane("Jobs", tables.JOBS, "No jobs yet. `meshnode submit shot.blend` makes one.", id="jobs")
        yield GridPane(cursor=False, id="frames")
        yield TextPane(self._outcome, id="outcome")
        yield TextPane(self._details, id="details")

    @property
    def looked_at(self) -> str | None:
        """The job under the cursor, where its frames are shown."""
        return self.query_one("#jobs", TablePane).key if self._tall else None

    @property
    def _tall(self) -> bool:
        return self.size.height >= TALL

    def on_mount(self) -> None:
        """Begin with the jobs, which is what a person mostly wants to see."""
        self.query_one("#jobs", TablePane).focus()

    def on_resize(self, _event: Resize) -> None:
        """Give each pane its lines."""
        self.show()
        self.top.follow()

    def show(self) -> None:
        """Show peers and jobs."""
        super().show()
        peers, jobs = tables.peer_rows(self.board), tables.job_rows(self.board)
        self._share(len(peers), len(jobs))
        self.query_one("#peers", TablePane).show(peers)
        self.query_one("#jobs", TablePane).show(jobs)
        self._show_frames()

    def _share(self, peers: int, jobs: int) -> None:
        """Give peers and jobs the lines that they need, at most a fair part; what is left goes below."""
        room = max(10, self.size.height - 4)
        peers_need, jobs_need = 2 + max(1, peers), 2 + max(1, jobs)
        shows_frames = self._tall and bool(jobs)
        part = room // 3 if shows_frames else room // 2
        peers_most = part if shows_frames else max(part, room - jobs_need)
        self.query_one("#peers", TablePane).styles.height = min(peers_need, peers_most)
        self.query_one("#jobs", TablePane).styles.height = min(jobs_need, part) if shows_frames else "1fr"
        for below in ("#frames", "#outcome"):
            self.query_one(below).display = shows_frames

    def _show_frames(self) -> None:
        job = self.looked_at
        known = self.board.jobs.get(job) if job is not None else None
        pane, frames = self.query_one("#frames", GridPane), known.frames if known is not None else ()
        # A third is enough for a look at the frames; who rendered them and what failed stands below.
        pane.styles.height = 1 + min(
            grid.shape(frames, self.size.width, self.size.height // 3).rows, self.size.height // 3
        )
        pane.show(f"Frames of {known.row['name']}" if known is not None else "Frames", frames)
        for name in ("#outcome", "#details"):
            self.query_one(name, TextPane).redraw()

    def _outcome(self, columns: int) -> list[Line]:
        job = self.looked_at
        known = self.board.jobs.get(job) if job is not None else None
        if known is None:
            return []
        shares = grid.share_lines(known.frames, max(1, self.size.height // 5))
        failures = grid.failure_lines(known.frames, max(1, self.size.height // 3))
        return [
            grid.legend(),
            *([rule("Rendered by", columns), *shares] if shares else []),
            *([rule("Failures", columns), *failures] if failures else []),
        ]

    def _details(self, _columns: int) -> list[Line]:
        peers = self.query_one("#peers", TablePane)
        if peers.has_focus:
            return tables.peer_details(self.board, peers.key)
        return tables.job_details(self.board, self.query_one("#jobs", TablePane).key)

    def on_cursor(self) -> None:
        """Show what the cursor stands on."""
        self._show_frames()
        self.top.follow()

    def on_descendant_focus(self) -> None:
        """Show the details of the other table's row."""
        self.query_one("#details", TextPane).redraw()

    def on_chosen(self) -> None:
        """Open the job."""
        jobs = self.query_one("#jobs", TablePane)
        if jobs.has_focus and jobs.key is not None:
            self.app.push_screen(JobScreen(jobs.key))

    def action_other(self) -> None:
        """Go to the other table."""
        peers, jobs = self.query_one("#peers", TablePane), self.query_one("#jobs", TablePane)
        (jobs if peers.has_focus else peers).focus()

    def action_log(self) -> None:
        """Show the log of the job under the cursor."""
        job = self.query_one("#jobs", TablePane).key
        if job is not None:
            self.app.push_screen(LogScreen(job, None))


class JobScreen(BoardScreen):
    """One job: how far it is, a cell for each frame, and the log of the frame under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", show=False),
        Binding("tab", "other", show=False),
        Binding("L", "log", show=False),
    ]
    KEYS = (("←↑↓→", "move"), ("n", "next failed"), ("enter", "log"), ("L", "job's log"), ("esc", "back"))

    def __init__(self, job: str) -> None:
        super().__init__()
        self._job = job
        self._asked: object = None
        self._settling: Timer | None = None
        self._begun = False
        self._still_asked: object = None
        self._stills_waited = -1
        """How many stills had been told when one was asked for; -1: none is waited for."""

    @property
    def looked_at(self) -> str | None:
        """This job."""
        return self._job

    def panes(self) -> ComposeResult:
        """Make the lines about the job, the grid, the lines about a frame, and its log."""
        yield TextPane(self._about, id="about")
        yield GridPane(cursor=True, id="grid")
        yield TextPane(lambda _columns: [grid.legend()], id="legend")
        with Vertical(id="below"):
            yield TextPane(self._frame, id="frame")
            yield StillPane(id="still")
            yield LogPane(id="log")

    def on_mount(self) -> None:
        """Let keys go to the frames."""
        self.query_one("#grid", GridPane).focus()

    def on_resize(self, _event: Resize) -> None:
        """Give each pane its lines."""
        self._share()

    def _share(self) -> None:
        """Give the frames the lines that they need, at most three fifths; what is left is the log's."""
        frames = self._known.frames if self._known is not None else ()
        room = max(8, self.size.height - 6)
        most = room - max(6, self.size.height * 2 // 5)
        grid_lines = min(most, 1 + grid.shape(frames, self.size.width, most - 1).rows)
        self.query_one("#grid").styles.height = grid_lines
        self._share_below(self.size.height - grid_lines - HEADS)

    def _share_below(self, room: int) -> None:
        """Give a frame in buckets the lines that its picture needs; the log has what is left, if that is worth it."""
        pane, log = self.query_one("#still", StillPane), self.query_one("#log", LogPane)
        pane.display = self._in_buckets and room > still.LEAST
        told = self._still
        need = 1 + still.height(told, self.size.width, room - 1) if told is not None else room
        log.display = not pane.display or log.has_focus or room - need >= LOG_LEAST
        pane.styles.height = min(need, room - LOG_LEAST if log.display else room)

    @property
    def _known(self) -> KnownJob | None:
        return self.board.jobs.get(self._job)

    @property
    def _in_buckets(self) -> bool:
        return self._known is not None and jobrows.in_buckets(self._known.row)

    @property
    def _still(self) -> BucketsAnswer | None:
        """Who renders which part of the frame under the cursor, as far as that was told."""
        task = self._under_cursor
        return self.board.still_of(self._job, task["frame"]) if task is not None and self._in_buckets else None

    def _ask_still(self) -> None:
        """Ask who renders which part of the frame, whenever that may be another; one question at a time."""
        task, row = self._under_cursor, self._known.row if self._known is not None else None
        if task is None or row is None or not self._in_buckets or not self.is_current:
            return
        if self.board.stills_told == self._stills_waited:
            return
        stamp = (task, row["pixels_counting"], row["running"], row["counting"], self.board.returns)
        if stamp != self._still_asked:
            self._still_asked, self._stills_waited = stamp, self.board.stills_told
            self.top.feed.ask_still(self._job, task["frame"])

    @property
    def _under_cursor(self) -> TaskRow | None:
        known, place = self._known, self.query_one("#grid", GridPane).place
        return known.frames[place] if known is not None and place < len(known.frames) else None

    def show(self) -> None:
        """Show the job."""
        super().show()
        known, pane = self._known, self.query_one("#grid", GridPane)
        if known is None:
            pane.show(self.board.refused.get(self._job, "Frames: asking the peer …"), ())
        else:
            place = None if self._begun else grid.interesting(known.frames)
            self._begun = True
            pane.show(f"Frames {known.row['frames']} of {words.short(self._job)}", known.frames, place)
        self._share()
        self._show_frame()

    def _show_frame(self) -> None:
        for name in ("#about", "#frame"):
            self.query_one(name, TextPane).redraw()
        self.query_one("#still", StillPane).show(self._still)
        self._ask_still()
        task, log, pane = self._under_cursor, self.board.log, self.query_one("#log", LogPane)
        if task is None:
            pane.show("Log", [])
            return
        title = logs.title(task["frame"])
        if not grid.has_log(task):
            pane.show(title, logs.without(task))
        elif log is not None and (log.job, log.frame) == (self._job, task["frame"]):
            pane.show(title, logs.lines(log))
        else:
            pane.show(title, [(Span("fetching …", Tone.DIM),)])
        self._settle()

    def _settle(self) -> None:
        """Ask for the frame's log once the cursor stays where it is, and whenever there is another."""
        task = self._under_cursor
        if task is None or not grid.has_log(task) or not self.is_current:
            return
        stamp = (grid.log_stamp(task), self.board.returns)
        if stamp != self._asked:
            self._asked = stamp
            if self._settling is not None:
                self._settling.stop()
            self._settling = self.set_timer(SETTLED_S, self._ask)

    def _ask(self) -> None:
        task = self._under_cursor
        if task is not None and self.is_current:
            self.top.feed.ask_log(self._job, task["frame"])

    def _about(self, columns: int) -> list[Line]:
        row = self._known.row if self._known is not None else self.board.job_row(self._job)
        if row is None:
            return [(Span(f" {self.board.refused.get(self._job, 'This job is gone.')}", Tone.BAD),)]
        return [
            tables.job_line(self.board, row, columns),
            (Span(" "), *tables.bar(row, columns - 2)),
            tables.problem_line(row),
        ]

    def _frame(self, _columns: int) -> list[Line]:
        task, told = self._under_cursor, self._still
        if task is None:
            return []
        return still.frame_lines(task, told) if told is not None else grid.frame_lines(task)

    def on_cursor(self) -> None:
        """Show the frame that the cursor stands on."""
        self._show_frame()

    def on_chosen(self) -> None:
        """Open the log of the frame."""
        if (task := self._under_cursor) is not None:
            self.app.push_screen(LogScreen(self._job, task["frame"]))

    def on_screen_resume(self) -> None:
        """Ask for the frame's log again, where another was shown meanwhile; the class above does the rest."""
        self._asked = self._still_asked = None
        self._stills_waited = -1

    def action_other(self) -> None:
        """Go from the frames to the log or back."""
        frames, log = self.query_one("#grid", GridPane), self.query_one("#log", LogPane)
        # A picture of buckets may have taken the log's place; it makes room for whoever wants to read.
        log.display = True
        (log if frames.has_focus else frames).focus()

    def on_descendant_focus(self) -> None:
        """Share the lines anew."""
        self._share()

    def action_log(self) -> None:
        """Show the log of the whole job."""
        self.app.push_screen(LogScreen(self._job, None))


class LogScreen(BoardScreen):
    """A log on the whole screen; it is asked for anew when the job has other frames ended."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "app.pop_screen", show=False)]
    KEYS = (("↑↓", "scroll"), ("←→", "sideways"), ("home", "start"), ("end", "end"), ("esc", "back"))

    def __init__(self, job: str, frame: int | None) -> None:
        super().__init__()
        self._job = job
        self._frame = frame
        self._asked: object = None

    @property
    def looked_at(self) -> str | None:
        """The log's job."""
        return self._job

    def panes(self) -> ComposeResult:
        """Make the log."""
        yield LogPane(id="log")

    def on_mount(self) -> None:
        """Let keys go to the log."""
        self._pane.focus()

    @property
    def _pane(self) -> LogPane:
        return self.query_one("#log", LogPane)

    def _task_row(self) -> TaskRow | None:
        known = self.board.jobs.get(self._job)
        if known is None or self._frame is None or self._frame not in known.places:
            return None
        return known.frames[known.places[self._frame]]

    def _stamp(self) -> tuple[object, ...]:
        """Return what changes when there is more to see."""
        task, row = self._task_row(), self.board.job_row(self._job)
        if task is not None:
            return grid.log_stamp(task), self.board.returns
        return row and (row["counting"], len(row["problems"]), row["stopped"]), self.board.returns

    def show(self) -> None:
        """Show the log, and ask for another where there is one."""
        super().show()
        row, log = self.board.job_row(self._job), self.board.log
        title, pane = f"{logs.title(self._frame)} of {row['name'] if row else words.short(self._job)}", self._pane
        task = self._task_row()
        if task is not None and not grid.has_log(task):
            pane.show(title, logs.without(task))
            return
        if log is not None and (log.job, log.frame) == (self._job, self._frame):
            pane.show(title, logs.lines(log))
        else:
            pane.show(title, [(Span("fetching …", Tone.DIM),)])
        stamp = self._stamp()
        if stamp != self._asked:
            self._asked = stamp
            self.top.feed.ask_log(self._job, self._frame)
