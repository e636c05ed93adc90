#!/usr/bin/env python3
"""Measure by how much a member that floods slows down the work of others.

Three peers, each a process of its own, render a job of short frames with a renderer that only keeps a processor busy.
A fourth member has a channel to each. By turns it rests, says a thousand records, claims and look-ups a second to one
of them, and says them to the three in turn. What counts is work: the processor time that honest peers use for a frame,
the time that it takes of what neither the flooder nor a stranger used, and the part of a machine that a peer uses
besides rendering, which shows the flood's cost on a busy machine too. Where all three are flooded, this one machine
pays for what three would pay, so that only the part of one peer is held there. Linux only. Run in the project's
environment.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from mesh.cli import compose
from mesh.cli.client import Client
from tools.bench import peers, report
from tools.bench.report import Figure
from tools.peers import PeerFailed, WaitedInVain, wait_for

SLOWER_MOST = 1.05
"""Work may take this much longer."""

LOST_MOST = 5.0
"""Per cent of a machine that a flood may take from who works there."""

GROWTH_MOST_MB = 64.0
"""By which a flooded peer may grow in a minute of it: the records that it takes, and no queue."""

ROUNDS, ROUNDS_QUICK = 6, 1
ROUND_S = 30.0
SETTLE_S = 20.0
"""After a flood began, or ended, before work is counted: by then what a member may spend at once is spent."""

FRAMES = 20_000
WORK = 400
"""Thousands of rounds of hashing in a frame: some tenths of a second."""

READY_S = 60.0
NAMES = ("ada", "bela", "cleo")
WAYS: Mapping[str, tuple[int, ...]] = {"nobody": (), "one": (1,), "all": (0, 1, 2)}
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Honest:
    """One honest peer, as a process."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._home = directory / name
        self._worked = directory / f"{name}.worked"
        self._log = directory / f"{name}.log"
        self._said = directory / f"{name}.said"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, found: str | None = None, token: str = "") -> None:
        """Start it, and wait until it is ready."""
        said = {"home": str(self._home), "name": self.name, "found": found, "worked": str(self._worked)}
        with self._log.open("wb") as log, self._said.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tools.bench.staged", json.dumps(said)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=log,
            )
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(token.encode())
        wait_for(f"{self.name} is ready", self._said.read_text, READY_S)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = json.loads(self._said.read_text("utf-8"))[0].rpartition(":")
        return host, int(port)

    def ask(self, path: str) -> Any:
        """Ask its API."""
        return Client(compose.endpoint(self._home)).get(path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Have it do something."""
        return Client(compose.endpoint(self._home)).post(path, dict(body))

    def worked(self) -> tuple[int, float]:
        """Return how many frames it has rendered, and the processor time that they took."""
        try:
            frames, spent_ns = self._worked.read_text("ascii").split()
        except FileNotFoundError:
            return 0, 0.0
        return int(frames), int(spent_ns) / 1e9

    def processor_s(self) -> float:
        """Return the processor time that it has used, for all that it did."""
        return used_s(self.number)

    def resident_mb(self) -> float:
        """Return how much memory it has."""
        pages = Path(f"/proc/{self.number}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def number(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    def end(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Flooder:
    """The fourth member, as a process."""

    def __init__(self, token: str, job: str, victims: Sequence[Honest], log: Path) -> None:
        said = {"token": token, "job": job, "tasks": FRAMES, "victims": [victim.address for victim in victims]}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tools.bench.flooder", json.dumps(said)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.said: dict[str, int] = {}
        """How much of each kind it has said, until it last was told what to do."""
        self.flood(())

    def flood(self, victims: Sequence[int]) -> None:
        """Have it flood these from now on; nobody: rest."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(victims).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise peers.BenchFailed("the flooder ended")
        self.said = json.loads(line)

    def processor_s(self) -> float:
        """Return the processor time that it has used."""
        return used_s(self._process.pid)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What has been done and used until now; seconds."""

    at_s: float
    frames: int
    beside_s: tuple[float, ...]
    """Processor time that each honest peer used besides rendering."""
    honest_s: float
    """Processor time that the honest used, rendering included."""
    flooder_s: float
    machine_s: float
    """Processor time that the whole machine used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One stretch of work."""

    frames: int
    processor_ms: float
    """Of the honest, for each frame."""
    free_ms: float
    """Of what neither the flooder nor a stranger used, for each frame."""
    beside: tuple[float, ...]
    """Per cent of the machine that each honest peer used besides rendering."""


def between(before: Look, after: Look, cores: int) -> Round:
    """Return the work that was done from one look to the other."""
    frames = max(1, after.frames - before.frames)
    honest_s, flooder_s = after.honest_s - before.honest_s, after.flooder_s - before.flooder_s
    strangers_s = max(0.0, after.machine_s - before.machine_s - honest_s - flooder_s)
    lasted_s = after.at_s - before.at_s
    return Round(
        frames=frames,
        processor_ms=honest_s * 1000 / frames,
        free_ms=(lasted_s * cores - flooder_s - strangers_s) * 1000 / frames,
        beside=tuple(
            100 * (late - soon) / (lasted_s * cores) for soon, late in zip(before.beside_s, after.beside_s, strict=True)
        ),
    )


def used_s(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def machine_s() -> float:
    """Return the processor time that was used since the machine started, by anybody."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_S


def look(honest: Sequence[Honest], flooder: Flooder) -> Look:
    """Look at everything at once."""
    worked = [peer.worked() for peer in honest]
    used = [peer.processor_s() for peer in honest]
    return Look(
        at_s=time.monotonic(),
        frames=sum(frames for frames, _ in worked),
        beside_s=tuple(all_s - frames_s for all_s, (_, frames_s) in zip(used, worked, strict=True)),
        honest_s=sum(used),
        flooder_s=flooder.processor_s(),
        machine_s=machine_s(),
    )


@contextmanager
def besieged(directory: Path) -> Iterator[tuple[list[Honest], Flooder]]:
    """Yield three peers that render a job, and the one that will flood them."""
    with ExitStack() as ending:
        honest = [Honest(directory, name) for name in NAMES]
        for peer in honest:
            ending.callback(peer.end)
        honest[0].start(found="bench")
        token = honest[0].post("/invites", {"uses": 10})["token"]
        for peer in honest[1:]:
            peer.start(token=token)
        scene = directory / "scene.txt"
        scene.write_text(f"frames 1 {FRAMES}\nms 0\nwork {WORK}\n")
        job = honest[0].post("/jobs", submission(scene))["job"]["id"]
        wait_for("all render the job", lambda: all(peer.worked()[0] for peer in honest), READY_S)
        flooder = Flooder(token, job, honest, directory / "flooder.log")
        ending.callback(flooder.end)
        yield honest, flooder


def submission(scene: Path) -> dict[str, Any]:
    """Return what submits a scene as a person does who types no option."""
    plain = dict.fromkeys(("frames", "step", "name", "output", "engine"))
    return {"scene": str(scene), **plain, "dry_run": False, "allow_missing": False, "overwrite": False}


def measure(count: int, seconds: float) -> list[Figure]:
    """Measure `count` rounds of each way, by turns."""
    found: dict[str, list[Round]] = {way: [] for way in WAYS}
    grown: list[float] = []
    with peers.workplace() as directory, besieged(directory) as (honest, flooder):
        for number in range(count):
            for way, victims in WAYS.items():
                flooder.flood(victims)
                time.sleep(SETTLE_S)
                memory, before = [peer.resident_mb() for peer in honest], look(honest, flooder)
                time.sleep(seconds)
                found[way].append(between(before, look(honest, flooder), len(os.sched_getaffinity(0))))
                if victims:
                    most = max(peer.resident_mb() - was for peer, was in zip(honest, memory, strict=True))
                    grown.append(most * 60 / seconds)
                report.say(f"  round {number + 1}, {way} flooded: {_told(found[way][-1])}")
        flooder.flood(())
        report.say(f"  said in all: {flooder.said}")
        cut = float(flooder.said.get("channels lost", 0))
    growth = Figure(name="growth in a minute", unit="MB", samples=tuple(grown), median_most=GROWTH_MOST_MB)
    return [*figures(found), growth, Figure(name="channels that were cut", unit="", samples=(cut,), largest_most=0.0)]


def _told(one: Round) -> str:
    beside = ", ".join(f"{each:.1f}" for each in one.beside)
    return f"{one.frames} frames, {one.processor_ms:.0f} ms each; {beside} % of the machine besides"


def figures(found: Mapping[str, Sequence[Round]]) -> list[Figure]:
    """Hold the flooded rounds against the quiet ones."""
    made = []
    quiet = found["nobody"]
    for way, whom in (("one", "one of three"), ("all", "all three")):
        for what, times in (("processor time", "processor_ms"), ("time", "free_ms")):
            usual = statistics.median(getattr(each, times) for each in quiet)
            made.append(
                Figure(
                    name=f"{whom} flooded: {what} of a frame",
                    unit="x",
                    samples=tuple(getattr(each, times) / usual for each in found[way]),
                    median_most=SLOWER_MOST if way == "one" else None,
                    baseline=tuple(getattr(each, times) / usual for each in quiet),
                )
            )
        made.append(
            Figure(
                name=f"{whom} flooded: of a peer's machine",
                unit="%",
                samples=tuple(round(lost(each, quiet), 2) for each in found[way]),
                median_most=LOST_MOST,
            )
        )
    return made


def lost(flooded: Round, quiet: Sequence[Round]) -> float:
    """Return the per cent of a machine that a flood took from the peer that it cost most."""
    usual = [statistics.median(one.beside[peer] for one in quiet) for peer in range(len(flooded.beside))]
    return max(float(late - soon) for late, soon in zip(flooded.beside, usual, strict=True))


def main() -> int:
    """Measure and report."""
    parser = report.parser("Measure what a member that floods costs the others.")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"of each way (default: {ROUNDS})")
    parser.add_argument("--seconds", type=float, default=ROUND_S, metavar="N", help="of each round")
    options = parser.parse_args()
    count = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    try:
        return report.run("Flood", lambda: measure(count, options.seconds), options.json)
    except (peers.BenchFailed, PeerFailed, WaitedInVain) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
