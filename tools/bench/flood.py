#!/usr/bin/env python3
"""Measure by how much a member that floods slows down the work of others.

Three peers, each a process of its own, render a job of short frames with a renderer that only keeps a processor busy.
A fourth member has a channel to each. In rounds it rests, then says a thousand records, claims and look-ups a second to
one of them, then to all of them at once. What counts is work: frames per processor second that the honest peers used,
and frames per second of the machine, the processor time of the flooder and of whatever else runs here taken off. Linux
only. Run in the project's environment.
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

GROWTH_MOST_MB = 64.0
"""By which a flooded peer may grow in a minute of it: the records that it takes, and no queue."""

ROUNDS, ROUNDS_QUICK = 6, 1
ROUND_S = 20.0
SETTLE_S = 20.0
"""After a flood began, or ended, before work is counted."""

FRAMES = 20_000
WORK = 200
"""Thousands of rounds of hashing in a frame: some tenths of a second."""

READY_S = 60.0
NAMES = ("ada", "bela", "cleo")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Honest:
    """One honest peer, as a process."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.home = directory / name
        self._log = directory / f"{name}.log"
        self._said = directory / f"{name}.said"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, found: str | None = None, token: str = "") -> None:
        """Start it, and wait until it is ready."""
        said = json.dumps({"home": str(self.home), "name": self.name, "found": found})
        with self._log.open("wb") as log, self._said.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.bench.staged", said],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=log,
            )
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(token.encode())
        wait_for(f"{self.name} is ready", self._said.read_text, READY_S)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = json.loads(self._said.read_text("utf-8"))[0].rpartition(":")
        return host, int(port)

    def ask(self, path: str) -> Any:
        """Ask its API."""
        return Client(compose.endpoint(self.home)).get(path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Have it do something."""
        return Client(compose.endpoint(self.home)).post(path, dict(body))

    def processor_s(self) -> float:
        """Return the processor time that it has used."""
        assert self.process is not None
        return used_s(f"/proc/{self.process.pid}/stat")

    def own_s(self) -> float:
        """Return what its loop has used, which renders nothing."""
        assert self.process is not None
        return used_s(f"/proc/{self.process.pid}/task/{self.process.pid}/stat")

    def resident_mb(self) -> float:
        """Return how much memory it has."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Flooder:
    """The fourth member, as a process."""

    def __init__(self, token: str, job: str, victims: Sequence[Honest], log: Path) -> None:
        said = {"token": token, "job": job, "tasks": FRAMES, "victims": [victim.address for victim in victims]}
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.bench.flooder", json.dumps(said)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.said: dict[str, int] = {}
        self.flood(())

    def flood(self, victims: Sequence[int]) -> None:
        """Have it flood these from now on; nobody: rest."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(victims).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise peers.BenchFailed("the flooder ended")
        self.said = json.loads(line)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What has been done and used until now."""

    at_s: float
    frames: int
    honest_s: float
    flooder_s: float
    own_s: tuple[float, ...]
    """What each honest peer's loop has used."""
    machine_s: float
    """Processor time that the whole machine has used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One stretch of work."""

    per_honest_s: float
    """Frames per processor second of the honest."""
    per_free_s: float
    """Frames per second of a processor that neither the flooder nor a stranger used."""


def between(before: Look, after: Look, cores: int) -> Round:
    """Return the work that was done from one look to the other."""
    frames = after.frames - before.frames
    honest_s, flooder_s = after.honest_s - before.honest_s, after.flooder_s - before.flooder_s
    strangers_s = max(0.0, after.machine_s - before.machine_s - honest_s - flooder_s)
    free_s = (after.at_s - before.at_s) * cores - flooder_s - strangers_s
    return Round(per_honest_s=frames / honest_s, per_free_s=frames / free_s)


def used_s(stat: str) -> float:
    """Return the processor time that a process, or a thread, has used."""
    fields = Path(stat).read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def machine_s() -> float:
    """Return the processor time that was used since the machine started, by anybody."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) * TICK_S


def look(honest: Sequence[Honest], flooder: Flooder, job: str) -> Look:
    """Look at everything at once."""
    row = next(row for row in honest[0].ask("/jobs")["jobs"] if row["id"] == job)
    if row["state"] in peers.OVER:
        raise peers.BenchFailed("the job ended before it was measured")
    return Look(
        at_s=time.monotonic(),
        frames=row["counting"],
        honest_s=sum(peer.processor_s() for peer in honest),
        flooder_s=used_s(f"/proc/{flooder.process.pid}/stat"),
        own_s=tuple(peer.own_s() for peer in honest),
        machine_s=machine_s(),
    )


@contextmanager
def besieged(directory: Path) -> Iterator[tuple[list[Honest], Flooder, str]]:
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
        wait_for("all know the job", lambda: all(_renders(peer, job) for peer in honest), READY_S)
        flooder = Flooder(token, job, honest, directory / "flooder.log")
        ending.callback(flooder.end)
        yield honest, flooder, job


def submission(scene: Path) -> dict[str, Any]:
    """Return what submits a scene as a person does who types no option."""
    plain = dict.fromkeys(("frames", "step", "name", "output", "engine"))
    return {"scene": str(scene), **plain, "dry_run": False, "allow_missing": False, "overwrite": False}


def _renders(peer: Honest, job: str) -> bool:
    rows = [row for row in peer.ask("/jobs")["jobs"] if row["id"] == job]
    return bool(rows) and rows[0]["counting"] >= len(NAMES)


WAYS: Mapping[str, tuple[int, ...]] = {"nobody": (), "one": (1,), "all": (0, 1, 2)}


def measure(count: int, seconds: float) -> list[Figure]:
    """Measure `count` rounds of each way, by turns."""
    found: dict[str, list[Round]] = {way: [] for way in WAYS}
    grown: list[float] = []
    with peers.workplace() as directory, besieged(directory) as (honest, flooder, job):
        for number in range(count):
            for way, victims in WAYS.items():
                flooder.flood(victims)
                time.sleep(SETTLE_S)
                memory, said = [peer.resident_mb() for peer in honest], flooder.said
                before = look(honest, flooder, job)
                time.sleep(seconds)
                after = look(honest, flooder, job)
                found[way].append(between(before, after, len(os.sched_getaffinity(0))))
                if victims:
                    most = max(peer.resident_mb() - was for peer, was in zip(honest, memory, strict=True))
                    grown.append(most * 60 / seconds)
                report.say(f"  round {number + 1}, {way} flooded: {_told(found[way][-1], before, after)}")
                report.say(f"    said so far: {said}")
        flooder.flood(())
        if flooder.said.get("channels lost"):
            raise peers.BenchFailed("a channel was cut, so that not all of the flood was measured")
    return [*_figures(found), Figure(name="growth in a minute", unit="MB", samples=tuple(grown), median_most=GROWTH_MOST_MB)]


def _told(one: Round, before: Look, after: Look) -> str:
    honest, flooder = after.honest_s - before.honest_s, after.flooder_s - before.flooder_s
    lasted_s = after.at_s - before.at_s
    shares = ", ".join(f"{(late - soon) / lasted_s:.1%}" for soon, late in zip(before.own_s, after.own_s, strict=True))
    return (
        f"{after.frames - before.frames} frames; {one.per_honest_s:.3f} a processor second of {honest:.1f}, "
        f"{one.per_free_s:.3f} a free one; the flooder used {flooder:.1f} s; "
        f"of a processor the loops take {shares}"
    )


def _figures(found: Mapping[str, Sequence[Round]]) -> list[Figure]:
    """Hold the time of a frame in each flooded round against that of the quiet rounds around it."""
    figures = []
    for way in ("one", "all"):
        for what, attribute in (("processor time", "per_honest_s"), ("time", "per_free_s")):
            quiet = [1 / getattr(each, attribute) for each in found["nobody"]]
            times = [1 / getattr(each, attribute) for each in found[way]]
            usual = statistics.median(quiet)
            figures.append(
                Figure(
                    name=f"{what} of a frame while {way} of three {'is' if way == 'one' else 'are'} flooded",
                    unit="x",
                    samples=tuple(each / usual for each in times),
                    median_most=SLOWER_MOST,
                    baseline=tuple(each / usual for each in quiet),
                )
            )
    return figures


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
