"""The tables of `meshnode top`: what fits, what moves, what is said."""

import pytest

from mesh.cli.top import tables
from mesh.cli.top.lines import Line, Tone, clip, cut, fit, rule, scrolled, width
from mesh.cli.top.news import PeerLost
from mesh.cli.top.tables import JOBS, PEERS, Sort
from mesh.ports.owner import PauseRow
from sim.desk import FakeDesk, job_row
from sim.memberrows import peer_row
from tests.support.screens import board_of, busy_desk, failing_desk, idle_desk


def text(line: Line) -> str:
    return "".join(span.text for span in line)


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
@pytest.mark.parametrize("make", [idle_desk, busy_desk, failing_desk])
def test_every_row_is_as_wide_as_the_screen_and_states_are_never_cut(make: object, columns: int) -> None:
    board = board_of(make())  # type: ignore[operator]
    for kind, rows in ((PEERS, tables.peer_rows(board)), (JOBS, tables.job_rows(board))):
        titles, lines = tables.sheet(kind, rows, range(len(rows)), Sort(), columns)
        assert width(titles) <= columns
        assert all(width(line) == columns for line in lines)
        assert all(row.cells[1].text in text(line) for row, line in zip(rows, lines, strict=True))


def test_names_of_any_length_leave_the_other_columns_alone() -> None:
    desk = FakeDesk()
    desk.peers = [peer_row(f"{n:064x}", name, me=False) for n, name in enumerate(["x" * 90, "镜头" * 40, "a"])]
    rows = tables.peer_rows(board_of(desk))
    _, lines = tables.sheet(PEERS, rows, range(3), Sort(), 80)
    assert [width(line) for line in lines] == [80] * 3
    assert all("connected" in text(line) and "0/1" in text(line) for line in lines)
    assert sum("…" in text(line) for line in lines) == 2


def test_columns_do_not_move_when_values_do() -> None:
    desk = busy_desk()
    (row, _) = desk.rows.values()
    before, _ = tables.sheet(JOBS, tables.job_rows(board_of(desk)), range(2), Sort(), 80)
    row.update(running=0, median_ms=0, safe=7)
    after, _ = tables.sheet(JOBS, tables.job_rows(board_of(desk)), range(2), Sort(), 80)
    assert text(before) == text(after)
    sorted_by, _ = tables.sheet(JOBS, tables.job_rows(board_of(desk)), range(2), Sort(column=0), 80)
    assert text(sorted_by).replace("▲", " ") == text(before)


def test_sorting_goes_round_the_columns_and_begins_with_the_greatest_number() -> None:
    desk = FakeDesk()
    for number, (name, counting) in enumerate([("b", 1), ("A", 3), ("c", 2)], start=1):
        desk.add(job_row(number, name))["counting"] = counting
    rows = tables.job_rows(board_of(desk))

    def names(sort: Sort) -> list[str]:
        return [row.cells[0].text for row in sort.order(rows, JOBS)]

    assert names(Sort()) == ["b", "A", "c"]
    assert names(Sort().next(len(JOBS))) == ["A", "b", "c"]
    assert names(Sort(column=2)) == ["A", "c", "b"]
    assert names(Sort(column=2).turned()) == ["b", "c", "A"]
    sort = Sort()
    for _ in range(len(JOBS) + 1):
        sort = sort.next(len(JOBS))
    assert sort == Sort()


def test_this_peer_comes_first_and_the_absent_last() -> None:
    rows = tables.peer_rows(board_of(busy_desk()))
    assert [(row.cells[0].text, row.cells[1].text) for row in rows] == [
        ("desk", "here"),
        ("studio", "connected"),
        ("attic", "away"),
    ]
    assert rows[1].cells[5].text == "shot_010 121, 122"
    assert rows[2].cells[2].text == "–", "what an absent peer did is not known"


def test_who_is_paused_is_said_to_be() -> None:
    desk = busy_desk()
    assert " paused" not in text(tables.head(board_of(desk), 80))
    desk.paused = PauseRow(since_at_ms=1, until_at_ms=None)
    for peer in desk.peers:
        peer["paused"] = True
    board = board_of(desk)
    assert [row.cells[1].text for row in tables.peer_rows(board)] == ["paused", "paused", "away"]
    assert text(tables.head(board, 80)).startswith(" desk in films  paused")


def test_who_was_revoked_is_not_called_away_nor_counted() -> None:
    desk = busy_desk()
    assert "and 1 away" in text(tables.head(board_of(desk), 80))
    (attic,) = (peer for peer in desk.peers if peer["name"] == "attic")
    attic["revoked"] = True
    board = board_of(desk)
    assert [row.cells[1].text for row in tables.peer_rows(board)] == ["here", "connected", "revoked"]
    assert "away" not in text(tables.head(board, 80))
    desk.peers[0]["revoked"], desk.thrown_out = True, "this peer was revoked by ada"
    board = board_of(desk)
    assert tables.peer_rows(board)[0].cells[1].text == "revoked"
    assert text(tables.head(board, 80)).startswith(" desk in films  revoked")


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_a_narrow_head_says_less_and_runs_nothing_together(columns: int) -> None:
    head = text(tables.head(board_of(busy_desk()), columns))
    assert len(head) <= columns
    rest = head.removeprefix(" desk in films")
    assert not rest.strip() or rest.startswith("  ")
    assert ("2 peers and 1 away" in head) == (columns >= 40)
    assert ("1 open job" in head) == (columns >= 80)


def test_what_a_peer_renders_stands_before_what_it_claimed_ahead() -> None:
    frames = [("shot", 9), ("shot", 10), ("logo", 3)]
    assert tables.renders_text(frames, 3) == "shot 9, 10; logo 3"
    assert tables.renders_text(frames, 1) == "shot 9, then shot 10; logo 3"
    assert tables.renders_text([], 1) == ""


def test_an_engine_stands_without_its_build_and_others_are_counted() -> None:
    desk = FakeDesk()
    desk.peers[0]["engines"] = ["blender 4.2.23 (a1b2c3d4e5f6)", "blender 3.4.1 (00000000)"]
    assert tables.peer_rows(board_of(desk))[0].cells[4].text == "blender 4.2.23 +1"


def test_a_job_with_problems_is_marked_and_its_first_problem_said() -> None:
    board = board_of(failing_desk())
    (row,) = tables.job_rows(board)
    assert (row.cells[1].text, row.cells[1].tone) == ("rendering !", Tone.BAD)
    assert row.job is not None
    assert "frame 3 failed at three peers" in text(tables.problem_line(row.job))


@pytest.mark.parametrize("columns", [0, 1, 6, 7, 40])
def test_a_bar_is_exactly_as_long_as_it_should_be_and_leaves_nothing_out(columns: int) -> None:
    job = job_row(tasks=1000)
    job.update(counting=2, safe=1, running=1, stopped=1)
    bar = "".join(span.text for span in tables.bar(job, columns))
    assert len(bar) == columns
    if columns > 4:
        assert set(bar) == set("█▓▒x·")
    job.update(counting=999, safe=999, running=0, stopped=1)
    bar = "".join(span.text for span in tables.bar(job, columns))
    assert len(bar) == columns
    assert "·" not in bar, "nothing is open"
    if columns > 1:
        assert "x" in bar


def test_the_head_counts_what_is_up_and_says_when_the_peer_is_gone() -> None:
    board = board_of(busy_desk())
    head = text(tables.head(board, 80))
    assert head.startswith(" desk in films")
    assert "2 peers and 1 away · 2 of 3 slots busy · 1 open job" in head
    board.hear(PeerLost(why="no peer is running in /h", at_ms=0))
    head = text(tables.head(board, 80))
    assert "desk does not answer since" in head
    assert "no peer is running in /h" in head
    assert width(tables.head(board, 80)) == 80


def test_rates_read_short() -> None:
    assert [tables.rate_text(rate) for rate in (0.0, 340.4, 7_200.0)] == ["", "340/h", "2.0/s"]


def test_lines_are_cut_by_columns_not_by_letters() -> None:
    assert cut("镜头镜头", 5) == "镜头…"
    assert fit("镜头镜头", 6) == "镜头… "
    assert fit("7", 3, right=True) == "  7"
    assert cut("abc", 0) == ""
    assert width(clip(tuple(tables.bar(job_row(), 30)), 9)) == 9
    assert width(rule("Frames of something long", 12, "1–7 of 9")) <= 12


def test_a_window_moves_no_more_than_it_must() -> None:
    assert scrolled(0, 9, 100, 10) == 0
    assert scrolled(0, 10, 100, 10) == 1
    assert scrolled(50, 20, 100, 10) == 20
    assert scrolled(95, 99, 100, 10) == 90
    assert scrolled(5, 0, 3, 10) == 0
