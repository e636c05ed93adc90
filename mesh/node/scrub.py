"""The scrub: every stored blob is read now and then, so that rot is found while others still have what rotted.

Theory: a disk changes bits in silence, and nobody reads most of what is held before it is needed. So whatever was not
checked for longest is read, slowly, piece by piece; the store puts aside what is not as it was written and says so as
to anybody who reads, from where the core hears of it. When each blob was checked the store remembers, so that a restart
goes on where it was.

Invariants: no more than `SCRUB_BYTES_PER_SECOND` are read in the long run; what was checked within `SCRUB_ROUND_MS` is
left alone. The module must not know what a blob is for.
"""

from functools import partial
from typing import Final

import trio

from mesh.ground.ids import BlobId
from mesh.ground.store_limits import SCRUB_BYTES_PER_SECOND, SCRUB_ROUND_MS
from mesh.ports.storage import BlobMissing, BlobStore, StorageError
from mesh.ports.world import World

LOOK_AGAIN_S: Final = 60.0
"""With nothing to check it is looked again after that."""

FIRST_S: Final = 30.0
"""A peer that has just started has better things to do with its disk."""

AT_ONCE: Final = 256
"""Blobs that one listing of the store serves for."""


class Scrub:
    """Reads what is stored."""

    def __init__(self, *, world: World, store: BlobStore, first_s: float = FIRST_S) -> None:
        self._world = world
        self._store = store
        self._first_s = first_s

    async def run(self) -> None:
        """Check what is due, for ever."""
        await trio.sleep(self._first_s)
        while True:
            try:
                due = await self._world.in_thread(self._due)
                for blob in due:
                    await self._check(blob)
            except StorageError:
                due = ()  # a disk in trouble is left alone for a while
            if not due:
                await trio.sleep(LOOK_AGAIN_S)

    def _due(self) -> tuple[BlobId, ...]:
        """Return the next blobs to check, those first that were not checked for longest."""
        now_ms = self._world.now().wall
        infos = (info for info in self._store.blobs() if info.stored)
        # A clock that was set back must not leave anything unchecked.
        due = [info for info in infos if not 0 <= now_ms - info.checked_ms < SCRUB_ROUND_MS]
        due.sort(key=lambda info: (info.checked_ms, info.blob))
        return tuple(info.blob for info in due[:AT_ONCE])

    async def _check(self, blob: BlobId) -> None:
        have = await self._world.in_thread(lambda: self._store.have(blob))
        if have is None:
            return
        for number in have:
            try:
                size = await self._world.in_thread(partial(self._read, blob, number))
            except BlobMissing:
                continue  # it went, or rotted, since
            await trio.sleep(size / SCRUB_BYTES_PER_SECOND)
        await self._world.in_thread(lambda: self._store.checked(blob))

    def _read(self, blob: BlobId, number: int) -> int:
        """Check one piece; return its size in bytes."""
        size = self._store.manifest(blob).extent(number)[1]
        self._store.check_piece(blob, number)
        return size
