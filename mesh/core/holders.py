"""Who holds which output: a book of holds, and the rule by which one hold takes another's place.

Theory: holds are statements that are never taken back, and are heard in any order, late, twice or not at all. So which
of them count is a pure function of those that are known: a hold that another one lists counts no more. One listing is
enough, whoever signed it and whatever became of that hold itself: a chain of replacements counts once, since the last
one lists all before it. A hold given again has another id, which no older one can list.

Invariants: who held a blob when it signed takes nobody's place, so that of six holders no five can send each other
away: its hold counts, and what it lists counts on. An author counts once for a blob. What one author has said is
bounded. The book must not know clocks, who is connected, or whose bytes are where.
"""

from collections import Counter
from collections.abc import Iterator

from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_REPLACED, Hold

HOLDS_PER_TASK = 2
HOLDS_LEAST = 64
"""Blobs that one peer may hold in a job, most of them of results that are not here yet: twice its tasks and some."""

_HOLDS_PER_BLOB = 4
"""Holds of one author of one blob of which none lists another: an honest one has a single one."""

_RENEWED_MOST = 128
"""Times that one author may give a hold of one blob again: each is written down by all who hold it. An honest one does
so when its former hold was replaced, as after a night, and a job lives for 90 days."""


class _Of:
    """The holds of one blob in one job."""

    __slots__ = ("counting", "known", "renewed")

    def __init__(self) -> None:
        self.known: dict[RecordId, Signed[Hold]] = {}
        """All but those that their own author has renewed."""
        self.counting: dict[PeerId, Signed[Hold]] = {}
        self.renewed: dict[PeerId, int] = {}
        """How often authors have given theirs again."""

    def add(self, hold: Signed[Hold]) -> bool:
        """Take a hold; tell whether it is news."""
        own = [other for other in self.known.values() if other.author == hold.author]
        if hold.id in self.known or any(hold.id in other.body.replaces for other in own):
            return False
        renewed = [other for other in own if other.id in hold.body.replaces]
        if len(own) - len(renewed) >= _HOLDS_PER_BLOB:
            return False
        if renewed and self.renewed.get(hold.author, 0) >= _RENEWED_MOST:
            return False
        for other in renewed:
            del self.known[other.id]
            self.renewed[hold.author] = self.renewed.get(hold.author, 0) + 1
        self.known[hold.id] = hold
        self._count()
        return True

    def replacing(self, identifier: bytes) -> Signed[Hold] | None:
        """Return a hold that has taken the place of this one; one that counts, if any does."""
        found = [hold for hold in self.known.values() if identifier in hold.body.replaces and self._acts(hold)]
        return min(found, key=lambda hold: (self.counting.get(hold.author) is not hold, hold.id), default=None)

    def _acts(self, hold: Signed[Hold]) -> bool:
        """Whether a hold takes others' places: its author had none of the blob beside it."""
        return all(other is hold or other.author != hold.author for other in self.known.values())

    def _count(self) -> None:
        own = Counter(hold.author for hold in self.known.values())
        acting = [hold for hold in self.known.values() if hold.body.replaces and own[hold.author] == 1]
        replaced = {identifier: None for hold in acting for identifier in hold.body.replaces}
        standing = [hold for hold in self.known.values() if hold.id not in replaced]
        # Of several that one author has no business to give, the same everywhere.
        self.counting = {hold.author: hold for hold in sorted(standing, key=lambda hold: hold.id, reverse=True)}


class Holders:
    """All holds that this peer has heard of."""

    def __init__(self) -> None:
        self._of: dict[JobId, dict[BlobId, _Of]] = {}
        self._jobs: dict[BlobId, dict[JobId, None]] = {}
        self._by: dict[PeerId, dict[JobId, dict[BlobId, None]]] = {}
        """Of which blobs each author ever gave one."""

    def add(self, hold: Signed[Hold], tasks: int) -> bool:
        """Take a hold in a job of so many tasks; tell whether it is news: the same, or one too many, is none."""
        job, blob = hold.body.job, hold.body.blob
        by = self._by.setdefault(hold.author, {}).setdefault(job, {})
        if blob not in by and len(by) >= HOLDS_LEAST + HOLDS_PER_TASK * tasks:
            return False
        if not self._of.setdefault(job, {}).setdefault(blob, _Of()).add(hold):
            return False
        by[blob] = None
        self._jobs.setdefault(blob, {})[job] = None
        return True

    def forget(self, job: JobId) -> None:
        """Forget all holds in a job."""
        for blob in self._of.pop(job, {}):
            jobs = self._jobs.get(blob, {})
            jobs.pop(job, None)
            if not jobs:
                self._jobs.pop(blob, None)
        for by in self._by.values():
            by.pop(job, None)

    def of(self, job: JobId, blob: BlobId) -> dict[PeerId, Signed[Hold]]:
        """Return whose holds of a blob count; whoever asks changes nothing."""
        found = self._of.get(job, {}).get(blob)
        return found.counting if found is not None else {}

    def known(self, job: JobId, blob: BlobId) -> list[Signed[Hold]]:
        """Return all holds of a blob that may still matter to somebody: those that count, and those replaced."""
        found = self._of.get(job, {}).get(blob)
        return list(found.known.values()) if found is not None else []

    def replacing(self, hold: Signed[Hold]) -> Signed[Hold] | None:
        """Return a hold that has taken the place of `hold`; None: it was not replaced."""
        found = self._of.get(hold.body.job, {}).get(hold.body.blob)
        return found.replacing(hold.id) if found is not None else None

    def authors(self) -> tuple[PeerId, ...]:
        """Return everybody who ever gave a hold."""
        return tuple(self._by)

    def by(self, peer: PeerId) -> Iterator[tuple[JobId, BlobId]]:
        """Yield what a peer ever gave holds of, whether they count or not."""
        for job, blobs in self._by.get(peer, {}).items():
            for blob in blobs:
                yield job, blob

    def gave(self, peer: PeerId, job: JobId, blob: BlobId) -> bool:
        """Whether a peer ever gave a hold of a blob, whether it counts or not."""
        return blob in self._by.get(peer, {}).get(job, {})

    def in_job(self, peer: PeerId, job: JobId) -> tuple[BlobId, ...]:
        """Return of which blobs of one job a peer ever gave holds."""
        return tuple(self._by.get(peer, {}).get(job, ()))

    def jobs_of(self, blob: BlobId) -> tuple[JobId, ...]:
        """Return the jobs in which anybody gave a hold of a blob."""
        return tuple(self._jobs.get(blob, ()))

    def takes(self, author: PeerId, job: JobId, blob: BlobId, replaced: Signed[Hold] | None) -> tuple[RecordId, ...]:
        """Return what a new hold of an author lists: what it replaces, its own former ones, and all that those listed.

        Beyond the bound the oldest are left out: whoever heard of none of the newer ones counts one copy too many.
        """
        own = [hold for hold in self.known(job, blob) if hold.author == author]
        former = [replaced, *own] if replaced is not None else own
        found = [hold.id for hold in former]
        found += [identifier for hold in former for identifier in hold.body.replaces]
        return tuple(dict.fromkeys(found))[:MAX_REPLACED]
