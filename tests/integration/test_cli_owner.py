"""Pause, resume and doctor against a made-up desk over the real API: what they print, ask, and end with."""

from pathlib import Path

import pytest

from mesh.cli import checks, compose
from mesh.cli.checks import NotWell
from mesh.cli.commands import doctor
from mesh.ports.owner import ReportRow
from mesh.ports.stores import BoundRow, NoRoomRow, RotRow
from mesh.render import install
from sim.desk import job_row
from sim.memberrows import OTHER
from tests.support.desk_server import DeskServer
from tests.support.typed import Printed, Typist

REPORT = ReportRow(id=OTHER, name="studio", ahead_ms=12, tried=[{"address": "192.168.1.5:40001", "outcome": "reached"}])


def test_pause_and_resume_ask_the_peer_and_all_commands_show_it(typist: Typist, server: DeskServer) -> None:
    server.let(server.desk.add, job_row())
    printed = typist.type("pause", "--until", "2100-01-31 18:00")
    assert printed.code == 0, printed.err
    assert "Paused until 2100-01-31 18:00" in printed.out
    assert "finishing 1 frame" in printed.err
    assert [call[0] for call in server.desk.calls] == ["pause"]
    assert "paused since" in typist.type("status").out
    assert "until 2100-01-31 18:00" in typist.type("status").out
    assert "meshnode resume" in typist.type("jobs").err
    assert typist.type("jobs", "--json").json["paused"]["since_at_ms"]
    assert typist.type("resume").out == "This host renders again.\n"
    server.desk.thrown_out = "this peer was revoked by ada."
    assert "renders nothing: this peer was revoked by ada" in typist.type("resume").out
    server.desk.thrown_out = ""
    assert "paused" not in typist.type("status").out
    assert typist.type("pause", "--now").code == 0
    assert server.desk.calls[-1] == ("pause", None, True)
    assert "until" not in typist.type("status").out.splitlines()[0]
    server.desk.peers[1]["paused"] = True
    assert "paused" in typist.type("status").out.partition("studio")[2].splitlines()[0]
    assert typist.type("pause", "--for", "2h", "--until", "18:00").code == 2


def test_store_says_what_is_bound_and_to_what(typist: Typist, server: DeskServer) -> None:
    row = job_row()
    server.let(server.desk.add, row)
    assert "of which" not in typist.type("store").out
    server.desk.bound = [
        BoundRow(
            job=row["id"], job_name="shot", state="sealed", until_at_ms=1_797_776_000_000, blobs=9, bytes=27 << 20
        ),
        BoundRow(job="", job_name="", state="", until_at_ms=None, blobs=1, bytes=1 << 20),
    ]
    server.desk.rotten = [RotRow(blob="ab" * 32, piece=3, found_at_ms=1_790_000_000_000)]
    printed = typist.type("store")
    assert printed.code == 0, printed.err
    lines = printed.out.splitlines()
    assert any(line.split()[:4] == ["shot", row["id"][:8], "sealed", "27.0"] for line in lines), printed.out
    assert any(line.startswith("what is under way") and "1.0 MiB" in line for line in lines)
    assert any(line.startswith("bound") and "28.0 MiB" in line for line in lines)
    assert any(line.startswith("cache") and "57.2 MiB in 30 blobs" in line for line in lines)
    assert any(line.startswith("rot") and "abababababab piece 3" in line for line in lines)
    assert any(line.startswith("checked") and "3 blobs to go" in line for line in lines)
    assert typist.type("store", "--json").json["bound"][0]["bytes"] == 27 << 20


def test_a_store_without_room_is_said_wherever_somebody_looks(typist: Typist, server: DeskServer) -> None:
    row = job_row()
    server.let(server.desk.add, row)
    server.desk.store_row["quota_bytes"] = 1 << 30
    assert "83.9 MiB of 1.0 GiB" in typist.type("status").out
    assert not typist.type("status").err
    server.desk.store_row["full"] = True
    server.desk.store_row["no_room"] = [NoRoomRow(job=row["id"], job_name="shot", lacking_bytes=3 << 30)]
    for command in ("status", "store"):
        said = " ".join(typist.type(command).err.split())
        assert "the store is full and all of it is bound" in said
        assert "the scene of shot has no room here: 3.0 GiB of it are lacking" in said
    assert "its store is full" in typist.type("resume").out


def test_cache_is_freed_by_the_size_that_was_typed(typist: Typist, server: DeskServer) -> None:
    assert "Freed 1.5 MiB in 3 blobs" in typist.type("store", "--free", "1.5M").out
    assert "57.2 MiB" in typist.type("store", "--free", "20GiB").out
    assert [call for call in server.desk.calls if call[0] == "free"] == [("free", 3 << 19), ("free", 20 << 30)]
    assert typist.type("store", "--free", "1G", "--json").json["blobs"] == 3
    for wrong in ("0M", "12", "-1G", "1.G", "much"):
        assert typist.type("store", f"--free={wrong}").code == 2


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor find an engine, and no more of this machine than its disk and its limits."""
    monkeypatch.setattr(compose, "own_answers", lambda addresses: dict.fromkeys(addresses, ""))
    monkeypatch.setattr(install, "missing_packages", list)
    monkeypatch.setattr(checks, "FREE_WARN_BYTES", 0)


def told(printed: Printed) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in printed.json["findings"]}


@pytest.mark.usefixtures("healthy")
def test_the_doctor_ends_with_0_where_nothing_is_bad(typist: Typist, server: DeskServer, tmp_path: Path) -> None:
    server.desk.reached["reports"] = [REPORT]
    printed = typist.type("doctor", "--json")
    assert printed.code == 0, printed.out
    found = told(printed)
    assert {name for name, verdict in found.items() if verdict == "ok"} >= {"peer", "reach", "listening", "disk"}
    assert printed.json["worst"] == "warn", "one of its engines is broken"
    printed = typist.type("doctor")
    assert "studio at 192.168.1.5:40001" in " ".join(printed.out.split())
    # A path is one word, however long: this test's own is.
    assert max(len(line) for line in printed.out.splitlines() if str(tmp_path) not in line) <= 80
    assert "\x1b" not in printed.out


@pytest.mark.usefixtures("healthy")
def test_the_doctor_names_the_remedy_and_ends_with_a_code_of_its_own(typist: Typist, server: DeskServer) -> None:
    blocked = {"address": "192.168.1.5:40001", "outcome": "silent"}
    server.desk.reached["reports"] = [{**REPORT, "tried": [blocked]}]  # type: ignore[typeddict-item]
    printed = typist.type("doctor")
    assert printed.code == NotWell.exit_code
    assert "→" in printed.out
    assert "40001" in printed.out.partition("→")[2]
    printed = typist.type("doctor", "--json")
    assert printed.code == NotWell.exit_code
    assert (printed.json["worst"], told(printed)["reach"]) == ("bad", "bad")


@pytest.mark.usefixtures("healthy")
def test_the_doctor_says_that_the_peer_was_thrown_out(typist: Typist, server: DeskServer) -> None:
    server.desk.reached["reports"] = [REPORT]
    server.desk.thrown_out = "this peer was revoked by ada: no member talks to it. It may come back by a new invite."
    printed = typist.type("doctor", "--json")
    assert (printed.code, told(printed)["membership"]) == (NotWell.exit_code, "bad")
    assert "→ It may come back by a new invite" in typist.type("doctor").out


@pytest.mark.usefixtures("healthy")
def test_the_doctor_asks_again_where_others_had_just_been_asked(
    typist: Typist, server: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DIALLED_BACK_MS", 0)
    server.desk.reached["reports"] = [{**REPORT, "tried": []}]  # type: ignore[typeddict-item]
    printed = typist.type("doctor", "--json")
    assert [call[0] for call in server.desk.calls].count("reach") == 2
    assert told(printed)["reach"] == "warn"


def test_the_doctor_looks_at_the_way_to_a_peer(typist: Typist, server: DeskServer) -> None:
    server.desk.reached["reports"] = [REPORT]
    server.desk.reached["tried"] = REPORT["tried"]
    printed = typist.type("doctor", "studio", "--json")
    assert printed.code == 0, printed.out
    assert told(printed) == {"studio": "ok", "way there": "ok", "way back": "ok", "clock": "ok"}
    server.desk.peers[1]["connected"] = False
    server.desk.reached["reports"] = []
    server.desk.reached["tried"] = []
    printed = typist.type("doctor", "studio")
    assert printed.code == NotWell.exit_code
    assert "--peer HOST:PORT" in printed.out
    assert typist.type("doctor", "nobody").code == 46


def test_without_a_peer_the_doctor_looks_at_what_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose, "probe_engines", lambda _say: {"usable": [], "broken": []})
    printed = Typist(tmp_path, capsys, None).type("doctor", "--json")
    assert printed.code == NotWell.exit_code
    found = told(printed)
    assert found["peer"] == "bad"
    assert {"disk", "open files", "engine", "system"} <= found.keys()
    assert Typist(tmp_path, capsys, None).type("doctor", "studio").code == 3
