"""A host that lets nobody in: its doctor says so, names the port and what to type, and others' doctors name it too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mesh.cli import firewall
from mesh.cli.checks import NotWell
from tests.support.far_mesh import PORT, bridged
from tests.support.staged import ROOT, StagedPeer

PATIENCE_S = 60.0


def doctor(peer: StagedPeer, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Type `meshnode doctor` on a peer's host; return its exit code, and its findings by their checks."""
    command = [*peer.within, sys.executable, "-m", "mesh.cli", "doctor", "--home", str(peer.home), "--json", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode in {0, NotWell.exit_code}, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, {one["check"]: one for one in said["findings"]}


def test_a_blocked_port_is_found_and_the_remedy_named(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob") as (mesh, _):
        ada, bob = mesh.peers
        _, found = doctor(ada)
        assert found["reach"]["verdict"] == "ok", found
        assert "bob at " in found["reach"]["text"]
        assert found["clock"]["verdict"] == "ok"
        assert found["listening"]["verdict"] == "ok"

        mesh.hosts["bob"].refuse_callers("drop")
        code, found = doctor(bob)
        assert code == NotWell.exit_code
        assert found["reach"]["verdict"] == "bad"
        assert "ada cannot" in found["reach"]["text"]
        assert "stays silent" in found["reach"]["text"]
        assert found["listening"]["verdict"] == "ok", "on the host itself it answers"
        assert str(PORT) in found["reach"]["remedy"]
        assert found["reach"]["remedy"] == firewall.open_port(firewall.look(sys.platform), PORT, "")

        _, found = doctor(ada, "bob")
        assert found["bob"]["verdict"] == "ok", "they have a channel, which is older than the block"
        assert (found["way there"]["verdict"], found["way back"]["verdict"]) == ("warn", "ok")
        assert "firewall" in found["way there"]["remedy"]
