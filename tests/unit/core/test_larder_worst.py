"""The larder at its worst: what only one machine protects, scenes that never fit, disks that refuse, liars."""

from mesh.core.effects import Evict, Export, FetchManifest, Freed, ReadTree, Reply, TakeStock
from mesh.core.events import BlobStarted, EnginesProbed, TreeRead
from mesh.core.stock import FreeAsked, StockTaken, StoreMeasured
from mesh.ground.ids import JobId
from mesh.ground.store_limits import STOCK_MS
from mesh.wire.copies import Holds
from mesh.wire.kept import Kept, KeptEntries, KeptHead, KeptHold, KeptOrder
from mesh.wire.messages import Have, Head, KeepAsk, Seek
from tests.support.cast import Cast, blob, block, cut_into
from tests.support.rig import Rig, kept, of, sent
from tests.unit.core.test_larder import LIMIT, MB, NEW, OLD, PARTS, PICTURE, ROOT, Hungry, Pantry

SMALL, PART = blob("small"), blob("part")


def pantry_of(cast: Cast, head: Head, *said: Kept, here: tuple[bytes, ...]) -> Pantry:
    """Return the pantry of a peer that knows this job by its journal."""
    found = Pantry.__new__(Pantry)
    found.cast, found.ann, found.head = cast, cast.actor("ann"), head
    found.rig = Rig(cast, actor=cast.actor("me"), slots=0, kept=(KeptHead(head=head), *said), complete=here)
    found.rig.meet(found.ann)
    found.job = JobId(head.job.id)
    return found


def test_who_submitted_keeps_its_scene_until_three_others_hold_it(cast: Cast) -> None:
    head = cast.head(cast.actor("me"), scene=ROOT)
    pantry = pantry_of(cast, head, here=(ROOT, *PARTS, NEW))
    assert pantry.press(*pantry.stored(ROOT, *PARTS, NEW)) == (NEW,)
    pantry.answer()
    for name in ("bob", "cid", "dan"):
        other = cast.actor(name)
        pantry.rig.meet(other)
        pantry.rig.hear(other, Holds(holds=(cast.hold(other, head, ROOT),)))
    assert pantry.press(*pantry.stored(ROOT, *PARTS)) != ()


def test_an_own_bucket_stays_until_its_frame_is_safe(cast: Cast) -> None:
    head = cast.head(cast.actor("ann"), scene=ROOT, frames=1, cut=cut_into(2, 1))
    bucket = cast.result(cast.actor("me"), head, 0, picture=PICTURE, block=block(0, 0))
    pantry = pantry_of(cast, head, KeptEntries(entries=(bucket,)), here=(PICTURE, NEW))
    assert pantry.press(*pantry.stored(PICTURE, NEW)) == (NEW,)


def test_what_is_being_delivered_stays(cast: Cast) -> None:
    head = cast.head(cast.actor("me"), scene=ROOT, copies=1)
    order = KeptOrder(job=JobId(head.job.id), directory="/out", overwrite=False)
    pantry = pantry_of(cast, head, order, here=(PICTURE, NEW))
    bob = cast.actor("bob")
    pantry.rig.meet(bob)
    pantry.rig.take(head, cast.result(bob, head, 0, picture=PICTURE), by=bob)
    assert of(pantry.rig.effects, Export)
    assert pantry.press(*pantry.stored(PICTURE, NEW)) == (NEW,)


def test_an_author_keeps_its_output_until_it_is_safe_whoever_replaced_its_hold(cast: Cast) -> None:
    me, bob = cast.actor("me"), cast.actor("bob")
    head = cast.head(cast.actor("ann"), scene=ROOT, copies=3)
    mine = cast.hold(me, head, PICTURE)
    said = (KeptEntries(entries=(cast.result(me, head, 0, picture=PICTURE),)), KeptHold(hold=mine))
    pantry = pantry_of(cast, head, *said, here=(PICTURE,))
    pantry.rig.meet(bob)
    pantry.rig.hear(bob, Holds(holds=(cast.hold(bob, head, PICTURE, replaces=(mine.id,)),)))
    assert pantry.press(*pantry.stored(PICTURE)) == ()


def test_a_scene_of_which_a_part_went_is_whole_no_more(cast: Cast) -> None:
    pantry = Pantry(cast, here=(ROOT, *PARTS), slots=1)
    assert pantry.rig.peer.scenes.complete(pantry.job)
    pantry.rig.take(pantry.head, cast.cancel(pantry.ann, pantry.head), by=pantry.ann)
    assert pantry.press(*pantry.stored(*PARTS)) == PARTS
    assert not pantry.rig.peer.scenes.complete(pantry.job)


def test_no_hold_is_given_of_a_scene_of_which_a_part_went_while_others_came(cast: Cast) -> None:
    pantry = Pantry(cast, here=(ROOT, PARTS[0]), slots=1)
    rig = pantry.rig
    assert pantry.press(*pantry.stored(PARTS[0])) == (), "it is needed"
    rig.tell(EnginesProbed(engines=(), slots=0, cores=4, memory_mb=8_000))
    rig.wait(STOCK_MS, pantry.ann)
    assert pantry.press(*pantry.stored(PARTS[0])) == (PARTS[0],)
    pantry.answer()
    rig.clear()
    rig.wait(20_000, pantry.ann)
    rig.hear(pantry.ann, Have(blob=PARTS[1], pieces=0, bits=b""))
    for fetch in of(rig.effects, FetchManifest):
        if fetch.blob == PARTS[1]:
            rig.tell(BlobStarted(op=fetch.op, blob=fetch.blob, pieces=1, have=(0,)))
    rig.hear(pantry.ann, KeepAsk(job=pantry.job, fresh=True))
    assert ROOT not in [said.hold.body.blob for said in kept(rig.effects, KeptHold)]


def test_the_root_of_a_held_scene_is_fetched_again(cast: Cast) -> None:
    """Without it nobody knows what of the store is part of that scene, so nothing may go."""
    pantry = Pantry(cast, holds=[ROOT], here=(NEW, OLD))
    assert pantry.press(*pantry.stored(OLD, NEW, size=40 * MB), trees=False) == ()
    asked = [message for _, message in sent(pantry.rig.wait(30_000, pantry.ann), Seek)]
    assert any(ROOT in seek.blobs for seek in asked)


def test_a_scene_that_never_fits_keeps_no_other_from_its_room(cast: Cast) -> None:
    pantry = Hungry(cast, 2 * LIMIT)
    pantry.list(*pantry.stored(OLD, size=40 * MB), free=50 * MB)
    rig, small = pantry.rig, cast.head(pantry.ann, scene=SMALL, number=2)
    rig.clear()
    rig.learn(small, by=pantry.ann)
    rig.hear(pantry.ann, Have(blob=SMALL, pieces=0, bits=b""))
    (manifest,) = of(rig.effects, FetchManifest)
    rig.tell(BlobStarted(op=manifest.op, blob=SMALL, pieces=1, have=(0,)))
    (read,) = of(rig.effects, ReadTree)
    rig.clear()
    rig.tell(StoreMeasured(stored=50 * MB, free=50 * MB))
    rig.tell(TreeRead(op=read.op, root=SMALL, blobs=(PART,), sizes=(60 * MB,)))
    rig.wait(2_500, pantry.ann)
    went: list[bytes] = []
    for _ in range(100):
        rig.tell(StoreMeasured(stored=50 * MB, free=50 * MB))
        rig.wait(5_000, pantry.ann)
        for wanted in of(rig.effects, TakeStock):
            rig.clear()
            stock, trees = pantry.stored(OLD, size=40 * MB), ((ROOT, PARTS), (SMALL, (PART,)))
            rig.tell(StockTaken(op=wanted.op, stored=50 * MB, free=50 * MB, blobs=tuple(stock), trees=trees))
            went += [stored.blob for effect in of(rig.effects, Evict) for stored in effect.blobs]
    assert OLD in went


def test_a_disk_that_refuses_to_delete_is_not_asked_without_pause(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD,))
    pantry.rig.tell(FreeAsked(op=7, size=10 * MB))
    stock = pantry.stored(OLD)
    turns = 0
    while of(pantry.rig.effects, TakeStock) and turns < 20:
        turns += 1
        if pantry.list(*stock, free=60 * MB):
            pantry.answer(OLD)
    assert turns < 20
    assert of(pantry.rig.effects, Reply) == [Reply(op=7, reply=Freed(blobs=0, size=0))]


def test_who_asks_is_not_told_of_what_went_for_others(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW, PICTURE))
    assert pantry.press(*pantry.stored(OLD, NEW, PICTURE)) == (OLD, NEW)
    pantry.rig.tell(FreeAsked(op=7, size=10 * MB))
    pantry.answer()
    assert not of(pantry.rig.effects, Reply)
    assert pantry.list(*pantry.stored(PICTURE), free=25 * MB) == (PICTURE,)
    pantry.answer()
    assert of(pantry.rig.effects, Reply) == [Reply(op=7, reply=Freed(blobs=1, size=10 * MB))]


def test_what_is_here_of_a_blob_under_way_counts_once(cast: Cast) -> None:
    hungry = Hungry(cast, 80 * MB, free=90 * MB)
    hungry.rig.hear(hungry.ann, *(Have(blob=part, pieces=0, bits=b"") for part in PARTS))
    for fetch in of(hungry.rig.effects, FetchManifest):
        hungry.rig.tell(BlobStarted(op=fetch.op, blob=fetch.blob, pieces=10, have=tuple(range(9))))
    hungry.rig.clear()
    hungry.rig.tell(StoreMeasured(stored=82 * MB, free=18 * MB))
    assert not of(hungry.rig.effects, TakeStock)
    assert not hungry.rig.peer.host.full
