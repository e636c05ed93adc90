"""What a keeper knows of one job's claims: who works on what, whose claims wait, and what was granted.

Invariants: a task has one lease at most that keeps others from it. A tail copy is a lease beside that one: it keeps
nobody from anything, and takes the other's place when that one ends first. Who may have a lease is not decided here.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from mesh.core.parts import Parts
from mesh.ground.ids import PeerId, RecordId
from mesh.ground.instants import Instant, later
from mesh.ground.limits import HEARTBEAT_MS
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.messages import LeaseHeard
from mesh.wire.records import Claim

STALLED_KEPT = 256
DEAF_MS = 3_000
"""A peer that took up no grant, or was refused what it was granted, is granted nothing for so long."""

_RENDERS_AT_FIRST = 2
"""What a slot has in hand before any result of its peer counts."""


@dataclass(slots=True, kw_only=True)
class Lease:
    """What somebody renders by one claim, as far as this keeper hears."""

    claim: RecordId
    holder: PeerId
    task: int
    """The frame."""
    block: Block | None
    tasks: tuple[int, ...]
    """All that it covers: the frame, or the cells of the block."""
    attempt: int
    assembles: bool = False
    begun_at: Instant
    heard_at: Instant
    """When it was last heard that the holder works on it, by whatever way."""
    direct_at: Instant | None
    """When the holder itself was last heard; None: other keepers only."""
    told_at: Instant | None = None
    """When the other keepers were last told: each time that the holder is heard is told once, or keepers would keep a
    lease alive by telling each other."""
    progress: int = 0
    progressed_at: Instant

    def hear(self, now: Instant, progress: int, *, direct: bool) -> None:
        """Note that its holder works on it, as it said itself or as another keeper says."""
        if direct:
            self.heard_at = self.direct_at = now
        else:  # who tells it heard it up to a heartbeat ago
            self.heard_at = max(self.heard_at, Instant(now - HEARTBEAT_MS))
        if progress > self.progress:
            self.progress = progress
            self.progressed_at = now

    def told(self) -> LeaseHeard:
        """Return what other keepers are told of it."""
        return LeaseHeard(
            claim=self.claim,
            holder=self.holder,
            task=self.task,
            attempt=self.attempt,
            progress=self.progress,
            block=self.block,
            assembles=self.assembles,
        )


def lease_of(claim: Signed[Claim], tasks: tuple[int, ...], now: Instant) -> Lease:
    """Return the lease of a claim that its author sent."""
    return Lease(
        claim=claim.id,
        holder=claim.author,
        task=claim.body.task,
        block=claim.body.block,
        tasks=tasks,
        attempt=claim.body.attempt,
        assembles=claim.body.assembles,
        begun_at=now,
        heard_at=now,
        direct_at=now,
        progressed_at=now,
    )


def lease_told(heard: LeaseHeard, tasks: tuple[int, ...], now: Instant) -> Lease:
    """Return the lease that another keeper tells of."""
    return Lease(
        claim=heard.claim,
        holder=heard.holder,
        task=heard.task,
        block=heard.block,
        tasks=tasks,
        attempt=heard.attempt,
        assembles=heard.assembles,
        begun_at=now,
        heard_at=Instant(now - HEARTBEAT_MS),
        direct_at=None,
        progress=heard.progress,
        progressed_at=now,
    )


@dataclass(slots=True, kw_only=True)
class Pending:
    """Claims of one task that wait for the verdict."""

    claims: list[Signed[Claim]]
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A bucket that was granted to a peer and that it has not claimed yet."""

    peer: PeerId
    task: int
    """The frame."""
    tasks: tuple[int, ...]
    until: Instant
    copy: bool
    """Others render it, too."""


@dataclass(slots=True)
class Docket:
    """What this keeper knows of one job's claims."""

    ready_at: Instant
    """Before that it decides nothing: it may not have heard of leases that live."""
    leases: dict[int, Lease] = field(default_factory=dict)
    """By each task that one keeps others from."""
    pending: dict[int, Pending] = field(default_factory=dict)
    by_claim: dict[RecordId, Lease] = field(default_factory=dict)
    """All of them, tail copies among them."""
    rendering: int = 0
    """How many of these take a slot: all but assemblies."""
    held: Counter[PeerId] = field(default_factory=Counter)
    """How many of these each peer has."""
    attempts: dict[int, int] = field(default_factory=dict)
    """The highest attempt that a lease of each open task has named, so that a task claimed again is another attempt."""
    stalled: dict[RecordId, None] = field(default_factory=dict)
    """Claims whose leases ended for want of progress: their heartbeats count no more."""
    idlers: dict[PeerId, None] = field(default_factory=dict)
    """Whose they were, or whose picture was rejected, until a result counts: they come last, with one task a slot."""
    proven: Counter[PeerId] = field(default_factory=Counter)
    """For how many tasks a result of each peer was the last that counted."""
    credited: dict[int, PeerId] = field(default_factory=dict)
    """Whose that was, by task."""
    grants: dict[RecordId, Granted] = field(default_factory=dict)
    granted: dict[int, RecordId] = field(default_factory=dict)
    """By each task that a grant keeps others from."""
    buckets: Counter[int] = field(default_factory=Counter)
    """Leases and grants of buckets, by their frame."""
    deaf: dict[PeerId, Instant] = field(default_factory=dict)
    """Until when peers are granted nothing that took up no grant, or were refused one."""

    def begin(self, lease: Lease) -> None:
        """Take a lease; one of tasks that all have another is a tail copy.

        What another keeper told of the same claim, of other tasks, ends.
        """
        before = self.by_claim.get(lease.claim)
        if before is not None:
            self.end(before)
        self.by_claim[lease.claim] = lease
        self.rendering += not lease.assembles
        self.held[lease.holder] += 1
        self.buckets[lease.task] += lease.block is not None
        for task in lease.tasks:
            self.leases.setdefault(task, lease)
            self.attempts[task] = max(lease.attempt, self.attempts.get(task, 0))

    def end(self, lease: Lease) -> None:
        """Forget a lease; a tail copy takes its place."""
        if self.by_claim.pop(lease.claim, None) is None:
            return
        self.rendering -= not lease.assembles
        self.held[lease.holder] -= 1
        if not self.held[lease.holder]:
            del self.held[lease.holder]
        self.buckets[lease.task] -= lease.block is not None
        left = [task for task in lease.tasks if self.leases.get(task) is lease]
        for task in left:
            del self.leases[task]
        for other in self.by_claim.values() if left else ():
            for task in other.tasks if other.task == lease.task else ():
                self.leases.setdefault(task, other)

    def counts(self, task: int, author: PeerId) -> None:
        """Note that a peer's result of a task counts: what it claims it renders."""
        self.idlers.pop(author, None)
        before = self.credited.get(task)
        if before == author:
            return
        if before is not None:
            self.proven[before] -= 1  # two whose results take each other's place have rendered no more for that
        self.credited[task] = author
        self.proven[author] += 1

    def stall(self, lease: Lease) -> None:
        """End a lease without progress, for good."""
        self.idlers[lease.holder] = None
        self.stalled[lease.claim] = None
        while len(self.stalled) > STALLED_KEPT:
            self.stalled.pop(next(iter(self.stalled)))
        self.end(lease)

    def grant(self, grant: RecordId, granted: Granted) -> None:
        """Keep tasks for whom they were granted to, for a moment."""
        self.grants[grant] = granted
        self.buckets[granted.task] += 1
        if not granted.copy:
            self.granted.update(dict.fromkeys(granted.tasks, grant))

    def take_up(self, claim: Signed[Claim], tasks: tuple[int, ...]) -> Granted | None:
        """Return the grant that a claim takes up, which ends with it; None where there is none."""
        granted = self.grants.get(claim.body.grant) if claim.body.grant is not None else None
        if claim.body.grant is None or granted is None or (granted.peer, granted.tasks) != (claim.author, tasks):
            return None
        self._forget(claim.body.grant)
        self.deaf.pop(claim.author, None)
        return granted

    def renders_most(self, peer: PeerId, slots: int) -> int:
        """Return how many renders a peer of so many slots may have in hand; to whom one stalled none is given ahead, or
        it would have them all again each time.
        """
        return slots * (1 if peer in self.idlers else _RENDERS_AT_FIRST + 2 * self.proven[peer])

    def ignore(self, peer: PeerId, now: Instant) -> None:
        """Grant a peer nothing for a while."""
        self.deaf[peer] = later(now, DEAF_MS)

    def give_back(self, peer: PeerId, grants: Collection[RecordId], now: Instant) -> bool:
        """Take back what a peer cannot render; return whether there was any."""
        mine = [grant for grant in grants if grant in self.grants and self.grants[grant].peer == peer]
        for grant in mine:
            self._forget(grant)
            self.ignore(peer, now)
        return bool(mine)

    def expire(self, now: Instant) -> bool:
        """Take back what nobody has claimed in time; return whether there was any."""
        late = [grant for grant, granted in self.grants.items() if granted.until <= now]
        for grant in late:
            self.ignore(self.grants[grant].peer, now)
            self._forget(grant)
        self.deaf = {peer: until for peer, until in self.deaf.items() if until > now}
        return bool(late)

    def free(self, tasks: Collection[int]) -> bool:
        """Whether nobody has a lease or a grant of any of these."""
        return self.leases.keys().isdisjoint(tasks) and self.granted.keys().isdisjoint(tasks)

    def taken(self, task: int) -> bool:
        """Whether a task has a lease or a grant, or claims that wait for the verdict, of others than idlers."""
        if task in self.leases or task in self.granted:
            return True
        waiting = self.pending.get(task)
        return waiting is not None and self._keeps_off(waiting)

    def all_taken(self) -> dict[int, None]:
        """Return all such tasks, for whoever would ask of hundreds."""
        taken = dict.fromkeys(self.leases) | dict.fromkeys(self.granted)
        return taken | {task: None for task, waiting in self.pending.items() if self._keeps_off(waiting)}

    def taken_bits(self, frame: int, parts: Parts) -> int:
        """Return the same for all cells of a frame, one bit each."""
        if self.buckets[frame] <= 0:
            return 0
        own, found = parts.cells_of(frame), 0
        for lease in self.by_claim.values():
            if lease.task == frame and lease.block is not None:
                found |= parts.grid.bits(lease.block)
        for task in self.granted:
            if task in own:
                found |= 1 << task - own.start
        return found

    def _keeps_off(self, waiting: Pending) -> bool:
        return not all(claim.author in self.idlers for claim in waiting.claims)

    def _forget(self, grant: RecordId) -> None:
        granted = self.grants.pop(grant)
        self.buckets[granted.task] -= 1
        for task in granted.tasks:
            if self.granted.get(task) == grant:
                del self.granted[task]
