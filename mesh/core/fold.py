"""Which picture stands: a pure function of the records about one task.

Theory: there is no consensus. Every peer that has the same records computes the same state from them, in whatever
order and however often they came. Of a task's unrejected results the lowest (lost or not, attempt, record id) is the
one to look at; it counts unless it is lost. Where a job is checked twice only those are looked at for which another
author vouches; the others wait, and the task stays open. A result beats failures. Nothing here knows a clock, a lease
or who is connected.
"""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mesh.ground.ids import PeerId, RecordId
from mesh.ground.limits import FAILURES_PER_TRY
from mesh.wire.envelope import Signed
from mesh.wire.records import UNFIT_KINDS, Entry, Failed, Result


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
    waiting: tuple[Signed[Entry], ...] = ()
    """While nothing counts of a task that is checked twice: the results that would if somebody agreed, lowest first."""

    def waits_for_others(self, author: PeerId) -> bool:
        """Whether this author's picture is there, and somebody else has to render the task."""
        return any(entry.author == author for entry in self.waiting)


NOTHING = Folded(state=TaskFold.OPEN, counting=None, attempt=0, failures=())


def result_of(entry: Signed[Entry]) -> Result:
    """Return the result in `entry`, which must hold one."""
    what = entry.body.what
    assert isinstance(what, Result)
    return what


def kind_of(entry: Signed[Entry]) -> int:
    """Return the kind of the failure in `entry`, which must hold one."""
    what = entry.body.what
    assert isinstance(what, Failed)
    return what.kind


def fold_task(
    records: Sequence[Signed[Entry]],
    lost: Collection[RecordId],
    tries: int,
    *,
    rejected: Collection[RecordId] = (),
    vouched: Collection[RecordId] | None = None,
) -> Folded:
    """Return the state of a task from its results and failures, and from what others say of the results.

    Statements of loss name those in `lost`. Who has to be `vouched` for is known where it is not None.
    """
    plain = vouched is None and not lost and not rejected
    if len(records) == 1 and plain and isinstance(only := records[0].body.what, Result):
        return Folded(state=TaskFold.COUNTS, counting=records[0], attempt=only.attempt, failures=())  # as nearly always
    results = [entry for entry in records if isinstance(entry.body.what, Result) and entry.id not in rejected]
    able = results if vouched is None else [entry for entry in results if entry.id in vouched]
    failed = sorted((entry for entry in records if isinstance(entry.body.what, Failed)), key=lambda entry: entry.id)
    attempts = [entry.body.what.attempt for entry in records if isinstance(entry.body.what, Result | Failed)]
    best = min(able, key=lambda entry: (entry.id in lost, result_of(entry).attempt, entry.id), default=None)
    counting = best if best is not None and best.id not in lost else None
    waiting: list[Signed[Entry]] = []
    if counting is None and vouched is not None:
        alone = (entry for entry in results if entry.id not in vouched and entry.id not in lost)
        waiting = sorted(alone, key=lambda entry: (result_of(entry).attempt, entry.id))
    if counting is not None:
        state = TaskFold.COUNTS
    elif _stopped(failed, waiting, tries):
        state = TaskFold.STOPPED
    else:
        state = TaskFold.OPEN
    return Folded(
        state=state,
        counting=counting,
        attempt=max(attempts, default=0),
        failures=tuple(failed),
        waiting=tuple(waiting),
    )


def _stopped(failed: Sequence[Signed[Entry]], waiting: Sequence[Signed[Entry]], tries: int) -> bool:
    """Whether enough was tried: so many authors of whom no two agree are as good as so many failures.

    An author whose own disk or engine failed has found nothing against the task: it counts among the failures alone.
    """
    authors = dict.fromkeys(entry.author for entry in failed if kind_of(entry) not in UNFIT_KINDS)
    differ = dict.fromkeys(entry.author for entry in waiting)
    return len(authors) >= tries or len(failed) + len(differ) >= tries * FAILURES_PER_TRY
