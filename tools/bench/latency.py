#!/usr/bin/env python3
"""Measure how long people and slots wait: from `submit` to the first sample, from the signed job to the render call,
and from one frame's file to the next render call.

Real peers on this machine's loopback interface. Before each submission no engine runs anywhere, so that its start is
part of what a person waits for. What the mesh is compared with is Blender alone on the same file, in the same run. The
figures hold for an idle machine. Run in the project's environment.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import peers, report
from tools.bench.peers import Marked, TimedPeer, first
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain, wait_for
from tools.scenes import ScenesFailed

ROUNDS, ROUNDS_QUICK = 10, 3
CALLS, CALLS_QUICK = 60, 15
WIDTHS = count(64, 2)
"""Of the pictures of each round's scene, so that no two files are the same."""

WARM_SAMPLES = 400
"""Of the tiny scene, so that one frame takes some tenths of a second: a peer at work, not one that only hands over."""

SAMPLE_ONE_MS, SAMPLE_THREE_MS = 2_000, 4_000
CALL_MS = 400
NEXT_MEDIAN_MS, NEXT_P95_MS = 30, 100


@dataclass(slots=True)
class Waits:
    """What was measured in one mesh, in milliseconds."""

    sample: list[float] = field(default_factory=list)
    call: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    bare: list[float] = field(default_factory=list)
    pulse: list[float] = field(default_factory=list)


def overlap_ms(marks: list[Marked], begin_ms: int, end_ms: int) -> int:
    """Return how much of a span of time the stage was being opened in."""
    opened = [mark.at_ms for mark in marks if mark.step == "opened"]
    spans = [
        (mark.at_ms, min((at_ms for at_ms in opened if at_ms >= mark.at_ms), default=end_ms))
        for mark in marks
        if mark.step == "opening"
    ]
    covered, reached = 0, begin_ms
    for begin, end in sorted(spans):
        covered += max(0, min(end, end_ms) - max(begin, reached))
        reached = max(reached, min(end, end_ms))
    return covered


def call_wait_ms(signed_ms: int, marks: list[Marked]) -> int:
    """Return the time from the signed job to a peer's first render call, without what its stage's opening delayed it.

    Only that part of the opening counts as a delay during which the frame was claimed already.
    """
    claimed, called = first(marks, "claimed"), first(marks, "called")
    assert claimed is not None
    assert called is not None
    return called.at_ms - signed_ms - overlap_ms(marks, claimed.at_ms, called.at_ms)


def next_waits_ms(marks: list[Marked]) -> list[int]:
    """Return the times from each frame's file to the next render call on the same peer, the last frame's apart."""
    steps = sorted((mark for mark in marks if mark.step in ("called", "written")), key=lambda mark: mark.at_ms)
    return [
        after.at_ms - before.at_ms
        for before, after in pairwise(steps)
        if (before.step, after.step) == ("written", "called")
    ]


def first_samples(meshed: list[TimedPeer], at: TimedPeer, scene: Path, out: Path, rounds: int) -> Waits:
    """Submit a cold job again and again, as a person does, and note who waited for what.

    Each round's file differs a little, so that it has to travel each time.
    """
    waits = Waits()
    for number in range(rounds):
        fresh = peers.resized(
            scene, scene.with_name(f"{number}.blend"), size=(next(WIDTHS), 36), samples=2, form="PNG", depth="8"
        )
        peers.wait_cold(meshed)
        for peer in meshed:
            peer.forget()
        waits.pulse.append(peers.pulse_ms())
        begun_ms, marks, _ = peers.bare(fresh, out / f"bare-{number}", 1, 1)
        waits.bare.append(_at(marks, "sampled") - begun_ms)
        typed_ms = peers.now_ms()
        command = ["submit", "--home", str(at.peer.home), str(fresh), "--output", str(out / str(number)), "--json"]
        quiet = subprocess.DEVNULL
        submit = subprocess.Popen([sys.executable, "-m", "mesh.cli", *command], stdout=quiet, stderr=quiet)
        try:
            wait_for("a first sample", lambda: _sampled(meshed), 60.0)
        finally:
            submit.wait()
        job = next(mark.job for mark in _all(meshed) if mark.step == "sampled")
        at.wait_over(job)
        _note(waits, meshed, typed_ms, job)
        spent = f"{waits.sample[-1]:.0f} ms to the first sample, alone {waits.bare[-1]:.0f} ms"
        report.say(f"  round {number + 1}: {spent}")
    return waits


def _note(waits: Waits, meshed: list[TimedPeer], typed_ms: int, job: str) -> None:
    everything = _all(meshed)
    sample_ms = min(mark.at_ms for mark in everything if mark.step == "sampled")
    winner = min(
        (peer for peer in meshed if first(peer.marks(job), "called")), key=lambda peer: _at(peer.marks(job), "called")
    )
    signed_ms = _at(everything, "planned")
    waits.sample.append(sample_ms - typed_ms)
    waits.call.append(call_wait_ms(signed_ms, winner.marks(job)))
    before_ms = typed_ms
    for part, step in (
        ("command to node", "asked"),
        ("reading the scene", "inspected"),
        ("storing it", "planned"),
        ("until a claim is won", "claimed"),
        ("until the render call", "called"),
        ("until the first sample", "sampled"),
    ):
        at_ms = _at(everything, step)
        waits.parts.setdefault(part, []).append(at_ms - before_ms)
        before_ms = at_ms


def next_calls(
    meshed: list[TimedPeer], at: TimedPeer, scene: Path, out: Path, frames: int
) -> tuple[list[int], list[int]]:
    """Render one job on one warm peer; return the waits between its frames, and those of Blender alone."""
    for peer in meshed:
        peer.forget()
    job = at.submit(scene, f"1-{frames}", out / "next")
    at.wait_over(job)
    waits = [wait for peer in meshed for wait in next_waits_ms(peer.marks(job))]
    _, alone, _ = peers.bare(scene, out / "next-bare", 1, frames)
    return waits, next_waits_ms(alone)


def measure(*, quick: bool) -> list[Figure]:
    """Measure everything and return the figures."""
    rounds, calls = (ROUNDS_QUICK, CALLS_QUICK) if quick else (ROUNDS, CALLS)
    figures: list[Figure] = []
    with peers.workplace() as directory:
        scene = peers.make_scene(directory, "tiny")
        warm = peers.resized(
            scene, scene.with_name("warm.blend"), size=(64, 36), samples=WARM_SAMPLES, form="PNG", depth="8"
        )
        report.say("one peer renders, two do not")
        ones = [TimedPeer(directory / "one", name, renders=name == "ada") for name in ("ada", "bela", "cleo")]
        with peers.mesh(ones):
            for at, where in ((ones[0], "the renderer"), (ones[1], "another peer")):
                waits = first_samples(ones, at, scene, directory / f"one-{at.name}", rounds)
                figures += _figures(waits, f"one renders, submitted at {where}", SAMPLE_ONE_MS)
            waited, alone = next_calls(ones, ones[1], warm, directory, calls)
        figures.append(
            Figure(
                name="one frame's file to the next render call",
                unit="ms",
                samples=tuple(waited),
                median_most=NEXT_MEDIAN_MS,
                p95_most=NEXT_P95_MS,
                baseline=tuple(alone),
            )
        )
        report.say("three peers render")
        threes = [TimedPeer(directory / "three", name, renders=True) for name in ("ada", "bela", "cleo")]
        with peers.mesh(threes):
            waits = first_samples(threes, threes[0], scene, directory / "three-ada", rounds)
            figures += _figures(waits, "three render", SAMPLE_THREE_MS)
    return figures


def _figures(waits: Waits, what: str, sample_ms: int) -> list[Figure]:
    parts = [Figure(name=f"    {part}", unit="ms", samples=tuple(samples)) for part, samples in waits.parts.items()]
    return [
        Figure(
            name=f"{what}: submit typed to first sample",
            unit="ms",
            samples=tuple(waits.sample),
            median_most=sample_ms,
            baseline=tuple(waits.bare),
        ),
        *parts,
        Figure(
            name=f"{what}: signed job to render call, opening apart",
            unit="ms",
            samples=tuple(waits.call),
            median_most=CALL_MS,
            baseline=tuple(waits.pulse),
        ),
        Figure(name="    Blender alone, start to first sample", unit="ms", samples=tuple(waits.bare)),
        Figure(name="    an empty Python, start to end", unit="ms", samples=tuple(waits.pulse)),
    ]


def _all(meshed: list[TimedPeer]) -> list[Marked]:
    return sorted((mark for peer in meshed for mark in peer.marks()), key=lambda mark: mark.at_ms)


def _sampled(meshed: list[TimedPeer]) -> bool:
    return first(_all(meshed), "sampled") is not None


def _at(marks: list[Marked], step: str) -> int:
    found = first(marks, step)
    if found is None:
        raise peers.BenchFailed(f"nobody marked the step {step!r}")
    return found.at_ms


def main() -> int:
    """Measure and report."""
    options = report.parser("Measure how long people and slots wait.").parse_args()
    try:
        return report.run("Latency", lambda: measure(quick=options.quick), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain, ScenesFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
