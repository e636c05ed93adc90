"""Hosts with addresses of their own: peers join by invite, find each other again after moves, and render."""

from pathlib import Path

import pytest

from tests.support.far_mesh import FarMesh, bridged
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import StagedPeer, all_connected, until


def render_everywhere(mesh: FarMesh, scene: Path, frames: int) -> None:
    """Have a job rendered, and fail unless every peer had a part in it."""
    submitter = mesh.peers[0]
    before = {peer.name: len(peer.renders()) for peer in mesh.peers}
    job = submitter.submit(scene)
    until("the job is sealed", lambda: submitter.job(job)["state"] == "sealed")
    refuse_wrong_frames(scene, range(1, frames + 1))
    assert {row[1] for row in submitter.standing(job)} == set(before)


@pytest.mark.parametrize("only_ipv6", [False, True])
def test_peers_of_several_hosts_join_by_invite_and_render(tmp_path: Path, only_ipv6: bool) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy", only_ipv6=only_ipv6) as (mesh, _):
        scene = write_scene(tmp_path / "shot", "frames 1 18\nms 200", tex=b"t" * 3_000_000)
        render_everywhere(mesh, scene, 18)
        families = {":" in address.rpartition(":")[0] for address in addresses_of(mesh.peers[0], "bob")}
        assert families == ({True} if only_ipv6 else {False, True})


def addresses_of(peer: StagedPeer, name: str) -> list[str]:
    """Return where a peer believes that another can be reached, loopback left out."""
    (row,) = [row for row in peer.ask("/status")["peers"] if row["name"] == name]
    return [address for address in row["addresses"] if not address.startswith(("127.", "[::1]"))]


def test_a_peer_started_again_under_another_address_is_found_and_renders(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy") as (mesh, wires):
        _, bob, cy = mesh.peers
        bob.stop()
        mesh.hosts["bob"] = wires.move(mesh.hosts["bob"])
        bob.start()
        bob.wait_ready()
        until("bob is back", lambda: all_connected(mesh.peers))
        scene = write_scene(tmp_path / "shot", "frames 1 18\nms 200")
        render_everywhere(mesh, scene, 18)
        # One that was away meanwhile finds it too, whoever dials.
        cy.stop()
        mesh.hosts["cy"] = wires.move(mesh.hosts["cy"])
        cy.start()
        cy.wait_ready()
        until("cy is back", lambda: all_connected(mesh.peers))


def test_a_host_that_moves_under_a_running_peer_takes_it_along(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob") as (mesh, wires):
        mesh.hosts["bob"] = wires.move(mesh.hosts["bob"])
        # The old channel dies of silence first.
        until("bob is given up", lambda: not all_connected(mesh.peers))
        until("bob is back", lambda: all_connected(mesh.peers))
        scene = write_scene(tmp_path / "shot", "frames 1 12\nms 200")
        render_everywhere(mesh, scene, 12)
