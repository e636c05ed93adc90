"""How a still scales: the makespan of one job among so many peers, with every cost counted that was measured.

Theory: what a mesh makes of a still is told by the time from `submit` until the file lies on the submitter's disk, and
by nothing else. Costs are those of real engines and machines (`COSTS`); the core that decides is the one that ships. So
what is lost is found by comparing: with the work divided by the live capacity, and with what no mesh could avoid.

Invariants: one seed gives one figure. Nobody checks here that rules hold: other runs do, and looking at every turn
takes longer than the turns. The module must not know what is asked of a figure.
"""

import dataclasses
import math
import time
from dataclasses import dataclass

from mesh.core.effects import Effect, Export, Send
from mesh.core.events import Event
from mesh.ground.dice import Dice
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from sim.host import Host
from sim.render import PICTURE_CHECK_MS
from sim.safety import Safety
from sim.scenario import Scenario
from sim.stills import cut_of, work_ms
from sim.trace import Trace
from sim.world import World

SETTLE_MS = 15 * SECOND_MS
"""Peers find each other before anybody submits."""

DOWN_MS = 5 * MINUTE_MS
"""A machine that was lost is back after so long in the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """One still among so many peers."""

    peers: int
    work_ms: int
    """Of one slot for all pixels: margins, buckets' own costs, and loading aside."""
    width: int = 3_840
    height: int = 2_160
    margin: int = 0
    churn_percent: int = 0
    """So many of the peers lose power or are killed each hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What things cost; each was measured, and stands in the reference with where."""

    stage_ms: int = 1_500
    """An engine starts and loads the scene, at its first bucket on each peer."""
    scene_mb: int = 64
    line_mbit: int = 1_000
    paste_ms: int = 8
    finish_ms: int = 3_000
    latency_ms: int = 1
    spread_percent: int = 70
    """A field of the picture costs up to so much less or more a pixel than the mean; there are 64 fields."""


COSTS = Costs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What one run took, in milliseconds."""

    still: Still
    seed: int
    makespan_ms: int
    lived_ms: int
    """Slot time of all that lived, from submission to delivery."""
    rendered_ms: int
    """Slot time that was spent on buckets, loading and twice-rendered ones included."""
    first_ms: int
    """From submission until the first bucket was begun."""
    last_ms: int
    """Until the last bucket that was needed was written."""
    longest_ms: int
    """The longest bucket."""
    buckets: int
    twice_ms: int
    limit_ms: int
    deaths: int
    events: int
    processor_s: float
    """Of the simulation."""

    @property
    def ideal_ms(self) -> float:
        """The work, divided by the capacity that lived."""
        return self.still.work_ms * self.makespan_ms / self.lived_ms

    @property
    def efficiency(self) -> float:
        """What part of the capacity that lived became picture, everything counted."""
        return self.still.work_ms / self.lived_ms


class _Quiet(Trace):
    """A trace of nothing."""

    def turn(self, time_ms: int, host: int, event: Event, effects: list[Effect]) -> None:
        """Keep nothing."""

    def happened(self, time_ms: int, host: int, text: str) -> None:
        """Keep nothing."""


class _Blind(Safety):
    """Checkers that look at nothing but the file that all wait for."""

    def turned(self, host: Host, event: Event, effects: list[Effect]) -> None:
        """Look at nothing."""

    def sends(self, host: Host, effect: Send) -> None:
        """Look at nothing."""

    def look(self, part: int | None = None) -> None:
        """Look at nothing."""

    def doors(self) -> None:
        """Look at nothing."""

    def export_lands(self, host: Host, effect: Export) -> None:
        """End the run: the file lies where the person wants it."""
        del effect
        host.world.finished = True


class Field(World):
    """A world in which one still is rendered and timed."""

    def __init__(self, still: Still, seed: int, costs: Costs = COSTS) -> None:
        super().__init__(scenario_of(still, costs), seed)
        self.still = still
        self.trace = _Quiet()
        self.safety = _Blind(self)
        self.deaths = 0
        self._lived_ms = 0
        """Slot time until the last birth or death, since submission."""
        self._counted_ms = SETTLE_MS
        if still.churn_percent:
            self._plan_churn()

    def deliver(self) -> None:
        """Run until the file lies on the submitter's disk."""
        self.begin()
        self.go_on()
        self._count()

    @property
    def lived_ms(self) -> int:
        """Slot time of all that lived since submission."""
        return self._lived_ms

    def _plan_churn(self) -> None:
        dice = self.dice.fork(b"churn")
        mean_ms = HOUR_MS * 100 // self.still.churn_percent
        for host in self.hosts[1:]:
            at_ms = SETTLE_MS + _drawn_ms(dice, mean_ms)
            while at_ms < SETTLE_MS + self.scenario.safety_ms:
                self.at(at_ms, self._lose, host, dice.below(2) == 0)
                at_ms += _drawn_ms(dice, DOWN_MS)
                self.at(at_ms, self._return, host)
                at_ms += _drawn_ms(dice, mean_ms)

    def _lose(self, host: Host, power: bool) -> None:
        self._count()
        self.deaths += 1
        self.faults.kill(host, power=power)

    def _return(self, host: Host) -> None:
        self._count()
        self.faults.start(host)

    def _count(self) -> None:
        alive = sum(host.running for host in self.hosts)
        self._lived_ms += alive * max(0, self.now_ms - self._counted_ms)
        self._counted_ms = max(self._counted_ms, self.now_ms)


def measure(still: Still, seed: int, costs: Costs = COSTS) -> Scaled:
    """Render one still and say what it took."""
    began_s = time.process_time()
    field = Field(still, seed, costs)
    field.deliver()
    finished = field.economy.finished
    makespan_ms = field.now_ms - SETTLE_MS
    twice_ms, _ = field.economy.waste()
    return Scaled(
        still=still,
        seed=seed,
        makespan_ms=makespan_ms,
        lived_ms=field.lived_ms,
        rendered_ms=sum(each.took_ms - PICTURE_CHECK_MS for each in finished),
        first_ms=min(each.at_ms - each.took_ms for each in finished) - SETTLE_MS,
        last_ms=max(each.at_ms - PICTURE_CHECK_MS for each in finished) - SETTLE_MS,
        longest_ms=max(each.took_ms - PICTURE_CHECK_MS for each in finished),
        buckets=len(finished),
        twice_ms=twice_ms,
        limit_ms=limit_ms(still, costs, slots=field.lived_ms / makespan_ms),
        deaths=field.deaths,
        events=field.events,
        processor_s=time.process_time() - began_s,
    )


def limit_ms(still: Still, costs: Costs = COSTS, *, slots: float | None = None) -> int:
    """Return what no mesh can go below: the submitter loads and renders at once, all others once a copy of the scene
    has left it; then the last bucket is pasted and the file is made, checked and written. With churn there were so
    many `slots` in the mean.
    """
    transfer_ms = costs.scene_mb * 8_000 // costs.line_mbit
    tail_ms = costs.paste_ms + costs.finish_ms + PICTURE_CHECK_MS
    slots = still.peers if slots is None else slots
    return round(costs.stage_ms + (still.work_ms + (slots - 1) * transfer_ms) / slots + tail_ms)


def scenario_of(still: Still, costs: Costs) -> Scenario:
    """Return the world of a still, whose picture costs what was asked for, to the millisecond."""
    scenario = Scenario(
        name="scaling",
        peers=still.peers,
        renderers=still.peers,
        submitters=(0,),
        submit_at_ms=SETTLE_MS,
        safety_ms=SETTLE_MS + MINUTE_MS + 10 * still.work_ms // still.peers,
        jobs=1,
        frames=1,
        still_frames=1,
        width=still.width,
        height=still.height,
        margin=still.margin,
        still_ms=still.work_ms,
        spread_percent=costs.spread_percent,
        slowest_percent=100,
        stage_ms=costs.stage_ms,
        scene_blobs=4,
        scene_pieces=costs.scene_mb // 4,
        line_mbit=costs.line_mbit,
        latency_ms=costs.latency_ms,
        jitter_ms=1,
        paste_ms=costs.paste_ms,
        finish_ms=costs.finish_ms,
        wall_offset_ms=50,
    )
    cut = cut_of(scenario)
    assert cut is not None
    return dataclasses.replace(scenario, still_ms=still.work_ms * still.work_ms // work_ms("job0", 0, cut, scenario))


def _drawn_ms(dice: Dice, mean_ms: int) -> int:
    """Draw how long something lasts that ends in each moment with the same chance."""
    return 1 + int(-math.log((1 + dice.below(1 << 30)) / (1 << 30)) * mean_ms)
