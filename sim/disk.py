"""A host's disk: a journal, blobs by their pieces, and a person's directories.

What was written and not yet fsynced survives the death of the process and not a loss of power; after a loss of power
some first part of it may be there, since a disk writes when it likes. Blobs have no bytes here: the world knows of
each how many pieces it has, and a disk which of them it holds. A rotten piece is found when it is read, and is
missing from then on. What a quota leaves no room for is not stored; some of it is for pages of seals alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.ground.dice import Dice
from mesh.ground.ids import BlobId
from mesh.ground.store_limits import pages_room
from mesh.wire.kept import Kept
from sim.parcels import Shelf

_LARGE_BYTES = 1 << 40
"""Where there is no quota there is room for that much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFacts:
    """What the world knows of a blob: its pieces and size in bytes, whether it is a picture as its job wants it, or a
    bucket of one, and what it shows: two pictures are alike where they show the same.
    """

    blob: BlobId
    pieces: int
    size: int
    picture: bool = False
    bucket: bool = False
    look: bytes = b""
    wrong: bool = False
    """It shows what no honest renderer would make."""


class StoredBlob:
    """The pieces of one blob on one disk, as bit sets: all that are here, and those that a loss of power leaves."""

    __slots__ = ("bits", "count", "rotten", "size", "synced", "used_ms")

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self.used_ms = 0
        """By the host's calendar; each use has another time."""
        self.bits = 0
        self.synced = 0
        self.rotten = 0

    @property
    def complete(self) -> bool:
        """Whether every piece is here, as far as the store knows."""
        return self.bits == (1 << self.count) - 1

    @property
    def stored(self) -> int:
        """The bytes that are here."""
        return self.size * self.bits.bit_count() // self.count


class NoRoom(Exception):
    """The quota has no room for what was to be stored."""


class Disk:
    """One host's disk. Nothing here takes time: the host waits for what does."""

    def __init__(self, parcels: Shelf, *, quota_bytes: int = 0, wall_ms: Callable[[], int] = lambda: 0) -> None:
        self._parcels = parcels
        self.quota_bytes = quota_bytes
        """How much may be stored; 0: any amount."""
        self._wall_ms = wall_ms
        self.taken = 0
        """How much is."""
        self._synced: list[object] = []
        self._unsynced: list[object] = []
        self.blobs: dict[BlobId, StoredBlob] = {}
        self.files: dict[tuple[str, str], BlobId] = {}
        """What lies in people's directories, by (directory, name)."""
        self.full = False
        self.stall_ms = 0
        """How much longer an fsync takes now."""

    def write(self, entries: tuple[Kept, ...]) -> None:
        """Write journal entries, not yet safe from a loss of power."""
        self._unsynced.extend(self._parcels.lay_down(entry) for entry in entries)

    def sync(self) -> None:
        """Make all that was written safe."""
        self._synced.extend(self._unsynced)
        self._unsynced.clear()

    def load(self) -> tuple[Kept, ...]:
        """Return the journal as a process finds it at its start; it is safe from then on, since it was acted upon."""
        self.sync()
        return tuple(self._parcels.pick_up(stored) for stored in self._synced)

    def lose_power(self, dice: Dice) -> None:
        """Forget what was not synced, but for a first part of it that the disk had written by itself."""
        survive = dice.below(len(self._unsynced) + 1)
        self._synced.extend(self._unsynced[:survive])
        self._unsynced.clear()
        for stored in self.blobs.values():
            self._set(stored, stored.synced)

    @property
    def written(self) -> tuple[object, ...]:
        """The journal as it is stored, fsynced or not."""
        return (*self._synced, *self._unsynced)

    def copy(self, other: "Disk") -> None:
        """Become what another disk is now, as a program that reads all its files would find it."""
        self._synced = list(other.written)
        self.files = dict(other.files)
        for blob, stored in other.blobs.items():
            mine = self.blobs[blob] = StoredBlob(stored.count, stored.size)
            mine.synced, mine.rotten, mine.used_ms = stored.bits, stored.rotten, stored.used_ms
            self._set(mine, stored.bits)

    def start(self, facts: BlobFacts) -> StoredBlob:
        """Make room for a blob, or find it."""
        stored = self.blobs.get(facts.blob)
        if stored is None:
            stored = self.blobs[facts.blob] = StoredBlob(facts.pieces, facts.size)
        self.use(stored)
        return stored

    def use(self, stored: StoredBlob) -> None:
        """Note that a blob was read or written."""
        stored.used_ms = max(self._wall_ms(), stored.used_ms + 1)

    def room(self, *, page: bool = False) -> int:
        """Return how many bytes more may be stored, of pages of seals or of all else."""
        kept = 0 if page else pages_room(max(self.quota_bytes, self.taken))
        return max(0, self.quota_bytes - self.taken - kept) if self.quota_bytes else _LARGE_BYTES

    def delete(self, blob: BlobId, used_ms: int) -> bool:
        """Delete a blob that was not used since then; tell whether it is gone."""
        stored = self.blobs.get(blob)
        if stored is not None and stored.used_ms != used_ms:
            return False
        if stored is not None:
            self._set(stored, 0)
            self.blobs.pop(blob)
        return True

    def _set(self, stored: StoredBlob, bits: int) -> None:
        self.taken -= stored.stored
        stored.bits = bits
        self.taken += stored.stored

    def store(self, facts: BlobFacts, numbers: tuple[int, ...], *, page: bool = False) -> bool:
        """Store pieces and say whether the blob is whole; a whole one is on the disk. Raises `NoRoom`."""
        stored = self.start(facts)
        bits = stored.bits
        for number in numbers:
            bits |= 1 << number
            stored.rotten &= ~(1 << number)
        if facts.size * (bits & ~stored.bits).bit_count() // facts.pieces > self.room(page=page):
            raise NoRoom
        self._set(stored, bits)
        if stored.complete:
            stored.synced = stored.bits
        return stored.complete

    def ingest(self, facts: BlobFacts, *, page: bool = False) -> None:
        """Store a whole blob, safe when this returns. Raises `NoRoom`."""
        self.store(facts, tuple(range(facts.pieces)), page=page)
        stored = self.blobs[facts.blob]
        stored.synced = stored.bits

    def has(self, blob: BlobId) -> bool:
        """Tell whether the store believes that it holds the whole blob."""
        stored = self.blobs.get(blob)
        return stored is not None and stored.complete

    def find_rot(self, blob: BlobId) -> bool:
        """Read a blob; its rotten pieces are missing from now on. Tell whether there were any."""
        stored = self.blobs.get(blob)
        if stored is None or not stored.rotten:
            return False
        self._set(stored, stored.bits & ~stored.rotten)
        stored.synced &= ~stored.rotten
        stored.rotten = 0
        return True

    def pick(self, blob: BlobId, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Return which of these pieces are here."""
        stored = self.blobs.get(blob)
        return tuple(number for number in numbers if stored is not None and stored.bits >> number & 1)

    def intact(self, blob: BlobId) -> bool:
        """Tell whether every byte of the blob is here and good; only checkers and readers of all of it may ask."""
        stored = self.blobs.get(blob)
        return stored is not None and stored.complete and not stored.rotten

    def whole(self) -> tuple[BlobId, ...]:
        """Return the blobs that the store believes whole, oldest first."""
        return tuple(blob for blob, stored in self.blobs.items() if stored.complete)
