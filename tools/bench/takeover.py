#!/usr/bin/env python3
"""Measure how soon another peer coordinates a still whose coordinator was killed or frozen, and who was idle meanwhile.

Five peers with a renderer that only pretends, so that the machine has time for all of them, and one long still with
buckets of five seconds. Again and again whoever coordinates is struck: killed is SIGKILL to its peer, frozen is SIGSTOP
to it and to all that it started. The time runs until another peer says that somebody else coordinates; idle is the time
between a bucket's file and the next render call at the peers that were not struck. Run in the project's environment.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import peers, report
from tools.bench.joins import PRETENDING
from tools.bench.latency import next_waits_ms
from tools.bench.peers import TimedPeer
from tools.bench.reclaim import freeze, kill, restart, thaw
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain, wait_for

ROUNDS, ROUNDS_QUICK = 10, 2
NAMES = ("ada", "bela", "cleo", "dora", "ella")
KILLED_MS, SILENT_MS, IDLE_MS = 1_000, 8_000, 500
TAKEOVER_S = 40.0
BEGIN_S = 60.0
BUCKET_MS = 5_000
BUCKET = (2, 1)
"""Of a picture of 64x36 pixels: 1,152 buckets, more than are rendered while the bench runs."""


@dataclass(slots=True)
class Struck:
    """What was measured of one way to strike, in milliseconds."""

    takeovers: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


def coordinator(peer: TimedPeer, job: str) -> str:
    """Return who coordinates a job as a peer sees it; empty where it knows of nobody."""
    name: str = peer.job(job)["job"]["coordinator"]
    return name


def agreed(meshed: Sequence[TimedPeer], job: str) -> TimedPeer:
    """Wait until all peers see the same coordinator, and return it."""

    def look() -> TimedPeer | None:
        names = {coordinator(peer, job) for peer in meshed}
        return next((peer for peer in meshed if {peer.name} == names), None)

    return wait_for("all see one coordinator", look, BEGIN_S)


def strike(
    meshed: Sequence[TimedPeer], job: str, ways: tuple[Callable[[TimedPeer], None], Callable[[TimedPeer], None]]
) -> tuple[float, list[int]]:
    """Strike the coordinator; return how long its succession took, and how long each slot of others idled since."""
    hit, recover = ways
    victim = agreed(meshed, job)
    others = [peer for peer in meshed if peer is not victim]
    asked = itertools.cycle(others)
    for peer in others:
        peer.forget()
    struck_ms = peers.now_ms()
    hit(victim)
    wait_for(
        f"somebody else than {victim.name} coordinates",
        lambda: coordinator(next(asked), job) not in ("", victim.name),
        TAKEOVER_S,
        every_s=0.01,
    )
    took_ms = peers.now_ms() - struck_ms
    peers.pause(2 * BUCKET_MS / 1000)
    idle = [gap for peer in others for gap in next_waits_ms(peer.marks(job))]
    recover(victim)
    peers.wait_connected(meshed)
    return took_ms, idle


def measure(ways: Sequence[str], count: int) -> list[Figure]:
    """Measure the ways that were asked for."""
    figures: list[Figure] = []
    with peers.workplace() as directory:
        scene = directory / "staged" / "still.txt"
        scene.parent.mkdir()
        whole_ms = BUCKET_MS * 64 * 36 // (BUCKET[0] * BUCKET[1])
        scene.write_text(f"frames 1 1\nms {whole_ms}", "utf-8")
        meshed = [TimedPeer(directory, name, renders=True, program=PRETENDING) for name in NAMES]
        with peers.mesh(meshed):
            words = ("--still", "--buckets", f"{BUCKET[0]}x{BUCKET[1]}", "--output", str(directory / "out"))
            (said,) = meshed[0].peer.typed("submit", str(scene), *words)[:1]
            job = said["job"]["id"]
            for peer in meshed:
                wait_for(f"{peer.name} renders", lambda peer=peer: peer.marks(job), BEGIN_S)  # type: ignore[misc]
            for way in ways:
                report.say(way)
                struck = Struck()
                for number in range(count):
                    took_ms, idle = strike(meshed, job, _WAYS[way])
                    struck.takeovers.append(took_ms)
                    struck.idle += idle
                    report.say(f"  round {number + 1}: {took_ms:.0f} ms; idle {max(idle, default=0):.0f} ms at most")
                figures += _figures(way, struck)
            meshed[0].peer.post(f"/jobs/{job}/cancel")
    return figures


_WAYS = {"killed": (kill, restart), "frozen": (freeze, thaw)}


def _figures(way: str, struck: Struck) -> list[Figure]:
    return [
        Figure(
            name=f"{way}: until somebody else coordinates",
            unit="ms",
            samples=tuple(struck.takeovers),
            median_most=KILLED_MS if way == "killed" else SILENT_MS,
        ),
        Figure(name="    idle slots meanwhile", unit="ms", samples=tuple(struck.idle), largest_most=IDLE_MS),
    ]


def main() -> int:
    """Measure and report."""
    parser = report.parser("Measure how soon a lost coordinator is succeeded.")
    parser.add_argument("--way", action="append", choices=sorted(_WAYS), help="only these; all by default")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"of each way (default: {ROUNDS})")
    options = parser.parse_args()
    count = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    try:
        return report.run("Takeover", lambda: measure(options.way or list(_WAYS), count), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
