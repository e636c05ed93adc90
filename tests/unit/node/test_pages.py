"""Trees that are none, and trees that the disk does not give: the core is told which."""

import trio
import trio.lowlevel

from mesh.core.effects import ReadTree, WritePage
from mesh.core.events import Event, PageWritten, TreeRead
from mesh.ground.ids import BlobId, JobId
from mesh.node.hearing import Hearing
from mesh.node.pages import WRITE_AGAIN_S, Pages
from mesh.store.scenes import StoreScenes
from mesh.wire import tree
from mesh.wire.records import SealedTask, SealPage
from mesh.wire.signing import Ed25519Verifier
from sim.fakes import MemoryBlobStore, Shelves
from tests.support.worlds import VirtualWorld, virtual


@virtual
async def test_a_tree_its_absence_and_a_disk_without_it_are_told_apart() -> None:
    heard: list[Event] = []

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)

    world, store = VirtualWorld(), MemoryBlobStore(Shelves())
    part = store.ingest(b"a scene")
    whole = store.ingest(tree.encode(tree.make([tree.TreeEntry(name="a.blend", blob=part, offset=0, size=7)])))
    noise = store.ingest(b"noise")
    async with trio.open_nursery() as nursery:
        pages = Pages(
            nursery=nursery,
            world=world,
            store=store,
            scenes=StoreScenes(store),
            hearing=Hearing(Ed25519Verifier(), world),
            tell=tell,
        )
        for op, root in enumerate((whole, noise, BlobId(bytes(32)))):
            pages.read_tree(ReadTree(op=op, root=root))
    read = {event.op: event.blobs for event in heard if isinstance(event, TreeRead)}
    assert read == {0: (part,), 1: (), 2: None}


@virtual
async def test_a_page_is_written_though_the_store_is_full() -> None:
    heard: list[Event] = []

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)

    world, store = VirtualWorld(), MemoryBlobStore(Shelves(quota_bytes=50_000))
    store.ingest(bytes(49_000))
    page = SealPage(job=JobId(bytes(32)), tasks=(SealedTask(result=None, holds=()),), chains=())
    with trio.move_on_after(2 * WRITE_AGAIN_S):
        async with trio.open_nursery() as nursery:
            pages = Pages(
                nursery=nursery,
                world=world,
                store=store,
                scenes=StoreScenes(store),
                hearing=Hearing(Ed25519Verifier(), world),
                tell=tell,
            )
            pages.write_page(WritePage(op=1, page=page))
    (written,) = heard
    assert isinstance(written, PageWritten)
    assert store.complete(written.blob)
