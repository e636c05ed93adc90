"""Scenes in the store: from files on disk to a tree of blobs, and from a tree back to bytes.

Reading and hashing run in threads, several files at a time. What is stored is what was read: the size and hash of an
entry come from the bytes that were copied, never from what the file system said before. The module must not know what
a scene needs or where it is checked out: names and paths come from its caller.
"""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobStore, SourceUnreadable
from mesh.store import sources
from mesh.wire import tree as trees
from mesh.wire.tree import Pack, Tree, TreeEntry, TreeRefused

INGEST_THREADS = 4
"""Files on their way at a time: enough to keep a disk busy while another hashes, few enough to keep memory small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTree:
    """A scene that is wholly in the store."""

    root: BlobId
    size: int
    """Bytes of all files together."""
    blobs: tuple[BlobId, ...]
    """Everything that a peer needs for it: the tree's own blob first, then each that it names."""


def ingest_tree(
    store: BlobStore, files: Iterable[tuple[str, Path]], progress: Callable[[int], None] = lambda _: None
) -> StoredTree:
    """Store the files, given as (name in the tree, path), and the tree that lists them; return when all is on disk.

    `progress` is called with the bytes stored since its last call, from the calling thread. Raises `NameRefused` or
    `TreeRefused` before anything is read, `SourceUnreadable` and `DiskFull`.
    """
    paths: dict[str, Path] = {}
    for name, path in files:
        if name in paths:
            raise TreeRefused(f"{name!a} is given twice")
        paths[name] = path
    for refused in trees.refusals(sorted(paths)):
        raise refused
    packs = trees.plan((name, sources.size_of(path)) for name, path in paths.items())
    entries: list[TreeEntry] = []
    with concurrent.futures.ThreadPoolExecutor(INGEST_THREADS, thread_name_prefix="ingest") as threads:
        running = [threads.submit(_store, store, pack, paths) for pack in packs]
        try:
            for done in concurrent.futures.as_completed(running):
                entries += done.result()
                progress(sum(entry.size for entry in done.result()))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    tree = trees.make(entries)
    root = store.ingest(trees.encode(tree))
    return StoredTree(root=root, size=tree.size, blobs=(root, *tree.blobs()))


def _store(store: BlobStore, pack: Pack, paths: dict[str, Path]) -> list[TreeEntry]:
    if len(pack.members) == 1:
        (member,) = pack.members
        blob = store.ingest(paths[member.name])
        return [TreeEntry(name=member.name, blob=blob, offset=0, size=store.manifest(blob).size)]
    parts = []
    for member in pack.members:
        data = sources.read_whole(paths[member.name], member.size)
        if len(data) != member.size:
            raise SourceUnreadable(f"{paths[member.name]}: it changed while it was read")
        parts.append(data)
    blob = store.ingest(b"".join(parts))
    return [TreeEntry(name=member.name, blob=blob, offset=member.offset, size=member.size) for member in pack.members]


class SceneReader:
    """Reads trees and their files out of the store, for one thread; it keeps the last piece, which neighbours share."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._place: tuple[BlobId, int] | None = None
        self._piece = b""

    def open_tree(self, root: BlobId) -> Tree:
        """Return the tree whose blob is `root`; raise `BlobMissing`, or `WireError` when that blob is no tree."""
        size = self._store.manifest(root).size
        if size > trees.TREE_MAX_BYTES:
            raise TreeRefused(f"a tree of {size} bytes where at most {trees.TREE_MAX_BYTES} are allowed")
        return trees.decode(self._store.read(root, 0, size))

    def read_entry(self, entry: TreeEntry) -> Iterator[bytes]:
        """Yield the file's bytes, at most a piece at a time; raise `BlobMissing`, or `TreeRefused` beyond its blob."""
        manifest = self._store.manifest(entry.blob)
        end = entry.offset + entry.size
        if end > manifest.size:
            raise TreeRefused(f"{entry.name!a} ends behind its blob")
        for number in manifest.numbers(entry.offset, entry.size):
            begin, size = manifest.extent(number)
            piece = self._read_piece(entry.blob, number)
            yield piece[max(0, entry.offset - begin) : min(size, end - begin)]

    def _read_piece(self, blob: BlobId, number: int) -> bytes:
        if self._place != (blob, number):
            self._piece, self._place = self._store.read_piece(blob, number), (blob, number)
        return self._piece
