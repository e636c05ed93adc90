"""The program behind `meshnode top`: hears the feed, keeps the board, and lets the screens show it."""

from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from mesh.cli.top.board import Board
from mesh.cli.top.feed import Connect, Feed
from mesh.cli.top.help import HelpScreen
from mesh.cli.top.news import News, StatusTold
from mesh.cli.top.screens import BoardScreen, MeshScreen
from mesh.ports.desk import StatusAnswer

BACK_S: Final = 5.0
"""How long it is said that the peer is back."""


class Heard(Message):
    """News came."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news


class Top(App[None]):
    """A read-only view of a running peer."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "meshnode top"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", show=False, priority=True),
        Binding("question_mark", "help", show=False),
    ]
    CSS = """
    Screen { background: #14171c; layout: vertical; }
    #head { background: #20252e; }
    #keys { background: #20252e; dock: bottom; }
    #details { height: 2; }
    #about { height: 3; }
    #frame { height: 2; }
    #below { height: 1fr; }
    #outcome { height: 1fr; }
    HelpScreen { align: center middle; background: #14171c 60%; }
    #help { width: 78; height: 22; max-width: 100%; max-height: 100%; }
    #help { background: #20252e; border: round #6f7887; padding: 0 1; }
    #help-text { height: 1fr; background: #20252e; }
    """

    def __init__(self, connect: Connect, first: StatusAnswer) -> None:
        super().__init__()
        self.board = Board()
        self.board.hear(StatusTold(status=first))
        self.feed = Feed(connect, self._tell)

    def on_mount(self) -> None:
        """Show the mesh, and begin to hear of it."""
        self.push_screen(MeshScreen())
        self.feed.start()

    def on_unmount(self) -> None:
        """Let go of the peer."""
        self.feed.close()

    def _tell(self, news: News) -> None:
        """Hand news over to this program's own thread."""
        self.post_message(Heard(news))

    def on_heard(self, message: Heard) -> None:
        """Take news in and show them."""
        was_back = self.board.returned
        self.board.hear(message.news)
        if self.board.returned and not was_back:
            self.set_timer(BACK_S, self._was_said)
        self.follow()
        self.show()

    def _was_said(self) -> None:
        self.board.returned = False
        self.show()

    def show(self) -> None:
        """Let the screen that is seen show the board; one that is just coming does so by itself."""
        # At the end news may come when the panes, or all screens, are gone already.
        screen = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(screen, BoardScreen) and screen.is_mounted and screen.children:
            screen.show()

    def follow(self) -> None:
        """Follow the jobs that the screen is about, and a few more."""
        looked_at = next((s.looked_at for s in reversed(self.screen_stack) if isinstance(s, BoardScreen)), None)
        self.feed.follow(self.board.wanted(looked_at))

    def action_help(self) -> None:
        """Say what the keys do."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())


def run(connect: Connect, first: StatusAnswer) -> int:
    """Show the peer until the person has seen enough; return the exit code."""
    program = Top(connect, first)
    program.run()
    return program.return_code or 0
