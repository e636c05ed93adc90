"""Be one real node in a process of its own, with a renderer that pretends: run as a module with a state file.

What its desk is asked comes in as lines of JSON on standard input, [method, arguments]; each answer goes out as one. It
notes every render that begins in a file beside its home, which survives any kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import trio

from mesh.ground.errors import MeshError
from mesh.node.joining import decode_standing, encode_standing
from mesh.ports.desk import Desk, Progress
from mesh.wire.messages import Address
from mesh.wire.noise import KeyPair
from mesh.wire.signing import Ed25519Signer
from sim.stagehand import Stagehand
from tests.support.nodes import TestPeer, mesh_of

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 60.0
POLL_S = 0.02


async def make_mesh(directory: Path, *names: str) -> list[Path]:
    """Found a mesh, let everybody in, stop them all, and return a state file for each."""
    states = []
    async with mesh_of(directory, *names) as peers:
        contacts = [["127.0.0.1", peer.port] for peer in peers]
        for peer in peers:
            said = {
                "home": str(peer.home),
                "name": peer.name,
                "signer": bytes(peer.signer._secret).hex(),
                "static": peer.static.secret.hex(),
                "secret": peer.secret.hex(),
                "standing": encode_standing(peer.standing).hex(),
                "port": peer.port,
                "contacts": contacts,
            }
            states.append(peer.home / "state.json")
            states[-1].write_text(json.dumps(said))
    return states


@dataclass(kw_only=True)
class NodeProcess:
    """A node's process, as a test holds it."""

    state: Path
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, and wait until its desk is open."""
        self._close_pipes()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.node_process", str(self.state)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._line() == "ready"

    def ask(self, method: str, *arguments: object) -> Any:
        """Ask the desk; fail with what it raised."""
        self._pipe(self._running.stdin).write(json.dumps([method, list(arguments)]).encode() + b"\n")
        self._pipe(self._running.stdin).flush()
        kind, value = self._line()
        assert kind == "answer", value
        return value

    def job(self, job: str) -> Any:
        """Return a job's row."""
        return self.ask("job", job)["job"]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; after a kill wait for the process to be gone."""
        self._running.send_signal(number)
        if number == signal.SIGKILL:
            self._running.wait()

    def renders(self) -> list[tuple[int, int]]:
        """Return (milliseconds of the shared clock, frame) of each render that began, in every life of the process."""
        notes = self.state.parent / "renders"
        lines = notes.read_text().split("\n") if notes.exists() else []
        return [(int(at), int(frame)) for at, frame in (line.split() for line in lines if line)]

    def close(self) -> None:
        """End it whatever it does."""
        self._running.kill()
        self._running.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout) if self.process else ():
            self._pipe(pipe).close()

    def _line(self) -> Any:
        line = self._pipe(self._running.stdout).readline()
        assert line, "the node ended"
        return json.loads(line)

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None
        return self.process

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def clock_ms() -> int:
    """Return the clock that all processes of a machine share."""
    return time.monotonic_ns() // 1_000_000


def peer_of(state: Path) -> tuple[TestPeer, tuple[Address, ...]]:
    """Return the peer that a state file describes, and whom it dials."""
    said = json.loads(state.read_text())
    home = Path(said["home"])
    notes = os.open(home / "renders", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stagehand = Stagehand(note=lambda frame: _note(notes, frame))
    peer = TestPeer(
        home=home,
        signer=Ed25519Signer(bytes.fromhex(said["signer"])),
        static=KeyPair.of(bytes.fromhex(said["static"])),
        secret=bytes.fromhex(said["secret"]),
        standing=decode_standing(bytes.fromhex(said["standing"])),
        name=said["name"],
        stagehand=stagehand,
        port=said["port"],
    )
    return peer, tuple(Address(host=host, port=port) for host, port in said["contacts"])


def _note(notes: int, frame: int) -> None:
    os.write(notes, f"{clock_ms()} {frame}\n".encode())


async def main(state: Path) -> None:
    """Run until standard input ends."""
    peer, contacts = peer_of(state)
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            await peer.run(contacts=contacts, task_status=task_status)

        await nursery.start(run)
        say("ready")
        async for line in _lines():
            method, arguments = json.loads(line)
            try:
                say(["answer", await _asked(peer.at, method, arguments)])
            except MeshError as error:
                say(["error", f"{type(error).__name__}: {error}"])
        nursery.cancel_scope.cancel()


async def _asked(desk: Desk, method: str, arguments: list[Any]) -> Any:
    def unheard(_progress: Progress) -> None:
        pass

    reported = [unheard] if method in ("submit", "fetch") else []
    return await getattr(desk, method)(*arguments, *reported)


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _lines():  # type: ignore[no-untyped-def]
    stdin = trio.lowlevel.FdStream(os.dup(0))
    held = b""
    async for data in stdin:
        held += data
        *lines, held = held.split(b"\n")
        for line in lines:
            yield line


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
