"""Tasks in hand: what is rendered, what waits for a slot, what is rendered and being checked.

A slot is free again as soon as its frame is written; the picture is checked and stored while the next one renders. A
result is published only if none is known that counts, and after a gap of the clock only once the news was heard. A
paused host begins nothing, and a stage ends there as soon as nothing of its job is in hand: its owner wants the memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mesh.core.effects import CloseStage, KillRender, StartRender
from mesh.core.events import FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.core.host import HostFacts
from mesh.core.ledger import Ledger
from mesh.core.notes import (
    CellsChanged,
    ClaimEnded,
    ClaimLost,
    ClaimWon,
    JobEnded,
    PauseChanged,
    SlotFreed,
    TaskChanged,
)
from mesh.core.ops import Ops
from mesh.core.results import failed, lacks, publish, rendered
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, RecordId
from mesh.ground.instants import Instant
from mesh.wire.envelope import Signed
from mesh.wire.records import Claim


@dataclass(slots=True, kw_only=True)
class InHand:
    """One claimed task on its way through this host."""

    claim: Signed[Claim]
    op: int
    slot: int
    started_at: Instant
    begun: int
    """How far this host's renders had got together when this one began."""
    progress: int = 0
    sample: int = 0
    render_ms: int = 0
    written: bool = False
    freed: bool = False
    """Whether it was told for how long this had its slot."""


class Slots:
    """Render what was won, one task a slot."""

    def __init__(self, ledger: Ledger, host: HostFacts, ops: Ops) -> None:
        self._ledger = ledger
        self._host = host
        self._ops = ops
        self._steps = 0
        """What all renders of this boot have got on together."""
        self._waiting: list[Signed[Claim]] = []
        self._by_op: dict[int, InHand] = {}
        self._held_back: list[Rendered | RenderFailed] = []

    def progress_of(self, claim: RecordId) -> int:
        """Return how far a claim's render is: a number that grows while it gets on.

        One that waits for its slot gets on while the others do: it must not look like one that hangs.
        """
        for task in self._by_op.values():
            if task.claim.id == claim:
                return task.begun + task.progress
        return self._steps

    def wanting_slots(self) -> list[Signed[Claim]]:
        """Return what waits for a slot or occupies one."""
        return [*self._waiting, *(task.claim for task in self._by_op.values() if not task.written)]

    def in_hand(self) -> list[InHand]:
        """Return what is rendered now, by slot."""
        return sorted((task for task in self._by_op.values() if not task.written), key=lambda task: task.slot)

    @property
    def busy(self) -> int:
        """How many slots render."""
        return sum(not task.written for task in self._by_op.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand, not even a picture that is being checked."""
        return not self._by_op and not self._waiting and not self._held_back

    def in_use(self) -> Iterable[BlobId]:
        """Return the files of pictures that are not published yet."""
        held = (event for event in self._held_back if isinstance(event, Rendered))
        return [output.blob for event in held for output in event.outputs]

    def claim_of(self, op: int) -> Signed[Claim] | None:
        """Return the claim that an effect of this machine is about."""
        task = self._by_op.get(op)
        return task.claim if task else None

    def on_claim_won(self, turn: Turn, note: ClaimWon) -> None:
        """Render it as soon as a slot is free; assembling takes none."""
        if not note.claim.body.assembles:
            self._waiting.append(note.claim)
            self._start(turn)

    def on_claim_lost(self, turn: Turn, note: ClaimLost) -> None:
        """Somebody else renders it."""
        if note.claim in self._waiting:
            self._waiting.remove(note.claim)
        for task in [task for task in self._by_op.values() if task.claim == note.claim and not task.written]:
            self._kill(turn, task)

    def on_progress(self, event: RenderProgressed) -> None:
        """Note that a render gets on."""
        task = self._by_op.get(event.op)
        if task is not None:
            self._advance(task, max(task.progress, event.progress))
            task.sample = max(task.sample, event.sample)

    def on_frame_written(self, turn: Turn, event: FrameWritten) -> None:
        """Give the slot to the next task."""
        task = self._by_op.get(event.op)
        if task is None or task.written:
            return
        task.written = True
        self._advance(task, task.progress + 1)
        task.render_ms = event.render_ms
        self._start(turn)
        self._freed(turn, task)

    def on_rendered(self, turn: Turn, event: Rendered) -> None:
        """Publish the result."""
        task = self._by_op.get(event.op)
        if task is None:
            return
        if self._host.hears(turn.now.instant):
            self._held_back.append(event)
            return
        self._by_op.pop(event.op)
        publish(turn, self._ledger, task.claim, rendered(task.claim, event, task.render_ms))
        self._close_unused(turn, task.claim.body.job)

    def on_render_failed(self, turn: Turn, event: RenderFailed) -> None:
        """Say so, and go on with the next task."""
        task = self._by_op.get(event.op)
        if task is None:
            return
        if self._host.hears(turn.now.instant):
            task.written = True
            self._held_back.append(event)
            return
        self._by_op.pop(event.op)
        publish(turn, self._ledger, task.claim, failed(task.claim, event))
        self._close_unused(turn, task.claim.body.job)
        self._start(turn)
        self._freed(turn, task)

    def on_hearing_ends(self, turn: Turn) -> None:
        """Publish what was held back, where it is still wanted."""
        held, self._held_back = self._held_back, []
        for event in held:
            if isinstance(event, Rendered):
                self.on_rendered(turn, event)
            else:
                self.on_render_failed(turn, event)

    def on_slept(self, turn: Turn) -> None:
        """Give up what was not begun: others have surely taken it. Of what is begun nothing was done meanwhile."""
        self._begin_no_more(turn)
        for task in self._by_op.values():
            task.started_at = turn.now.instant

    def on_task_changed(self, turn: Turn, note: TaskChanged) -> None:
        """Give up a frame that somebody else has rendered, and buckets of it."""
        self._give_up(turn, lambda claim: _about(claim, note.job, note.task) and not lacks(self._ledger, claim))

    def on_cells_changed(self, turn: Turn, note: CellsChanged) -> None:
        """Give up buckets of which others have rendered every cell."""
        self._give_up(turn, lambda claim: _about(claim, note.job, note.frame) and not lacks(self._ledger, claim))

    def on_job_ended(self, turn: Turn, note: JobEnded) -> None:
        """Give up everything of the job and end its stages."""
        self._give_up(turn, lambda claim: claim.body.job == note.job)
        # What is written and not stored yet ends with its stage, and without an answer.
        for task in [task for task in self._by_op.values() if task.claim.body.job == note.job]:
            self._by_op.pop(task.op)
            turn.tell(ClaimEnded(claim=task.claim, gave_up=True))
        turn.do(CloseStage(job=note.job))

    def on_pause_changed(self, turn: Turn, note: PauseChanged) -> None:
        """Give up what has not begun, and where the owner cannot wait what renders, but no picture that is written."""
        if self._host.pause is None:
            return
        self._begin_no_more(turn)
        if note.now:
            for task in self.in_hand():
                self._kill(turn, task)
        for job, ledger in self._ledger.jobs.items():
            if not ledger.ended and self._host.can_render(ledger.job):
                self._close_unused(turn, job)

    def on_stop_asked(self, turn: Turn, *, now: bool) -> None:
        """Give up what has not begun; when told to stop now, all of it."""
        self._begin_no_more(turn)
        if now:
            for task in list(self._by_op.values()):
                self._kill(turn, task)

    def _advance(self, task: InHand, progress: int) -> None:
        self._steps += progress - task.progress
        task.progress = progress

    def _begin_no_more(self, turn: Turn) -> None:
        for claim in self._waiting:
            turn.tell(ClaimEnded(claim=claim, gave_up=True))
        self._waiting.clear()

    def _freed(self, turn: Turn, task: InHand) -> None:
        """Say for how long a task had its slot, once: a picture that is written may still fail its check."""
        taken_ms = 0 if task.freed else turn.now.instant - task.started_at
        task.freed = True
        turn.tell(SlotFreed(job=task.claim.body.job, taken_ms=taken_ms))

    def _close_unused(self, turn: Turn, job: JobId) -> None:
        if self._host.pause is not None and all(task.claim.body.job != job for task in self._by_op.values()):
            turn.do(CloseStage(job=job))

    def _give_up(self, turn: Turn, which: Callable[[Signed[Claim]], bool]) -> None:
        for claim in [claim for claim in self._waiting if which(claim)]:
            self._waiting.remove(claim)
            turn.tell(ClaimEnded(claim=claim, gave_up=True))
        for in_hand in [in_hand for in_hand in self._by_op.values() if which(in_hand.claim)]:
            if not in_hand.written:
                self._kill(turn, in_hand)

    def _kill(self, turn: Turn, task: InHand) -> None:
        self._by_op.pop(task.op)
        turn.do(KillRender(op=task.op))
        turn.tell(ClaimEnded(claim=task.claim, gave_up=True))
        self._close_unused(turn, task.claim.body.job)
        self._start(turn)
        self._freed(turn, task)

    def _start(self, turn: Turn) -> None:
        while self._waiting and self.busy < self._host.slots:
            claim = self._waiting.pop(0)
            ledger = self._ledger.get(claim.body.job)
            if ledger is None or not ledger.needs(claim.body.task, claim.body.block):
                turn.tell(ClaimEnded(claim=claim, gave_up=True))
                continue
            task = InHand(
                claim=claim,
                op=self._ops.next(),
                slot=self._free_slot(),
                started_at=turn.now.instant,
                begun=self._steps,
            )
            self._by_op[task.op] = task
            frame, block = claim.body.task, claim.body.block
            turn.do(StartRender(op=task.op, slot=task.slot, job=ledger.head.job, task=frame, block=block))

    def _free_slot(self) -> int:
        used = [task.slot for task in self._by_op.values() if not task.written]
        return next(slot for slot in range(self._host.slots) if slot not in used)


def _about(claim: Signed[Claim], job: JobId, frame: int) -> bool:
    return (claim.body.job, claim.body.task) == (job, frame)
