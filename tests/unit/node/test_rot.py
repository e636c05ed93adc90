"""What a reader in any thread finds rotten reaches the core."""

import threading

import pytest
import trio
import trio.testing

from mesh.core.events import BlobDamaged, Event
from mesh.node.rot import Rot
from mesh.ports.storage import StoreCorrupt
from sim.fakes import MemoryBlobStore, Shelves


def test_a_rotten_piece_is_told_whoever_reads_it() -> None:
    async def main() -> None:
        heard: list[Event] = []

        async def tell(event: Event) -> None:
            await trio.lowlevel.checkpoint()
            heard.append(event)

        def read() -> None:
            assert threading.current_thread() is not threading.main_thread()
            store.read_piece(blobs[1], 0)

        shelves = Shelves()
        store = MemoryBlobStore(shelves)
        blobs = [store.ingest(bytes([number]) * 100) for number in range(3)]
        rot = Rot(tell)
        store.watch(rot.found)
        for blob in blobs[:2]:
            shelves.rot(blob, 7)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rot.run)
            with pytest.raises(StoreCorrupt):
                store.read(blobs[0], 0, 100)
            with pytest.raises(StoreCorrupt):
                await trio.to_thread.run_sync(read)
            store.read_piece(blobs[2], 0)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert heard == [BlobDamaged(blob=blob) for blob in blobs[:2]]
        rot.found(blobs[2])

    trio.run(main)
