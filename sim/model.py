"""The rules of acceptance once more, as plainly as they can be said, to hold the core's fold against.

It folds a whole set of records at one go, knows nothing of the core's code, and takes no short cuts: what the core
keeps beside its ledger for speed must come to the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh.ground.ids import PeerId, RecordId
from mesh.wire.envelope import Signed
from mesh.wire.records import Entry, Failed, Job, Lost, Result

LOST_THAT_ACT = 3
FAILURES_PER_TRY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the records tell of one task."""

    result: RecordId | None
    stopped: bool


def fold(submitter: PeerId, job: Job, entries: Mapping[RecordId, Signed[Entry]]) -> tuple[Told, ...]:
    """Return what counts of each task, seals and cancels aside."""
    lost = _lost(submitter, entries.values())
    results: dict[int, list[Signed[Entry]]] = {}
    failures: dict[int, list[Signed[Entry]]] = {}
    for identifier in sorted(entries):
        entry = entries[identifier]
        what = entry.body.what
        if isinstance(what, Result) and _answers_its_own_claim(entry, what):
            results.setdefault(what.task, []).append(entry)
        elif isinstance(what, Failed):
            failures.setdefault(what.task, []).append(entry)
    return tuple(_told(job, results.get(task, []), failures.get(task, []), lost) for task in range(len(job.frames)))


def _told(job: Job, results: list[Signed[Entry]], failures: list[Signed[Entry]], lost: dict[RecordId, None]) -> Told:
    alive = [entry for entry in results if entry.id not in lost]
    if alive:
        return Told(result=min(alive, key=lambda entry: (_attempt(entry), entry.id)).id, stopped=False)
    authors: dict[PeerId, None] = dict.fromkeys(entry.author for entry in failures)
    stopped = len(authors) >= job.tries or len(failures) >= FAILURES_PER_TRY * job.tries
    return Told(result=None, stopped=stopped)


def _answers_its_own_claim(entry: Signed[Entry], what: Result) -> bool:
    return what.claim.author == entry.author and what.claim.body.job == entry.body.job


def _attempt(entry: Signed[Entry]) -> int:
    what = entry.body.what
    assert isinstance(what, Result)
    return what.attempt


def _lost(submitter: PeerId, entries: Iterable[Signed[Entry]]) -> dict[RecordId, None]:
    by_author: dict[PeerId, list[Signed[Entry]]] = {}
    for entry in entries:
        if isinstance(entry.body.what, Lost):
            by_author.setdefault(entry.author, []).append(entry)
    lost: dict[RecordId, None] = {}
    for author, said in by_author.items():
        acting = len(said) if author == submitter else LOST_THAT_ACT
        for entry in sorted(said, key=lambda one: one.id)[:acting]:
            assert isinstance(entry.body.what, Lost)
            lost[entry.body.what.result] = None
    return lost
