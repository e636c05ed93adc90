"""What must not be sent is refused by name before anything is, and what must not be touched is not."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import peers, scenes
from tests.support.peers import TestMesh
from tools.peers import Peer
from tools.scenes import make

REFUSED, UNREADABLE = 13, 34
"""Exit codes, as `docs/reference/errors.md` lists them."""

LONG_AGO_NS = 946_684_800 * 10**9


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestMesh]:
    """Two peers that every test of this module asks in vain."""
    with peers.running(tmp_path_factory.mktemp("refusing"), "ada", "bela") as made:
        yield made


def refused(mesh: TestMesh, scene: Path, *options: str) -> tuple[int, str]:
    """Submit what is refused; return the exit code and what a person reads, in one line."""
    done = refusal(mesh, scene, *options)
    return done.returncode, " ".join(done.stderr.split())


def refusal(mesh: TestMesh, scene: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Submit what is refused, and expect that no peer heard of a job and nothing was stored or written."""
    before = sorted(mesh.out.iterdir())
    done = mesh.submitter.command("submit", str(scene), "--output", str(mesh.out), *options)
    for peer in mesh.peers:
        status = peer.ask("/status")
        assert status["jobs"] == []
        assert status["stored_bytes"] == 0
    assert sorted(mesh.out.iterdir()) == before
    return done


@pytest.mark.parametrize(
    ("name", "missing"),
    [("missing_texture", ["textures/checks.png"]), ("missing_library", ["deep/inner.blend"])],
)
def test_each_missing_file_is_named(name: str, missing: list[str], mesh: TestMesh) -> None:
    scene = scenes.own_scene(name, mesh.source)
    code, said = refused(mesh, scene)
    assert code == REFUSED, said
    for file in missing:
        assert file in said.replace(" ", "")


def test_all_missing_files_are_named_at_once(mesh: TestMesh) -> None:
    scene = scenes.own_scene("demo", mesh.source)
    gone = ("textures/floor.png", "textures/wall.png", "library/textures/bands.png")
    for name in gone:
        (scene.parent / name).unlink()
    code, said = refused(mesh, scene)
    assert code == REFUSED
    for name in gone:
        assert Path(name).name in said


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("python_driver", {"python-driver"}),
        ("undefined_node", {"undefined-node"}),
        ("absent_engine", {"absent-engine"}),
        ("unbaked_cloth", {"unbaked-simulation"}),
        ("many_refusals", {"no-camera", "movie-output", "file-output-node", "udim", "movie-clip"}),
    ],
)
def test_what_cannot_be_rendered_truly_is_refused_by_name(name: str, codes: set[str], mesh: TestMesh) -> None:
    scene = scenes.own_scene(name, mesh.source)
    done = refusal(mesh, scene, "--json")
    assert done.returncode == REFUSED, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])["refusals"]
    assert {reason["code"] for reason in told} == codes
    code, said = refused(mesh, scene)
    assert code == REFUSED
    for reason in told:
        assert reason["subject"] and " ".join(reason["text"].split()) in said, "a person reads the same"


def test_an_unreadable_scene_is_refused(mesh: TestMesh) -> None:
    garbage = mesh.source / "garbage.blend"
    garbage.write_bytes(b"no scene at all")
    code, said = refused(mesh, garbage)
    assert code == UNREADABLE, said
    assert "garbage.blend" in said
    cut = mesh.source / "cut.blend"
    shutil.copy(scenes.scene("tiny"), cut)
    os.truncate(cut, cut.stat().st_size // 2)
    code, said = refused(mesh, cut)
    assert code == UNREADABLE, said
    assert "cut.blend" in said


def test_a_file_in_the_way_is_named(mesh: TestMesh) -> None:
    old = mesh.out / "frame_0002.png"
    old.write_bytes(b"somebody's work")
    code, said = refused(mesh, scenes.own_scene("tiny", mesh.source))
    assert code == REFUSED
    assert "frame_0002.png" in said
    assert old.read_bytes() == b"somebody's work"
    old.unlink()


def test_a_scene_that_tries_to_leave_its_tree_touches_nothing_outside(tmp_path: Path) -> None:
    """On the other peers another picture lies where the scene's path leads, and its time of access is watched."""
    with peers.mesh_in(tmp_path) as mesh:
        scene = mesh.source / "canary" / "canary.blend"
        make(scenes.python(), mesh.source, ["canary"])
        beyond = mesh.source / "beyond"
        names = sorted(path.name for path in beyond.iterdir())
        assert names == ["canary.png"]
        mesh.add("ada", settings={"slots": 0})
        # The tree itself is hidden as everywhere; only the place that the scene reaches for is there, with a decoy.
        for name in ("bela", "cleo"):
            mesh.add(name)
        mesh.start()
        decoys = {peer.name: decoy(peer, beyond) for peer in mesh.peers[1:]}
        answer = mesh.sealed(mesh.submit(scene))
        assert {row["holder_name"] for row in answer["frames"]} <= {"bela", "cleo"}
        for name, place in decoys.items():
            status = (place / "canary.png").stat()
            assert status.st_atime_ns == status.st_mtime_ns == LONG_AGO_NS, name
            assert [path.name for path in place.iterdir()] == ["canary.png"]
        assert [path.name for path in beyond.iterdir()] == ["canary.png"]
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 1, 4), 4)


def decoy(peer: Peer, beyond: Path) -> Path:
    """Put another picture into a peer's own view of a directory; return that view, where nothing was ever read."""
    view = Path(f"/proc/{peer.number}/root{beyond}")
    view.mkdir()
    shutil.copy(scenes.scene("tiny").parent / "textures" / "checks.png", view / "canary.png")
    os.utime(view / "canary.png", ns=(LONG_AGO_NS, LONG_AGO_NS))
    return view
