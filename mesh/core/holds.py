"""Copies that outlive their author: who holds which output, when a task is safe, when an output is lost.

A hold is a signed promise made after the bytes were checked and are on the disk. Authors hold what they rendered;
keepers and the submitter take over as many copies as the job asks, chosen by rank among those that answer, so that no
two hurry for one. A task is safe with holds from `copies` different peers. Where nobody answers that it has an output,
the output is lost. Buckets are a means: their author and whoever assembles them have one, and nobody promises anything.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from mesh.core.directory import Directory
from mesh.core.effects import CheckOutput, Earned
from mesh.core.events import BlobDamaged, OutputChecked
from mesh.core.fold import result_of
from mesh.core.host import HostFacts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import (
    BlobComplete,
    BlobsEvicted,
    EntryAdded,
    HoldHeard,
    JobEnded,
    JobStruck,
    MarkHeard,
    PeerReached,
    Publish,
    SceneComplete,
    TaskChanged,
    TasksSafe,
)
from mesh.core.ops import Ops
from mesh.core.placement import rank
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.instants import Instant, WallTime, later
from mesh.ground.limits import LOST_AFTER_MS, LOST_AFTER_SAFE_MS
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptHold
from mesh.wire.messages import Holds
from mesh.wire.records import Entry, Hold, Lost, Result, Statement

_HOLDS_PER_MESSAGE = 64
_NONCE_SIZE = 16
_HOLDS_PER_TASK = 2
_HOLDS_LEAST = 64
"""Holds that one peer may give in a job, most of them of results that are not here yet: twice its tasks and some."""

_UNSAFE_PER_TICK = 256
"""Outputs without enough holds that are looked at each second, those of all jobs by equal parts: where too few peers
are left, all of them lack some."""

_UNSAFE_LEAST = 4
"""Of each job at least."""

_WANTED_PER_AUTHOR = 64
"""Outputs of one author that are sought to be held: many times what is fetched at once, and whoever claims thousands
that nobody has makes nobody ask all peers for all of them."""

_SAFE_EACH_MS = 30_000
"""How often outputs that are safe are looked for: their holders mostly come back."""

_LOOK_AGAIN_MS = 10_000
_TAKEN_OVER_MS = 10_000
"""Who was chosen to take a copy may be cut off from its source without anybody's knowing: each time that this much goes
by and copies are still missing, one more peer takes one."""

_LOST_STAGGER_MS = 5_000
"""Keepers say that an output is lost one after the other, the closest first: one word is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output that this peer is to hold and has not checked yet."""

    job: JobId
    task: int
    author: PeerId


class Holding:
    """Hold what this peer should, and know what others hold."""

    def __init__(
        self,
        ledger: Ledger,
        keepers: Keepers,
        directory: Directory,
        swarm: Swarm,
        *,
        host: HostFacts,
        ops: Ops,
        signer: Signer,
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._directory = directory
        self._swarm = swarm
        self._host = host
        self._ops = ops
        self._signer = signer
        self._holds: dict[JobId, dict[BlobId, dict[PeerId, Signed[Hold]]]] = {}
        self._wanted: dict[BlobId, Wanted] = {}
        self._wanted_of: dict[tuple[JobId, int], BlobId] = {}
        self._wanted_by: Counter[PeerId] = Counter()
        """How many of each author's."""
        self._checking: dict[int, tuple[JobId, BlobId]] = {}
        self._bad: dict[BlobId, None] = {}
        self._look_again_at: dict[BlobId, Instant] = {}
        """Outputs that could not be looked at here, and when to try again."""
        self._safe: dict[JobId, dict[int, None]] = {}
        self._unsafe: dict[JobId, dict[int, None]] = {}
        """Tasks that count and lack holds."""
        self._lacking_since: dict[JobId, dict[BlobId, Instant]] = {}
        """Since when this peer knows of outputs that copies are missing."""
        self._given: dict[JobId, dict[PeerId, int]] = {}
        """How many holds of each job a peer has given."""
        self._gone_since: dict[RecordId, Instant] = {}
        self._safe_seen_at: dict[JobId, Instant] = {}
        self._wall = WallTime(0)
        """The host's calendar at the last tick; days are what it is asked for."""

    def restore(self, holds: Iterable[Signed[Hold]]) -> None:
        """Take this peer's own holds from the journal; one whose blob is gone from the disk promises too much."""
        for hold in holds:
            ledger = self._ledger.get(hold.body.job)
            if ledger is not None and self._swarm.complete(hold.body.blob):
                self._note(ledger, hold)
        for ledger in self._ledger.jobs.values():
            for task in range(ledger.frames):
                self._sort(ledger, task)

    def on_started(self, turn: Turn) -> None:
        """Hold what this peer rendered and had no time to hold before it ended."""
        for ledger in self._ledger.jobs.values():
            for entry in list(ledger.entries.values()):
                if entry.author == self._directory.me and _is_final(entry.body.what) and not ledger.ended:
                    for output in result_of(entry).outputs:
                        if self._swarm.complete(output.blob):
                            self._hold(turn, ledger.id, output.blob)

    def holders(self, job: JobId, blob: BlobId) -> dict[PeerId, Signed[Hold]]:
        """Return who holds a blob, as far as this peer knows."""
        return self._holds.get(job, {}).get(blob, {})

    def held(self, job: JobId) -> list[BlobId]:
        """Return what this peer itself holds for a job."""
        return [blob for blob, by_peer in self._holds.get(job, {}).items() if self._directory.me in by_peer]

    def bound(self, blob: BlobId) -> bool:
        """Whether an own hold of a blob binds: its job is known, not cancelled, and not past its last day."""
        for job, by_blob in self._holds.items():
            ledger = self._ledger.get(job)
            if ledger is None or ledger.cancel is not None or ledger.job.last_day < self._wall:
                continue
            if self._directory.me in by_blob.get(blob, {}):
                return True
        return False

    def in_use(self) -> Iterable[BlobId]:
        """Return what is being checked before it is held."""
        return [blob for _, blob in self._checking.values()]

    def safe_count(self, job: JobId) -> int:
        """Return how many tasks are known safe."""
        return len(self._safe.get(job, {}))

    def is_safe(self, job: JobId, task: int) -> bool:
        """Whether a task's counting output has as many holds as its job asks."""
        return task in self._safe.get(job, {})

    def unsafe_of_mine(self) -> bool:
        """Whether an output that this peer rendered is not safe yet, in a job that goes on."""
        for job, tasks in self._unsafe.items():
            ledger = self._ledger.jobs[job]
            for task in tasks:
                counting = ledger.task(task).counting
                if not ledger.ended and counting is not None and counting.author == self._directory.me:
                    return True
        return False

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Hold what this peer rendered itself: its pictures were checked before the result was written."""
        if note.own and _is_final(note.entry.body.what):
            for output in result_of(note.entry).outputs:
                self._hold(turn, note.entry.body.job, output.blob)

    def on_task_changed(self, turn: Turn, note: TaskChanged) -> None:
        """Look whether this peer should take a copy of what counts now."""
        ledger = self._ledger.get(note.job)
        if ledger is not None:
            self._judge(turn, ledger, [note.task])
            self._want_no_more(ledger, note.task)
            self._consider(turn, ledger, note.task)

    def on_scene_complete(self, turn: Turn, note: SceneComplete) -> None:
        """Hold the scene of a job that this peer keeps."""
        ledger = self._ledger.get(note.job)
        if ledger is not None and self._keepers.marked(note.job, turn.now):
            self._hold(turn, note.job, ledger.job.scene)

    def on_holds(self, turn: Turn, peer: PeerId, message: Holds) -> None:
        """Learn of the holds that a member gave; nobody speaks for another."""
        for hold in message.holds:
            ledger = self._ledger.get(hold.body.job)
            if ledger is None or hold.author != peer or not self._keepers_want(ledger, turn):
                continue
            if self._note(ledger, hold):
                turn.tell(HoldHeard(hold=hold))

    def on_hold_heard(self, turn: Turn, note: HoldHeard) -> None:
        """See whether a task is safe now."""
        ledger = self._ledger.get(note.hold.body.job)
        if ledger is None:
            return
        self._judge(turn, ledger, ledger.by_output.get(note.hold.body.blob, {}))

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Check an output that came, before promising to keep it."""
        wanted = self._unwant(note.blob)
        ledger = self._ledger.get(wanted.job) if wanted else None
        if wanted is None or ledger is None or note.blob in self._bad:
            return
        op = self._ops.next()
        self._checking[op] = (wanted.job, note.blob)
        turn.do(CheckOutput(op=op, job=ledger.head.job, blob=note.blob))

    def on_blob_damaged(self, turn: Turn, event: BlobDamaged) -> None:
        """Fetch again what this peer promised to keep."""
        for job, by_blob in self._holds.items():
            ledger = self._ledger.jobs[job]
            if self._directory.me not in by_blob.get(event.blob, {}):
                continue
            for task in ledger.by_output.get(event.blob, {}):
                self._want(event.blob, Wanted(job=job, task=task, author=self._directory.me))
                self._swarm.want(turn, event.blob, b"hold" + job, *by_blob[event.blob])

    def on_blobs_evicted(self, _turn: Turn, note: BlobsEvicted) -> None:
        """Forget own holds that bound no more: whoever has not the bytes must not say that it does."""
        for by_blob in self._holds.values():
            for blob in note.blobs:
                by_blob.get(blob, {}).pop(self._directory.me, None)

    def on_output_checked(self, turn: Turn, event: OutputChecked) -> None:
        """Hold what is good."""
        checked = self._checking.pop(event.op, None)
        if checked is None:
            return
        if event.good:
            self._hold(turn, *checked)
        elif event.good is None:
            self._look_again_at[event.blob] = later(turn.now.instant, _LOOK_AGAIN_MS)
        else:
            self._bad[event.blob] = None

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """Tell a new keeper what this peer holds."""
        if note.mark.author != self._directory.me:
            self._tell(turn, note.mark.author, note.mark.body.job)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Tell a keeper or submitter what this peer holds."""
        for job, ledger in self._ledger.jobs.items():
            if ledger.seals or not self._holds.get(job):
                continue
            if note.peer == ledger.submitter or note.peer in self._keepers.of(job, turn.now):
                self._tell(turn, note.peer, job)

    def on_job_struck(self, turn: Turn, note: JobStruck) -> None:
        """Look at every task anew: other results may count now, at once, whoever hears of each of them later."""
        ledger = self._ledger.get(note.job)
        if ledger is not None:
            self._judge(turn, ledger, range(ledger.frames))

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Take no further copies of a job that has ended; what was promised is mended, unless the job was cancelled."""
        self._lacking_since.pop(note.job, None)
        for blob, wanted in list(self._wanted.items()):
            promised = not note.cancelled and self._directory.me in self.holders(wanted.job, blob)
            if wanted.job == note.job and not promised:
                self._unwant(blob)
                self._swarm.drop(blob, b"hold" + wanted.job)

    def on_tick(self, turn: Turn) -> None:
        """Take over where a holder has gone; say what is lost."""
        self._wall = turn.now.wall
        each = max(_UNSAFE_LEAST, _UNSAFE_PER_TICK // max(1, sum(map(bool, self._unsafe.values()))))
        for job, ledger in self._ledger.jobs.items():
            if ledger.ended or not self._keepers_want(ledger, turn):
                continue
            gone: list[Signed[Entry]] = []
            unsafe = self._unsafe.get(job, {})
            for task in list(islice(unsafe, each)):
                unsafe[task] = unsafe.pop(task)  # to the end: the next tick looks at others
                self._consider(turn, ledger, task)
                gone += self._gone(turn, ledger, task)
            seen_at = self._safe_seen_at.setdefault(job, turn.now.instant)
            if turn.now.instant - seen_at >= _SAFE_EACH_MS:
                self._safe_seen_at[job] = turn.now.instant
                for task in self._safe.get(job, {}):
                    gone += self._gone(turn, ledger, task)
            self._say_lost(turn, ledger, gone)

    def _keepers_want(self, ledger: JobLedger, turn: Turn) -> bool:
        return ledger.submitter == self._directory.me or self._keepers.marked(ledger.id, turn.now)

    def _consider(self, turn: Turn, ledger: JobLedger, task: int) -> None:
        counting = ledger.task(task).counting
        if counting is None or ledger.ended or not self._keepers_want(ledger, turn):
            return
        for output in result_of(counting).outputs:
            holders = self.holders(ledger.id, output.blob)
            if self._directory.me in holders or output.blob in self._wanted or output.blob in self._bad:
                continue
            if self._wanted_by[counting.author] >= _WANTED_PER_AUTHOR:
                continue
            if self._look_again_at.get(output.blob, turn.now.instant) > turn.now.instant:
                continue
            self._look_again_at.pop(output.blob, None)
            if not self._swarm.complete(output.blob) and (self._host.full or not self._host.has_room(output.size)):
                continue
            since = self._lacking_since.setdefault(ledger.id, {}).setdefault(output.blob, turn.now.instant)
            spare = (turn.now.instant - since) // _TAKEN_OVER_MS
            if self._directory.me not in self._chosen(turn, ledger, task, holders, spare=spare):
                continue
            self._want(output.blob, Wanted(job=ledger.id, task=task, author=counting.author))
            if self._swarm.complete(output.blob):
                self.on_blob_complete(turn, BlobComplete(blob=output.blob))
            else:
                self._swarm.want(turn, output.blob, b"hold" + ledger.id, counting.author, *holders)

    def _want(self, blob: BlobId, wanted: Wanted) -> None:
        self._unwant(blob)
        self._wanted[blob] = wanted
        self._wanted_of[wanted.job, wanted.task] = blob
        self._wanted_by[wanted.author] += 1

    def _unwant(self, blob: BlobId) -> Wanted | None:
        wanted = self._wanted.pop(blob, None)
        if wanted is not None:
            if self._wanted_of.get((wanted.job, wanted.task)) == blob:
                del self._wanted_of[wanted.job, wanted.task]
            self._wanted_by[wanted.author] -= 1
            self._wanted_by += Counter()  # forgets those that have none
        return wanted

    def _want_no_more(self, ledger: JobLedger, task: int) -> None:
        """Let an output be that was to be held and counts no more, so that its author's others have their turn."""
        blob = self._wanted_of.get((ledger.id, task))
        if blob is None or self._directory.me in self.holders(ledger.id, blob):
            return
        standing = [ledger.task(other).counting for other in ledger.by_output.get(blob, {})]
        if not any(blob == output.blob for one in standing if one is not None for output in result_of(one).outputs):
            self._unwant(blob)
            self._swarm.drop(blob, b"hold" + ledger.id)

    def _chosen(
        self, turn: Turn, ledger: JobLedger, task: int, holders: dict[PeerId, Signed[Hold]], *, spare: int
    ) -> list[PeerId]:
        """Return who takes the copies that are missing, and `spare` more: the submitter first, it fetches the file
        anyway.
        """
        counting = ledger.task(task).counting
        assert counting is not None
        known = dict.fromkeys(holders)
        if self._directory.connected(counting.author):
            known[counting.author] = None  # its hold is on its way
        missing = ledger.job.copies - len(known)
        able = [peer for peer in self._keepers.of(ledger.id, turn.now) if peer not in known]
        if ledger.submitter not in known and self._directory.connected(ledger.submitter):
            able = [ledger.submitter, *(peer for peer in able if peer != ledger.submitter)]
        able.sort(key=lambda peer: (peer != ledger.submitter, rank(ledger.id, task, peer)))
        gone = sum(not self._directory.connected(peer) for peer in known)
        return able[: missing + gone + spare] if missing > 0 else []

    def _hold(self, turn: Turn, job: JobId, blob: BlobId) -> None:
        if self._directory.me in self.holders(job, blob):
            return
        hold = sign(Hold(job=job, blob=blob, nonce=turn.dice.draw(_NONCE_SIZE)), self._signer)
        turn.keep(KeptHold(hold=hold))
        ledger = self._ledger.jobs[job]
        self._note(ledger, hold)
        turn.tell(HoldHeard(hold=hold))
        for peer in self._keepers.parties(ledger, turn.now):
            turn.send(peer, Holds(holds=(hold,)))

    def _note(self, ledger: JobLedger, hold: Signed[Hold]) -> bool:
        if hold.author in self.holders(ledger.id, hold.body.blob):
            return False
        given = self._given.setdefault(ledger.id, {})
        count = given.get(hold.author, 0)
        if count >= _HOLDS_LEAST + _HOLDS_PER_TASK * ledger.frames:
            return False
        given[hold.author] = count + 1
        self._holds.setdefault(ledger.id, {}).setdefault(hold.body.blob, {})[hold.author] = hold
        return True

    def _tell(self, turn: Turn, peer: PeerId, job: JobId) -> None:
        mine = [by_peer[self._directory.me] for by_peer in self._own(job)]
        for at in range(0, len(mine), _HOLDS_PER_MESSAGE):
            turn.send(peer, Holds(holds=tuple(mine[at : at + _HOLDS_PER_MESSAGE])))

    def _own(self, job: JobId) -> list[dict[PeerId, Signed[Hold]]]:
        return [by_peer for by_peer in self._holds.get(job, {}).values() if self._directory.me in by_peer]

    def _judge(self, turn: Turn, ledger: JobLedger, tasks: Iterable[int]) -> None:
        before = self.safe_count(ledger.id)
        for task in tasks:
            was_safe = self.is_safe(ledger.id, task)
            self._sort(ledger, task)
            if self.is_safe(ledger.id, task) and not was_safe:
                self._reward(turn, ledger, task)
        if self.safe_count(ledger.id) > before:
            turn.tell(TasksSafe(job=ledger.id))

    def _reward(self, turn: Turn, ledger: JobLedger, task: int) -> None:
        """Say that a task's author has earned what it cost, if somebody else says that it holds the output."""
        counting = ledger.task(task).counting
        assert counting is not None
        held = (peer for output in result_of(counting).outputs for peer in self.holders(ledger.id, output.blob))
        if any(peer != counting.author for peer in held):
            turn.do(Earned(peer=counting.author))

    def _sort(self, ledger: JobLedger, task: int) -> None:
        counting = ledger.task(task).counting
        safe = self._safe.setdefault(ledger.id, {})
        unsafe = self._unsafe.setdefault(ledger.id, {})
        safe.pop(task, None)
        unsafe.pop(task, None)
        if counting is not None:
            enough = all(
                len(self.holders(ledger.id, output.blob)) >= ledger.job.copies for output in result_of(counting).outputs
            )
            (safe if enough else unsafe)[task] = None

    def _gone(self, turn: Turn, ledger: JobLedger, task: int) -> list[Signed[Entry]]:
        """Return the task's result if nobody who could have its output has answered for it for long enough."""
        counting = ledger.task(task).counting
        assert counting is not None
        output = result_of(counting).outputs[0].blob
        holders = self.holders(ledger.id, output)
        able = dict.fromkeys((*holders, counting.author))
        answered = any(self._directory.connected(peer) for peer in able) and not self._sought_in_vain(turn, output)
        if answered or self._swarm.complete(output):
            self._gone_since.pop(counting.id, None)
            return []
        since = self._gone_since.setdefault(counting.id, turn.now.instant)
        keepers = self._keepers.of(ledger.id, turn.now)
        place = keepers.index(self._directory.me) if self._directory.me in keepers else len(keepers)
        patience_ms = LOST_AFTER_SAFE_MS if len(holders) >= ledger.job.copies else LOST_AFTER_MS
        return [counting] if turn.now.instant - since >= patience_ms + place * _LOST_STAGGER_MS else []

    def _say_lost(self, turn: Turn, ledger: JobLedger, gone: list[Signed[Entry]]) -> None:
        """Say what is lost; no more often than it would act, so that a peer that was cut off fills no ledger."""
        for entry in gone[: ledger.may_say_lost(self._directory.me)]:
            self._gone_since.pop(entry.id, None)
            turn.tell(Publish(job=ledger.id, what=Lost(task=result_of(entry).task, result=RecordId(entry.id))))

    def _sought_in_vain(self, turn: Turn, blob: BlobId) -> bool:
        since = self._swarm.silent_since(blob)
        return since is not None and turn.now.instant - since >= LOST_AFTER_MS


def _is_final(what: Statement) -> bool:
    return isinstance(what, Result) and what.block is None
