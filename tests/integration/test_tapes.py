"""Tapes of real processes, one of them killed in the middle: a fresh core that hears them asks for the same."""

import base64
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.wire.signing import Ed25519Signer
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import PATIENCE_S, ROOT, StagedPeer, stop_all, until, until_one

FRAMES = range(1, 17)


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[StagedPeer], list[Path]]:
    """Return three peers that rendered a job and stopped, and their tapes; `bob` was killed on the way."""
    tmp_path = tmp_path_factory.mktemp("tapes")
    peers = [StagedPeer(directory=tmp_path / name, name=name, taped=True) for name in ("ada", "bob", "cy")]
    ada, bob, cy = peers
    try:
        ada.start(found="films")
        ada.wait_ready()
        token = ada.invite()
        for peer in (bob, cy):
            peer.start(token=token)
            peer.wait_ready()
        until_one(peers)
        scene = write_scene(tmp_path / "shot", f"frames {FRAMES.start} {FRAMES.stop - 1}\nms 300", tex=b"t" * 5_000)
        job = ada.submit(scene)
        until("bob renders his second frame", lambda: len(bob.frames()) >= 2)
        bob.running.send_signal(signal.SIGKILL)
        bob.running.wait()
        bob.start()
        bob.wait_ready()
        until("the job is sealed", lambda: ada.job(job)["state"] == "sealed")
        until("bob, too, knows it", lambda: bob.job(job)["state"] == "sealed")
        refuse_wrong_frames(scene, FRAMES)
        stop_all(peers)
    finally:
        for peer in peers:
            peer.end()
    return peers, sorted(path for peer in peers for path in peer.tapes.iterdir())


def replay(paths: list[Path], hash_seed: str) -> list[str]:
    """Replay tapes in another process; return the digest of each."""
    ran = subprocess.run(
        [sys.executable, "-m", "sim", "replay", *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return re.findall(r"identical (\w{64})", ran.stdout)


def test_all_tapes_of_a_mesh_replay_whoever_was_killed_and_under_any_hash_seed(
    tapes: tuple[list[StagedPeer], list[Path]],
) -> None:
    peers, paths = tapes
    assert [len(list(peer.tapes.iterdir())) for peer in peers] == [1, 2, 1]
    first, second = replay(paths, "1"), replay(paths, "2")
    assert first == second
    assert len(set(first)) == len(paths)


def test_tapes_are_their_owners_alone_and_hold_no_secret(tapes: tuple[list[StagedPeer], list[Path]]) -> None:
    peers, paths = tapes
    lines = [path.read_text("ascii").split() for peer in peers for path in (peer.home / "keys").iterdir()]
    secrets = {words[1]: bytes.fromhex(words[3]) for words in lines}
    assert set(secrets) == {"identity", "static", "mesh", "root"}
    tapes_as_bytes = [path.read_bytes() for path in paths]
    assert any(Ed25519Signer(bytes.fromhex(words[3])).key in tape for words in lines for tape in tapes_as_bytes)
    for path, tape in zip(paths, tapes_as_bytes, strict=True):
        assert path.stat().st_mode & 0o077 == 0
        for words in lines:
            for key in (bytes.fromhex(words[3]), words[3].encode(), base64.b64encode(bytes.fromhex(words[3]))):
                assert key not in tape, f"{path} holds a secret: {words[1]}"
