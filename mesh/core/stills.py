"""The coordinator's work: keep every slot one bucket ahead, and let the last buckets end soon.

Theory: whoever coordinates a job's stills knows from leases, records and followers what is open and who is there; from
results what a pixel costs each peer. It grants the next bucket of a suitable size to whoever has the least in hand. A
grant keeps the cells for a moment and binds nobody: the claim that takes it up does. Near the end, when nothing is open
any more, an idle peer that would be faster is granted a copy of what another renders.

Invariants: nothing here is unique: whoever takes over works it out again. Who coordinates is not decided here.
"""

from collections import Counter

from mesh.core.buckets import Bucket, Buckets
from mesh.core.costs import Costs
from mesh.core.directory import Directory
from mesh.core.dockets import Docket, Granted, Lease
from mesh.core.election import Election
from mesh.core.leases import Leases
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import EntryAdded, EpochRaised, FollowerCame, JobEnded, WindowChanged
from mesh.core.turn import Turn
from mesh.core.windows import Windows
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Instant, later
from mesh.ground.limits import GRANT_MS, TAIL_COPIES_MOST, TAIL_GAIN_LEAST_MS, TAIL_GAIN_PERCENT
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.messages import portions
from mesh.wire.records import Failed, Result
from mesh.wire.stills import Grant, Grants, Leading


class Stills:
    """Grant the buckets of the jobs that this peer coordinates."""

    def __init__(
        self,
        ledger: Ledger,
        election: Election,
        leases: Leases,
        windows: Windows,
        directory: Directory,
        *,
        costs: Costs,
        signer: Signer,
    ) -> None:
        self._ledger = ledger
        self._election = election
        self._leases = leases
        self._windows = windows
        self._directory = directory
        self._costs = costs
        self._signer = signer
        self._number = 0
        self.tail_copies: Counter[JobId] = Counter()
        """Copies that were granted, of each job."""
        self._freed_at: dict[JobId, dict[PeerId, Instant]] = {}
        """When each peer was last heard to be through with a bucket."""

    def on_epoch_raised(self, turn: Turn, note: EpochRaised) -> None:
        """Begin to grant, where it is this peer that coordinates now."""
        epoch = self._election.epoch(note.job)
        if epoch is not None and self._election.leads(note.job, turn.now):
            for peer in self._windows.followers(note.job):
                turn.send(peer, Leading(epoch=epoch))
            self._deal(turn, note.job)

    def on_window_changed(self, turn: Turn, note: WindowChanged) -> None:
        """See who has too little in hand now."""
        self._deal(turn, note.job)

    def on_follower_came(self, turn: Turn, note: FollowerCame) -> None:
        """Give work to who just came."""
        self._deal(turn, note.job)

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Learn what a pixel costs others; of its own renders this peer knows before they are records."""
        what, job = note.entry.body.what, note.entry.body.job
        ledger = self._ledger.get(job)
        if ledger is None or ledger.ended or not isinstance(what, Result | Failed) or what.block is None:
            return
        self._freed_at.setdefault(job, {})[note.entry.author] = turn.now.instant
        if isinstance(what, Result) and not note.own:
            pixels = ledger.parts.grid.pixels(what.block).area
            self._costs.note(job, note.entry.author, pixels, what.render_ms)

    def on_tick(self, turn: Turn) -> None:
        """Grant again what came back, and copies of what takes long."""
        for job, ledger in self._ledger.jobs.items():
            if ledger.parts.cut is not None:
                self._deal(turn, job)

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Forget what its pixels cost, and what was rendered twice."""
        self._costs.forget(note.job)
        self.tail_copies.pop(note.job, None)
        self._freed_at.pop(note.job, None)

    def _deal(self, turn: Turn, job: JobId) -> None:
        ledger, docket = self._ledger.get(job), self._leases.dockets.get(job)
        if ledger is None or docket is None or ledger.parts.cut is None or not self._election.leads(job, turn.now):
            return
        there = self._windows.followers(job)
        slots = {peer: count for peer, count in there.items() if peer not in docket.deaf}
        in_hand = _in_hand(docket)
        if all(in_hand[peer] >= 2 * count for peer, count in slots.items()):
            return
        everybody = self._everybody(ledger, there)
        buckets = Buckets(ledger.parts)
        buckets.tell(self._windows.open_cells(ledger))
        found: dict[PeerId, list[Signed[Grant]]] = {}
        able, failed = dict(slots), _failed(ledger)
        while buckets.cells and able:
            peer = min(able, key=lambda peer: (in_hand[peer] // slots[peer], in_hand[peer], peer))
            remaining = buckets.pixels
            pixels = self._costs.bucket_pixels(job, peer, remaining, everybody)
            ahead = 1 if remaining > buckets.size(pixels) * everybody else 0
            if in_hand[peer] >= (1 + ahead) * slots[peer]:
                break
            if in_hand[peer] >= docket.renders_most(peer, slots[peer]):
                able.pop(peer)  # it would be refused what it is granted
                continue
            bucket = buckets.next(pixels, failed.get(peer, ()), self._costs.within_pixels(job, remaining, everybody))
            if bucket is None:
                able.pop(peer)
                continue
            buckets.take(bucket.frame, bucket.block)
            in_hand[peer] += 1
            found.setdefault(peer, []).append(self._grant(turn, ledger, docket, peer, bucket))
        if not buckets.cells:
            for peer, bucket in self._copies(turn, ledger, docket, slots, in_hand):
                found.setdefault(peer, []).append(self._grant(turn, ledger, docket, peer, bucket, copy=True))
        for peer, grants in found.items():
            for portion in portions(Grants, "grants", grants):
                turn.send(peer, Grants(grants=portion))

    def _everybody(self, ledger: JobLedger, there: dict[PeerId, int]) -> int:
        """Return how many slots there will be: who has the scene first must not take what others are about to."""
        others = self._directory.slots_for(ledger.job)
        return max(1, sum(there.values()), there.get(self._directory.me, 0) + others)

    def _copies(
        self, turn: Turn, ledger: JobLedger, docket: Docket, slots: dict[PeerId, int], in_hand: Counter[PeerId]
    ) -> list[tuple[PeerId, Bucket]]:
        """Choose who of the idle renders again what another would end much later."""
        found: list[tuple[PeerId, Bucket]] = []
        copied = Counter(task for lease in docket.by_claim.values() for task in lease.tasks)
        copied.update(task for granted in docket.grants.values() for task in granted.tasks)
        idle = sorted(peer for peer in slots if in_hand[peer] == 0)
        left = self._left(turn, ledger, docket, slots) if idle else []
        late = sorted(left, key=lambda each: (-each[0], each[1].claim))
        failed = _failed(ledger)
        for peer in idle:
            for left_ms, lease in late:
                if len(found) + self.tail_copies[ledger.id] >= TAIL_COPIES_MOST * max(1, len(slots)):
                    return found
                if lease.holder == peer or copied[lease.tasks[0]] > 1:
                    continue
                if not failed.get(peer, {}).keys().isdisjoint(lease.tasks):
                    continue
                again_ms = self._costs.expected_ms(ledger.id, peer, self._pixels(ledger, lease))
                if again_ms is None or not _pays(again_ms, left_ms, self._costs.loading_ms(ledger.id, peer)):
                    continue
                assert lease.block is not None
                copied.update(lease.tasks)
                attempt = max(docket.attempts.get(task, 0) for task in lease.tasks)
                found.append((peer, Bucket(frame=lease.task, block=lease.block, attempt=attempt)))
                break
        return found

    def _left(self, turn: Turn, ledger: JobLedger, docket: Docket, slots: dict[PeerId, int]) -> list[tuple[int, Lease]]:
        """Return how long each bucket in somebody's hand will still take; who is late is taken to need as long again.

        A bucket is claimed one ahead: it begins when what its holder had before ends, and not with its lease.
        """
        found: list[tuple[int, Lease]] = []
        freed_at, by_holder = self._freed_at.get(ledger.id, {}), dict[PeerId, list[int]]()
        for lease in docket.by_claim.values():
            if lease.block is None:
                continue
            before = by_holder.setdefault(lease.holder, [])
            left_ms = self._costs.expected_ms(ledger.id, lease.holder, self._pixels(ledger, lease)) or 0
            if len(before) >= slots.get(lease.holder, 1):
                left_ms += before[-slots.get(lease.holder, 1)]
            else:
                begun_at = max(lease.begun_at, freed_at.get(lease.holder, lease.begun_at))
                spent_ms = turn.now.instant - begun_at
                left_ms = left_ms - spent_ms if spent_ms < left_ms else spent_ms
            before.append(left_ms)
            found.append((left_ms, lease))
        return found

    def _pixels(self, ledger: JobLedger, lease: Lease) -> int:
        assert lease.block is not None
        return ledger.parts.grid.pixels(lease.block).area

    def _grant(
        self, turn: Turn, ledger: JobLedger, docket: Docket, peer: PeerId, bucket: Bucket, *, copy: bool = False
    ) -> Signed[Grant]:
        epoch = self._election.epoch(ledger.id)
        assert epoch is not None
        self._number += 1
        body = Grant(
            job=ledger.id,
            epoch=epoch.body.number,
            number=self._number,
            peer=peer,
            task=bucket.frame,
            block=bucket.block,
            attempt=bucket.attempt,
        )
        grant = sign(body, self._signer)
        tasks = ledger.parts.of(bucket.frame, bucket.block)
        until = later(turn.now.instant, GRANT_MS)
        docket.grant(grant.id, Granted(peer=peer, task=bucket.frame, tasks=tasks, until=until, copy=copy))
        self.tail_copies[ledger.id] += copy
        return grant


def _pays(again_ms: int, left_ms: int, loading_ms: int) -> bool:
    """Whether it is worth rendering a bucket again that will be there anyhow: who is later loses its engine."""
    least_ms = max(TAIL_GAIN_LEAST_MS, loading_ms)
    return left_ms - again_ms >= least_ms and again_ms * 100 <= left_ms * (100 - TAIL_GAIN_PERCENT)


def _failed(ledger: JobLedger) -> dict[PeerId, dict[int, None]]:
    """Return which open cells each peer has failed: it would give them back, and be granted nothing for a while."""
    found: dict[PeerId, dict[int, None]] = {}
    for task in [task for task in ledger.tried if task >= ledger.frames]:
        for entry in ledger.task(task).failures:
            found.setdefault(entry.author, {})[task] = None
    return found


def _in_hand(docket: Docket) -> Counter[PeerId]:
    """Count what each peer works on, has claimed ahead or was just granted."""
    found = Counter(lease.holder for lease in docket.by_claim.values() if not lease.assembles)
    found.update(granted.peer for granted in docket.grants.values())
    return found
