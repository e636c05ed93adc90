"""How far a job is whose frames grow in buckets: by the picture, not by what its parts are counted in."""

from typing import cast

import pytest

from mesh.cli import following, jobrows, progress
from mesh.cli.progress import Rate
from mesh.cli.top import tables
from mesh.cli.top.board import Board
from mesh.cli.top.lines import width
from mesh.ports.desk import JobRow
from sim.desk import job_row

FRAME = 1_000


def job(frames: int = 1, **changes: object) -> JobRow:
    row = {"cells": 10 * frames, "pixels": FRAME * frames, "pixel_ns": 60_000_000, "running": 3}
    return cast("JobRow", {**job_row(name="lake", tasks=frames), **row, **changes})


@pytest.mark.parametrize(
    ("row", "left_ms"),
    [
        (job(pixels_counting=400), 600 * 60 // 3),
        (job(pixels_counting=400, running=0), None),
        (job(pixels_counting=400, pixel_ns=0), None),
        (job(pixels_counting=400, state="waiting"), None),
        (job(pixels_counting=FRAME), None),
        (job(2, pixels_counting=400, stopped=1), 600 * 60 // 3),
        (job(2, pixels_counting=FRAME, stopped=1), None),
    ],
)
def test_what_is_left_follows_from_what_pixels_took(row: JobRow, left_ms: int | None) -> None:
    assert jobrows.left_ms(row) == left_ms


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (job(pixels_counting=430), "lake: 43 % of the picture, about 11 s left"),
        (job(pixels_counting=0, running=0), "lake: 0 % of the picture"),
        (job(state="waiting", running=0), "lake: 0 % of the picture, waiting for a peer that can render it"),
        (job(pixels_counting=FRAME), "lake: 100 % of the picture, being assembled"),
        (job(pixels_counting=999), "lake: 99 % of the picture, about 1 s left"),
        (job(pixels_counting=FRAME, counting=1, delivered=1, running=0), "lake: 100 % of the picture"),
        (job(3, pixels_counting=1_500, delivered=1), "lake: 50 % of the pictures, 1 of 3 frames here, about 30 s left"),
    ],
)
def test_waiting_says_how_much_of_the_picture_there_is(row: JobRow, said: str) -> None:
    told = following.picture_progress(row)
    rate = Rate()
    rate.see(0, 0.0)
    rate.see(500, 1.0)
    assert progress.line(told, rate) == said
    assert (told["done"], told["total"]) == (row["pixels_counting"], row["pixels"])


def test_tables_tell_the_part_of_the_picture() -> None:
    (_, line) = jobrows.job_table([job(pixels_counting=430)])
    assert "43 %" in line
    assert "0/1" in line


@pytest.mark.parametrize("columns", [1, 10, 80])
@pytest.mark.parametrize(
    "row",
    [
        job(pixels_counting=430),
        job(pixels_counting=0, running=0),
        job(pixels_counting=FRAME, counting=1, safe=1, running=0),
        job(2, pixels_counting=FRAME + 10, counting=1, safe=1, stopped=1, running=0),
    ],
)
def test_a_bar_is_as_long_as_it_should_be(row: JobRow, columns: int) -> None:
    assert width(tables.bar(row, columns)) == columns


def test_a_bar_shows_how_much_of_the_picture_there_is() -> None:
    done, running, left = tables.bar(job(pixels_counting=500), 20)
    assert (done.text, running.text, left.text) == ("▓" * 10, "▒", "·" * 9)


@pytest.mark.parametrize(("frames", "per_hour"), [(1, 0.0), (2, 3 * 3_600_000 / (FRAME * 60))])
def test_a_rate_is_one_of_frames(frames: int, per_hour: float) -> None:
    assert Board().per_hour(job(frames, counting=0)) == pytest.approx(per_hour)
