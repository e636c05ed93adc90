"""Throwing members out, with whole peers as processes of their own and the commands that people type."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import ROOT, Answer, StagedPeer, all_connected, clock_ms, until

CLOSED_MS = 2_000
"""By then the channels of one who was thrown out are closed, from the moment that the command was typed."""

TAKEN_OVER_MS = 4_000
"""By then another peer renders its frame; a machine that does other things too is slower than the benches."""

COMES_BACK_S = 5.0
"""Longer than the first three dials of a peer that just started."""


def typed(peer: StagedPeer, *words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Type a command at a peer's machine."""
    command = [sys.executable, "-m", "mesh.cli", words[0], "--home", str(peer.home), *words[1:]]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment, check=False
    )


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[StagedPeer]]:
    """Three peers that see each other: ada founded the mesh and renders nothing, bob and cy came by its invite."""
    directory = tmp_path_factory.mktemp("mesh")
    peers = [
        StagedPeer(directory=directory / name, name=name, slots=0 if name == "ada" else 1)
        for name in ("ada", "bob", "cy")
    ]
    try:
        peers[0].start(found="films")
        peers[0].wait_ready()
        token = peers[0].invite()
        for peer in peers[1:]:
            peer.start(token=token)
        for peer in peers[1:]:
            peer.wait_ready()
        until("all see each other", lambda: all_connected(peers))
        yield peers
    finally:
        for peer in peers:
            peer.end()


def row_of(peer: StagedPeer, name: str) -> Answer:
    (row,) = [row for row in peer.ask("/members")["members"] if row["name"] == name]
    return row  # type: ignore[no-any-return]


def test_an_invite_is_taken_back_with_all_who_came_by_it(mesh: list[StagedPeer], tmp_path: Path) -> None:
    ada, bob, cy = mesh
    second = ada.post("/invites", {"uses": 1})
    dan = StagedPeer(directory=tmp_path / "dan", name="dan", slots=0)
    try:
        dan.start(token=second["token"])
        dan.wait_ready()
        until("dan is in", lambda: ada.connected() == ["bob", "cy", "dan"] and "dan" in bob.connected())
        assert row_of(bob, "dan")["invite"] == second["id"]
        not_admin = typed(bob, "invite", "--revoke", second["id"], "--yes")
        assert not_admin.returncode == 14, not_admin.stderr
        assert "role `admin`" in not_admin.stderr
        done = typed(ada, "invite", "--revoke", second["id"][:8], "--yes")
        assert done.returncode == 0, done.stderr
        assert "dan" in done.stdout
        until("dan knows", lambda: "invite" in dan.ask("/status")["thrown_out"])
        until("dan is out everywhere", lambda: "dan" not in ada.connected() + bob.connected() + cy.connected())
    finally:
        dan.end()
    late = StagedPeer(directory=tmp_path / "late", name="late", slots=0)
    refused = typed(late, "join", "-", "--listen", "127.0.0.1", given=second["token"])
    assert refused.returncode == 55, refused.stderr


def test_who_came_back_by_another_invite_is_a_member_after_a_restart(mesh: list[StagedPeer], tmp_path: Path) -> None:
    ada = mesh[0]
    first, second = (ada.post("/invites", {"uses": 1}) for _ in range(2))
    dan = StagedPeer(directory=tmp_path / "dan", name="dan again", slots=0)
    try:
        dan.start(token=first["token"])
        dan.wait_ready()
        until("dan is in", lambda: dan.name in ada.connected())
        assert typed(ada, "invite", "--revoke", first["id"], "--yes").returncode == 0
        until("dan is out", lambda: dan.name not in ada.connected())
        assert typed(dan, "leave", "--yes").returncode == 0
        dan.running.wait()
        dan.start(token=second["token"])
        identity = dan.wait_ready()["id"]
        until("dan is in again", lambda: dan.name in ada.connected())
    finally:
        dan.end()
    ada.stop()
    ada.start()
    ada.wait_ready()
    (row,) = [row for row in ada.ask("/members")["members"] if row["id"] == identity]
    assert (row["state"], row["invite"], row["name"]) == ("member", second["id"], dan.name)
    done = typed(ada, "invite", "--revoke", second["id"], "--yes")
    assert dan.name in done.stdout, done.stderr
    until("all see each other", lambda: all_connected(mesh))


def test_every_bad_invite_is_refused_by_name(mesh: list[StagedPeer], tmp_path: Path) -> None:
    ada = mesh[0]
    late = StagedPeer(directory=tmp_path / "late", name="late", slots=0)

    def refused(token: str) -> int:
        return typed(late, "join", "-", "--listen", "127.0.0.1", given=token).returncode

    over_used = ada.post("/invites", {"uses": 1})["token"]
    eve = StagedPeer(directory=tmp_path / "eve", name="eve", slots=0)
    try:
        eve.start(token=over_used)
        eve.wait_ready()
        assert refused(over_used) == 52
        expired = ada.post("/invites", {"life_ms": 1})["token"]
        assert refused(expired) == 51
        good = ada.invite()
        at = len(good) // 2
        assert refused(good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]) == 2
        whose = typed(eve, "invite", "--role", "render").stdout
        assert typed(ada, "revoke", "eve", "--yes").returncode == 0
        assert refused(whose) == 55
    finally:
        eve.end()


def test_a_copied_disk_is_noticed_by_both_and_neither_claims(mesh: list[StagedPeer], tmp_path: Path) -> None:
    ada = mesh[0]
    dora = StagedPeer(directory=tmp_path / "dora", name="dora")
    copy = StagedPeer(directory=tmp_path / "copy", name="dora")
    try:
        dora.start(token=ada.invite())
        dora.wait_ready()
        until("dora is in", lambda: "dora" in ada.connected())
        shutil.copytree(dora.home, copy.home, ignore=shutil.ignore_patterns("lock", "api.json"))
        copy.start()
        copy.wait_ready()
        for one in (dora, copy):
            until("it knows of the other", lambda one=one: one.ask("/status")["cloned"])
            warning = " ".join(typed(one, "status").stderr.split())
            assert "a copy of its disk runs" in warning
            assert "remove its directory" in warning
    finally:
        dora.end()
        copy.end()
    until("dora is gone", lambda: "dora" not in ada.connected())


def _seconds_old(peer: StagedPeer) -> float:
    """Return how long a peer's process has run, by the system's own count."""
    fields = Path(f"/proc/{peer.running.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text("ascii").split()[0]) - began_s


def test_a_member_is_thrown_out_in_the_middle_of_a_frame(mesh: list[StagedPeer], tmp_path: Path) -> None:
    ada, bob, cy = mesh
    scene = write_scene(tmp_path / "scene", "frames 1 1\nms 8000")
    job = ada.submit(scene)
    until("somebody renders", lambda: bob.frames() + cy.frames())
    victim, other = (bob, cy) if bob.frames() else (cy, bob)

    begun_ms = clock_ms()
    done = typed(ada, "revoke", victim.name, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"revoked {victim.name}" in done.stdout
    until("nobody has a channel with it", lambda: victim.connected() == [] and ada.connected() == [other.name])
    assert other.connected() == ["ada"]
    assert clock_ms() - begun_ms < CLOSED_MS + 1_500, "the command itself takes a part of that"

    until("the other renders its frame", lambda: other.frames() == [1])
    assert other.renders()[0][0] - begun_ms < TAKEN_OVER_MS
    assert row_of(ada, victim.name)["state"] == "revoked"
    assert row_of(other, victim.name)["revoked_by_name"] == "ada"

    # Its own command line says why, and what to do; also after a restart.
    assert "revoked by ada" in typed(victim, "status").stderr
    refused = typed(victim, "submit", str(scene))
    assert refused.returncode == 9, refused.stderr
    assert "another --home" in " ".join(refused.stderr.split())
    victim.running.send_signal(signal.SIGKILL)
    victim.running.wait()
    victim.start()
    victim.wait_ready()
    assert (victim.directory / "log").read_text("utf-8").count("revoked by ada") == 2
    until("it has tried to come back", lambda: _seconds_old(victim) > COMES_BACK_S)
    assert victim.connected() == []
    assert ada.connected() == [other.name]
    again = typed(victim, "join", "-", given=ada.invite())
    assert again.returncode != 0

    until("the job is sealed", lambda: ada.job(job)["state"] == "sealed")
    refuse_wrong_frames(scene, range(1, 2), Path(ada.ask(f"/jobs/{job}")["job"]["directory"]))
    assert ada.standing(job)[0][1] == other.name
