"""Nodes as processes of their own, killed, frozen and started again by the system's own means."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.support.node_process import PATIENCE_S, POLL_S, NodeProcess, clock_ms, make_mesh
from tests.support.nodes import refuse_wrong_frames, request, write_scene

LONG_MS = 3_000
"""A frame long enough to be struck in its middle."""

BUSY_MS = 2_000
"""What a machine that does other things too may take longer; the benches measure without."""

GONE_S = 15.0
"""All know of a silent peer by then: ten seconds, on a machine that is busy with something else."""


@contextmanager
def nodes(tmp_path: Path, *names: str) -> Iterator[list[NodeProcess]]:
    """Yield running processes of one mesh that all see each other."""
    running: list[NodeProcess] = []
    try:
        for state in trio.run(make_mesh, tmp_path / "peers", *names):
            running.append(NodeProcess(state=state))  # noqa: PERF401 (what was started must be closed, also if the next fails)
        for node in running:
            until(lambda node=node: connected(node) == len(names))
        yield running
    finally:
        for node in running:
            node.close()


def connected(node: NodeProcess) -> int:
    return sum(row["connected"] for row in node.ask("status")["peers"])


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Return once a condition holds; fail when it never does."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        trio.run(trio.sleep, POLL_S)


def submit(node: NodeProcess, scene: Path) -> str:
    job: str = node.ask("submit", request(scene))["job"]["id"]
    return job


def a_renderer_of(running: list[NodeProcess]) -> NodeProcess:
    """Wait until a peer that did not submit renders, and return it."""
    until(lambda: any(node.renders() for node in running[1:]))
    return next(node for node in running[1:] if node.renders())


def taken_over_ms(running: list[NodeProcess], victim: NodeProcess) -> int:
    """Wait until another peer begins the victim's frame; return when, on the shared clock."""
    ((begun_ms, lost),) = victim.renders()
    others = [node for node in running if node is not victim]

    def again() -> list[int]:
        return [at for node in others for at, frame in node.renders() if frame == lost and at > begun_ms]

    until(lambda: bool(again()))
    return min(again())


def test_a_killed_peers_frame_is_rendered_by_an_idle_one_within_a_second(tmp_path: Path) -> None:
    with nodes(tmp_path, "ada", "bob", "cy") as running:
        scene = write_scene(tmp_path / "shot", f"frames 1 2\nms {LONG_MS}")
        job = submit(running[0], scene)
        victim = a_renderer_of(running)
        victim.signal(signal.SIGKILL)
        killed_ms = clock_ms()
        assert taken_over_ms(running, victim) - killed_ms <= 1_000 + BUSY_MS
        until(lambda: running[0].job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 3))
        assert sum(len(node.renders()) for node in running) == 3


def test_a_paused_peers_frame_is_rendered_by_an_idle_one_and_no_restart_ends_the_pause(tmp_path: Path) -> None:
    with nodes(tmp_path, "ada", "bob", "cy") as running:
        ada = running[0]
        scene = write_scene(tmp_path / "shot", f"frames 1 2\nms {LONG_MS}")
        job = submit(ada, scene)
        paused = a_renderer_of(running)
        assert paused.ask("pause", None, True)["in_hand"] == 0
        paused_ms = clock_ms()
        assert taken_over_ms(running, paused) - paused_ms <= 1_000 + BUSY_MS
        paused.signal(signal.SIGKILL)
        paused.start()
        assert paused.ask("status")["paused"] is not None
        until(lambda: [row["paused"] for row in ada.ask("status")["peers"]].count(True) == 1)
        until(lambda: ada.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 3))
        assert len(paused.renders()) == 1
        assert paused.ask("resume")["paused"] is None
        until(lambda: not any(row["paused"] for row in ada.ask("status")["peers"]))


def test_all_are_killed_at_once_and_no_safe_frame_is_rendered_again(tmp_path: Path) -> None:
    with nodes(tmp_path, "ada", "bob", "cy") as running:
        ada = running[0]
        scene = write_scene(tmp_path / "shot", "frames 1 24\nms 200")
        job = submit(ada, scene)
        until(lambda: ada.job(job)["safe"] >= 6)
        safe = {row["frame"] for row in ada.ask("job", job)["frames"] if row["state"] == "safe"}
        for node in running:
            node.signal(signal.SIGKILL)
        killed_ms = clock_ms()
        for node in running:
            node.start()
        until(lambda: ada.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 25))
        again = {frame for node in running for at, frame in node.renders() if at > killed_ms}
        assert again
        assert not again & safe


@pytest.mark.slow
def test_a_frozen_peer_is_replaced_and_changes_nothing_when_it_wakes(tmp_path: Path) -> None:
    """Takes some ten seconds: a lease ends after six of silence."""
    with nodes(tmp_path, "ada", "bob", "cy") as running:
        ada = running[0]
        scene = write_scene(tmp_path / "shot", f"frames 1 2\nms {LONG_MS}")
        job = submit(ada, scene)
        victim = a_renderer_of(running)
        victim.signal(signal.SIGSTOP)
        frozen_ms = clock_ms()
        assert taken_over_ms(running, victim) - frozen_ms <= 8_000 + BUSY_MS
        until(lambda: ada.job(job)["delivered"] == 2)
        delivered = {path.name: path.stat().st_mtime_ns for path in (scene.parent / "out").iterdir()}
        victim.signal(signal.SIGCONT)
        until(lambda: connected(victim) == 3 and victim.job(job)["state"] == "sealed")
        until(lambda: ada.job(job)["state"] == "sealed")
        assert {path.name: path.stat().st_mtime_ns for path in (scene.parent / "out").iterdir()} == delivered
        refuse_wrong_frames(scene, range(1, 3))


@pytest.mark.slow
def test_a_frozen_peer_is_given_up_by_all_and_met_again_when_it_wakes(tmp_path: Path) -> None:
    """Takes some ten seconds: nothing but its silence tells, and those that work must not give each other up."""
    with nodes(tmp_path, "ada", "bob", "cy", "dee") as running:
        frozen, *others = running
        until(lambda: all(measured(node) == len(others) for node in running))
        frozen.signal(signal.SIGSTOP)
        until(lambda: all(connected(node) == len(others) for node in others), GONE_S)
        assert [node.ask("status")["given_up"] for node in others] == [1] * len(others)
        frozen.signal(signal.SIGCONT)
        until(lambda: all(connected(node) == len(running) for node in running))
        assert frozen.ask("status")["given_up"] == 0, "it slept itself"


def measured(node: NodeProcess) -> int:
    """Return how many others a peer has measured the way to."""
    return sum(row["round_trip_ms"] is not None for row in node.ask("status")["peers"])
