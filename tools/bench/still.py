#!/usr/bin/env python3
"""Measure what the mesh makes of one still: two peers of one thread each against one Blender of two threads.

The mesh's wall time runs from `meshnode submit --still --wait` typed until it has ended with the file on the
submitter's disk: reading the scene, loading, transfers, buckets, assembly, the final file, all of it. Blender's runs
from its start to its end, with the file written. Both load the scene from nothing. The two sides take turns, and each
ratio is of two neighbours. Three scenes: a light one of a minute or more, one that loads for long, and the light one
with adaptive sampling; and frames of 1920x1080 with few and with many passes, of which only the end is measured. Run in
the project's environment.
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import peers, report
from tools.bench.latency import next_waits_ms
from tools.bench.peers import Marked, TimedPeer
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain
from tools.scenes import ScenesFailed

PAIRS, PAIRS_QUICK = 3, 1
LEAST = {"still_bench": 0.97, "still_heavy": 0.90, "still_bench_adaptive": 0.85}
"""How much of one Blender's speed two peers of half its threads must have."""

IDLE_MOST_MS = 10.0
OWN_MOST_MS = 40.0
PROCESSOR_MOST = {"still_bench": 1.15, "still_heavy": 1.15, "still_bench_adaptive": 1.25}
"""How much more processor time all peers together may use than one Blender, whatever they start counted."""

MERGED_MOST_MS: dict[str, float | None] = {"still_hd": 1_000.0, "still_hd_passes": None}
"""Of 1920x1080 with 8 channels, and with 47, of which the figure is only told."""

IDLE_S = 20.0
"""How long peers that do nothing are looked at, for what they cost then."""


@dataclass(slots=True)
class Sides:
    """What was measured of one scene, pair by pair; times in milliseconds."""

    meshed: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    own_each: list[float] = field(default_factory=list)
    merged: list[float] = field(default_factory=list)
    buckets: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    spent_alone: list[float] = field(default_factory=list)

    def ratios(self) -> tuple[float, ...]:
        """Return by how much longer the mesh took, of each pair."""
        return tuple(meshed / alone for meshed, alone in zip(self.meshed, self.alone, strict=True))


def submit(peer: TimedPeer, scene: Path, out: Path) -> None:
    """Type `submit --still --wait` and wait for it."""
    words = ["submit", "--home", str(peer.peer.home), str(scene), "--output", str(out), "--still", "--frame", "1"]
    command = [sys.executable, "-m", "mesh.cli", *words, "--wait", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise peers.BenchFailed(f"submit ended with {done.returncode}: {done.stderr}")


def merged_ms(marks: Sequence[Marked]) -> float:
    """Return the time from the last bucket's being stored to all passes' being one file."""
    (assembled,) = (mark.at_ms for mark in marks if mark.step == "assembled")
    return assembled - max(mark.at_ms for mark in marks if mark.step == "stored" and mark.at_ms <= assembled)


def compare(meshed: list[TimedPeer], scene: Path, out: Path, pairs: int, *, alone: bool = True) -> Sides:
    """Let the two sides take turns."""
    sides = Sides()
    for pair in range(pairs):
        if alone:
            spent_ms = -ended_children_ms()
            begun_ms, _, ended_ms = peers.bare(scene, out / f"alone-{pair}", 1, 1)
            sides.alone.append(ended_ms - begun_ms)
            sides.spent_alone.append(spent_ms + ended_children_ms())
        peers.wait_cold(meshed)
        for peer in meshed:
            peer.forget()
        all_ms = sum(peer.processor_ms() for peer in meshed) + ended_children_ms()
        idle_ms = sum(peer.own_processor_ms() for peer in meshed)
        begun_ms = peers.now_ms()
        submit(meshed[0], scene, out / f"mesh-{pair}")
        wall_ms = peers.now_ms() - begun_ms
        spent_ms = sum(peer.own_processor_ms() for peer in meshed) - idle_ms
        peers.wait_cold(meshed)
        sides.spent.append(sum(peer.processor_ms() for peer in meshed) + ended_children_ms() - all_ms)
        sides.meshed.append(wall_ms)
        marks = [peer.marks() for peer in meshed]
        every = [mark for one in marks for mark in one]
        buckets = sum(mark.step == "called" for mark in every)
        sides.buckets.append(buckets)
        sides.gaps += [gap for one in marks for gap in next_waits_ms(one)]
        sides.own_each.append((spent_ms - idle_part(meshed) * wall_ms) / buckets)
        sides.merged.append(merged_ms(every))
        said = f", {sides.ratios()[-1]:.3f} x" if alone else ""
        report.say(f"  pair {pair + 1}: {wall_ms / 1000:.1f} s, {buckets} buckets{said}")
    return sides


def ended_children_ms() -> float:
    """Return the processor time of all processes that were started here and have ended: commands, and Blender alone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


_idle_parts: dict[int, float] = {}


def idle_part(meshed: list[TimedPeer]) -> float:
    """Return which part of a processor's time idle peers use, all together; measured once."""
    key = id(meshed)
    if key not in _idle_parts:
        peers.wait_cold(meshed)
        spent_ms, begun_ms = sum(peer.own_processor_ms() for peer in meshed), peers.now_ms()
        peers.pause(IDLE_S)
        spent_ms = sum(peer.own_processor_ms() for peer in meshed) - spent_ms
        _idle_parts[key] = spent_ms / (peers.now_ms() - begun_ms)
    return _idle_parts[key]


def measure(names: list[str], pairs: int) -> list[Figure]:
    """Compare for each scene."""
    figures: list[Figure] = []
    with peers.workplace() as directory:
        meshed = [TimedPeer(directory, name, renders=True, settings={"engine_threads": 1}) for name in ("ada", "bela")]
        with peers.mesh(meshed):
            for name in names:
                report.say(name)
                scene = peers.make_scene(directory, name)
                sides = compare(meshed, scene, directory / f"{name}-out", pairs, alone=name in LEAST)
                figures += _figures(name, sides)
    return figures


def _figures(name: str, sides: Sides) -> list[Figure]:
    merged = Figure(
        name=f"{name}: last bucket stored to all passes in one file", unit="ms", samples=tuple(sides.merged)
    )
    if name not in LEAST:
        return [dataclasses.replace(merged, median_most=MERGED_MOST_MS[name])]
    alone_s = statistics.median(sides.alone) / 1000
    return [
        Figure(
            name=f"{name}, {alone_s:.0f} s: mesh to Blender alone",
            unit="x",
            samples=sides.ratios(),
            median_most=1 / LEAST[name],
        ),
        Figure(name="    mesh, wall", unit="ms", samples=tuple(sides.meshed), baseline=tuple(sides.alone)),
        Figure(
            name="    processor time of all peers to Blender's alone",
            unit="x",
            samples=tuple(mesh / alone for mesh, alone in zip(sides.spent, sides.spent_alone, strict=True)),
            median_most=PROCESSOR_MOST[name],
        ),
        Figure(name="    slot idle between buckets", unit="ms", samples=tuple(sides.gaps), median_most=IDLE_MOST_MS),
        Figure(
            name="    the mesh's own processor time for a bucket",
            unit="ms",
            samples=tuple(sides.own_each),
            median_most=OWN_MOST_MS,
        ),
        Figure(name="    buckets", unit="", samples=tuple(sides.buckets)),
        merged,
    ]


def main() -> int:
    """Measure and report."""
    parser = report.parser("Measure what the mesh makes of one still.")
    known = [*LEAST, *MERGED_MOST_MS]
    parser.add_argument("--scene", action="append", choices=known, help="all by default")
    parser.add_argument("--pairs", type=int, metavar="N", help=f"of turns (default: {PAIRS})")
    options = parser.parse_args()
    pairs = options.pairs or (PAIRS_QUICK if options.quick else PAIRS)
    try:
        return report.run("A still", lambda: measure(options.scene or known, pairs), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain, ScenesFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
