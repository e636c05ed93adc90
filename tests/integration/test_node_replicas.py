"""Disks that are lost after a job is done: others have copied by then what was on them."""

import shutil
import signal
from pathlib import Path

import pytest

from mesh.wire.manifest import blob_id, manifest_of
from tests.integration.test_node_processes import nodes, submit, until
from tests.support.node_process import NodeProcess
from tests.support.nodes import expected, refuse_wrong_frames, write_scene

FRAMES = range(1, 13)
COPIES = 3


def who_has(running: list[NodeProcess], scene: Path, frame: int) -> list[NodeProcess]:
    """Return the peers on whose disks a frame lies whole."""
    name = blob_id(manifest_of(expected(scene, frame))).hex()
    return [node for node in running if (node.state.parent / "blobs" / "whole" / name).exists()]


def wipe(node: NodeProcess) -> None:
    """Take a peer away with all that it stored."""
    node.signal(signal.SIGKILL)
    shutil.rmtree(node.state.parent)


@pytest.mark.slow
def test_three_of_eight_are_wiped_one_after_the_other_and_every_frame_is_fetched_from_the_rest(tmp_path: Path) -> None:
    """Takes some ten seconds: eight processes. The three are those that held the first frame when all was done."""
    with nodes(tmp_path, "ada", "bob", "cy", "dee", "eve", "fay", "gus", "hal") as running:
        scene = write_scene(tmp_path / "shot", f"frames {FRAMES.start} {FRAMES.stop - 1}\nms 100")
        job = submit(running[0], scene)
        until(lambda: running[0].job(job)["state"] == "sealed")
        until(lambda: all(len(who_has(running, scene, frame)) >= COPIES for frame in FRAMES))
        rest = list(running)
        doomed = who_has(rest, scene, FRAMES.start)[:COPIES]
        assert len(doomed) == COPIES
        for victim in doomed:
            rest.remove(victim)
            wipe(victim)
            until(lambda: all(len(who_has(rest, scene, frame)) >= COPIES for frame in FRAMES))
        fetched = tmp_path / "fetched"
        answer = rest[-1].ask("fetch", job, str(fetched), False)
        assert answer["written"] == len(FRAMES), answer
        refuse_wrong_frames(scene, FRAMES, fetched)
