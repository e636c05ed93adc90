"""Transfers: manifests and pieces from other peers into the store.

Theory: the core decides who is asked for what and when; here a request becomes bytes on the disk, over connections that
are none of the channels. A source is asked at the address where its channel proves that it can be reached, then at
those that it names itself. Between the two it is asked to open the connection: it may be where nobody can dial it.

Invariants: every request is answered by one event. A piece that the core hears of was verified and stored. Pieces that
came before a source failed count. The module must not know which blobs belong together."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.core.effects import FetchManifest, FetchPieces
from mesh.core.events import BlobStarted, Event, FetchFailed, PiecesStored
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, PeerId
from mesh.ports.storage import BlobStore, DiskFull
from mesh.ports.transport import (
    DialRefused,
    DialTimedOut,
    DialUnreachable,
    HandshakeFailed,
    Lender,
    Pieces,
    Provider,
)
from mesh.ports.world import World
from mesh.wire.manifest import Manifest
from mesh.wire.messages import Address

FETCHING: Final = 16
"""Requests at a time, whatever the core asks: each may hold some pieces in memory."""

_ELSEWHERE = (DialRefused, DialTimedOut, DialUnreachable, HandshakeFailed)


class Transfers:
    """Performs the core's effects about pieces."""

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        world: World,
        store: BlobStore,
        pieces: Pieces,
        routes: Callable[[PeerId], tuple[Address, ...]],
        beckon: Callable[[PeerId], None],
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._world = world
        self._store = store
        self._pieces = pieces
        self._routes = routes
        self._beckon = beckon
        self._tell = tell
        self._places = trio.CapacityLimiter(FETCHING)
        self._worked: dict[PeerId, Provider] = {}
        """How each source was reached last."""

    def fetch_manifest(self, effect: FetchManifest) -> None:
        """Ask a source for a blob's manifest, and start the blob."""
        self._nursery.start_soon(self._answer, effect, self._manifest)

    def fetch_pieces(self, effect: FetchPieces) -> None:
        """Ask a source for pieces of a blob that was started."""
        self._nursery.start_soon(self._answer, effect, self._fetch)

    async def _answer(
        self,
        effect: FetchManifest | FetchPieces,
        work: Callable[..., Awaitable[BlobStarted | PiecesStored | None]],
    ) -> None:
        answer: Event | None = None
        full = False
        async with self._places:
            for provider in self._ways(effect.peer):
                try:
                    answer = await work(effect, provider)
                except _ELSEWHERE:
                    self._worked.pop(effect.peer, None)
                    continue
                except MeshError as error:
                    full = isinstance(error, DiskFull)
                else:
                    self._worked[effect.peer] = provider
                break
        await self._tell(answer or FetchFailed(op=effect.op, blob=effect.blob, full=full))

    def _ways(self, peer: PeerId) -> tuple[Provider, ...]:
        """Return how to ask `peer`, first how it answered last; nothing where it has no channel.

        Who cannot be dialled at its surest address lends sooner than another address would be found to be silent.
        """
        routes = self._routes(peer)
        if not routes:
            return ()
        lender = Lender(peer=peer, beckon=lambda: self._beckon(peer))
        last = self._worked.get(peer)
        if isinstance(last, Lender):
            return (lender, *routes)
        surest, *others = sorted(routes, key=lambda route: route != last)
        return (surest, lender, *others)

    async def _manifest(self, effect: FetchManifest, provider: Provider) -> BlobStarted | None:
        manifest = await self._pieces.fetch_manifest(provider, effect.blob)
        return await self._started(effect, manifest) if manifest is not None else None

    async def _started(self, effect: FetchManifest, manifest: Manifest) -> BlobStarted:
        have = await self._world.in_thread(
            lambda: self._store.start(effect.blob, manifest, page=_is_page(effect, manifest))
        )
        return BlobStarted(op=effect.op, blob=effect.blob, pieces=have.count, have=tuple(have))

    async def _fetch(self, effect: FetchPieces, provider: Provider) -> PiecesStored | None:
        manifest = await self._world.in_thread(lambda: self._store.manifest(effect.blob))
        sink = _Sink(self._store, effect.blob, page=_is_page(effect, manifest))
        try:
            await self._pieces.fetch_pieces(provider, effect.blob, manifest, effect.numbers, sink)
        except MeshError:
            if not sink.stored:
                raise
        if not sink.stored:
            return None
        complete = await self._world.in_thread(lambda: self._store.complete(effect.blob))
        return PiecesStored(op=effect.op, blob=effect.blob, numbers=tuple(sorted(sink.stored)), complete=complete)


class _Sink:
    """Stores the pieces of one request; called in a thread."""

    def __init__(self, store: BlobStore, blob: BlobId, *, page: bool) -> None:
        self._store = store
        self._blob = blob
        self._page = page
        self.stored: list[int] = []

    def __call__(self, number: int, piece: bytes) -> None:
        self._store.write_piece(self._blob, number, piece, page=self._page)
        self.stored.append(number)


def _is_page(effect: FetchManifest | FetchPieces, manifest: Manifest) -> bool:
    """Whether a blob may take the room that is kept for pages: it is wanted as one, and no longer than one can be."""
    return manifest.size <= effect.page_bytes
