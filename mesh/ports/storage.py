"""What the node asks of the disk: blobs by name, and a journal that forgets nothing it acknowledged.

All calls are synchronous and thread-safe; the node makes them in threads. What a call has returned survives SIGKILL at
any later instruction, and power loss where its docstring says "on disk".

Invariants that every adapter and every fake keeps (one contract suite tests both): a piece is verified before it is
written and before it is offered; no byte of a blob is ever returned unverified; what `append` returned from is in every
later `load`. Callers must not know how or where anything is stored.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId
from mesh.wire.manifest import Manifest, PieceSet
from mesh.wire.tree import Tree, TreeEntry


class StorageError(MeshError):
    """The peer's own disk did not do what was asked. The message names the file: look at the disk."""

    exit_code = 20


class DiskFull(StorageError):
    """The disk, this user's share of it, or the store's quota is full. Nothing stored was lost. Free space, or allow
    more by `store_quota_gb` in the settings; `meshnode store` shows what is bound to which job."""

    exit_code = 21


class StoreCorrupt(StorageError):
    """A file of the store no longer holds what was written. The damaged copy was kept; other peers send it again."""

    exit_code = 22


class JournalDamaged(StorageError):
    """The journal is damaged in its middle, which no crash does. A copy was kept: check the disk, restore or leave."""

    exit_code = 23


class JournalNewer(StorageError):
    """A newer version of the program wrote the journal, and says there what this one does not know. Start that one."""

    exit_code = 57


class BlobMissing(StorageError):
    """The blob, or the part asked for, is not in this peer's store. Fetch it from another peer first."""

    exit_code = 24


class PieceRefused(StorageError):
    """The bytes are not the piece that the manifest names. They were dropped; another source sends them again."""

    exit_code = 25


class SourceUnreadable(StorageError):
    """A file to be stored cannot be read, or changed while it was read. Check its rights, and that nobody writes it."""

    exit_code = 26


class HomeInUse(StorageError):
    """Another process already uses this home directory. Stop it, or give each peer its own: `--home DIR`."""

    exit_code = 27


class KeyExposed(StorageError):
    """Others on this machine can read a secret of this peer. Take the right away from them, as the message says."""

    exit_code = 28


class KeyUnusable(StorageError):
    """A key file is missing or does not hold a key. Restore it from a copy, or leave the mesh and join anew."""

    exit_code = 29


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobInfo:
    """What the store knows about one blob; sizes in bytes."""

    blob: BlobId
    size: int
    stored: int
    """Bytes of verified pieces, at most `size`."""
    pins: tuple[str, ...]
    """Who needs it kept, sorted."""
    last_used_ms: int
    """Wall time of the last read or write, to the minute or so after a crash; for choosing what to drop first."""
    checked_ms: int = 0
    """Wall time at which every piece was last read only to see whether it rotted; 0: never."""

    @property
    def complete(self) -> bool:
        """Whether every piece is stored."""
        return self.stored == self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How full the store is, in bytes."""

    blobs: int
    """How many blobs it knows, complete or not."""
    stored: int
    """Verified bytes of all blobs."""
    pinned: int
    """Those of them that belong to pinned blobs."""
    free: int
    """How much more may be stored, of all but pages of seals: what quota and disk allow, whichever is less."""
    quota: int
    """How much the owner allows in all; 0: whatever the disk has."""

    @property
    def limit(self) -> int:
        """How much may be stored in all."""
        return self.stored + self.free


@dataclass(frozen=True, slots=True, kw_only=True)
class Rot:
    """A piece that was put aside because it was not as it had been written."""

    blob: BlobId
    piece: int
    found_ms: int
    """Wall time."""


class BlobStore(Protocol):
    """Immutable bytes by name, whole or in part.

    Any method may raise `StorageError`; those that write may raise `DiskFull`, and then leave the store as it was. What
    is written as a `page` of a seal may take the room that is kept for pages, and nothing else may.
    """

    def start(self, blob: BlobId, manifest: Manifest, *, page: bool = False) -> PieceSet:
        """Make room for the pieces of `blob` and return those already here; raise `PieceRefused` if it is another's."""
        ...

    def write_piece(self, blob: BlobId, number: int, piece: bytes, *, page: bool = False) -> bool:
        """Verify and store one piece; return whether the blob is now complete, and then on disk.

        A piece that is here already changes nothing. Raises `PieceRefused`, and `BlobMissing` before `start`.
        """
        ...

    def manifest(self, blob: BlobId) -> Manifest:
        """Return the manifest of a blob that was started or ingested; else raise `BlobMissing`."""
        ...

    def have(self, blob: BlobId) -> PieceSet | None:
        """Return the verified pieces of `blob`, or nothing if it was neither started nor ingested."""
        ...

    def complete(self, blob: BlobId) -> bool:
        """Say whether every piece of `blob` is stored and on disk; an unknown blob is not complete."""
        ...

    def read_piece(self, blob: BlobId, number: int) -> bytes:
        """Return piece `number`, verified now; raise `BlobMissing` when it is not here.

        A piece that rotted raises `StoreCorrupt`, is put aside and is missing from then on.
        """
        ...

    def read(self, blob: BlobId, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on, within the blob and across pieces; else as `read_piece`."""
        ...

    def ingest(self, source: bytes | Path, *, page: bool = False) -> BlobId:
        """Store the bytes, or a copy of the file's, on disk and return their id. Raises `SourceUnreadable`."""
        ...

    def pin(self, blob: BlobId, reason: str) -> None:
        """Keep `blob`, present or yet to come, for as long as `reason` needs it; on disk. Repeating changes nothing."""
        ...

    def unpin(self, blob: BlobId, reason: str) -> None:
        """End what `pin` began for this reason; others stay. Without a pin it changes nothing."""
        ...

    def delete(self, blob: BlobId, last_used_ms: int | None = None) -> bool:
        """Forget the blob and free its space, unless it is pinned; return whether it is gone.

        With `last_used_ms`, as `blobs` told it, one that was read, written, started or ingested since stays.
        """
        ...

    def check_piece(self, blob: BlobId, number: int) -> bool:
        """Read piece `number` only to see whether it rotted, which is no use of it; False: it did, and is put aside.

        Raises `BlobMissing` when it is not here.
        """
        ...

    def checked(self, blob: BlobId) -> None:
        """Note that every piece was checked now; on disk within a minute, and at `close`. An unknown blob is none."""
        ...

    def rotten(self) -> list[Rot]:
        """Return the latest rotten pieces that are kept for a look, oldest first; a bounded number."""
        ...

    def blobs(self) -> list[BlobInfo]:
        """Return what is known of every blob, least recently used first."""
        ...

    def usage(self) -> Usage:
        """Return how much is stored and how much room is left."""
        ...

    def watch(self, rotten: Callable[[BlobId], None]) -> None:
        """Have `rotten` called with each blob of which a read finds a rotten piece, in the thread that reads."""
        ...

    def close(self) -> None:
        """Put everything on disk and let go of it; no other call may follow."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTree:
    """A scene that is wholly in the store."""

    root: BlobId
    size: int
    """Bytes of all files together."""
    blobs: tuple[BlobId, ...]
    """Everything that a peer needs for it: the tree's own blob first, then each that it names."""


class Scenes(Protocol):
    """Trees of files in the blob store."""

    def ingest_tree(self, files: Iterable[tuple[str, Path]], progress: Callable[[int], None] = ...) -> StoredTree:
        """Store files, given as (name in the tree, path), and the tree that lists them; all is on disk on return.

        `progress` is called with the bytes stored since its last call, from the calling thread. Raises `NameRefused` or
        `TreeRefused` before anything is read, `SourceUnreadable` and `DiskFull`.
        """
        ...

    def open_tree(self, root: BlobId) -> Tree:
        """Return the tree whose blob is `root`; raise `BlobMissing`, or `WireError` when that blob is no tree."""
        ...

    def read_entry(self, entry: TreeEntry) -> Iterator[bytes]:
        """Yield the file's bytes, at most a piece at a time; raise `BlobMissing`, or `TreeRefused` beyond its blob."""
        ...


class Journal(Protocol):
    """An ordered file of opaque entries that only grows, but for `rewrite`."""

    def load(self) -> Iterator[bytes]:
        """Yield every entry in the order of `append`; raise `JournalDamaged` when one is not as it was written."""
        ...

    def append(self, entries: Sequence[bytes]) -> None:
        """Add `entries`; all of them are on disk when it returns. After `DiskFull` none of them is in the journal."""
        ...

    def rewrite(self, entries: Iterable[bytes]) -> None:
        """Replace the whole journal by `entries`, on disk; a crash leaves either the old or the new one."""
        ...

    def size(self) -> int:
        """Return the journal's size in bytes, from which its owner judges when to `rewrite`."""
        ...

    def close(self) -> None:
        """Let go of the file; no other call may follow."""
        ...
