"""The people of the world: they submit jobs, cancel some, and fetch files; they try again when nothing answered."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blake3 import blake3

from mesh.core.effects import Accepted, Declined, Ruled
from mesh.core.events import CancelAsked, FetchAsked, JobPlanned, RejectAsked, RevokeAsked, WeightAsked
from mesh.ground.ids import BlobId, JobId
from mesh.ground.share_limits import WEIGHT_DEFAULT, WEIGHT_MOST
from mesh.wire.grids import Block
from mesh.wire.records import Check, OutputNames, Picture
from mesh.wire.revocations import PeerRevoked
from mesh.wire.tasks import FrameRange, Frames
from mesh.wire.versions import VERSION_HIGHEST
from sim.disk import BlobFacts, NoRoom
from sim.scenario import Scenario
from sim.stills import cut_of

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

_RETRY_MS = 2_000
_SCENE_PIECE_BYTES = 1 << 20
_SCENE_ROOT_BYTES = 4_096
"""It names a scene's files."""
_CONTEXT = "meshnode sim scene"


@dataclass(slots=True, kw_only=True)
class Plan:
    """One job that somebody wants."""

    number: int
    submitter: int
    scenario: Scenario
    """All options, as this job sees them."""
    poisoned: tuple[int, ...]
    weight: int
    """What was last accepted."""
    asked_weight: int = 0
    job: JobId | None = None
    """Set when the mesh accepted it."""
    cancel_asked: bool = False
    cancelled: bool = False
    tries: int = 0
    declined: str = ""
    ruled: int = 0
    """How often frames of it were rejected."""
    unlucky: dict[tuple[int, Block | None], dict[int, None]] = field(default_factory=dict)
    """At which hosts chance has failed a render, by task and block."""
    fetchers: dict[int, str] = field(default_factory=dict)
    """Other hosts whose persons want the files, and whether their command was taken: '', or the directory."""

    @property
    def name(self) -> str:
        """The job's name, by which the world knows its plan."""
        return f"job{self.number}"

    @property
    def directory(self) -> str:
        """Where the submitter wants the files; a submission that may have come to nothing leaves its own alone."""
        return f"/home/p{self.submitter}/{self.name}-{self.tries}"


class People:
    """Everybody who types."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._dice = world.dice.fork(b"people")
        self._op = 0
        self._asked: dict[tuple[int, int, int], tuple[str, Plan]] = {}
        self.plans: list[Plan] = []

    def plan(self, name: str) -> Plan:
        """Return the plan behind a job's name."""
        return self.plans[int(name.removeprefix("job"))]

    def is_poisoned(self, name: str, task: int) -> bool:
        """Tell whether a task crashes every renderer."""
        return task in self.plan(name).poisoned

    def plan_all(self) -> None:
        """Plan what everybody will type."""
        scenario = self._world.scenario
        scripted = [act.job for act in scenario.script if act.what == "submit"]
        for number in range(scenario.jobs):
            own = scenario.of_job(number)
            submitter = self._draw_submitter(number)
            poisoned = tuple(self._dice.below(own.frames) for _ in range(own.poisoned))
            plan = Plan(number=number, submitter=submitter, scenario=own, poisoned=poisoned, weight=own.weight)
            self.plans.append(plan)
            if number not in scripted:
                self._world.at(scenario.submit_at_ms + number * scenario.submit_every_ms, self.submit, plan)
            if number < scenario.cancels:
                at_ms = scenario.submit_at_ms + self._dice.below(scenario.safety_ms)
                self._world.at(at_ms, self.cancel, plan)
            for _ in range(scenario.fetches):
                fetcher = self._dice.below(scenario.peers)
                if fetcher != submitter:
                    self._world.at(self._dice.below(scenario.safety_ms), self.fetch, plan, fetcher)
        for _ in range(scenario.weighings):
            at_ms, plan = self._dice.below(scenario.safety_ms), self.plans[self._dice.below(len(self.plans))]
            self._world.at(at_ms, self.weigh, plan, 1 + self._dice.below(WEIGHT_MOST))

    def _draw_submitter(self, number: int) -> int:
        scenario = self._world.scenario
        if scenario.submitters:
            return scenario.submitters[number % len(scenario.submitters)]
        return self._dice.below(scenario.peers)

    # Submitting.

    def submit(self, plan: Plan) -> None:
        """Submit a job, and look again later whether that came to something."""
        host = self._world.hosts[plan.submitter]
        if plan.job is not None or (not self._world.faulty and not self._world.faults.is_core(host)):
            return
        self._forget_the_dead()
        waiting = any(what == "submit" and whose is plan for what, whose in self._asked.values())
        if host.running and not host.frozen and not waiting:
            plan.tries += 1
            self._ask("submit", plan, host)
            try:
                planned = self._planned(plan, host)
            except NoRoom:
                self._asked.pop((host.index, host.life, self._op))  # nothing was asked: it is tried again
            else:
                host.receive(planned)
        self._world.after(_RETRY_MS, self.submit, plan)

    def _ask(self, what: str, plan: Plan, host: "Host") -> None:
        self._op += 1
        self._asked[host.index, host.life, self._op] = (what, plan)

    def _forget_the_dead(self) -> None:
        """Give up on answers of processes that have ended."""
        hosts = self._world.hosts
        self._asked = {key: asked for key, asked in self._asked.items() if hosts[key[0]].life == key[1]}

    def _planned(self, plan: Plan, host: "Host") -> JobPlanned:
        scenario = plan.scenario
        root = self._scene(plan, b"root", 1, _SCENE_ROOT_BYTES)
        pieces, each = scenario.scene_pieces, scenario.scene_pieces * _SCENE_PIECE_BYTES
        blobs = [self._scene(plan, b"blob%d" % number, pieces, each) for number in range(scenario.scene_blobs)]
        for facts in (root, *blobs):
            host.disk.ingest(facts)
        names = tuple(facts.blob for facts in blobs)
        self._world.trees[root.blob] = names
        planned = JobPlanned(
            op=self._op,
            name=plan.name,
            scene=root.blob,
            scene_blobs=(root.blob, *names),
            engine=self._world.engine_of(plan.number),
            frames=Frames(ranges=(FrameRange(first=1, last=scenario.frames, step=1),)),
            names=OutputNames(prefix="frame_", digits=4, suffix=".png"),
            picture=Picture(format="PNG", width=1920, height=1080, color_mode="RGB", depth=8),
            directory=plan.directory,
            overwrite=False,
            cut=cut_of(scenario),
        )
        if host.version < VERSION_HIGHEST:
            plan.weight = WEIGHT_DEFAULT
            return planned  # its program has no other options
        return replace(
            planned,
            weight=plan.weight,
            memory_mb=scenario.memory_mb,
            check=Check.TWICE if scenario.twice else Check.ONCE,
            judges=tuple(self._world.hosts[index].peer_id for index in self._world.scenario.judges),
        )

    def _scene(self, plan: Plan, label: bytes, pieces: int, size: int) -> BlobFacts:
        blob = BlobId(blake3(plan.name.encode() + label, derive_key_context=_CONTEXT).digest())
        facts = BlobFacts(blob=blob, pieces=pieces, size=size)
        self._world.blobs[blob] = facts
        return facts

    # Other commands.

    def cancel(self, plan: Plan) -> None:
        """Cancel a job at its submitter's."""
        host = self._world.hosts[plan.submitter]
        if plan.job is None or plan.cancelled or not self._can_ask(host):
            if not plan.cancelled and self._world.faulty:
                self._world.after(_RETRY_MS, self.cancel, plan)
            return
        plan.cancel_asked = True
        self._ask("cancel", plan, host)
        host.receive(CancelAsked(op=self._op, job=plan.job))
        self._world.after(_RETRY_MS, self.cancel, plan)

    def weigh(self, plan: Plan, weight: int) -> None:
        """Give a job another weight at its submitter's, if that is there."""
        host = self._world.hosts[plan.submitter]
        if plan.job is not None and self._can_ask(host) and host.version == VERSION_HIGHEST:
            self._ask("weigh", plan, host)
            plan.asked_weight = weight
            host.receive(WeightAsked(op=self._op, job=plan.job, weight=weight))

    def reject(self, plan: Plan, host: "Host", *tasks: int) -> None:
        """Say at a host that frames of a job are wrong, whoever may rule on that; all that are there where none is
        named.
        """
        if plan.job is None or not self._can_ask(host) or host.version < VERSION_HIGHEST:
            return
        frames = self._world.books.jobs[plan.job].body.frames
        named = tuple(frames.frame(task) for task in tasks)
        self._ask("reject", plan, host)
        self._world.trace.happened(self._world.now_ms, host.index, f"rejects {named} of {plan.name}")
        host.receive(RejectAsked(op=self._op, job=plan.job, frames=named, reason="it looks wrong"))

    def reject_something(self) -> None:
        """Have somebody say of one frame that it is wrong."""
        plan = self.plans[self._dice.below(len(self.plans))] if self.plans else None
        host = self._world.hosts[self._dice.below(len(self._world.hosts))]
        if plan is None or not self._world.faulty:
            return
        if self._dice.below(2):
            host = self._world.hosts[plan.submitter]
        self.reject(plan, host, self._dice.below(plan.scenario.frames))

    def fetch(self, plan: Plan, fetcher: int) -> None:
        """Ask for a job's files at another host."""
        host = self._world.hosts[fetcher]
        if plan.job is not None and not plan.fetchers.get(fetcher) and self._can_ask(host):
            self._ask(f"fetch{fetcher}", plan, host)
            host.receive(FetchAsked(op=self._op, job=plan.job, directory=self._fetched(plan, fetcher), overwrite=False))
        if not plan.fetchers.get(fetcher) and self._world.faulty:
            self._world.after(_RETRY_MS, self.fetch, plan, fetcher)

    def revoke(self, victim: "Host", *, strike: bool) -> None:
        """Throw a host's peer out at the first host, whose person is the admin."""
        admin = self._world.hosts[0]
        if admin.running and not admin.frozen:
            self._world.economy.leaves(victim)
            self._ask("revoke", self.plans[0], admin)
            admin.receive(RevokeAsked(op=self._op, what=PeerRevoked(peer=victim.peer_id, spared=(), strike=strike)))

    def _can_ask(self, host: "Host") -> bool:
        return host.running and not host.frozen and (self._world.faulty or self._world.faults.is_core(host))

    def _fetched(self, plan: Plan, fetcher: int) -> str:
        return f"/home/p{fetcher}/fetched-{plan.name}"

    def hear(self, host: "Host", op: int, reply: Accepted | Ruled | Declined) -> None:
        """Hear the answer to a command."""
        what, plan = self._asked.pop((host.index, host.life, op))
        match reply:
            case Ruled():
                plan.ruled += not reply.complained
            case Declined() if what == "reject":
                pass
            case Declined(text=text):
                plan.declined = text
            case Accepted(job=bytes(job)) if what == "submit":
                plan.job = job
                self._world.trace.happened(self._world.now_ms, host.index, f"{plan.name} is {job.hex()[:8]}")
            case Accepted() if what == "revoke":
                pass
            case Accepted() if what == "weigh":
                plan.weight = plan.asked_weight
            case Accepted() if what == "cancel":
                plan.cancelled = True
            case Accepted():
                plan.fetchers[host.index] = self._fetched(plan, host.index)
