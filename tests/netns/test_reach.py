"""Networks that are there and poor: long ways, lost packets."""

import functools
from pathlib import Path

from tests.support.far_mesh import relayed
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import StagedPeer, all_connected, until


def told_of(asker: StagedPeer, peer: str) -> bool:
    """Whether somebody told the asker, in the DHT, where a peer is."""
    return asker.ask(f"/peers/{peer}")["told"] is not None


def test_a_long_and_lossy_way_costs_no_frame_twice(tmp_path: Path) -> None:
    with relayed(tmp_path / "peers", "ada", "bob", "cy", delay_ms=100, loss=0.02, seed=1) as (mesh, carrier):
        ada = mesh.peers[0]
        scene = write_scene(tmp_path / "shot", "frames 1 18\nms 700", tex=b"t" * 1_000_000)
        job = ada.submit(scene)
        until("the job is sealed", lambda: ada.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, range(1, 19))
        assert {name for _, name, _ in ada.standing(job)} == {"ada", "bob", "cy"}
        assert sorted(frame for peer in mesh.peers for frame in peer.frames()) == list(range(1, 19))
        assert {attempt for _, _, attempt in ada.standing(job)} == {1}
        assert all_connected(mesh.peers)
        # What the DHT tells comes by datagram, handshakes included.
        for row in ada.ask("/status")["peers"]:
            until(f"the DHT tells of {row['name']}", functools.partial(told_of, mesh.peers[1], row["id"]))
        # Packets were indeed lost.
        assert carrier.lost > carrier.carried // 200
