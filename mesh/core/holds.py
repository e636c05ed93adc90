"""Copies that outlive their author: what this peer promises to keep, whom it tells, and which tasks are safe.

A hold is a signed promise made after the bytes were checked and are on the disk. Authors hold what they rendered;
keepers and the submitter take over as many copies as the job asks, chosen by rank among those that answer, so that no
two hurry for one. A task is safe with holds from `copies` different peers. Buckets are a means: their author and
whoever assembles them have one, and nobody promises anything.

A hold binds until the job's last day, or until another takes its place; then the copy is cache. What replaces gone
holders is the business of `repair`, which asks: whether a copy is taken, and what is signed for it, is decided here.

Invariant: a hold, and what this peer knows of others' holds of the same blob, is in the journal before anybody hears of
it, so that holders know each other after any restart, and no power loss takes back a promise that was heard.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from mesh.core.copies import Copies, Wanted
from mesh.core.directory import Directory
from mesh.core.effects import Earned
from mesh.core.events import BlobDamaged, OutputChecked
from mesh.core.fold import result_of
from mesh.core.holders import Holders
from mesh.core.host import HostFacts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.losses import Losses
from mesh.core.membership import Members
from mesh.core.notes import (
    BlobComplete,
    EntryAdded,
    HoldHeard,
    JobEnded,
    JobForgotten,
    JobStruck,
    MarkHeard,
    PeerReached,
    SceneComplete,
    TaskChanged,
    TasksSafe,
)
from mesh.core.ops import Ops
from mesh.core.placement import rank
from mesh.core.swarm import Swarm
from mesh.core.telling import Telling
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.instants import Instant, WallTime
from mesh.wire.copies import HoldAsk, Holds
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptHold
from mesh.wire.records import Entry, Hold, Result, Statement

_NONCE_SIZE = 16
_UNSAFE_PER_TICK = 256
"""Outputs without enough holds that are looked at each second, those of all jobs by equal parts: where too few peers
are left, all of them lack some."""

_MISSING_PER_TICK = 256
"""Outputs that are held and not here that are looked at each second: mostly none, all where a store was lost."""

_UNSAFE_LEAST = 4
"""Of each job at least."""

_SAFE_EACH_MS = 30_000
"""How often outputs that are safe are looked for: their holders mostly come back."""

_TAKEN_OVER_MS = 10_000
"""Who was chosen to take a copy may be cut off from its source without anybody's knowing: each time that this much goes
by and copies are still missing, one more peer takes one."""


class Holding:
    """Hold what this peer should, and know what others hold."""

    def __init__(
        self,
        ledger: Ledger,
        members: Members,
        keepers: Keepers,
        directory: Directory,
        host: HostFacts,
        *,
        swarm: Swarm,
        ops: Ops,
        signer: Signer,
    ) -> None:
        self._ledger = ledger
        self._members = members
        self._keepers = keepers
        self._directory = directory
        self._host = host
        self._swarm = swarm
        self._signer = signer
        self.book = Holders()
        self.copies = Copies(ledger, swarm, ops)
        self._losses = Losses(keepers, directory, swarm, self.book)
        self._safe: dict[JobId, dict[int, None]] = {}
        self._unsafe: dict[JobId, dict[int, None]] = {}
        """Tasks that count and lack holds."""
        self._lacking_since: dict[JobId, dict[BlobId, Instant]] = {}
        """Since when this peer knows of outputs that copies are missing."""
        self._telling = Telling(directory, swarm, self.book, self.retains)
        self._missing: dict[tuple[JobId, BlobId], None] = {}
        """What this peer holds and has not."""
        self._safe_seen_at: dict[JobId, Instant] = {}
        self._wall = WallTime(0)
        """The calendar, as last seen."""

    def restore(self, holds: Iterable[Signed[Hold]]) -> None:
        """Take from the journal what this peer holds, and who else does."""
        for hold in holds:
            ledger = self._ledger.get(hold.body.job)
            if ledger is not None:
                self.book.add(hold, ledger.frames)
        for ledger in self._ledger.jobs.values():
            for task in range(ledger.frames):
                self._sort(ledger, task)

    def on_started(self, turn: Turn) -> None:
        """Hold what this peer rendered and had no time to hold before it ended; fetch what it holds and has not."""
        me, self._wall = self._directory.me, turn.now.wall
        for ledger in self._ledger.jobs.values():
            for entry in list(ledger.entries.values()):
                if entry.author == me and _is_final(entry.body.what) and not ledger.ended:
                    for output in result_of(entry).outputs:
                        if self._swarm.complete(output.blob):
                            self._hold(turn, ledger.id, output.blob)
        for job, blob in list(self.book.by(me)):
            mine = self.holders(job, blob).get(me)
            if mine is not None and mine.body.replaces:
                self._telling.owe(mine)
            if mine is not None and not self._swarm.complete(blob):
                self._missing[job, blob] = None
        self._fetch_missing(turn)

    def holders(self, job: JobId, blob: BlobId) -> dict[PeerId, Signed[Hold]]:
        """Return whose holds of a blob count, as far as this peer knows."""
        return self.book.of(job, blob)

    def binds(self, job: JobId, blob: BlobId) -> bool:
        """Whether this peer has promised to keep a blob for a job, and still must: of a scene it is the root.

        What it holds, until another takes its place; and that, too, while fewer hold it than the job asks: else one
        member that has nothing could list the holds of all others, and all would go by its word.
        """
        holders = self.holders(job, blob)
        if not self.book.gave(self._directory.me, job, blob) or not self.retains(job, blob):
            return False
        return self._directory.me in holders or len(holders) < self._ledger.jobs[job].job.copies

    def bound(self, blob: BlobId) -> bool:
        """Whether a blob is bound by any job."""
        return any(self.binds(job, blob) for job in self.book.jobs_of(blob))

    def bound_outputs(self) -> list[tuple[JobId, BlobId]]:
        """Return which outputs this peer has promised to keep, scenes apart: keepers bring those of live jobs."""
        mine = self.book.by(self._directory.me)
        return [(job, blob) for job, blob in mine if self.binds(job, blob) and not self._is_scene(job, blob)]

    def retains(self, job: JobId, blob: BlobId) -> bool:
        """Whether promises to keep a blob bind in a job: its last day is to come, and it was not cancelled; what was
        sealed stays although it is, but for the scene.
        """
        ledger = self._ledger.get(job)
        if ledger is None or ledger.job.last_day < self._wall:
            return False
        return ledger.cancel is None or (ledger.maybe_sealed and not self._is_scene(job, blob))

    def held(self, job: JobId) -> list[BlobId]:
        """Return what this peer must keep for a job, as it promised."""
        return [blob for blob in self.book.in_job(self._directory.me, job) if self.binds(job, blob)]

    def in_use(self) -> Iterable[BlobId]:
        """Return what is being checked before it is held."""
        return self.copies.checking()

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
            keepers = self._keepers.of(ledger.id, turn.now)
            if self._is_in_charge(ledger, keepers, turn):
                self._consider(turn, ledger, note.task, keepers)

    def on_scene_complete(self, turn: Turn, note: SceneComplete) -> None:
        """Hold the scene of a job that this peer keeps."""
        ledger = self._ledger.get(note.job)
        if ledger is not None and self._keepers.marked(note.job, turn.now):
            self._hold(turn, note.job, ledger.job.scene)

    def on_holds(self, turn: Turn, peer: PeerId, message: Holds) -> None:
        """Learn of holds; who comes back and does not know so is told what took its own one's place."""
        news: dict[RecordId, Signed[Hold]] = {}
        for hold in message.holds:
            ledger = self._ledger.get(hold.body.job)
            if ledger is None:
                continue
            shared = self.book.gave(self._directory.me, ledger.id, hold.body.blob)
            if shared or self.keeps_watch(ledger, turn):
                self._hear(turn, ledger, peer, hold)
                replacing = self.book.replacing(hold) if hold.author == peer else None
                if replacing is not None and replacing.author != peer:
                    news[replacing.id] = replacing
        self._telling.answer(turn, peer, news.values())

    def on_hold_ask(self, turn: Turn, peer: PeerId, ask: HoldAsk) -> None:
        """Take a copy in the place of a holder that goes, unless this peer has promised to keep it already."""
        ledger = self._ledger.get(ask.job)
        if ledger is None or self._host.draining or self._is_scene(ask.job, ask.blob):
            return
        if not self.retains(ask.job, ask.blob):
            return
        said = (*((ask.replaced,) if ask.replaced is not None else ()), *ask.others)
        if any((hold.body.job, hold.body.blob) != (ask.job, ask.blob) for hold in said):
            return
        for hold in said:
            self._hear(turn, ledger, peer, hold)
        me, holders = self._directory.me, self.holders(ask.job, ask.blob)
        answer = holders.get(me) or (self.book.replacing(ask.replaced) if ask.replaced is not None else None)
        if answer is not None:
            self._telling.answer(turn, peer, [answer])
        elif not self._host.full and self.copies.may_take(ask.blob, peer, turn.now):
            wanted = Wanted(job=ask.job, because_of=peer, replaced=ask.replaced)
            self.copies.take(turn, ask.blob, wanted, peer, *holders)

    def on_hold_heard(self, turn: Turn, note: HoldHeard) -> None:
        """See whether a task is safe now."""
        ledger = self._ledger.get(note.hold.body.job)
        if ledger is None:
            return
        self._judge(turn, ledger, ledger.by_output.get(note.hold.body.blob, {}))

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Check an output that came, before promising to keep it."""
        self.copies.check(turn, note.blob)

    def on_blob_damaged(self, turn: Turn, event: BlobDamaged) -> None:
        """Fetch again what this peer promised to keep."""
        for job in self.book.jobs_of(event.blob):
            self._missing[job, event.blob] = None
        self._fetch_missing(turn)

    def on_output_checked(self, turn: Turn, event: OutputChecked) -> None:
        """Hold what is good; not in the place of a hold that another has replaced meanwhile."""
        checked = self.copies.checked(turn, event)
        if checked is None:
            return
        late = checked.replaced is not None and self.book.replacing(checked.replaced) is not None
        if not late:
            self._hold(turn, checked.job, event.blob, checked.replaced)

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """Tell a new keeper what this peer holds."""
        if note.mark.author != self._directory.me:
            self._telling.tell(turn, note.mark.author, note.mark.body.job)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Tell a keeper or submitter what this peer holds; and anybody who holds the same what he missed."""
        jobs: list[JobId] = []
        for job, ledger in self._ledger.jobs.items():
            if ledger.seals or not self.book.in_job(self._directory.me, job):
                continue
            if note.peer == ledger.submitter or note.peer in self._keepers.of(job, turn.now):
                jobs.append(job)
        self._telling.tell_anew(turn, note.peer, jobs)

    def on_job_struck(self, turn: Turn, note: JobStruck) -> None:
        """Look at every task anew: other results may count now, at once, whoever hears of each of them later."""
        ledger = self._ledger.get(note.job)
        if ledger is not None:
            self._judge(turn, ledger, range(ledger.frames))

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Take no further copies of a job by itself; what was promised or asked for comes, unless it was cancelled."""
        self._lacking_since.pop(note.job, None)
        if note.cancelled:
            self._swarm.drop(self._ledger.jobs[note.job].job.scene, b"scene" + note.job)
        for blob, wanted in self.copies.of_job(note.job):
            promised = self._directory.me in self.holders(wanted.job, blob) or wanted.task is None
            if note.cancelled or not promised:
                self.copies.let_be(blob, wanted.job)

    def on_job_forgotten(self, _turn: Turn, note: JobForgotten) -> None:
        """Forget what was known of a job's outputs: this peer holds none."""
        for known in (self._safe, self._unsafe, self._lacking_since, self._safe_seen_at):
            known.pop(note.job, None)
        self.book.forget(note.job)
        self._telling.forget(note.job)

    def on_tick(self, turn: Turn) -> None:
        """Take over where a holder has gone; say what is lost; fetch what is missing here."""
        self._wall = turn.now.wall
        self._telling.on_tick(turn)
        self._fetch_missing(turn)
        each = max(_UNSAFE_LEAST, _UNSAFE_PER_TICK // max(1, sum(map(bool, self._unsafe.values()))))
        for job, ledger in self._ledger.jobs.items():
            keepers = self._keepers.of(job, turn.now)
            if not self._is_in_charge(ledger, keepers, turn):
                continue
            gone: list[Signed[Entry]] = []
            unsafe = self._unsafe.get(job, {})
            for task in list(islice(unsafe, each)):
                unsafe[task] = unsafe.pop(task)  # to the end: the next tick looks at others
                self._consider(turn, ledger, task, keepers)
                gone += self._losses.gone(turn, ledger, task)
            seen_at = self._safe_seen_at.setdefault(job, turn.now.instant)
            if turn.now.instant - seen_at >= _SAFE_EACH_MS:
                self._safe_seen_at[job] = turn.now.instant
                for task in self._safe.get(job, {}):
                    gone += self._losses.gone(turn, ledger, task)
            self._losses.say(turn, ledger, gone)

    def keeps_watch(self, ledger: JobLedger, turn: Turn) -> bool:
        """Whether this peer sees to a job's outputs: it keeps the job, or submitted it."""
        return ledger.submitter == self._directory.me or self._keepers.marked(ledger.id, turn.now)

    def _is_in_charge(self, ledger: JobLedger, keepers: Sequence[PeerId], turn: Turn) -> bool:
        """Whether this peer is of those who see that a job's outputs are not lost.

        Who keeps it beside five that are closer, as after it was away, is not: it is told of no holds, and to it
        everything seems to lack copies.
        """
        me = self._directory.me
        return not ledger.ended and self.keeps_watch(ledger, turn) and (me == ledger.submitter or me in keepers)

    def _is_scene(self, job: JobId, blob: BlobId) -> bool:
        return self._ledger.jobs[job].job.scene == blob

    def _consider(self, turn: Turn, ledger: JobLedger, task: int, keepers: Sequence[PeerId]) -> None:
        """Take a copy of what counts of a task, where it falls to this peer, which is in charge of the outputs."""
        counting = ledger.task(task).counting
        if counting is None:
            return
        for output in result_of(counting).outputs:
            holders = self.holders(ledger.id, output.blob)
            if self._directory.me in holders or not self.copies.may_take(output.blob, counting.author, turn.now):
                continue
            if not self._swarm.complete(output.blob) and (self._host.full or not self._host.has_room(output.size)):
                continue
            since = self._lacking_since.setdefault(ledger.id, {}).setdefault(output.blob, turn.now.instant)
            spare = (turn.now.instant - since) // _TAKEN_OVER_MS
            if self._is_chosen(ledger, task, holders, keepers, spare=spare):
                wanted = Wanted(job=ledger.id, because_of=counting.author, task=task)
                self.copies.take(turn, output.blob, wanted, counting.author, *holders)

    def _want_no_more(self, ledger: JobLedger, task: int) -> None:
        """Let an output be that was to be held and counts no more, so that its author's others have their turn."""
        blob = self.copies.of_task(ledger.id, task)
        if blob is None or self._directory.me in self.holders(ledger.id, blob):
            return
        standing = [ledger.task(other).counting for other in ledger.by_output.get(blob, {})]
        if not any(blob == output.blob for one in standing if one is not None for output in result_of(one).outputs):
            self.copies.let_be(blob, ledger.id)

    def _fetch_missing(self, turn: Turn) -> None:
        """Fetch what this peer promised and has not, little at a time; a scene's parts come while it is needed."""
        me = self._directory.me
        for blob, wanted in self.copies.in_vain(turn.now):
            if wanted.because_of != me:
                self.copies.let_be(blob, wanted.job)  # who asked has asked others by now
            elif self._missing:
                self.copies.let_be(blob, wanted.job)
                self._missing[wanted.job, blob] = None  # others have their turn
        for job, blob in list(islice(self._missing, _MISSING_PER_TICK)):
            del self._missing[job, blob]
            if not self.binds(job, blob) or self._swarm.complete(blob):
                continue
            if self._is_scene(job, blob):
                # Its parts come while it is needed; but without the root nobody knows which they are, and nothing goes.
                self._swarm.want(turn, blob, b"scene" + job, *self.holders(job, blob))
            elif self.copies.may_take(blob, me, turn.now):
                self.copies.take(turn, blob, Wanted(job=job, because_of=me), *self.holders(job, blob))
            else:
                self._missing[job, blob] = None  # to the end

    def _is_chosen(
        self, ledger: JobLedger, task: int, holders: Iterable[PeerId], keepers: Sequence[PeerId], *, spare: int
    ) -> bool:
        """Whether this peer is of those who take the copies that are missing, and `spare` more: the submitter is the
        first, it fetches the file anyway.
        """
        counting, me = ledger.task(task).counting, self._directory.me
        assert counting is not None
        known = dict.fromkeys(holders)
        if self._directory.connected(counting.author):
            known[counting.author] = None  # its hold is on its way
        missing = ledger.job.copies - len(known)
        able = [peer for peer in keepers if peer not in known]
        if ledger.submitter not in known and self._directory.connected(ledger.submitter):
            able = [ledger.submitter, *(peer for peer in able if peer != ledger.submitter)]
        if missing <= 0 or me not in able:
            return False
        places = missing + spare + sum(not self._directory.connected(peer) for peer in known)
        able.sort(key=lambda peer: (peer != ledger.submitter, rank(ledger.id, task, peer)))
        return me in able[:places]

    def _hold(self, turn: Turn, job: JobId, blob: BlobId, replaced: Signed[Hold] | None = None) -> None:
        me, ledger = self._directory.me, self._ledger.jobs[job]
        if me in self.holders(job, blob):
            return
        replaces = self.book.takes(me, job, blob, replaced)
        hold = sign(Hold(job=job, blob=blob, nonce=turn.dice.draw(_NONCE_SIZE), replaces=replaces), self._signer)
        if not self.book.add(hold, ledger.frames):
            return
        others = [other for other in self.book.known(job, blob) if other.author != me]
        turn.keep(KeptHold(hold=hold), *(KeptHold(hold=other) for other in others))
        turn.tell(HoldHeard(hold=hold))
        whom = dict.fromkeys(self._keepers.parties(ledger, turn.now))
        made = [ledger.task(task).counting for task in ledger.by_output.get(blob, {})]
        whom |= dict.fromkeys(entry.author for entry in made if entry is not None)
        whom |= dict.fromkeys(self._telling.owe(hold))
        for peer in whom:
            if peer != me and self._directory.connected(peer):
                turn.send(peer, Holds(holds=(hold,)))

    def _hear(self, turn: Turn, ledger: JobLedger, peer: PeerId, hold: Signed[Hold]) -> None:
        """Believe a hold: the author's own word, or that of a member whom this peer knows."""
        if hold.author == self._directory.me or not (hold.author == peer or self._members.is_member(hold.author)):
            return
        if self.book.add(hold, ledger.frames):
            if self.book.gave(self._directory.me, ledger.id, hold.body.blob):
                turn.keep(KeptHold(hold=hold))
            turn.tell(HoldHeard(hold=hold))

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


def _is_final(what: Statement) -> bool:
    return isinstance(what, Result) and what.block is None
