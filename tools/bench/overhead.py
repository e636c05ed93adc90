#!/usr/bin/env python3
"""Measure what the mesh costs a long job: 1080p half-float EXR frames that one peer renders and two store, against a
persistent Blender loop that writes the same files.

The mesh's wall time runs from `meshnode submit --wait` typed until it has ended with every frame on the submitter's
disk; the loop's from its start to its end. Both start an engine, load the scene and render with all processors; all
three peers run on this one machine, so that storing twice costs the same processors. The two sides take turns, and each
ratio is of two neighbours. Run in the project's environment.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import peers, report
from tools.bench.latency import next_waits_ms
from tools.bench.peers import TimedPeer
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain
from tools.scenes import ScenesFailed

SIZE = (1920, 1080)
PAIRS, PAIRS_QUICK = 3, 1
FRAMES_QUICK = 4
MOST = {5.0: 1.05, 10.0: 1.03}
"""By what a frame takes alone, in seconds: how much longer the mesh may take for all."""

JOB_S = 150.0
"""What a job of either kind takes alone: long enough that its start and end are a hundredth of it."""


@dataclass(slots=True)
class Sides:
    """Wall times of both sides, in milliseconds, pair by pair."""

    meshed: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    frames_meshed: list[float] = field(default_factory=list)
    frames_alone: list[float] = field(default_factory=list)
    processor_meshed: list[float] = field(default_factory=list)
    processor_alone: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def ratios(self) -> tuple[float, ...]:
        """Return the ratio of each pair."""
        return tuple(meshed / alone for meshed, alone in zip(self.meshed, self.alone, strict=True))

    def frame_ratios(self) -> tuple[float, ...]:
        """Return the ratio of the frames' pace of each pair: from the first frame's file to the last one's."""
        return tuple(meshed / alone for meshed, alone in zip(self.frames_meshed, self.frames_alone, strict=True))


def span_ms(marks: list[peers.Marked]) -> int:
    """Return the time from the first frame's file to the last one's."""
    written = [mark.at_ms for mark in marks if mark.step == "written"]
    return max(written) - min(written)


def compare(meshed: list[TimedPeer], scene: Path, out: Path, frames: int, pairs: int) -> Sides:
    """Let the two sides take turns."""
    sides = Sides()
    for pair in range(pairs):
        spent_ms = children_ms()
        begun_ms, marks, ended_ms = peers.bare(scene, out / f"alone-{pair}", 1, frames)
        sides.processor_alone.append(children_ms() - spent_ms)
        sides.alone.append(ended_ms - begun_ms)
        sides.frames_alone.append(span_ms(marks))
        peers.wait_cold(meshed)
        for peer in meshed:
            peer.forget()
        where = out / f"mesh-{pair}"
        spent_ms = _spent_ms(meshed)
        begun_ms = peers.now_ms()
        submit(meshed[0], scene, where, frames)
        sides.meshed.append(peers.now_ms() - begun_ms)
        peers.wait_cold(meshed)
        sides.processor_meshed.append(_spent_ms(meshed) - spent_ms)
        marks = [mark for peer in meshed for mark in peer.marks()]
        sides.frames_meshed.append(span_ms(marks))
        sides.gaps += next_waits_ms(marks)
        same_files(where, out / f"alone-{pair}")
        report.say(f"  pair {pair + 1}: {sides.ratios()[-1]:.3f} x, between the files {sides.frame_ratios()[-1]:.3f} x")
    return sides


def children_ms() -> float:
    """Return the processor time of all that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def _spent_ms(meshed: list[TimedPeer]) -> float:
    """Return the processor time of the peers, and of the commands that were typed."""
    return children_ms() + sum(peer.processor_ms() for peer in meshed)


def submit(peer: TimedPeer, scene: Path, out: Path, frames: int) -> None:
    """Type `submit --wait` and wait for it."""
    words = ["submit", "--home", str(peer.peer.home), str(scene), "--output", str(out), "--frames", f"1-{frames}"]
    command = [sys.executable, "-m", "mesh.cli", *words, "--wait", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise peers.BenchFailed(f"submit ended with {done.returncode}: {done.stderr}")


def same_files(one: Path, other: Path) -> None:
    """Raise BenchFailed unless both directories hold files of the same names and about the same size."""
    sizes = [{path.name: path.stat().st_size for path in place.iterdir()} for place in (one, other)]
    far = [name for name, size in sizes[0].items() if abs(size - sizes[1].get(name, 0)) > size // 100]
    if sizes[0].keys() != sizes[1].keys() or far:
        raise peers.BenchFailed(f"the two sides did not write the same files: {sizes}")


def measure(seconds: list[float], frames_asked: int | None, pairs: int) -> list[Figure]:
    """Compare for frames of each length."""
    figures: list[Figure] = []
    with peers.workplace() as directory:
        tiny = peers.make_scene(directory, "tiny")
        for frame_s in seconds:
            frames = frames_asked or round(JOB_S / frame_s)
            report.say(f"{frames} frames of {frame_s:g} s")
            name = f"frames-{frame_s:g}"
            scene = peers.timed_scene(tiny, name, size=SIZE, form="OPEN_EXR", depth="16", frame_s=frame_s)
            meshed = [TimedPeer(directory / name, each, renders=each == "ada") for each in ("ada", "bela", "cleo")]
            with peers.mesh(meshed):
                sides = compare(meshed, scene, directory / f"{name}-out", frames, pairs)
            figures += _figures(frame_s, frames, sides)
    return figures


def _figures(frame_s: float, frames: int, sides: Sides) -> list[Figure]:
    real_s = statistics.median(sides.frames_alone) / (frames - 1) / 1000
    what = f"{frames} frames of {real_s:.1f} s"
    return [
        Figure(name=f"{what}: mesh to Blender alone", unit="x", samples=sides.ratios(), median_most=MOST[frame_s]),
        Figure(name="    from the first file to the last", unit="x", samples=sides.frame_ratios()),
        Figure(
            name="    mesh, processor time of all three peers",
            unit="ms",
            samples=tuple(sides.processor_meshed),
            baseline=tuple(sides.processor_alone),
        ),
        Figure(name="    mesh, wall", unit="ms", samples=tuple(sides.meshed), baseline=tuple(sides.alone)),
        Figure(name="    Blender alone, wall", unit="ms", samples=tuple(sides.alone)),
        Figure(name="    a frame's file to the next render call", unit="ms", samples=tuple(sides.gaps)),
    ]


def main() -> int:
    """Measure and report."""
    parser = report.parser("Measure what the mesh costs a long job.")
    parser.add_argument(
        "--seconds", type=float, action="append", choices=sorted(MOST), help="of a frame; both by default"
    )
    parser.add_argument("--frames", type=int, metavar="N", help=f"of each job (default: {JOB_S:g} s of them)")
    parser.add_argument("--pairs", type=int, metavar="N", help=f"of turns (default: {PAIRS})")
    options = parser.parse_args()
    frames = options.frames or (FRAMES_QUICK if options.quick else None)
    pairs = options.pairs or (PAIRS_QUICK if options.quick else PAIRS)
    try:
        return report.run("Overhead", lambda: measure(options.seconds or sorted(MOST), frames, pairs), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain, ScenesFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
