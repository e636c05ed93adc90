"""Delta debugging: of a scenario that breaks a rule the smallest that still breaks it.

Theory: a step proposes scenarios that are smaller in one way, the boldest first; the first that breaks the same rule
takes the place of the one before it, and is made smaller in the same way again. When no step gets any further, or the
time is over, what is left is kept. Any change gives other draws, so that a proposal may hide the fault by chance: each
is tried with a few seeds, and the seed is a part of what is kept.

Invariants: what is returned was seen to fail. How long the liveness phase may take is never changed, since a mesh with
too little time breaks L2 without a fault. The module must not know what rules say.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mesh.ground.errors import MeshError
from mesh.ground.instants import SECOND_MS
from sim.host import Core, Host
from sim.parcels import Wire
from sim.run import Order, Ran, run
from sim.scenario import Act, Scenario, to_toml, told
from sim.world import World, real_core

TRIES: Final = 3
"""Seeds that each proposal is tried with."""

EVENTS_TIMES: Final = 2
"""A proposal that takes so many times the events of what failed is no smaller one."""

_FAULTS: Final = (
    *("kills", "powers", "fuses", "freezes", "sleeps", "stops", "moves", "pauses"),
    *("splits", "isolations", "clogs", "one_ways", "lags"),
    *("steps", "rots", "full_disks", "slow_disks", "churn_percent"),
    *("crash_permille", "hang_permille", "poisoned", "cancels", "weighings", "fetches", "looks"),
    *("strangers", "liars", "equivocations", "replays"),
    *("loss_ppm", "duplicate_ppm", "reorder_ppm"),
)
"""Options that are 0 where nothing goes wrong."""

_PLAIN: Final[dict[str, Any]] = {
    "latency_ms": 2,
    "jitter_ms": 0,
    "sites": 1,
    "far_ms": 0,
    "piece_ms": 10,
    "line_mbit": 0,
    "fsync_ms": 2,
    "drift_ppm": 0,
    "wall_offset_ms": 0,
    "poisoned_dht": False,
    "remnants": 0,
    "late": 0,
    "engines": 1,
    "slots": 1,
    "mixed_slots": False,
    "beacons": False,
    "islanders": (),
    "bridges": (),
    "hoarders": (),
    "quota_mb": 0,
    "scrub_ms": 0,
    "core": (),
    "repeatable": False,
    "spread_percent": 0,
    "slowest_percent": 100,
    "stage_ms": 100,
    "probe_ms": 0,
    "submit_every_ms": 0,
    "submitters": (0,),
    "submit_at_ms": 3 * SECOND_MS,
    "down_ms": 8 * SECOND_MS,
    "lag_ms": 1_000,
    "stall_ms": 1_000,
    "width": 640,
    "height": 360,
    "margin": 0,
    "buckets": (),
    "order": 0,
    "paste_ms": 20,
    "finish_ms": 1_500,
}
"""Options as they are in a world that nobody would call strange."""

_COUNTS: Final = {"frames": 1, "scene_blobs": 1, "scene_pieces": 1, "frame_ms": 100, "still_ms": 1_000}
"""Options that say how much there is to do, and the least of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smallest:
    """What is left of a scenario, and how it still fails."""

    scenario: Scenario
    seed: int
    ran: Ran
    runs: int

    def toml(self, found_by: str) -> str:
        """Return the file for `sim/regressions`; `found_by` is the line that fails with the whole scenario."""
        last = self.ran.story[-1].strip() if self.ran.story else ""
        comment = (f"Breaks {self.ran.rule}.", self.ran.story[0], f"The story ends: {last}", f"Found by: {found_by}")
        return to_toml(self.scenario, self.seed, "\n".join(line.replace("\n", " ") for line in comment))


class Minimiser:
    """One search; `say` is told each time that it got further."""

    def __init__(
        self,
        *,
        within_s: float,
        wire: Wire = "reference",
        make_core: Callable[[Host, bytes], Core] = real_core,
        say: Callable[[Smallest], None] = lambda _: None,
    ) -> None:
        self._until_s = time.monotonic() + within_s
        self._wire = wire
        self._make_core = make_core
        self._say = say
        self._runs = 0

    def minimise(self, scenario: Scenario, seed: int) -> Smallest | None:
        """Return the smallest scenario that was found to break the rule that this one breaks; None: it breaks none."""
        best = self._run(scenario, seed, None)
        if best is None:
            return None
        moved = True
        while moved and not self._late():
            moved = False
            for step in _STEPS:
                while (smaller := self._first(step, best)) is not None:
                    best, moved = smaller, True
                    self._say(best)
        return dataclasses.replace(best, runs=self._runs)

    def _late(self) -> bool:
        return time.monotonic() > self._until_s

    def _first(self, step: Callable[[Scenario], Iterator[Scenario]], best: Smallest) -> Smallest | None:
        """Return the first of a step's proposals that fails in the same way."""
        for proposal in step(best.scenario):
            for seed in range(best.seed, best.seed + TRIES):
                if self._late():
                    return None
                found = self._run(proposal, seed, best)
                if found is not None:
                    return found
        return None

    def _run(self, scenario: Scenario, seed: int, before: Smallest | None) -> Smallest | None:
        """Run a scenario, and return it if it fails, as the one before did."""
        self._runs += 1

        def limit(world: World) -> None:
            if before is not None:
                world.after(SECOND_MS, _count, world, EVENTS_TIMES * before.ran.events)

        ran = run(scenario, seed, wire=self._wire, make_core=self._make_core, prepare=limit)
        if ran.good or (before is not None and ran.rule != before.ran.rule):
            return None
        return Smallest(scenario=scenario, seed=seed, ran=ran, runs=self._runs)


def shrink(
    order: Order,
    seed: int,
    *,
    within_s: float,
    out: Path | None,
    make_core: Callable[[Host, bytes], Core] = real_core,
) -> int:
    """Shrink what an order means for a seed, print each step, and keep the smallest; return the exit code."""
    print(f"seed {seed}", flush=True)
    scenario = order.scenario_for(seed)
    minimiser = Minimiser(within_s=within_s, wire=order.wire, make_core=make_core, say=_say)
    found = minimiser.minimise(scenario, seed)
    if found is None:
        print("no rule is broken")
        return 1
    out = out or Path(f"{found.ran.rule.split()[0].lower()}-{seed}.toml")
    out.write_text(found.toml(order.command(seed)), encoding="utf-8")
    print(*found.ran.story[-10:], sep="\n")
    print(f"{found.runs} runs; of {told(scenario)} are left {told(found.scenario)}")
    print(f"repeat: python -m sim again {out}")
    return 0


def _say(found: Smallest) -> None:
    print(f"run {found.runs}: {found.ran.rule}, {told(found.scenario)}, {found.ran.events} events", flush=True)


class TooLong(MeshError):
    """A run took more events than it was given."""


def _count(world: World, most: int) -> None:
    """Look each second of the world's whether it has had too many events."""
    if world.events > most:
        raise TooLong(f"over {most} events")
    world.after(SECOND_MS, _count, world, most)


# The steps, the boldest first.


def _fewer_peers(scenario: Scenario) -> Iterator[Scenario]:
    if scenario.clone_of:  # who is a clone, and of whom, goes by how many there are
        return
    for peers in _less(scenario.peers, 1):
        keeps = range(peers)
        acts = (
            dataclasses.replace(act, peers=_among(act.peers, keeps), others=_among(act.others, keeps))
            for act in scenario.script
        )
        fewer = dataclasses.replace(
            scenario,
            peers=peers,
            renderers=max(min(1, scenario.renderers), scenario.renderers * peers // scenario.peers),
            late=min(scenario.late, peers - 1),
            core=_among(scenario.core, keeps) or ((0,) if scenario.core else ()),
            islanders=_among(scenario.islanders, keeps),
            bridges=_among(scenario.bridges, keeps),
            hoarders=_among(scenario.hoarders, keeps),
            roomy=_among(scenario.roomy, keeps),
            submitters=tuple(peer % peers for peer in scenario.submitters),
            script=tuple(act for act in acts if act.peers or act.what in _OF_NOBODY),
        )
        yield _joined(fewer)


def _joined(scenario: Scenario) -> Scenario:
    """Return a scenario without islands, where nothing is left that would bring them together: that alone breaks L2."""
    if scenario.islanders and not scenario.beacons and not scenario.bridges:
        return dataclasses.replace(scenario, islanders=())
    return scenario


_OF_NOBODY: Final = (
    *("mend", "submit", "cancel", "kill-assembler", "lose-assembler"),
    *("kill-coordinator", "mute-coordinator", "usurp"),
)
"""Acts that name no peer."""


def _fewer_jobs(scenario: Scenario) -> Iterator[Scenario]:
    for shape in dict.fromkeys(scenario.shapes) if scenario.jobs > 1 else ():
        yield dataclasses.replace(scenario, jobs=1, shapes=(shape,), script=_of_jobs(scenario.script, 1))
    for jobs in _less(scenario.jobs, 1):
        yield dataclasses.replace(scenario, jobs=jobs, script=_of_jobs(scenario.script, jobs))
    if scenario.shapes and len(set(scenario.shapes)) == 1:
        yield scenario.of_job(0)


def _of_jobs(script: tuple[Act, ...], jobs: int) -> tuple[Act, ...]:
    return tuple(act for act in script if act.job < jobs)


def _no_faults(scenario: Scenario) -> Iterator[Scenario]:
    on = [name for name in _FAULTS if getattr(scenario, name)]
    for some in _parts(on):
        yield _with(scenario, dict.fromkeys(some, 0))


def _fewer_acts(scenario: Scenario) -> Iterator[Scenario]:
    for some in _parts(list(range(len(scenario.script)))):
        left = tuple(act for number, act in enumerate(scenario.script) if number not in some)
        yield dataclasses.replace(scenario, script=left)


def _plainer(scenario: Scenario) -> Iterator[Scenario]:
    strange = [name for name, plain in _PLAIN.items() if getattr(scenario, name) != plain]
    for some in _parts(strange):
        yield _joined(_with(scenario, {name: _PLAIN[name] for name in some}))


def _shorter(scenario: Scenario) -> Iterator[Scenario]:
    """Let faults come for a shorter time, and the run end as soon as it can."""
    for safety_ms in _less(scenario.safety_ms, 5 * SECOND_MS):
        within = tuple(act for act in scenario.script if act.at_ms <= safety_ms)
        yield dataclasses.replace(scenario, safety_ms=safety_ms, least_ms=safety_ms, script=within)
    if scenario.least_ms > scenario.safety_ms:
        yield dataclasses.replace(scenario, least_ms=scenario.safety_ms)


def _less_work(scenario: Scenario) -> Iterator[Scenario]:
    shapes = scenario.shapes or (scenario,)
    for name, least in _COUNTS.items():
        most = max(getattr(shape, name) for shape in shapes)
        for value in _less(most, least):
            changed = tuple(_clipped(shape, name, value) for shape in shapes)
            if isinstance(changed[0], Scenario):
                yield changed[0]
            else:
                yield dataclasses.replace(scenario, shapes=changed)


def _clipped(shape: Any, name: str, most: int) -> Any:
    """Return a shape, or a scenario as one, with at most so much of an option."""
    own = {name: min(most, getattr(shape, name))}
    if name == "frames":
        own["still_frames"] = min(shape.still_frames, own["frames"])
    return dataclasses.replace(shape, **own)


def _with(scenario: Scenario, options: dict[str, Any]) -> Scenario:
    return dataclasses.replace(scenario, **options)


def _lower_rates(scenario: Scenario) -> Iterator[Scenario]:
    for name in _FAULTS:
        for value in _less(getattr(scenario, name), 1):
            yield _with(scenario, {name: value})


_STEPS: Final = (_fewer_jobs, _fewer_acts, _no_faults, _fewer_peers, _less_work, _shorter, _plainer, _lower_rates)


def _less(value: int, least: int) -> list[int]:
    """Return smaller values, the least first, then nearer and nearer."""
    found: list[int] = []
    for part in (0, 4, 8, 12, 15):
        smaller = least + (value - least) * part // 16
        if smaller < value and smaller not in found:
            found.append(smaller)
    if value - 1 >= least and value - 1 not in found and value < 64:
        found.append(value - 1)
    return found


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    """Return parts of a list to do without: all, halves, quarters, down to single ones."""
    size = len(items)
    while size:
        yield from (items[start : start + size] for start in range(0, len(items), size))
        size = size // 2


def _among(peers: tuple[int, ...], keeps: range) -> tuple[int, ...]:
    return tuple(peer for peer in peers if peer in keeps)
