"""The grow-only set of records of each job, and what folds out of it.

A job is done when each of its frames counts. Cells are tasks, too, by numbers of their own (`parts`): they are only a
means, so that nothing counts them once their frame counts, and a frame of which one cell is stopped is stopped.

Invariants: a record that is in stays in; whether it acts depends on other records alone, revocations with a strike
among them, never on when it came. What is asked often (the state of a task) is kept beside the set and computed anew
for just the tasks that a record touches; a property test holds it against the fold of the whole set. The ledger does
not know who is connected, what is claimed or what is on disk.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from mesh.core.allotments import place, room, seal_rank
from mesh.core.controls import Controls
from mesh.core.fold import NOTHING, Folded, TaskFold, fold_task
from mesh.core.growth import Growth
from mesh.core.notes import CellsChanged, TaskChanged
from mesh.core.opinions import Opinions, named_by
from mesh.core.parts import Parts
from mesh.core.streams import Stream, digest_of
from mesh.ground.ids import BlobId, Boot, JobId, PeerId, RecordId
from mesh.ground.limits import LOST_PER_AUTHOR, LOST_PER_BUCKET, MAX_RECORDS_PER_JOB, RESULTS_PER_AUTHOR
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.messages import Head
from mesh.wire.records import Cancel, Check, Control, Entry, Failed, Job, Lost, Reject, Result, Seal, SealPage, Vouch
from mesh.wire.versions import needed

_MEDIAN_OF = 101

_Loss: TypeAlias = tuple[RecordId, int, Block | None]


class JobLedger:
    """One job: its record, the set of entries, and the folded state of its tasks."""

    def __init__(self, head: Head, struck: Iterable[PeerId] = ()) -> None:
        self.head = head
        self._struck = dict.fromkeys(struck)
        """Authors whose records are void here, unless somebody else has sealed the job."""
        self.id = JobId(head.job.id)
        self.job: Job = head.job.body
        self.version = needed(self.job)
        """The version of the wire that whoever has part in it must speak."""
        self.submitter: PeerId = head.job.author
        self.parts = Parts.of_job(self.job)
        self.frames = self.parts.frames
        self.entries: dict[RecordId, Signed[Entry]] = {}
        self.streams: dict[tuple[PeerId, Boot], Stream] = {}
        self.cancel: Signed[Entry] | None = None
        self.seals: dict[RecordId, tuple[Signed[Entry], SealPage]] = {}
        """Seals whose page was read and found valid; none of a struck author."""
        self._struck_seals: dict[RecordId, tuple[Signed[Entry], SealPage]] = {}
        self._seals_said: dict[RecordId, PeerId] = {}
        """Who says that he sealed it, his page read or not."""
        self._cancels: dict[RecordId, Signed[Entry]] = {}
        self.opinions = Opinions(self)
        self.twice = self.job.check == Check.TWICE
        """Whether a result counts only once another author vouches for it."""
        self.controls = Controls()
        self.by_output: dict[BlobId, dict[int, None]] = {}
        """Which frames have results with this output."""
        self._folded: dict[int, Folded] = {}
        self._records: dict[int, list[Signed[Entry]]] = {}
        self._lost_by: dict[PeerId, dict[RecordId, Lost]] = {}
        self._lost: Counter[_Loss] = Counter()
        """How many say that a result is lost, with the frame and block that they name: both must be the result's."""
        self._said: dict[tuple[object, ...], list[Signed[Entry]]] = {}
        """What each author has said of one kind, and of one task where that matters: the lowest few."""
        self._frames_ms: list[int] = []
        self._buckets_ms: list[int] = []
        self.median_ms = 0
        """The median render time of the latest frames, of buckets where none was rendered whole; 0: none yet."""
        self._open: list[int] | None = None
        """The open frames in the job's order, once anybody has asked for them."""
        self.counting = 0
        """Frames that do."""
        self.cells_counting = self.stopped = 0
        self.growth = Growth(self.parts)
        self.waiting = 0
        """Frames that nobody has vouched for yet."""
        self._stopped_cells: Counter[int] = Counter()
        self._counting_cells: Counter[int] = Counter()
        """How many of each frame."""
        self._closed_bits: Counter[int] = Counter()
        """One bit for each cell of a frame that needs no result."""
        self.tried: dict[int, None] = {}
        """The open tasks that somebody has tried before."""
        self._digest: bytes | None = None
        self.in_buckets = False
        """Whether any record that was taken is of a bucket."""

    def add(self, entry: Signed[Entry]) -> tuple[int, ...] | None:
        """Take a record that was judged; return the tasks whose state changed, or None where nothing is new."""
        if entry.id in self.entries or len(self.entries) >= MAX_RECORDS_PER_JOB:
            return None
        surplus = self._surplus(entry)
        if surplus is entry:
            return None
        dropped = self._drop(surplus) if surplus is not None else []
        changed = self._take(entry)
        if not dropped and len(changed) <= 1:
            return changed  # as nearly always
        return tuple(sorted({*changed, *self._refold(dropped)}))

    def _take(self, entry: Signed[Entry]) -> tuple[int, ...]:
        self.entries[entry.id] = entry
        what = entry.body.what
        self._stream_of(entry).add(entry.id, common=not isinstance(what, Result | Failed | Vouch))
        self._digest = None
        match what:
            case Result() | Failed():
                tasks = self.parts.of(what.task, what.block)
                self.in_buckets = self.in_buckets or what.block is not None
                for task in tasks:
                    self._records.setdefault(task, []).append(entry)
                if isinstance(what, Result):
                    self._note_result(what)
                return self._refold(tasks)
            case Lost() as lost:
                self._lost_by.setdefault(entry.author, {})[entry.id] = lost
                self._count_lost(entry.author, lost, 1)
                return self._refold(self._tasks_of(lost.result))
            case Vouch() | Reject():
                self.opinions.add(entry)
                return self._refold(self._tasks_of(what.result))
            case Cancel():
                self._cancels[entry.id] = entry
                self._choose_cancel()
            case Control() as control:
                self.controls.add(entry, control)
            case Seal():
                self._seals_said[entry.id] = entry.author  # it acts once its page was read: add_seal
        return ()

    def _stream_of(self, entry: Signed[Entry]) -> Stream:
        author, boot = entry.author, entry.body.boot
        found = self.streams.get((author, boot))
        if found is None:
            found = self.streams[author, boot] = Stream(author, boot)
        return found

    def _note_result(self, result: Result) -> None:
        if result.block is None:
            for output in result.outputs:
                self.by_output.setdefault(output.blob, {})[result.task] = None
        self.growth.note(result)
        if not result.claim.body.assembles:
            times = self._frames_ms if result.block is None else self._buckets_ms
            times.append(result.render_ms)
            del times[:-_MEDIAN_OF]
            latest = self._frames_ms or self._buckets_ms
            self.median_ms = sorted(latest)[len(latest) // 2]

    def add_seal(self, entry: Signed[Entry], page: SealPage) -> None:
        """Take a seal together with its page, which was judged."""
        if entry.author in self._struck:
            self._struck_seals[entry.id] = (entry, page)
            return
        first = not self.seals
        self.seals[entry.id] = (entry, page)
        if first and self._struck:
            self._judge_again()

    def strike(self, authors: Iterable[PeerId]) -> tuple[int, ...] | None:
        """Void the records of these authors, and of no others; return the tasks whose state changed, None where it is
        all the same.
        """
        struck = dict.fromkeys(authors)
        if struck == self._struck:
            return None
        self._struck = struck
        seals = {**self.seals, **self._struck_seals}
        self.seals = {key: seal for key, seal in seals.items() if seal[0].author not in struck}
        self._struck_seals = {key: seal for key, seal in seals.items() if seal[0].author in struck}
        return self._judge_again()

    @property
    def maybe_sealed(self) -> bool:
        """Whether anybody says that he has sealed it: of a cancelled job nobody reads the page any more."""
        return any(author not in self._struck for author in self._seals_said.values())

    @property
    def struck_out(self) -> bool:
        """Whether the whole job is void: its submitter was struck, and nobody else has sealed it."""
        return self.voids(self.submitter)

    @property
    def all_act(self) -> bool:
        """Whether nobody was struck and nothing rejected, as nearly always: then no record is void."""
        return not self._struck and not self.opinions.any_rejected

    def voids(self, author: PeerId) -> bool:
        """Whether an author's records do not act here."""
        return author in self._struck and not self.seals

    @property
    def sealed(self) -> tuple[Signed[Entry], SealPage] | None:
        """The seal that stands: the submitter's before any other, then the lowest page hash, then the lowest id."""
        if not self.seals:
            return None  # asked of every task
        return min(self.seals.values(), key=lambda seal: seal_rank(seal[0], self.submitter), default=None)

    def standing(self, task: int) -> Signed[Entry] | None:
        """Return the result of a frame that stands: what the seal names, or before it what the fold chose."""
        sealed = self.sealed
        return sealed[1].tasks[task].result if sealed is not None else self.task(task).counting

    def without(self, frame: int) -> bytes | None:
        """Return what the result of a frame that is made of its buckets now says of those that were rejected."""
        known = (self.entries.get(result) for result in self.opinions.rejected_of(frame))
        return named_by([RecordId(entry.id) for entry in known if entry is not None and self.opinions.rejected(entry)])

    def is_out(self, entry: Signed[Entry]) -> bool:
        """Whether a record is a result that was rejected, or that may be made of a bucket that was."""
        what = entry.body.what
        if not isinstance(what, Result) or not self.opinions.any_rejected:
            return False
        made_of_others = what.claim.body.assembles and what.without != self.without(what.task)
        return made_of_others or self.opinions.rejected(entry)

    def is_over_for(self, author: PeerId) -> bool:
        """Whether this one says that he sealed it, his page read or not."""
        return author in self._seals_said.values()

    @property
    def ended(self) -> bool:
        """Whether no task may be started any more; every machine asks, of each job at each tick."""
        return self.cancel is not None or bool(self.seals) or self.submitter in self._struck

    @property
    def weight(self) -> int:
        """How much time each host is to give this job beside others."""
        stands = self.controls.stands(self.voids)
        return stands[1] if stands is not None else self.job.weight

    def task(self, task: int) -> Folded:
        """Return the state of a task."""
        return self._folded.get(task, NOTHING)

    def is_open(self, task: int) -> bool:
        """Whether there is such a task and it still needs a result, as nobody needs a cell whose frame has one."""
        if self.ended or not 0 <= task < self.parts.tasks or self.task(task).state is not TaskFold.OPEN:
            return False
        return task < self.frames or self.task(self.parts.frame_of(task)).state is TaskFold.OPEN

    def open_frames(self) -> Sequence[int]:
        """Return the open frames in the job's order, which a keeper reads for each window."""
        if self._open is None:
            self._open = [task for task in range(self.frames) if self.task(task).state is TaskFold.OPEN]
        return self._open if not self.ended else ()

    def needs(self, frame: int, block: Block | None) -> bool:
        """Whether a frame, or any cell of a block of it, still needs a result."""
        return any(map(self.is_open, self.parts.of(frame, block)))

    def lacks(self, frame: int, block: Block | None) -> bool:
        """Whether a frame, or any cell of a block of it while its frame does not count, has no result that counts."""
        if self.task(frame).state is TaskFold.COUNTS:
            return False
        return any(self.task(task).state is not TaskFold.COUNTS for task in self.parts.of(frame, block))

    def has_buckets(self, frame: int) -> bool:
        """Whether a bucket of a frame counts."""
        return self._counting_cells[frame] > 0

    def open_cells(self, frame: int) -> list[int]:
        """Return the tasks of a frame's cells that still need a result, along the rows."""
        bits, first = self.open_bits(frame), self.parts.cells_of(frame).start
        return [first + cell for cell in range(bits.bit_length()) if bits >> cell & 1]

    def open_bits(self, frame: int) -> int:
        """Return the same, one bit a cell."""
        if not self.is_open(frame):
            return 0
        return ((1 << len(self.parts.cells_of(frame))) - 1) & ~self._closed_bits[frame]

    @property
    def all_count(self) -> bool:
        """Whether every frame has a result that counts."""
        return self.counting == self.frames

    @property
    def pixels_counting(self) -> int:
        """How many pixels of all frames are rendered, where some frames are cut: a frame that counts is all there."""
        begun = self.growth.begun().items()
        part = sum(pixels for frame, pixels in begun if self.task(frame).state is not TaskFold.COUNTS)
        return self.counting * self.growth.frame_pixels + part

    def may_say_lost(self, author: PeerId) -> int:
        """Return how many statements more by `author` that a frame is lost would act."""
        if author == self.submitter:
            return MAX_RECORDS_PER_JOB
        return LOST_PER_AUTHOR - len(self._said.get(("lost", author), ()))

    def may_say_bucket_lost(self, author: PeerId, frame: int, block: Block) -> bool:
        """Whether one statement more by `author` that this bucket is lost would act."""
        most = RESULTS_PER_AUTHOR if author == self.submitter else LOST_PER_BUCKET
        return len(self._said.get(("lost", author, frame, block), ())) < most

    def failures(self) -> tuple[Signed[Entry], ...]:
        """Return the failures of tasks that still lack a result, each once, in the order of the tasks."""
        lacking = [task for task, folded in sorted(self._folded.items()) if folded.counting is None]
        needed = [task for task in lacking if self.task(self.parts.frame_of(task)).counting is None]
        found = {entry.id: entry for task in needed for entry in self.task(task).failures}
        return tuple(found.values())

    def news(self, changed: Iterable[int]) -> Iterator[TaskChanged | CellsChanged]:
        """Yield what the other machines are told of tasks whose state changed: of a frame's cells all at once."""
        cells: dict[int, list[int]] = {}
        for task in changed:
            if task >= self.frames:
                cells.setdefault(self.parts.frame_of(task), []).append(task)
            else:
                yield TaskChanged(job=self.id, task=task)
        for frame, tasks in cells.items():
            yield CellsChanged(job=self.id, frame=frame, tasks=tuple(tasks))

    def digest(self) -> bytes:
        """Return a hash over the streams, and so over the ids of all records."""
        if self._digest is None:
            self._digest = digest_of(
                author + boot + self.streams[author, boot].told().digest for author, boot in sorted(self.streams)
            )
        return self._digest

    def _surplus(self, entry: Signed[Entry]) -> Signed[Entry] | None:
        """Return what its author has said too often with this record: which of them stay is the same everywhere."""
        about, most = room(entry, self.submitter)
        said = self._said.setdefault(about, [])
        insort(said, entry, key=place)
        return said.pop() if len(said) > most else None

    def _drop(self, entry: Signed[Entry]) -> list[int]:
        """Forget a record that never acts, and return the tasks to be folded again."""
        self.entries.pop(entry.id)
        self._stream_of(entry).drop(entry.id)
        what = entry.body.what
        match what:
            case Result() | Failed():
                tasks = self.parts.of(what.task, what.block)
                for task in tasks:
                    self._records[task].remove(entry)
                return list(tasks)
            case Lost() as lost:
                self._lost_by[entry.author].pop(entry.id)
                self._count_lost(entry.author, lost, -1)
                return list(self._tasks_of(lost.result))
            case Vouch() | Reject():
                self.opinions.drop(entry)
                return list(self._tasks_of(what.result))
            case Cancel():
                self._cancels.pop(entry.id)
                self._choose_cancel()
                return []
            case Control():
                self.controls.drop(entry.id)
                return []
            case Seal():
                self._seals_said.pop(entry.id, None)
                self._struck_seals.pop(entry.id, None)
                if self.seals.pop(entry.id, None) is None or self.seals or not self._struck:
                    return []
                self._choose_lost()
                self._choose_cancel()
                return sorted(self._records)  # no seal is left that lets struck authors' records act

    def _count_lost(self, author: PeerId, lost: Lost, change: int) -> None:
        """Note that a statement acts from now on (1), or does no more (-1), where its author's do."""
        if self.voids(author):
            return
        self._lost[_loss(lost)] += change
        if not self._lost[_loss(lost)]:
            del self._lost[_loss(lost)]

    def _tasks_of(self, result: RecordId) -> tuple[int, ...]:
        """Return the tasks that a result is of, none where it is not here yet: it is folded when it comes."""
        entry = self.entries.get(result)
        what = entry.body.what if entry is not None else None
        return self.parts.of(what.task, what.block) if isinstance(what, Result) else ()

    def _choose_lost(self) -> None:
        acting = [said for author, said in self._lost_by.items() if not self.voids(author)]
        self._lost = Counter(_loss(lost) for said in acting for lost in said.values())

    def _choose_cancel(self) -> None:
        acting = [entry for entry in self._cancels.values() if not self.voids(entry.author)]
        self.cancel = min(acting, key=lambda entry: entry.id, default=None)

    def _judge_again(self) -> tuple[int, ...]:
        """Fold everything anew: other records act now."""
        self._choose_lost()
        self._choose_cancel()
        return self._refold(sorted(self._records))

    def _refold(self, tasks: Iterable[int]) -> tuple[int, ...]:
        """Fold tasks anew, cells before the frames that they may stop; return those whose state changed."""
        if self.parts.cut is None:
            return tuple([task for task in dict.fromkeys(tasks) if self._changes(task)])
        changed = [task for task in tasks if task >= self.frames and self._changes(task)]
        frames = dict.fromkeys(task for task in tasks if task < self.frames)
        # A picture falls with a bucket that was rejected, whether that counts or not.
        touched = tasks if self.opinions.any_rejected else changed
        frames |= dict.fromkeys(self.parts.frame_of(task) for task in touched)
        return (*changed, *(frame for frame in frames if self._changes(frame)))

    def _changes(self, task: int) -> bool:
        """Fold one task anew, and say whether that changed it."""
        before, after = self.task(task), self._fold(task)
        if after == before:
            return False
        self._folded[task] = after
        if after.state is TaskFold.OPEN and after.attempt:
            self.tried[task] = None
        else:
            self.tried.pop(task, None)
        counts = (after.state is TaskFold.COUNTS) - (before.state is TaskFold.COUNTS)
        stopped = (after.state is TaskFold.STOPPED) - (before.state is TaskFold.STOPPED)
        if task >= self.frames:
            self._stopped_cells[self.parts.frame_of(task)] += stopped
            self._counting_cells[self.parts.frame_of(task)] += counts
            self.cells_counting += counts
            if counts:
                self.growth.count(task, counts)
            self._note_open(task, after)
            return True
        self.counting += counts
        self.stopped += stopped
        self.waiting += bool(after.waiting) - bool(before.waiting)
        if self._open is not None and (before.state is TaskFold.OPEN) != (after.state is TaskFold.OPEN):
            if after.state is TaskFold.OPEN:
                insort(self._open, task)
            else:
                del self._open[bisect_left(self._open, task)]
        return True

    def _note_open(self, task: int, folded: Folded) -> None:
        frame, is_open = self.parts.frame_of(task), folded.state is TaskFold.OPEN
        bit = 1 << task - self.parts.cells_of(frame).start
        self._closed_bits[frame] = self._closed_bits[frame] & ~bit if is_open else self._closed_bits[frame] | bit

    def _fold(self, task: int) -> Folded:
        records = self._records.get(task, [])
        if self._struck:
            records = [entry for entry in records if not self.voids(entry.author)]
        lost = [entry.id for entry in records if self._is_lost(entry)] if self._lost else []
        rejected = [entry.id for entry in records if self.is_out(entry)] if self.opinions.any_rejected else ()
        vouched = [entry.id for entry in records if self._is_vouched(entry)] if self.twice else None
        folded = fold_task(records, lost, self.job.tries, rejected=rejected, vouched=vouched)
        if folded.state is TaskFold.OPEN and self._stopped_cells[task] > 0:
            return replace(folded, state=TaskFold.STOPPED)
        return folded

    def _is_vouched(self, entry: Signed[Entry]) -> bool:
        return isinstance(entry.body.what, Result) and self.opinions.vouch(entry) is not None

    def _is_lost(self, entry: Signed[Entry]) -> bool:
        what = entry.body.what
        return isinstance(what, Result) and (entry.id, what.task, what.block) in self._lost


class Ledger:
    """All jobs that this peer knows records of."""

    def __init__(self) -> None:
        self.jobs: dict[JobId, JobLedger] = {}
        self._struck: list[PeerId] = []

    def open(self, head: Head) -> JobLedger:
        """Return the job's ledger, made where there is none."""
        job = JobId(head.job.id)
        found = self.jobs.get(job)
        if found is None:
            found = self.jobs[job] = JobLedger(head, self._struck)
        return found

    def forget(self, job: JobId) -> None:
        """Drop a job of which nothing but its head is known."""
        assert not self.jobs[job].entries
        del self.jobs[job]

    def strike(self, authors: list[PeerId]) -> list[tuple[JobLedger, tuple[int, ...]]]:
        """Void the records of these authors, and of no others; return the jobs that this concerns, and which tasks."""
        self._struck = authors
        found = [(ledger, ledger.strike(authors)) for ledger in self.jobs.values()]
        return [(ledger, changed) for ledger, changed in found if changed is not None]

    def get(self, job: JobId) -> JobLedger | None:
        """Return the job's ledger if the job is known."""
        return self.jobs.get(job)


def _loss(lost: Lost) -> _Loss:
    return (lost.result, lost.task, lost.block)
