"""Nodes as processes of their own, killed, frozen and started again by the system's own means."""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.support.node_process import PATIENCE_S, POLL_S, NodeProcess, clock_ms, make_mesh
from tests.support.nodes import refuse_wrong_frames, request, write_scene

FRAME_MS = 700


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


def test_a_killed_peers_frame_is_claimed_again_within_a_second(tmp_path: Path) -> None:
    with nodes(tmp_path, "ada", "bob", "cy") as (ada, bob, cy):
        scene = write_scene(tmp_path / "shot", f"frames 1 30\nms {FRAME_MS}")
        job = submit(ada, scene)
        until(lambda: len(cy.renders()) >= 2)
        cy.signal(signal.SIGKILL)
        killed_ms = clock_ms()
        lost = cy.renders()[-1][1]
        until(lambda: lost in {frame for at, frame in (*ada.renders(), *bob.renders()) if at > killed_ms - FRAME_MS})
        at = next(at for at, frame in (*ada.renders(), *bob.renders()) if frame == lost)
        # Claimed at once, rendered when a slot is free; the rest is for machines that are busy with other things.
        assert at - killed_ms <= FRAME_MS + 1_000 + 2_000
        until(lambda: ada.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 31))
        again = [frame for _, frame in itertools.chain(ada.renders(), bob.renders(), cy.renders())]
        assert len(again) <= 32


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
    with nodes(tmp_path, "ada", "bob", "cy") as (ada, bob, cy):
        scene = write_scene(tmp_path / "shot", "frames 1 40\nms 400")
        job = submit(ada, scene)
        until(lambda: len(cy.renders()) >= 2)
        cy.signal(signal.SIGSTOP)
        frozen_ms = clock_ms()
        lost = cy.renders()[-1][1]
        until(lambda: lost in {frame for at, frame in (*ada.renders(), *bob.renders()) if at > frozen_ms - 400})
        at = next(at for at, frame in (*ada.renders(), *bob.renders()) if frame == lost)
        assert at - frozen_ms <= 8_000
        until(lambda: ada.job(job)["delivered"] == 40)
        delivered = {path.name: path.stat().st_mtime_ns for path in (scene.parent / "out").iterdir()}
        cy.signal(signal.SIGCONT)
        until(lambda: cy.job(job)["counting"] == 40 and connected(cy) == 3)
        until(lambda: ada.job(job)["state"] == "sealed")
        assert {path.name: path.stat().st_mtime_ns for path in (scene.parent / "out").iterdir()} == delivered
        refuse_wrong_frames(scene, range(1, 41))
