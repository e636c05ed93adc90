"""What each host wrote down: the world's own reading of every journal, from which checkers judge.

A peer's records are what it asked its journal to keep, since its ledger and its journal take a record in one turn. At
the start of a process the books are made anew from what the disk gave it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mesh.core.effects import Append, Effect
from mesh.core.events import Event, PageRead
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.envelope import Signed
from mesh.wire.kept import Kept, KeptDelivery, KeptEntries, KeptHead, KeptHold, KeptMark, KeptPause, KeptRevocation
from mesh.wire.records import Cancel, Entry, Failed, Hold, Job, Reject, Result, Seal, Vouch
from mesh.wire.revocations import Bans, Notice

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


class Book:
    """What one host knows by its journal."""

    def __init__(self) -> None:
        self.heads: dict[JobId, Signed[Job]] = {}
        self.entries: dict[JobId, dict[RecordId, Signed[Entry]]] = {}
        self.cancels: dict[JobId, list[Signed[Entry]]] = {}
        self.holds: dict[RecordId, Signed[Hold]] = {}
        """Its own, and those of others of the same blobs."""
        self.delivered: dict[tuple[str, str], RecordId] = {}
        """By (directory, name): the result whose file lies there."""
        self.paused = False
        self.pages: dict[BlobId, None] = {}
        """Pages of seals that were read and said something."""
        self.keepers: dict[tuple[JobId, PeerId], WallTime] = {}
        """Who said that it keeps a job, and until when."""
        self.notices: list[Notice] = []
        self.bans = Bans()
        """Whom the revocations in the journal shut out."""
        self._about: dict[JobId, dict[int | None, dict[RecordId, Signed[Entry]]]] = {}
        """What is said of one frame by that frame, and all other records of a job."""
        self._changed: dict[JobId, dict[int, None]] = {}
        """Frames of which something was written since they were last looked at; no job here: all of them."""

    def add(self, kept: Kept) -> None:
        """Take one entry of the journal."""
        match kept:
            case KeptPause(over=over):
                self.paused = not over
            case KeptHead(head=head):
                self.heads[JobId(head.job.id)] = head.job
                self._changed.setdefault(JobId(head.job.id), {})
            case KeptEntries(entries=entries):
                for entry in entries:
                    self.entries.setdefault(entry.body.job, {})[entry.id] = entry
                    self._sort(entry)
                    if isinstance(entry.body.what, Cancel):
                        self.cancels.setdefault(entry.body.job, []).append(entry)
            case KeptMark(mark=mark):
                self.keepers[mark.body.job, mark.author] = mark.body.expires
            case KeptHold(hold=hold):
                self.holds[hold.id] = hold
            case KeptRevocation(notice=notice):
                self.notices.append(notice)
                self.bans = Bans(self.notices)
                self.look_again()
            case KeptDelivery(job=job, task=task, result=result, directory=directory) if job in self.heads:
                body = self.heads[job].body
                self.delivered[directory, body.names.name(body.frames.frame(task))] = result

    def lets_go(self, hold: Signed[Hold]) -> bool:
        """Whether a promise binds no more: its job was cancelled, and it is of the scene, or nothing is sealed."""
        job, struck = hold.body.job, self.bans.struck()
        if job not in self.cancels:
            return False
        if job in self.heads and self.heads[job].body.scene == hold.body.blob:
            return True
        seals = (entry for entry in self.entries.get(job, {}).values() if isinstance(entry.body.what, Seal))
        return all(seal.author in struck for seal in seals)

    def _sort(self, entry: Signed[Entry]) -> None:
        job, what = entry.body.job, entry.body.what
        about = self._about.setdefault(job, {})
        if isinstance(what, Result | Failed | Vouch | Reject):
            about.setdefault(what.task, {})[entry.id] = entry
            if job in self._changed:
                self._changed[job][what.task] = None
        else:  # what is lost, or sealed, may change any
            about.setdefault(None, {})[entry.id] = entry
            self._changed.pop(job, None)

    def about(self, job: JobId, frames: Iterable[int]) -> list[Signed[Entry]]:
        """Return what was written of these frames of a job, and of none in particular."""
        found = self._about.get(job, {})
        return [entry for frame in (None, *frames) for entry in found.get(frame, {}).values()]

    def changed(self, job: JobId) -> list[int]:
        """Return the frames of which something was written since this was last asked."""
        frames = self._changed.get(job)
        self._changed[job] = {}
        return list(range(len(self.heads[job].body.frames)) if frames is None else frames)

    def look_again(self) -> None:
        """Take everything for changed."""
        self._changed.clear()


class Books:
    """One book for each host, and what the world has ever seen."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._books: dict[int, Book] = {}
        self.jobs: dict[JobId, Signed[Job]] = {}
        self.any_bans = False
        """Whether anybody has ever written down a revocation."""
        self.replaced: dict[RecordId, None] = {}
        """Holds that another hold lists, of which somebody was told."""

    def of(self, host: "Host") -> Book:
        """Return a host's book."""
        book = self._books.get(host.index)
        if book is None:
            book = self._books[host.index] = Book()
        return book

    def told(self, holds: tuple[Signed[Hold], ...]) -> None:
        """Learn of holds that are on their way to somebody: from now on others take them at their word."""
        for hold in holds:
            self.replaced.update(dict.fromkeys(hold.body.replaces))

    def standing(self, host: "Host") -> list[Signed[Hold]]:
        """Return a host's own holds that nobody has taken the place of."""
        own = (hold for hold in self.of(host).holds.values() if hold.author == host.peer_id)
        return [hold for hold in own if hold.id not in self.replaced]

    def date(self, host: "Host") -> None:
        """Forget the marks whose last day has passed by a host's own calendar, which may be set back afterwards."""
        book, wall = self.of(host), host.now().wall
        book.keepers = {key: expires for key, expires in book.keepers.items() if expires >= wall}

    def wiped(self, host: "Host") -> None:
        """Forget what a host wrote down: its disk is lost."""
        self._books.pop(host.index, None)

    def started(self, host: "Host", kept: tuple[Kept, ...]) -> None:
        """Begin a host's book anew from its journal."""
        book = self._books[host.index] = Book()
        for entry in kept:
            book.add(entry)
            self.any_bans |= isinstance(entry, KeptRevocation)
        self.date(host)

    def turned(self, host: "Host", event: Event, effects: list[Effect]) -> None:
        """Read what a turn asked to keep."""
        for effect in effects:
            if type(effect) is Append:
                book = self.of(host)
                for entry in effect.entries:
                    book.add(entry)
                    self.any_bans |= isinstance(entry, KeptRevocation)
                    if isinstance(entry, KeptHead):
                        self.jobs.setdefault(JobId(entry.head.job.id), entry.head.job)
        if type(event) is PageRead and event.page is not None:
            self.of(host).pages[event.blob] = None
            self.of(host).look_again()
