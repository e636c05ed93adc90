"""Transfers: manifests and pieces from other peers into the store.

Theory: the core decides who is asked for what and when; here a request becomes bytes on the disk, over connections that
are none of the channels. A source is asked at the address where its channel proves that it can be reached, then at
those that it names itself.

Invariants: every request is answered by one event. A piece that the core hears of was verified and stored. Pieces that
came before a source failed count. The module must not know which blobs belong together. """

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.core.effects import FetchManifest, FetchPieces
from mesh.core.events import BlobStarted, Event, FetchFailed, PiecesStored
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, PeerId
from mesh.ports.storage import BlobStore, DiskFull
from mesh.ports.transport import DialRefused, DialTimedOut, DialUnreachable, HandshakeFailed, Pieces
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
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._world = world
        self._store = store
        self._pieces = pieces
        self._routes = routes
        self._tell = tell
        self._places = trio.CapacityLimiter(FETCHING)
        self._worked: dict[PeerId, Address] = {}

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
            for address in self._ways(effect.peer):
                try:
                    answer = await work(effect, address)
                except _ELSEWHERE:
                    self._worked.pop(effect.peer, None)
                    continue
                except MeshError as error:
                    full = isinstance(error, DiskFull)
                else:
                    self._worked[effect.peer] = address
                break
        await self._tell(answer or FetchFailed(op=effect.op, blob=effect.blob, full=full))

    def _ways(self, peer: PeerId) -> tuple[Address, ...]:
        """Return where to ask `peer`, first where it answered last."""
        ways = self._routes(peer)
        last = self._worked.get(peer)
        return (last, *(way for way in ways if way != last)) if last in ways and last is not None else ways

    async def _manifest(self, effect: FetchManifest, address: Address) -> BlobStarted | None:
        manifest = await self._pieces.fetch_manifest(address, effect.blob)
        return await self._started(effect, manifest) if manifest is not None else None

    async def _started(self, effect: FetchManifest, manifest: Manifest) -> BlobStarted:
        have = await self._world.in_thread(lambda: self._store.start(effect.blob, manifest))
        return BlobStarted(op=effect.op, blob=effect.blob, pieces=have.count, have=tuple(have))

    async def _fetch(self, effect: FetchPieces, address: Address) -> PiecesStored | None:
        manifest = await self._world.in_thread(lambda: self._store.manifest(effect.blob))
        sink = _Sink(self._store, effect.blob)
        try:
            await self._pieces.fetch_pieces(address, effect.blob, manifest, effect.numbers, sink)
        except MeshError:
            if not sink.stored:
                raise
        if not sink.stored:
            return None
        complete = await self._world.in_thread(lambda: self._store.complete(effect.blob))
        return PiecesStored(op=effect.op, blob=effect.blob, numbers=tuple(sorted(sink.stored)), complete=complete)


class _Sink:
    """Stores the pieces of one request; called in a thread."""

    def __init__(self, store: BlobStore, blob: BlobId) -> None:
        self._store = store
        self._blob = blob
        self.stored: list[int] = []

    def __call__(self, number: int, piece: bytes) -> None:
        self._store.write_piece(self._blob, number, piece)
        self.stored.append(number)
