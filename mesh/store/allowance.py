"""How much a blob store may hold: its quota, and what the disk has for it.

A part of it is for the pages of seals alone: nothing else takes that, so that they find room when all else is full.

Invariants: what is taken is never more than the quota; whoever writes takes first, and gives back what it did not keep.
Any thread may call. The module must not know what is stored.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mesh.ground.store_limits import pages_room
from mesh.ports.storage import DiskFull
from mesh.store import posix


@dataclass(slots=True, kw_only=True)
class Taking:
    """What one writer has taken so far; given back at its end unless it was kept."""

    allowance: "Allowance"
    page: bool = False
    size: int = 0
    kept: bool = field(default=False)

    def take(self, size: int) -> None:
        """Take `size` bytes more; raise `DiskFull` where there are not so many."""
        self.allowance.take(size, page=self.page)
        self.size += size

    def keep(self) -> None:
        """Say that what was taken is stored now."""
        self.kept = True


class Allowance:
    """The bytes of one store."""

    def __init__(self, root: Path, *, quota_bytes: int, reserve_bytes: int, pages_bytes: int) -> None:
        """Count from nothing; `quota_bytes` 0 means no quota, `reserve_bytes` of the disk are left alone.

        A fiftieth of all, at most `pages_bytes`, is for pages alone.
        """
        self._root = root
        self.quota_bytes = quota_bytes
        self._reserve_bytes = reserve_bytes
        self._pages_bytes = pages_bytes
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Bytes that are stored, or being stored."""
        return self._taken

    def room(self, *, page: bool = False) -> int:
        """Return how many bytes more may be stored, of pages or of all else; negative where there are too many."""
        with posix.named_errors(self._root):
            free = posix.free_bytes(self._root) - self._reserve_bytes
        room = min(free, self.quota_bytes - self._taken) if self.quota_bytes else free
        return room if page else room - pages_room(self._taken + max(0, room), self._pages_bytes)

    def need(self, size: int, *, page: bool = False) -> None:
        """Raise `DiskFull` where `size` bytes could not be stored."""
        room = max(0, self.room(page=page))
        if size > room:
            quota = f" of the {self.quota_bytes} that `store_quota_gb` allows" if self.quota_bytes else ""
            raise DiskFull(f"{self._root}: {size} bytes are needed, and blobs may use {room} more{quota}")

    def take(self, size: int, *, page: bool = False) -> None:
        """Count `size` bytes more; raise `DiskFull` where there are not so many."""
        with self._lock:
            self.need(size, page=page)
            self._taken += size

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        with self._lock:
            self._taken -= size
            assert self._taken >= 0, self._taken

    def hold(self, size: int) -> None:
        """Count what was found here at the start, however much that is."""
        with self._lock:
            self._taken += size

    @contextmanager
    def taking(self, *, page: bool = False) -> Iterator[Taking]:
        """Yield what takes, and give back at the end what was not kept."""
        taking = Taking(allowance=self, page=page)
        try:
            yield taking
        finally:
            if not taking.kept:
                self.give_back(taking.size)
