"""What runs cost and how soon they went on: the figures of one run, and the runs that the report is made of.

Theory: a mesh that only ever loses peers now and then is judged by its makespan and by what it rendered twice, against
the capacity that lived; one with idle peers by how soon these take over what others left; a still by how soon somebody
grants again. Drawn scenarios have all faults at once, so that only their costs mean anything.

Invariants: measuring draws nothing. Whatever a run's trace hash is, it is the same unmeasured.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final

from mesh.ground.ids import JobId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from sim.coordinator import leading
from sim.hours import churn
from sim.named import named
from sim.parcels import CountedBytes
from sim.randomiser import draw
from sim.run import run
from sim.scenario import Scenario
from sim.world import World

CHURNS: Final = (0, 30, 100, 300)
"""Of all peers, in per cent, so many die each hour."""

CHURN_PEERS: Final = 20
CHURN_FRAME_MS: Final = 20 * SECOND_MS

RECLAIM_SEEDS: Final = 10
"""So many runs for each seed of a report: one is short, and leaves two or three frames."""

LEAGUES: Final = (1, 2, 3, 5)
"""So many of the renderers return the same wrong pixels, and vouch for each other."""

LEAGUE_RENDERERS: Final = 10
LEAGUE_FRAMES: Final = 60
RECLAIMS: Final = ("reclaim-killed", "reclaim-powerless", "reclaim-frozen")
COORDINATORS: Final = "plug-puller"
_SAMPLE_MS: Final = 5
"""Short beside a takeover, which takes ten of these or two: of anything longer the figure would be its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run came to."""

    seed: int
    about: str
    """Drawn, the name of a scenario, or how much churn there is."""
    trace: str
    good: bool
    peers: int
    virtual_ms: int
    events: int
    failures: int
    """Times that a process or machine ended, was asked to, froze or slept."""
    rendered_ms: int
    twice_ms: int
    """Of this time, what went to frames rendered before, tail copies apart."""
    makespan_ms: int
    """From the first submission to the last file; 0: not all was delivered, or nobody asks."""
    ideal_ms: int
    """What lived could have done the work in so long, and the longest frame."""
    converged_ms: int | None
    """How long after all had healed every view was right."""
    reclaims_ms: tuple[int, ...]
    """How soon somebody else started each task that was left in hand."""
    takeovers_ms: tuple[int, ...]
    """How soon after a coordinator's end somebody else led."""
    sent_bytes: int
    """Messages and datagrams as encoded, of all peers."""
    sealed: int
    """Frames that the seals which stand in the end name."""
    sealed_wrong: int
    """Of these, pictures that no honest renderer would make."""


class _Takeovers:
    """Who leads which job, looked at ten times a second, and how long nobody did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._led: dict[JobId, int] = {}
        self._gone_ms: dict[JobId, int] = {}
        self.found_ms: list[int] = []
        if any(world.scenario.of_job(job).still_frames for job in range(world.scenario.jobs)):
            world.at(0, self._look)

    def _look(self) -> None:
        now_ms = self._world.now_ms
        for plan in self._world.people.plans:
            job, led = plan.job, self._led.get(plan.job) if plan.job is not None else None
            if job is None:
                continue
            leader = leading(self._world, job)
            if led is not None and not self._world.hosts[led].works:
                self._gone_ms.setdefault(job, now_ms)
            if leader is not None:
                if job in self._gone_ms and leader.index != led:
                    self.found_ms.append(now_ms - self._gone_ms[job])
                self._gone_ms.pop(job, None)
                self._led[job] = leader.index
        self._world.after(_SAMPLE_MS, self._look)


def measure(scenario: Scenario, seed: int, about: str) -> Figures:
    """Run a scenario with real bytes, and return its figures."""
    worlds: list[World] = []
    counted, takeovers = CountedBytes(), list[_Takeovers]()

    def prepare(world: World) -> None:
        worlds.append(world)
        world.parcels = counted
        takeovers.append(_Takeovers(world))

    ran = run(scenario, seed, wire="bytes", prepare=prepare)
    (world,) = worlds
    twice_ms, rendered_ms = world.economy.waste()
    makespan_ms, ideal_ms = world.economy.makespan()
    left = (frame.taken_after_ms for frame in world.economy.left())
    return Figures(
        seed=seed,
        about=about,
        trace=ran.trace,
        good=ran.good,
        peers=scenario.peers,
        virtual_ms=ran.virtual_ms,
        events=ran.events,
        failures=world.faults.failures,
        rendered_ms=rendered_ms,
        twice_ms=twice_ms,
        makespan_ms=makespan_ms,
        ideal_ms=ideal_ms,
        converged_ms=world.views.converged_ms,
        reclaims_ms=tuple(taken_ms for taken_ms in left if taken_ms is not None),
        takeovers_ms=tuple(takeovers[0].found_ms),
        sent_bytes=counted.bytes,
        sealed=sum(len(page.tasks) for page in world.trust.pages()),
        sealed_wrong=sum(world.trust.wrong_of(page) for page in world.trust.pages()),
    )


# What is run.


def leagued(count: int) -> Scenario:
    """Return a job that is checked twice among renderers of whom `count` are in league."""
    return Scenario(
        name=f"league {count}",
        peers=LEAGUE_RENDERERS + 1,
        renderers=LEAGUE_RENDERERS,
        jobs=1,
        frames=LEAGUE_FRAMES,
        frame_ms=4 * SECOND_MS,
        submitters=(LEAGUE_RENDERERS,),
        twice=True,
        wrong=tuple(range(count)),
        league=True,
        safety_ms=MINUTE_MS,
        least_ms=0,
    )


def orders(seeds: range, minutes: int) -> list[tuple[Scenario, int, str]]:
    """Return all runs of a report: what to run, with which seed, and what it is about."""
    found = [(draw(seed, None, minutes), seed, "drawn") for seed in seeds]
    churns = (churn(percent, peers=CHURN_PEERS, frame_ms=CHURN_FRAME_MS) for percent in CHURNS)
    timed = [dataclasses.replace(each, makespan_percent=0, waste_percent=0) for each in churns]
    found += [(each, seed, f"churn {each.churn_percent}") for each in timed for seed in seeds]
    each = range(RECLAIM_SEEDS * seeds.start, RECLAIM_SEEDS * seeds.stop)
    found += [(named(name), seed, name) for name in RECLAIMS for seed in each]
    found += [(leagued(count), seed, f"league {count}") for count in LEAGUES for seed in each]
    regicide = dataclasses.replace(named(COORDINATORS), makespan_percent=0)
    return found + [(regicide, seed, COORDINATORS) for seed in seeds]
