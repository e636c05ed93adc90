"""One author's records of one job and one boot, by their ids: what two ledgers are compared by.

Some records concern whoever wrote anything of the job. Who keeps no others of an author's tells these alone.

Invariants: what a stream tells depends on the ids that are in it alone, not on the order in which they came. The module
must not know what the records say.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from blake3 import blake3

from mesh.ground.ids import Boot, PeerId, RecordId
from mesh.wire.messages import StreamDigest

DIGEST_SIZE = 16

_NO_PARTS = blake3(derive_key_context="meshnode 1 ledger digest")
"""To begin from a copy of it takes a third of the time."""


@dataclass(slots=True)
class Stream:
    """The records of one author and boot."""

    author: PeerId
    boot: Boot
    ids: dict[RecordId, None] = field(default_factory=dict)
    common: dict[RecordId, None] = field(default_factory=dict)
    """Those of records that concern all who wrote any."""
    _told: StreamDigest | None = None

    def add(self, record: RecordId, *, common: bool) -> None:
        """Take a record's id."""
        self.ids[record] = None
        if common:
            self.common[record] = None
        self._told = None

    def drop(self, record: RecordId) -> None:
        """Forget a record's id."""
        self.ids.pop(record)
        self.common.pop(record, None)
        self._told = None

    def told(self) -> StreamDigest:
        """Return what others are told of it; kept, since a hundred streams are told for each that has changed."""
        if self._told is None:
            self._told = self._digest(self.ids)
        return self._told

    def told_common(self) -> StreamDigest:
        """Return the same of what concerns all who wrote any."""
        return self._digest(self.common)

    def is_told(self, theirs: StreamDigest) -> bool:
        """Whether another has the same of this stream, or of what concerns all and nothing else."""
        return _are_same(self.told(), theirs) or (bool(self.common) and _are_same(self.told_common(), theirs))

    def _digest(self, ids: Iterable[RecordId]) -> StreamDigest:
        listed = sorted(ids)
        return StreamDigest(author=self.author, boot=self.boot, count=len(listed), digest=digest_of(listed))


def _are_same(mine: StreamDigest, theirs: StreamDigest) -> bool:
    return mine.count == theirs.count and mine.digest == theirs.digest


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Return a hash over parts, in this order."""
    hasher = _NO_PARTS.copy()
    hasher.update(b"".join(parts))
    return hasher.digest(length=DIGEST_SIZE)
