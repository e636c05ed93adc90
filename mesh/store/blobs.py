"""The blob store on disk: one sparse file for each blob, and an index of what is in it.

    whole/<id>           complete blobs, in name and bytes on disk
    parts/<id>           blobs with pieces missing: a sparse file, each piece at its place
    parts/ingest-*       files on their way in, without a name yet
    quarantine/<id>-<n>  pieces that rotted, as they were found
    index.sqlite         manifests, marked pieces, pins, last use and check

A piece goes through these states, and never skips one: verified in memory, written, synchronised (every 64 pieces),
marked. A piece that is written but not marked is offered too, since SIGKILL cannot take it away; after a crash it is
verified again. A blob moves from `parts` to `whole` after its last byte was synchronised and before the index says so.

Invariants: no byte leaves that was not verified in the same call, whatever happened to the disk; a mark in the index is
never ahead of the disk; a blob is in at most one of the two directories, and recovery at the next start settles which.
What is stored is never more than the quota. Locks are taken in the order pins, entry, map, index; that of the allowance
last. The module must not know scenes, jobs or peers.
"""

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mesh.ground.ids import BlobId
from mesh.ground.store_limits import STORE_PAGES_BYTES
from mesh.ports.storage import (
    BlobInfo,
    BlobMissing,
    DiskFull,
    PieceRefused,
    Rot,
    SourceUnreadable,
    StoreCorrupt,
    Usage,
)
from mesh.store import posix, sources
from mesh.store.allowance import Allowance, Taking
from mesh.store.index import IndexRow
from mesh.store.places import INGEST_PREFIX, Entry, Places, demote, quarantine, rotten, settle
from mesh.store.recovery import open_index, recover
from mesh.wire import manifest as manifests
from mesh.wire.manifest import Manifest, PieceSet

SYNC_EVERY_PIECES = 64
"""Pieces between two synchronisations: 0.3 ms a piece instead of 1.2 ms, and at most this many to verify again."""

RESERVE_BYTES = 64 * 1024 * 1024
"""Room that blobs leave to the journal, so that a full store never stops the records."""

USE_GRAIN_MS = 60_000
"""Last use and last check are written down at most once in this time: a read costs no fsync."""

REASON_MAX_BYTES = 128
"""Length of a pin's reason."""


class FileBlobStore:
    """A `BlobStore` in one directory, for one process at a time; the home's lock sees to that."""

    def __init__(
        self,
        root: Path,
        *,
        wall_ms: Callable[[], int],
        reserve_bytes: int = RESERVE_BYTES,
        quota_bytes: int = 0,
        pages_bytes: int = STORE_PAGES_BYTES,
    ) -> None:
        """Open or make the store; settle what a crash left half done. `wall_ms` tells the time of last use.

        It holds at most `quota_bytes`, 0 being no limit, and leaves `reserve_bytes` of the disk alone. At most
        `pages_bytes` of it are kept for pages of seals.
        """
        self._wall_ms = wall_ms
        self._places = Places(root)
        self._allowance = Allowance(root, quota_bytes=quota_bytes, reserve_bytes=reserve_bytes, pages_bytes=pages_bytes)
        self._index = open_index(self._places)
        self._map_lock = threading.Lock()
        self._pins_lock = threading.Lock()
        try:
            with posix.named_errors(root):
                self._entries = recover(self._places, self._index, wall_ms())
            self._pins: dict[BlobId, set[str]] = {}
            for blob, reason in self._index.pins():
                self._pins.setdefault(blob, set()).add(reason)
            self._allowance.hold(sum(entry.stored() for entry in self._entries.values()))
        except BaseException:
            self._index.close()
            raise
        self._rotten: Callable[[BlobId], None] = lambda _blob: None
        self._used: dict[BlobId, int] = {}
        self._checked: dict[BlobId, int] = {}
        self._noted_ms = wall_ms()

    def have(self, blob: BlobId) -> PieceSet | None:
        """Return the verified pieces of `blob`, or nothing if it is unknown."""
        entry = self._find(blob)
        return entry.have if entry else None

    def complete(self, blob: BlobId) -> bool:
        """Say whether `blob` is wholly on disk."""
        entry = self._find(blob)
        return entry is not None and entry.whole

    def manifest(self, blob: BlobId) -> Manifest:
        """Return the manifest of a known blob."""
        return self._known(blob).manifest

    def blobs(self) -> list[BlobInfo]:
        """Return what is known of every blob, least recently used first."""
        with self._map_lock:
            entries = sorted(self._entries.values(), key=lambda entry: (entry.last_used_ms, entry.blob))
        return [
            BlobInfo(
                blob=entry.blob,
                size=entry.manifest.size,
                stored=entry.stored(),
                pins=tuple(sorted(self._pins.get(entry.blob, ()))),
                last_used_ms=entry.last_used_ms,
                checked_ms=entry.checked_ms,
            )
            for entry in entries
        ]

    def usage(self) -> Usage:
        """Return how much is stored, and how much room is left for blobs."""
        with self._pins_lock:
            pinned = [entry.stored() for blob, why in self._pins.items() if why and (entry := self._find(blob))]
        return Usage(
            blobs=len(self._entries),
            stored=self._allowance.taken,
            pinned=sum(pinned),
            free=max(0, self._allowance.room()),
            quota=self._allowance.quota_bytes,
        )

    def start(self, blob: BlobId, manifest: Manifest, *, page: bool = False) -> PieceSet:
        """Remember the manifest of a blob to be fetched; return the pieces that are here."""
        encoded = manifests.encode(manifest)
        if manifests.encoded_blob_id(encoded) != blob:
            raise PieceRefused(f"the manifest is not of blob {blob.hex()}")
        with self._entering(blob, manifest) as entry:
            if not entry.known:
                self._allowance.need(manifest.size, page=page)
                self._index.put(self._row(entry, encoded))
                entry.known = True
            self._touch(entry)
            if entry.have.complete and not entry.whole:  # An empty blob: no piece will ever come.
                with posix.named_errors(self._places.part(blob)):
                    self._settle(entry)
            return entry.have

    def write_piece(self, blob: BlobId, number: int, piece: bytes, *, page: bool = False) -> bool:
        """Verify and write one piece; the last one makes the blob whole."""
        entry = self._known(blob)
        if not entry.manifest.fits(number, piece):
            raise PieceRefused(f"not piece {number} of blob {blob.hex()}")
        path = self._places.part(blob)
        with entry.lock, posix.named_errors(path):
            self._refuse_if_gone(entry)
            if number not in entry.have:
                with self._allowance.taking(page=page) as taking:
                    taking.take(len(piece))
                    _write_extent(entry, number, piece, path)
                    entry.have = entry.have.plus(number)
                    taking.keep()
                self._touch(entry)
                if entry.have.complete or len(entry.have) - len(entry.marked) >= SYNC_EVERY_PIECES:
                    self._settle(entry)
            return entry.whole

    def read_piece(self, blob: BlobId, number: int) -> bytes:
        """Return one piece after verifying it; put it aside if it rotted."""
        entry = self._known(blob)
        piece = self._read_piece(entry, number)
        self._touch(entry)
        return piece

    def check_piece(self, blob: BlobId, number: int) -> bool:
        """Read one piece only to see whether it rotted."""
        try:
            self._read_piece(self._known(blob), number)
        except StoreCorrupt:
            return False
        return True

    def checked(self, blob: BlobId) -> None:
        """Note that every piece was checked now."""
        if entry := self._find(blob):
            entry.checked_ms = now_ms = self._wall_ms()
            with self._map_lock:
                self._checked[blob] = now_ms
            self._note(now_ms)

    def rotten(self) -> list[Rot]:
        """Return the pieces that are kept for a look."""
        with posix.named_errors(self._places.quarantine_directory):
            return rotten(self._places)

    def _read_piece(self, entry: Entry, number: int) -> bytes:
        with self._reading(entry, number) as descriptor:
            piece = _read_extent(entry, number, descriptor)
        return piece if entry.manifest.fits(number, piece) else self._read_again(entry, number)

    def read(self, blob: BlobId, offset: int, size: int) -> bytes:
        """Return bytes from anywhere in the blob; every piece that they touch is verified."""
        manifest = self.manifest(blob)
        if offset < 0 or size < 0 or offset + size > manifest.size:
            raise BlobMissing(f"bytes {offset} to {offset + size} of blob {blob.hex()}, which has {manifest.size}")
        parts = []
        for number in manifest.numbers(offset, size):
            begin, length = manifest.extent(number)
            piece = self.read_piece(blob, number)
            parts.append(memoryview(piece)[max(0, offset - begin) : min(length, offset + size - begin)])
        return b"".join(parts)

    def ingest(self, source: bytes | Path, *, page: bool = False) -> BlobId:
        """Copy bytes or a file into the store, durably, and name them."""
        with posix.named_errors(self._places.parts_directory), self._allowance.taking(page=page) as taking:
            descriptor, name = tempfile.mkstemp(prefix=INGEST_PREFIX, dir=self._places.parts_directory)
            try:
                if isinstance(source, bytes):
                    taking.take(len(source))
                    manifest = manifests.manifest_of(source)
                    posix.write_all(descriptor, source, 0)
                else:
                    manifest = self._copy(source, descriptor, taking)
                os.fsync(descriptor)
                return self._take_in(manifest, Path(name), taking)
            finally:
                os.close(descriptor)
                # Once it was taken in, the name is gone.
                with suppress(FileNotFoundError):
                    os.unlink(name)

    def _copy(self, source: Path, descriptor: int, taking: Taking) -> Manifest:
        """Copy the file and return the manifest of exactly the bytes that were written."""
        with sources.opened(source) as (reader, facts):
            size = facts.st_size
            if size > manifests.BLOB_MAX_BYTES:
                raise SourceUnreadable(f"{source}: {size} bytes where at most {manifests.BLOB_MAX_BYTES} are allowed")
            taking.take(size)
            step, hashes = manifests.piece_size(size), []
            for offset in range(0, size, step):
                piece = sources.read_part(source, reader, offset, min(step, size - offset))
                hashes.append(manifests.piece_hash(piece))
                posix.write_all(descriptor, piece, offset)
            after = os.fstat(reader)
        if (after.st_size, after.st_mtime_ns) != (size, facts.st_mtime_ns):
            raise SourceUnreadable(f"{source}: it changed while it was read")
        return Manifest(size=size, pieces=tuple(hashes))

    def _take_in(self, manifest: Manifest, path: Path, taking: Taking) -> BlobId:
        """Give a synchronised file the name of its blob."""
        encoded = manifests.encode(manifest)
        blob = manifests.encoded_blob_id(encoded)
        with self._entering(blob, manifest) as entry:
            if not entry.whole:
                posix.rename_durably(path, self._places.whole(blob))
                entry.whole = True
                self._allowance.give_back(entry.stored())
                taking.keep()
                entry.have = entry.marked = PieceSet.full(len(manifest.pieces))
                self._index.put(self._row(entry, encoded))
                entry.known = True
                with suppress(FileNotFoundError):
                    self._places.part(blob).unlink()
            self._touch(entry)
        return blob

    def pin(self, blob: BlobId, reason: str) -> None:
        """Keep the blob for this reason, durably."""
        assert len(reason.encode()) <= REASON_MAX_BYTES
        with self._pins_lock:
            reasons = self._pins.get(blob, set())
            if reason not in reasons:
                self._index.pin(blob, reason)
                self._pins[blob] = reasons | {reason}

    def unpin(self, blob: BlobId, reason: str) -> None:
        """No longer keep the blob for this reason, durably."""
        with self._pins_lock:
            reasons = self._pins.get(blob, set())
            if reason in reasons:
                self._index.unpin(blob, reason)
                self._pins[blob] = reasons - {reason}

    def delete(self, blob: BlobId, last_used_ms: int | None = None) -> bool:
        """Forget the blob and its bytes unless it is pinned, or was used since `last_used_ms`."""
        with self._pins_lock:
            if self._pins.get(blob):
                return False
            entry = self._find(blob)
            if entry is None:
                return True
            with entry.lock, posix.named_errors(self._places.of(entry)):
                if entry.gone or last_used_ms not in (None, entry.last_used_ms):
                    return entry.gone
                # The bytes first: that works on a full disk too, and a row without a file is settled at the next start,
                # whereas a file without a row would be taken in again.
                with suppress(FileNotFoundError):
                    self._places.of(entry).unlink()
                posix.sync_directory(self._places.of(entry).parent)
                self._allowance.give_back(entry.stored())
                self._drop(entry)
                with suppress(DiskFull):  # Then the next start finds it without its file.
                    self._index.remove(blob)
            return True

    def watch(self, rotten: Callable[[BlobId], None]) -> None:
        """Have `rotten` called with each blob of which a read finds a rotten piece."""
        self._rotten = rotten

    def close(self) -> None:
        """Synchronise and mark every written piece, and close the index."""
        with self._map_lock:
            entries = list(self._entries.values())
        try:
            for entry in entries:
                with entry.lock, posix.named_errors(self._places.of(entry)):
                    if entry.have != entry.marked:
                        self._settle(entry)
            with suppress(DiskFull):  # A guess at what to drop first is no reason to fail.
                self._index.noted(self._used, self._checked)
        finally:
            self._index.close()

    def _find(self, blob: BlobId) -> Entry | None:
        with self._map_lock:
            return self._entries.get(blob)

    def _known(self, blob: BlobId) -> Entry:
        if entry := self._find(blob):
            return entry
        raise BlobMissing(f"blob {blob.hex()}")

    @contextmanager
    def _entering(self, blob: BlobId, manifest: Manifest) -> Iterator[Entry]:
        """Yield the blob's entry under its lock; a new one goes again unless the body makes it known to the index."""
        none = PieceSet(count=len(manifest.pieces))
        fresh = Entry(blob=blob, manifest=manifest, marked=none, have=none, last_used_ms=self._wall_ms())
        while True:
            with self._map_lock:
                entry = self._entries.setdefault(blob, fresh)
            with entry.lock:
                if entry.gone:
                    continue
                try:
                    yield entry
                finally:
                    if not entry.known:
                        self._drop(entry)
                return

    def _drop(self, entry: Entry) -> None:
        entry.gone = True
        with self._map_lock:
            self._entries.pop(entry.blob, None)

    def _refuse_if_gone(self, entry: Entry) -> None:
        if entry.gone or not entry.known:
            raise BlobMissing(f"blob {entry.blob.hex()}")

    def _row(self, entry: Entry, manifest: bytes) -> IndexRow:
        pieces = entry.marked.encode()
        return IndexRow(
            blob=entry.blob,
            manifest=manifest,
            pieces=pieces,
            last_used_ms=entry.last_used_ms,
            checked_ms=entry.checked_ms,
        )

    def _settle(self, entry: Entry) -> None:
        """Synchronise the pieces written since the last time and mark them; a complete blob becomes whole."""
        try:
            settle(self._places, self._index, entry)
        except OSError:
            # What the system could not write it may also have dropped from memory: only marked pieces are sure.
            before = entry.stored()
            entry.have = entry.marked
            self._allowance.give_back(before - entry.stored())
            raise

    @contextmanager
    def _reading(self, entry: Entry, number: int) -> Iterator[int | None]:
        """Yield the descriptor of the file with this piece; it stays good when the file moves or goes."""
        with entry.lock:
            self._refuse_if_gone(entry)
            if number not in entry.have:
                raise BlobMissing(f"piece {number} of blob {entry.blob.hex()}")
            path = self._places.of(entry)
            with posix.named_errors(path):
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    descriptor = None
        try:
            with posix.named_errors(path):
                yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _read_again(self, entry: Entry, number: int) -> bytes:
        """Return the piece if it was replaced meanwhile; else put it aside, so that it is fetched again."""
        with entry.lock:
            with self._reading(entry, number) as descriptor:
                piece = _read_extent(entry, number, descriptor)
            if entry.manifest.fits(number, piece):
                return piece
            path = self._places.of(entry)
            with posix.named_errors(path):
                quarantine(self._places, entry, number, piece)
                demote(self._places, entry)
            entry.have, entry.marked = entry.have.minus(number), entry.marked.minus(number)
            self._allowance.give_back(entry.manifest.extent(number)[1])
            with suppress(DiskFull):  # Then the next start finds it again.
                self._index.mark(entry.blob, entry.marked.encode())
        self._rotten(entry.blob)
        raise StoreCorrupt(f"{path}: piece {number} is not as it was written")

    def _touch(self, entry: Entry) -> None:
        """Note that a blob is used: each time is another one, so that `delete` can tell."""
        entry.last_used_ms = max(self._wall_ms(), entry.last_used_ms + 1)
        with self._map_lock:
            self._used[entry.blob] = entry.last_used_ms
        self._note(entry.last_used_ms)

    def _note(self, now_ms: int) -> None:
        """Write down what was used and checked, if that was long ago."""
        with self._map_lock:
            if now_ms - self._noted_ms < USE_GRAIN_MS:
                return
            used, checked, self._noted_ms = self._used, self._checked, now_ms
            self._used, self._checked = {}, {}
        with suppress(DiskFull):
            self._index.noted(used, checked)


def _write_extent(entry: Entry, number: int, piece: bytes, path: Path) -> None:
    """Write a piece at its place; a failed one at the end of the file gives back the room that it took."""
    offset, _ = entry.manifest.extent(number)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, posix.PRIVATE_FILE_MODE)
    try:
        posix.write_all(descriptor, piece, offset)
    except OSError:
        if entry.have.bits >> number == 0:
            os.ftruncate(descriptor, min(offset, os.fstat(descriptor).st_size))
        raise
    finally:
        os.close(descriptor)


def _read_extent(entry: Entry, number: int, descriptor: int | None) -> bytes:
    """Return what the file has where the piece should be; nothing where file or sector are gone, which is rot too."""
    if descriptor is None:
        return b""
    try:
        return posix.read_at(descriptor, *entry.manifest.extent(number))
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
