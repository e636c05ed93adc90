"""The items of the mesh set that this peer has, by their short ids, and hashes over any part of them.

Theory: two sets are compared by keys. All keys of a part (those that begin with the same bits) stand side by side in
one sorted list, so that a part's hash costs one walk over it and nothing has to be kept for the parts. The hash is one
of the whole list of keys: sums or exclusive ors of them could be made equal by whoever makes enough items.

Invariants: an item that takes another's key replaces it; the key is a function of what the item is about, so that two
peers with equal keys lack nothing of each other's that matters. It does not judge what it is given.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import TypeAlias

from blake3 import blake3

from mesh.ground.ids import JobId, PeerId
from mesh.wire.envelope import Signed
from mesh.wire.gossip import BRANCHES, SHORT_BYTES
from mesh.wire.members import Admission
from mesh.wire.messages import Head
from mesh.wire.records import Entry, Mark
from mesh.wire.revocations import Notice
from mesh.wire.versions import VERSION_HIGHEST, VERSION_LOWEST, needed

Item: TypeAlias = Head | Signed[Mark] | Signed[Entry] | Signed[Admission] | Notice
"""A job, a keeper's mark, a cancel, an admission by an invite, or a revocation."""

WHOLE = 1
"""The part that is the whole set: no bits after the highest one."""

EMPTY = bytes(SHORT_BYTES)
"""The digest of a part without items."""

_KEY_BITS = 8 * SHORT_BYTES
_BRANCH_BITS = 4
_MARK = "meshnode 1 key of a mark"
_CANCEL = "meshnode 1 key of a cancel"
_DIGEST = "meshnode 1 part of a mesh set"

assert BRANCHES == 1 << _BRANCH_BITS


def mark_key(job: JobId, keeper: PeerId) -> bytes:
    """Return the key of a keeper's mark of a job, whatever its date."""
    return blake3(job + keeper, derive_key_context=_MARK).digest(length=SHORT_BYTES)


def cancel_key(job: JobId) -> bytes:
    """Return the key of a job's cancel, whoever signed it."""
    return blake3(job, derive_key_context=_CANCEL).digest(length=SHORT_BYTES)


def key_of(item: Item) -> bytes:
    """Return what an item is compared by."""
    if isinstance(item, Signed):
        match item.body:
            case Mark() as mark:
                return mark_key(mark.job, item.author)
            case Entry() as entry:
                return cancel_key(entry.job)
            case Admission():
                pass
    return id_of(item)


def id_of(item: Item) -> bytes:
    """Return what an item is offered by: the beginning of its statement's id."""
    match item:
        case Head():
            return item.job.id[:SHORT_BYTES]
        case Notice():
            return item.revocation.id[:SHORT_BYTES]
        case _:
            return item.id[:SHORT_BYTES]


class Catalogue:
    """The present mesh set."""

    def __init__(self) -> None:
        self._items: dict[bytes, Item] = {}
        self._by_id: dict[bytes, Item] = {}
        self._keys: list[bytes] = []
        self._whole: bytes | None = None
        """The hashes of the whole set's parts, while they are true: most comparisons are of an unchanged set."""

        self._needs: dict[bytes, int] = {}
        """The jobs, by key, that need more than the lowest version of the wire, and which one."""
        self._read_by: dict[int, Catalogue] = {}
        """What of the set those have who speak an older version, as it is now."""

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._items.values()))

    def put(self, item: Item) -> None:
        """Take an item, in the place of the one that has its key."""
        key = key_of(item)
        self._read_by.clear()
        if isinstance(item, Head) and (needs := needed(item.job.body)) > VERSION_LOWEST:
            self._needs[key] = needs
        before = self._items.get(key)
        if before is None:
            insort(self._keys, key)
            self._whole = None
        else:
            self._by_id.pop(id_of(before), None)
        self._items[key] = item
        self._by_id[id_of(item)] = item

    def drop(self, key: bytes) -> None:
        """Forget an item, if it is here."""
        item = self._items.pop(key, None)
        if item is not None:
            self._read_by.clear()
            self._needs.pop(key, None)
            self._by_id.pop(id_of(item), None)
            del self._keys[bisect_left(self._keys, key)]
            self._whole = None

    def read_by(self, version: int) -> "Catalogue":
        """Return the part of the set that peers of a version have: nothing about a job that needs a later one."""
        if version >= VERSION_HIGHEST or not self._needs:
            return self
        known = self._read_by.get(version)
        if known is None:
            known = Catalogue()
            for item in self._items.values():
                if self._needs.get(_about(item), VERSION_LOWEST) <= version:
                    known.put(item)
            self._read_by[version] = known
        return known

    def find(self, short: bytes) -> Item | None:
        """Return the item that has this key or short id."""
        return self._by_id.get(short) or self._items.get(short)

    def under(self, part: int) -> list[bytes]:
        """Return the keys in a part, in their order."""
        first, last = self._range(part)
        return self._keys[first:last]

    def count(self, part: int) -> int:
        """Return how many keys are in a part."""
        first, last = self._range(part)
        return last - first

    def digests(self, part: int) -> bytes:
        """Return the hashes of a part's sixteen parts, one after the other."""
        if part == WHOLE and self._whole is not None:
            return self._whole
        digests = b"".join(self._digest(child) for child in children(part))
        if part == WHOLE:
            self._whole = digests
        return digests

    def _digest(self, part: int) -> bytes:
        keys = self.under(part)
        if not keys:
            return EMPTY
        return blake3(b"".join(keys), derive_key_context=_DIGEST).digest(length=SHORT_BYTES)

    def _range(self, part: int) -> tuple[int, int]:
        """Return where a part begins in the list of all keys, and where it ends."""
        bits = part.bit_length() - 1
        assert 0 <= bits <= _KEY_BITS, part
        shift = _KEY_BITS - bits
        low = (part - (1 << bits)) << shift
        high = low + (1 << shift)
        first = bisect_left(self._keys, low.to_bytes(SHORT_BYTES, "big"))
        if high >> _KEY_BITS:
            return first, len(self._keys)
        return first, bisect_left(self._keys, high.to_bytes(SHORT_BYTES, "big"))


def _about(item: Item) -> bytes:
    """Return the key of the job that an item is, or is about; of none where it is about something else."""
    if isinstance(item, Signed):
        return item.body.job[:SHORT_BYTES] if isinstance(item.body, Mark | Entry) else b""
    return item.job.id[:SHORT_BYTES] if isinstance(item, Head) else b""


def children(part: int) -> range:
    """Return the sixteen parts of a part."""
    return range(part << _BRANCH_BITS, (part + 1) << _BRANCH_BITS)
