"""A blob store and a journal in memory, which keep every promise of the storage port but the one about the disk.

What they hold lies in a `Shelves` or a list that outlives them, as a directory outlives a process: opening another
one on it finds what the first one left. Tests of the shell use them where a disk would only cost time; the port's own
contract suite holds them to what the real ones do.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.ground.ids import BlobId
from mesh.ground.store_limits import STORE_PAGES_BYTES, pages_room
from mesh.ports.storage import (
    BlobInfo,
    BlobMissing,
    DiskFull,
    PieceRefused,
    Rot,
    SourceUnreadable,
    StorageError,
    StoreCorrupt,
    Usage,
)
from mesh.wire.manifest import Manifest, PieceSet, blob_id, manifest_of

_ENTRY_HEAD_BYTES = 4


@dataclass(slots=True)
class _Blob:
    manifest: Manifest
    pieces: dict[int, bytes] = field(default_factory=dict)
    used: int = 0
    checked: int = 0


@dataclass(slots=True)
class Shelves:
    """What a store in memory holds, and how many bytes may be in it."""

    capacity_bytes: int = 1 << 40
    quota_bytes: int = 0
    pages_bytes: int = STORE_PAGES_BYTES
    blobs: dict[BlobId, _Blob] = field(default_factory=dict)
    pins: dict[BlobId, dict[str, None]] = field(default_factory=dict)
    uses: int = 0
    rotten: list[Rot] = field(default_factory=list)

    def rot(self, blob: BlobId, offset: int) -> None:
        """Change one byte of a blob behind the store's back."""
        kept = self.blobs[blob]
        number = offset // kept.manifest.piece_size
        piece = bytearray(kept.pieces[number])
        piece[offset % kept.manifest.piece_size] ^= 1
        kept.pieces[number] = bytes(piece)


class MemoryBlobStore:
    """The storage port's `BlobStore` over `Shelves`."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves
        self._lock = threading.RLock()
        self._rotten: Callable[[BlobId], None] = lambda _blob: None

    def start(self, blob: BlobId, manifest: Manifest, *, page: bool = False) -> PieceSet:
        """Make room for a blob's pieces; see the port."""
        if blob_id(manifest) != blob:
            raise PieceRefused(f"{blob.hex()}: the manifest is of another blob")
        with self._lock:
            kept = self._shelves.blobs.get(blob)
            if kept is None:
                self._need(manifest.size, page=page)
                kept = self._shelves.blobs[blob] = _Blob(manifest)
            self._touch(kept)
            return _pieces(kept)

    def write_piece(self, blob: BlobId, number: int, piece: bytes, *, page: bool = False) -> bool:
        """Verify and store one piece; see the port."""
        with self._lock:
            kept = self._kept(blob)
            if not kept.manifest.fits(number, piece):
                raise PieceRefused(f"{blob.hex()}: these are not the bytes of piece {number}")
            if number not in kept.pieces:
                self._need(len(piece), page=page)
                kept.pieces[number] = bytes(piece)
                self._touch(kept)
            return _pieces(kept).complete

    def manifest(self, blob: BlobId) -> Manifest:
        """Return a known blob's manifest; see the port."""
        with self._lock:
            return self._kept(blob).manifest

    def have(self, blob: BlobId) -> PieceSet | None:
        """Return which pieces are here; see the port."""
        with self._lock:
            kept = self._shelves.blobs.get(blob)
            return None if kept is None else _pieces(kept)

    def complete(self, blob: BlobId) -> bool:
        """Say whether the blob is whole; see the port."""
        found = self.have(blob)
        return found is not None and found.complete

    def read_piece(self, blob: BlobId, number: int) -> bytes:
        """Return one piece, verified; see the port."""
        with self._lock:
            piece = self._read_piece(blob, number)
            self._touch(self._kept(blob))
            return piece

    def check_piece(self, blob: BlobId, number: int) -> bool:
        """Read one piece only to see whether it rotted; see the port."""
        with self._lock:
            try:
                self._read_piece(blob, number)
            except StoreCorrupt:
                return False
            return True

    def checked(self, blob: BlobId) -> None:
        """Note that every piece was checked; see the port."""
        with self._lock:
            if (kept := self._shelves.blobs.get(blob)) is not None:
                self._shelves.uses += 1
                kept.checked = self._shelves.uses

    def rotten(self) -> list[Rot]:
        """Return what was found rotten; see the port."""
        with self._lock:
            return list(self._shelves.rotten)

    def _read_piece(self, blob: BlobId, number: int) -> bytes:
        kept = self._kept(blob)
        if number not in kept.pieces:
            raise BlobMissing(f"{blob.hex()}: piece {number} is not here")
        piece = kept.pieces[number]
        if not kept.manifest.fits(number, piece):
            del kept.pieces[number]
            self._shelves.uses += 1
            self._shelves.rotten.append(Rot(blob=blob, piece=number, found_ms=self._shelves.uses))
            self._rotten(blob)
            raise StoreCorrupt(f"{blob.hex()}: piece {number} rotted")
        return piece

    def read(self, blob: BlobId, offset: int, size: int) -> bytes:
        """Return bytes across pieces; see the port."""
        with self._lock:
            manifest = self._kept(blob).manifest
            if offset < 0 or size < 0 or offset + size > manifest.size:
                raise BlobMissing(f"{blob.hex()}: it has {manifest.size} bytes")
            numbers = manifest.numbers(offset, size)
            data = b"".join(self.read_piece(blob, number) for number in numbers)
            skip = offset - numbers.start * manifest.piece_size
            return data[skip : skip + size]

    def ingest(self, source: bytes | Path, *, page: bool = False) -> BlobId:
        """Store bytes or a file's; see the port."""
        if isinstance(source, Path):
            if not source.is_file():
                raise SourceUnreadable(f"{source}: no readable file")
            source = source.read_bytes()
        manifest = manifest_of(source)
        blob = blob_id(manifest)
        with self._lock:
            before = self._shelves.blobs.get(blob)
            self._need(manifest.size - (_stored(before) if before is not None else 0), page=page)
            self.start(blob, manifest, page=page)
            for number in range(len(manifest.pieces)):
                offset, size = manifest.extent(number)
                self.write_piece(blob, number, source[offset : offset + size], page=page)
        return blob

    def pin(self, blob: BlobId, reason: str) -> None:
        """Keep a blob for a reason; see the port."""
        with self._lock:
            self._shelves.pins.setdefault(blob, {})[reason] = None

    def unpin(self, blob: BlobId, reason: str) -> None:
        """End a reason; see the port."""
        with self._lock:
            self._shelves.pins.get(blob, {}).pop(reason, None)

    def delete(self, blob: BlobId, last_used_ms: int | None = None) -> bool:
        """Forget a blob unless it is pinned, or was used since; see the port."""
        with self._lock:
            kept = self._shelves.blobs.get(blob)
            if self._shelves.pins.get(blob) or (kept is not None and last_used_ms not in (None, kept.used)):
                return False
            self._shelves.blobs.pop(blob, None)
            return True

    def blobs(self) -> list[BlobInfo]:
        """Return every blob, least recently used first; see the port."""
        with self._lock:
            found = sorted(self._shelves.blobs.items(), key=lambda item: item[1].used)
            return [
                BlobInfo(
                    blob=blob,
                    size=kept.manifest.size,
                    stored=_stored(kept),
                    pins=tuple(sorted(self._shelves.pins.get(blob, {}))),
                    last_used_ms=kept.used,
                    checked_ms=kept.checked,
                )
                for blob, kept in found
            ]

    def usage(self) -> Usage:
        """Return how full the store is; see the port."""
        with self._lock:
            blobs = self.blobs()
            stored = sum(info.stored for info in blobs)
            pinned = sum(info.stored for info in blobs if info.pins)
            quota = self._shelves.quota_bytes
            return Usage(blobs=len(blobs), stored=stored, pinned=pinned, free=max(0, self._room()), quota=quota)

    def watch(self, rotten: Callable[[BlobId], None]) -> None:
        """Have `rotten` called with each blob that is found rotten; see the port."""
        self._rotten = rotten

    def close(self) -> None:
        """Let go of nothing: what there is lies in the shelves."""

    def _kept(self, blob: BlobId) -> _Blob:
        kept = self._shelves.blobs.get(blob)
        if kept is None:
            raise BlobMissing(f"{blob.hex()} is not in this store")
        return kept

    def _need(self, size: int, *, page: bool) -> None:
        if size > self._room(page=page):
            raise DiskFull(f"no room for {size} bytes more")

    def _room(self, *, page: bool = False) -> int:
        shelves = self._shelves
        most = min(shelves.capacity_bytes, shelves.quota_bytes or shelves.capacity_bytes)
        taken = sum(map(_stored, shelves.blobs.values()))
        return most - taken - (0 if page else pages_room(max(most, taken), shelves.pages_bytes))

    def _touch(self, kept: _Blob) -> None:
        self._shelves.uses += 1
        kept.used = self._shelves.uses


def _pieces(kept: _Blob) -> PieceSet:
    found = PieceSet(count=len(kept.manifest.pieces))
    for number in kept.pieces:
        found = found.plus(number)
    return found


def _stored(kept: _Blob) -> int:
    return sum(kept.manifest.extent(number)[1] for number in kept.pieces)


class MemoryJournal:
    """The storage port's `Journal` over a list."""

    def __init__(self, entries: list[bytes]) -> None:
        self._entries = entries
        self._lock = threading.Lock()
        self._closed = False

    def load(self) -> Iterator[bytes]:
        """Yield every entry; see the port."""
        with self._lock:
            return iter(tuple(self._entries))

    def append(self, entries: Sequence[bytes]) -> None:
        """Add entries; see the port."""
        with self._lock:
            self._refuse_if_closed()
            self._entries.extend(entries)

    def rewrite(self, entries: Iterable[bytes]) -> None:
        """Replace all entries; see the port."""
        replaced = list(entries)
        with self._lock:
            self._refuse_if_closed()
            self._entries[:] = replaced

    def size(self) -> int:
        """Return about how many bytes a file of it would have; see the port."""
        with self._lock:
            return sum(len(entry) + _ENTRY_HEAD_BYTES for entry in self._entries)

    def close(self) -> None:
        """Take no more entries."""
        self._closed = True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StorageError("this journal is closed")
