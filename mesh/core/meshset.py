"""What every peer knows: heads of live jobs, their keepers' marks, cancels, admissions by open invites.

In this first form it is told whole on connecting, and each change to every connected peer; who hears something new
tells it on, so that it also reaches those whom its author cannot. Nothing here is trusted further than its signatures
and chains go.
"""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TypeVar

from mesh.core.directory import Directory
from mesh.core.ledger import Ledger
from mesh.core.membership import Door, Members
from mesh.core.notes import EntryAdded, HeadHeard, MarkHeard, PeerReached
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import DAY_MS, MINUTE_MS, WallTime
from mesh.ground.limits import JOB_DAYS_MS, MARK_LIFE_MS, MAX_JOBS, MAX_JOBS_KNOWN
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries, KeptHead, KeptMark
from mesh.wire.members import Admission, Role
from mesh.wire.messages import Head, News
from mesh.wire.records import Cancel, Entry, Mark

T = TypeVar("T")

_HEADS_PER_NEWS = 4
_MARKS_PER_NEWS = 64
_CANCELS_PER_NEWS = 8
_ADMISSIONS_PER_NEWS = 32
_SKEW_MS = 10 * MINUTE_MS
"""How far others' calendars may be ahead of ours before a mark is refused."""

_HEAD_SKEW_MS = DAY_MS
"""The same for a job: a clock in the wrong time zone is common, and a job refused once is not offered again."""


class MeshSet:
    """The heads, marks and cancels that this peer knows, and their spreading."""

    def __init__(self, ledger: Ledger, members: Members, door: Door, directory: Directory) -> None:
        self._ledger = ledger
        self._members = members
        self._door = door
        self._directory = directory
        self.marks: dict[JobId, dict[PeerId, Signed[Mark]]] = {}

    def restore(self, heads: Iterable[Head], marks: Iterable[Signed[Mark]], wall: WallTime) -> None:
        """Take what the journal holds, where it is still of use."""
        for head in heads:
            if self._members.learn(head.chain) is not None and head.job.body.last_day >= wall:
                self._ledger.open(head)
        for mark in marks:
            if mark.body.expires >= wall:
                self._newer(mark)

    def live_marks(self, job: JobId, wall: WallTime) -> list[PeerId]:
        """Return who has said that it keeps the job, lowest id first."""
        return sorted(peer for peer, mark in self.marks.get(job, {}).items() if mark.body.expires >= wall)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Tell everything."""
        now = turn.now.wall
        heads = [ledger.head for job, ledger in self._ledger.jobs.items() if self._lives(job, now)]
        marks = [mark for job in self.marks.values() for mark in job.values() if mark.body.expires >= now]
        cancels = [ledger.cancel for ledger in self._ledger.jobs.values() if ledger.cancel is not None]
        admissions = [admission for admission, until in self._door.admissions.values() if until >= now]
        for news in _news(heads, marks, cancels, admissions):
            turn.send(note.peer, news)

    def on_news(self, turn: Turn, peer: PeerId, news: News) -> None:
        """Take what is new, and tell it on."""
        heads = [head for head in news.heads if self._take_head(turn, head)]
        marks = [mark for mark in news.marks if self._take_mark(turn, mark)]
        cancels = [cancel for cancel in news.cancels if self._take_cancel(turn, cancel)]
        admissions = [admission for admission in news.admissions if self._door.heard(turn, admission)]
        self._spread(turn, heads, marks, cancels, admissions, but=peer)

    def add_head(self, turn: Turn, head: Head) -> None:
        """Add this peer's own job."""
        if self._take_head(turn, head):
            self._spread(turn, [head], [], [], [])

    def add_mark(self, turn: Turn, mark: Signed[Mark]) -> None:
        """Add this peer's own mark."""
        if self._take_mark(turn, mark):
            self._spread(turn, [], [mark], [], [])

    def add_admission(self, turn: Turn, admission: Signed[Admission]) -> None:
        """Tell others of an admission that this peer gave."""
        self._spread(turn, [], [], [], [admission])

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Spread a cancel at once, whichever way it came."""
        if isinstance(note.entry.body.what, Cancel):
            self._spread(turn, [], [], [note.entry], [])

    def _lives(self, job: JobId, wall: WallTime) -> bool:
        ledger = self._ledger.jobs[job]
        if ledger.job.last_day < wall:
            return False
        latest = max((mark.body.expires for mark in self.marks.get(job, {}).values()), default=ledger.job.submitted)
        return latest + MARK_LIFE_MS >= wall

    def _full(self, wall: WallTime) -> bool:
        if len(self._ledger.jobs) < MAX_JOBS:
            return False
        live = sum(not ledger.ended and self._lives(job, wall) for job, ledger in self._ledger.jobs.items())
        return live >= MAX_JOBS or len(self._ledger.jobs) >= MAX_JOBS_KNOWN

    def _take_head(self, turn: Turn, head: Head) -> bool:
        job = JobId(head.job.id)
        body = head.job.body
        membership = self._members.take(turn, head.chain)
        if job in self._ledger.jobs or self._full(turn.now.wall):
            return False
        if membership is None or membership.peer != head.job.author or not membership.roles & Role.SUBMIT:
            return False
        if not turn.now.wall <= body.last_day <= turn.now.wall + JOB_DAYS_MS + _HEAD_SKEW_MS:
            return False
        self._ledger.open(head)
        turn.keep(KeptHead(head=head))
        turn.tell(HeadHeard(head=head))
        return True

    def _take_mark(self, turn: Turn, mark: Signed[Mark]) -> bool:
        wall = turn.now.wall
        if mark.body.job not in self._ledger.jobs or not self._members.is_member(mark.author):
            return False
        if not wall <= mark.body.expires <= wall + MARK_LIFE_MS + _SKEW_MS or not self._newer(mark):
            return False
        turn.keep(KeptMark(mark=mark))
        turn.tell(MarkHeard(mark=mark))
        return True

    def _newer(self, mark: Signed[Mark]) -> bool:
        known = self.marks.setdefault(mark.body.job, {})
        before = known.get(mark.author)
        if before is not None and before.body.expires >= mark.body.expires:
            return False
        known[mark.author] = mark
        return True

    def _take_cancel(self, turn: Turn, cancel: Signed[Entry]) -> bool:
        ledger = self._ledger.get(cancel.body.job)
        if ledger is None or not isinstance(cancel.body.what, Cancel) or not may_cancel(ledger.submitter, cancel, self):
            return False
        if ledger.add(cancel) is None:
            return False
        turn.keep(KeptEntries(entries=(cancel,)))
        turn.tell(EntryAdded(entry=cancel, own=False))
        return True

    def may_cancel(self, author: PeerId) -> bool:
        """Whether an author who is not the submitter may cancel."""
        return self._members.may(author, Role.ADMIN)

    def _spread(
        self,
        turn: Turn,
        heads: list[Head],
        marks: list[Signed[Mark]],
        cancels: list[Signed[Entry]],
        admissions: list[Signed[Admission]],
        *,
        but: PeerId | None = None,
    ) -> None:
        for news in _news(heads, marks, cancels, admissions):
            for peer in self._directory.all_connected():
                if peer != but:
                    turn.send(peer, news)


def may_cancel(submitter: PeerId, cancel: Signed[Entry], meshset: MeshSet) -> bool:
    """Whether the cancel acts: the submitter's own, or an admin's."""
    return cancel.author == submitter or meshset.may_cancel(cancel.author)


def _news(
    heads: list[Head], marks: list[Signed[Mark]], cancels: list[Signed[Entry]], admissions: list[Signed[Admission]]
) -> Iterator[News]:
    """Cut the set into messages, all heads first: what is said of a job that is not known yet is not taken."""
    for part in _portions(heads, _HEADS_PER_NEWS):
        yield News(heads=part, marks=(), cancels=(), admissions=())
    rest = (_portions(marks, _MARKS_PER_NEWS), _portions(cancels, _CANCELS_PER_NEWS))
    for some_marks, some_cancels, some_admissions in zip_longest(
        *rest, _portions(admissions, _ADMISSIONS_PER_NEWS), fillvalue=()
    ):
        yield News(heads=(), marks=some_marks, cancels=some_cancels, admissions=some_admissions)


def _portions(items: list[T], most: int) -> Iterator[tuple[T, ...]]:
    for at in range(0, len(items), most):
        yield tuple(items[at : at + most])
