"""Made-up meshes to look at, and a headless terminal to look with."""

import asyncio
from collections.abc import Callable

import trio
from textual.pilot import Pilot

from mesh.cli.top.app import Top
from mesh.cli.top.board import Board
from mesh.cli.top.news import JobTold, StatusTold
from mesh.ports.desk import FailureRow, JobRow, TaskRow
from sim import bucketrows
from sim.desk import FakeDesk, job_row, task_row
from sim.memberrows import OTHER, peer_row

THIRD = "c7" * 32
PATIENCE_S = 20.0

HOSTILE = "[bold red]x[/] \x1b[31mred\x1b[0m \u202eevil"
"""A name that tries both: a terminal's escapes, and markup."""
HARMLESS = "[bold red]x[/] red evil"


def running(frame: int, holder: str = OTHER, name: str = "studio") -> TaskRow:
    """Make a frame's row that is rendered now."""
    return TaskRow(**{**task_row(frame), "state": "running", "holder": holder, "holder_name": name, "attempt": 1})


def safe(frame: int) -> TaskRow:
    """Make a frame's row that is safe and delivered."""
    return TaskRow(**{**task_row(frame, "counts"), "state": "safe", "holds": 2})


def failed(frame: int, times: int = 1, reason: str = "exit code 139") -> TaskRow:
    """Make a frame's row that failed: stopped from the third time on."""
    failure = FailureRow(peer=OTHER, peer_name="studio", kind="crashed", reason=reason, has_log=True)
    state = "stopped" if times > 2 else "open"
    return TaskRow(**{**task_row(frame), "state": state, "failures": [failure] * times, "attempt": times})


def idle_desk() -> FakeDesk:
    """A mesh of two peers that has nothing to do."""
    return FakeDesk()


def busy_desk(frames: int = 240) -> FakeDesk:
    """A mesh of three peers that renders one job and has another behind it; half of the frames are there."""
    desk = FakeDesk()
    desk.peers = [peer_row(), peer_row(OTHER, "studio", me=False), peer_row(THIRD, "attic", me=False)]
    desk.peers[1]["slots"] = desk.peers[1]["busy"] = 2
    desk.peers[2].update(connected=False, engines=[])
    row = desk.add(job_row(1, "shot_010", frames))
    done = frames // 2
    tasks = [safe(frame) for frame in range(1, done - 9)]
    tasks += [task_row(frame, "counts") for frame in range(done - 9, done + 1)]
    tasks += [running(done + 1), running(done + 2)]
    tasks += [task_row(frame) for frame in range(done + 3, frames + 1)]
    desk.tasks[row["id"]] = tasks
    row.update(counting=done, delivered=done, safe=done - 10, running=2, durable=True, scene_holders=2)
    over = desk.add(job_row(2, "titles", 24))
    over.update(state="sealed", counting=24, delivered=24, safe=24, running=0)
    desk.tasks[over["id"]] = [safe(frame) for frame in range(1, 25)]
    return desk


def still_desk(frames: int = 1) -> FakeDesk:
    """A mesh of three peers that renders a still in buckets, half of which are there."""
    desk = FakeDesk()
    desk.peers = [peer_row(), peer_row(OTHER, "studio", me=False), peer_row(THIRD, "attic", me=False)]
    for peer in desk.peers:
        peer["busy"] = peer["slots"] = 2
    row = desk.add(job_row(1, "lake", frames))
    peers = [(peer["id"], peer["name"]) for peer in desk.peers]
    told = bucketrows.growing(row, peers, done=70, running=6)
    told.update(assembler=OTHER, assembler_name="studio")
    desk.tasks[row["id"]][0] = running(1)
    desk.grow(row, told)
    return desk


def failing_desk() -> FakeDesk:
    """A mesh whose one job crashes its renderer in three frames."""
    desk = FakeDesk()
    desk.peers[1]["busy"] = 1
    desk.log_text = "".join(f"Fra:1 Mem:{line}M | Path Tracing Sample {line}/128\n" for line in range(60))
    desk.log_text += "Writing: /tmp/crash.txt\nSegmentation fault\n"
    row = desk.add(job_row(1, "crash", 12))
    desk.tasks[row["id"]][:4] = [safe(1), failed(2), failed(3, 3), running(4)]
    row.update(
        counting=1, delivered=1, safe=1, running=1, stopped=1, problems=["frame 3 failed at three peers: crashed"]
    )
    return desk


def board_of(desk: FakeDesk) -> Board:
    """Know all that a desk tells."""
    board = Board()
    board.hear(StatusTold(status=trio.run(desk.status)))
    for job in desk.rows:
        board.hear(JobTold(answer=trio.run(desk.job, job)))
    return board


def shown(app: Top) -> str:
    """Read the screen."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[None], app: Top, found: str | Callable[[], bool]) -> None:
    """Wait until a text is on the screen, or something else holds."""
    holds = (lambda: found in shown(app)) if isinstance(found, str) else found
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await pilot.pause(0.01)
    except TimeoutError:
        raise AssertionError(f"{found} never came; the screen shows\n{shown(app)}") from None


def row_of(desk: FakeDesk, name: str) -> JobRow:
    """Return a job by name."""
    return next(row for row in desk.rows.values() if row["name"] == name)
