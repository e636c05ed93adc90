"""The keeper's side of claims: decide who renders a task, and hear that it goes on.

A lease bounds waste; nothing true depends on it. The keeper waits a settle time from a task's first claim, then tells
one claimant `yours` and the others `taken`, and does not change its word while that lease lives. A lease lives while
this keeper hears its holder's heartbeats, or another keeper that does; silence, the holder's death or a render without
progress end it.

A bucket's claim is answered at once: it takes no longer than settling would, and mostly answers a grant that nobody
else has. It is a lease of all its cells, whole or not at all.
"""

from collections.abc import Container, Iterable

from mesh.core.directory import Directory
from mesh.core.dockets import Docket, Lease, Pending, lease_of, lease_told
from mesh.core.fold import TaskFold
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Members
from mesh.core.notes import (
    CellsChanged,
    EntryAdded,
    JobEnded,
    MarkHeard,
    OpinionWanted,
    PeerDead,
    TaskChanged,
    WindowChanged,
)
from mesh.core.placement import rank
from mesh.core.timers import SettleEnds
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import Now, later
from mesh.ground.limits import (
    LEASE_MS,
    RESTARTED_KEEPER_MS,
    RUN_MOST,
    SETTLE_LEAST_MS,
    SETTLE_MOST_MS,
    STALLED_LEAST_MS,
    STALLED_MEDIANS,
    STALLED_UNKNOWN_MS,
)
from mesh.wire.envelope import Signed
from mesh.wire.members import Role
from mesh.wire.messages import ClaimSent, Heartbeat, LeaseHeard, LeasesHeard, Running, Verdict, Withdraw
from mesh.wire.records import Claim, Entry, Failed, Reject, Result

_LEASES_PER_MESSAGE = 512
_LEASES_PER_SLOT = 2 * (1 + RUN_MOST)
"""What a slot has in hand and claims ahead, and as much again whose results are on their way."""

_STRANGERS_SLOTS = 4
"""Slots of peers that this keeper never met, all together, that other keepers may hear of."""


class Leases:
    """Arbitrate the claims of the jobs that this peer keeps."""

    def __init__(self, ledger: Ledger, members: Members, keepers: Keepers, directory: Directory) -> None:
        self._ledger = ledger
        self._members = members
        self._keepers = keepers
        self._directory = directory
        self.dockets: dict[JobId, Docket] = {}

    def ready(self, job: JobId, now: Now) -> bool:
        """Whether this peer decides claims of the job now."""
        docket = self.dockets.get(job)
        return docket is not None and docket.ready_at <= now.instant and self._keepers.acting(job, now)

    def taken(self, job: JobId, task: int) -> bool:
        """Whether the task has a lease or a grant, or claims that wait for the verdict."""
        docket = self.dockets.get(job)
        return docket is not None and docket.taken(task)

    def attempt(self, job: JobId, task: int) -> int:
        """Return the highest attempt that claims of the task have named."""
        docket = self.dockets.get(job)
        return docket.attempts.get(task, 0) if docket else 0

    @property
    def renders_as_of(self) -> tuple[int, int]:
        """What changes whenever `renders` may say another thing than before."""
        return (self._directory.offers, self._members.changes)

    def renders(self, peer: PeerId, slots: int) -> int:
        """Return how many of the slots that a follower names it renders with, by its offer and its role."""
        if not slots or peer == self._directory.me:
            return slots
        spare = self._directory.spare_slots_of(peer)  # a keeper asks of each follower, with each window
        return min(slots, spare) if spare and self._members.may(peer, Role.RENDER) else 0

    def on_started(self, turn: Turn) -> None:
        """Go on keeping what the journal says that this peer keeps, once the leases that live were heard."""
        for job, ledger in self._ledger.jobs.items():
            if not ledger.ended and self._keepers.marked(job, turn.now):
                self._docket(turn, job)

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """Begin to keep a job."""
        ledger = self._ledger.get(note.mark.body.job)
        if note.mark.author == self._directory.me and ledger is not None and not ledger.ended:
            self._docket(turn, note.mark.body.job)

    def on_claim_sent(self, turn: Turn, peer: PeerId, message: ClaimSent) -> None:
        """Collect claims until their task is settled; answer at once where there is nothing to settle."""
        for claim in message.claims:
            ledger = self._ledger.get(claim.body.job)
            if ledger is None or claim.author != peer or not _tasks(ledger, claim):
                continue
            if ledger.ended or not self._members.may(peer, Role.RENDER):
                turn.send(peer, Verdict(claim=claim.id, yours=False))
            elif self._keepers.acting(ledger.id, turn.now):
                docket = self._docket(turn, ledger.id)
                if docket.ready_at <= turn.now.instant:
                    self._consider(turn, ledger, docket, claim)

    def on_settle_ends(self, turn: Turn, timer: SettleEnds) -> None:
        """Decide."""
        docket = self.dockets.get(timer.job)
        ledger = self._ledger.get(timer.job)
        pending = docket.pending.get(timer.task) if docket else None
        if docket is None or ledger is None or pending is None or pending.until > turn.now.instant:
            return  # a timer of claims that were given up
        docket.pending.pop(timer.task)
        claims = pending.claims
        lease = docket.leases.get(timer.task)
        open_now = ledger.is_open(timer.task)
        best: Signed[Claim] | None = None
        if lease is None and open_now:
            able = [claim for claim in claims if self._may_hold_more(docket, claim)]
            able = [claim for claim in able if not _clashes(ledger, docket, claim.body)]
            able = [claim for claim in able if not ledger.task(timer.task).waits_for_others(claim.author)]
            best = min(able, key=lambda claim: (claim.author in docket.idlers, _suits(ledger, claim)), default=None)
        if best is not None:
            self._begin(turn, ledger, docket, best)
        for claim in claims:
            yours = claim == best or (lease is not None and lease.claim == claim.id)
            turn.send(claim.author, Verdict(claim=claim.id, yours=yours))
        turn.tell(WindowChanged(job=timer.job))

    def on_withdraw(self, turn: Turn, peer: PeerId, message: Withdraw) -> None:
        """Forget what its claimant gave up."""
        docket = self.dockets.get(message.job)
        if docket is None:
            return
        withdrawn = dict.fromkeys(message.claims)
        changed = docket.give_back(peer, withdrawn, turn.now.instant)
        for claim in withdrawn:
            lease = docket.by_claim.get(claim)
            if lease is not None and lease.holder == peer:
                docket.end(lease)
                changed = True
        for task, pending in list(docket.pending.items()):
            pending.claims = [claim for claim in pending.claims if claim.id not in withdrawn or claim.author != peer]
            if not pending.claims:
                docket.pending.pop(task)
                changed = True
        if changed:
            turn.tell(WindowChanged(job=message.job))

    def on_heartbeat(self, turn: Turn, peer: PeerId, message: Heartbeat) -> None:
        """Note which leases live."""
        docket = self.dockets.get(message.job)
        if docket is None:
            return
        for beat in message.beats:
            lease = docket.by_claim.get(beat.claim)
            if lease is not None and lease.holder == peer:
                lease.hear(turn.now.instant, beat.progress, direct=True)

    def on_running(self, turn: Turn, peer: PeerId, message: Running) -> None:
        """Learn of claims that somebody works on; a task that another renders keeps its lease."""
        for claim in message.claims:
            ledger = self._ledger.get(claim.body.job)
            if ledger is None or claim.author != peer or not self._keepers.marked(ledger.id, turn.now):
                continue
            tasks = _tasks(ledger, claim)
            if not any(map(ledger.is_open, tasks)) or not self._members.may(peer, Role.RENDER):
                continue
            docket = self._docket(turn, ledger.id)
            if claim.id in docket.stalled:
                continue
            lease = docket.by_claim.get(claim.id)
            if lease is not None:
                lease.hear(turn.now.instant, lease.progress, direct=True)
            elif (
                docket.leases.keys().isdisjoint(tasks)
                and not _clashes(ledger, docket, claim.body)
                and self._may_hold_more(docket, claim)
            ):
                docket.begin(lease_of(claim, tasks, turn.now.instant))
                turn.tell(WindowChanged(job=ledger.id))

    def on_leases_heard(self, turn: Turn, peer: PeerId, message: LeasesHeard) -> None:
        """Take another keeper's word for what it hears, as far as who may render could have so much in hand."""
        ledger = self._ledger.get(message.job)
        docket = self.dockets.get(message.job)
        if ledger is None or docket is None or peer not in self._keepers.of(message.job, turn.now):
            return
        changed = False
        for heard in message.leases:
            tasks = ledger.parts.of(heard.task, heard.block)
            if not tasks or heard.claim in docket.stalled or (heard.assembles and heard.block is not None):
                continue
            lease = docket.by_claim.get(heard.claim)
            if lease is not None:
                lease.hear(turn.now.instant, heard.progress, direct=False)
                continue
            free = docket.leases.keys().isdisjoint(tasks) and not _clashes(ledger, docket, heard)
            if free and any(map(ledger.is_open, tasks)) and self._may_be(docket, heard.holder):
                docket.begin(lease_told(heard, tasks, turn.now.instant))
                changed = True
        if changed:
            turn.tell(WindowChanged(job=message.job))

    def on_tick(self, turn: Turn) -> None:
        """End silent and stalled leases; tell the other keepers what is heard here."""
        for job, docket in self.dockets.items():
            ledger = self._ledger.get(job)
            if ledger is None:
                continue
            changed = docket.expire(turn.now.instant)
            for lease in list(docket.by_claim.values()):
                if lease.assembles and ledger.open_bits(lease.task):
                    lease.progressed_at = turn.now.instant  # it waits for others
                if turn.now.instant - lease.heard_at > LEASE_MS:
                    docket.end(lease)
                    changed = True
                elif turn.now.instant - lease.progressed_at > _patience_ms(ledger, docket, lease):
                    docket.stall(lease)
                    changed = True
            if changed:
                turn.tell(WindowChanged(job=job))
            self._tell_keepers(turn, ledger, docket.by_claim.values())

    def on_peer_dead(self, turn: Turn, note: PeerDead) -> None:
        """End a dead holder's leases at once."""
        for job, docket in self.dockets.items():
            orphaned = [lease for lease in docket.by_claim.values() if lease.holder == note.peer]
            for lease in orphaned:
                docket.end(lease)
            if orphaned:
                turn.tell(WindowChanged(job=job))

    def on_entry_added(self, _turn: Turn, note: EntryAdded) -> None:
        """Have the author of a rejected picture come last: it might render the same again."""
        what, docket = note.entry.body.what, self.dockets.get(note.entry.body.job)
        ledger = self._ledger.get(note.entry.body.job)
        if isinstance(what, Reject) and docket is not None and ledger is not None:
            rejected = ledger.entries.get(what.result)
            if rejected is not None and ledger.is_out(rejected):
                docket.idlers[rejected.author] = None

    def on_task_changed(self, turn: Turn, note: TaskChanged) -> None:
        """A task that has its result, or is stopped, needs no lease."""
        docket = self.dockets.get(note.job)
        ledger = self._ledger.get(note.job)
        if docket is None or ledger is None:
            return
        self._look_again(turn, ledger, docket, note.task, (note.task, *ledger.parts.cells_of(note.task)))
        turn.tell(WindowChanged(job=note.job))

    def on_cells_changed(self, turn: Turn, note: CellsChanged) -> None:
        """The same of cells: a bucket is needed while one of its is."""
        docket = self.dockets.get(note.job)
        ledger = self._ledger.get(note.job)
        if docket is not None and ledger is not None:
            self._look_again(turn, ledger, docket, note.frame, note.tasks)
            turn.tell(WindowChanged(job=note.job))

    def _look_again(self, turn: Turn, ledger: JobLedger, docket: Docket, frame: int, tasks: Iterable[int]) -> None:
        """End what nobody needs any more of a frame's leases, tail copies among them, since these tasks changed.

        Who still renders what another has rendered is told so: it may have no records but its own.
        """
        changed = dict.fromkeys(tasks)
        for task in changed:
            counting = ledger.task(task).counting
            if counting is not None:
                docket.attempts.pop(task, None)
                docket.counts(task, counting.author)
        for lease in [lease for lease in docket.by_claim.values() if lease.task == frame]:
            needless = all(ledger.task(each).state is TaskFold.COUNTS for each in lease.tasks)
            unneeded = lease.block is not None and not ledger.is_open(frame)
            if needless or unneeded or _holder_spoke(ledger, lease, changed):
                docket.end(lease)
                if needless and any(_made_by_another(ledger, each, lease.holder) for each in lease.tasks):
                    turn.send(lease.holder, Verdict(claim=lease.claim, yours=False))

    def on_slept(self, turn: Turn) -> None:
        """After a gap every lease here is a memory; wait as after a start."""
        for docket in self.dockets.values():
            docket.ready_at = later(turn.now.instant, RESTARTED_KEEPER_MS)
            for lease in docket.by_claim.values():
                lease.heard_at = turn.now.instant
                lease.progressed_at = turn.now.instant

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Nothing is left to arbitrate."""
        self.dockets.pop(note.job, None)

    def _consider(self, turn: Turn, ledger: JobLedger, docket: Docket, claim: Signed[Claim]) -> None:
        task = claim.body.task
        lease = docket.by_claim.get(claim.id)
        if lease is not None:
            turn.send(claim.author, Verdict(claim=claim.id, yours=True))
        elif claim.body.block is not None:
            self._consider_bucket(turn, ledger, docket, claim)
        elif (
            not ledger.is_open(task)
            or task in docket.leases
            or _clashes(ledger, docket, claim.body)
            or ledger.task(task).waits_for_others(claim.author)
        ):
            turn.send(claim.author, Verdict(claim=claim.id, yours=False))
        else:
            waiting = docket.pending.get(task)
            others = [other for other in waiting.claims if other.author != claim.author] if waiting else []
            again = waiting is not None and len(others) < len(waiting.claims)
            if not again and not self._may_hold_more(docket, claim):
                # While it waited for its settle time nobody else would be told that the task is open.
                turn.send(claim.author, Verdict(claim=claim.id, yours=False))
            elif waiting is None:
                settle_ms = self._settle_ms(docket, claim.author)
                docket.pending[task] = Pending(claims=[claim], until=later(turn.now.instant, settle_ms))
                turn.wake(SettleEnds(job=ledger.id, task=task), settle_ms)
                turn.tell(WindowChanged(job=ledger.id))
            else:
                waiting.claims = [*others, claim]
                settle_ms = self._settle_ms(docket, claim.author)
                if later(turn.now.instant, settle_ms) < waiting.until:
                    waiting.until = later(turn.now.instant, settle_ms)
                    turn.wake(SettleEnds(job=ledger.id, task=task), settle_ms)
                    turn.tell(WindowChanged(job=ledger.id))

    def _consider_bucket(self, turn: Turn, ledger: JobLedger, docket: Docket, claim: Signed[Claim]) -> None:
        tasks = _tasks(ledger, claim)
        granted = docket.take_up(claim, tasks)
        if granted is not None and granted.copy:
            wanted = any(map(ledger.is_open, tasks))
        else:
            wanted = docket.free(tasks) and all(map(ledger.is_open, tasks))
        yours = wanted and not _clashes(ledger, docket, claim.body) and self._may_hold_more(docket, claim)
        if yours:
            self._begin(turn, ledger, docket, claim)
        elif wanted and granted is not None:  # it would be granted the same again, and refused it, at once and for ever
            docket.ignore(claim.author, turn.now.instant)
        turn.send(claim.author, Verdict(claim=claim.id, yours=yours))
        if yours or granted is not None:
            turn.tell(WindowChanged(job=ledger.id))

    def _may_hold_more(self, docket: Docket, claim: Signed[Claim]) -> bool:
        """Whether a claimant is there, and has no more leases, and claims that wait, than its slots can explain.

        A slot begins with what it renders and one ahead, and has two more for each result of its peer that counts, as a
        run of short frames needs: who claims all that it hears of, and renders nothing, has few. An assembly takes no
        slot while it waits, and may wait for what its own holder is to render.
        """
        peer = claim.author
        if peer == self._directory.me:
            return True
        if not self._directory.connected(peer):
            return False
        assembling = [lease.assembles for lease in docket.by_claim.values() if lease.holder == peer]
        claims = (claim for pending in docket.pending.values() for claim in pending.claims)
        assembling += [waiting.body.assembles for waiting in claims if waiting.author == peer]
        slots = max(1, self._directory.slots_of(peer))
        if len(assembling) >= slots * _LEASES_PER_SLOT:
            return False
        if claim.body.assembles:
            return peer not in docket.idlers or assembling.count(True) < slots
        return assembling.count(False) < docket.renders_most(peer, slots)

    def _may_be(self, docket: Docket, holder: PeerId) -> bool:
        """Whether another keeper's word for one lease more is taken: a peer's slots explain so many, and all strangers,
        of whom nobody knows how many they have, share some.
        """
        slots = self._directory.slots_of(holder)
        if not slots:
            strangers = sum(count for other, count in docket.held.items() if not self._directory.slots_of(other))
            return strangers < _STRANGERS_SLOTS * _LEASES_PER_SLOT
        return docket.held[holder] < slots * _LEASES_PER_SLOT and self._members.may(holder, Role.RENDER)

    def _settle_ms(self, docket: Docket, author: PeerId) -> int:
        """Return how long a claim waits for a better one; an idler's as long as any, or the nearest peer, if it idles,
        would have each task again before those farther off could claim it.
        """
        if author in docket.idlers:
            return SETTLE_MOST_MS
        measured = self._directory.usual_round_trip_ms()
        if measured is None:
            return SETTLE_LEAST_MS
        return min(SETTLE_MOST_MS, max(SETTLE_LEAST_MS, 2 * measured))

    def _begin(self, turn: Turn, ledger: JobLedger, docket: Docket, claim: Signed[Claim]) -> None:
        lease = lease_of(claim, _tasks(ledger, claim), turn.now.instant)
        docket.begin(lease)
        if ledger.twice:
            turn.tell(OpinionWanted(job=ledger.id, task=claim.body.task, peer=claim.author))
        self._tell_keepers(turn, ledger, [lease])

    def _tell_keepers(self, turn: Turn, ledger: JobLedger, leases: Iterable[Lease]) -> None:
        heard: list[LeaseHeard] = []
        for lease in leases:
            if lease.direct_at is not None and (lease.told_at is None or lease.direct_at > lease.told_at):
                heard.append(lease.told())
                lease.told_at = turn.now.instant
        if not heard:
            return
        for peer in self._keepers.of(ledger.id, turn.now):
            if peer != self._directory.me:
                for at in range(0, len(heard), _LEASES_PER_MESSAGE):
                    part = tuple(heard[at : at + _LEASES_PER_MESSAGE])
                    turn.send(peer, LeasesHeard(job=ledger.id, leases=part))

    def _docket(self, turn: Turn, job: JobId) -> Docket:
        docket = self.dockets.get(job)
        if docket is None:
            wait_ms = 0 if job in self._keepers.fresh else RESTARTED_KEEPER_MS
            docket = self.dockets[job] = Docket(ready_at=later(turn.now.instant, wait_ms))
            self._prove(job, docket)
            turn.tell(WindowChanged(job=job))
        return docket

    def _prove(self, job: JobId, docket: Docket) -> None:
        """Credit those whose results count already."""
        ledger = self._ledger.jobs[job]
        for frame in range(ledger.frames):
            for task in (frame, *ledger.parts.cells_of(frame)):
                counting = ledger.task(task).counting
                if counting is not None:
                    docket.counts(task, counting.author)


def _clashes(ledger: JobLedger, docket: Docket, claim: Claim | LeaseHeard) -> bool:
    """Whether a frame is claimed whole that is rendered in buckets, or a bucket of one that is rendered whole."""
    frame = claim.task
    if claim.block is not None:
        whole = docket.leases.get(frame)
        return whole is not None and not whole.assembles
    if claim.assembles or not ledger.parts.is_cut(frame):
        return False
    return not ledger.parts.may_be_whole(frame) or docket.buckets[frame] > 0 or ledger.has_buckets(frame)


def _suits(ledger: JobLedger, claim: Signed[Claim]) -> tuple[bool, bytes, RecordId]:
    """Return how well a task suits its claimant, lowest first: who wants the file assembles it best, having it then."""
    wants_it = claim.body.assembles and claim.author == ledger.submitter
    return (not wants_it, rank(ledger.id, claim.body.task, claim.author), claim.id)


def _tasks(ledger: JobLedger, claim: Signed[Claim]) -> tuple[int, ...]:
    if claim.body.assembles and claim.body.block is not None:
        return ()  # an assembly never stalls while it waits for buckets: a bucket must not pass for one
    return ledger.parts.of(claim.body.task, claim.body.block)


def _patience_ms(ledger: JobLedger, docket: Docket, lease: Lease) -> int:
    """Return how long a lease may make no progress; who let one stall before any result has no such time again."""
    unknown = not ledger.median_ms and lease.holder not in docket.idlers
    return STALLED_UNKNOWN_MS if unknown else max(STALLED_LEAST_MS, STALLED_MEDIANS * ledger.median_ms)


def _holder_spoke(ledger: JobLedger, lease: Lease, changed: Container[int]) -> bool:
    """Whether a lease's holder has failed its task, or has published a picture with which others are to agree."""
    folded = [ledger.task(task) for task in lease.tasks if task in changed]
    said = (entry for each in folded for entry in (*each.failures, *each.waiting))
    return any(entry.author == lease.holder and _attempt(entry) >= lease.attempt for entry in said)


def _made_by_another(ledger: JobLedger, task: int, peer: PeerId) -> bool:
    counting = ledger.task(task).counting
    return counting is not None and counting.author != peer


def _attempt(entry: Signed[Entry]) -> int:
    what = entry.body.what
    return what.attempt if isinstance(what, Failed | Result) else 0
