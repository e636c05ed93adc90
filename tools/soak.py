#!/usr/bin/env python3
"""Run simulated meshes until told to stop: drawn seeds, and between them all named scenarios in turn.

Theory: a seed nobody has run yet is worth more than one that was run a thousand times, so that each soak begins where
its clock says and goes upwards; the first line says where. Every failure is kept at once as a file that `python -m sim
again FILE` repeats, and then made smaller in place, for a while. Ctrl-C or the end of the given time ends it: what is
running then is given up, and counted. The exit code is 1 where anything failed.

Run in the project's environment. Must not know what rules say.
"""

import argparse
import multiprocessing
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Final

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from sim.minimise import Minimiser
from sim.named import NAMED
from sim.randomiser import draw
from sim.run import Ran, run
from sim.scenario import Scenario, to_toml

MINUTES: Final = 3
"""Virtual ones of a drawn scenario."""

DRAWN_BETWEEN: Final = 4
"""So many drawn seeds for each named scenario."""

_LOOK_S: Final = 0.2
_SUMMARY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One run to do, what to do with a failure, and the line that repeats it."""

    scenario: Scenario
    seed: int
    repeat: str
    out: Path
    shrink_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How an errand ended; `kept` is where its failure lies."""

    name: str
    seed: int
    ran: Ran
    kept: Path | None


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a soak came to."""

    runs: int = 0
    events: int = 0
    unfinished: int = 0
    failed: list[Path] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Errands that could not even be run, and why."""
    last: str = "none"

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.broken

    def line(self, took_s: float) -> str:
        """Return the summary."""
        failed = len(self.failed) + len(self.broken)
        return f"{took_s / 60:.1f} min: {self.runs} runs, {failed} failed, {self.events} events, last {self.last}"


def errands(first: int, *, peers: int | None, out: Path, shrink_s: int) -> Iterator[Errand]:
    """Yield errands without end: some drawn seeds, then the next of the named scenarios, and so on."""
    names = cycle(NAMED)
    for number in count():
        seed, named = first + number, number % (DRAWN_BETWEEN + 1) == DRAWN_BETWEEN
        if named:
            name = next(names)
            scenario, words = NAMED[name], f"--scenario {name}"
        else:
            scenario, words = draw(seed, peers, MINUTES), f"--minutes {MINUTES}"
            words += f" --peers {peers}" if peers is not None else ""
        yield Errand(
            scenario=scenario, seed=seed, repeat=f"python -m sim run --seed {seed} {words}", out=out, shrink_s=shrink_s
        )


def do(errand: Errand) -> Done:
    """Run one; keep a failure as it is, then as small as it gets within its time."""
    scenario, seed = errand.scenario, errand.seed
    ran = run(scenario, seed)
    if ran.good:
        return Done(name=scenario.name, seed=seed, ran=ran, kept=None)
    errand.out.mkdir(parents=True, exist_ok=True)
    path = errand.out / f"{ran.rule.split()[0].lower()}-{scenario.name.replace(' ', '-')}-{seed}.toml"
    comment = f"Breaks {ran.rule}.\n{ran.story[0]}\nFound by: {errand.repeat}"
    path.write_text(to_toml(scenario, seed, comment), encoding="utf-8")
    found = Minimiser(within_s=errand.shrink_s).minimise(scenario, seed) if errand.shrink_s else None
    if found is not None:
        path.write_text(found.toml(errand.repeat), encoding="utf-8")
    return Done(name=scenario.name, seed=seed, ran=ran, kept=path)


def _deaf() -> None:
    """Leave Ctrl-C to the process that counts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def soak(
    todo: Iterator[Errand], *, jobs: int, over: Callable[[], bool], say: Callable[[str], None], each: bool = False
) -> Counts:
    """Do errands in `jobs` processes until there are no more, `over` says so, or Ctrl-C; `each`: tell all."""
    counts, ended = Counts(), queue.SimpleQueue[Done | BaseException]()
    began_s = said_s = time.monotonic()
    running, more = 0, True
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_deaf) as pool:
        try:
            while (more or running) and not over():
                while more and running < jobs:
                    errand = next(todo, None)
                    more = errand is not None
                    if errand is not None:
                        pool.apply_async(do, (errand,), callback=ended.put, error_callback=ended.put)
                        running += 1
                try:
                    done = ended.get(timeout=_LOOK_S)
                except queue.Empty:
                    done = None
                if done is not None:
                    running -= 1
                    _count(counts, done, say, each=each)
                if time.monotonic() - said_s >= _SUMMARY_S:
                    said_s = time.monotonic()
                    say(counts.line(said_s - began_s))
        except KeyboardInterrupt:
            say("stopped")
    counts.unfinished = running
    say(counts.line(time.monotonic() - began_s))
    return counts


def _count(counts: Counts, done: Done | BaseException, say: Callable[[str], None], *, each: bool) -> None:
    if isinstance(done, BaseException):
        counts.broken.append(repr(done))
        say(f"BROKEN {done!r}")
        return
    counts.runs += 1
    counts.events += done.ran.events
    counts.last = f"{done.name} {done.seed}"
    if done.kept is not None:
        counts.failed.append(done.kept)
        say(f"FAILED {done.name}, seed {done.seed}: {done.ran.rule}: {done.ran.story[0]}")
        say(f"  repeat: python -m sim again {done.kept}")
    elif each:
        say(f"good   {done.name}, seed {done.seed}: {done.ran.events} events in {done.ran.wall_ms / 1000:.1f} s")


def main(arguments: list[str]) -> int:
    """Soak as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--first", type=int, help="the first seed (default: from the calendar)")
    parser.add_argument("--peers", type=int, help="of drawn scenarios (default: 20 to 50)")
    parser.add_argument("--minutes", type=float, help="end after so many real minutes (default: go on until Ctrl-C)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--out", type=Path, default=Path("soak"), metavar="DIR", help="keep failures there (soak)")
    parser.add_argument("--shrink", type=int, default=120, metavar="SECONDS", help="how long to shrink each (120)")
    parser.add_argument("--each", action="store_true", help="print a line for each run, not only for failures")
    options = parser.parse_args(arguments)
    # Whoever starts it in the background of a script has it ignore Ctrl-C, and it would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    first = int(time.time()) if options.first is None else options.first
    ends_s = None if options.minutes is None else time.monotonic() + 60 * options.minutes

    def say(text: str) -> None:
        print(text, flush=True)

    say(f"seeds from {first} on, failures into {options.out}")
    todo = errands(first, peers=options.peers, out=options.out, shrink_s=options.shrink)
    counts = soak(
        todo,
        jobs=options.jobs,
        over=lambda: ends_s is not None and time.monotonic() >= ends_s,
        say=say,
        each=options.each,
    )
    if counts.unfinished:
        say(f"{counts.unfinished} were running and are given up")
    return 0 if counts.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
