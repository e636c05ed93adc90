"""Tier B: real shells on a virtual clock hold their rules, run the same way twice, and mutants of them are caught."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from sim.secrets import Secrets
from sim.shell.course import WHATS, Act, Course, draw
from sim.shell.mutants import SHELL_MUTANTS, CaughtShell
from sim.shell.run import run_course
from sim.violation import Violation
from tests.support.staged import ROOT

pytestmark = pytest.mark.interpreted

PEERS = 6
MUTANTS = 4
"""All of them are broken, and nothing else goes wrong: fewer show it as well."""


def short(seed: int, peers: int = PEERS) -> Course:
    """Return a small course in which every kind of fault comes once."""
    course = draw(seed, peers)
    acts = tuple(
        Act(at_ms=6_000 + 1_500 * place, what=what, host=(place + seed) % peers, other=place % peers, lasts_ms=3_000)
        for place, what in enumerate(WHATS)
    )
    tasks = tuple(replace(task, frames=min(task.frames, 12)) for task in course.tasks)
    return replace(course, acts=acts, tasks=tasks, taped=(0, 1, 2))


@pytest.mark.parametrize("seed", range(2))
def test_real_shells_hold_their_rules_through_every_fault(seed: int) -> None:
    ran = run_course(short(seed))
    assert ran.good, "\n".join(ran.story)
    assert ran.lives > PEERS, "nobody was started again"
    assert ran.tapes >= 3
    assert min(ran.folds, ran.packets) > 100


def test_one_seed_runs_the_same_way_in_two_processes_under_any_hash_seed() -> None:
    def trace(hash_seed: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "sim", "shell", "--seeds", "3:4", "--peers", "5"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.splitlines()[2]

    first = trace("1")
    assert len(first) == 64
    assert trace("2") == first


@pytest.mark.parametrize("caught", SHELL_MUTANTS, ids=lambda caught: caught.rule)
def test_a_broken_shell_is_caught_by_the_rule_it_breaks(caught: CaughtShell) -> None:
    course = replace(short(1, MUTANTS), acts=(), ends_ms=60_000)
    ran = run_course(course, make_node=caught.node, make_core=caught.core)
    assert ran.rule == caught.rule, "\n".join(ran.story[:3])


def test_a_course_draws_faults_for_everybody_and_always_the_same() -> None:
    assert draw(7) == draw(7)
    sizes = [draw(seed).peers for seed in range(60)]
    assert min(sizes) >= 20
    assert 40 < max(sizes) <= 50
    drawn = [act.what for seed in range(20) for act in draw(seed).acts]
    assert set(drawn) == set(WHATS)
    assert all(len(draw(seed).acts) >= draw(seed).peers for seed in range(20))


@pytest.mark.parametrize("form", [bytes, bytes.hex, repr])
def test_a_secret_is_found_in_any_form_and_nothing_else_is(form: Callable[[bytes], bytes | str]) -> None:
    secrets = Secrets()
    secret = bytes(range(120, 152))
    secrets.add("a key", secret)
    other = bytes(range(119, 151))
    secrets.look("here", other, other.hex(), repr(other))
    said = form(b"before" + secret + b"'\"after")
    with pytest.raises(Violation, match="S13: here: a key shows"):
        secrets.look("here", said)
