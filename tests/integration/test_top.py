"""`meshnode top` on a headless terminal against a made-up desk over the real API: what is seen, and what keys do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.pilot import Pilot

from mesh.cli.client import Client
from mesh.cli.top.app import Top
from mesh.cli.top.grid import MARKS
from mesh.cli.top.help import HelpScreen
from mesh.cli.top.panes import GridPane, LogPane, TablePane
from mesh.cli.top.screens import JobScreen, LogScreen, MeshScreen
from mesh.ports.desk import NotFound
from sim import bucketrows
from sim.desk import FakeDesk, job_row, task_row
from sim.memberrows import peer_row
from tests.support.desk_server import TOKEN, DeskServer, running_desk
from tests.support.screens import (
    HARMLESS,
    HOSTILE,
    busy_desk,
    failed,
    failing_desk,
    idle_desk,
    row_of,
    safe,
    shown,
    still_desk,
    until,
)
from tests.support.typed import Typist

SIZES = [(80, 24), (120, 40)]

Scenario = Callable[[Pilot[None], Top], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the desk is served now; it moves when it is started again."""

    server: DeskServer

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def token(self) -> str:
        return TOKEN


def play(server: DeskServer, scenario: Scenario, size: tuple[int, int] = (80, 24)) -> None:
    """Run the program on a terminal of this size, and the scenario beside it."""

    def connect(plain: Callable[[str], str]) -> Client:
        return Client(Endpoint(server=server), plain)

    async def run() -> None:
        app = Top(connect, Client(Endpoint(server=server), str).get("/status"))
        async with app.run_test(size=size) as pilot:
            await scenario(pilot, app)

    asyncio.run(run())


@pytest.fixture
def busy() -> Iterator[DeskServer]:
    with running_desk(busy_desk()) as server:
        yield server


@pytest.fixture
def failing() -> Iterator[DeskServer]:
    with running_desk(failing_desk()) as server:
        yield server


@pytest.mark.parametrize("size", SIZES)
def test_a_mesh_that_renders(busy: DeskServer, size: tuple[int, int]) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, "shot_010 121, 122")
        seen = shown(app)
        for text in ("desk in films", "2 of 3 slots busy", "connected", "away", "120/240", "titles", "sealed"):
            assert text in seen, text
        await pilot.press("enter")
        await until(pilot, app, "Frames 1-240")
        await until(pilot, app, "120/240, 50 % · 2 min left · 110 safe · 120 here")
        seen = shown(app)
        letters = [line for line in seen.splitlines() if line.lstrip()[:1].isdigit()]
        assert sum(line.count("S") for line in letters) == 110
        assert sum(line.count("C") for line in letters) == 10
        assert sum(line.count("r") for line in letters) == 2, "all frames are on the screen, a cell for each"
        assert "frame 121" in seen, "the cursor begins at what is rendered"
        assert "at studio" in seen
        assert all(mark.word in seen for mark in MARKS), "the legend has room"
        await pilot.press("left")
        await until(pilot, app, "frame 120")
        await until(pilot, app, "Segmentation fault")
        await pilot.press("escape")
        await until(pilot, app, lambda: isinstance(app.screen, MeshScreen))

    play(busy, scenario, size)


@pytest.mark.parametrize(("size", "whole"), [((60, 15), False), ((80, 24), True)])
def test_help_that_has_no_room_says_so(busy: DeskServer, size: tuple[int, int], whole: bool) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await pilot.press("question_mark")
        await until(pilot, app, "this help; escape closes it")
        seen = shown(app)
        assert ("safe: enough peers hold it" in seen) is whole
        assert ("too small for more" in seen) is not whole
        assert "╭" in seen, "its frame is seen"
        assert "╯" in seen

    play(busy, scenario, size)


@pytest.mark.parametrize("size", SIZES)
def test_a_mesh_that_fails(failing: DeskServer, size: tuple[int, int]) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, "rendering !")
        await until(pilot, app, "frame 3 failed at three peers")
        await pilot.press("enter")
        await until(pilot, app, "failed 3 times, last at studio: crashed: exit code 139")
        await until(pilot, app, "[x]")
        await until(pilot, app, "Segmentation fault")
        await pilot.press("n")
        await until(pilot, app, "[f]")
        await pilot.press("enter")
        await until(pilot, app, lambda: isinstance(app.screen, LogScreen))
        await until(pilot, app, "Segmentation fault")
        assert "Sample 0/128" not in shown(app), "the end is seen"
        await pilot.press("home")
        await until(pilot, app, "Sample 0/128")
        await pilot.press("escape", "escape", "l")
        await until(pilot, app, "failed attempts and the newest frame")

    play(failing, scenario, size)


@pytest.mark.parametrize("size", SIZES)
def test_a_mesh_that_is_idle(size: tuple[int, int]) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, "No jobs yet. `meshnode submit shot.blend` makes one.")
        await pilot.press("enter", "l", "tab", "enter", "down", "s", "r", "tab", "n")
        assert isinstance(app.screen, MeshScreen)
        assert "0 of 2 slots busy · 0 open jobs" in shown(app)

    with running_desk(idle_desk()) as server:
        play(server, scenario, size)


def test_what_changes_is_seen_at_once(busy: DeskServer) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await pilot.press("enter")
        await until(pilot, app, "Frames 1-240")
        await pilot.press("home")
        await until(pilot, app, " frame 1 ")
        row = row_of(busy.desk, "shot_010")
        busy.let(busy.desk.tasks[row["id"]].__setitem__, 0, failed(1, 3))
        busy.let(busy.desk.deliver, row, 123)
        await until(pilot, app, "121/240, 50 %")
        await until(pilot, app, "failed 3 times")
        grid = app.screen.query_one(GridPane)
        assert grid.place == 0, "the cursor stays where it is"

    play(busy, scenario)


def test_the_peer_stops_and_comes_back(busy: DeskServer) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, "shot_010 121, 122")
        busy.stop()
        await until(pilot, app, "desk does not answer since")
        assert "120/240" in shown(app), "what was known stays"
        await pilot.press("enter")
        await until(pilot, app, "Frames 1-240")
        await until(pilot, app, "desk does not answer since")
        row_of(busy.desk, "shot_010")["counting"] = 200
        before = busy.port
        busy.start()
        assert busy.port != before
        await until(pilot, app, "is back")
        await until(pilot, app, "200/240, 83 %")
        await pilot.press("q")

    play(busy, scenario)


def test_a_job_that_the_peer_forgets(busy: DeskServer) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await pilot.press("enter")
        await until(pilot, app, "Frames 1-240")
        busy.let(busy.desk.rows.pop, row_of(busy.desk, "shot_010")["id"])
        busy.let(busy.desk.changed)
        await until(pilot, app, "This job is gone.")
        await pilot.press("down", "n", "enter", "L", "escape", "escape")
        await until(pilot, app, lambda: isinstance(app.screen, MeshScreen))

    play(busy, scenario)


def test_nothing_that_others_wrote_is_obeyed() -> None:
    desk = FakeDesk()
    desk.peers = [peer_row(), peer_row("b2" * 32, HOSTILE, me=False)]
    desk.log_text = f"{HOSTILE}\n[link=file:///]click[/link]\n"
    row = desk.add(job_row(1, HOSTILE, 4))
    row["problems"] = [HOSTILE]
    row["submitter_name"] = HOSTILE
    desk.tasks[row["id"]][0] = failed(1, 3, reason=HOSTILE)

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, HARMLESS)
        assert "✗ " + HARMLESS in shown(app)
        await pilot.press("tab", "down")
        await until(pilot, app, f" {HARMLESS}  b2b2b2b2")
        await pilot.press("tab", "enter")
        await until(pilot, app, "[link=file:///]click[/link]")
        await pilot.press("enter")
        await until(pilot, app, lambda: isinstance(app.screen, LogScreen) and "[link=file:///]" in shown(app))
        for screen in app.screen_stack:
            strips = screen._compositor.render_strips()
            assert not [s for strip in strips for s in strip if "\x1b" in s.text or "\u202e" in s.text]
            assert not [s for strip in strips for s in strip if s.style is not None and s.style.link]

    with running_desk(desk) as server:
        play(server, scenario, (120, 40))


def test_news_that_come_while_a_screen_is_coming_are_shown_by_it() -> None:
    desk = FakeDesk()
    row = desk.add(job_row(1, "long", 5_000))

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        app.push_screen(JobScreen(row["id"]))
        app.show()
        await until(pilot, app, "rows 1–8 of 84")

    with running_desk(desk) as server:
        play(server, scenario)


def test_thousands_of_frames_are_paged() -> None:
    desk = FakeDesk()
    row = desk.add(job_row(1, "long", 5_000))
    desk.tasks[row["id"]][4_900] = task_row(4_901, "counts")

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await pilot.press("enter")
        await until(pilot, app, "rows 1–8 of 84")
        await pilot.press("end")
        await until(pilot, app, "frame 5000")
        await until(pilot, app, "rows 77–84 of 84")
        assert "C" in next(line for line in shown(app).splitlines() if line.lstrip().startswith("4861"))
        await pilot.press("pageup")
        await until(pilot, app, "frame 4580")
        await pilot.press("home")
        await until(pilot, app, "rows 1–8 of 84")

    with running_desk(desk) as server:
        play(server, scenario)


def test_keys_sort_scroll_and_help(busy: DeskServer) -> None:
    for number in range(3, 40):
        busy.let(busy.desk.add, job_row(number, f"job{number:02}"))

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, "of 39")
        jobs = app.screen.query_one("#jobs", TablePane)
        await pilot.press("s", "end")
        await until(pilot, app, "▸ titles")
        key = jobs.key
        await pilot.press("r")
        await until(pilot, app, "JOB▼")
        assert jobs.key == key, "the cursor stays on its row"
        await pilot.press("home", "pagedown", "j", "k")
        await pilot.press("question_mark")
        await until(pilot, app, "the other way round")
        assert "safe: enough peers hold it" in shown(app)
        await pilot.press("escape")
        await until(pilot, app, lambda: not isinstance(app.screen, HelpScreen))
        await pilot.press("enter")
        await until(pilot, app, lambda: isinstance(app.screen, JobScreen))
        await pilot.press("tab")
        assert isinstance(app.focused, LogPane)
        await pilot.press("q")
        assert app.return_code == 0

    play(busy, scenario)


def test_without_colours_letters_and_the_cursor_still_show(busy: DeskServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        assert app.no_color
        await until(pilot, app, "▸ shot_010")
        busy.let(busy.desk.tasks[row_of(busy.desk, "shot_010")["id"]].__setitem__, 0, safe(1))
        await pilot.press("enter", "home")
        await until(pilot, app, " frame 1 ")
        pane = app.screen.query_one(GridPane)
        cursor = [s for s in pane.render_line(1) if s.style is not None and s.style.underline]
        assert [s.text for s in cursor] == ["S"]

    play(busy, scenario)


def test_where_there_is_no_terminal_it_says_what_else_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], busy: DeskServer
) -> None:
    printed = Typist(tmp_path, capsys, busy).type("top")
    assert printed.code == 2
    assert "meshnode status --json" in " ".join(printed.err.split())
    assert printed.out == ""


@pytest.mark.parametrize("size", SIZES)
def test_a_still_is_seen_to_grow(size: tuple[int, int]) -> None:
    desk = still_desk()
    row = row_of(desk, "lake")
    peers = [(peer["id"], peer["name"]) for peer in desk.peers]

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, app, "55 %")
        await pilot.press("enter")
        await until(pilot, app, "Buckets of frame 1, 1920×1080")
        seen = shown(app)
        assert "55 % of it, 70 buckets by 3 peers, assembling at studio" in seen
        assert "55 % of the picture · 36 s left" in seen
        picture = [line for line in seen.splitlines() if line[1:4] in ("BBB", "CCC", "ccc", "...")]
        assert len(picture) > 8
        assert ("Log of frame 1" in seen) is (size == SIZES[1]), "a log has the lines that the picture leaves"
        server.let(desk.grow, row, bucketrows.growing(row, peers, done=130, running=5))
        await until(pilot, app, "130 buckets by 3 peers")
        assert "....." not in shown(app).split("Buckets of")[1].splitlines()[1]
        await pilot.press("tab")
        await until(pilot, app, "Log of frame 1")
        await pilot.press("tab")
        await until(pilot, app, "Buckets of frame 1")
        await pilot.press("escape")
        await until(pilot, app, lambda: isinstance(app.screen, MeshScreen))

    with running_desk(desk) as server:
        play(server, scenario, size)


def test_a_still_of_which_nobody_knows_the_buckets_has_its_log() -> None:
    desk = still_desk(2)
    desk.fails["buckets"] = NotFound("nobody knows")

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await pilot.press("enter")
        await until(pilot, app, lambda: app.board.stills_told == 1)
        await pilot.press("right")
        await until(pilot, app, " frame 2 ")
        await until(pilot, app, lambda: app.board.stills_told == 2)

    with running_desk(desk) as server:
        play(server, scenario)
