"""The soak goes on until told, keeps what failed in a file that repeats it, and says by its exit code that it did."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from sim.__main__ import main as sim
from sim.named import NAMED, named
from sim.scenario import Scenario, from_toml
from tools.soak import DRAWN_BETWEEN, Counts, Errand, do, errands, soak
from tools.sources import ROOT

GOOD = dataclasses.replace(named("alone"), frames=2, safety_ms=10_000, least_ms=10_000)
BAD = dataclasses.replace(GOOD, name="too slow", makespan_percent=1)


def errand(scenario: Scenario, out: Path, *, shrink_s: int = 0) -> Errand:
    return Errand(scenario=scenario, seed=3, repeat="the line", out=out, shrink_s=shrink_s)


def test_drawn_seeds_and_named_scenarios_take_turns_and_no_seed_comes_twice(tmp_path: Path) -> None:
    every = len(NAMED) * (DRAWN_BETWEEN + 1)
    some = list(islice(errands(50, peers=5, out=tmp_path, shrink_s=0), every))
    assert [each.seed for each in some] == list(range(50, 50 + every))
    assert [each.scenario.name for each in some if each.scenario.name != "random"] == list(NAMED)
    assert {each.scenario.peers for each in some if each.scenario.name == "random"} == {5}


def test_the_line_of_an_errand_repeats_it(tmp_path: Path) -> None:
    for each in islice(errands(7, peers=5, out=tmp_path, shrink_s=0), DRAWN_BETWEEN + 1):
        words = each.repeat.split()
        assert words[:6] == ["python", "-m", "sim", "run", "--seed", str(each.seed)]
        assert ("--scenario" in words) == (each.scenario.name in NAMED)
        assert ("--minutes" in words) == (each.scenario.name == "random")


def test_a_good_run_keeps_nothing(tmp_path: Path) -> None:
    done = do(errand(GOOD, tmp_path / "out"))
    assert done.ran.good
    assert done.kept is None
    assert not (tmp_path / "out").exists()


def test_a_failure_is_kept_and_repeats_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = do(errand(BAD, tmp_path / "out"))
    assert done.kept == tmp_path / "out" / "l1-too-slow-3.toml"
    text = done.kept.read_text("utf-8")
    assert from_toml(text) == (BAD, 3)
    assert "# Found by: the line" in text
    assert sim(["again", str(done.kept)]) == 1
    assert "L1: the work took" in capsys.readouterr().out


def test_a_failure_is_made_smaller_where_there_is_time(tmp_path: Path) -> None:
    large = dataclasses.replace(BAD, frames=4, scene_blobs=3)
    done = do(errand(large, tmp_path, shrink_s=5))
    assert done.kept is not None
    small, _ = from_toml(done.kept.read_text("utf-8"))
    assert small != large
    assert small.frames <= large.frames


def test_what_runs_is_counted_and_failures_are_told(tmp_path: Path) -> None:
    said: list[str] = []
    todo = iter([errand(GOOD, tmp_path), errand(BAD, tmp_path), errand(GOOD, tmp_path)])
    counts = soak(todo, jobs=2, over=lambda: False, say=said.append, each=True)
    assert (counts.runs, len(counts.failed), counts.unfinished, counts.good) == (3, 1, 0, False)
    assert sum(line.startswith("FAILED too slow, seed 3: L1") for line in said) == 1
    assert sum(line.startswith("good   alone") for line in said) == 2
    assert "3 runs, 1 failed" in said[-1]


def test_what_cannot_be_run_at_all_is_a_failure_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    counts = soak(iter([errand(BAD, tmp_path / "file")]), jobs=1, over=lambda: False, say=lambda _: None)
    assert not counts.good
    assert len(counts.broken) == 1


def test_what_is_running_when_the_time_is_over_is_given_up(tmp_path: Path) -> None:
    looks = iter([False])
    counts = soak(errands(1, peers=20, out=tmp_path, shrink_s=0), jobs=1, over=lambda: next(looks, True), say=print)
    assert counts.unfinished == 1
    assert counts.runs == 0
    assert counts.good


def test_a_summary_says_how_much_was_run() -> None:
    counts = Counts(runs=7, events=900, failed=[Path("x")], last="calm 3")
    assert counts.line(90) == "1.5 min: 7 runs, 1 failed, 900 events, last calm 3"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to a group of processes in another way there")
def test_ctrl_c_ends_it_with_its_counts(tmp_path: Path) -> None:
    line = [sys.executable, str(ROOT / "tools" / "soak.py"), "--first", "5", "--jobs", "2", "--peers", "4", "--each"]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "seeds from 5 on, failures into soak\n"
        assert process.stdout.readline().startswith(("good", "FAILED"))
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read().splitlines()
    assert "stopped" in rest
    assert any(" runs, " in each for each in rest)
    assert process.returncode in (0, 1)
