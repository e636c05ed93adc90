"""The checker of L10: jobs that could all be rendered everywhere get what their weights say of any ten minutes.

What a job got is the time that it kept slots, whatever became of its frames, from the world's own renderers. Jobs are
compared while each has tasks that nobody has begun, more than slots and what is claimed ahead could take, and while
every host that renders has its engine and its whole scene; of others nobody could ask more. A still is compared while
more of it is left than two buckets for each slot: towards its end they grow shorter, and then there is none ahead. Jobs
whose last frames alone are cut are left out. Nor is a share judged that is so small that one frame on a slow host is
more than it may be off by: all slots may have had a long frame of another job.
"""

from bisect import bisect_right
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from mesh.core.placement import run_length
from mesh.ground.ids import JobId
from mesh.ground.instants import MINUTE_MS
from mesh.ground.limits import BUCKET_MOST_MS
from mesh.wire.records import Job
from sim.scenario import Scenario
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.people import Plan
    from sim.render import Render
    from sim.world import World

WINDOW_MS = 10 * MINUTE_MS
OFF_PERCENT = 10
"""Of its fair share, which a job may get more or less."""

_QUICKEST = 2
"""Frames of a job may take half of what its shape says."""

_BUCKETS_AHEAD = 3
"""What a slot renders, what it has ahead, and as much again: places in a picture are not all equally heavy."""

_Rivals: TypeAlias = tuple[tuple[JobId, int], ...]
"""Jobs that could all be rendered everywhere, and the weight of each."""


class Fair:
    """What each job got of the slots, and when which of them were rivals."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._begun: dict[tuple[JobId, int], None] = {}
        self._begun_pixels = Counter[JobId]()
        """Of a still, in buckets that were begun; what is rendered twice is counted twice."""
        self._times: list[tuple[int, int, JobId]] = []
        """When a slot was taken, and when it was free again, for a task of which job."""
        self._seen: list[tuple[int, _Rivals]] = []

    def began(self, render: "Render") -> None:
        """Note that a task was begun."""
        self._begun[render.job, render.effect.task] = None
        cut, block = render.effect.job.body.cut, render.effect.block
        if cut is not None and block is not None:
            self._begun_pixels[render.job] += cut.grid.pixels(block).area

    def freed(self, render: "Render") -> None:
        """Book what a render took of its slot."""
        self._times.append((render.started_ms, self._world.now_ms, render.job))

    def look(self) -> None:
        """Note which jobs are rivals now."""
        self._seen.append((self._world.now_ms, self.rivals()))

    def rivals(self) -> _Rivals:
        """Return the jobs that every host could render now, with far more open tasks than could be claimed."""
        hosts = [host for host in self._world.hosts if host.works and host.slots]
        slots = sum(host.slots for host in hosts)
        begun = Counter(job for job, _ in self._begun)
        found: list[tuple[JobId, int]] = []
        for plan in self._world.people.plans:
            record = self._world.books.jobs.get(plan.job) if plan.job is not None else None
            if plan.job is None or record is None or plan.cancel_asked:
                continue
            body, scene = record.body, (record.body.scene, *self._world.trees[record.body.scene])
            there = all(body.engine in host.engines and all(map(host.disk.has, scene)) for host in hosts)
            if there and _plenty(plan.scenario, body, begun[plan.job], self._begun_pixels[plan.job], slots):
                found.append((plan.job, plan.weight))
        return tuple(found)

    def stretches(self) -> list[tuple[int, int, _Rivals]]:
        """Return from when until when the same jobs were rivals of each other, two at least."""
        found: list[tuple[int, int, _Rivals]] = []
        for rivals, group in groupby(self._seen, key=lambda seen: seen[1]):
            times = [time_ms for time_ms, _ in group]
            if len(rivals) > 1:
                found.append((times[0], times[-1], rivals))
        return found

    def judge(self) -> int:
        """Judge any ten minutes until now in which the same jobs were rivals; return how many shares were judged.

        Raises Violation.
        """
        judged = 0
        scenario = self._world.scenario
        task_ms = {plan.job: _task_ms(plan) for plan in self._world.people.plans}
        for since_ms, until_ms, rivals in self.stretches():
            if until_ms - since_ms < WINDOW_MS:
                continue
            given = {job: _Given(self._times, job) for job, _ in rivals}
            # Of the shapes: a renderer that slept or hung had its last frame for as long as that took.
            longest_ms = (scenario.stage_ms + max(task_ms[job] for job in given)) * 100 // scenario.slowest_percent
            for from_ms in range(since_ms, until_ms - WINDOW_MS + 1, MINUTE_MS // 6):
                given_ms = {job: each.between(from_ms, WINDOW_MS) for job, each in given.items()}
                judged += self._judge(from_ms, rivals, given_ms, longest_ms)
        return judged

    def _judge(self, from_ms: int, rivals: _Rivals, given_ms: dict[JobId, int], longest_ms: int) -> int:
        judged, all_ms, weights = 0, sum(given_ms.values()), sum(weight for _, weight in rivals)
        for job, weight in rivals:
            fair_ms = all_ms * weight // weights
            if fair_ms * OFF_PERCENT < longest_ms * 100:
                continue
            if abs(given_ms[job] - fair_ms) * 100 > OFF_PERCENT * fair_ms:
                text = f"from {from_ms} ms a job of weight {weight} got {given_ms[job]} ms in ten minutes"
                raise Violation("L10", f"{text}, where {fair_ms} ms of {all_ms} ms are fair", job)
            judged += 1
        return judged


def _plenty(shape: Scenario, job: Job, begun: int, begun_pixels: int, slots: int) -> bool:
    """Whether every slot finds something of a job to render, and has something ahead."""
    if job.cut is None:
        # A slot renders one task and has a run ahead: with fewer that nobody has begun, some slots may find none.
        ahead = 1 + run_length(shape.frame_ms // _QUICKEST)
        return len(job.frames) - begun >= ahead * slots
    if job.cut.frames < len(job.frames):
        return False
    pixels = job.cut.grid.region.area * job.cut.frames
    left_ms = shape.still_ms * job.cut.frames * (pixels - begun_pixels) // pixels
    return left_ms >= _BUCKETS_AHEAD * BUCKET_MOST_MS * slots


def _task_ms(plan: "Plan") -> int:
    """Return how long one task of a job takes at most, or one bucket."""
    return BUCKET_MOST_MS if plan.scenario.still_frames else plan.scenario.frame_ms


class _Given:
    """What one job had got until any time."""

    def __init__(self, times: list[tuple[int, int, JobId]], job: JobId) -> None:
        mine = [(since_ms, until_ms) for since_ms, until_ms, which in times if which == job]
        self._starts, self._ends = sorted(since for since, _ in mine), sorted(until for _, until in mine)
        self._start_sums, self._end_sums = _sums(self._starts), _sums(self._ends)

    def between(self, from_ms: int, for_ms: int) -> int:
        """Return how many milliseconds of slots it got in this time."""
        return self._until(from_ms + for_ms) - self._until(from_ms)

    def _until(self, time_ms: int) -> int:
        starts, ends = bisect_right(self._starts, time_ms), bisect_right(self._ends, time_ms)
        return (starts - ends) * time_ms - self._start_sums[starts] + self._end_sums[ends]


def _sums(times: list[int]) -> list[int]:
    found = [0]
    for time_ms in times:
        found.append(found[-1] + time_ms)
    return found
