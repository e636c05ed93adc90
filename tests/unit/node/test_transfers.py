"""What comes from others is stored as what it is: pages of seals find room where nothing else does."""

from collections.abc import Sequence

import pytest
import trio
import trio.lowlevel

from mesh.core.effects import FetchManifest, FetchPieces
from mesh.core.events import BlobStarted, Event, FetchFailed, PiecesStored
from mesh.ground.ids import BlobId, PeerId
from mesh.node.transfers import Transfers
from mesh.ports.transport import PieceSink, Provider
from mesh.wire.manifest import Manifest, blob_id, manifest_of
from mesh.wire.messages import Address
from sim.fakes import MemoryBlobStore, Shelves
from tests.support.worlds import VirtualWorld, virtual

QUOTA = 50_000
"""A fiftieth of it is kept for pages."""

PAGE = b"p" * 900
SOURCE = PeerId(b"s" * 32)


class OneSource:
    """The port's `Pieces`, with one page in it."""

    async def fetch_manifest(self, provider: Provider, blob: BlobId) -> Manifest | None:
        del provider, blob
        await trio.lowlevel.checkpoint()
        return manifest_of(PAGE)

    async def fetch_pieces(
        self, provider: Provider, blob: BlobId, manifest: Manifest, numbers: Sequence[int], sink: PieceSink
    ) -> tuple[int, ...]:
        del provider, blob, manifest
        await trio.lowlevel.checkpoint()
        for number in numbers:
            sink(number, PAGE)
        return ()


async def fetched(store: MemoryBlobStore, *effects: FetchManifest | FetchPieces) -> list[Event]:
    heard: list[Event] = []

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)

    for effect in effects:
        async with trio.open_nursery() as nursery:
            transfers = Transfers(
                nursery=nursery,
                world=VirtualWorld(),
                store=store,
                pieces=OneSource(),
                routes=lambda _peer: (Address(host="192.0.2.1", port=7),),
                beckon=lambda _peer: None,
                tell=tell,
            )
            if isinstance(effect, FetchManifest):
                transfers.fetch_manifest(effect)
            else:
                transfers.fetch_pieces(effect)
    return heard


@pytest.mark.parametrize(("page_bytes", "comes"), [(0, False), (len(PAGE) - 1, False), (len(PAGE), True)])
@virtual
async def test_a_full_store_takes_what_is_wanted_as_a_page_and_no_longer_than_one(page_bytes: int, comes: bool) -> None:
    store, blob = MemoryBlobStore(Shelves(quota_bytes=QUOTA)), blob_id(manifest_of(PAGE))
    store.ingest(bytes(QUOTA - QUOTA // 50))
    started, stored = await fetched(
        store,
        FetchManifest(op=1, peer=SOURCE, blob=blob, page_bytes=page_bytes),
        FetchPieces(op=2, peer=SOURCE, blob=blob, numbers=(0,), page_bytes=page_bytes),
    )
    if comes:
        assert isinstance(started, BlobStarted)
        assert stored == PiecesStored(op=2, blob=blob, numbers=(0,), complete=True)
    else:
        assert started == FetchFailed(op=1, blob=blob, full=True)
        assert isinstance(stored, FetchFailed)
        assert not store.complete(blob)
