#!/usr/bin/env python3
"""Measure how soon another peer has a frame whose renderer was killed, frozen or silently cut off.

Three real peers: one submits, two render; the job has one frame, so that one of the two renders and the other is idle.
As soon as the engine reports a sample, its peer is struck; the time runs until the other one's render begins. Killed is
SIGKILL to the peer; frozen is SIGSTOP to it and all that it started; cut is a network namespace that drops every packet
(root, `ip` and `nft`). Run in the project's environment.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import networks, peers, report
from tools.bench.peers import TimedPeer, first
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain, wait_for
from tools.scenes import ScenesFailed

ROUNDS, ROUNDS_QUICK = 10, 2
KILLED_MS, SILENT_MS = 1_000, 8_000
BEGIN_S = 60.0
"""How long the first sample may take on a busy machine."""
RECLAIM_S = 40.0
VOID_MOST = 4
"""Rounds for each that counts, before it is given up."""
WAYS = ("killed", "frozen", "cut")


def kill(peer: TimedPeer) -> None:
    """Kill the peer's process, as a power cut would."""
    peer.peer.kill()


def restart(peer: TimedPeer) -> None:
    """Start a killed peer again."""
    peer.start()
    peer.peer.wait_ready()


def freeze(peer: TimedPeer) -> None:
    """Stop the peer and all that it started, as a machine that swaps or sleeps does."""
    for process in (peer.peer.number, *(one.process for one in peer.peer.started())):
        os.kill(process, signal.SIGSTOP)


def thaw(peer: TimedPeer) -> None:
    """Let a frozen peer go on."""
    for process in (*(one.process for one in peer.peer.started()), peer.peer.number):
        os.kill(process, signal.SIGCONT)


def rounds(
    meshed: Sequence[TimedPeer],
    scene: Path,
    out: Path,
    count: int,
    ways: tuple[Callable[[TimedPeer], None], Callable[[TimedPeer], None]],
) -> list[float]:
    """Strike whoever renders again and again; return the milliseconds until the other's render began."""
    strike, recover = ways
    found: list[float] = []
    tries = 0
    while len(found) < count:
        tries += 1
        if tries > VOID_MOST * count:
            raise peers.BenchFailed("both peers rendered the one frame again and again, so that none was idle")
        job = meshed[0].submit(scene, "1", out / str(tries))
        victim = wait_for("somebody renders", lambda job=job: _renderer(meshed, job), BEGIN_S, every_s=0.01)  # type: ignore[misc]
        (other,) = (peer for peer in meshed if peer.renders and peer is not victim)
        if first(other.marks(job), "claimed"):
            report.say("  void: two keepers gave the frame to both, so that nobody is idle")
            meshed[0].peer.post(f"/jobs/{job}/cancel")
        else:
            found.append(_struck(strike, victim, other, job))
            said = f"{victim.name} struck, {other.name} has its frame after {found[-1]:.0f} ms"
            report.say(f"  round {len(found)}: {said}")
            meshed[0].peer.post(f"/jobs/{job}/cancel")
            recover(victim)
        peers.wait_connected(meshed)
        peers.wait_cold(meshed)
    return found


def _struck(strike: Callable[[TimedPeer], None], victim: TimedPeer, other: TimedPeer, job: str) -> float:
    """Strike a peer and return the milliseconds until the other one's render began."""
    struck_ms = peers.now_ms()
    strike(victim)
    what = f"{other.name} claims the frame of {victim.name}"
    claimed = wait_for(what, lambda: first(other.marks(job), "claimed"), RECLAIM_S)
    return claimed.at_ms - struck_ms


def _renderer(meshed: Sequence[TimedPeer], job: str) -> TimedPeer | None:
    return next((peer for peer in meshed if first(peer.marks(job), "sampled")), None)


def bare_ms() -> float:
    """Return how long the system itself takes to tell of a killed process at the other end of a connection."""
    text = "import socket, sys\nc = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\nc.recv(1)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen([sys.executable, "-I", "-c", text, str(server.getsockname()[1])])
        accepted, _ = server.accept()
        with accepted:
            begun = time.perf_counter()
            child.kill()
            accepted.recv(1)
            spent_ms = (time.perf_counter() - begun) * 1000
        child.wait()
    return spent_ms


def measure(ways: Sequence[str], count: int) -> list[Figure]:
    """Measure the ways that were asked for."""
    figures: list[Figure] = []
    with peers.workplace() as directory:
        scene = peers.make_scene(directory, "slow")
        here = [way for way in ways if way != "cut"]
        if here:
            meshed = [TimedPeer(directory / "here", name, renders=name != "ada") for name in ("ada", "bela", "cleo")]
            with peers.mesh(meshed):
                for way in here:
                    report.say(way)
                    found = rounds(meshed, scene, directory / way, count, _WAYS[way])
                    figures.append(_figure(way, found, [bare_ms() for _ in found]))
        if "cut" in ways:
            report.say("cut")
            found = _cut(scene, directory, count)
            figures.append(_figure("cut", found, []))
    return figures


def _cut(scene: Path, directory: Path, count: int) -> list[float]:
    with networks.network(2) as net:
        hosts = dict(zip(("bela", "cleo"), net.hosts, strict=True))
        submitter = TimedPeer(directory / "cut", "ada", renders=False, listen=net.address)
        others = [
            TimedPeer(directory / "cut", name, renders=True, within=host.within, listen=host.address)
            for name, host in hosts.items()
        ]
        meshed = [submitter, *others]
        with peers.mesh(meshed):
            ways = (lambda peer: hosts[peer.name].cut(), lambda peer: hosts[peer.name].mend())
            return rounds(meshed, scene, directory / "out", count, ways)


_WAYS = {"killed": (kill, restart), "frozen": (freeze, thaw)}


def _figure(way: str, found: Sequence[float], bare: Sequence[float]) -> Figure:
    most = KILLED_MS if way == "killed" else SILENT_MS
    return Figure(
        name=f"{way}: until another peer renders its frame",
        unit="ms",
        samples=tuple(found),
        median_most=most,
        largest_most=most,
        baseline=tuple(bare) if way == "killed" else (),
    )


def main() -> int:
    """Measure and report."""
    parser = report.parser("Measure how soon a lost peer's frame is claimed again.")
    parser.add_argument("--way", action="append", choices=WAYS, help="only these; all by default")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"of each way (default: {ROUNDS})")
    options = parser.parse_args()
    count = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    try:
        return report.run("Reclaim", lambda: measure(options.way or WAYS, count), options.json)
    except (peers.BenchFailed, networks.NoNetworks, PeerFailed, WaitedInVain, ScenesFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
