"""The grid of frames and the log of `meshnode top`, as lines."""

import pytest

from mesh.cli.top import grid, log
from mesh.cli.top.board import Log
from mesh.cli.top.lines import Line, width
from mesh.ports.desk import TaskRow
from mesh.ports.logs import LogAnswer, LogPart
from sim.desk import task_row
from sim.memberrows import OTHER
from tests.support.screens import HARMLESS, HOSTILE, failed, running, safe


def text(line: Line) -> str:
    return "".join(span.text for span in line)


def tasks(count: int) -> list[TaskRow]:
    return [task_row(frame) for frame in range(1, count + 1)]


def test_every_state_has_a_letter_of_its_own_and_a_capital_when_delivered() -> None:
    here = task_row(5, "counts")
    gone = TaskRow(**{**here, "delivered": False})
    frames = [task_row(1), running(2), failed(3), failed(4, 3), here, gone, safe(7)]
    assert "".join(map(grid.letter, frames)) == ".rfxCcS"
    tones = [grid.mark(task).tone for task in frames]
    assert len(set(tones)) == 6


@pytest.mark.parametrize("count", [1, 4, 10, 24, 240, 1_001, 10_000, 100_000])
@pytest.mark.parametrize(("columns", "height"), [(80, 8), (120, 17), (200, 50), (40, 3)])
def test_any_job_fits_sideways_and_is_scrolled_only_where_it_must(count: int, columns: int, height: int) -> None:
    frames = tasks(count)
    laid = grid.shape(frames, columns, height)
    assert (laid.rows - 1) * laid.per_row < count <= laid.rows * laid.per_row
    assert laid.per_row % grid.GROUP == 0
    assert laid.rows <= height or laid.cell == 1
    for top in {0, max(0, laid.rows - height)}:
        lines = grid.rows(frames, laid, top, height, None)
        assert len(lines) == min(height, laid.rows)
        assert all(width(line) <= columns for line in lines)
    assert grid.rows(frames, laid, laid.rows - 1, 1, None)[0][-1].text.strip() in (".", "")


def test_rows_begin_with_their_first_frame_whatever_it_is_called() -> None:
    frames = [task_row(frame) for frame in range(-10, 490, 5)]
    laid = grid.shape(frames, 80, 20)
    lines = grid.rows(frames, laid, 0, 20, None)
    assert [int(text(line).split()[0]) for line in lines] == [
        frames[n * laid.per_row]["frame"] for n in range(laid.rows)
    ]


def test_the_cursor_shows_without_colour_and_takes_no_room() -> None:
    frames = tasks(20)
    laid = grid.shape(frames, 80, 8)
    plain, chosen = (text(grid.rows(frames, laid, 0, 1, cursor)[0]) for cursor in (None, 3))
    assert "[.]" in chosen
    assert chosen.replace("[.]", " . ") == plain
    long = tasks(3_000)
    (line,) = grid.rows(long, grid.shape(long, 80, 8), 0, 1, 3)
    assert [span.marked for span in line if span.text == "."].index(True) == 3


def test_steps_stay_within_the_job() -> None:
    assert grid.moved(0, 24, -1) == 0
    assert grid.moved(20, 24, 10) == 20
    assert grid.moved(3, 24, 10) == 13
    assert grid.paged(20, 24, 100) == 23
    assert grid.paged(20, 24, -100) == 0


def test_it_begins_where_something_is_wrong_and_finds_the_next() -> None:
    frames = [safe(1), running(2), failed(3), task_row(4), failed(5, 3)]
    assert grid.interesting(frames) == 4
    assert grid.interesting(frames[:4]) == 2
    assert grid.interesting(frames[:2]) == 1
    assert grid.interesting([task_row(1)]) == 0
    assert grid.next_failed(frames, 0) == 2
    assert grid.next_failed(frames, 2) == 4
    assert grid.next_failed(frames, 4) == 2
    assert grid.next_failed(frames[:2], 1) == 1


def test_a_frame_is_told_in_two_lines() -> None:
    first, second = map(text, grid.frame_lines(failed(7, 2)))
    assert first.startswith(" frame 7")
    assert second == " failed 2 times, last at studio: crashed: exit code 139"
    first, second = map(text, grid.frame_lines(safe(8)))
    assert "safe" in first
    assert "by studio, in 2.5 s, 2 holds, shot_0008.png" in first
    assert second == ""


def answer(*texts: str) -> Log:
    parts = [
        LogPart(frame=1, attempt=n, peer=OTHER, peer_name=HOSTILE, outcome="crashed", region=[], text=one)
        for n, one in enumerate(texts, start=1)
    ]
    return Log(job="j", frame=1, answer=LogAnswer(job="j", parts=parts, gone=[]))


def test_a_log_has_its_lines_under_the_attempt() -> None:
    lines = [text(line) for line in log.lines(answer("Fra:1\tMem\nSegmentation fault\n", ""))]
    assert lines == [
        f"── frame 1, attempt 1, {HARMLESS}: crashed",
        "Fra:1   Mem",
        "Segmentation fault",
        f"── frame 1, attempt 2, {HARMLESS}: crashed",
        "(the engine said nothing)",
    ]


def test_an_attempt_that_left_no_log_is_told_all_the_same() -> None:
    task = failed(7, 2)
    for failure in task["failures"]:
        failure["has_log"] = False
    assert not grid.has_log(task)
    assert [text(line) for line in log.without(task)] == [
        *("── frame 7, attempt 1, studio: crashed", "exit code 139"),
        *("── frame 7, attempt 2, studio: crashed", "exit code 139"),
        "The engine left no log.",
    ]
    assert [text(line) for line in log.without(task_row(1))] == ["No attempt at this frame has ended yet."]


def test_who_rendered_how_much_is_told_in_order() -> None:
    frames = [safe(1), safe(2), TaskRow(**{**safe(3), "holder_name": "attic", "render_ms": 9_000}), task_row(4)]
    assert [text(line).split() for line in grid.share_lines(frames, 2)] == [
        ["studio", "2", "frames", "66", "%", "2.5", "s", "each"],
        ["attic", "1", "frame", "33", "%", "9.0", "s", "each"],
    ]
    assert text(grid.share_lines(frames, 1)[-1]) == "  and 2 more"


def test_failures_are_listed_and_the_rest_counted() -> None:
    frames = [safe(1), failed(2), failed(3, 3), failed(4, 2)]
    assert text(grid.failure_lines(frames, 3)[0]).split()[:3] == ["x", "frame", "3"]
    assert len(grid.failure_lines(frames, 3)) == 3
    assert text(grid.failure_lines(frames, 2)[-1]) == " and 2 more"
    assert grid.failure_lines([safe(1)], 2) == []


def test_of_a_long_log_the_end_is_kept_and_what_is_left_out_counted() -> None:
    lines = log.lines(answer("\n".join(map(str, range(log.LINES_MOST + 10))), "last"))
    assert len(lines) == log.LINES_MOST + 1
    assert "lines before these" in text(lines[0])
    assert text(lines[-1]) == "last"
    assert len(text(log.lines(answer("x" * 1_000_000))[1])) == log.COLUMNS_MOST


def test_a_line_is_shifted_across_its_spans() -> None:
    (heading, *_) = log.lines(answer("x"))
    assert text(log.shifted(heading, 10)) == text(heading)[10:]
    assert text(log.shifted(heading, 10_000)) == ""
