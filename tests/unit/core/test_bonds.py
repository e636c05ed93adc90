"""What is in use stays, whichever machine uses it: nobody else protects it."""

import dataclasses

import pytest

from mesh.core.bonds import Bonds
from mesh.core.effects import ReadPage, StartRender
from mesh.core.events import PageRead, RenderFailed, StopAsked
from mesh.ground.ids import BlobId
from mesh.ground.instants import HOUR_MS
from mesh.wire.records import FailureKind, Seal, SealedTask, SealPage
from tests.support.cast import Cast, blob, block
from tests.support.rig import Rig, of
from tests.unit.core.test_assembling import WHOLE, Easel, output
from tests.unit.core.test_claims import Claimant
from tests.unit.core.test_larder import MB, NEW, OLD, Pantry
from tests.unit.core.test_repair import Taker
from tests.unit.core.test_slots import Bench

PAGE = blob("page")


def bound(rig: Rig) -> set[BlobId]:
    """Return what a peer would not evict now, scenes apart."""
    bonds: Bonds = rig.peer.larder._bonds
    return {*bonds.all(rig.now, {})}


@pytest.mark.parametrize("machine", ["scenes", "holding", "slots", "assembling", "delivery", "seals"])
def test_each_machines_word_binds(cast: Cast, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pantry = Pantry(cast, here=(OLD, NEW))
    monkeypatch.setattr(getattr(pantry.rig.peer, machine), "in_use", lambda: [OLD])
    assert pantry.press(*pantry.stored(OLD, NEW)) == (NEW,)


def test_a_picture_that_waits_for_the_news_stays(cast: Cast) -> None:
    bench = Bench(cast)
    bench.win(3)
    (effect,) = bench.started()
    bench.written(effect)
    bench.rig.jump(HOUR_MS)
    bench.rendered(effect)
    assert not bench.records(), "published only when the news was heard"
    assert blob(f"picture {effect.op}") in bound(bench.rig)


def test_the_scene_of_a_claim_in_hand_stays_though_a_keeper_says_that_the_job_is_over(cast: Cast) -> None:
    """The claim may wait for a slot that renders something else, and starts before its end was heard."""
    claimant = Claimant(cast)
    scene, peer = claimant.head.job.body.scene, claimant.rig.peer
    claimant.rig.hear(claimant.first, claimant.window(0))
    claimant.answer(claimant.first, yours=True)
    over = dataclasses.replace(claimant.window(), ended=True)
    claimant.rig.hear(claimant.first, over)
    assert claimant.rendered() == [0]
    assert scene in peer.larder._bonds.scenes(claimant.rig.now)
    (effect,) = of(claimant.rig.effects, StartRender)
    claimant.rig.tell(RenderFailed(op=effect.op, kind=FailureKind.CRASHED, reason="it crashed", log=None))
    assert scene not in peer.larder._bonds.scenes(claimant.rig.now)


def test_the_scene_of_a_frame_that_a_host_finishes_before_it_stops_stays(cast: Cast) -> None:
    claimant = Claimant(cast)
    scene, peer = claimant.head.job.body.scene, claimant.rig.peer
    claimant.rig.hear(claimant.first, claimant.window(0))
    claimant.answer(claimant.first, yours=True)
    (effect,) = of(claimant.rig.effects, StartRender)
    claimant.rig.tell(StopAsked(now=False))
    assert scene in peer.larder._bonds.scenes(claimant.rig.now)
    claimant.rig.tell(RenderFailed(op=effect.op, kind=FailureKind.CRASHED, reason="it crashed", log=None))
    assert scene not in peer.larder._bonds.scenes(claimant.rig.now)


def test_a_copy_stays_while_it_is_checked(cast: Cast) -> None:
    taker = Taker(cast)
    taker.asked()
    taker.brings()
    assert taker.picture not in taker.rig.peer.swarm.wants
    assert taker.picture in bound(taker.rig)
    taker.checks(good=False)
    assert taker.picture not in bound(taker.rig)


def test_buckets_stay_until_their_frame_is_written_pasted_or_not(cast: Cast) -> None:
    easel = Easel(cast)
    here = output(easel.done(block(0, 0)))
    coming = output(easel.hears(block(1, 0)))
    assert {here, coming} <= bound(easel.rig)
    easel.loses()
    assert not {here, coming} & bound(easel.rig)


def test_an_assembled_picture_that_waits_for_the_news_stays(cast: Cast) -> None:
    easel = Easel(cast)
    easel.done(WHOLE)
    easel.rig.jump(HOUR_MS)
    easel.rendered()
    assert not easel.records(), "published only when the news was heard"
    assert blob("frame") in bound(easel.rig)


def test_the_page_of_a_seal_stays_while_it_is_read_and_through_retention(cast: Cast) -> None:
    pantry = Pantry(cast, here=(PAGE,))
    bob = cast.actor("bob")
    pantry.rig.let_in(bob)
    results = [cast.result(bob, pantry.head, task) for task in range(4)]
    pantry.rig.take(pantry.head, cast.entry(pantry.ann, pantry.head, Seal(blob=PAGE)), by=pantry.ann)
    assert PAGE in bound(pantry.rig)
    (read,) = of(pantry.rig.effects, ReadPage)
    tasks = tuple(SealedTask(result=result, holds=()) for result in results)
    pantry.rig.tell(PageRead(op=read.op, blob=PAGE, page=SealPage(job=pantry.job, tasks=tasks, chains=())))
    assert PAGE in bound(pantry.rig)
    pantry.rig.jump(pantry.head.job.body.last_day - pantry.rig.now.wall + 1)
    assert PAGE not in bound(pantry.rig)


def test_cache_is_room(cast: Cast) -> None:
    pantry = Pantry(cast, here=(OLD, NEW))
    pantry.press(*pantry.stored(OLD, size=70 * MB), free=5 * MB)
    assert pantry.rig.peer.host.room_bytes == 75 * MB
