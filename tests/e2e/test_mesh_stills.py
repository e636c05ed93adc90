"""A still on several peers is what Blender alone renders, whoever of them is killed meanwhile."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mesh.wire.grids import Region
from tests.support import buckets, peers, scenes
from tests.support.peers import Answer, TestMesh
from tools import compare, seams

STILL = ("--still", "--frame", "2")


def coordinator(mesh: TestMesh, job: str, *, other_than: str = "") -> str:
    """Wait until somebody coordinates a job, and return who."""

    def leads(answer: Answer) -> bool:
        return answer["job"]["coordinator"] not in ("", other_than)

    name: str = mesh.wait("somebody coordinates", leads, job)["job"]["coordinator"]
    return name


def counting(part: float) -> Callable[[Answer], bool]:
    """Return whether so much of a job's cells count."""
    return lambda answer: answer["job"]["cells_counting"] >= part * answer["job"]["cells"] > 0


def holders(mesh: TestMesh, job: str) -> dict[tuple[int, ...], str]:
    """Return whose result counts for each part of the frame, as any peer that knows the records tells."""
    for peer in mesh.peers:
        if peer.started():
            answer = peer.ask(f"/jobs/{job}/buckets?frame=2")
            if answer["known"]:
                rows = answer["buckets"]
                return {tuple(row["region"]): row["peer_name"] for row in rows if row["state"] == "counts"}
    raise AssertionError("nobody knows the job")


@pytest.mark.parametrize("name", ["passes", "passes_adaptive"])
def test_every_bit_of_every_pass_is_as_one_host_renders_it(name: str, tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        scene = scenes.own_scene(name, mesh.source)
        job = mesh.submit(scene, *STILL, "--buckets", "37x29")
        answer = mesh.sealed(job)
        assert answer["job"]["cells"] > 1
        (made,) = mesh.out.iterdir()
        own = scenes.reference(name, 2, 2) / made.name
        assert buckets.layout(made)[:2] == buckets.layout(own)[:2]
        assert buckets.changed(buckets.channels(made), buckets.channels(own)) == {}


def test_shares_of_samples_add_up_to_what_one_host_renders(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        scene, who = scenes.own_scene("samples_apart", mesh.source), dict[str, None]()
        for time in range(3):  # whose engine is there first may have rendered all shares before the others' are
            out = mesh.out / str(time)
            answer = mesh.sealed(mesh.submit(scene, *STILL, "--samples-split", "6", out=out))
            assert answer["job"]["cells"] == 6
            who = {share["peer"]: None for share in answer["shares"]}
            if len(who) > 1:
                break
        assert len(who) > 1
        (made,) = out.iterdir()
        added, own = (buckets.channels(path) for path in (made, scenes.reference("samples_apart", 2, 2) / made.name))
        assert added.keys() == own.keys()
        assert all(buckets.rmse(added[name], own[name]) < 1e-5 for name in own)
        plain = [name for name in own if not name.startswith("Second.Combined.")]
        assert all(buckets.rmse(added[name], own[name]) <= 1e-6 for name in plain)


def test_the_coordinator_is_killed_twice_and_nothing_that_counts_is_rendered_again(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo", "dora", "ella") as mesh:
        scene = peers.heavier("passes_png", mesh.source, samples=96)
        job = mesh.submit(scene, *STILL, "--buckets", "40x36")
        first = coordinator(mesh, job)
        mesh.wait("a fifth is rendered", counting(0.2), job)
        before = holders(mesh, job)
        mesh.kill(mesh.named(first))
        second = coordinator(mesh, job, other_than=first)
        mesh.wait("a half is rendered", counting(0.5), job)
        before |= holders(mesh, job)
        mesh.kill(mesh.named(second))
        for name in (first, second):
            if mesh.named(name) is mesh.submitter:
                mesh.named(name).join()
        mesh.sealed(job)
        assert len(before) > 10
        after = holders(mesh, job)
        changed = {region: name for region, name in before.items() if after.get(region) != name}
        assert set(changed.values()) <= {first, second}, "only what died with its author may be somebody else's"
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 2, 2), 1)


def test_peers_of_different_processors_leave_no_seams(tmp_path: Path) -> None:
    """The picture is none that any one of them renders, since their rounding differs, and yet nobody sees why."""
    with peers.mesh_in(tmp_path) as mesh:
        for name, kind in (("ada", "none"), ("bela", "older"), ("cleo", "none")):
            mesh.add(name, environment=peers.engine_with(kind))
        mesh.start()
        scene = peers.heavier("passes", mesh.source, frames=2)
        job = mesh.submit(scene, *STILL, "--buckets", "40x30", "--order", "rows")
        mesh.sealed(job)
        (made,) = mesh.out.iterdir()
        rows = mesh.submitter.ask(f"/jobs/{job}/buckets?frame=2")["buckets"]
        own = peers.references_of(scene, 2, 2) / made.name
        picture, alone = (compare.read(path)[0] for path in (made, own))
        differs = np.any([picture.channels[name] != alone.channels[name] for name in alone.channels], axis=0)
        older = np.zeros_like(differs)
        for row in rows:
            if row["peer_name"] == "bela":
                left, top, right, bottom = row["region"]
                older[top:bottom, left:right] = True
        assert 0 < older.mean() < 1
        assert differs[older].mean() > 0.01, "the other kernel was used"
        assert not differs[~older].any()
        regions = [Region(**dict(zip(("left", "top", "right", "bottom"), row["region"], strict=True))) for row in rows]
        assert seams.figure(picture, alone, regions, (0, 0)) <= seams.FIGURE_MOST


def test_nobody_renders_the_whole_as_the_engines_logs_tell(tmp_path: Path) -> None:
    with peers.running(tmp_path, "ada", "bela", "cleo") as mesh:
        scene = peers.heavier("passes_png", mesh.source, frames=2)
        job = mesh.submit(scene, *STILL, "--buckets", "64x60", "--order", "spiral")
        mesh.sealed(job)
        parts = mesh.submitter.ask(f"/jobs/{job}/logs?frame=2")["parts"]
        buckets_of = {
            name: [part["region"] for part in parts if part["peer_name"] == name and part["region"]]
            for name in ("ada", "bela", "cleo")
        }
        assert all(buckets_of.values()), "somebody rendered nothing"
        for part in parts:
            if part["region"]:
                left, top, right, bottom = part["region"]
                said = f"bucket of frame 2: {right - left}x{bottom - top} pixels at {left},{top}"
                assert said in part["text"], "with fixed sampling there are no margins"
        areas = [sum((each[2] - each[0]) * (each[3] - each[1]) for each in found) for found in buckets_of.values()]
        assert sum(areas) == 320 * 180 > max(areas)
        peers.assert_like_blender_alone(mesh.out, peers.references_of(scene, 2, 2), 1)
