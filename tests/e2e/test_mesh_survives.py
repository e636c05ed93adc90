"""Plugs are pulled: the submitter's, everybody's at once, and a peer that freezes and comes back."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support import peers, scenes
from tools.peers import wait_for

LEASE_S = 8.0
"""Within which a frozen peer's frame is somebody else's."""


def chosen(answer: dict[str, Any], *states: str) -> dict[int, tuple[str, int, int]]:
    """Tell by which attempt, of whom, each safe frame counts, or each in one of some states.

    A frame that is rendered again has others.
    """
    return {
        row["frame"]: (row["holder"], row["attempt"], row["render_ms"])
        for row in answer["frames"]
        if row["state"] in (states or ("safe",))
    }


@pytest.mark.parametrize("names", [("ada", "bela", "cleo"), ("ada", "bela")], ids=["three peers", "two peers"])
def test_a_submitter_that_said_it_may_go_may_go(names: tuple[str, ...], tmp_path: Path) -> None:
    with peers.running(tmp_path, *names) as mesh:
        scene = peers.heavier("tiny", mesh.source)
        job = mesh.submit(scene)
        assert mesh.submitter.ask(f"/jobs/{job}")["job"]["may_go"]
        mesh.kill(mesh.submitter)
        other = mesh.peers[1]
        mesh.wait_at(other, "all frames are rendered", lambda it: it["job"]["counting"] == 4, job)
        fetched = tmp_path / "fetched"
        (answer,) = other.typed("fetch", job, "--output", str(fetched))
        assert (answer["written"], answer["unfinished"]) == (4, 0)
        peers.assert_like_blender_alone(fetched, peers.references_of(scene, 1, 4), 4)


def test_every_peer_killed_at_once_goes_on_where_it_was(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        scene = peers.heavier("tiny", mesh.source, frames=8)
        job = mesh.submit(scene)
        before = mesh.wait(
            "some frames are safe and delivered",
            lambda it: it["job"]["safe"] >= 2 and it["job"]["delivered"] >= 2,
            job,
        )
        safe, files = chosen(before), peers.stamps(mesh.out)
        for peer in mesh.peers:
            peer.kill()
        for peer in mesh.peers:
            peer.start()
        for peer in mesh.peers:
            peer.wait_ready()
        rendered: set[int] = set()

        def seals(answer: dict[str, Any]) -> bool:
            rendered.update(row["frame"] for peer in mesh.peers for row in peer.ask("/status")["renders"])
            return bool(answer["job"]["state"] == "sealed")

        after = chosen(mesh.wait("the job is sealed", seals, job))
        assert rendered
        assert rendered.isdisjoint(safe)
        assert {frame: after[frame] for frame in safe} == safe
        kept = peers.stamps(mesh.out)
        assert {name: kept[name] for name in files} == files
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, 8), 8)


def test_a_frozen_peer_that_wakes_up_changes_nothing(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        scene = peers.heavier("tiny", mesh.source, frames=6)
        job = mesh.submit(scene)
        frozen = mesh.named("cleo")
        frame = mesh.rendering(frozen, job)
        frozen.signal(signal.SIGSTOP)
        answer = mesh.wait(
            "the frozen peer's frame counts", lambda it: it["job"]["counting"] == 6, job, within_s=LEASE_S + peers.JOB_S
        )
        (row,) = (row for row in answer["frames"] if row["frame"] == frame)
        assert row["holder_name"] != "cleo"
        mesh.wait("all is delivered", lambda it: it["job"]["delivered"] == 6, job)
        files, before = peers.stamps(mesh.out), {row["frame"]: row["attempt"] for row in answer["frames"]}
        frozen.signal(signal.SIGCONT)
        sealed = mesh.sealed(job)
        wait_for("the frozen peer is back", lambda: _sees_sealed(frozen, job), peers.CHANGE_S)
        assert peers.stamps(mesh.out) == files
        late = mesh.submitter.ask(f"/jobs/{job}")
        assert late["job"]["counting"] == late["job"]["tasks"] == 6
        assert {row["frame"]: row["attempt"] for row in late["frames"]} == before
        assert chosen(late, "counts", "safe") == chosen(sealed, "counts", "safe")
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, 6), 6)


def _sees_sealed(peer: Any, job: str) -> bool:
    """Say whether a peer that was away has caught up, and renders nothing of the job any more."""
    state = peer.ask(f"/jobs/{job}")["job"]["state"]
    return state == "sealed" and not peer.ask("/status")["renders"]


def test_a_lone_peer_renders_and_is_told_that_all_is_only_here(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada") as mesh:
        job = mesh.submit(scenes.own_scene("tiny", mesh.source))
        answer = mesh.sealed(job)
        assert answer["job"]["only_here"]
        peers.assert_like_blender_alone(mesh.out, scenes.reference("tiny", 1, 4), 4)
