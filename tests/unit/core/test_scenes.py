"""Is all of a scene here? Before that nothing is rendered or promised."""

import pytest

from mesh.core.effects import FetchManifest, FetchPieces, OpenStage, ReadTree, WarmEngine
from mesh.core.events import BlobDamaged, BlobStarted, EnginesProbed, PiecesStored, TreeRead
from mesh.ground.ids import BlobId
from mesh.wire.kept import KeptHold
from mesh.wire.messages import Have, Head, Seek
from mesh.wire.records import Cancel
from tests.support.cast import ENGINE, Cast, blob
from tests.support.rig import Rig, kept, of, sent

ROOT = blob("scene")
PARTS = (blob("part 0"), blob("part 1"))


class Taker:
    """A peer that needs the scene of ann's job."""

    def __init__(self, cast: Cast, *, slots: int = 1, keeps: bool = False) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=slots)
        self.ann = cast.actor("ann")
        self.rig.meet(self.ann)
        self.rig.clear()
        self.head: Head = cast.head(self.ann, scene=ROOT)
        self.job = self.rig.keep(self.head, by=self.ann) if keeps else self.rig.learn(self.head, by=self.ann)

    def bring(self, wanted: BlobId) -> None:
        """Let a blob come from ann."""
        self.rig.hear(self.ann, Have(blob=wanted, pieces=0, bits=b""))
        manifest = next(effect for effect in of(self.rig.effects, FetchManifest) if effect.blob == wanted)
        self.rig.tell(BlobStarted(op=manifest.op, blob=wanted, pieces=1, have=()))
        pieces = next(effect for effect in of(self.rig.effects, FetchPieces) if effect.blob == wanted)
        self.rig.tell(PiecesStored(op=pieces.op, blob=wanted, numbers=(0,), complete=True))

    def read(self, parts: tuple[BlobId, ...] | None = PARTS) -> None:
        (effect,) = of(self.rig.effects, ReadTree)
        self.rig.tell(TreeRead(op=effect.op, root=ROOT, blobs=parts))

    def sought(self) -> set[BlobId]:
        return {wanted for _, seek in sent(self.rig.effects, Seek) for wanted in seek.blobs}


@pytest.fixture
def taker(cast: Cast) -> Taker:
    return Taker(cast)


def test_the_root_comes_first_then_all_that_it_names(taker: Taker) -> None:
    assert taker.sought() == {ROOT}
    taker.bring(ROOT)
    taker.read()
    assert taker.sought() == {ROOT, *PARTS}
    assert not taker.rig.peer.scenes.complete(taker.job)
    for part in PARTS:
        taker.bring(part)
    assert taker.rig.peer.scenes.complete(taker.job)


def test_the_engine_warms_up_while_bytes_come_and_the_stage_opens_when_all_are_here(taker: Taker) -> None:
    assert len(of(taker.rig.effects, WarmEngine)) == 1
    taker.bring(ROOT)
    taker.read()
    taker.bring(PARTS[0])
    assert of(taker.rig.effects, OpenStage) == []
    taker.bring(PARTS[1])
    assert len(of(taker.rig.effects, OpenStage)) == 1


def test_who_neither_renders_nor_keeps_fetches_nothing(cast: Cast) -> None:
    assert Taker(cast, slots=0).sought() == set()


def test_a_keeper_that_does_not_render_fetches_and_holds_the_scene(cast: Cast) -> None:
    taker = Taker(cast, slots=0, keeps=True)
    taker.bring(ROOT)
    taker.read()
    for part in PARTS:
        assert kept(taker.rig.effects, KeptHold) == []
        taker.bring(part)
    assert [entry.hold.body.blob for entry in kept(taker.rig.effects, KeptHold)] == [ROOT]
    assert of(taker.rig.effects, OpenStage) == []


def test_a_peer_that_gets_an_engine_later_fetches_then(cast: Cast) -> None:
    taker = Taker(cast, slots=0)
    taker.rig.tell(EnginesProbed(engines=(ENGINE,), slots=1, cores=4, memory_mb=8_000))
    assert taker.sought() == {ROOT}


def test_a_scene_that_is_on_the_disk_already_is_only_read(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast, complete=(ROOT, *PARTS))
    rig.meet(ann)
    rig.clear()
    job = rig.learn(cast.head(ann, scene=ROOT), by=ann)
    (effect,) = of(rig.effects, ReadTree)
    rig.tell(TreeRead(op=effect.op, root=ROOT, blobs=PARTS))
    assert rig.peer.scenes.complete(job)
    assert sent(rig.effects, Seek) == []


def test_two_jobs_of_one_scene_fetch_it_once_and_one_that_ends_leaves_it_to_the_other(taker: Taker) -> None:
    second = taker.cast.head(taker.ann, scene=ROOT, number=2)
    other = taker.rig.learn(second, by=taker.ann)
    taker.bring(ROOT)
    taker.read()
    taker.rig.take(taker.head, taker.cast.entry(taker.ann, taker.head, Cancel()), by=taker.ann)
    assert set(taker.rig.peer.swarm.wants) == set(PARTS)
    for part in PARTS:
        taker.bring(part)
    assert taker.rig.peer.scenes.complete(other)


def test_a_cancelled_jobs_scene_is_wanted_no_more(taker: Taker) -> None:
    taker.bring(ROOT)
    taker.read()
    taker.rig.take(taker.head, taker.cast.entry(taker.ann, taker.head, Cancel()), by=taker.ann)
    assert taker.rig.peer.swarm.wants == {}


def test_a_root_that_is_no_tree_is_rendered_from_so_that_the_failure_gets_its_name(taker: Taker) -> None:
    taker.bring(ROOT)
    taker.read(())
    assert taker.rig.peer.scenes.complete(taker.job)
    assert len(of(taker.rig.effects, OpenStage)) == 1


def test_a_root_that_the_disk_does_not_give_is_read_again(taker: Taker) -> None:
    taker.bring(ROOT)
    taker.read(None)
    assert not taker.rig.peer.scenes.complete(taker.job)
    taker.rig.clear()
    taker.rig.wait(5_000, taker.ann)
    taker.read()
    assert set(taker.rig.peer.swarm.wants) == set(PARTS)


def test_a_root_that_rots_before_it_is_read_is_fetched_again(taker: Taker) -> None:
    taker.bring(ROOT)
    taker.rig.tell(BlobDamaged(blob=ROOT))
    taker.read(None)
    taker.rig.clear()
    assert set(taker.rig.peer.swarm.wants) == {ROOT}
    taker.bring(ROOT)
    taker.read()
    assert set(taker.rig.peer.swarm.wants) == set(PARTS)


def test_a_part_that_rots_before_the_others_came_is_fetched_again(taker: Taker) -> None:
    taker.bring(ROOT)
    taker.read()
    taker.bring(PARTS[0])
    taker.rig.clear()
    taker.rig.tell(BlobDamaged(blob=PARTS[0]))
    taker.read()
    taker.bring(PARTS[1])
    assert not taker.rig.peer.scenes.complete(taker.job)
    taker.bring(PARTS[0])
    assert taker.rig.peer.scenes.complete(taker.job)
