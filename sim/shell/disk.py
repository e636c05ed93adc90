"""A host's disk in tier B: the stores in memory that the shell's tests use, and what outlives a process.

A process has its own view of the disk, which takes nothing more from a process that is dead. What a call has returned
from is safe from a kill; a loss of power also takes pieces of blobs that were not whole yet. A fuse ends the process
within the journal's next `append`, before or after its fsync.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.ground.dice import Dice
from mesh.ground.ids import BlobId, RecordId
from mesh.ports.folders import FileInTheWay, FolderFull
from mesh.ports.storage import BlobStore, DiskFull, StorageError, StoredTree
from mesh.wire import kept as kp
from mesh.wire import tree as trees
from mesh.wire.envelope import statements
from mesh.wire.manifest import Manifest, PieceSet
from mesh.wire.tree import Pack, Tree, TreeEntry
from sim.fakes import MemoryBlobStore, MemoryJournal, Shelves

Write = Callable[[], None]


class Killed(StorageError):
    """The process that asked is dead: nobody hears of this."""


@dataclass(slots=True, kw_only=True, eq=False)
class Disk:
    """What is on it."""

    shelves: Shelves = field(default_factory=Shelves)
    journal: list[bytes] = field(default_factory=list)
    written: dict[RecordId, None] = field(default_factory=dict)
    """Every statement that is in the journal."""
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """In people's directories, by (directory, name)."""
    full: bool = False
    fuse: Callable[[Write], None] | None = None
    """Ends the process within the next write to the journal, which it is handed."""

    def lose_power(self, dice: Dice) -> None:
        """Lose what was not fsynced: some pieces of each blob that is not whole."""
        for kept in self.shelves.blobs.values():
            if len(kept.pieces) < len(kept.manifest.pieces):
                for number in tuple(kept.pieces):
                    if dice.below(2):
                        del kept.pieces[number]


class ShellStore(MemoryBlobStore):
    """The `BlobStore` of one process."""

    def __init__(self, disk: Disk, alive: Callable[[], None]) -> None:
        super().__init__(disk.shelves)
        self._disk = disk
        self._alive = alive

    def start(self, blob: BlobId, manifest: Manifest, *, page: bool = False) -> PieceSet:
        """Make room for a blob; see the port."""
        self._alive()
        return super().start(blob, manifest, page=page)

    def write_piece(self, blob: BlobId, number: int, piece: bytes, *, page: bool = False) -> bool:
        """Store one piece; see the port."""
        self._may_grow()
        return super().write_piece(blob, number, piece, page=page)

    def ingest(self, source: bytes | Path, *, page: bool = False) -> BlobId:
        """Store bytes or a file's; see the port."""
        self._may_grow()
        return super().ingest(source, page=page)

    def delete(self, blob: BlobId, last_used_ms: int | None = None) -> bool:
        """Forget a blob; see the port."""
        self._alive()
        return super().delete(blob, last_used_ms)

    def _may_grow(self) -> None:
        self._alive()
        if self._disk.full:
            raise DiskFull("no room is left")


class ShellJournal(MemoryJournal):
    """The `Journal` of one process."""

    def __init__(self, disk: Disk, alive: Callable[[], None]) -> None:
        super().__init__(disk.journal)
        self._disk = disk
        self._alive = alive

    def append(self, entries: Sequence[bytes]) -> None:
        """Add entries, all of them safe when this returns; a fuse may see to it that it never does."""
        self._alive()
        fuse, self._disk.fuse = self._disk.fuse, None
        if fuse is not None:
            fuse(lambda: self._write(entries))
            raise Killed("by a fuse")
        self._write(entries)

    def _write(self, entries: Sequence[bytes]) -> None:
        super().append(entries)
        for entry in entries:
            self._disk.written.update(dict.fromkeys(signed.id for signed in statements(kp.decode(entry))))


class ShellScenes:
    """The `Scenes` of one store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def ingest_tree(
        self, files: Iterable[tuple[str, Path]], progress: Callable[[int], None] = lambda _: None
    ) -> StoredTree:
        """Store files and the tree that lists them; see the port."""
        data = {name: path.read_bytes() for name, path in files}
        entries: list[TreeEntry] = []
        for pack in trees.plan((name, len(content)) for name, content in data.items()):
            entries += self._pack(pack, data)
            progress(pack.size)
        tree = trees.make(entries)
        root = self._store.ingest(trees.encode(tree))
        return StoredTree(root=root, size=tree.size, blobs=(root, *tree.blobs()))

    def _pack(self, pack: Pack, data: dict[str, bytes]) -> list[TreeEntry]:
        blob = self._store.ingest(b"".join(data[member.name] for member in pack.members))
        return [TreeEntry(name=one.name, blob=blob, offset=one.offset, size=one.size) for one in pack.members]

    def open_tree(self, root: BlobId) -> Tree:
        """Return the tree of a blob; see the port."""
        return trees.decode(self._store.read(root, 0, self._store.manifest(root).size))

    def read_entry(self, entry: TreeEntry) -> Iterator[bytes]:
        """Yield a file's bytes; see the port."""
        yield self._store.read(entry.blob, entry.offset, entry.size)


class ShellFolders:
    """The `Folders` of one process."""

    def __init__(self, disk: Disk, alive: Callable[[], None]) -> None:
        self._disk = disk
        self._alive = alive

    def existing(self, directory: str, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of the names are there; see the port."""
        return tuple(name for name in names if (directory, name) in self._disk.files)

    def usable(self, directory: str) -> str:
        """Find nothing wrong with any directory."""
        del directory
        return ""

    def write(self, directory: str, name: str, blocks: Iterable[bytes], *, overwrite: bool) -> bool:
        """Write a file whole, or not at all; see the port."""
        self._alive()
        data = b"".join(blocks)
        if self._disk.full:
            raise FolderFull(f"{directory}/{name}: no room is left")
        there = self._disk.files.get((directory, name))
        if there == data:
            return False
        if there is not None and not overwrite:
            raise FileInTheWay(f"{directory}/{name}")
        self._disk.files[directory, name] = data
        return True
