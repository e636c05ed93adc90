"""Peers that see nothing of the source deliver what POV-Ray alone renders, frame by frame and in buckets."""

import subprocess
from pathlib import Path

from tests.support import peers, povray, scenes


def test_two_peers_deliver_what_pov_ray_alone_renders(tmp_path: Path) -> None:
    """Slow: two peers start, and render twelve frames and a still."""
    engine = povray.engine()
    with peers.mesh_in(tmp_path) as mesh:
        for name in ("ada", "bela"):
            mesh.add(name)
        mesh.start()
        moving, still = (povray.scene(name, mesh.source) for name in ("moving", "still"))
        jobs = [
            mesh.submit(moving, out=mesh.out / "moving"),
            mesh.submit(still, "--still", "--buckets", "100x70", out=mesh.out / "still"),
        ]
        answers = [mesh.sealed(job) for job in jobs]
        assert answers[1]["job"]["cells"] > 1, "the still was cut"
        assert len({share["peer"] for share in answers[1]["shares"]}) == 2, "both rendered"
        for answer in answers:
            assert answer["job"]["engine"].startswith(f"povray {engine.version}")
        own = tmp_path / "own"
        own.mkdir()
        for scene in (moving, still):
            command = [engine.program, f"{scene.stem}.ini", f"Output_File_Name={own}/", "-D", "-GA"]
            subprocess.run(command, cwd=scene.parent, check=True, capture_output=True)
        made = sorted((mesh.out / "moving").iterdir())
        assert [file.name for file in made] == [f"shot_{frame:02d}.png" for frame in range(1, 13)]
        for frame, file in enumerate(made, 1):
            assert scenes.changed_part(file, own / f"moving{frame:02d}.png") == 0
        assert scenes.changed_part(mesh.out / "still" / "still1.png", own / "still.png") == 0
