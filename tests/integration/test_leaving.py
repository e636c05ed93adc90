"""Leaving for good: what happens when the machine is shut down before others have taken everything."""

import signal
import subprocess
import sys
from pathlib import Path

from mesh.cli import compose
from tests.support.nodes import write_scene
from tests.support.staged import PATIENCE_S, ROOT, StagedPeer, until


def test_a_peer_that_is_shut_down_while_it_leaves_stays_a_member_and_says_so(tmp_path: Path) -> None:
    ada = StagedPeer(directory=tmp_path / "ada", name="ada")
    try:
        ada.start(found="films")
        identity = ada.wait_ready()["id"]
        job = ada.submit(write_scene(tmp_path / "shot", "frames 1 1\nms 600000"))
        until("it renders", ada.frames)
        command = [sys.executable, "-m", "mesh.cli", "leave", "--home", str(ada.home), "--yes"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as leaving:
            try:
                until("it takes nothing new", lambda: ada.ask("/status")["draining"])
                for number in (signal.SIGTERM, signal.SIGINT):  # of two alike at once it might hear of one
                    ada.running.send_signal(number)
                assert ada.running.wait(PATIENCE_S) == 0
                _, told = leaving.communicate(timeout=PATIENCE_S)
            finally:
                leaving.kill()
        assert leaving.returncode == 5, told
        assert "still a member" in told
        assert compose.is_member(ada.home)
        ada.start()
        assert ada.wait_ready()["id"] == identity
        assert ada.job(job)["state"], "it knows what it took on"
    finally:
        ada.end()
