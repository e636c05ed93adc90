"""Blobs that say something: trees of scenes, and the pages of seals.

Theory: a page is too long for a message, so that it travels as a blob; here it becomes a value whose signatures were
all checked, or nothing. Reading one may take seconds, so everything runs in threads.

Invariants: whatever a blob holds, it gives a value or nothing. The module must not judge what a page says.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.core.effects import ReadPage, ReadTree, WritePage
from mesh.core.events import Event, PageRead, PageWritten, TreeRead
from mesh.ground.errors import MeshError, WireError
from mesh.ground.ids import BlobId
from mesh.node.hearing import Hearing
from mesh.ports.storage import BlobMissing, BlobStore, Scenes, StorageError
from mesh.ports.world import World
from mesh.wire.records import SealPage, decode_page, encode_page, page_bytes

WRITE_AGAIN_S: Final = 5.0
"""A page that did not fit the disk is tried again: a seal has time."""


def read_blob(store: BlobStore, blob: BlobId, limit: int) -> bytes:
    """Return a whole blob of at most `limit` bytes; raise `WireError` beyond, `BlobMissing` when it is not here."""
    if not store.complete(blob):
        raise BlobMissing(f"blob {blob.hex()} is not here")
    size = store.manifest(blob).size
    if size > limit:
        raise WireError(f"a blob of {size} bytes where at most {limit} are allowed")
    return store.read(blob, 0, size)


class Pages:
    """Performs the core's effects about trees and pages."""

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        world: World,
        store: BlobStore,
        scenes: Scenes,
        hearing: Hearing,
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._world = world
        self._store = store
        self._scenes = scenes
        self._hearing = hearing
        self._tell = tell

    def read_tree(self, effect: ReadTree) -> None:
        """Read which blobs a scene's root names."""
        self._nursery.start_soon(self._read_tree, effect)

    def write_page(self, effect: WritePage) -> None:
        """Store a seal's page."""
        self._nursery.start_soon(self._write_page, effect)

    def read_page(self, effect: ReadPage) -> None:
        """Read and check a seal's page."""
        self._nursery.start_soon(self._read_page, effect)

    async def _read_tree(self, effect: ReadTree) -> None:
        blobs: tuple[BlobId, ...] | None
        sizes: dict[BlobId, int] = {}
        try:
            sizes = await self._world.in_thread(lambda: self._scenes.open_tree(effect.root).sizes())
            blobs = tuple(sizes)
        except StorageError:
            blobs = None
        except WireError:
            blobs = ()
        await self._tell(TreeRead(op=effect.op, root=effect.root, blobs=blobs, sizes=tuple(sizes.values())))

    async def _write_page(self, effect: WritePage) -> None:
        while True:
            try:
                blob = await self._world.in_thread(lambda: self._store.ingest(encode_page(effect.page), page=True))
            except StorageError:
                await trio.sleep(WRITE_AGAIN_S)
                continue
            await self._tell(PageWritten(op=effect.op, blob=blob))
            return

    async def _read_page(self, effect: ReadPage) -> None:
        try:
            page = await self._world.in_thread(lambda: self._page(effect.blob, effect.tasks))
        except MeshError:
            page = None
        await self._tell(PageRead(op=effect.op, blob=effect.blob, page=page))

    def _page(self, blob: BlobId, tasks: int) -> SealPage:
        page = decode_page(read_blob(self._store, blob, page_bytes(tasks)), tasks)
        self._hearing.check(page)
        return page
