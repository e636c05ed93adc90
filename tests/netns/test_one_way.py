"""Hosts that nobody can call, as behind most routers: what their peers render reaches the others all the same."""

from pathlib import Path

import pytest

from tests.support.far_mesh import bridged
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import all_connected, until


@pytest.mark.parametrize("how", ["drop", "reject with tcp reset"])
def test_a_peer_that_nobody_can_call_renders_all_the_same(tmp_path: Path, how: str) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy") as (mesh, _):
        ada, _, cy = mesh.peers
        mesh.hosts["cy"].refuse_callers(how)
        # Started again, so that every channel it has is one that it opened itself.
        cy.stop()
        cy.start()
        cy.wait_ready()
        until("cy has channels", lambda: all_connected(mesh.peers))
        scene = write_scene(tmp_path / "shot", "frames 1 12\nms 300", tex=b"t" * 3_000_000)
        job = ada.submit(scene)
        until("the job is sealed", lambda: ada.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 13))
        assert "cy" in {name for _, name, _ in ada.standing(job)}
        assert sorted(frame for peer in mesh.peers for frame in peer.frames()) == list(range(1, 13))


def test_two_that_nobody_can_call_work_together_through_a_third(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy", slots={"ada": 0}) as (mesh, _):
        ada, bob, cy = mesh.peers
        for hidden in (ada, cy):
            mesh.hosts[hidden.name].refuse_callers("drop")
            hidden.stop()
            hidden.start()
            hidden.wait_ready()
        # Bob may still list the channel of a process that is gone.
        until("both found the third", lambda: [peer.connected() for peer in (ada, cy)] == [["bob"], ["bob"]])
        until("the third knows them", lambda: bob.connected() == ["ada", "cy"])
        scene = write_scene(tmp_path / "shot", "frames 1 24\nms 400", tex=b"t" * 1_000_000)
        job = ada.submit(scene)
        until("the job is sealed", lambda: ada.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 25))
        assert {name for _, name, _ in ada.standing(job)} == {"bob", "cy"}
