"""Makers of every adapter of `BlobStore`, and blobs to fill it with, for the suites that all of them must pass."""

from pathlib import Path
from typing import Protocol

from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobStore
from mesh.store.blobs import FileBlobStore
from mesh.wire.manifest import MIB, Manifest, blob_id, manifest_of
from sim.fakes import MemoryBlobStore, Shelves


class BlobMaker(Protocol):
    """How one adapter's blob stores are made."""

    def __init__(self, directory: Path) -> None: ...

    def open(self, *, reserve_bytes: int = 0, quota_bytes: int = 0, pages_bytes: int = 0) -> BlobStore:
        """Open the store of the directory."""
        ...

    def rot(self, blob: BlobId, offset: int) -> None:
        """Change the stored byte at `offset` of a blob behind the store's back."""
        ...


class FileBlobs:
    """Makes the store on disk."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "blobs"
        self.wall_ms = 1_000_000

    def open(self, *, reserve_bytes: int = 0, quota_bytes: int = 0, pages_bytes: int = 0) -> FileBlobStore:
        return FileBlobStore(
            self.root,
            wall_ms=self.tick,
            reserve_bytes=reserve_bytes,
            quota_bytes=quota_bytes,
            pages_bytes=pages_bytes,
        )

    def tick(self) -> int:
        self.wall_ms += 1
        return self.wall_ms

    def rot(self, blob: BlobId, offset: int) -> None:
        (path,) = self.root.glob(f"*/{blob.hex()}")
        with path.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


class MemoryBlobs:
    """Makes the fake in memory."""

    def __init__(self, directory: Path) -> None:
        del directory
        self.shelves = Shelves()

    def open(self, *, reserve_bytes: int = 0, quota_bytes: int = 0, pages_bytes: int = 0) -> MemoryBlobStore:
        if reserve_bytes:
            self.shelves.capacity_bytes = 0
        self.shelves.quota_bytes = quota_bytes
        self.shelves.pages_bytes = pages_bytes
        return MemoryBlobStore(self.shelves)

    def rot(self, blob: BlobId, offset: int) -> None:
        self.shelves.rot(blob, offset)


BLOB_MAKERS: list[type[BlobMaker]] = [FileBlobs, MemoryBlobs]

CONTENT = bytes(range(256)) * 4096 + b"b" * MIB + b"the end"


def content_of(pieces: int, salt: int) -> bytes:
    """Return bytes of `pieces` pieces, each different."""
    return b"".join(bytes([salt, number]) * (MIB // 2) for number in range(pieces))


def piece_of(content: bytes, manifest: Manifest, number: int) -> bytes:
    offset, size = manifest.extent(number)
    return content[offset : offset + size]


def fill(store: BlobStore, content: bytes) -> BlobId:
    """Bring a blob in piece by piece, as from another peer."""
    manifest = manifest_of(content)
    blob = blob_id(manifest)
    store.start(blob, manifest)
    for number in range(len(manifest.pieces)):
        store.write_piece(blob, number, piece_of(content, manifest, number))
    return blob
