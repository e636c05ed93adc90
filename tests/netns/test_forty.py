"""Forty peers, each a process on a host of its own, whose renderer only pretends: what a few can do, many can too.

The tests share one mesh, since to start it costs most. Each begins and ends with all channels there, so that any one
may be run alone.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.far_mesh import FarMesh, bridged
from tests.support.namespaces import Network
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import StagedPeer, all_connected, until, until_one

PEERS = 40
FRAMES = 160
"""Four for each, of which each has two in hand: nobody is left without."""

CUT_S = 60.0
MERGED_S = 60.0
"""From healing on, two parts of a mesh are one again within so long."""

JOB_S = 120.0
"""A job's frames, its news and its files, on two cores for all peers together."""


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FarMesh, Network]]:
    """Yield the one mesh, all its peers connected."""
    names = [f"p{number}" for number in range(PEERS)]
    with bridged(tmp_path_factory.mktemp("forty") / "peers", *names) as made:
        yield made


def scene_of(directory: Path, *, ms: int, frames: int = FRAMES) -> Path:
    """Write a scene, by default one that gives every peer something to do."""
    return write_scene(directory / "shot", f"frames 1 {frames}\nms {ms}")


def authors(peer: StagedPeer, job: str) -> set[str]:
    """Return who rendered the frames that a peer knows of."""
    return {name for _, name, _ in peer.standing(job)}


def refuse_disagreement(mesh: FarMesh, job: str, scene: Path, frames: int = FRAMES, *, by_all: bool = True) -> None:
    """Wait until a job is over everywhere, and fail unless each frame counts once and all name the same picture.

    Who had no part in a job, as some may unless it was rendered `by_all`, knows that it is over, and not who rendered
    what.
    """

    def agree() -> bool:
        told = {tuple(peer.standing(job)) for peer in mesh.peers}
        return len(told if by_all else told - {()}) == 1

    try:
        until("all know of the seal", lambda: all(peer.job(job)["state"] == "sealed" for peer in mesh.peers), JOB_S)
        until("all agree", agree)
    except AssertionError as error:
        for peer in mesh.peers:
            row = peer.job(job)
            error.add_note(f"{peer.name}: {row['state']}, {row['counting']} counting, {row['safe']} safe")
            error.add_note(f"    names {len(peer.standing(job))} frames: {peer.standing(job)[:3]}")
        raise
    told = max((peer.standing(job) for peer in mesh.peers), key=len)
    assert [frame for frame, _, _ in told] == list(range(1, frames + 1))
    refuse_wrong_frames(scene, range(1, frames + 1))


def test_all_know_each_other_and_render_whoever_submits(forty: tuple[FarMesh, Network], tmp_path: Path) -> None:
    mesh, _ = forty
    names = {peer.name for peer in mesh.peers}
    for peer in mesh.peers:
        assert {row["name"] for row in peer.ask("/status")["peers"]} == names
    for submitter in (mesh.peers[0], mesh.peers[PEERS // 2]):
        scene = scene_of(tmp_path / submitter.name, ms=2000)
        job = submitter.submit(scene)
        refuse_disagreement(mesh, job, scene)
        assert authors(submitter, job) == names


def test_two_halves_cut_apart_for_a_minute_go_on_and_merge(forty: tuple[FarMesh, Network], tmp_path: Path) -> None:
    mesh, wires = forty
    near, far = mesh.peers[: PEERS // 2], mesh.peers[PEERS // 2 :]
    scene = scene_of(tmp_path, ms=4000)
    before = {peer.name: len(peer.renders()) for peer in mesh.peers}
    job = near[0].submit(scene)
    until("all render", lambda: all(len(peer.renders()) > before[peer.name] for peer in mesh.peers), JOB_S)
    wires.cut(mesh.hosts_of(*near), mesh.hosts_of(*far))
    healed_at = time.monotonic() + CUT_S
    for side in (near, far):
        until("a side has sealed alone", lambda side=side: side[0].job(job)["state"] == "sealed", JOB_S)
        assert authors(side[0], job) >= {peer.name for peer in side}
    until("the minute is over", lambda: time.monotonic() >= healed_at, CUT_S)
    assert not any(set(peer.connected()) & {other.name for other in far} for peer in near)
    wires.heal()
    until_one(mesh.peers, MERGED_S)
    refuse_disagreement(mesh, job, scene)


def test_halves_merge_although_one_knows_no_address_that_is_right(
    forty: tuple[FarMesh, Network], tmp_path: Path
) -> None:
    """Beyond the cut all others move, and so find only each other: nothing that this side remembers leads anywhere."""
    mesh, wires = forty
    near, far = mesh.peers[: PEERS // 2], mesh.peers[PEERS // 2 :]
    wires.cut(mesh.hosts_of(*near), mesh.hosts_of(*far))
    mesh.move(wires, near, told=True)
    for side in (near, far):
        until("a side is one", lambda side=side: all_connected(side), JOB_S)
    scenes = [scene_of(tmp_path / side[0].name, ms=500, frames=PEERS) for side in (near, far)]
    jobs = [side[0].submit(scene) for side, scene in zip((near, far), scenes, strict=True)]
    for side, job in zip((near, far), jobs, strict=True):
        until("a side goes on", lambda side=side, job=job: authors(side[0], job), JOB_S)
    wires.heal()
    until_one(mesh.peers, MERGED_S)
    for job, scene in zip(jobs, scenes, strict=True):
        refuse_disagreement(mesh, job, scene, PEERS, by_all=False)


def test_whoever_starts_again_under_another_address_is_found_by_all(forty: tuple[FarMesh, Network]) -> None:
    """One half; the other did so in the test before."""
    mesh, wires = forty
    mesh.move(wires, mesh.peers[PEERS // 2 :])
    until_one(mesh.peers, MERGED_S)
