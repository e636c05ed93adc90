"""Rates, and what a log sees of progress."""

import pytest

from mesh.cli import jobrows, progress
from mesh.ports.desk import Progress
from sim.desk import job_row


def stored(done: int, total: int = 100, unit: str = "bytes") -> Progress:
    return Progress(phase="store", text="storing", done=done, total=total, unit=unit)


def test_a_rate_needs_two_steps_and_follows_the_last_ones() -> None:
    rate = progress.Rate()
    rate.see(0, 0.0)
    assert rate.per_second() == 0.0
    assert rate.left_ms(10) is None
    for second in range(1, 101):
        rate.see(second, float(second))
        rate.see(second, second + 0.5)  # no step: it says nothing
    assert rate.per_second() == pytest.approx(1.0)
    for second in range(101, 101 + progress.RATE_SAMPLES):
        rate.see(100 + 10 * (second - 100), float(second))
    assert rate.per_second() == pytest.approx(10.0)
    assert rate.left_ms(20) == pytest.approx(2000.0)


def test_a_line_says_how_much_how_fast_and_how_long() -> None:
    rate = progress.Rate()
    rate.see(0, 0.0)
    rate.see(2**20, 1.0)
    assert progress.line(stored(2**20, 4 * 2**20), rate) == "storing: 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 3 s left"
    assert progress.line(stored(0, 0), progress.Rate()) == "storing"
    slow = progress.Rate()
    slow.see(0, 0.0)
    slow.see(1, 10.0)
    assert progress.line(stored(1, 3, "frames"), slow) == "storing: 1 of 3, 360 frames/h, 20 s left"


def test_a_log_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = 0.0
    with progress.PlainMeter(lambda: seconds) as meter:
        for step in range(101):
            seconds = step / 10
            meter.update(stored(step))
        meter.tell("done")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4, "the beginning, one after five seconds, the end, and what was told"
    assert lines[-1] == "done"


def test_a_log_is_not_told_the_same_twice(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = 0.0
    with progress.PlainMeter(lambda: seconds) as meter:
        for step in range(100):
            seconds = float(step)
            meter.update(Progress(phase="spread", text="telling other peers", done=0, total=0, unit=""))
    assert capsys.readouterr().err == "telling other peers\n"


def test_what_is_left_of_a_job() -> None:
    job = job_row(tasks=10)
    job["running"] = 3
    assert jobrows.left_ms(job) == 4 * 2_500
    job["counting"] = 10
    assert jobrows.left_ms(job) is None
