"""The last word on a job: one blob that says which result of each task stands, and that can be judged alone.

The submitter seals when every file is on its own disk, naming what it delivered. A keeper seals when every output is
safe, after a while that leaves the submitter and closer keepers the first word. A seal's record is taken only with its
page. The submitter's wins over any other, then the lowest page; a cancel stands above them all. Where a keeper's names
what the submitter had rejected, the submitter's own says that this task is stopped.
"""

from collections.abc import Iterable

from mesh.core.delivery import Delivery
from mesh.core.effects import ReadPage, WritePage
from mesh.core.events import PageRead, PageWritten
from mesh.core.fold import result_of
from mesh.core.holds import Holding
from mesh.core.judge import valid_page
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Members
from mesh.core.notes import BlobComplete, EntryAdded, JobEnded, Publish, TaskDelivered, TasksSafe
from mesh.core.ops import Ops
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.instants import Instant
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_PAGE_AUTHORS, Cancel, Entry, Hold, Seal, SealedTask, SealPage, page_bytes

_KEEPER_WAIT_MS = 5_000
_SUBMITTER_WAIT_MS = 15_000
"""How long a keeper leaves the first word to a submitter that it is connected to."""


class Seals:
    """Seal what this peer may seal; take the seals of others."""

    def __init__(
        self,
        ledger: Ledger,
        members: Members,
        keepers: Keepers,
        holding: Holding,
        delivery: Delivery,
        *,
        swarm: Swarm,
        ops: Ops,
        me: PeerId,
    ) -> None:
        self._ledger = ledger
        self._members = members
        self._keepers = keepers
        self._holding = holding
        self._delivery = delivery
        self._swarm = swarm
        self._ops = ops
        self._me = me
        self._complete_since: dict[JobId, Instant] = {}
        self._writing: dict[int, JobId] = {}
        self._written: dict[JobId, None] = {}
        self._reading: dict[int, BlobId] = {}
        self._unread: dict[BlobId, dict[RecordId, Signed[Entry]]] = {}

    def restore(self, turn: Turn) -> None:
        """Look at the journal's seals again; their pages are judged anew."""
        for ledger in self._ledger.jobs.values():
            for entry in list(ledger.entries.values()):
                if isinstance(entry.body.what, Seal):
                    self._take(turn, entry)

    def in_use(self) -> Iterable[BlobId]:
        """Return the pages that are read or waited for."""
        return (*self._unread, *self._reading.values())

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Fetch and judge a seal; end a cancelled job."""
        if isinstance(note.entry.body.what, Cancel):
            self._drop_needless(self._ledger.jobs[note.entry.body.job])
            turn.tell(JobEnded(job=note.entry.body.job, cancelled=True))
        elif isinstance(note.entry.body.what, Seal):
            self._take(turn, note.entry)

    def on_task_delivered(self, turn: Turn, note: TaskDelivered) -> None:
        """Seal what is delivered whole."""
        self._consider(turn, note.job)

    def on_tasks_safe(self, turn: Turn, note: TasksSafe) -> None:
        """See whether all of a job is safe."""
        self._consider(turn, note.job)

    def on_tick(self, turn: Turn) -> None:
        """Seal what has waited long enough for somebody closer."""
        for job in list(self._ledger.jobs):
            self._consider(turn, job)

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Read a page that came."""
        if note.blob in self._unread:
            self._read(turn, note.blob)

    def on_page_written(self, turn: Turn, event: PageWritten) -> None:
        """Publish the seal now that its page is on the disk."""
        job = self._writing.pop(event.op, None)
        if job is None:
            return
        self._swarm.add(turn, event.blob)
        ledger = self._ledger.jobs[job]
        if ledger.cancel is None and not self._has_mine(ledger):
            turn.tell(Publish(job=job, what=Seal(blob=event.blob)))

    def on_page_read(self, turn: Turn, event: PageRead) -> None:
        """Take the seals of a page that proves them."""
        self._reading.pop(event.op, None)
        for chain in event.page.chains if event.page else ():
            self._members.learn(chain)
        for entry in self._unread.pop(event.blob, {}).values():
            ledger = self._ledger.get(entry.body.job)
            if ledger is None or event.page is None or not valid_page(entry, event.page, ledger, self._members):
                continue
            first = not ledger.ended
            ledger.add_seal(entry, event.page)
            self._drop_needless(ledger)
            if first:
                turn.tell(JobEnded(job=ledger.id, cancelled=False))

    def _take(self, turn: Turn, entry: Signed[Entry]) -> None:
        seal = entry.body.what
        assert isinstance(seal, Seal)
        ledger = self._ledger.jobs[entry.body.job]
        self._drop_needless(ledger)
        if _is_needless(entry, ledger):
            return
        self._unread.setdefault(seal.blob, {})[entry.id] = entry
        if self._swarm.complete(seal.blob):
            self._read(turn, seal.blob)
        else:
            most = page_bytes(ledger.frames)
            self._swarm.want(turn, seal.blob, b"seal" + entry.body.job, entry.author, page_bytes=most)

    def _drop_needless(self, ledger: JobLedger) -> None:
        """Fetch no page that changes nothing: nobody may have it, and an author may name ever other ones."""
        for blob, entries in list(self._unread.items()):
            of_job = [entry for entry in entries.values() if entry.body.job == ledger.id]
            needless = [entry for entry in of_job if _is_needless(entry, ledger)]
            for entry in needless:
                entries.pop(entry.id)
            if of_job and len(needless) == len(of_job):
                self._swarm.drop(blob, b"seal" + ledger.id)
            if not entries:
                self._unread.pop(blob)

    def _read(self, turn: Turn, blob: BlobId) -> None:
        if blob not in self._reading.values():
            op = self._ops.next()
            self._reading[op] = blob
            most = max(self._ledger.jobs[entry.body.job].frames for entry in self._unread[blob].values())
            turn.do(ReadPage(op=op, blob=blob, tasks=most))

    def _consider(self, turn: Turn, job: JobId) -> None:
        ledger = self._ledger.jobs[job]
        if not ledger.all_count and ledger.submitter != self._me:
            return  # most of a mesh's jobs, each second
        if ledger.cancel is not None or job in self._written or self._has_mine(ledger):
            return
        if ledger.submitter == self._me:
            if self._delivered_whole(ledger) and self._differs(ledger):
                self._write(turn, ledger, self._delivered_page(ledger))
            return
        if ledger.ended or not self._keepers.marked(job, turn.now):
            return
        if self._holding.safe_count(job) < ledger.frames:
            self._complete_since.pop(job, None)
            return
        since = self._complete_since.setdefault(job, turn.now.instant)
        keepers = self._keepers.of(job, turn.now)
        place = 1 + (keepers.index(self._me) if self._me in keepers else len(keepers))
        patience = place * _KEEPER_WAIT_MS
        if ledger.submitter in self._keepers.parties(ledger, turn.now):
            patience += _SUBMITTER_WAIT_MS
        if turn.now.instant - since >= patience:
            self._write(turn, ledger, self._safe_page(ledger))

    def _delivered_whole(self, ledger: JobLedger) -> bool:
        """Whether every file is written, or never will be: a keeper's seal names a picture that this peer rejected."""
        own = self._delivery.own(ledger.id)
        if own is None or not all(task in own.delivered or _is_refused(ledger, task) for task in range(ledger.frames)):
            return False
        results = (ledger.entries.get(result) for result in own.delivered.values())
        return not ledger.twice or all(entry is None or ledger.opinions.vouch(entry) for entry in results)

    def _differs(self, ledger: JobLedger) -> bool:
        """Whether no seal stands yet that names what was delivered here."""
        sealed = ledger.sealed
        own = self._delivery.own(ledger.id)
        assert own is not None
        if sealed is None:
            return True
        named = [task.result.id if task.result else None for task in sealed[1].tasks]
        return named != [own.delivered.get(task) for task in range(ledger.frames)]

    def _delivered_page(self, ledger: JobLedger) -> SealPage:
        own = self._delivery.own(ledger.id)
        assert own is not None
        results = (own.delivered.get(task) for task in range(ledger.frames))
        return self._page(ledger, [ledger.entries.get(result) if result else None for result in results])

    def _safe_page(self, ledger: JobLedger) -> SealPage:
        return self._page(ledger, [ledger.task(task).counting for task in range(ledger.frames)])

    def _page(self, ledger: JobLedger, results: list[Signed[Entry] | None]) -> SealPage:
        tasks = tuple(
            SealedTask(result=result, holds=self._holds(ledger, result), vouch=_vouch(ledger, result))
            for result in results
        )
        said = [statement.author for task in tasks for statement in (task.result, task.vouch, *task.holds) if statement]
        chains = [chain for author in dict.fromkeys(said) if (chain := self._members.chain(author)) is not None]
        return SealPage(job=ledger.id, tasks=tasks, chains=tuple(chains[:MAX_PAGE_AUTHORS]))

    def _holds(self, ledger: JobLedger, result: Signed[Entry] | None) -> tuple[Signed[Hold], ...]:
        if result is None:
            return ()
        holds: list[Signed[Hold]] = []
        for output in result_of(result).outputs:
            by_peer = self._holding.holders(ledger.id, output.blob)
            holds += [by_peer[peer] for peer in sorted(by_peer)][: ledger.job.copies]
        return tuple(holds)

    def _write(self, turn: Turn, ledger: JobLedger, page: SealPage) -> None:
        op = self._ops.next()
        self._writing[op] = ledger.id
        self._written[ledger.id] = None
        turn.do(WritePage(op=op, page=page))

    def _has_mine(self, ledger: JobLedger) -> bool:
        return any(entry.author == self._me for entry, _ in ledger.seals.values())


def _is_needless(entry: Signed[Entry], ledger: JobLedger) -> bool:
    """Whether a seal cannot stand: a cancel or the submitter's own is above it, or its author says too many."""
    sealed = ledger.sealed
    submitters = sealed is not None and sealed[0].author == ledger.submitter
    overruled = ledger.cancel is not None or (submitters and entry.author != ledger.submitter)
    return overruled or entry.id not in ledger.entries


def _vouch(ledger: JobLedger, result: Signed[Entry] | None) -> Signed[Entry] | None:
    return ledger.opinions.vouch(result) if ledger.twice and result is not None else None


def _is_refused(ledger: JobLedger, task: int) -> bool:
    standing = ledger.standing(task) if ledger.sealed is not None else None
    return standing is not None and ledger.opinions.rejected_by(standing, ledger.submitter)
