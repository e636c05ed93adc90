"""What a person is told of a job's frames at a peer that neither submitted nor keeps it, in processes of their own."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_node_processes import nodes, submit, until
from tests.support.node_process import NodeProcess
from tests.support.nodes import write_scene

NAMES = ("ada", "bob", "cy", "dee", "eve", "fay", "gus", "hal")
"""One submits, five keep, and two or more do neither."""


def rendered(answer: Any) -> dict[int, str]:
    return {row["frame"]: row["holder"] for row in answer["frames"] if row["state"] in ("counts", "safe")}


def bystanders(running: list[NodeProcess], job: str) -> list[NodeProcess]:
    """Return the peers that neither submitted the job nor keep it, and rendered some of it."""
    return [node for node in running[1:] if node.renders() and not node.job(job)["keeping"]]


def shows(node: NodeProcess, job: str, before: dict[int, str]) -> bool:
    """Whether a peer shows all that was rendered before, while more is: a seal would tell everybody all."""
    answer = node.ask("job", job)
    assert answer["job"]["state"] == "rendering"
    return answer["whole"] and rendered(answer).items() >= before.items()


@pytest.mark.slow
def test_any_peer_shows_each_frame_that_is_rendered_and_who_rendered_it(tmp_path: Path) -> None:
    """Takes some ten seconds: eight processes start, and the job must go on while it is looked at."""
    with nodes(tmp_path, *NAMES) as running:
        ada = running[0]
        job = submit(ada, write_scene(tmp_path / "shot", "frames 1 120\nms 700"))
        until(lambda: len(rendered(ada.ask("job", job))) >= 24 and bool(bystanders(running, job)))
        found = bystanders(running, job)
        before = rendered(ada.ask("job", job))
        for node in found:
            until(lambda node=node: shows(node, job, before))
            frame = next(frame for frame, holder in before.items() if holder != node.ask("status")["id"])
            (part,) = node.ask("log", job, frame)["parts"]
            assert (part["frame"], part["peer"]) == (frame, before[frame])
