#!/usr/bin/env python3
"""Look for false reclaims and false deaths: eight peers render for half an hour with every processor busy; no frame may
be taken from a peer that lives, and no peer that lives may be given up by another.

Each peer's engine has as many threads as the machine has processors, so that the machine has eight times as much to do
as it can. Jobs of frames of about a second and of about ten follow each other, so that claims, leases and endings of
jobs all happen under load. A frame that was begun twice, that counts with an attempt after the first, or that was
written twice is a false reclaim. Run in the project's environment.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.bench import peers, report
from tools.bench.peers import Marked, TimedPeer
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain
from tools.scenes import ScenesFailed

MINUTES, MINUTES_QUICK = 30.0, 1.0
NAMES = ("ada", "bela", "cleo", "dora", "enid", "fay", "gita", "hana")
SHORT_S, LONG_S = 1.0, 10.0
"""What a frame of the two kinds of job takes, were it alone on the machine."""

FRAMES = {"short": "1-120", "long": "1-24"}
"""Of each job, so that both kinds last for some minutes under load."""

RENDERED = ("counts", "safe")
LOOK_S = 1.0
BUSY_LEAST = 0.95
"""Of the processors' time, in the middle of all looks: less is no full load, and the run proves nothing."""


@dataclass(slots=True)
class Seen:
    """What was counted."""

    frames: int = 0
    begun_again: list[str] = field(default_factory=list)
    written_again: list[str] = field(default_factory=list)
    later_attempts: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def again(marks: Sequence[Marked], step: str) -> list[str]:
    """Return the frames that a step was done of more than once, by whomever."""
    counted = Counter((mark.job, mark.frame) for mark in marks if mark.step == step)
    return [f"{job[:8]} frame {frame}: {step} {times} times" for (job, frame), times in counted.items() if times > 1]


def busy_part(before: str, after: str) -> float:
    """Return the part of the processors' time that was not idle between two looks at the first line of /proc/stat."""
    spent = [int(late) - int(early) for early, late in zip(before.split()[1:], after.split()[1:], strict=True)]
    idle = spent[3] + spent[4]
    return 1 - idle / sum(spent) if sum(spent) else 0.0


def _processors() -> str:
    with open("/proc/stat", encoding="ascii") as stat:
        return stat.readline()


def render(meshed: Sequence[TimedPeer], scenes: Sequence[Path], out: Path, seen: Seen, until_s: float) -> None:
    """Keep one job of each scene going until it is time, then cancel what is left."""
    going: dict[Path, tuple[TimedPeer, str]] = {}
    number = 0
    while time.monotonic() < until_s:
        for scene in scenes:
            if scene not in going:
                at = meshed[number % len(meshed)]
                going[scene] = (at, at.submit(scene, FRAMES[scene.stem], out / str(number)))
                number += 1
        before = _processors()
        time.sleep(LOOK_S)
        seen.busy.append(busy_part(before, _processors()))
        for scene, (at, job) in list(going.items()):
            answer = at.job(job)
            if answer["job"]["state"] in peers.OVER:
                del going[scene]
                _count(seen, answer, job)
    for at, job in going.values():
        _count(seen, at.job(job), job)
        at.peer.post(f"/jobs/{job}/cancel")


def _count(seen: Seen, answer: dict[str, object], job: str) -> None:
    frames = answer["frames"]
    assert isinstance(frames, list)
    for frame in frames:
        seen.frames += frame["state"] in RENDERED
        if frame["attempt"] > 1 or frame["failures"]:
            seen.later_attempts.append(f"{job[:8]} frame {frame['frame']}: attempt {frame['attempt']}")
    report.say(f"  {seen.frames} frames, {len(seen.later_attempts)} of a later attempt")


def measure(minutes: float) -> list[Figure]:
    """Render under full load and return what was counted."""
    seen = Seen()
    with peers.workplace() as directory:
        tiny = peers.make_scene(directory, "tiny")
        scenes = [
            peers.timed_scene(tiny, name, size=(320, 180), form="PNG", depth="8", frame_s=frame_s)
            for name, frame_s in (("short", SHORT_S), ("long", LONG_S))
        ]
        meshed = [TimedPeer(directory / "peers", name, renders=True) for name in NAMES]
        with peers.mesh(meshed):
            render(meshed, scenes, directory / "out", seen, time.monotonic() + minutes * 60)
            marks = [mark for peer in meshed for mark in peer.marks()]
            seen.given_up = [peer.name for peer in meshed for _ in range(peer.status()["given_up"])]
    seen.begun_again, seen.written_again = again(marks, "claimed"), again(marks, "written")
    for line in (*seen.begun_again, *seen.written_again, *seen.later_attempts):
        report.say(f"  {line}")
    for name in seen.given_up:
        report.say(f"  {name} gave another peer up")
    if not seen.busy or statistics.median(seen.busy) < BUSY_LEAST:
        raise peers.BenchFailed(f"the processors were not busy: {seen.busy[:8]}")
    return [
        Figure(name="frames rendered", unit="", samples=(float(seen.frames),)),
        Figure(name="part of the processors' time in use", unit="x", samples=tuple(seen.busy)),
        _none("frames begun more than once", seen.begun_again),
        _none("frames written more than once", seen.written_again),
        _none("frames of a later attempt, or that failed", seen.later_attempts),
        _none("peers given up, by all together", seen.given_up),
    ]


def _none(name: str, found: Sequence[str]) -> Figure:
    return Figure(name=name, unit="", samples=(float(len(found)),), largest_most=0.0)


def main() -> int:
    """Measure and report."""
    parser = report.parser("Look for false reclaims and false deaths under full load.")
    parser.add_argument("--minutes", type=float, metavar="N", help=f"how long (default: {MINUTES:g})")
    options = parser.parse_args()
    minutes = options.minutes or (MINUTES_QUICK if options.quick else MINUTES)
    try:
        return report.run("Load", lambda: measure(minutes), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain, ScenesFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
