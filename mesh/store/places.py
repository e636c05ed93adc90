"""Where the blob store's files lie, what is known of each blob, and the moves between the places.

Each move is safe to be cut short at any instruction: bytes are synchronised before a name says that they are there, and
a name is synchronised before the index says so. The module must not know who asks for a blob, nor check any piece.
"""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mesh.ground.ids import BlobId
from mesh.ports.storage import DiskFull, Rot, StorageError
from mesh.store import posix
from mesh.store.index import Index
from mesh.wire.manifest import Manifest, PieceSet

QUARANTINE_MAX = 16
"""Rotten pieces kept for a look; a dying disk makes more than anybody reads."""

INGEST_PREFIX = "ingest-"
"""How files begin that have no blob's name yet; a crash leaves them without an owner."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """What is known of one blob; its fields change only under its lock."""

    blob: BlobId
    manifest: Manifest
    marked: PieceSet
    """Pieces that the index has, or soon has, as on disk."""
    have: PieceSet
    """Those and the ones written since the last synchronisation."""
    last_used_ms: int
    checked_ms: int = 0
    known: bool = False
    """Whether the index has it; until then nobody but its maker may use it."""
    whole: bool = False
    """Whether its file has its final name."""
    gone: bool = False
    """Whether it was deleted, and another entry may have its place."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def stored(self) -> int:
        """Return the bytes of the pieces that are here."""
        if self.have.complete:
            return self.manifest.size
        return sum(self.manifest.extent(number)[1] for number in self.have)


class Places:
    """The store's directories and names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.whole_directory, self.parts_directory = root / "whole", root / "parts"
        self.quarantine_directory = root / "quarantine"
        self.index = root / "index.sqlite"
        for directory in (root, self.whole_directory, self.parts_directory, self.quarantine_directory):
            posix.make_private_directory(directory)

    def whole(self, blob: BlobId) -> Path:
        """Return where a complete blob lies."""
        return self.whole_directory / blob.hex()

    def part(self, blob: BlobId) -> Path:
        """Return where an incomplete blob lies."""
        return self.parts_directory / blob.hex()

    def of(self, entry: Entry) -> Path:
        """Return where the entry's bytes lie now."""
        return self.whole(entry.blob) if entry.whole else self.part(entry.blob)


def settle(places: Places, index: Index, entry: Entry) -> None:
    """Bring an entry's written pieces to the disk and then into the index; name it whole when it is complete."""
    if not entry.whole:
        # An empty blob has no piece that would have made its file.
        descriptor = os.open(places.part(entry.blob), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, posix.PRIVATE_FILE_MODE)
        try:
            posix.sync_data(descriptor)
        finally:
            os.close(descriptor)
        if entry.have.complete:
            posix.rename_durably(places.part(entry.blob), places.whole(entry.blob))
            entry.whole = True
    if entry.have != entry.marked:
        # On a full disk the bytes are safe all the same: unmarked, they are verified again at the next start.
        with suppress(DiskFull):
            index.mark(entry.blob, entry.have.encode())
            entry.marked = entry.have


def demote(places: Places, entry: Entry) -> None:
    """Move a whole blob back among the parts, before the index says what it lacks."""
    if entry.whole:
        with suppress(FileNotFoundError):
            posix.rename_durably(places.whole(entry.blob), places.part(entry.blob))
        entry.whole = False


def rotten(places: Places) -> list[Rot]:
    """Return what lies in the quarantine, oldest first."""
    found = []
    for path in places.quarantine_directory.iterdir():
        blob, _, number = path.name.partition("-")
        with suppress(ValueError, FileNotFoundError):
            facts = path.stat()
            found.append(Rot(blob=BlobId(bytes.fromhex(blob)), piece=int(number), found_ms=facts.st_mtime_ns // 10**6))
    return sorted(found, key=lambda rot: (rot.found_ms, rot.blob, rot.piece))


def quarantine(places: Places, entry: Entry, number: int, piece: bytes) -> None:
    """Keep a rotten piece for a look, if there is room for it; the oldest make way."""
    name = f"{entry.blob.hex()}-{number}"
    kept = sorted(places.quarantine_directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: max(0, len(kept) - QUARANTINE_MAX + 1)]:
        path.unlink(missing_ok=True)
    with suppress(StorageError):
        posix.write_private(places.quarantine_directory / name, piece)
