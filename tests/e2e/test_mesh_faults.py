"""Renderers and disks that fail: a named error on the job, the frame rendered elsewhere, and the mesh goes on.

All peers of these tests render with a real Blender behind a script that can make it fail, so that they have the same
exact engine and only one of them a bad one.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.store.blobs import RESERVE_BYTES
from tests.support import peers, scenes
from tests.support.faulty_blender import LAST_WORDS

FAULTS = {
    "crash": "crashed",
    "hang": "hung",
    "memory": "out of memory",
    "truncated": "truncated",
    "unreadable": "scene unreadable",
}
MEMORY_MB = 700
"""A stage with a small scene takes 300 MiB; the one that takes more and more is ended here."""

SILENCE_S = 3

RESERVE_MB = RESERVE_BYTES >> 20
"""What the store never touches of a disk."""

ROOM_MB = 2
"""For blobs: the scene and a few frames of a third of a megabyte."""


def failures(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """List who failed and how, over all frames of a job."""
    return [(one["peer_name"], one["kind"]) for row in answer["frames"] for one in row["failures"]]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_renderer_is_named_and_its_frames_go_elsewhere(fault: str, tmp_path: Path) -> None:
    settings = {"memory_limit_mb": MEMORY_MB, "engine_silence_s": SILENCE_S}
    with peers.mesh_in(tmp_path) as mesh:
        mesh.add("ada", environment=peers.engine_with("none"))
        mesh.add("bela", environment=peers.engine_with("none"))
        bad = mesh.add("cleo", environment=peers.engine_with(fault), settings=settings)
        mesh.start()
        scene = peers.heavier("tiny", mesh.source, frames=6, samples=16)
        job = mesh.submit(scene)
        answer = mesh.sealed(job)
        assert set(failures(answer)) == {("cleo", FAULTS[fault])}, peers.story(answer)
        assert {row["holder_name"] for row in answer["frames"]} == {"ada", "bela"}
        assert bad.is_alive()
        if fault != "unreadable":  # which is found before an engine prints anything
            (failed,) = [row["frame"] for row in answer["frames"] if row["failures"]][:1]
            (log,) = mesh.submitter.typed("logs", job, str(failed))
            assert any(part["outcome"] == FAULTS[fault] and LAST_WORDS in part["text"] for part in log["parts"]), log
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, 6), 6)
        # The mesh goes on, and so does the peer whose renderer failed.
        mesh.sealed(mesh.submit(scenes.own_scene("tiny_exr", mesh.source), out=mesh.out / "next"))


def test_a_full_disk_is_named_and_its_frames_go_elsewhere(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela") as mesh:
        (invite,) = mesh.submitter.typed("invite")
        full = mesh.add("cleo")
        with disk(full.home, RESERVE_MB + ROOM_MB):
            full.join(token=invite["token"])
            scene = peers.heavier("tiny_exr", mesh.source, frames=9, samples=4)
            answer = mesh.sealed(mesh.submit_soon(scene))
            assert set(failures(answer)) == {("cleo", "disk full")}, peers.story(answer)
            assert full.is_alive(), full.tail()
            peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, 9), 9)
            full.end()


@contextmanager
def disk(directory: Path, megabytes: int) -> Iterator[None]:
    """Give a directory a file system of its own, and keep what lies there now."""
    kept = {path.name: path.read_bytes() for path in directory.iterdir()}
    options = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(directory)], check=True)
    try:
        for name, data in kept.items():
            (directory / name).write_bytes(data)
        yield
    finally:
        # Lazily: whatever of the peer is still ending there keeps it busy.
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
