"""A run can be looked at: its picture fits the screen, shows who is down, cut off or at work, and changes nothing."""

import dataclasses
import io
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mesh.ground.errors import UsageError
from sim.named import named
from sim.randomiser import draw
from sim.run import Order, run
from sim.scenario import Act, Scenario
from sim.watch import doing, picture, watch
from sim.world import World

ROOT = Path(__file__).parents[2]


def lines(world: World, *, ended: str = "") -> list[str]:
    """Return the picture of a world on a screen of 100 columns and 30 lines."""
    console = Console(width=100, height=30, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(picture(world, "the title", ended, 100, 30))
    return captured.get().splitlines()


def at(scenario: Scenario, at_ms: int) -> World:
    """Return a world as it is at a time."""
    world = World(scenario, 1)

    def stop() -> None:
        world.finished = True

    world.at(at_ms, stop)
    world.begin()
    world.go_on()
    return world


def test_the_largest_drawn_mesh_fits_a_hundred_columns_and_thirty_lines() -> None:
    large = next(drawn for seed in range(1_000) if (drawn := draw(seed, 50, 1)).jobs == 6)
    for at_ms in (0, 5_000):
        shown = lines(at(large, at_ms))
        assert len(shown) <= 30
        assert max(map(len, shown)) <= 100
        assert all(any(f"p{peer} " in line for line in shown) for peer in range(50))


def test_each_state_of_a_peer_has_its_sign() -> None:
    acts = (
        Act(at_ms=12_000, what="kill", peers=(1,)),
        Act(at_ms=12_000, what="power", peers=(2,)),
        Act(at_ms=12_000, what="freeze", peers=(3,)),
        Act(at_ms=12_000, what="sleep", peers=(4,)),
        Act(at_ms=12_000, what="cut", peers=(5,)),
        Act(at_ms=12_000, what="pause-now", peers=(6,)),
    )
    scenario = dataclasses.replace(
        named("calm"), steady=False, peers=10, renderers=9, submitters=(0,), late=1, late_ms=50_000, script=acts
    )
    world = at(scenario, 13_000)
    world.hosts[7].disk.full = True
    seen = [doing(world, host) for host in world.hosts]
    assert [each.word for each in seen[1:8]] == [
        *("down", "without power", "frozen", "asleep", "cut off", "paused", "full disk"),
    ]
    assert seen[0].word == seen[8].word == "render"
    assert seen[8].text.startswith("~job0 "), "one peer is cut off from it"
    assert seen[9].word == "not there yet"
    shown = "\n".join(lines(world))
    for words in ("p1 is killed", "p2 loses power", "p3 is frozen", "cut 1: p5 from 9 peers", "faults come", "0:13.0"):
        assert words in shown
    assert "job0 " in shown
    assert "/40 count" in shown


def test_a_job_is_shown_as_others_see_it_while_its_submitter_is_away() -> None:
    act = Act(at_ms=20_000, what="kill", peers=(5,))
    world = at(dataclasses.replace(named("calm"), steady=False, script=(act,)), 40_000)
    (line,) = [line for line in lines(world) if "job0 " in line and "count" in line]
    assert " 0/40" not in line


def test_it_needs_a_terminal() -> None:
    with pytest.raises(UsageError, match="terminal"):
        watch(Order(scenario="calm"), 1, speed=10)


class Terminal:
    """A pseudo-terminal and the program on it."""

    def __init__(self, *options: str) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        command = [sys.executable, "-m", "sim", "watch", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.said = ""

    def until(self, words: str) -> None:
        """Read until some words come, or the program ends."""
        while words not in self.said:
            ready, _, _ = select.select([self._ours], [], [], 60)
            assert ready, self.said[-2_000:]
            try:
                self.said += os.read(self._ours, 65_536).decode(errors="replace")
            except OSError:  # the other end is closed
                break

    def type(self, key: str) -> None:
        """Type a key."""
        os.write(self._ours, key.encode())


def test_looking_at_a_run_changes_nothing_and_its_hash_is_told_at_the_end() -> None:
    terminal = Terminal("--scenario", "two-peers", "--seed", "4", "--speed", "1000")
    terminal.until("all is done")
    terminal.type("x")
    terminal.until("repeat: ")
    assert terminal.process.wait(30) == 0
    assert run(named("two-peers"), 4).trace in terminal.said


def test_q_ends_it() -> None:
    terminal = Terminal("--scenario", "calm", "--speed", "1")
    terminal.until("faults come")
    terminal.type("q")
    assert terminal.process.wait(30) == 0
