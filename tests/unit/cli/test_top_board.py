"""What `meshnode top` knows after which news, and how it goes on asking for them."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import trio

from mesh.cli.client import answered
from mesh.cli.top.board import FOLLOWED_FRAMES_MOST, FOLLOWED_JOBS_MOST, Board
from mesh.cli.top.feed import Feed
from mesh.cli.top.news import JobChanged, JobRefused, JobTold, LogRefused, LogTold, News, PeerLost, StatusTold
from mesh.ground.errors import NotRunningError
from mesh.ports.desk import JobChange
from sim.desk import FakeDesk, job_row, task_row
from sim.memberrows import OTHER
from tests.support.screens import board_of, busy_desk, running

PATIENCE_S = 20.0


def test_a_change_before_the_whole_job_says_nothing() -> None:
    desk = busy_desk()
    (row, _) = desk.rows.values()
    board = Board()
    board.hear(JobChanged(change=JobChange(job=row, frames=[running(1)])))
    assert board.jobs == {}


def test_changes_keep_the_order_of_frames_and_who_renders() -> None:
    desk = FakeDesk()
    row = desk.add(job_row(tasks=4))
    board = board_of(desk)
    stranger = task_row(99)
    board.hear(JobChanged(change=JobChange(job=row, frames=[running(3), task_row(1, "counts"), stranger])))
    known = board.jobs[row["id"]]
    assert [task["frame"] for task in known.frames] == [1, 2, 3, 4]
    assert board.rendered_by()[OTHER] == [("shot", 3)]
    board.hear(JobChanged(change=JobChange(job=row, frames=[task_row(3, "counts")])))
    assert OTHER not in board.rendered_by()


def test_what_was_known_stays_when_the_peer_is_lost_and_the_first_loss_is_told() -> None:
    board = board_of(busy_desk())
    board.hear(PeerLost(why="it ended", at_ms=1))
    board.hear(PeerLost(why="no peer is running", at_ms=2))
    assert board.lost is not None
    assert board.lost.at_ms == 1
    assert board.status is not None
    assert len(board.jobs) == 2
    board.hear(StatusTold(status=board.status))
    assert (board.lost, board.returned, board.returns) == (None, True, 1)


def test_a_job_that_is_gone_is_forgotten() -> None:
    desk = busy_desk()
    board = board_of(desk)
    gone = desk.rows.popitem()[0]
    board.hear(StatusTold(status=trio.run(desk.status)))
    assert gone not in board.jobs
    assert board.job_row(gone) is None


def test_a_rate_is_guessed_from_the_frames_times_until_it_was_seen() -> None:
    desk = FakeDesk()
    row = desk.add(job_row(tasks=100))
    board = Board()
    status = trio.run(desk.status)
    board.hear(StatusTold(status=status))
    assert board.per_hour(row) == 1_440, "one slot, 2.5 s a frame"
    row["counting"] = 2
    status["now_at_ms"] += 100
    board.hear(StatusTold(status=status))
    assert board.per_hour(row) == 1_440, "two frames that came at once say nothing"
    row["counting"] = 10
    status["now_at_ms"] += 35_900
    board.hear(StatusTold(status=status))
    assert round(board.per_hour(row)) == 1_000
    row["state"] = "sealed"
    assert board.per_hour(row) == 0


def test_few_jobs_are_followed_and_long_ones_only_when_looked_at() -> None:
    desk = FakeDesk()
    for number in range(1, FOLLOWED_JOBS_MOST + 3):
        desk.add(job_row(number, f"job{number}"))
    long = desk.add(job_row(100, "long"))
    long["tasks"] = FOLLOWED_FRAMES_MOST + 1
    board = board_of(desk)
    assert len(board.wanted(None)) == FOLLOWED_JOBS_MOST
    assert long["id"] not in board.wanted(None)
    assert board.wanted(long["id"])[0] == long["id"]
    assert "unknown" not in board.wanted("unknown")


class Script:
    """A peer that answers as a test says; `None` in a stream breaks it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.streams: dict[str, queue.Queue[tuple[str, Any] | None]] = {}
        self.up = True

    def connect(self, _plain: Callable[[str], str]) -> "Line":
        if not self.up:
            raise NotRunningError("no peer is running in /h")
        return Line(self)

    def say(self, path: str, event: tuple[str, Any] | None) -> None:
        self.streams.setdefault(path, queue.Queue()).put(event)


class Line:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._paths: list[str] = []
        self._over = threading.Event()

    def get(self, path: str) -> Any:
        value = self._script.values[path]
        if isinstance(value, Exception):
            raise value
        return value

    def stream(self, path: str) -> Iterator[tuple[str, Any]]:
        self._paths.append(path)
        events = self._script.streams.setdefault(path, queue.Queue())
        while not self._over.is_set() and (event := events.get(timeout=PATIENCE_S)) is not None:
            if isinstance(event[1], Exception):
                raise event[1]
            yield event

    def hang_up(self) -> None:
        self._over.set()
        for path in self._paths:
            self._script.say(path, None)


def listening(script: Script) -> tuple[Feed, "queue.Queue[News]"]:
    heard: queue.Queue[News] = queue.Queue()
    return Feed(script.connect, heard.put), heard


def test_the_feed_tells_the_status_says_when_it_breaks_and_tries_again() -> None:
    status = trio.run(FakeDesk().status)
    script = Script({})
    feed, heard = listening(script)
    feed.start()
    script.say("/status/watch", ("change", status))
    assert heard.get(timeout=PATIENCE_S) == StatusTold(status=status)
    script.up = False
    script.say("/status/watch", None)
    lost = heard.get(timeout=PATIENCE_S)
    assert isinstance(lost, PeerLost)
    assert lost.why == "it ended"
    again = heard.get(timeout=PATIENCE_S)
    assert isinstance(again, PeerLost)
    assert again.why == "no peer is running in /h"
    script.say("/status/watch", ("change", status))
    script.up = True
    news = again
    while isinstance(news, PeerLost):
        news = heard.get(timeout=PATIENCE_S)
    assert news == StatusTold(status=status)
    feed.close()
    assert heard.empty(), "after its end nothing is told"


def test_the_feed_tells_a_job_in_full_before_its_changes_and_ends_with_it() -> None:
    desk = busy_desk()
    (row, _) = desk.rows.values()
    job, path = trio.run(desk.job, row["id"]), f"/jobs/{row['id']}"
    script = Script({path: job})
    feed, heard = listening(script)
    feed.follow([row["id"]])
    change = JobChange(job=row, frames=[running(3)])
    script.say(f"{path}/watch", ("change", JobChange(job=row, frames=[])))
    script.say(f"{path}/watch", ("change", change))
    script.say(f"{path}/watch", ("end", None))
    assert [heard.get(timeout=PATIENCE_S) for _ in range(2)] == [JobTold(answer=job), JobChanged(change=change)]
    feed.follow([row["id"]])
    feed.follow([])
    feed.close()
    assert heard.empty()


def test_what_the_peer_refuses_is_told_once() -> None:
    refusal = answered({"error": "NotFound", "message": "no job is called x", "advice": "", "exit_code": 11})
    script = Script({"/jobs/x/logs": refusal, "/jobs/x/logs?frame=3": {"parts": []}})
    feed, heard = listening(script)
    feed.follow(["x"])
    script.say("/jobs/x/watch", ("change", refusal))
    assert heard.get(timeout=PATIENCE_S) == JobRefused(job="x", why="no job is called x")
    feed.ask_log("x", None)
    assert heard.get(timeout=PATIENCE_S) == LogRefused(job="x", frame=None, why="no job is called x")
    feed.ask_log("x", 3)
    told = heard.get(timeout=PATIENCE_S)
    assert isinstance(told, LogTold)
    assert told.frame == 3
    feed.close()
    assert heard.empty()
