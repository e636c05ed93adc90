"""The journal: an append-only file of batches, each durable before `append` returns.

The file begins with a magic, a key of 32 random bytes and the hash of both. Then come frames, one for each batch:

    marker, 8 bytes | payload length, 4 bytes little-endian | checksum, 16 bytes | payload = (entry length, 4 | entry)*

A batch is one frame, since that is the unit that a crash may tear: at most the last frame was ever written but not yet
acknowledged, whatever order the disk wrote its sectors in. So whatever follows the last good frame is a torn tail if no
good frame comes after it and it is no longer than one frame; it was never acknowledged and is cut off. Anything else is
damage, which is never repaired in silence; so is any change of the first bytes, since a whole file is put in its place
with them and they never tear. Marker and checksums come from the key, so that no entry, whoever wrote it,
can look like a frame.

Invariants: `_end` is where the last acknowledged frame ends, and the file is never longer but within `append`. A failed
append leaves the file as it was; if even that fails, the journal takes nothing more. The module must not know what an
entry means.
"""

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from mesh.ports.storage import JournalDamaged, StorageError
from mesh.store import posix

MAGIC = b"meshnode journal 1\n"
KEY_BYTES = 32
MARKER_BYTES = 8
CHECKSUM_BYTES = 16
LENGTH_BYTES = 4

ENTRY_MAX_BYTES = 1024 * 1024
"""The largest entry: sixteen control packets' worth, more than any record."""

PAYLOAD_MAX_BYTES = 8 * 1024 * 1024
"""The largest frame's payload; a longer batch is written, and made durable, frame by frame."""

_HEADER_BYTES = len(MAGIC) + KEY_BYTES + CHECKSUM_BYTES
_FRAME_HEAD_BYTES = MARKER_BYTES + LENGTH_BYTES + CHECKSUM_BYTES
_FRAME_MAX_BYTES = _FRAME_HEAD_BYTES + PAYLOAD_MAX_BYTES

assert ENTRY_MAX_BYTES + LENGTH_BYTES <= PAYLOAD_MAX_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """An opened journal file: its descriptor and its key."""

    descriptor: int
    key: bytes

    @property
    def marker(self) -> bytes:
        return blake3(b"marker", key=self.key).digest(length=MARKER_BYTES)

    def frame(self, payload: bytes) -> bytes:
        length = len(payload).to_bytes(LENGTH_BYTES, "little")
        return self.marker + length + self._checksum(length, payload) + payload

    def payload_at(self, offset: int) -> bytes | None:
        """Return the payload of the good frame at `offset`; nothing if there is none."""
        head = posix.read_at(self.descriptor, offset, _FRAME_HEAD_BYTES)
        if len(head) < _FRAME_HEAD_BYTES or not head.startswith(self.marker):
            return None
        length = head[MARKER_BYTES : MARKER_BYTES + LENGTH_BYTES]
        size = int.from_bytes(length, "little")
        if not 0 < size <= PAYLOAD_MAX_BYTES:
            return None
        payload = posix.read_at(self.descriptor, offset + _FRAME_HEAD_BYTES, size)
        return payload if self._checksum(length, payload) == head[-CHECKSUM_BYTES:] else None

    def _checksum(self, length: bytes, payload: bytes) -> bytes:
        return blake3(length + payload, key=self.key).digest(length=CHECKSUM_BYTES)


class FileJournal:
    """A `Journal` in one file, for one process at a time; the home's lock sees to that."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal; cut off a torn tail, keep a copy of a damaged file and raise `JournalDamaged`."""
        self._path = path
        self._temporary = path.with_name(f".{path.name}.new")
        self._lock = threading.RLock()  # `rewrite` may draw its entries from `load`
        self._broken = False
        with posix.named_errors(path):
            with suppress(FileNotFoundError):
                self._temporary.unlink()
            if not path.exists():
                os.close(self._write_new(())[0].descriptor)
                posix.rename_durably(self._temporary, path)
            self._file = self._open()
            try:
                self._end = self._recover()
            except BaseException:
                os.close(self._file.descriptor)
                raise

    def load(self) -> Iterator[bytes]:
        """Yield every entry, oldest first; those appended after the first was drawn are not among them."""
        with self._lock:
            # A descriptor of its own, so that neither `rewrite` nor `close` pulls the file away under the reader.
            file, end = _File(descriptor=os.dup(self._file.descriptor), key=self._file.key), self._end
        try:
            at = _HEADER_BYTES
            while at < end:
                with posix.named_errors(self._path):
                    payload = file.payload_at(at)
                if payload is None:
                    raise JournalDamaged(f"{self._path}: damaged at byte {at}; a copy is {self._keep_copy(at)}")
                yield from _split(payload)
                at += _FRAME_HEAD_BYTES + len(payload)
        finally:
            os.close(file.descriptor)

    def append(self, entries: Sequence[bytes]) -> None:
        """Write the entries behind all others and return when they are on disk."""
        payloads = list(_payloads(entries))
        with self._lock, posix.named_errors(self._path):
            self._refuse_if_broken()
            before = at = self._end
            try:
                for payload in payloads:
                    frame = self._file.frame(payload)
                    posix.write_all(self._file.descriptor, frame, at)
                    posix.sync_data(self._file.descriptor)
                    at += len(frame)
            except BaseException:
                self._cut(before)
                raise
            self._end = at

    def rewrite(self, entries: Iterable[bytes]) -> None:
        """Write a new file with only `entries` and put it in the old one's place; `entries` may come from `load`."""
        with self._lock, posix.named_errors(self._path):
            self._refuse_if_broken()
            try:
                file, end = self._write_new(entries)
            except BaseException:
                with suppress(FileNotFoundError):
                    self._temporary.unlink()
                raise
            os.close(self._file.descriptor)
            self._file, self._end = file, end
            # Until the new name is on disk, nothing may be acknowledged: a power loss could bring back the old file.
            self._broken = True
            posix.rename_durably(self._temporary, self._path)
            self._broken = False

    def size(self) -> int:
        """Return the file's length in bytes."""
        with self._lock:
            return self._end

    def close(self) -> None:
        """Close the file; all of it is on disk already."""
        with self._lock:
            self._broken = True
            os.close(self._file.descriptor)

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise StorageError(f"{self._path}: closed, or a write failed and could not be undone; start the peer again")

    def _cut(self, end: int) -> None:
        """Take back what a failed append wrote; if that fails too, take nothing more, since the tail is unknown."""
        try:
            os.ftruncate(self._file.descriptor, end)
            os.fsync(self._file.descriptor)
        except OSError:
            self._broken = True

    def _write_new(self, entries: Iterable[bytes]) -> tuple[_File, int]:
        """Write a whole journal under the temporary name, durably; return it, still open, and its length."""
        key = os.urandom(KEY_BYTES)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = _File(descriptor=os.open(self._temporary, flags, posix.PRIVATE_FILE_MODE), key=key)
        try:
            posix.write_all(file.descriptor, _header(key), 0)
            at = _HEADER_BYTES
            for payload in _payloads(entries):
                frame = file.frame(payload)
                posix.write_all(file.descriptor, frame, at)
                at += len(frame)
            os.fsync(file.descriptor)
        except BaseException:
            os.close(file.descriptor)
            raise
        return file, at

    def _open(self) -> _File:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        header = posix.read_at(descriptor, 0, _HEADER_BYTES)
        key = header[len(MAGIC) : len(MAGIC) + KEY_BYTES]
        if header != _header(key):
            os.close(descriptor)
            raise JournalDamaged(f"{self._path}: it does not begin like a journal; a copy is {self._keep_copy(0)}")
        return _File(descriptor=descriptor, key=key)

    def _recover(self) -> int:
        """Return where the last good frame ends, the file cut off there."""
        at, size = _HEADER_BYTES, os.fstat(self._file.descriptor).st_size
        while (payload := self._file.payload_at(at)) is not None:
            at += _FRAME_HEAD_BYTES + len(payload)
        if at == size:
            # SIGKILL may have come between a frame's write and its fsync: from now on the peer acts on it.
            os.fsync(self._file.descriptor)
            return at
        if size - at > _FRAME_MAX_BYTES or self._good_frame_after(at, size):
            raise JournalDamaged(f"{self._path}: damaged at byte {at} of {size}; a copy is {self._keep_copy(at)}")
        os.ftruncate(self._file.descriptor, at)
        os.fsync(self._file.descriptor)
        return at

    def _good_frame_after(self, at: int, size: int) -> bool:
        """Say whether a good frame begins anywhere behind `at`; the rest is no longer than one frame."""
        rest, marker = posix.read_at(self._file.descriptor, at, size - at), self._file.marker
        found = rest.find(marker, 1)
        while found >= 0:
            if self._file.payload_at(at + found) is not None:
                return True
            found = rest.find(marker, found + 1)
        return False

    def _keep_copy(self, at: int) -> Path:
        """Copy the damaged file once; a later start that meets the same damage keeps the first copy."""
        copy = self._path.with_name(f"{self._path.name}.damaged-at-{at}")
        if not copy.exists():
            shutil.copyfile(self._path, copy)
        return copy


def _header(key: bytes) -> bytes:
    return MAGIC + key + blake3(MAGIC + key).digest(length=CHECKSUM_BYTES)


def _payloads(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Gather entries into payloads of at most `PAYLOAD_MAX_BYTES`."""
    payload = bytearray()
    for entry in entries:
        assert len(entry) <= ENTRY_MAX_BYTES, "the caller bounds its entries"
        if len(payload) + LENGTH_BYTES + len(entry) > PAYLOAD_MAX_BYTES:
            yield bytes(payload)
            payload.clear()
        payload += len(entry).to_bytes(LENGTH_BYTES, "little")
        payload += entry
    if payload:
        yield bytes(payload)


def _split(payload: bytes) -> Iterator[bytes]:
    """Yield the entries of a payload whose checksum held, so that it is as `_payloads` made it."""
    at = 0
    while at < len(payload):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(payload[at:start], "little")
        yield payload[start:at]
