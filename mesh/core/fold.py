"""Which picture stands: a pure function of the records about one task.

Theory: there is no consensus. Every peer that has the same records computes the same state from them, in whatever
order and however often they came. Of a task's results the lowest (lost or not, attempt, record id) is the one to look
at; it counts unless it is lost. A result beats failures. Nothing here knows a clock, a lease or who is connected.
"""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mesh.ground.ids import RecordId
from mesh.ground.limits import FAILURES_PER_TRY
from mesh.wire.envelope import Signed
from mesh.wire.records import Entry, Failed, Result


class TaskFold(enum.Enum):
    """What the records say of a task."""

    OPEN = "open"
    COUNTS = "counts"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """One task's state."""

    state: TaskFold
    counting: Signed[Entry] | None
    """The record whose result counts."""
    attempt: int
    """The highest attempt that any record of the task names; 0: none."""
    failures: tuple[Signed[Entry], ...]
    """In the order of their ids, so that it is the same everywhere."""


NOTHING = Folded(state=TaskFold.OPEN, counting=None, attempt=0, failures=())


def result_of(entry: Signed[Entry]) -> Result:
    """Return the result in `entry`, which must hold one."""
    what = entry.body.what
    assert isinstance(what, Result)
    return what


def fold_task(records: Sequence[Signed[Entry]], lost: Collection[RecordId], tries: int) -> Folded:
    """Return the state of a task from its results and failures, and from the results that statements of loss name."""
    if len(records) == 1 and not lost and isinstance(only := records[0].body.what, Result):
        return Folded(state=TaskFold.COUNTS, counting=records[0], attempt=only.attempt, failures=())  # as nearly always
    results = [entry for entry in records if isinstance(entry.body.what, Result)]
    failed = sorted((entry for entry in records if isinstance(entry.body.what, Failed)), key=lambda entry: entry.id)
    attempts = [entry.body.what.attempt for entry in records if isinstance(entry.body.what, Result | Failed)]
    best = min(results, key=lambda entry: (entry.id in lost, result_of(entry).attempt, entry.id), default=None)
    counting = best if best is not None and best.id not in lost else None
    if counting is not None:
        state = TaskFold.COUNTS
    elif _stopped(failed, tries):
        state = TaskFold.STOPPED
    else:
        state = TaskFold.OPEN
    return Folded(state=state, counting=counting, attempt=max(attempts, default=0), failures=tuple(failed))


def _stopped(failed: Sequence[Signed[Entry]], tries: int) -> bool:
    authors = dict.fromkeys(entry.author for entry in failed)
    return len(authors) >= tries or len(failed) >= tries * FAILURES_PER_TRY
