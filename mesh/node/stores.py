"""The store as the core needs it: how full it is, what it holds, and that something goes.

Theory: the core says what is bound and what goes first; here the store is measured, listed and rid of what was named.
All of it runs in threads, one thing at a time, since a listing names every blob.

Invariants: every `TakeStock` and every `Evict` is answered by one event, however long the disk refuses; a blob that was
used since it was listed stays. The module must not know what a job is, nor why something goes.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.core.effects import Evict, TakeStock
from mesh.core.events import Event
from mesh.core.stock import Evicted, StockTaken, Stored, StoreMeasured
from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId
from mesh.ground.instants import WallTime
from mesh.ground.store_limits import STORE_LOOK_MS
from mesh.ports.storage import BlobStore, Scenes, StorageError
from mesh.ports.world import World

AGAIN_S: Final = 5.0
"""A disk that could not be read is asked again."""


class Stores:
    """Performs the core's effects about what the store holds."""

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        world: World,
        store: BlobStore,
        scenes: Scenes,
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._world = world
        self._store = store
        self._scenes = scenes
        self._tell = tell
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Tell the core how full the store is, for ever."""
        while True:
            try:
                usage = await self._world.in_thread(self._store.usage)
            except StorageError:
                pass  # told again soon
            else:
                await self._tell(StoreMeasured(stored=usage.stored, free=usage.free))
            await trio.sleep(STORE_LOOK_MS / 1000)

    def take_stock(self, effect: TakeStock) -> None:
        """List what is here."""
        self._nursery.start_soon(self._answer, lambda: self._listed(effect))

    def evict(self, effect: Evict) -> None:
        """Delete what was named."""
        self._nursery.start_soon(self._answer, lambda: self._evicted(effect))

    async def _answer(self, work: Callable[[], Event]) -> None:
        async with self._one_at_a_time:
            event: Event | None = None
            while event is None:
                try:
                    event = await self._world.in_thread(work)
                except StorageError:
                    await trio.sleep(AGAIN_S)
        await self._tell(event)

    def _listed(self, effect: TakeStock) -> StockTaken:
        blobs = tuple(
            Stored(
                blob=info.blob,
                size=info.stored,
                last_used=WallTime(info.last_used_ms),
                whole=self._store.complete(info.blob),
            )
            for info in self._store.blobs()
        )
        trees = tuple((root, named) for root in effect.roots if (named := self._named_by(root)) is not None)
        usage = self._store.usage()
        return StockTaken(op=effect.op, stored=usage.stored, free=usage.free, blobs=blobs, trees=trees)

    def _named_by(self, root: BlobId) -> tuple[BlobId, ...] | None:
        try:
            return self._scenes.open_tree(root).blobs()
        except StorageError:
            return None
        except WireError:
            return ()

    def _evicted(self, effect: Evict) -> Evicted:
        gone: list[BlobId] = []
        for stored in effect.blobs:
            try:
                if self._store.delete(stored.blob, stored.last_used):
                    gone.append(stored.blob)
            except StorageError:
                continue  # it is listed again, and may go then
        return Evicted(op=effect.op, gone=tuple(gone))
