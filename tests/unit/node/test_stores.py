"""The store as the core needs it: measured, listed, rid of what was named, and read for rot."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from mesh.core.effects import Evict, TakeStock
from mesh.core.events import Event
from mesh.core.stock import Evicted, StockTaken, StoreMeasured
from mesh.ground.ids import BlobId
from mesh.ground.store_limits import SCRUB_BYTES_PER_SECOND, SCRUB_ROUND_MS, STORE_LOOK_MS
from mesh.node.scrub import LOOK_AGAIN_S, Scrub
from mesh.node.stores import AGAIN_S, Stores
from mesh.ports.storage import StorageError, Usage
from mesh.store.scenes import StoreScenes
from mesh.wire import tree as trees
from mesh.wire.manifest import MIB
from sim.fakes import MemoryBlobStore, Shelves
from tests.support.worlds import VirtualWorld, virtual


class Sulking(MemoryBlobStore):
    """A store on a disk that answers some questions with an error first."""

    refusals = 0

    def usage(self) -> Usage:
        if self.refusals:
            self.refusals -= 1
            raise StorageError("the disk sulks")
        return super().usage()


class Bench:
    """A store and what the core hears of it."""

    def __init__(self) -> None:
        self.shelves = Shelves()
        self.store = Sulking(self.shelves)
        self.heard: list[Event] = []

    async def tell(self, event: Event) -> None:
        await trio.lowlevel.checkpoint()
        self.heard.append(event)

    @asynccontextmanager
    async def stores(self) -> AsyncIterator[Stores]:
        async with trio.open_nursery() as nursery:
            scenes = StoreScenes(self.store)
            yield Stores(nursery=nursery, world=VirtualWorld(), store=self.store, scenes=scenes, tell=self.tell)

    async def listed(self, *roots: BlobId) -> StockTaken:
        async with self.stores() as stores:
            stores.take_stock(TakeStock(op=1, roots=roots))
        told = self.heard.pop()
        assert isinstance(told, StockTaken)
        return told


@virtual
async def test_the_core_hears_every_few_seconds_how_full_the_store_is() -> None:
    bench = Bench()
    bench.shelves.quota_bytes = 10
    bench.store.ingest(b"1234")
    bench.store.refusals = 1
    with trio.move_on_after(2.5 * STORE_LOOK_MS / 1000):
        async with bench.stores() as stores:
            await stores.run()
    assert bench.heard == [StoreMeasured(stored=4, free=6)] * 2


@virtual
async def test_a_listing_names_every_blob_and_what_readable_roots_consist_of() -> None:
    bench = Bench()
    part = bench.store.ingest(b"part")
    entry = trees.TreeEntry(name="a", blob=part, offset=0, size=4)
    root = bench.store.ingest(trees.encode(trees.make([entry])))
    no_tree = bench.store.ingest(b"no tree")
    bench.store.refusals = 1
    began_s = trio.current_time()
    told = await bench.listed(root, no_tree, BlobId(bytes(32)))
    assert trio.current_time() - began_s >= AGAIN_S, "a disk that refuses is asked again"
    assert told.trees == ((root, (part,)), (no_tree, ()))
    assert {each.blob: (each.size, each.whole) for each in told.blobs}[part] == (4, True)


@virtual
async def test_what_was_used_since_the_listing_stays() -> None:
    bench = Bench()
    one, two, three = (bench.store.ingest(text) for text in (b"one", b"two", b"three"))
    told = await bench.listed()
    bench.store.read_piece(two, 0)
    async with bench.stores() as stores:
        stores.evict(Evict(op=2, blobs=told.blobs))
    assert bench.heard == [Evicted(op=2, gone=(one, three))]
    assert bench.store.complete(two)
    assert not bench.store.complete(one)


@virtual
async def test_the_scrub_finds_rot_at_a_bounded_rate_and_goes_on_where_it_was() -> None:
    bench, world = Bench(), VirtualWorld()
    bench.shelves.uses = world.now().wall  # what the fake takes for the time
    found: list[BlobId] = []
    bench.store.watch(found.append)
    before = bench.store.ingest(b"checked before")
    bench.store.checked(before)
    blob = bench.store.ingest(b"".join(bytes([number]) * MIB for number in range(8)))
    for rotten, offset in ((before, 0), (blob, 2 * MIB), (blob, 7 * MIB)):
        bench.shelves.rot(rotten, offset)
    for passed_mib, so_far in ((1.5, 0), (4, 1), (20, 2)):
        with trio.move_on_after(passed_mib * MIB / SCRUB_BYTES_PER_SECOND):
            await Scrub(world=world, store=bench.store, first_s=0).run()
        assert found == [blob] * so_far, "what was checked a moment ago is left alone, rotten or not"
    assert all(info.checked_ms for info in bench.store.blobs())
    bench.shelves.uses = world.now().wall
    world.sleep_ms(SCRUB_ROUND_MS)
    with trio.move_on_after(LOOK_AGAIN_S):
        await Scrub(world=world, store=bench.store, first_s=0).run()
    assert found == [blob, blob, before]
