"""The rules of acceptance once more, as plainly as they can be said, to hold the core's fold against.

It folds a whole set of records at one go, knows nothing of the core's code, and takes no short cuts: what the core
keeps beside its ledger for speed must come to the same. Tasks are the job's frames in their order, then the cells of
each frame that is cut, along the rows. A record of a bucket is a record of each of its cells.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self, TypeAlias

from blake3 import blake3

from mesh.ground.ids import PeerId, RecordId
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.records import Check, Control, Entry, Failed, FailureKind, Job, Lost, Reject, Result, Vouch

LOST_THAT_ACT = 3
LOST_OF_EACH_BUCKET = 2
FAILURES_PER_TRY = 3

Loss: TypeAlias = tuple[RecordId, int, Block | None]
"""A result, and what it is said to be a result of."""
Losses: TypeAlias = dict[Loss, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the records tell of one task."""

    result: RecordId | None
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many frames a job has, which of them are cut, and into how many columns and rows of cells."""

    frames: int
    cut: range
    columns: int
    rows: int

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return a job's shape."""
        frames = len(job.frames)
        if job.cut is None:
            return cls(frames=frames, cut=range(0), columns=0, rows=0)
        cut = range(frames - job.cut.frames, frames)
        return cls(frames=frames, cut=cut, columns=job.cut.across.cells, rows=job.cut.down.cells)

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return self.frames + len(self.cut) * self.columns * self.rows

    def cells_of(self, frame: int) -> range:
        """Return the tasks of all cells of a frame that is cut."""
        cells = self.columns * self.rows
        first = self.frames + self.cut.index(frame) * cells
        return range(first, first + cells)

    def tasks_of(self, frame: int, block: Block | None) -> tuple[int, ...]:
        """Return the tasks that a record of a frame or a block of its cells is about; none where it is about none."""
        if block is None:
            return (frame,) if frame < self.frames else ()
        if frame not in self.cut:
            return ()
        if not _lies_well(block.column, block.columns, self.columns) or not _lies_well(
            block.row, block.rows, self.rows
        ):
            return ()
        cells = self.cells_of(frame)
        rows, columns = range(block.row, block.row + block.rows), range(block.column, block.column + block.columns)
        return tuple(cells[row * self.columns + column] for row in rows for column in columns)


def weight(job: Job, entries: Iterable[Signed[Entry]]) -> int:
    """Return how much time hosts are to give a job: what the last change said that saw nothing that is not here."""
    changes = {entry.id: entry.body.what for entry in entries if isinstance(entry.body.what, Control)}
    lines: dict[RecordId, int] = {}
    for _ in changes:  # as many rounds as the longest line can have
        for identifier, change in changes.items():
            if all(seen in lines for seen in change.saw):
                lines[RecordId(identifier)] = 1 + max((lines[seen] for seen in change.saw), default=0)
    last = max((line, identifier) for identifier, line in lines.items()) if lines else None
    found = changes[last[1]].weight if last is not None else None
    return job.weight if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulings:
    """What is said of the results of one job: each is named with its frame and block."""

    lost: "Losses"
    rejected: "Losses"
    vouched: "Losses | None"
    """By anybody but their authors; None: nobody has to."""

    def speak_for(self, entry: Signed[Entry], what: Result) -> bool:
        """Tell whether a result may count."""
        named = _named(entry)
        if named in self.lost or self._is_rejected(named, what):
            return False
        return self.vouched is None or named in self.vouched

    def waits(self, entry: Signed[Entry], what: Result) -> bool:
        """Tell whether a result would count if somebody vouched for it."""
        named = _named(entry)
        return (
            self.vouched is not None
            and named not in self.vouched
            and named not in self.lost
            and not (self._is_rejected(named, what))
        )

    def _is_rejected(self, named: Loss, what: Result) -> bool:
        if named in self.rejected:
            return True
        if not what.claim.body.assembles or not self.rejected:
            return False
        known = sorted(result for result, frame, block in self.rejected if frame == what.task and block is not None)
        return what.without != (blake3(b"".join(known)).digest() if known else None)


def fold(
    submitter: PeerId, job: Job, entries: Mapping[RecordId, Signed[Entry]], *, admins: Iterable[PeerId] = ()
) -> tuple[Told, ...]:
    """Return what counts of each task, seals and cancels aside."""
    told = fold_frames(submitter, job, entries.values(), range(len(job.frames)), admins=admins)
    return tuple(told[task] for task in range(Shape.of(job).tasks))


def fold_frames(
    submitter: PeerId,
    job: Job,
    entries: Iterable[Signed[Entry]],
    frames: Iterable[int],
    *,
    admins: Iterable[PeerId] = (),
) -> dict[int, Told]:
    """Return the same of some frames and their cells, by task: what is said of other frames may be left out."""
    shape, frames, entries = Shape.of(job), list(frames), sorted(entries, key=lambda entry: entry.id)
    rulings = _rulings(submitter, job, entries, admins)
    results: dict[int, list[Signed[Entry]]] = {}
    failures: dict[int, list[Signed[Entry]]] = {}
    for entry in entries:
        what = entry.body.what
        if isinstance(what, Result) and _answers_its_own_claim(entry, what):
            for task in shape.tasks_of(what.task, what.block):
                results.setdefault(task, []).append(entry)
        elif isinstance(what, Failed):
            for task in shape.tasks_of(what.task, what.block):
                failures.setdefault(task, []).append(entry)
    told: dict[int, Told] = {}
    for frame in frames:
        cells = shape.cells_of(frame) if frame in shape.cut else range(0)
        for task in (frame, *cells):
            told[task] = _told(job, results.get(task, []), failures.get(task, []), rulings)
        if told[frame].result is None and any(told[task].stopped for task in cells):
            told[frame] = Told(result=None, stopped=True)  # a cell cannot be rendered: there will be no picture
    return told


def all_count(
    job: Signed[Job],
    entries: Iterable[Signed[Entry]],
    frame: int,
    block: Block | None,
    *,
    admins: Iterable[PeerId] = (),
) -> bool:
    """Return whether a frame, or every cell of a block of it, has a result that counts."""
    shape, about = Shape.of(job.body), [entry for entry in entries if _is_about(entry, frame)]
    rulings = _rulings(job.author, job.body, about, admins)
    lacking = dict.fromkeys(shape.tasks_of(frame, block))
    for entry in about:
        what = entry.body.what
        if isinstance(what, Result) and _meet(what.block, block) and rulings.speak_for(entry, what):
            tasks = shape.tasks_of(frame, what.block) if _answers_its_own_claim(entry, what) else ()
            for task in tasks:
                lacking.pop(task, None)
    return not lacking


def _rulings(submitter: PeerId, job: Job, entries: list[Signed[Entry]], admins: Iterable[PeerId]) -> Rulings:
    judges = {submitter, *job.judges, *admins}
    made = {_named(entry): entry.author for entry in entries if isinstance(entry.body.what, Result)}
    rejected: Losses = {}
    vouched: Losses = {}
    for entry in entries:
        match entry.body.what:
            case Reject(result=result, task=task, block=block) if entry.author in judges:
                rejected |= dict.fromkeys({(result, task, block)} & made.keys())
            case Vouch(result=result, claim=claim) if claim.author == entry.author:
                named = (result, claim.body.task, claim.body.block)
                if made.get(named, entry.author) != entry.author:
                    vouched[named] = None
            case _:
                pass
    return Rulings(
        lost=_lost(submitter, entries),
        rejected=rejected,
        vouched=vouched if job.check == Check.TWICE else None,
    )


def _meet(one: Block | None, other: Block | None) -> bool:
    """Tell whether two blocks have a cell in common, or both are the whole frame."""
    if one is None or other is None:
        return one is other
    across = max(one.column, other.column) < min(one.column + one.columns, other.column + other.columns)
    return across and max(one.row, other.row) < min(one.row + one.rows, other.row + other.rows)


def _is_about(entry: Signed[Entry], frame: int) -> bool:
    """Tell whether a record may say that a frame or its cells count; of all statements of loss only the first act."""
    what = entry.body.what
    return isinstance(what, Lost) or (isinstance(what, Result | Vouch | Reject) and what.task == frame)


@lru_cache(maxsize=4_096)
def _lies_well(first: int, count: int, of: int) -> bool:
    """Tell whether these are the columns or rows of one field of a checkerboard whose side is a power of two."""
    sides = [1 << power for power in range(of.bit_length() + 1)]
    return any(first % side == 0 and first < of and count == min(side, of - first) for side in sides)


def _told(job: Job, results: list[Signed[Entry]], failures: list[Signed[Entry]], rulings: Rulings) -> Told:
    pairs = [(entry, entry.body.what) for entry in results]
    alive = [entry for entry, what in pairs if isinstance(what, Result) and rulings.speak_for(entry, what)]
    if alive:
        return Told(result=min(alive, key=lambda entry: (_attempt(entry), entry.id)).id, stopped=False)
    authors: dict[PeerId, None] = dict.fromkeys(entry.author for entry in failures if _is_of_the_task(entry))
    alone = {entry.author for entry, what in pairs if isinstance(what, Result) and rulings.waits(entry, what)}
    stopped = len(authors) >= job.tries or len(failures) + len(alone) >= FAILURES_PER_TRY * job.tries
    return Told(result=None, stopped=stopped)


def _is_of_the_task(failure: Signed[Entry]) -> bool:
    """Tell whether a failure says something of the task, and not of its author's own disk or engine alone."""
    what = failure.body.what
    return isinstance(what, Failed) and what.kind not in (FailureKind.DISK_FULL, FailureKind.ENGINE_BROKEN)


def _answers_its_own_claim(entry: Signed[Entry], what: Result) -> bool:
    return what.claim.author == entry.author and what.claim.body.job == entry.body.job


def _attempt(entry: Signed[Entry]) -> int:
    what = entry.body.what
    assert isinstance(what, Result)
    return what.attempt


def _named(entry: Signed[Entry]) -> Loss:
    what = entry.body.what
    assert isinstance(what, Result)
    return (entry.id, what.task, what.block)


def _lost(submitter: PeerId, entries: Iterable[Signed[Entry]]) -> Losses:
    """Return the statements of loss that act: others than the submitter may make few of frames, and of each bucket."""
    said: dict[tuple[PeerId, int | None, Block | None], list[Signed[Entry]]] = {}
    for entry in entries:
        what = entry.body.what
        if isinstance(what, Lost):
            about = (what.task, what.block) if what.block is not None else (None, None)
            said.setdefault((entry.author, *about), []).append(entry)
    acting: Losses = {}
    for (author, _, block), losses in said.items():
        most = LOST_THAT_ACT if block is None else LOST_OF_EACH_BUCKET
        for entry in sorted(losses, key=lambda one: one.id)[: len(losses) if author == submitter else most]:
            assert isinstance(entry.body.what, Lost)
            lost = entry.body.what
            acting[lost.result, lost.task, lost.block] = None
    return acting
