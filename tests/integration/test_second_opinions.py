"""Real processes of which one returns wrong pictures: what is checked twice never delivers one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import StagedPeer, stop_all, until, until_one

FRAMES = range(1, 17)


def ran(peers: list[StagedPeer], job: str, state: str) -> dict[str, Any]:
    until(f"the job is {state}", lambda: peers[0].job(job)["state"] == state)
    answer: dict[str, Any] = peers[0].ask(f"/jobs/{job}")
    return answer


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[list[StagedPeer]]:
    """Four peers, of which dee's pictures are wrong."""
    peers = [StagedPeer(directory=tmp_path / name, name=name) for name in ("ada", "bob", "cy", "dee")]
    peers[-1].wrong = "a moustache"
    for peer in peers:
        peer.directory.mkdir()
    try:
        ada, *others = peers
        ada.start(found="studio")
        ada.wait_ready()
        token = ada.invite()
        for peer in others:
            peer.start(token=token)
        for peer in others:
            peer.wait_ready()
        until_one(peers)
        yield peers
    finally:
        for peer in peers:
            peer.end()


def test_a_peer_that_paints_wrongly_delivers_nothing_where_two_must_agree(
    mesh: list[StagedPeer], tmp_path: Path
) -> None:
    scene = write_scene(tmp_path / "shot", f"frames {FRAMES.start} {FRAMES.stop - 1}\nms 200")
    job = mesh[0].submit(scene, check="twice", output=str(tmp_path / "out"))
    answer = ran(mesh, job, "sealed")
    refuse_wrong_frames(scene, FRAMES, tmp_path / "out")
    assert mesh[-1].frames(), "it had its chance"
    for row in answer["frames"]:
        assert "dee" not in (row["holder_name"], row["voucher_name"])
        assert row["voucher_name"] not in ("", row["holder_name"])
    rendered = sum(len(peer.frames()) for peer in mesh)
    assert rendered >= 2 * len(FRAMES) + len(mesh[-1].frames()) // 2
    stop_all(mesh)


def test_where_nobody_must_agree_its_pictures_are_found_and_rejected_by_hand(
    mesh: list[StagedPeer], tmp_path: Path
) -> None:
    scene = write_scene(tmp_path / "shot", "frames 1 200\nms 400")  # never done: it ends with its mesh
    ada, bob, _, dee = mesh
    job = ada.submit(scene, output=str(tmp_path / "out"))
    until("dee's first picture counts", lambda: any(name == "dee" for _, name, _ in ada.standing(job)))
    frame = next(frame for frame, name, _ in ada.standing(job) if name == "dee")
    until("its file is there", lambda: any(row["frame"] == frame and row["delivered"] for row in rows(ada, job)))
    path = tmp_path / "out" / f"frame_{frame:04d}.png"
    wrong = path.read_bytes()
    assert bob.post(f"/jobs/{job}/reject", {"frames": str(frame), "reason": "a moustache"})["complained"]
    until("ada sees the complaint", lambda: ada.job(job)["complaints"])
    (complaint,) = ada.job(job)["complaints"]
    assert (complaint["peer_name"], complaint["frame"], complaint["reason"]) == ("bob", frame, "a moustache")
    dee.stop()
    assert not ada.post(f"/jobs/{job}/reject", {"frames": str(frame)})["complained"]
    until("the file was replaced", lambda: path.read_bytes() != wrong)
    until("she is told so", lambda: any("replaced" in problem for problem in ada.job(job)["problems"]))
    assert not ada.job(job)["complaints"]


def rows(peer: StagedPeer, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = peer.ask(f"/jobs/{job}")["frames"]
    return found
