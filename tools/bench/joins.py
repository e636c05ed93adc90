#!/usr/bin/env python3
"""Measure how soon a peer that is started during a job has claimed its first frame.

Real peers on this machine's loopback interface, a few of which render a long job. One more is started again and again:
first each time as a newcomer with an invite and an empty home, then each time as a member that comes back. The time
runs from before its process is started; how much of it passed until the peer said that it is ready is shown beside it.
The engine's proof is cached, as it is on any machine but for the first time. With `--staged` the renderer only
pretends, which allows more peers than a machine has cores. Run in the project's environment.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import peers, report
from tools.bench.peers import TimedPeer, first
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain, wait_for
from tools.scenes import ScenesFailed

JOINS, JOINS_QUICK = 20, 3
PEERS = 3
CLAIMED_MS = 5_000
PATIENCE_S = 60.0
FRAMES = 20_000
"""More than are rendered while the bench runs."""

STAGED_MS = 1_000
"""A frame of the renderer that pretends."""

SAMPLES = 400
"""Of the tiny scene, so that one frame takes some tenths of a second."""

PRETENDING = (sys.executable, "-m", "tools.bench.pretending")


@dataclass(slots=True)
class Joins:
    """What was measured of one way to start, in milliseconds from before the process was started."""

    ready: list[float] = field(default_factory=list)
    claimed: list[float] = field(default_factory=list)
    called: list[float] = field(default_factory=list)


def start_once(peer: TimedPeer, token: str | None, joins: Joins) -> None:
    """Start a peer, wait until it renders, note how long each step took, and stop it."""
    peer.forget()
    begun_ms = peers.now_ms()
    peer.start(token=token)
    try:
        peer.peer.wait_ready()
        ready_ms = peers.now_ms()
        wait_for(f"{peer.name} renders", lambda: first(peer.marks(), "called"), PATIENCE_S)
        marks = peer.marks()
        claimed, called = first(marks, "claimed"), first(marks, "called")
        assert claimed is not None
        assert called is not None
    finally:
        peer.peer.stop()
        peer.peer.end()
    joins.ready.append(ready_ms - begun_ms)
    joins.claimed.append(claimed.at_ms - begun_ms)
    joins.called.append(called.at_ms - begun_ms)
    said = f"ready after {joins.ready[-1]:.0f} ms, first claim after {joins.claimed[-1]:.0f} ms"
    report.say(f"  {peer.name}: {said}")


def make_scene(directory: Path, *, staged: bool) -> Path:
    """Return a scene that is rendered for as long as anybody likes."""
    if not staged:
        scene = peers.make_scene(directory, "tiny")
        return peers.resized(
            scene, scene.with_name("warm.blend"), size=(64, 36), samples=SAMPLES, form="PNG", depth="8"
        )
    scene = directory / "staged" / "shot.txt"
    scene.parent.mkdir()
    scene.write_text(f"frames 1 {FRAMES}\nms {STAGED_MS}", "utf-8")
    return scene


def measure(many: int, count: int, *, staged: bool) -> list[Figure]:
    """Measure both ways in a mesh of `many` peers."""
    program = PRETENDING if staged else None
    newcomers, members = Joins(), Joins()
    with peers.workplace() as directory:
        scene = make_scene(directory, staged=staged)
        meshed = [TimedPeer(directory, f"p{number}", renders=True, program=program) for number in range(many)]
        with peers.mesh(meshed, at_once=8):
            (invite,) = meshed[0].peer.typed("invite", "--uses", str(count + 1))
            job = meshed[0].submit(scene, f"1-{FRAMES}", directory / "out")
            for peer in meshed:
                wait_for(f"{peer.name} renders", lambda peer=peer: first(peer.marks(), "called"), PATIENCE_S)  # type: ignore[misc]
            report.say("newcomers")
            for number in range(count):
                newcomer = TimedPeer(directory, f"new{number}", renders=True, program=program)
                start_once(newcomer, invite["token"], newcomers)
            report.say("a member that comes back")
            member = TimedPeer(directory, "member", renders=True, program=program)
            start_once(member, invite["token"], Joins())
            for _ in range(count):
                start_once(member, None, members)
            meshed[0].peer.post(f"/jobs/{job}/cancel")
    pulse = Figure(name="an empty Python, start to end", unit="ms", samples=tuple(peers.pulse_ms() for _ in range(5)))
    return [*_figures("a newcomer", newcomers), *_figures("a member that comes back", members), pulse]


def _figures(who: str, joins: Joins) -> list[Figure]:
    after_ready = [claimed - ready for claimed, ready in zip(joins.claimed, joins.ready, strict=True)]

    def part(name: str, samples: Sequence[float]) -> Figure:
        return Figure(name=f"    {name}", unit="ms", samples=tuple(samples))

    return [
        Figure(
            name=f"{who}: process started to first claim won",
            unit="ms",
            samples=tuple(joins.claimed),
            p95_most=CLAIMED_MS,
        ),
        part("process started to ready", joins.ready),
        part("ready to first claim won", after_ready),
        part("process started to first render call", joins.called),
    ]


def main() -> int:
    """Measure and report."""
    parser = report.parser("Measure how soon a peer that joins during a job works.")
    parser.add_argument("--peers", type=int, metavar="N", default=PEERS, help=f"in the mesh (default: {PEERS})")
    parser.add_argument("--staged", action="store_true", help="with a renderer that only pretends")
    options = parser.parse_args()
    count = JOINS_QUICK if options.quick else JOINS
    title = f"Joins, {options.peers} peers{', staged' if options.staged else ''}"
    try:
        return report.run(title, lambda: measure(options.peers, count, staged=options.staged), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain, ScenesFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
