"""Pictures that two must agree on, with real Blenders: a peer that paints wrongly delivers nothing."""

from pathlib import Path

from tests.support import peers

FRAMES = 4


def test_what_is_checked_twice_is_what_blender_alone_renders_though_a_peer_paints_wrongly(tmp_path: Path) -> None:
    with peers.mesh_in(tmp_path) as mesh:
        mesh.add("ada", environment=peers.engine_with("none"))
        mesh.add("bela", environment=peers.engine_with("none"))
        mesh.add("cleo", environment=peers.engine_with("wrong"))
        mesh.start()
        scene = peers.heavier("tiny", mesh.source, frames=FRAMES, samples=16)
        job = mesh.submit(scene, "--check", "twice")
        mesh.rendering(mesh.named("cleo"), job)
        answer = mesh.sealed(job)
        for row in answer["frames"]:
            assert {row["holder_name"], row["voucher_name"]} == {"ada", "bela"}, peers.story(answer)
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, FRAMES), FRAMES)


def test_a_frame_that_a_peer_painted_wrongly_is_replaced_once_its_picture_is_rejected(tmp_path: Path) -> None:
    with peers.mesh_in(tmp_path) as mesh:
        mesh.add("ada", environment=peers.engine_with("none"))
        bad = mesh.add("cleo", environment=peers.engine_with("wrong"))
        mesh.start()
        scene = peers.heavier("tiny", mesh.source, frames=40, samples=16)  # so many that it is not sealed before
        job = mesh.submit(scene)

        def painted(answer: peers.Answer) -> list[int]:
            rows = answer["frames"]
            return [row["frame"] for row in rows if row["holder_name"] == "cleo" and row["delivered"]]

        frame = painted(mesh.wait("a picture of cleo's is delivered", painted, job))[0]
        name = f"frame_{frame:04d}.png"
        before = peers.stamps(mesh.out)[name]
        bad.end()
        mesh.submitter.typed("reject", job, str(frame), "--reason", "too bright")

        def replaced(answer: peers.Answer) -> bool:
            (row,) = (row for row in answer["frames"] if row["frame"] == frame)
            return row["holder_name"] == "ada" and row["delivered"]

        mesh.wait("ada's picture is in its place", replaced, job)
        assert peers.stamps(mesh.out)[name].data != before.data
        mesh.submitter.typed("cancel", job)
