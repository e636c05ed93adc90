"""Trees: the files of a scene as names, sizes and places in blobs.

A tree is itself stored as a blob, whose id is the scene's root. Small files share pack blobs, so that ten thousand
icons are not ten thousand requests; `plan` says which file goes where, the same way on every host.

Names are data, never paths: relative, parted by `/`, the same text on every system. A name that leaves the root, or
that some system cannot hold, is refused by name, so that a scene that one peer can check out can be checked out by all.
Two names that some file system takes for one are refused together, as is a file that would also be a directory.

Invariants: the entries of a `Tree` are sorted by name and every name passed `name_problem`. The module must not know
any real file: what is in the blobs, and where a checkout lies, is the business of others.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, BlobId
from mesh.wire import cbor
from mesh.wire.manifest import BLOB_MAX_BYTES

SMALL_FILE_BYTES = 64 * 1024
"""Files below this are packed: a request of their own would cost more than their bytes."""

PACK_MAX_BYTES = 8 * 1024 * 1024
"""A change of one small file makes at most this much travel again."""

ENTRIES_MAX = 100_000
"""Files of one scene; long image sequences are the only scenes that come near."""

TREE_MAX_BYTES = 16 * 1024 * 1024
"""Encoded size of the largest tree, 160 bytes for each of the most entries."""

PART_MAX_BYTES = 255
"""One part of a name in UTF-8: the bound of ext4, and more than the 255 UTF-16 units of NTFS and APFS."""

NAME_MAX_BYTES = 512
"""A whole name in UTF-8: half of the 1,024 bytes that macOS allows a path, the rest being the checkout's directory."""

_ITEMS_PER_ENTRY = 5
"""An entry's list and its four fields, as the bound on what is built from bytes counts them."""

_REFUSED_ANYWHERE = frozenset('\\:<>"|?*')
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"]
)


class TreeRefused(WireError):
    """The scene's list of files is not one that every peer can hold. Give the scene fewer files, or shorter names."""


class NameRefused(TreeRefused):
    """A file of the scene has a name that some system cannot hold, so not every peer can render it. Rename the file."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name!a} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One file: `size` bytes of `blob` from `offset` on."""

    name: str
    blob: BlobId
    offset: int
    size: int

    def __post_init__(self) -> None:
        if len(self.blob) != ID_SIZE:
            raise TreeRefused("a blob's id does not have 32 bytes")
        if self.offset < 0 or self.size < 0 or self.offset + self.size > BLOB_MAX_BYTES:
            raise TreeRefused(f"{self.name!a} lies outside of any blob")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The files of one scene, sorted by name; checked when made, so that a tree that exists can be checked out."""

    entries: tuple[TreeEntry, ...]

    def __post_init__(self) -> None:
        if len(self.entries) > ENTRIES_MAX:
            raise TreeRefused(f"{len(self.entries)} files where at most {ENTRIES_MAX} are allowed")
        names = [entry.name for entry in self.entries]
        for refused in refusals(names):
            raise refused
        if any(after <= before for before, after in pairwise(names)):
            raise TreeRefused("the files are not sorted by name")

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def blobs(self) -> tuple[BlobId, ...]:
        """Return every blob that the files lie in, once, in the order in which they are first needed."""
        return tuple(self.sizes())

    def sizes(self) -> dict[BlobId, int]:
        """Return the same with the size in bytes that each blob has at least."""
        sizes: dict[BlobId, int] = {}
        for entry in self.entries:
            sizes[entry.blob] = max(sizes.get(entry.blob, 0), entry.offset + entry.size)
        return sizes


def make(entries: Iterable[TreeEntry]) -> Tree:
    """Return the tree of `entries`, given in any order; raise `NameRefused` or `TreeRefused` when there can be none."""
    return Tree(entries=tuple(sorted(entries, key=lambda entry: entry.name)))


def encode(tree: Tree) -> bytes:
    """Return the canonical bytes of `tree`; raise `TreeRefused` beyond `TREE_MAX_BYTES`."""
    data = cbor.encode([[entry.name, entry.blob, entry.offset, entry.size] for entry in tree.entries])
    if len(data) > TREE_MAX_BYTES:
        raise TreeRefused(f"a tree of {len(data)} bytes where at most {TREE_MAX_BYTES} are allowed")
    return data


def decode(data: bytes) -> Tree:
    """Return the tree that `data` encodes, or raise `WireError`."""
    items = cbor.decode(data, TREE_MAX_BYTES, items=_ITEMS_PER_ENTRY * ENTRIES_MAX)
    if not isinstance(items, list):
        raise WireError("a tree is a list of entries")
    return Tree(entries=tuple(_entry(item) for item in items))


def _entry(item: cbor.Value) -> TreeEntry:
    match item:
        case [_, _, bool(), _] | [_, _, _, bool()]:
            pass  # to Python a truth is a number, too
        case [str(name), bytes(blob), int(offset), int(size)]:
            return TreeEntry(name=name, blob=BlobId(blob), offset=offset, size=size)
        case _:
            pass
    raise WireError("an entry of a tree is a list of name, blob, offset and size")


def name_problem(name: str) -> str | None:
    """Return why `name` cannot be the name of a file in a tree, as the end of a sentence, or nothing if it can."""
    if not name:
        return "is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > NAME_MAX_BYTES:
        return f"has {size} bytes where at most {NAME_MAX_BYTES} are allowed"
    if not unicodedata.is_normalized("NFC", name):
        return "is not in Unicode's composed form (NFC)"
    if name.startswith("/"):
        return "is absolute"
    return next(filter(None, map(_part_problem, name.split("/"))), None)


def _part_problem(part: str) -> str | None:
    if part == "":
        return "has an empty part"
    if part in (".", ".."):
        return f"has the part `{part}`, which is a direction and no name"
    if len(part.encode()) > PART_MAX_BYTES:
        return f"has a part of more than {PART_MAX_BYTES} bytes"
    for character in part:
        if character in _REFUSED_ANYWHERE or unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            return f"contains {character!a}"
    if part[-1] in ". ":
        return "has a part that ends in a dot or a space"
    # Windows looks at what stands before the first dot, and forgives spaces after it.
    if part.split(".", 1)[0].rstrip(" ").casefold() in _DEVICES:
        return "has a part that is a device on Windows"
    return None


def refusals(names: Iterable[str]) -> list[NameRefused]:
    """Return every reason why files of these names cannot be in one tree, in the order of `names`."""
    found: list[NameRefused] = []
    files: dict[str, str] = {}
    directories: dict[str, str] = {}
    for name in names:
        if problem := name_problem(name):
            found.append(NameRefused(name, problem))
            continue
        folded = _folded(name)
        if folded in files:
            found.append(NameRefused(name, f"and {files[folded]!a} are one file where case does not count"))
        elif folded in directories:
            found.append(NameRefused(name, f"would be a directory too, for {directories[folded]!a}"))
        parents = _parents(folded)
        if clash := next((parent for parent in parents if parent in files), None):
            found.append(NameRefused(name, f"lies in {files[clash]!a}, which is a file"))
        files.setdefault(folded, name)
        for parent in parents:
            directories.setdefault(parent, name)
    return found


def _folded(name: str) -> str:
    """Return what a file system that ignores case and form compares (Unicode's canonical caseless match)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file's place in a pack, in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Files that become one blob: their bytes one after the other. A file that is not small is a pack of its own."""

    members: tuple[Member, ...]

    @property
    def size(self) -> int:
        """Bytes of the blob."""
        return sum(member.size for member in self.members)


def plan(sizes: Iterable[tuple[str, int]]) -> list[Pack]:
    """Share files, given as (name, size in bytes) with no name twice, among packs; any order gives the same packs.

    Neighbours by name go together, since they are often changed and asked for together.
    """
    packs: list[Pack] = []
    open_pack: list[Member] = []
    filled = 0
    for name, size in sorted(sizes):
        if size >= SMALL_FILE_BYTES:
            packs.append(Pack(members=(Member(name=name, offset=0, size=size),)))
            continue
        if filled + size > PACK_MAX_BYTES:
            packs.append(Pack(members=tuple(open_pack)))
            open_pack, filled = [], 0
        open_pack.append(Member(name=name, offset=filled, size=size))
        filled += size
    if open_pack:
        packs.append(Pack(members=tuple(open_pack)))
    return packs
