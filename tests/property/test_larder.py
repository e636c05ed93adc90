"""Whatever a store holds and whatever is bound: nothing bound goes, the oldest goes first, and enough if it can."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.effects import Evict, TakeStock
from mesh.core.stock import StockTaken, Stored, StoreMeasured
from mesh.ground.ids import BlobId
from mesh.ground.instants import DAY_MS, HOUR_MS, WallTime
from mesh.ground.store_limits import STORE_SPARE_BYTES, STORE_SPARE_PART, UNTOLD_MS, USED_LATELY_MS
from mesh.wire.kept import KeptHead, KeptHold
from tests.support.cast import Cast, blob
from tests.support.rig import Rig, of

CAST = Cast()
ANN = CAST.actor("ann")
ROOT = blob("scene")
HEAD = CAST.head(ANN, scene=ROOT)
BLOBS = [blob(f"blob {number}") for number in range(12)]
PARTS = tuple(BLOBS[:3])
SIZES = st.integers(0, 40_000_000)
AGES = st.sampled_from([0, USED_LATELY_MS // 2, USED_LATELY_MS, UNTOLD_MS // 2, UNTOLD_MS, DAY_MS]) | st.integers(
    -HOUR_MS, 2 * DAY_MS
)


@given(data=st.data(), free=st.integers(0, 60_000_000))
def test_what_goes_is_cache_the_oldest_first_and_enough_if_there_is_any(data: st.DataObject, free: int) -> None:
    subsets = st.sets(st.sampled_from(BLOBS))
    held, known = data.draw(subsets), data.draw(subsets)
    holds_scene = data.draw(st.booleans())
    me = CAST.actor("me")
    kept = [KeptHold(hold=CAST.hold(me, HEAD, each)) for each in (*sorted(held), *([ROOT] if holds_scene else []))]
    rig = Rig(CAST, actor=me, slots=0, kept=(KeptHead(head=HEAD), *kept), complete=(*sorted(known | held), ROOT))
    stock = [
        Stored(
            blob=each,
            size=data.draw(SIZES),
            last_used=WallTime(rig.now.wall - data.draw(AGES)),
            whole=each in held or data.draw(st.booleans()),
        )
        for each in BLOBS
    ]
    stored = sum(each.size for each in stock)
    spare = min((stored + free) // STORE_SPARE_PART, STORE_SPARE_BYTES)
    rig.tell(StoreMeasured(stored=stored, free=free))
    wanted = of(rig.effects, TakeStock)
    assert bool(wanted) == (free < spare)
    if not wanted:
        return
    trees = tuple((root, PARTS) for root in wanted[0].roots)
    rig.tell(StockTaken(op=wanted[0].op, stored=stored, free=free, blobs=tuple(stock), trees=trees))
    gone = [each for evict in of(rig.effects, Evict) for each in evict.blobs]

    bound: set[BlobId] = held | (set(PARTS) if holds_scene else set())
    may_go = [each for each in stock if each.blob not in bound and not _rests(each, rig.now.wall, known | held)]
    assert all(each in may_go for each in gone)
    assert [each.blob for each in gone] == [
        each.blob for each in sorted(may_go, key=lambda each: (each.last_used, each.blob))[: len(gone)]
    ]
    freed = sum(each.size for each in gone)
    assert free + freed >= 2 * spare or len(gone) == len(may_go)
    assert not gone or free + freed - gone[-1].size < 2 * spare, "more than was needed"
    offered = [each for each in gone if rig.peer.swarm.complete(each.blob)]
    assert not offered


def _rests(stored: Stored, wall: int, known: set[BlobId]) -> bool:
    age_ms = wall - stored.last_used
    untold = stored.whole and stored.blob not in known and 0 <= age_ms < UNTOLD_MS
    return untold or 0 <= age_ms < USED_LATELY_MS
