"""What every peer knows: heads of live jobs, their keepers' marks, cancels; beside revocations and admissions.

Here it is decided what is taken, and what has a place. `Offers` pushes what is new, `Digests` finds what a peer missed;
a cancel waits for neither: whoever hears it new sends it whole to all its contacts. Nothing is trusted further than its
signatures and chains go.

Invariants: which heads have a place is a function of the heads that are known and live, whatever the order in which
they came: of each submitter the lowest numbers, and beyond the bound the submitters with the most lose their highest. A
job without a place is told to nobody. It is forgotten, unless this peer has part in it: what was promised, rendered or
wanted here stays. The catalogue holds the set as it is: what has ended leaves it before a comparison.

That a contact is everybody is assumed nowhere: a mark may come from a keeper that this peer never met, and before the
job that it is about. It waits until the one who told it has sent what is missing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from mesh.core.catalogue import Catalogue, cancel_key, mark_key
from mesh.core.digests import Digests
from mesh.core.directory import Directory
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Door, Members
from mesh.core.notes import EntryAdded, HeadHeard, JobEnded, JobForgotten, MarkHeard, PeerReached
from mesh.core.offers import EARLY_MS, Offers, send_items
from mesh.core.purse import Purses
from mesh.core.shares import Shares
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import DAY_MS, MINUTE_MS, SECOND_MS, Instant, Now, WallTime, later
from mesh.ground.limits import (
    JOB_DAYS_MS,
    MARK_LIFE_MS,
    MAX_JOBS,
    MAX_JOBS_EACH,
    MAX_JOBS_KNOWN,
    MAX_MARKS_PER_JOB,
)
from mesh.wire import gossip as gs
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries, KeptHead, KeptMark
from mesh.wire.members import Admission, Role
from mesh.wire.messages import Head, News
from mesh.wire.records import Cancel, Entry, Mark

_SKEW_MS = 10 * MINUTE_MS
"""How far others' calendars may be ahead of ours before a mark is refused."""

_HEAD_SKEW_MS = DAY_MS
"""The same for a job: a clock in the wrong time zone is common, and a job refused once is not offered again."""

_FORGOTTEN_AT_ONCE = 256
"""Jobs that are forgotten in one go where there are as many as a peer may know."""

_TOLD_AT_ONCE, _TOLD_PER_SECOND, _VOICES = 256, 2, 4_096
"""Items of one author that are told on: more than a studio's jobs and admissions of an hour; of so many authors."""

_EARLY_MOST = 256
"""Marks that came before their job, or their author's chain; they wait for it."""

_COMPARE_MS = 10 * SECOND_MS
"""The whole set is compared with one contact that often, and on connecting."""

_COMPARE_SOON_MS = SECOND_MS
"""The same after a comparison in which there was too much to take at once."""

_NEW_HERE_MS = MINUTE_MS
"""Who has come no longer ago tells nothing on that was said before: those that it came to know it."""

_SWEEP_MS = 2 * SECOND_MS
"""What has ended leaves the set at most so much later than a comparison needs it."""

assert _SWEEP_MS < _COMPARE_MS

Dated: TypeAlias = Head | Signed[Mark] | Signed[Admission]
"""What says when it was made."""

Place = tuple[int, JobId]
"""What orders a submitter's jobs: the number that it signed, then the id."""


class MeshSet:
    """The heads, marks and cancels that this peer knows."""

    def __init__(
        self,
        ledger: Ledger,
        members: Members,
        door: Door,
        directory: Directory,
        catalogue: Catalogue,
        *,
        in_use: Callable[[JobId], bool],
    ) -> None:
        self._ledger = ledger
        self._members = members
        self._door = door
        self._directory = directory
        self._catalogue = catalogue
        self._in_use = in_use
        """Whether somebody or something at this host has to do with a job, although it has no record of it."""
        self.offers = Offers(catalogue, members, directory)
        self.digests = Digests(catalogue, self.offers)
        self.marks: dict[JobId, dict[PeerId, Signed[Mark]]] = {}
        self._places: Shares[Place] = Shares(each=MAX_JOBS_EACH, total=MAX_JOBS)
        self._placed: dict[JobId, None] = {}
        self._forgetting: dict[JobId, None] = {}
        """Jobs that the others are just told to let go of."""
        self._early: dict[bytes, Signed[Mark]] = {}
        """Marks whose job, or whose author's chain, is not known yet."""
        self._came = WallTime(0)
        """When this peer began."""
        self._voices = Purses(most=_TOLD_AT_ONCE, per_second=_TOLD_PER_SECOND, kept=_VOICES)
        self._swept_at: Instant | None = None
        self._compare_at: Instant | None = None

    def routes(self) -> dict[type, Callable[..., object]]:
        """Return who takes the messages by which sets become equal."""
        return {
            News: self.on_news,
            gs.Offer: self.offers.on_offer,
            gs.Want: self.offers.on_want,
            gs.SetDigests: self.on_set_digests,
            gs.SetKeys: self.digests.on_set_keys,
            gs.Chains: self.on_chains,
        }

    def restore(self, heads: Iterable[KeptHead], marks: Iterable[KeptMark], wall: WallTime) -> None:
        """Begin, with what the journal holds, where it is still of use."""
        self._came = wall
        for entry in heads:
            if self._members.learn(entry.head.chain) is not None and entry.head.job.body.last_day >= wall:
                self._ledger.open(entry.head)
        for kept in marks:
            if kept.mark.body.expires >= wall:
                self._newer(kept.mark)

    def live_marks(self, job: JobId, wall: WallTime) -> list[PeerId]:
        """Return who has said that it keeps the job, lowest id first."""
        return sorted(peer for peer, mark in self.marks.get(job, {}).items() if mark.body.expires >= wall)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Compare at once; of two peers the one with the lower id begins."""
        if self._directory.me < note.peer:
            self._sweep(turn)
            self.digests.compare(turn, note.peer)

    def on_set_digests(self, turn: Turn, peer: PeerId, message: gs.SetDigests) -> None:
        """Compare, once what has ended is out of the set."""
        self._sweep(turn)
        self.digests.on_set_digests(turn, peer, message)

    def on_tick(self, turn: Turn) -> None:
        """Offer and ask again; compare with somebody when it is time."""
        self.offers.on_tick(turn)
        now = turn.now.instant
        if self._compare_at is None:
            self._compare_at = later(now, turn.dice.below(_COMPARE_MS))
        if self.offers.crowded:
            self.offers.crowded = False
            self._compare_at = min(self._compare_at, later(now, _COMPARE_SOON_MS))
        if now >= self._compare_at:
            self._compare_at = later(now, turn.dice.jitter(_COMPARE_MS))
            self._sweep(turn)
            others = self._directory.all_connected()
            if others:
                self.digests.compare(turn, others[turn.dice.below(len(others))])

    def on_news(self, turn: Turn, peer: PeerId, news: News) -> None:
        """Take what is new, and offer it to others."""
        fresh: list[Dated] = [head for head in news.heads if self._take_head(turn, head)]
        waited = [mark for mark in self._early_ones(news.heads) if self._take_mark(turn, mark)]
        known = dict.fromkeys(self._marked(news.marks))
        marks = [mark for mark in news.marks if self._take_mark(turn, mark, by=peer)]
        urgent = [mark for mark in marks if (mark.body.job, mark.author) not in known and self._is_urgent(mark)]
        fresh += urgent
        for cancel in news.cancels:
            self._take_cancel(turn, cancel)
        fresh += [admission for admission in news.admissions if self._door.heard(turn, admission)]
        early = dict.fromkeys(self._early, EARLY_MS)
        waiting = [mark.author for mark in news.marks if mark.id[: gs.SHORT_BYTES] in early]
        strangers = [author for author in waiting if not self._members.is_member(author)]
        for admission in news.admissions:
            if not self._members.is_member(admission.author):
                early[admission.id[: gs.SHORT_BYTES]] = 0  # nobody keeps it here: it comes again with a comparison
                strangers.append(admission.author)
        self.offers.chase_authors(turn, peer, strangers)
        self.offers.heard(turn, peer, (*news.heads, *news.marks, *news.cancels, *news.admissions), early)
        if not self.offers.catching_up:
            self.offers.spread(turn, self._news(fresh, turn.now), but=peer)
            self.offers.spread(turn, self._news(waited, turn.now))
            others = [mark for mark in marks if mark not in urgent]
            self.offers.spread(turn, self._news(others, turn.now), but=peer, at_once=False)
        self._tell_cancels(turn, peer, news.marks)

    def on_chains(self, turn: Turn, _peer: PeerId, message: gs.Chains) -> None:
        """Learn who others are, and take what waited for it."""
        for chain in message.chains:
            self._members.take(turn, chain)
        taken = [mark for mark in list(self._early.values()) if self._take_mark(turn, mark)]
        self.offers.spread(turn, self._news(taken, turn.now), at_once=any(map(self._is_urgent, taken)))

    def add_head(self, turn: Turn, head: Head) -> None:
        """Add this peer's own job."""
        if self._take_head(turn, head):
            self.offers.spread(turn, [head])

    def add_mark(self, turn: Turn, mark: Signed[Mark]) -> None:
        """Add this peer's own mark: whoever has part in the job hears of it at once, the others as of everything."""
        job = mark.body.job
        first = not self._marked([mark])
        if not self._take_mark(turn, mark):
            return
        parties = dict.fromkeys((self._ledger.jobs[job].submitter, *self.live_marks(job, turn.now.wall)))
        for peer in parties:
            if peer != self._directory.me and self._directory.connected(peer):
                send_items(turn, peer, [mark])
        if job in self._placed:
            self.offers.spread(turn, [mark], at_once=first)

    def add_admission(self, turn: Turn, admission: Signed[Admission]) -> None:
        """Tell others of an admission that this peer gave."""
        self.offers.spread(turn, [admission])

    def show(self, turn: Turn, peer: PeerId, ledger: JobLedger) -> None:
        """Send a job and its marks to a peer that is to have part in it, and need not have heard of it."""
        marks = [mark for mark in self.marks.get(ledger.id, {}).values() if mark.body.expires >= turn.now.wall]
        send_items(turn, peer, [ledger.head, *marks])

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Spread a cancel at once, whichever way it came."""
        if not isinstance(note.entry.body.what, Cancel):
            return
        job = note.entry.body.job
        if job in self._placed:
            self._enlist(self._ledger.jobs[job], turn.now.wall)
        needs = self._ledger.jobs[job].version
        for peer in self._directory.all_connected():
            if self._directory.speaks(peer, needs):
                self._send_cancel(turn, peer, note.entry)

    def on_job_forgotten(self, _turn: Turn, note: JobForgotten) -> None:
        """Forget a job once all others have."""
        self._forgetting.pop(note.job)
        self._ledger.forget(note.job)
        self.marks.pop(note.job, None)

    def may_cancel(self, author: PeerId) -> bool:
        """Whether an author who is not the submitter may cancel."""
        return self._members.may(author, Role.ADMIN)

    # What is taken.

    def _take_head(self, turn: Turn, head: Head) -> bool:
        job = JobId(head.job.id)
        body = head.job.body
        membership = self._members.take(turn, head.chain)
        if job in self._ledger.jobs:
            return False
        if membership is None or membership.peer != head.job.author or not membership.roles & Role.SUBMIT:
            return False
        if not turn.now.wall <= body.last_day <= turn.now.wall + JOB_DAYS_MS + _HEAD_SKEW_MS:
            return False
        if body.submitted > turn.now.wall + _HEAD_SKEW_MS or not self._room(turn, head):
            return False
        ledger = self._ledger.open(head)
        turn.keep(KeptHead(head=head))
        self._enlist(ledger, turn.now.wall)
        turn.tell(HeadHeard(head=head))
        return True

    def _take_mark(self, turn: Turn, mark: Signed[Mark], *, by: PeerId | None = None) -> bool:
        wall, job = turn.now.wall, mark.body.job
        if not wall <= mark.body.expires <= wall + MARK_LIFE_MS + _SKEW_MS:
            return False
        known, member = job in self._ledger.jobs, self._members.is_member(mark.author)
        if job in self._forgetting:
            return False
        if not known or not member:
            if by is not None:
                self._early[mark.id[: gs.SHORT_BYTES]] = mark
                while len(self._early) > _EARLY_MOST:
                    self._early.pop(next(iter(self._early)))
                if not known:
                    self.offers.chase_job(turn, by, job)
            return False
        self._early.pop(mark.id[: gs.SHORT_BYTES], None)
        if not self._newer(mark) or not self._among_closest(mark, wall):
            return False
        turn.keep(KeptMark(mark=mark))
        turn.tell(MarkHeard(mark=mark))
        ledger = self._ledger.jobs[job]
        if job in self._placed:
            self._catalogue.put(mark)
        elif self._add(turn, ledger.submitter, (ledger.job.number, job)):
            self._enlist(ledger, wall)  # a keeper that was away, or on another side of a split, still keeps it
        return True

    def _newer(self, mark: Signed[Mark]) -> bool:
        known = self.marks.setdefault(mark.body.job, {})
        before = known.get(mark.author)
        if before is not None and before.body.expires >= mark.body.expires:
            return False
        known[mark.author] = mark
        return True

    def _among_closest(self, mark: Signed[Mark], wall: WallTime) -> bool:
        """Drop the mark of whoever is farthest from the job, where it has too many; tell whether `mark` stays."""
        marks = self.marks[mark.body.job]
        live = [one for one in marks.values() if one.body.expires >= wall and one.author != self._directory.me]
        if len(live) <= MAX_MARKS_PER_JOB:
            return True
        farthest = max(live, key=lambda one: bytes(a ^ b for a, b in zip(one.author, one.body.job, strict=True)))
        del marks[farthest.author]
        self._catalogue.drop(mark_key(mark.body.job, farthest.author))
        return farthest is not mark

    def _take_cancel(self, turn: Turn, cancel: Signed[Entry]) -> None:
        ledger = self._ledger.get(cancel.body.job)
        if cancel.body.job in self._forgetting:
            return  # nothing but its head is known, and that goes at the end of this turn
        if ledger is None or not isinstance(cancel.body.what, Cancel) or not may_cancel(ledger.submitter, cancel, self):
            return
        if ledger.add(cancel) is not None:
            turn.keep(KeptEntries(entries=(cancel,)))
            turn.tell(EntryAdded(entry=cancel, own=False))

    def _tell_cancels(self, turn: Turn, peer: PeerId, marks: Iterable[Signed[Mark]]) -> None:
        """Tell who believes that a job is kept that it was cancelled: a split may have outlasted its life here."""
        for job in dict.fromkeys(mark.body.job for mark in marks):
            ledger = self._ledger.get(job)
            if ledger is not None and ledger.cancel is not None:
                self._send_cancel(turn, peer, ledger.cancel)

    def _send_cancel(self, turn: Turn, peer: PeerId, cancel: Signed[Entry]) -> None:
        """Send a cancel with what it takes to judge it, should it be somebody's whom the receiver never met."""
        chain = self._members.chain(cancel.author)
        if chain is not None and cancel.author != self._ledger.jobs[cancel.body.job].submitter:
            turn.send(peer, gs.Chains(chains=(chain,)))
        send_items(turn, peer, [cancel])

    def _news(self, items: Sequence[Dated], now: Now) -> Sequence[Dated]:
        """Return the items of which others may not have heard yet, no more of one author than are worth telling on.

        Who tells on is charged for it by everybody; what is not told on is found by comparing.
        """
        if now.wall - self._came < _NEW_HERE_MS:
            items = [item for item in items if _said(item) >= self._came]
        return [item for item in items if self._voices.pay(now.instant, _author(item))]

    def _is_urgent(self, mark: Signed[Mark]) -> bool:
        """Whether a keeper's first mark must be told at once: in a large mesh not that of one more of a job."""
        return not self._directory.crowd or len(self.marks[mark.body.job]) == 1

    def _marked(self, marks: Iterable[Signed[Mark]]) -> list[tuple[JobId, PeerId]]:
        """Return of which keepers a mark of the same job is known."""
        return [(one.body.job, one.author) for one in marks if one.author in self.marks.get(one.body.job, {})]

    def _early_ones(self, heads: Iterable[Head]) -> list[Signed[Mark]]:
        jobs = dict.fromkeys(JobId(head.job.id) for head in heads)
        return [mark for mark in self._early.values() if mark.body.job in jobs]

    # What has a place.

    def _lives(self, ledger: JobLedger, wall: WallTime) -> bool:
        if ledger.job.last_day < wall:
            return False
        marks = self.marks.get(ledger.id, {})
        latest = max((mark.body.expires for mark in marks.values()), default=ledger.job.submitted)
        return latest + MARK_LIFE_MS >= wall

    def _room(self, turn: Turn, head: Head) -> bool:
        """Give a new job a place, which another may lose for it; tell whether there is one."""
        if len(self._ledger.jobs) >= MAX_JOBS_KNOWN and not self._forget_some(turn):
            return False
        if len(self._places.of(head.job.author)) >= MAX_JOBS_EACH or len(self._places) >= MAX_JOBS:
            self._sweep(turn)
        return self._add(turn, head.job.author, (head.job.body.number, JobId(head.job.id)))

    def _add(self, turn: Turn, submitter: PeerId, place: Place) -> bool:
        dropped = self._places.add(submitter, place)
        if dropped is None or dropped == place:
            return dropped is None
        ledger = self._ledger.jobs[dropped[1]]
        self._delist(ledger.id)
        if self._forgettable(ledger):
            self._forget(turn, ledger.id)
        return True

    def _sweep(self, turn: Turn) -> None:
        """Take out of the set what has ended, and in what has a place again."""
        now, wall = turn.now.instant, turn.now.wall
        if self._swept_at is not None and now - self._swept_at < _SWEEP_MS:
            return
        self._swept_at = now
        self._drop_old_marks(wall)
        for job in list(self._placed):
            ledger = self._ledger.jobs[job]
            if not self._lives(ledger, wall):
                self._places.discard(ledger.submitter, (ledger.job.number, job))
                self._delist(job)
            elif ledger.cancel is None:  # of one who was struck since, or there is none
                self._catalogue.drop(cancel_key(job))
        for job, ledger in self._ledger.jobs.items():
            place = (ledger.job.number, job)
            if job not in self._placed and self._lives(ledger, wall) and self._add(turn, ledger.submitter, place):
                self._enlist(ledger, wall)

    def _drop_old_marks(self, wall: WallTime) -> None:
        for job, marks in self.marks.items():
            for mark in list(marks.values()):
                if mark.body.expires < wall:
                    self._catalogue.drop(mark_key(job, mark.author))
                if mark.body.expires + MARK_LIFE_MS < wall and mark.author != self._directory.me:
                    del marks[mark.author]

    def _enlist(self, ledger: JobLedger, wall: WallTime) -> None:
        """Have the catalogue say what is known of a job that has a place."""
        self._placed[ledger.id] = None
        self._catalogue.put(ledger.head)
        for mark in self.marks.get(ledger.id, {}).values():
            if mark.body.expires >= wall:
                self._catalogue.put(mark)
        if ledger.cancel is not None:
            self._catalogue.put(ledger.cancel)

    def _delist(self, job: JobId) -> None:
        self._placed.pop(job, None)
        keys = [mark_key(job, keeper) for keeper in self.marks.get(job, {})]
        for key in (job[: gs.SHORT_BYTES], cancel_key(job), *keys):
            self._catalogue.drop(key)

    def _forgettable(self, ledger: JobLedger) -> bool:
        """Whether nothing here rests on the job: it was only heard of."""
        me = self._directory.me
        kept = me in self.marks.get(ledger.id, {})
        return not (ledger.submitter == me or ledger.entries or kept or self._in_use(ledger.id))

    def _forget_some(self, turn: Turn) -> bool:
        """Forget jobs that ended long ago, the oldest first; tell whether there were any."""
        old = [
            (ledger.job.submitted, job)
            for job, ledger in self._ledger.jobs.items()
            if job not in self._placed and job not in self._forgetting and self._forgettable(ledger)
        ]
        for _, job in sorted(old)[:_FORGOTTEN_AT_ONCE]:
            self._forget(turn, job)
        return bool(old)

    def _forget(self, turn: Turn, job: JobId) -> None:
        """Have the others let go of a job first."""
        self._forgetting[job] = None
        turn.tell(JobEnded(job=job, cancelled=True))
        turn.tell(JobForgotten(job=job))


def may_cancel(submitter: PeerId, cancel: Signed[Entry], meshset: MeshSet) -> bool:
    """Whether the cancel acts: the submitter's own, or an admin's."""
    return cancel.author == submitter or meshset.may_cancel(cancel.author)


def _author(item: Dated) -> PeerId:
    return item.job.author if isinstance(item, Head) else item.author


def _said(item: Dated) -> WallTime:
    """Return when an item was made, by its author's calendar."""
    if isinstance(item, Head):
        return item.job.body.submitted
    body = item.body
    return body.issued if isinstance(body, Admission) else WallTime(body.expires - MARK_LIFE_MS)
