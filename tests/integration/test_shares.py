"""Real processes with two jobs at once: each host's time is shared out by the jobs' weights, also while they change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import write_scene
from tests.support.staged import StagedPeer, stop_all, until, until_one

FRAMES = 400
"""More than are rendered: the jobs end with their mesh."""

COUNTED = 60
"""Of both jobs together, while both have frames: one more or less of each host is no more than a few percent."""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[list[StagedPeer]]:
    """Two peers that render one frame at a time."""
    peers = [StagedPeer(directory=tmp_path / name, name=name) for name in ("ada", "bob")]
    for peer in peers:
        peer.directory.mkdir()
    try:
        ada, bob = peers
        ada.start(found="studio")
        ada.wait_ready()
        bob.start(token=ada.invite())
        bob.wait_ready()
        until_one(peers)
        yield peers
    finally:
        for peer in peers:
            peer.end()


def counted(peer: StagedPeer, jobs: list[str], before: list[int]) -> list[int]:
    """Return how many frames of each job count since `before`."""
    return [peer.job(job)["counting"] - known for job, known in zip(jobs, before, strict=True)]


def share_of_the_first(peer: StagedPeer, jobs: list[str]) -> float:
    """Let both jobs have some frames more, and return which part of them is the first job's."""
    before = counted(peer, jobs, [0, 0])
    until("both have some more frames", lambda: sum(counted(peer, jobs, before)) >= COUNTED)
    found = counted(peer, jobs, before)
    return found[0] / sum(found)


def test_two_jobs_at_once_share_every_host_by_their_weights(mesh: list[StagedPeer], tmp_path: Path) -> None:
    ada = mesh[0]
    scene = write_scene(tmp_path / "shot", f"frames 1 {FRAMES}\nms 250")
    jobs = [
        ada.submit(scene, output=str(tmp_path / name), name=name, weight=weight)
        for name, weight in (("heavy", 30), ("light", 10))
    ]
    until("both have begun", lambda: all(counted(ada, jobs, [0, 0])))
    assert 0.6 < share_of_the_first(ada, jobs) < 0.9
    assert ada.post(f"/jobs/{jobs[0]}/weight", {"weight": 10})["job"]["weight"] == 10
    until("bob has heard of it", lambda: mesh[1].job(jobs[0])["weight"] == 10)
    assert 0.35 < share_of_the_first(ada, jobs) < 0.65
    stop_all(mesh)
