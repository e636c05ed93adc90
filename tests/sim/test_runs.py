"""One seed gives one trace, however messages and signatures are made, in any process; and a failure tells its story."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from sim.named import named
from sim.randomiser import draw
from sim.run import Order, run, run_one
from sim.scenario import Scenario
from tests.support.stumbling import Stumbles

ROOT = Path(__file__).parents[2]
SEED = 2
SEEDS = range(SEED + 1)


def small(seed: int = SEED) -> Scenario:
    """Return a drawn scenario of few peers."""
    return draw(seed, 6, 1)


@pytest.fixture(scope="module")
def traces() -> dict[int, str]:
    """The trace hash of the plainest run of each seed, whether or not it is a good one."""
    return {seed: run(small(seed), seed).trace for seed in SEEDS}


@pytest.mark.parametrize(("hash_seed", "wire"), [("1", "reference"), ("4711", "bytes")])
def test_drawn_seeds_repeat_in_other_processes_by_reference_and_as_bytes(
    traces: dict[int, str], hash_seed: str, wire: str, tmp_path: Path
) -> None:
    hashes = tmp_path / "hashes"
    command = [sys.executable, "-m", "sim", "many", "--seeds", f"{SEEDS.start}:{SEEDS.stop}", "--jobs", "1"]
    command += ["--peers", "6", "--minutes", "1", "--wire", wire, "--hashes", str(hashes)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True, capture_output=True)
    assert hashes.read_text() == "".join(f"{seed} {trace}\n" for seed, trace in traces.items())


@pytest.fixture(scope="module")
def trace() -> str:
    """The trace hash of the plainest run."""
    ran = run(small(), SEED)
    assert ran.good, ran.story
    return ran.trace


def test_bytes_and_references_give_one_trace(trace: str) -> None:
    assert run(small(), SEED, wire="bytes").trace == trace


def test_real_and_stand_in_signatures_give_one_trace(trace: str) -> None:
    assert run(small(), SEED, signatures="real").trace == trace


def test_another_seed_gives_another_trace(trace: str) -> None:
    assert run(small(), SEED + 1).trace != trace


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_under_another_hash_seed_gives_the_trace(trace: str, hash_seed: str) -> None:
    command = [sys.executable, "-m", "sim", "run", "--seed", str(SEED), "--peers", "6", "--minutes", "1"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"seed {SEED}"
    assert "events/s" in done.stdout
    assert lines[-1] == trace


def test_a_failure_tells_its_story_and_how_to_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_one(Order(peers=6, minutes=1), SEED, make_core=Stumbles) == 1
    printed = capsys.readouterr().out
    assert "the ninth timer" in printed
    assert re.search(r"^ +\d+\.\d{3} p\d +> \w+\(", printed, re.MULTILINE), "the story tells what was heard last"
    assert printed.rstrip().endswith(f"repeat: python -m sim run --seed {SEED} --peers 6 --minutes 1")


def test_many_seeds_write_their_hashes(tmp_path: Path, trace: str) -> None:
    hashes = tmp_path / "hashes"
    command = [sys.executable, "-m", "sim", "many", "--seeds", f"{SEED}:{SEED + 2}", "--peers", "6", "--minutes", "1"]
    done = subprocess.run([*command, "--hashes", hashes], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "2 seeds, 0 failed" in done.stdout
    assert hashes.read_text().splitlines()[0] == f"{SEED} {trace}"
    assert done.stdout.splitlines()[-1] == blake3(hashes.read_bytes()).hexdigest(), "one hash of all the seeds' traces"


def test_named_scenarios_repeat_under_their_name() -> None:
    assert Order(scenario="calm").command(7) == "python -m sim run --seed 7 --scenario calm"
    assert Order(scenario="calm").scenario_for(7) == named("calm")
