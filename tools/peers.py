"""Start, ask and end real peers, as processes of their own on this machine: for the demo, the benches and the tests.

Theory: a peer is started with the command that a person would type, and asked through the API that commands use. Each
gets a directory for temporary files of its own, below which its renderers get theirs: so whatever a peer started can be
told from everything else, also when the peer itself is dead and its orphans have no parent to be known by.

Invariants: only processes that were started here are signalled; every wait has a condition and an end. Linux only,
since processes are looked up in /proc.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mesh.cli import compose
from mesh.cli.client import Client

_Found = TypeVar("_Found")

READY_S = 60.0
"""A peer is ready once its engine was proven: the first time by a real render, on a busy machine slowly."""

STOP_S = 20.0
"""An asked peer finishes the frames in hand; beyond that it is killed."""

_POLL_S = 0.02
_TAIL_LINES = 12


class PeerFailed(Exception):
    """A peer did not do what it should; the message holds the end of what it printed."""


class WaitedInVain(Exception):
    """Something that should have come did not; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One process, told from any later one of the same number by when it began."""

    process: int
    begun: str
    command: str

    def is_alive(self) -> bool:
        """Say whether the process still is, and is no zombie."""
        state = _state(self.process)
        return state is not None and state[0] != "Z" and state[1] == self.begun


def wait_for(what: str, look: Callable[[], _Found | None], within_s: float, *, every_s: float = _POLL_S) -> _Found:
    """Look until there is something, and return it. Raises WaitedInVain after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise WaitedInVain(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)


class Peer:
    """One peer: its home outlives its process, which may be started again."""

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        settings: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
        program: Sequence[str] | None = None,
    ) -> None:
        """Make a peer's home below `directory`.

        `within` is a command that runs another in a place of its own, `program` what is started in place of `meshnode`.
        """
        self.name = name
        self.directory = directory / name
        self.home = self.directory / "home"
        self.temporary = self.directory / "tmp"
        self.process: subprocess.Popen[bytes] | None = None
        self._within = list(within)
        self._program = list(program or _MESHNODE)
        self._environment = {**os.environ, **(environment or {}), "TMPDIR": str(self.temporary)}
        self._environment.pop("MESHNODE_HOME", None)
        self._starts = 0
        self.home.mkdir(mode=0o700, parents=True)
        self.temporary.mkdir(mode=0o700)
        lines = ["version = 1", *(f"{key} = {value}" for key, value in (settings or {}).items())]
        (self.home / "config.toml").write_text("\n".join(lines) + "\n", "utf-8")

    @property
    def log(self) -> Path:
        """The file that holds what the peer printed as errors, all starts together."""
        return self.directory / "log.txt"

    @property
    def number(self) -> int:
        """The number of the peer's process, dead or alive."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def start(self, *options: str, token: str | None = None) -> None:
        """Start the peer: `--new NAME` founds, a token enters, neither comes back. Does not wait until it is ready."""
        assert not self.is_alive(), f"{self.name} runs already"
        self._starts += 1
        words = ["join", "--home", str(self.home), "--json", "--name", self.name, "--no-beacon", *options]
        words += [] if "--listen" in options else ["--listen", "127.0.0.1"]
        command = [*_with_us(), *self._within, *self._program, *words, *(["-"] if token is not None else [])]
        with self.log.open("ab") as log, self._said.open("wb") as said:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stdin:
            stdin.write((token or "").encode())

    def wait_ready(self, within_s: float = READY_S) -> dict[str, Any]:
        """Wait for the line that says that the peer is ready, and return it. Raises PeerFailed, WaitedInVain."""
        return wait_for(f"{self.name} is ready", self._ready, within_s)

    def join(self, *options: str, token: str | None = None) -> dict[str, Any]:
        """Start the peer and wait until it is ready."""
        self.start(*options, token=token)
        return self.wait_ready()

    def ask(self, path: str) -> Any:
        """Ask the peer's API for what `path` names; raises the errors of `mesh.cli.client`."""
        return Client(compose.endpoint(self.home)).get(path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Have the peer do something."""
        return Client(compose.endpoint(self.home)).post(path, body)

    def stream(self, path: str, body: dict[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        """Have the peer do something that takes time, or tell of changes: yield its events."""
        return Client(compose.endpoint(self.home)).stream(path, body)

    def typing(self, *words: str) -> "subprocess.Popen[str]":
        """Type a command at this peer and do not wait for its end."""
        return subprocess.Popen(
            [*_with_us(), *self._beside(), *_MESHNODE, words[0], "--home", str(self.home), *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        )

    def command(self, *words: str, timeout_s: float = 120.0) -> "subprocess.CompletedProcess[str]":
        """Type a command of `meshnode` at this peer, and return what it printed and its exit code."""
        with self.typing(*words) as typing:
            try:
                out, errors = typing.communicate(timeout=timeout_s)
            except BaseException:
                typing.kill()
                raise
        return subprocess.CompletedProcess(typing.args, typing.returncode, out, errors)

    def typed(self, *words: str, timeout_s: float = 120.0) -> list[dict[str, Any]]:
        """Type a command with `--json` and return its values. Raises PeerFailed when its exit code is not 0."""
        done = self.command(*words, "--json", timeout_s=timeout_s)
        if done.returncode != 0:
            raise PeerFailed(f"meshnode {' '.join(words)} at {self.name} ended with {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def started(self) -> list[Running]:
        """List the living processes that this peer started, itself apart: renderers above all."""
        mark = f"TMPDIR={self.temporary}/".encode()
        return [one for one in processes(mark) if self.process is None or one.process != self.process.pid]

    def unreaped(self) -> list[int]:
        """List what this peer started, directly, and what has ended without its having looked: it knows not yet what
        that cost.
        """
        children: list[int] = []
        for task in Path(f"/proc/{self.number}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                children += map(int, task.read_text("utf-8").split())
        return [child for child in children if (state := _state(child)) is not None and state[0] == "Z"]

    def is_alive(self) -> bool:
        """Say whether the peer's process runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the peer's own process, if it still is."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the peer's own process at once, as a power cut would, and nothing that it started."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self, within_s: float = STOP_S) -> int:
        """Ask the peer to stop and wait for it, beyond `within_s` by force; return its exit code."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def end(self) -> None:
        """Leave no process of this peer behind, whatever state it is in."""
        orphans = self.started()
        self.kill()
        for one in {*orphans, *self.started()}:
            if one.is_alive():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(one.process, signal.SIGKILL)

    def tail(self) -> str:
        """Return the end of what the peer printed."""
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-_TAIL_LINES:])

    @property
    def _said(self) -> Path:
        return self.directory / f"said-{self._starts}.json"

    def _ready(self) -> dict[str, Any] | None:
        line, end, _ = self._said.read_text("utf-8").partition("\n")
        if end:
            value: dict[str, Any] = json.loads(line)
            if value.get("event") == "ready":
                return value
            raise PeerFailed(f"{self.name} says {value.get('error')}: {value.get('message')}")
        if not self.is_alive():
            code = self.process.returncode if self.process is not None else None
            raise PeerFailed(f"{self.name} ended with {code} before it was ready:\n{self.tail()}")
        return None

    def _beside(self) -> list[str]:
        """Return what runs a command in the place of its own that the running peer has."""
        if not self._within or not self.is_alive():
            return []
        return ["nsenter", f"--mount=/proc/{self.number}/ns/mnt", f"--wdns={Path.cwd()}"]


def found(peers: Sequence[Peer], name: str) -> None:
    """Make a mesh of peers that are not started yet: the first founds it, the others enter by its invite, at once.

    All are ready afterwards, and may not have met. Raises PeerFailed, WaitedInVain; ends no peer then.
    """
    first, *others = peers
    first.join("--new", name)
    (invite,) = first.typed("invite")
    for peer in others:
        peer.start(token=invite["token"])
    for peer in others:
        peer.wait_ready()


def wait_met(peers: Sequence[Peer], within_s: float) -> None:
    """Wait until each of some peers, who are all of their mesh, sees all others. Raises WaitedInVain."""

    def sees_all(peer: Peer) -> bool:
        connected: int = sum(row["connected"] and not row["me"] for row in peer.ask("/status")["peers"])
        return connected == len(peers) - 1

    wait_for("all peers see each other", lambda: all(map(sees_all, peers)), within_s)


_MESHNODE = (sys.executable, "-m", "mesh.cli")


def _with_us() -> list[str]:
    """Return what lets a process end with us even when we are killed, where the system has such a command."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def processes(mark: bytes) -> list[Running]:
    """List the living processes whose environment holds an entry that begins with `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            if not any(each.startswith(mark) for each in (entry / "environ").read_bytes().split(b"\0")):
                continue
            state = _state(int(entry.name))
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            if state is not None and state[0] != "Z":
                found.append(Running(process=int(entry.name), begun=state[1], command=command))
    return found


def _state(process: int) -> tuple[str, str] | None:
    """Return a process's state and the time of its beginning, or None when there is none."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]
