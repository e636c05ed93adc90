"""Scenes in the store: from files on disk to a tree of blobs, and from a tree back to bytes.

Reading and hashing run in threads, several files at a time. What is stored is what was read: the size and hash of an
entry come from the bytes that were copied, never from what the file system said before. The module must not know what
a scene needs or where it is checked out: names and paths come from its caller.
"""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobMissing, BlobStore, SourceUnreadable, StoredTree
from mesh.store import sources
from mesh.wire import tree as trees
from mesh.wire.tree import Pack, Tree, TreeEntry, TreeRefused

INGEST_THREADS = 4
"""Files on their way at a time: enough to keep a disk busy while another hashes, few enough to keep memory small."""


class StoreScenes:
    """The `Scenes` of one blob store; any thread may call it."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        # Neighbours in a pack share a piece; which thread read it last does not matter.
        self._last: tuple[BlobId, int, bytes] | None = None

    def ingest_tree(
        self, files: Iterable[tuple[str, Path]], progress: Callable[[int], None] = lambda _: None
    ) -> StoredTree:
        """Store the files and their tree, several files at a time."""
        paths: dict[str, Path] = {}
        for name, path in files:
            if name in paths:
                raise TreeRefused(f"{name!a} is given twice")
            paths[name] = path
        for refused in trees.refusals(sorted(paths)):
            raise refused
        packs = trees.plan((name, sources.size_of(path)) for name, path in paths.items())
        stored: dict[Pack, list[TreeEntry]] = {}
        # What was here before is cache to the core until the job is planned: a long submission may find that it went.
        while lacking := [pack for pack in packs if pack not in stored or not self._keep(stored[pack][0].blob)]:
            for pack, entries in self._ingest(lacking, paths):
                if pack not in stored:
                    progress(sum(entry.size for entry in entries))
                stored[pack] = entries
        tree = trees.make([entry for entries in stored.values() for entry in entries])
        root = self._store.ingest(trees.encode(tree))
        return StoredTree(root=root, size=tree.size, blobs=(root, *tree.blobs()))

    def _ingest(self, packs: list[Pack], paths: dict[str, Path]) -> Iterator[tuple[Pack, list[TreeEntry]]]:
        with concurrent.futures.ThreadPoolExecutor(INGEST_THREADS, thread_name_prefix="ingest") as threads:
            running = {threads.submit(_store, self._store, pack, paths): pack for pack in packs}
            try:
                for done in concurrent.futures.as_completed(running):
                    yield running[done], done.result()
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def _keep(self, blob: BlobId) -> bool:
        """Use a blob, so that what was told to delete it leaves it; return whether it is here, wholly."""
        with suppress(BlobMissing):
            self._store.start(blob, self._store.manifest(blob))
        return self._store.complete(blob)

    def open_tree(self, root: BlobId) -> Tree:
        """Return the tree whose blob is `root`."""
        size = self._store.manifest(root).size
        if size > trees.TREE_MAX_BYTES:
            raise TreeRefused(f"a tree of {size} bytes where at most {trees.TREE_MAX_BYTES} are allowed")
        return trees.decode(self._store.read(root, 0, size))

    def read_entry(self, entry: TreeEntry) -> Iterator[bytes]:
        """Yield the file's bytes, each piece verified as it is read."""
        manifest = self._store.manifest(entry.blob)
        end = entry.offset + entry.size
        if end > manifest.size:
            raise TreeRefused(f"{entry.name!a} ends behind its blob")
        for number in manifest.numbers(entry.offset, entry.size):
            begin, size = manifest.extent(number)
            piece = self._read_piece(entry.blob, number)
            yield piece[max(0, entry.offset - begin) : min(size, end - begin)]

    def _read_piece(self, blob: BlobId, number: int) -> bytes:
        last = self._last
        if last is None or last[:2] != (blob, number):
            last = self._last = blob, number, self._store.read_piece(blob, number)
        return last[2]


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
