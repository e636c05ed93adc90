"""Frames that grow from buckets: whoever won a frame's assembly fetches each bucket as it counts, and pastes it.

Theory: the work begins with the first bucket, so that little is left to do when the last one comes. It takes no slot:
it is mostly waiting. Nothing of it is unique: when its peer dies another one fetches the same buckets from their
authors.

Invariants: a cell is pasted once, from a result that counted then; what counts later changes nothing that is pasted.
But what this peer rendered itself it believes before others' buckets that are unlike it, and begins anew, once; and it
begins anew where a bucket was rejected that is in the picture.
A frame is finished when every cell is pasted, and published only if it still lacks a result. Who may claim an assembly,
and who renders buckets, is not known here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mesh.core.effects import EndAssembly, FinishAssembly, PasteBucket, StartAssembly
from mesh.core.events import BucketPasted, FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.core.fold import result_of
from mesh.core.host import HostFacts
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import (
    BlobComplete,
    CellsChanged,
    ClaimEnded,
    ClaimLost,
    ClaimWon,
    JobEnded,
    PauseChanged,
    PeerDead,
    Publish,
    TaskChanged,
)
from mesh.core.ops import Ops
from mesh.core.results import failed, lacks, publish, rendered
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.limits import LOST_BUCKET_MS
from mesh.wire.envelope import Signed
from mesh.wire.records import Claim, Entry, FailureKind, Lost

_REASON = b"bucket"

_AT_ONCE = 512
"""Buckets of one frame that are fetched and pasted at a time: who takes over a frame may find thousands that count."""


@dataclass(slots=True, kw_only=True)
class Growing:
    """One frame that this peer assembles."""

    claim: Signed[Claim]
    op: int
    pasted: dict[int, Signed[Entry]] = field(default_factory=dict)
    """Tasks of cells, and the bucket that each was taken from."""
    coming: dict[BlobId, list[Signed[Entry]]] = field(default_factory=dict)
    """Buckets that are fetched: more than one where files are the same, or where somebody says so."""
    pasting: dict[BlobId, list[Signed[Entry]]] = field(default_factory=dict)
    """Those of one file one after the other, since the answers name it alone."""
    anew: bool = False
    """Whether it was begun a second time, since others' buckets were unlike this peer's own."""
    put_off: bool = False
    """Whether there are buckets that count and are not fetched yet."""
    steps: int = 0
    finishing: bool = False
    """Told to finish, or ended by itself: nothing is fetched or pasted any more."""
    render_ms: int = 0

    @property
    def under_way(self) -> int:
        """How many buckets are fetched and pasted now."""
        return len(self.coming) + len(self.pasting)


class Assembling:
    """Assemble the frames whose assembly this peer has won."""

    def __init__(self, ledger: Ledger, swarm: Swarm, host: HostFacts, ops: Ops, me: PeerId) -> None:
        self._ledger = ledger
        self._swarm = swarm
        self._host = host
        self._ops = ops
        self._me = me
        self._by_op: dict[int, Growing] = {}
        self._held_back: list[Rendered | RenderFailed] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is assembled here."""
        return not self._by_op

    def in_use(self) -> Iterator[BlobId]:
        """Yield the buckets of frames that grow, those that are pasted too: what pastes may die, and begins anew."""
        for growing in self._by_op.values():
            yield from (*growing.coming, *growing.pasting)
            yield from (result_of(entry).outputs[0].blob for entry in growing.pasted.values())
        held = (event for event in self._held_back if isinstance(event, Rendered))
        yield from (output.blob for event in held for output in event.outputs)

    def assembles(self, op: int) -> bool:
        """Whether an answer is about something that this machine has asked for."""
        return op in self._by_op

    def claim_of(self, op: int) -> Signed[Claim] | None:
        """Return the claim that an effect of this machine is about."""
        growing = self._by_op.get(op)
        return growing.claim if growing is not None else None

    def growing(self) -> list[Growing]:
        """Return what is assembled now."""
        return list(self._by_op.values())

    def progress_of(self, claim: RecordId) -> int | None:
        """Return how far the assembly of a claim is, a number that grows; None: it is no assembly of this peer's."""
        return next((each.steps for each in self._by_op.values() if each.claim.id == claim), None)

    def on_claim_won(self, turn: Turn, note: ClaimWon) -> None:
        """Begin, with what counts already."""
        body = note.claim.body
        if not body.assembles:
            return
        ledger = self._ledger.get(body.job)
        if ledger is None or not ledger.needs(body.task, None):
            turn.tell(ClaimEnded(claim=note.claim, gave_up=True))
            return
        growing = Growing(claim=note.claim, op=self._ops.next())
        self._by_op[growing.op] = growing
        turn.do(StartAssembly(op=growing.op, job=ledger.head.job, task=body.task))
        self._take(turn, ledger, growing, ledger.parts.cells_of(body.task))

    def on_claim_lost(self, turn: Turn, note: ClaimLost) -> None:
        """Somebody else assembles it."""
        self._end(turn, lambda growing: growing.claim == note.claim)

    def on_cells_changed(self, turn: Turn, note: CellsChanged) -> None:
        """Fetch what counts now."""
        ledger = self._ledger.get(note.job)
        if ledger is None:
            return
        for growing in self._of(note.job, note.frame):
            if _is_spoilt(ledger, growing) and not growing.finishing:
                self._start_over(turn, ledger, growing, anew=growing.anew)
                continue
            self._let_go(ledger, growing)
            self._take(turn, ledger, growing, note.tasks)
            self._take_put_off(turn, ledger, growing)

    def on_task_changed(self, turn: Turn, note: TaskChanged) -> None:
        """Give up a frame that has its result, and one that is stopped, whose cells nobody will render."""
        ledger = self._ledger.get(note.job)
        if ledger is None or ledger.needs(note.task, None):
            return
        has_it = not ledger.lacks(note.task, None)
        about = (note.job, note.task)
        self._end(turn, lambda each: _about(each.claim) == about and (has_it or not each.finishing))

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Paste a bucket that came."""
        for growing in self._by_op.values():
            for entry in growing.coming.pop(note.blob, []):
                self._paste(turn, growing, note.blob, entry)

    def on_bucket_pasted(self, turn: Turn, event: BucketPasted) -> None:
        """Finish when it was the last; have a bad one rendered again."""
        growing = self._by_op.get(event.op)
        ledger = self._ledger.get(growing.claim.body.job) if growing is not None else None
        pasting = growing.pasting.get(event.blob) if growing is not None else None
        if growing is None or ledger is None or pasting is None:
            return
        entry = pasting.pop(0)
        if pasting:
            self._order(turn, growing, event.blob)
        else:
            growing.pasting.pop(event.blob)
        growing.steps += 1
        result = result_of(entry)
        tasks = dict.fromkeys(ledger.parts.of(result.task, result.block))
        if not event.problem:
            growing.pasted.update(dict.fromkeys(tasks, entry))
        elif event.unlike and entry.author == self._me and self._begin_anew(turn, ledger, growing):
            return
        elif not self._say_lost(turn, ledger, [entry]) and tasks.keys() - growing.pasted.keys():
            self._fail(turn, growing, event.problem)
            return
        self._take_put_off(turn, ledger, growing)
        self._finish_if_whole(turn, ledger, growing)

    def on_progress(self, event: RenderProgressed) -> None:
        """Note that finishing gets on."""
        growing = self._by_op.get(event.op)
        if growing is not None:
            growing.steps += 1

    def on_frame_written(self, event: FrameWritten) -> None:
        """Note how long it took."""
        self._by_op[event.op].render_ms = event.render_ms

    def on_answer(self, turn: Turn, event: Rendered | RenderFailed) -> None:
        """Publish the frame, or why there is none; after a gap of the clock only once the news was heard."""
        growing = self._by_op.get(event.op)
        if growing is None:
            return
        growing.finishing = True
        self._fetch_no_more(growing)
        if self._host.hears(turn.now.instant):
            self._held_back.append(event)
            return
        claim = growing.claim
        ledger = self._ledger.get(claim.body.job)
        if isinstance(event, Rendered) and ledger is not None and _is_spoilt(ledger, growing):
            self._start_over(turn, ledger, growing, anew=growing.anew)
            return
        self._by_op.pop(growing.op)
        without = ledger.without(claim.body.task) if ledger is not None else None
        if isinstance(event, Rendered):
            publish(turn, self._ledger, claim, rendered(claim, event, growing.render_ms, without))
        else:
            publish(turn, self._ledger, claim, failed(claim, event))

    def on_hearing_ends(self, turn: Turn) -> None:
        """Publish what was held back, where it is still wanted."""
        held, self._held_back = self._held_back, []
        for event in held:
            self.on_answer(turn, event)

    def on_job_ended(self, turn: Turn, note: JobEnded) -> None:
        """Give up everything of the job."""
        self._end(turn, lambda growing: growing.claim.body.job == note.job)

    def on_pause_changed(self, turn: Turn, _note: PauseChanged) -> None:
        """Leave all of it to others: the host's owner wants the memory."""
        if self._host.pause is not None:
            self.give_up(turn, all_of_it=True)

    def give_up(self, turn: Turn, *, all_of_it: bool) -> None:
        """Leave to others what still waits for buckets, or also what is being finished; they fetch the same buckets."""
        self._end(turn, lambda growing: all_of_it or not growing.finishing)

    def on_peer_dead(self, turn: Turn, note: PeerDead) -> None:
        """Have buckets rendered again whose author has died before they were fetched: mostly nobody else has them."""
        for growing in self._by_op.values():
            ledger = self._ledger.get(growing.claim.body.job)
            coming = [entry for entries in growing.coming.values() for entry in entries]
            gone = [entry for entry in coming if entry.author == note.peer]
            if ledger is not None and gone:
                self._say_lost(turn, ledger, gone)

    def on_tick(self, turn: Turn) -> None:
        """Say what nobody has any more, so that it is rendered again."""
        for growing in self._by_op.values():
            ledger = self._ledger.get(growing.claim.body.job)
            gone = [entry for blob, coming in growing.coming.items() if self._silent(turn, blob) for entry in coming]
            if ledger is not None and gone:
                self._say_lost(turn, ledger, gone)

    def _silent(self, turn: Turn, blob: BlobId) -> bool:
        return self._swarm.in_vain(blob, LOST_BUCKET_MS, turn.now)

    def _of(self, job: JobId, frame: int) -> list[Growing]:
        return [growing for growing in self._by_op.values() if _about(growing.claim) == (job, frame)]

    def _take(self, turn: Turn, ledger: JobLedger, growing: Growing, tasks: Iterable[int]) -> None:
        """Fetch the buckets of which cells count that are not pasted, as far as not too many are under way."""
        if growing.finishing:
            return
        for task in tasks:
            if growing.under_way >= _AT_ONCE:
                growing.put_off = True
                return
            entry = ledger.task(task).counting
            if entry is None or task in growing.pasted:
                continue
            blob = result_of(entry).outputs[0].blob
            if entry in growing.coming.get(blob, []) or entry in growing.pasting.get(blob, []):
                continue
            if self._swarm.complete(blob):
                self._paste(turn, growing, blob, entry)
            else:
                growing.coming.setdefault(blob, []).append(entry)
                self._swarm.want(turn, blob, self._reason(growing), entry.author)

    def _take_put_off(self, turn: Turn, ledger: JobLedger, growing: Growing) -> None:
        """Fetch what was too much at a time, once half of that has come."""
        if growing.put_off and growing.under_way < _AT_ONCE // 2:
            growing.put_off = False
            self._take(turn, ledger, growing, ledger.parts.cells_of(growing.claim.body.task))

    def _let_go(self, ledger: JobLedger, growing: Growing) -> None:
        """Fetch nothing that counts nowhere any more."""
        for blob, coming in list(growing.coming.items()):
            coming[:] = [entry for entry in coming if _counts(ledger, entry)]
            if not coming:
                growing.coming.pop(blob)
                self._swarm.drop(blob, self._reason(growing))

    def _paste(self, turn: Turn, growing: Growing, blob: BlobId, entry: Signed[Entry]) -> None:
        pasting = growing.pasting.setdefault(blob, [])
        pasting.append(entry)
        if len(pasting) == 1:
            self._order(turn, growing, blob)

    def _order(self, turn: Turn, growing: Growing, blob: BlobId) -> None:
        block = result_of(growing.pasting[blob][0]).block
        assert block is not None, "a cell counts by a result of its frame"
        turn.do(PasteBucket(op=growing.op, blob=blob, block=block))

    def _finish_if_whole(self, turn: Turn, ledger: JobLedger, growing: Growing) -> None:
        whole = len(growing.pasted) == ledger.parts.cells
        if whole and not growing.pasting and not growing.finishing and lacks(self._ledger, growing.claim):
            growing.finishing = True
            self._fetch_no_more(growing)  # what comes late is of cells that another bucket gave
            turn.do(FinishAssembly(op=growing.op))

    def _say_lost(self, turn: Turn, ledger: JobLedger, entries: list[Signed[Entry]]) -> bool:
        """Say that buckets have to be rendered again, as often as that acts; tell whether any was said."""
        said = False
        for entry in entries:
            result = result_of(entry)
            assert result.block is not None, "a cell counts by a result of its frame"
            if ledger.may_say_bucket_lost(self._me, result.task, result.block):
                what = Lost(task=result.task, result=RecordId(entry.id), block=result.block)
                turn.tell(Publish(job=ledger.id, what=what))
                said = True
        return said

    def _begin_anew(self, turn: Turn, ledger: JobLedger, growing: Growing) -> bool:
        """Begin a frame once more with what this peer rendered itself, where all that is pasted is others' and unlike
        it: whoever was first must not say what is right. Tell whether it is so.
        """
        before = list({entry.id: entry for entry in growing.pasted.values()}.values())
        counting = ((task, ledger.task(task).counting) for task in ledger.parts.cells_of(growing.claim.body.task))
        own = [task for task, entry in counting if entry is not None and entry.author == self._me]
        if growing.anew or growing.finishing or not own or any(entry.author == self._me for entry in before):
            return False
        anew = self._start_over(turn, ledger, growing, anew=True, first=own)
        self._say_lost(turn, ledger, before)
        anew.put_off = True
        return True

    def _start_over(
        self, turn: Turn, ledger: JobLedger, growing: Growing, *, anew: bool, first: Iterable[int] | None = None
    ) -> Growing:
        """Make a frame once more from nothing, of what counts now; where these come `first` nothing else is taken."""
        frame = growing.claim.body.task
        self._by_op.pop(growing.op)
        self._fetch_no_more(growing)
        turn.do(EndAssembly(op=growing.op))
        again = Growing(claim=growing.claim, op=self._ops.next(), steps=growing.steps, anew=anew)
        self._by_op[again.op] = again
        turn.do(StartAssembly(op=again.op, job=ledger.head.job, task=frame))
        self._take(turn, ledger, again, ledger.parts.cells_of(frame) if first is None else first)
        return again

    def _fail(self, turn: Turn, growing: Growing, problem: str) -> None:
        """Say that a frame cannot be assembled: its bucket is bad whoever renders it."""
        turn.do(EndAssembly(op=growing.op))
        kind = FailureKind.WRONG_PICTURE
        self.on_answer(turn, RenderFailed(op=growing.op, kind=kind, reason=problem, log=None))

    def _end(self, turn: Turn, which: Callable[[Growing], bool]) -> None:
        for growing in [growing for growing in self._by_op.values() if which(growing)]:
            self._by_op.pop(growing.op)
            self._fetch_no_more(growing)
            turn.do(EndAssembly(op=growing.op))
            turn.tell(ClaimEnded(claim=growing.claim, gave_up=True))

    def _fetch_no_more(self, growing: Growing) -> None:
        for blob in growing.coming:
            self._swarm.drop(blob, self._reason(growing))
        growing.coming.clear()

    def _reason(self, growing: Growing) -> bytes:
        return _REASON + growing.op.to_bytes(8, "big") + growing.claim.body.job


def _is_spoilt(ledger: JobLedger, growing: Growing) -> bool:
    """Whether a bucket that is in the picture was rejected."""
    return ledger.opinions.any_rejected and any(map(ledger.opinions.rejected, growing.pasted.values()))


def _about(claim: Signed[Claim]) -> tuple[JobId, int]:
    return (claim.body.job, claim.body.task)


def _counts(ledger: JobLedger, entry: Signed[Entry]) -> bool:
    """Whether a bucket's result counts for any of its cells."""
    result = result_of(entry)
    return any(ledger.task(task).counting == entry for task in ledger.parts.of(result.task, result.block))
