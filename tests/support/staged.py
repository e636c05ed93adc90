"""Whole peers as processes, with a renderer that only pretends: all on this host, or each on a host of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.cli import compose
from mesh.cli.client import Client
from tests.support.nodes import request
from tools.peers import WaitedInVain, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 45.0
"""Until whatever must come has come: the end of a lease, the longest pause between dials, and a few frames."""

Answer = dict[str, Any]


@dataclass(kw_only=True)
class StagedPeer:
    """One peer; its home outlives its process, which may be started again."""

    directory: Path
    name: str
    listen: tuple[str, int] = ("127.0.0.1", 0)
    slots: int = 1
    beacon: bool = False
    """Whether it calls on the networks of its host: of a namespace, never of this machine."""
    settings: Mapping[str, int] = field(default_factory=dict)
    """What its config.toml says."""
    garbles: bool = False
    """Whether all that it answers to questions of the DHT is garbage."""
    wrong: str = ""
    """What its pictures show besides what they must; empty: nothing."""
    taped: bool = False
    """Whether its core is recorded."""
    within: Sequence[str] = ()
    """A command that runs another on the peer's host."""
    inside: Callable[[], AbstractContextManager[None]] = nullcontext
    """Lets this process connect from the peer's host."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def home(self) -> Path:
        """The peer's own directory."""
        return self.directory / "home"

    @property
    def tapes(self) -> Path:
        """Where its core is recorded."""
        return self.directory / "tapes"

    def start(self, *, found: str | None = None, token: str = "", peers: Sequence[tuple[str, int]] = ()) -> None:
        """Start the peer; do not wait until it is ready."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.settings:
            lines = ["version = 1", *(f"{key} = {value}" for key, value in self.settings.items())]
            (self.home / "config.toml").write_text("\n".join(lines) + "\n", "utf-8")
        said = {
            "home": str(self.home),
            "name": self.name,
            "found": found,
            "slots": self.slots,
            "listen": self.listen,
            "beacon": self.beacon,
            "peers": list(peers),
            "garbles": self.garbles,
            "wrong": self.wrong,
            "renders": str(self.directory / "renders"),
            "tape": str(self.tapes) if self.taped else None,
        }
        program = [sys.executable, "-m", "tests.support.staged_peer", json.dumps(said)]
        with (self.directory / "log").open("ab") as log, (self.directory / "said").open("wb") as out:
            self.process = subprocess.Popen(
                [*self.within, "setpriv", "--pdeathsig", "KILL", *program],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=log,
            )
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(token.encode())

    def wait_ready(self, within_s: float = PATIENCE_S) -> Answer:
        """Wait until the peer says that it is ready, and return its status."""

        def said() -> Answer | None:
            assert self.running.poll() is None, f"{self.name} ended: {(self.directory / 'log').read_text('utf-8')}"
            line, end, _ = (self.directory / "said").read_text("utf-8").partition("\n")
            return json.loads(line) if end else None

        return wait_for(f"{self.name} is ready", said, within_s)

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        """The peer's process, dead or alive."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process

    def ask(self, path: str) -> Any:
        """Ask the peer's API, on the peer's host."""
        with self.inside():
            return Client(compose.endpoint(self.home)).get(path)

    def post(self, path: str, body: Answer | None = None) -> Any:
        """Have the peer do something."""
        with self.inside():
            return Client(compose.endpoint(self.home)).post(path, body)

    def submit(self, scene: Path, **changes: object) -> str:
        """Submit a scene and return the job's id, as soon as there is one."""
        asked = dict(request(scene, **changes))
        with self.inside():
            job: str = Client(compose.endpoint(self.home)).post("/jobs", asked)["job"]["id"]
        return job

    def invite(self, uses: int = 10) -> str:
        """Return an invite."""
        token: str = self.post("/invites", {"uses": uses})["token"]
        return token

    def job(self, job: str) -> Answer:
        """Return what the peer says of a job in short; nothing where it has not heard of it."""
        rows = [row for row in self.ask("/jobs")["jobs"] if row["id"] == job]
        return rows[0] if rows else {"state": "", "counting": 0, "delivered": 0, "safe": 0, "may_go": False}

    def standing(self, job: str) -> list[tuple[int, str, int]]:
        """Return (frame, who rendered it, its attempt) of each frame that has a result."""
        rows = self.ask(f"/jobs/{job}")["frames"]
        return [(row["frame"], row["holder_name"], row["attempt"]) for row in rows if has_result(row)]

    def connected(self) -> list[str]:
        """Return the names of the other peers that this one has a channel with."""
        rows = self.ask("/status")["peers"]
        return sorted(row["name"] for row in rows if row["connected"] and not row["me"])

    def renders(self) -> list[tuple[int, int]]:
        """Return (milliseconds of the shared clock, frame) of each render that began, in every life of the peer."""
        path = self.directory / "renders"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [(int(at), int(frame)) for at, frame in map(str.split, lines)]

    def frames(self) -> list[int]:
        """Return the frames whose render began here."""
        return [frame for _, frame in self.renders()]

    def resident_bytes(self) -> int:
        """Return how much memory the peer's process has."""
        pages = int(Path(f"/proc/{self.running.pid}/statm").read_text("ascii").split()[1])
        return pages * 4096

    def stop(self) -> None:
        """Ask the peer to stop, and wait until it did."""
        stop_all([self])

    def end(self) -> None:
        """Kill the peer, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def has_result(row: Answer) -> bool:
    """Say whether a frame's row tells of a result that counts."""
    return row["state"] in {"counts", "safe"}


def until(what: str, look: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    """Return once something holds; fail when it does not become so."""
    try:
        wait_for(what, look, within_s, every_s=0.05)
    except WaitedInVain as error:
        raise AssertionError(str(error)) from None


def stop_all(peers: Sequence[StagedPeer]) -> None:
    """Ask peers to stop, all at once, and wait until they did."""
    for peer in peers:
        peer.running.send_signal(signal.SIGTERM)
    for peer in peers:
        assert peer.running.wait(PATIENCE_S) == 0, f"{peer.name} did not stop well"


def all_connected(peers: Sequence[StagedPeer]) -> bool:
    """Say whether each has a channel with each other."""
    names = [peer.name for peer in peers]
    return all(peer.connected() == sorted(name for name in names if name != peer.name) for peer in peers)


def until_one(peers: Sequence[StagedPeer], within_s: float = PATIENCE_S) -> None:
    """Return once each has a channel with each other; fail with who lacks whom, and where it would look for it."""
    try:
        until("all have channels", lambda: all_connected(peers), within_s)
    except AssertionError as error:
        names = {peer.name for peer in peers}
        for peer in peers:
            rows = peer.ask("/status")["peers"]
            for row in rows:
                if not row["connected"] and not row["me"]:
                    error.add_note(f"{peer.name} lacks {row['name'] or row['id'][:8]}, last at {row['addresses']}")
            if unheard := sorted(names - {row["name"] for row in rows}):
                error.add_note(f"{peer.name} never met {', '.join(unheard)}")
        raise


def clock_ms() -> int:
    """Return the clock that notes of renders are made with."""
    return time.monotonic_ns() // 1_000_000
