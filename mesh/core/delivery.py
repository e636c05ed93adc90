"""Files go where a person wants them: the submitter's own order, and those of `fetch` on any peer.

Whatever counts when its file can be had is written, once: a delivered file is not written again for a result that
counts later. Only where a result is rejected before the submitter has sealed, or its author struck before anybody has,
another takes the file's place. The file is fsynced before the journal says so, and the journal before anybody is told.
An order given again looks at every file anew, so that one which is gone comes back: the submitter's own from what was
delivered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from mesh.core.effects import Export
from mesh.core.events import Exported, ExportFailed
from mesh.core.fold import result_of
from mesh.core.holds import Holding
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import BlobComplete, EntryAdded, JobEnded, JobStruck, TaskChanged, TaskDelivered
from mesh.core.ops import Ops
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import LOST_AFTER_MS
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptDelivery, KeptDone, KeptOrder
from mesh.wire.records import Entry, Reject

_EXPORTS = 4
_COMING = 32
"""Files of one order fetched at a time."""

_SOUGHT = 64
"""Pictures of one order that nobody has, and that are asked for all the same, of whoever comes back at once."""

_AGAIN_MS = 5_000


@dataclass(slots=True, kw_only=True)
class Order:
    """The files of one job, wanted in one directory."""

    job: JobId
    directory: str
    overwrite: bool
    own: bool
    """Given with the job, by its submitter."""
    done: dict[int, RecordId] = field(default_factory=dict)
    """Which result each file was made from that is there since the order was last given."""
    delivered: dict[int, RecordId] = field(default_factory=dict)
    """The same since it was first given, of the submitter's own order: these are never made from another result."""
    todo: dict[int, None] = field(default_factory=dict)
    """Tasks that count and whose file is not written."""
    writing: dict[int, int] = field(default_factory=dict)
    """The op of each export under way, by task."""
    problems: dict[int, str] = field(default_factory=dict)
    in_the_way: dict[int, None] = field(default_factory=dict)
    """Tasks in whose file's place another file is: not tried again before the order is given again."""
    again_at: dict[int, Instant] = field(default_factory=dict)
    void: dict[int, None] = field(default_factory=dict)
    """Tasks whose file was made from a result that is void since: another takes its place."""
    rejected: dict[int, RecordId] = field(default_factory=dict)
    """Of those, the last result of each task that was rejected: a person is told, also once another file is there."""
    closed: bool = False


class Delivery:
    """Write the files of orders as their results come."""

    def __init__(self, ledger: Ledger, holding: Holding, swarm: Swarm, ops: Ops, me: PeerId) -> None:
        self._ledger = ledger
        self._holding = holding
        self._swarm = swarm
        self._ops = ops
        self._me = me
        self.orders: dict[tuple[JobId, str], Order] = {}
        self._exports: dict[int, tuple[Order, int, RecordId]] = {}
        self._awaited: dict[BlobId, dict[tuple[JobId, str], None]] = {}

    def restore(self, kept: Iterable[KeptOrder | KeptDelivery | KeptDone]) -> None:
        """Take the journal's orders and what was written."""
        for entry in kept:
            order = self.orders.get((entry.job, entry.directory))
            match entry:
                case KeptOrder() if order is not None:
                    self._reopen(self._ledger.jobs[entry.job], order, overwrite=entry.overwrite)
                case KeptOrder():
                    ledger = self._ledger.get(entry.job)
                    if ledger is not None:
                        self._open(ledger, entry.directory, overwrite=entry.overwrite)
                case KeptDelivery() if order is not None:
                    self._is_written(order, entry.task, entry.result)
                case KeptDone() if order is not None:
                    order.closed = True
                case _:
                    pass
        for order in self.orders.values():
            self._void(self._ledger.jobs[order.job], order)

    def order(self, turn: Turn, ledger: JobLedger, directory: str, *, overwrite: bool) -> None:
        """Take an order, on the disk first; an order given again starts over."""
        turn.keep(KeptOrder(job=ledger.id, directory=directory, overwrite=overwrite))
        order = self.orders.get((ledger.id, directory))
        if order is None:
            order = self._open(ledger, directory, overwrite=overwrite)
        else:
            self._reopen(ledger, order, overwrite=overwrite)
        self._advance(turn, order)

    def own(self, job: JobId) -> Order | None:
        """Return the order that came with a job submitted here."""
        return next((order for (of, _), order in self.orders.items() if of == job and order.own), None)

    def of(self, job: JobId) -> list[Order]:
        """Return all orders of a job."""
        return [order for (of, _), order in self.orders.items() if of == job]

    def delivered(self, job: JobId) -> int:
        """Return how many files of the job's own order are written."""
        own = self.own(job)
        return len(own.delivered) if own else 0

    def missing(self, order: Order, now: Now) -> Iterator[tuple[int, tuple[PeerId, ...]]]:
        """Yield the tasks whose picture nobody who is here has had for a while, and who else may have it."""
        ledger = self._ledger.jobs[order.job]
        for task in order.todo:
            wanted = self._wanted(ledger, order, task)
            if wanted is not None and self.in_vain(result_of(wanted).outputs[0].blob, now):
                yield task, self.sources(order.job, task, wanted)

    def sources(self, job: JobId, task: int, made: Signed[Entry]) -> tuple[PeerId, ...]:
        """Return who may have a picture: its author, its holders, and whoever held it as the seal says."""
        sealed = self._ledger.jobs[job].sealed
        named = sealed[1].tasks[task].holds if sealed is not None else ()
        known = self._holding.holders(job, result_of(made).outputs[0].blob)
        return tuple(dict.fromkeys((made.author, *known, *(hold.author for hold in named))))

    def in_vain(self, blob: BlobId, now: Now) -> bool:
        """Whether nobody who is here has had a picture for a while."""
        return self._swarm.in_vain(blob, LOST_AFTER_MS, now)

    def in_use(self) -> Iterator[BlobId]:
        """Yield the files that are being written, or soon will be."""
        for order in self.orders.values():
            ledger = self._ledger.jobs[order.job]
            wanted = (self._wanted(ledger, order, task) for task in (*order.writing, *order.todo) if not order.closed)
            yield from (result_of(entry).outputs[0].blob for entry in wanted if entry is not None)

    def on_task_changed(self, turn: Turn, note: TaskChanged) -> None:
        """Write what counts now."""
        for order in self.of(note.job):
            if note.task in order.done or order.closed:
                continue
            if self._wanted(self._ledger.jobs[note.job], order, note.task) is not None:
                order.todo[note.task] = None
            else:
                order.todo.pop(note.task, None)
            self._advance(turn, order)

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Have a file made anew whose result was rejected, whether that still counted or not."""
        if isinstance(note.entry.body.what, Reject):
            self._void_all(turn, note.entry.body.job)

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Write a file whose bytes came."""
        for key in self._awaited.pop(note.blob, {}):
            self._advance(turn, self.orders[key])

    def on_exported(self, turn: Turn, event: Exported) -> None:
        """Remember that a file is written, before anybody is told."""
        found = self._exports.pop(event.op, None)
        if found is None:
            return
        order, task, result = found
        order.writing.pop(task, None)
        order.problems.pop(task, None)
        order.in_the_way.pop(task, None)
        self._is_written(order, task, result)
        turn.keep(KeptDelivery(job=order.job, task=task, result=result, directory=order.directory))
        ledger = self._ledger.jobs[order.job]
        self._void(ledger, order)  # its author may have been struck while it was written
        if order.own and task in order.delivered:
            turn.tell(TaskDelivered(job=order.job, task=task))
        if len(order.done) == ledger.frames:
            order.closed = True
            turn.keep(KeptDone(job=order.job, directory=order.directory))
        self._advance(turn, order)

    def on_export_failed(self, turn: Turn, event: ExportFailed) -> None:
        """Keep the reason for the person to see; try again later unless another file is in the way."""
        found = self._exports.pop(event.op, None)
        if found is None:
            return
        order, task, _ = found
        order.writing.pop(task, None)
        order.problems[task] = event.reason
        if event.exists:
            order.todo.pop(task, None)
            order.in_the_way[task] = None
        else:
            order.again_at[task] = later(turn.now.instant, _AGAIN_MS)
        self._advance(turn, order)

    def on_job_ended(self, turn: Turn, note: JobEnded) -> None:
        """A seal may name results that this peer has no records of; a cancel ends every order."""
        ledger = self._ledger.jobs[note.job]
        for order in self.of(note.job):
            order.todo = {} if note.cancelled else dict.fromkeys(self._countable(ledger, order))
            self._advance(turn, order)

    def on_job_struck(self, turn: Turn, note: JobStruck) -> None:
        """Have files made anew whose author's records became void before the job was sealed."""
        self._void_all(turn, note.job)

    def on_tick(self, turn: Turn) -> None:
        """Try again what failed."""
        for order in self.orders.values():
            if order.todo and not order.closed:
                self._advance(turn, order)

    def _open(self, ledger: JobLedger, directory: str, *, overwrite: bool) -> Order:
        own = ledger.submitter == self._me and self.own(ledger.id) is None
        order = Order(job=ledger.id, directory=directory, overwrite=overwrite, own=own)
        order.todo = dict.fromkeys(self._countable(ledger, order))
        self.orders[(ledger.id, directory)] = order
        return order

    def _reopen(self, ledger: JobLedger, order: Order, *, overwrite: bool) -> None:
        """Start an order over; what a submitter's own order has delivered stays delivered."""
        order.overwrite = overwrite
        order.closed = False
        order.done.clear()
        order.problems.clear()
        order.in_the_way.clear()
        order.again_at.clear()
        order.todo = dict.fromkeys(self._countable(ledger, order))

    def _void_all(self, turn: Turn, job: JobId) -> None:
        for order in self.of(job):
            self._void(self._ledger.jobs[job], order)
            self._advance(turn, order)

    def _void(self, ledger: JobLedger, order: Order) -> None:
        files = {**order.done, **order.delivered} if not ledger.all_act else {}
        for task, result in files.items():
            if _is_void(ledger, task, result):
                order.done.pop(task, None)
                order.delivered.pop(task, None)
                order.void[task] = None
                entry = ledger.entries.get(result)
                if entry is not None and ledger.is_out(entry):
                    order.rejected[task] = result
                order.closed = False
        order.todo |= dict.fromkeys(task for task in order.void if self._wanted(ledger, order, task) is not None)

    def _is_written(self, order: Order, task: int, result: RecordId) -> None:
        order.todo.pop(task, None)
        order.void.pop(task, None)
        order.done[task] = result
        former = order.delivered.get(task)
        if order.own and (former is None or _is_void(self._ledger.jobs[order.job], task, former)):
            order.delivered[task] = result

    def _countable(self, ledger: JobLedger, order: Order) -> list[int]:
        return [task for task in range(ledger.frames) if task not in order.done and self._wanted(ledger, order, task)]

    def _wanted(self, ledger: JobLedger, order: Order, task: int) -> Signed[Entry] | None:
        """Return the result that a file is to be made from: what was delivered, else what stands."""
        delivered = order.delivered.get(task)
        found = ledger.entries.get(delivered) if delivered is not None else None
        if found is not None:
            return found
        standing = ledger.standing(task)
        return None if standing is not None and _is_refused(ledger, standing) else standing

    def _advance(self, turn: Turn, order: Order) -> None:
        ledger = self._ledger.jobs[order.job]
        if order.closed or ledger.cancel is not None:
            return
        coming, vain = 0, dict[int, BlobId]()
        for task in order.todo:
            if len(order.writing) >= _EXPORTS:
                return
            if task in order.writing or order.again_at.get(task, turn.now.instant) > turn.now.instant:
                continue
            counting = self._wanted(ledger, order, task)
            if counting is None:
                continue
            blob = result_of(counting).outputs[0].blob
            if self._swarm.complete(blob):
                self._export(turn, ledger, order, task, counting)
            elif self.in_vain(blob, turn.now):  # nor does what nobody has, from coming
                vain[task] = blob
            elif coming < _COMING:  # whatever is slow to come keeps nothing that is here from its place
                coming += 1
                self._awaited.setdefault(blob, {})[(order.job, order.directory)] = None
                self._swarm.want(turn, blob, _reason(order), *self.sources(order.job, task, counting))
        for task, blob in islice(vain.items(), _SOUGHT, None):  # for now: others of the order have their turn
            self._swarm.drop(blob, _reason(order))
            order.todo[task] = order.todo.pop(task)

    def _export(self, turn: Turn, ledger: JobLedger, order: Order, task: int, counting: Signed[Entry]) -> None:
        op = self._ops.next()
        order.writing[task] = op
        self._exports[op] = (order, task, counting.id)
        name = ledger.job.names.name(ledger.job.frames.frame(task))
        blob = result_of(counting).outputs[0].blob
        overwrite = order.overwrite or task in order.void
        turn.do(Export(op=op, job=order.job, blob=blob, directory=order.directory, name=name, overwrite=overwrite))


def _reason(order: Order) -> bytes:
    return b"file" + order.job


def _is_void(ledger: JobLedger, task: int, result: RecordId) -> bool:
    """Whether a file that was made from a result is to be replaced. No more once the submitter has sealed; what a
    keeper's seal names nobody but the submitter may reject.
    """
    entry = ledger.entries.get(result)
    if entry is None or ledger.voids(entry.author):
        return entry is not None
    if ledger.is_over_for(ledger.submitter):
        return False
    if ledger.sealed is not None and ledger.standing(task) == entry:
        return _is_refused(ledger, entry)
    return ledger.is_out(entry)


def _is_refused(ledger: JobLedger, standing: Signed[Entry]) -> bool:
    """Whether the submitter has rejected what a keeper's seal, which knew nothing of that, names."""
    return ledger.sealed is not None and ledger.opinions.rejected_by(standing, ledger.submitter)
