"""The shelf: pointers of others that this peer keeps, because it is near their keys.

Theory: it is `kademlia`'s storage interface, by key; under a key each author has a place of its own, which holds the
pointer of its highest sequence, so that nobody overwrites another's word, and no old word a newer one. A pointer dies
when it expires, and at the latest a pointer's whole life after it came, whatever calendar it believes in. Nothing is
ever handed on: its author publishes again.

Invariants: at most `MAX_POINTERS` pointers. When the shelf is full the one whose key is farthest from this peer goes.
What is put here was checked by `pointer_problem`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kademlia.storage import IStorage

from mesh.ground.dht_limits import (
    MAX_POINTERS,
    POINTER_CLOCKS_MS,
    POINTER_MS,
    SHELF_SWEEP_MS,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS, Instant, Now, WallTime
from mesh.wire.envelope import Signed
from mesh.wire.lookups import Pointer, dht_id

_LIFE_MS = POINTER_MS + POINTER_CLOCKS_MS


def pointer_problem(pointer: Signed[Pointer], key: bytes, wall: WallTime) -> str:
    """Return why a pointer, whose signature was checked, does not belong under `key` now; empty: it does."""
    body = pointer.body
    if body.key != key or dht_id(pointer.author) != key:
        return "a pointer under another's key"
    if body.expires <= wall:
        return "a pointer that expired"
    if body.expires > wall + POINTER_MS + POINTER_CLOCKS_MS:
        return "a pointer from the future"
    return ""


def newer(one: Signed[Pointer] | None, other: Signed[Pointer]) -> Signed[Pointer]:
    """Return the one that is true; of two with one sequence the lower id, so that all choose the same."""
    if one is None or (one.body.sequence, other.id) < (other.body.sequence, one.id):
        return other
    return one


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One pointer and when it came."""

    pointer: Signed[Pointer]
    stored_at: Instant


class Shelf(IStorage):
    """Pointers by key and author."""

    def __init__(self, me: PeerId) -> None:
        self._at = int.from_bytes(dht_id(me), "big")
        self._kept: dict[bytes, dict[PeerId, Kept]] = {}
        self._many = 0
        self._now = self._swept_at = Instant(0)

    def __len__(self) -> int:
        return self._many

    def __setitem__(self, key: bytes, value: Signed[Pointer]) -> None:
        authors = self._kept.setdefault(key, {})
        before = authors.get(value.author)
        if before is not None and newer(before.pointer, value) is before.pointer:
            return
        self._many += before is None
        authors[value.author] = Kept(pointer=value, stored_at=self._now)
        while self._many > MAX_POINTERS:
            self._drop(max(self._kept, key=lambda other: int.from_bytes(other, "big") ^ self._at))

    def __getitem__(self, key: bytes) -> tuple[Signed[Pointer], ...]:
        return tuple(kept.pointer for kept in self._kept[key].values())

    def get(self, key: bytes, default: tuple[Signed[Pointer], ...] = ()) -> tuple[Signed[Pointer], ...]:
        """Return the pointers of all authors under `key`."""
        return self[key] if key in self._kept else default

    def iter_older_than(self, seconds_old: int) -> Iterator[tuple[bytes, tuple[Signed[Pointer], ...]]]:
        """Yield the keys with a pointer that came so long ago, and what is kept there."""
        for key, authors in self._kept.items():
            if any(self._now - kept.stored_at >= seconds_old * SECOND_MS for kept in authors.values()):
                yield key, self[key]

    def __iter__(self) -> Iterator[tuple[bytes, tuple[Signed[Pointer], ...]]]:
        return ((key, self[key]) for key in self._kept)

    def at(self, now: Now) -> None:
        """Let time pass: what expired, or came a pointer's whole life ago, is dropped."""
        self._now = now.instant
        if now.instant - self._swept_at < SHELF_SWEEP_MS:
            return
        self._swept_at = now.instant
        old = [key for key, _ in self.iter_older_than(_LIFE_MS // SECOND_MS)]
        expired = [key for key, kept in self if any(one.body.expires <= now.wall for one in kept)]
        for key in dict.fromkeys((*old, *expired)):
            authors = self._kept[key]
            live = {
                author: kept
                for author, kept in authors.items()
                if kept.pointer.body.expires > now.wall and now.instant - kept.stored_at < _LIFE_MS
            }
            self._drop(key)
            if live:
                self._kept[key] = live
                self._many += len(live)

    def _drop(self, key: bytes) -> None:
        self._many -= len(self._kept.pop(key))
