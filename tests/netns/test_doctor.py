"""A host that lets nobody in: its doctor says so, names the port and what to type, and others' doctors name it too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mesh.cli import firewall
from mesh.cli.checks import NotWell
from mesh.net.beacon import PORT as BEACON_PORT
from tests.support.far_mesh import PORT, bridged
from tests.support.staged import ROOT, StagedPeer, until

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


def test_a_beacon_that_a_firewall_keeps_in_is_found_and_its_port_named(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", beacon=True) as (mesh, _):
        ada, bob = mesh.peers
        for peer in (ada, bob):
            until("the other is heard", lambda peer=peer: peer.ask("/status")["beacon"]["heard_at_ms"])
        _, found = doctor(bob)
        assert found["beacon"]["verdict"] == "ok", found
        mesh.hosts["bob"].keep_in(BEACON_PORT)
        until("the next one does not leave", lambda: bob.ask("/status")["beacon"]["faults"])
        code, found = doctor(bob)
        assert (code, found["beacon"]["verdict"]) == (0, "warn"), "they have a channel all the same"
        assert "nothing could be sent" in found["beacon"]["text"]
        assert str(BEACON_PORT) in found["beacon"]["remedy"]
