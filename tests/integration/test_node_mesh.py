"""Three nodes in one process, over real sockets and disks: a job goes all its way."""

from pathlib import Path

import trio

from sim.stagehand import NAMES, SCENE_NAME, picture
from tests.support.nodes import mesh_of, request, unheard, until, write_scene


def expected(scene: Path, frame: int) -> bytes:
    """Return what the stagehand makes of a scene, worked out from its files here."""
    tree = {SCENE_NAME: scene.read_bytes(), "meshnode.recipe.json": b"{}"}
    for path in scene.parent.iterdir():
        if path.is_file() and path != scene:
            tree[f"files/{path.name}"] = path.read_bytes()
    return picture((data for _, data in sorted(tree.items())), frame)


def test_three_nodes_render_and_deliver_a_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob", "cy") as (ada, bob, cy):
            scene = write_scene(tmp_path / "shot", "frames 1 24\nms 80", tex=b"t" * 3_000_000, small=b"s" * 100)
            answer = await ada.at.submit(request(scene), unheard)
            job = answer["job"]
            assert job is not None
            row = await until(ada, job["id"], lambda row: row["state"] == "sealed")
            assert row["delivered"] == 24
            for frame in range(1, 25):
                file = scene.parent / "out" / NAMES.name(frame)
                assert file.read_bytes() == expected(scene, frame)
            rendered = [len(peer.stagehand.calls) for peer in (ada, bob, cy)]
            assert sum(rendered) == 24
            assert min(rendered) >= 3

    trio.run(main)
