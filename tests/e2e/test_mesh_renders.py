"""The mesh's claim at small scale: peers that see nothing of the source deliver what Blender alone renders."""

from pathlib import Path

from tests.support import peers, scenes


def test_three_peers_deliver_what_blender_alone_renders(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        made = {name: scenes.own_scene(name, mesh.source) for name in ("tiny", "tiny_exr", "nested")}
        for peer in mesh.peers[1:]:
            for hidden in (mesh.source, mesh.out):
                assert list(Path(f"/proc/{peer.number}/root{hidden}").iterdir()) == []
        for name, scene in made.items():
            mesh.sealed(mesh.submit(scene, out=mesh.out / name))
            peers.assert_like_blender_alone(mesh.out / name, scenes.reference(name, 1, 4), 4)
        for peer in mesh.peers:
            assert peer.stop() == 0, peer.tail()
            assert peer.started() == []


def test_a_peer_killed_in_the_middle_of_a_frame_costs_nothing(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        scene = peers.heavier("tiny", mesh.source, frames=6)
        job = mesh.submit(scene)
        victim = mesh.named("cleo")
        frame = mesh.rendering(victim, job)
        assert any("stage.py" in one.command for one in victim.started())
        mesh.kill(victim)
        answer = mesh.sealed(job)
        (row,) = (row for row in answer["frames"] if row["frame"] == frame)
        assert row["holder_name"] in ("ada", "bela")
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, 6), 6)
