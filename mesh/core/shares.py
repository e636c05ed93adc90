"""Who has how many places in a bounded set, fairly: the most that each author has, and the most of all together.

Theory: of each author's entries, in their order, only the first `each` stay; of what is left the author with the most
loses its last one until all fit (of two with as many, the one with the higher id). This equals taking the first
`total` entries in the order of (place within its author's, author). Adding an entry moves others of its author only
towards the end, so what was dropped never comes back by adding, and which entries stay does not depend on the order
in which they came: two peers that heard of the same entries keep the same ones.
"""

from bisect import bisect_left, insort
from typing import Generic, Protocol, Self, TypeVar

from mesh.ground.ids import PeerId


class Ordered(Protocol):
    """What has an order, such as a tuple."""

    def __lt__(self, other: Self, /) -> bool: ...


P = TypeVar("P", bound=Ordered)


class Shares(Generic[P]):
    """The entries that have a place: each a value that orders it among its author's, lowest first."""

    def __init__(self, *, each: int, total: int) -> None:
        assert each > 0
        assert total > 0
        self._each = each
        self._total = total
        self._of: dict[PeerId, list[P]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, author: PeerId) -> list[P]:
        """Return an author's entries in their order."""
        return list(self._of.get(author, []))

    def add(self, author: PeerId, entry: P) -> P | None:
        """Give an entry a place; return the one that has none for it, perhaps itself."""
        entries = self._of.setdefault(author, [])
        insort(entries, entry)
        self._count += 1
        if len(entries) > self._each:
            return self._drop_last(author)
        if self._count > self._total:
            return self._drop_last(max(self._of, key=lambda one: (len(self._of[one]), one)))
        return None

    def discard(self, author: PeerId, entry: P) -> None:
        """Free the place of an entry, if it has one."""
        entries = self._of.get(author, [])
        at = bisect_left(entries, entry)
        if at < len(entries) and entries[at] == entry:
            del entries[at]
            self._count -= 1
            if not entries:
                del self._of[author]

    def _drop_last(self, author: PeerId) -> P:
        entries = self._of[author]
        dropped = entries.pop()
        self._count -= 1
        if not entries:
            del self._of[author]
        return dropped
