"""Run seeds: one, or many in several processes; print what repeats a run, and the story of a failure.

The seed comes first, so that whatever happens later can be repeated; the trace hash is the last line of a good run. A
failure is a broken rule of the mesh, or anything that the core raised: both print the last lines of the trace that
involve the ids concerned.
"""

import dataclasses
import gc
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from sim.host import Core, Host
from sim.keys import Signatures
from sim.named import named
from sim.parcels import Wire
from sim.randomiser import draw
from sim.scenario import Scenario, told
from sim.violation import Violation
from sim.world import World, real_core


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run, as it was asked for."""

    peers: int | None = None
    minutes: int = 2
    scenario: str = ""
    wire: Wire = "reference"
    signatures: Signatures = "stand-in"

    def command(self, seed: int) -> str:
        """Return the line that repeats a run."""
        words = ["python -m sim run", f"--seed {seed}"]
        if self.peers is not None:
            words.append(f"--peers {self.peers}")
        if self.scenario:
            words.append(f"--scenario {self.scenario}")
        else:
            words.append(f"--minutes {self.minutes}")
        if self.wire != "reference":
            words.append(f"--wire {self.wire}")
        if self.signatures != "stand-in":
            words.append(f"--signatures {self.signatures}")
        return " ".join(words)

    def scenario_for(self, seed: int) -> Scenario:
        """Return the scenario that this order means for a seed."""
        if not self.scenario:
            return draw(seed, self.peers, self.minutes)
        found = named(self.scenario)
        if self.peers is None:
            return found
        return dataclasses.replace(found, peers=self.peers, renderers=min(found.renderers, self.peers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended."""

    seed: int
    events: int
    wall_ms: int
    virtual_ms: int
    trace: str
    story: tuple[str, ...] = ()
    """Empty for a good run."""
    rule: str = ""
    """Which rule was broken; an error of the core's own goes by its type."""

    @property
    def good(self) -> bool:
        """Whether no rule was broken."""
        return not self.story


class _Watched:
    """A context in which a run may fail in any way, and is told as a story."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.story: tuple[str, ...] = ()
        self.rule = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        ids = error.ids if isinstance(error, Violation) else ()
        self.rule = error.rule if isinstance(error, Violation) else _fault(error)
        lines = [f"FAILED at {self._world.now_ms / 1000:.3f} s: {str(error) or type(error).__name__}"]
        if not isinstance(error, Violation):
            lines += traceback.format_exception(kind, error, trace)
        hosts = {bytes(host.peer_id): host.name for host in self._world.hosts}
        self.story = (*lines, *self._world.trace.story(ids, hosts))
        return True


def _fault(error: Exception) -> str:
    """Name an error of the core's own by what it is and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).stem}.{last.name}"


def keep_imported() -> None:
    """Take what was imported out of every later look for garbage: it stays anyway."""
    gc.collect()
    gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage in cycles until the end: there is hardly any, and looking took a sixth of each run."""
    enabled = gc.isenabled()
    gc.collect()  # the world before this one is all in cycles
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def run(
    scenario: Scenario,
    seed: int,
    *,
    wire: Wire = "reference",
    signatures: Signatures = "stand-in",
    make_core: Callable[[Host, bytes], Core] = real_core,
    prepare: Callable[[World], None] = lambda _: None,
) -> Ran:
    """Run one world to its end and say how it ended; `prepare` may plan in it what looks on and changes nothing."""
    began = time.perf_counter()
    with uncollected():
        world = World(scenario, seed, wire=wire, signatures=signatures, make_core=make_core)
        prepare(world)
        with _Watched(world) as watched:
            world.run()
        trace = world.trace.hexdigest()
        world.trace.forget()
    return Ran(
        seed=seed,
        events=world.events,
        wall_ms=int((time.perf_counter() - began) * 1000),
        virtual_ms=world.now_ms,
        trace=trace,
        story=watched.story,
        rule=watched.rule,
    )


def run_one(order: Order, seed: int, *, make_core: Callable[[Host, bytes], Core] = real_core) -> int:
    """Run one seed and print it; return the exit code."""
    print(f"seed {seed}", flush=True)
    scenario = order.scenario_for(seed)
    print(f"scenario {scenario.name}: {told(scenario)}")
    ran = run(scenario, seed, wire=order.wire, signatures=order.signatures, make_core=make_core)
    per_second = ran.events * 1000 // max(1, ran.wall_ms)
    print(
        f"{ran.events} events in {ran.wall_ms / 1000:.1f} s, {per_second} events/s, "
        f"{ran.virtual_ms / 1000:.0f} s virtual"
    )
    if not ran.good:
        _print_failure(order, ran)
        return 1
    print(ran.trace)
    return 0


def run_many(order: Order, seeds: range, *, jobs: int, hashes: str | None) -> int:
    """Run many seeds in `jobs` processes; print each failure, a summary and one hash. Return the exit code."""
    print(f"seeds {seeds.start}:{seeds.stop}", flush=True)
    began = time.perf_counter()
    done: list[Ran] = []
    failed: list[int] = []
    orders = [(order, seed) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(jobs, keep_imported) as pool:
        for ran in pool.imap(_run_ordered, orders):
            done.append(ran)
            if not ran.good:
                failed.append(ran.seed)
                _print_failure(order, ran)
    traces = "".join(f"{ran.seed} {ran.trace}\n" for ran in done)
    if hashes is not None:
        with open(hashes, "w", encoding="utf-8") as file:
            file.write(traces)
    events = sum(ran.events for ran in done)
    slowest = max(done, key=lambda ran: ran.wall_ms)
    wall_s = time.perf_counter() - began
    print(f"{events} events in {wall_s:.1f} s, {int(events / max(wall_s, 0.001))} events/s")
    print(f"slowest: seed {slowest.seed}, {slowest.wall_ms / 1000:.1f} s")
    print(f"{len(done)} seeds, {len(failed)} failed{': ' + ' '.join(map(str, failed)) if failed else ''}")
    if failed:
        return 1
    print(blake3(traces.encode()).hexdigest())
    return 0


def _run_ordered(ordered: tuple[Order, int]) -> Ran:
    order, seed = ordered
    return run(order.scenario_for(seed), seed, wire=order.wire, signatures=order.signatures)


def _print_failure(order: Order, ran: Ran) -> None:
    print(f"--- seed {ran.seed}")
    for line in ran.story:
        print(line)
    print(f"repeat: {order.command(ran.seed)}", flush=True)
