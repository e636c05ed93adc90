"""What a stranger types, with real peers as processes of their own, none of which can render."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0
FORBIDDEN = (
    *("trio", "starlette", "hypercorn", "OpenImageIO", "numpy", "nacl", "rich", "textual"),
    *("mesh.node", "mesh.core"),
)


class Shell:
    """Types `meshnode` for peers whose homes lie side by side; ends all that it started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        nowhere = root / "nowhere"
        nowhere.mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MESHNODE_")}
        # No engine is found with these: peers start at once, and tests do not depend on one.
        self.environment = environment | {"MESHNODE_CACHE": str(root / "cache"), "PATH": str(nowhere), "COLUMNS": "80"}
        self.processes: list[int] = []

    def type(self, home: str, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mesh.cli", words[0], "--home", str(self.root / home), *words[1:]]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=PATIENCE_S, env=self.environment, check=False
        )

    def join(self, home: str, *words: str, given: str = "") -> dict[str, Any]:
        """Start a peer in the background and return what it said."""
        done = self.type(home, "join", *words, "--listen", "127.0.0.1", "--background", "--json", given=given)
        assert done.returncode == 0, done.stderr
        ready: dict[str, Any] = json.loads(done.stdout)
        self.processes.append(ready["process"])
        return ready

    def ask(self, home: str, *words: str) -> Any:
        done = self.type(home, *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def end_all(self) -> None:
        for process in self.processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    typed = Shell(tmp_path)
    yield typed
    typed.end_all()


def connected(shell: Shell, home: str, names: set[str]) -> None:
    """Wait until a peer is connected with exactly these; `status` itself takes a tenth of a second."""
    seen: set[str] = set()
    for _ in range(200):
        seen = {peer["name"] for peer in shell.ask(home, "status")["peers"] if peer["connected"]}
        if seen == names:
            return
    raise AssertionError(f"{home} sees {seen}, not {names}")


def test_found_invite_join_stop_come_back_and_leave(shell: Shell) -> None:
    """Slow: it starts Python a few dozen times."""
    ada = shell.join("a", "--new", "films", "--name", "ada")
    assert (ada["event"], ada["mesh_name"]) == ("ready", "films")
    token = shell.type("a", "invite").stdout
    bob = shell.join("b", "-", "--name", "bob", given=token)
    assert (bob["mesh"], bob["mesh_name"]) == (ada["mesh"], "films")
    shell.join("c", "-", "--name", "cy", "--no-render", given=token)
    for home in ("a", "b", "c"):
        connected(shell, home, {"ada", "bob", "cy"})

    stopped = shell.type("b", "stop")
    assert stopped.returncode == 0
    assert "bob has stopped" in stopped.stdout
    assert shell.type("b", "status").returncode == 3
    again = shell.join("b")
    assert (again["id"], again["name"], again["mesh_name"]) == (bob["id"], "bob", "films")
    assert again["addresses"][0] == bob["addresses"][0], "the port is kept, so that others find the peer again"
    connected(shell, "b", {"ada", "bob", "cy"})

    assert shell.type("c", "leave").returncode == 2, "nobody could be asked"
    assert shell.type("c", "leave", "--yes").returncode == 0
    gone = shell.type("c", "join")
    assert gone.returncode == 7
    assert "meshnode join INVITE" in re.sub(r"\s+", " ", gone.stderr)
    connected(shell, "a", {"ada", "bob"})


def test_a_peer_that_is_off_is_called_by_its_name_when_others_have_restarted(shell: Shell) -> None:
    shell.join("a", "--new", "films", "--name", "ada")
    bob = shell.join("b", "-", "--name", "bob", given=shell.type("a", "invite").stdout)
    connected(shell, "a", {"ada", "bob"})
    for home in ("b", "a"):
        assert shell.type(home, "stop").returncode == 0
    shell.join("a")
    named = {row["id"]: (row["name"], row["state"]) for row in shell.ask("a", "members")["members"]}
    assert named[bob["id"]] == ("bob", "member")
    assert "bob" in shell.type("a", "status").stdout
    assert "bob" in shell.type("a", "doctor", "bob").stdout
    assert shell.type("a", "revoke", "bob", "--yes").returncode == 0


def test_one_that_was_revoked_says_so_at_each_start_and_drops_no_invite_in_silence(shell: Shell) -> None:
    """Slow: it starts Python a few dozen times."""
    shell.join("a", "--new", "films", "--name", "ada")
    token = shell.type("a", "invite").stdout
    shell.join("b", "-", "--name", "bob", given=token)
    connected(shell, "a", {"ada", "bob"})
    assert shell.type("b", "stop").returncode == 0
    again = shell.join("b", "-", given=token)
    assert (again["invite_unused"], again["thrown_out"]) == (True, "")
    connected(shell, "a", {"ada", "bob"})

    assert shell.type("a", "revoke", "bob", "--yes").returncode == 0
    for _ in range(200):
        if shell.ask("b", "status")["thrown_out"]:
            break
    assert shell.type("b", "stop").returncode == 0
    refused = shell.type("b", "join", "-", "--background", given=shell.type("a", "invite").stdout)
    assert refused.returncode == 9, refused.stderr
    told = " ".join(refused.stderr.split())
    assert "the invite was not used: this peer was revoked by ada" in told
    assert "under another --home" in told
    done = shell.type("b", "join", "--listen", "127.0.0.1", "--background")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shut out: bob")
    assert "revoked by ada" in done.stderr
    assert shell.type("b", "stop").returncode == 0


def test_a_killed_peer_comes_back(shell: Shell) -> None:
    ada = shell.join("a", "--new", "films")
    os.kill(ada["process"], signal.SIGKILL)
    for _ in range(100):
        if shell.type("a", "status").returncode == 3:
            break
    assert shell.type("a", "status").returncode == 3
    assert shell.join("a")["id"] == ada["id"]
    assert shell.ask("a", "status")["mesh"] == ada["mesh"]


def test_one_that_cannot_listen_has_founded_nothing(shell: Shell) -> None:
    failed = shell.type("a", "join", "--new", "films", "--listen", "192.0.2.77:40001")
    assert failed.returncode == 91, failed.stderr
    assert "192.0.2.77 is no address of this machine" in failed.stderr
    assert "Errno" not in failed.stderr
    assert shell.type("a", "join").returncode == 7
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        failed = shell.type("a", "join", "--new", "films", "--listen", taken)
    assert failed.returncode == 90, failed.stderr
    assert "another program listens there" in failed.stderr
    assert shell.join("a", "--new", "films")["mesh_name"] == "films"


def test_a_peer_listens_on_each_address_that_it_is_given(shell: Shell) -> None:
    ada = shell.join("a", "--new", "films", "--listen", "[::1]")
    hosts, ports = zip(*(address.rsplit(":", 1) for address in ada["addresses"]), strict=True)
    assert sorted(hosts) == ["127.0.0.1", "[::1]"]
    assert len(set(ports)) == 1


def test_a_typed_address_where_nobody_is_gets_named(shell: Shell) -> None:
    refused = shell.type("a", "join", "--new", "films", "--peer", "no host:7")
    assert refused.returncode == 2, refused.stderr
    began_s = time.monotonic()
    done = shell.type(
        "a", "join", "--new", "films", "--peer", "127.0.0.1:1", "--listen", "127.0.0.1", "--background", "--json"
    )
    shell.processes.append(json.loads(done.stdout)["process"])
    assert "127.0.0.1:1 yet (nothing listens" in done.stderr
    assert time.monotonic() - began_s < PATIENCE_S / 2
    (row,) = shell.ask("a", "status")["bootstraps"]
    assert row == {"address": "127.0.0.1:1", "state": "unreached", "error": "DialRefused", "problem": row["problem"]}
    assert "looking for" in shell.type("a", "status").stdout
    log = shell.root / "a" / "peer.log"
    for _ in range(200):
        if "127.0.0.1:1" in log.read_text("utf-8"):
            break
        shell.ask("a", "status")
    said = [line for line in log.read_text("utf-8").splitlines() if "127.0.0.1:1" in line]
    assert len(said) == 1
    assert "nothing listens" in said[0]


def test_one_home_has_one_peer(shell: Shell) -> None:
    shell.join("a", "--new", "films")
    second = shell.type("a", "join", "--background")
    assert second.returncode == 27
    assert "home in use" in second.stderr
    assert shell.type("a", "status").returncode == 0, "the first one runs on"


def test_what_is_no_invite_is_named(shell: Shell) -> None:
    shell.join("a", "--new", "films")
    token = shell.type("a", "invite").stdout.strip()
    for text in ("", "hello", token[:-5], token.replace("1_", "1_A", 1)):
        done = shell.type("b", "join", "-", given=text)
        assert done.returncode == 2, text
        assert "invite" in done.stderr


def test_a_used_up_invite_and_a_mesh_that_is_off(shell: Shell) -> None:
    ada = shell.join("a", "--new", "films")
    token = shell.type("a", "invite", "--uses", "1").stdout
    shell.join("b", "-", given=token)
    used_up = shell.type("c", "join", "-", given=token)
    assert used_up.returncode == 52, used_up.stderr
    for process in shell.processes:
        os.kill(process, signal.SIGKILL)
    off = shell.type("d", "join", "-", given=token)
    assert off.returncode == 53, off.stderr
    assert ada["addresses"][0] in off.stderr, "it says where it asked"


def test_in_the_foreground_one_line_is_printed_and_a_signal_drains(shell: Shell) -> None:
    command = [sys.executable, "-m", "mesh.cli", "join", "--home", str(shell.root / "a"), "--new", "films"]
    peer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=shell.environment)
    shell.processes.append(peer.pid)
    assert peer.stdout is not None
    line = peer.stdout.readline()
    assert line.startswith("ready: ")
    assert "no engine yet" in line
    assert shell.type("a", "status").returncode == 0
    peer.send_signal(signal.SIGTERM)
    rest, told = peer.communicate(timeout=PATIENCE_S)
    assert (peer.returncode, rest) == (0, "")
    assert "meshnode engine install blender" in told
    assert told.splitlines()[-1] == "stopping", "a person who ends it sees that it heard"
    assert shell.type("a", "status").returncode == 3


@pytest.mark.parametrize("words", [["--help"], ["submit", "--help"], ["join", "--help"]])
def test_help_needs_nothing_of_what_a_peer_is_made_of(words: list[str]) -> None:
    assert _imported(words) == []


def test_a_question_needs_nothing_of_what_a_peer_is_made_of(shell: Shell) -> None:
    shell.join("a", "--new", "films")
    assert _imported(["status", "--home", str(shell.root / "a")]) == []


class Terminal:
    """A program on a terminal of 80 columns and 24 lines."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._end, end = pty.openpty()
        termios.tcsetwinsize(end, (24, 80))
        environment = environment | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command, stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True
        )
        os.close(end)
        self._drawn = b""

    def until(self, text: str) -> None:
        """Wait until a text is drawn, after what was waited for before."""
        deadline_s = time.monotonic() + PATIENCE_S
        while text.encode() not in self._drawn:
            left_s = max(0.0, deadline_s - time.monotonic())
            assert select.select([self._end], [], [], left_s)[0], f"{text} was never drawn, but {self._drawn!r}"
            self._drawn += os.read(self._end, 65_536)
        self._drawn = self._drawn.partition(text.encode())[2]

    def press(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)


def test_top_on_a_real_terminal_outlives_its_peer(shell: Shell) -> None:
    ada = shell.join("a", "--new", "films", "--name", "ada")
    command = [sys.executable, "-m", "mesh.cli", "top", "--home", str(shell.root / "a")]
    terminal = Terminal(command, shell.environment)
    try:
        terminal.until("No jobs yet.")
        os.kill(ada["process"], signal.SIGKILL)
        terminal.until("ada does not answer since")
        shell.join("a")
        terminal.until("is back")
        terminal.press("q")
        assert terminal.process.wait(PATIENCE_S) == 0
    finally:
        terminal.close()
    assert shell.type("a", "status").returncode == 0, "the peer runs on"


def _imported(words: list[str]) -> list[str]:
    """Type a command in a fresh Python and return what it imported of the forbidden."""
    look = f"print([m for m in {FORBIDDEN!r} if m in sys.modules])"
    code = f"import sys; from mesh.cli.main import run; run({words!r}); {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    return found


def test_a_job_cannot_be_submitted_where_nothing_reads_scenes(shell: Shell, tmp_path: Path) -> None:
    shell.join("a", "--new", "films")
    scene = tmp_path / "shot.blend"
    scene.write_bytes(b"no Blender file")
    done = shell.type("a", "submit", str(scene))
    assert done.returncode in range(30, 46), done.stderr
    assert done.stdout == ""
