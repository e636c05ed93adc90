"""What the rendering cost, and whether every side of a split got on: the checkers of L1, L3, L4 and L7.

A frame rendered more than once is waste, whoever was to blame; in a run that nothing disturbs there may be hardly
any. Of a bucket, waste is that part of it that was rendered before. A side that can render and can reach a scene must
go on rendering during a split, once it had time to find out that it is alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.core.effects import Export, StartAssembly, StartRender
from mesh.core.status import JobState
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import KEEPERLESS_MS, LEASE_MS, LOST_AFTER_MS, RESTARTED_KEEPER_MS, TAIL_COPIES_MOST
from mesh.wire.grids import Block
from mesh.wire.records import Check
from mesh.wire.stills import Grant, Grants
from sim.people import Plan
from sim.render import Render, frame_ms
from sim.stills import cell_pixels, cut_of, work_ms
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.assemblies import Growing
    from sim.host import Host
    from sim.world import World

WASTE_PERCENT = 1
"""Of the render time, in a steady run."""

GRANTED_MOST = 5
GRANTED_WITHIN_MS = 10 * SECOND_MS
"""So often at most is a peer granted the same bucket in such a time: one that took it up not is left alone a while."""

_FINDS_OUT_MS = KEEPERLESS_MS + LEASE_MS + RESTARTED_KEEPER_MS
"""Until a side that lost every keeper has its own, and they heard every lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One frame or bucket that somebody rendered."""

    at_ms: int
    host: int
    job: JobId
    task: int
    took_ms: int
    block: Block | None = None
    cells: tuple[int, ...] = ()
    """Of the frame, none where it was rendered whole."""
    pixels: tuple[int, ...] = ()
    """Of each of these cells."""
    look: bytes = b""
    """What it shows."""
    twice: bool = False
    """Whether somebody else has to render the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """One frame that somebody made of buckets."""

    at_ms: int
    host: int
    job: JobId
    task: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A frame that its peer had in hand when it died, froze or was cut off, and when somebody else started it."""

    at_ms: int
    host: int
    job: JobId
    task: int
    taken_after_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A split: when it began, its sides, and who of them could render at all."""

    since_ms: int
    sides: tuple[tuple[int, ...], ...]
    lives: dict[int, int]
    """Of those that worked."""
    cuts: int
    """Cuts made so far, this one included: a later one spoils the judgement."""


class Economy:
    """The account of all rendering."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.finished: list[Finished] = []
        self.assembled: list[Assembled] = []
        self.assemblies: list[tuple[int, int, JobId, int]] = []
        """When, by whom and of which frame an assembly was begun."""
        self.exported_ms: dict[tuple[str, str], int] = {}
        """When each file was first where its submitter wanted it."""
        self.cells_pasted = 0
        self.pasted_again = 0
        """Of these, cells into which another bucket had been pasted before."""
        self._granted: dict[tuple[int, PeerId, JobId, int, Block], tuple[int, int]] = {}
        """How often a host has granted somebody a bucket, and since when this is counted."""
        self.copied: dict[tuple[JobId, int, Block | None], None] = {}
        """Buckets that another peer was granted, too, while they rendered."""
        self._started: list[tuple[int, int, JobId, int, Block | None]] = []
        self._left: list[tuple[int, int, JobId, int, Block | None]] = []
        self._parted: dict[int, Parted] = {}
        self._cuts = 0
        self.sides_judged = 0
        """Of splits, each for each job that was open there."""

    def started(self, host: "Host", effect: StartRender) -> None:
        """Book the start of a frame or bucket."""
        self._started.append((self._world.now_ms, host.index, JobId(effect.job.id), effect.task, effect.block))

    def grants(self, host: "Host", message: Grants) -> None:
        """Note the buckets that somebody else is granted, too, while they render: of tail copies one is for nothing."""
        for grant in message.grants:
            body = grant.body
            self._count(host, body)
            about = (body.job, body.task, body.block)
            if any(
                (render.job, render.effect.task, render.effect.block) == about and other.peer_id != body.peer
                for other in self._world.hosts
                for render in other.farm.renders.values()
            ):
                self.copied[about] = None

    def _count(self, host: "Host", grant: Grant) -> None:
        """See that nobody is granted the same again and again. Raises Violation."""
        key = (host.index, grant.peer, grant.job, grant.task, grant.block)
        since_ms, times = self._granted.get(key, (self._world.now_ms, 0))
        if self._world.now_ms - since_ms > GRANTED_WITHIN_MS:
            since_ms, times = self._world.now_ms, 0
        self._granted[key] = (since_ms, times + 1)
        if times >= GRANTED_MOST:
            text = f"{host.name} grants the same bucket for the {times + 1}th time since {since_ms / SECOND_MS:.3f} s"
            raise Violation("grant", text, grant.job)

    def assembly_started(self, host: "Host", effect: StartAssembly) -> None:
        """Book the start of an assembly."""
        self.assemblies.append((self._world.now_ms, host.index, JobId(effect.job.id), effect.task))

    def pasted(self, *, again: bool) -> None:
        """Book a cell that was pasted."""
        self.cells_pasted += 1
        self.pasted_again += again

    def assembled_frame(self, host: "Host", growing: "Growing") -> None:
        """Book a frame that was made of buckets."""
        self.assembled.append(
            Assembled(at_ms=self._world.now_ms, host=host.index, job=growing.job, task=growing.effect.task)
        )

    def leaves(self, host: "Host") -> None:
        """Book what a host has in hand when it is about to be heard no more."""
        for render in host.farm.renders.values():
            if render.writing:
                effect = render.effect
                self._left.append((self._world.now_ms, host.index, render.job, effect.task, effect.block))

    def left(self) -> list[Left]:
        """Return what was left in hand, and how soon others took it over."""
        found: list[Left] = []
        for at_ms, host, job, task, block in self._left:
            taken = [
                start_ms - at_ms
                for start_ms, by, of, which, part in self._started
                if (of, which) == (job, task) and by != host and start_ms >= at_ms and _overlap(block, part)
            ]
            found.append(Left(at_ms=at_ms, host=host, job=job, task=task, taken_after_ms=min(taken, default=None)))
        return found

    def rendered(self, host: "Host", render: Render, look: bytes) -> None:
        """Book a frame or bucket, and what it shows."""
        cut, block = render.effect.job.body.cut, render.effect.block
        cells = tuple(cut.grid.cells(block)) if cut is not None and block is not None else ()
        self.finished.append(
            Finished(
                at_ms=self._world.now_ms,
                host=host.index,
                job=render.job,
                task=render.effect.task,
                took_ms=self._world.now_ms - render.started_ms,
                block=block,
                cells=cells,
                pixels=tuple(cell_pixels(cut.grid, cell).area for cell in cells) if cut is not None else (),
                look=look,
                twice=render.effect.job.body.check == Check.TWICE,
            )
        )

    def waste(self) -> tuple[int, int]:
        """Return the milliseconds spent on what had been rendered before, tail copies apart, and on all.

        What is checked twice is for nothing only once two peers' pictures were alike, or where it is a peer's second.
        """
        seen: dict[tuple[JobId, int, int], None] = {}
        checked: dict[tuple[JobId, int], list[Finished]] = {}
        twice_ms = all_ms = 0
        for frame in self.finished:
            all_ms += frame.took_ms
            if frame.twice:
                before = checked.setdefault((frame.job, frame.task), [])
                agreed = len({one.look for one in before}) < len(before)
                twice_ms += frame.took_ms if agreed or any(one.host == frame.host for one in before) else 0
                before.append(frame)
                continue
            parts = dict(zip(frame.cells or (-1,), frame.pixels or (1,), strict=True))
            again = sum(pixels for cell, pixels in parts.items() if (frame.job, frame.task, cell) in seen)
            if (frame.job, frame.task, frame.block) not in self.copied:
                twice_ms += frame.took_ms * again // sum(parts.values())
            seen |= dict.fromkeys((frame.job, frame.task, cell) for cell in parts)
        return twice_ms, all_ms

    def exported(self, host: "Host", effect: Export) -> None:
        """Book a file that lies where its submitter wanted it."""
        if any(
            plan.submitter == host.index and plan.directory == effect.directory for plan in self._world.people.plans
        ):
            self.exported_ms.setdefault((effect.directory, effect.name), self._world.now_ms)

    def makespan(self) -> tuple[int, int]:
        """Return how long all jobs took from the first submission to the last file, and the ideal: the time in which
        what lived could have done the work, and the longest task. Zeros where not every file came to its submitter.
        """
        plans, exported = self._world.people.plans, self.exported_ms
        files = sum(plan.scenario.frames for plan in plans)
        if not exported or len(exported) < files or any(plan.cancel_asked for plan in plans):
            return 0, 0
        since_ms = self._world.scenario.submit_at_ms
        longest_ms = max(frame.took_ms for frame in self.finished)
        ideal_ms = self._world.capacity.ideal_ms(since_ms, sum(map(_work_ms, plans)))
        return max(exported.values()) - since_ms, ideal_ms + longest_ms

    def end(self) -> None:
        """Judge a steady run's waste, and a timed one's makespan."""
        scenario = self._world.scenario
        most = scenario.makespan_percent
        if most:
            took_ms, ideal_ms = self.makespan()
            if took_ms * 100 > ideal_ms * most or not took_ms:
                rule = "L3" if scenario.still_frames else "L1"
                raise Violation(rule, f"the work took {took_ms} ms, which is over {most} % of {ideal_ms} ms")
        twice_ms, all_ms = self.waste()
        most = WASTE_PERCENT if scenario.steady else scenario.waste_percent
        if most and twice_ms * 100 > all_ms * most:
            raise Violation("L4", f"{twice_ms} ms of {all_ms} ms were spent on frames rendered before")
        most = TAIL_COPIES_MOST * sum(host.slots for host in self._world.hosts) * len(self._world.books.jobs)
        if self._world.scenario.steady and len(self.copied) > most:
            raise Violation("L4", f"{len(self.copied)} buckets were granted twice, which is more than {most} copies")

    # Splits.

    def parted(self, number: int, side: tuple[int, ...], other: tuple[int, ...], both: bool) -> None:
        """Remember a split of the whole mesh; other cuts leave ways round."""
        self._cuts += 1
        hosts = self._world.hosts
        if both and len(side) + len(other) == len(hosts):
            lives = {host.index: host.life for host in hosts if host.works}
            self._parted[number] = Parted(
                since_ms=self._world.now_ms, sides=(side, other), lives=lives, cuts=self._cuts
            )

    def mended(self, number: int) -> None:
        """Judge a split that ends."""
        split = self._parted.pop(number, None)
        if split is None or split.cuts != self._cuts or self._world.faults.cuts_now > 1:
            return
        for side in split.sides:
            self._judge_side(split, side)

    def _judge_side(self, split: Parted, side: tuple[int, ...]) -> None:
        world = self._world
        there = [world.hosts[index] for index in side]
        if any((host.life if host.works else None) != split.lives.get(host.index) for host in there):
            return
        steady = [host for host in there if host.works]
        jobs = [plan.scenario for plan in world.people.plans]
        slowest_ms = 8 * (max((job.frame_ms for job in jobs), default=0) + world.scenario.stage_ms)
        if any(host.index in world.faults.paused for host in steady):
            return
        alone_ms = world.now_ms - split.since_ms
        if any(job.still_frames for job in jobs):  # buckets of the other side are lost before they are open again
            slowest_ms += LOST_AFTER_MS + max(job.still_ms for job in jobs) + world.scenario.finish_ms
        if alone_ms < _FINDS_OUT_MS + slowest_ms:
            return
        for job, record in world.books.jobs.items():
            scene = (record.body.scene, *world.trees.get(record.body.scene, ()))
            able = [host for host in steady if host.slots and record.body.engine in host.engines]
            reach = any(all(host.disk.intact(blob) for blob in scene) for host in steady)
            if not able or not reach or not all(self._open(host, job) for host in steady):
                continue
            self.sides_judged += 1
            found_out_ms = split.since_ms + _FINDS_OUT_MS
            done = [(frame.host, frame.at_ms) for frame in self.finished]
            done += [(frame.host, frame.at_ms) for frame in self.assembled]
            if not any(by in side and at_ms >= found_out_ms for by, at_ms in done):
                raise Violation("L7", f"side {side} rendered nothing in {alone_ms} ms of a split", job)

    def _open(self, host: "Host", job: JobId) -> bool:
        """Tell whether a host still has a task of the job to render, as far as it knows."""
        view = host.core.job_view(host.now(), job)
        return view is not None and view.counting + view.stopped < view.tasks and view.state is not JobState.CANCELLED


def _work_ms(plan: Plan) -> int:
    """Return what a job costs the fastest slot."""
    own, cut = plan.scenario, cut_of(plan.scenario)
    whole = own.frames - own.still_frames
    whole_ms = sum(frame_ms(plan.name, task, own) for task in range(whole))
    if cut is None:
        return whole_ms
    return whole_ms + sum(work_ms(plan.name, task, cut, own) for task in range(whole, own.frames))


def _overlap(one: Block | None, other: Block | None) -> bool:
    """Tell whether two tasks of one frame have a cell in common, or are both the whole of it."""
    if one is None or other is None:
        return one is other
    across = one.column < other.column + other.columns and other.column < one.column + one.columns
    return across and one.row < other.row + other.rows and other.row < one.row + one.rows
