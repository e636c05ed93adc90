"""The mesh set: what is taken, which jobs have a place, and what a peer that connects learns."""

from __future__ import annotations

import itertools

import pytest
from blake3 import blake3

from mesh.core.effects import Declined, Reply
from mesh.core.events import FetchAsked
from mesh.core.keepers import distance
from mesh.ground.ids import JobId
from mesh.ground.instants import DAY_MS, HOUR_MS, SECOND_MS
from mesh.ground.limits import MARK_LIFE_MS, MAX_JOBS_EACH, MAX_JOBS_KNOWN, MAX_MARKS_PER_JOB
from mesh.wire import gossip as gs
from mesh.wire import messages as ms
from mesh.wire.messages import Head
from tests.support.cast import Cast
from tests.support.rig import Rig, news, of, sent
from tests.support.small_mesh import SmallMesh
from tests.unit.core.test_jobs import planned

JOBS = 9
CANCELLED = 5


def test_a_peer_that_connects_learns_every_job_its_keepers_and_its_cancel() -> None:
    mesh = SmallMesh()
    for name in ("ann", "bob"):
        mesh.add(name, slots=0)
    mesh.run_until(lambda: mesh.connected("ann", "bob"))
    jobs = [mesh.submit("ann", frames=1, directory=f"/out/{number}") for number in range(JOBS)]
    mesh.run(5 * SECOND_MS)
    for job in jobs[:CANCELLED]:
        mesh.cancel("ann", job)
    late = mesh.add("cid", slots=0)
    mesh.run_until(lambda: mesh.connected("ann", "cid"))
    mesh.run(100)
    now = mesh.now.wall
    for job in jobs:
        told = mesh.hosts["ann"].core.meshset.live_marks(job, now)
        assert told
        assert set(told) <= set(late.core.meshset.live_marks(job, now))
    assert [late.core.ledger.jobs[job].ended for job in jobs] == [job in jobs[:CANCELLED] for job in jobs]


def test_a_peer_that_missed_a_push_finds_it_by_comparing() -> None:
    mesh = SmallMesh()
    names = ("ann", "bob", "cid")
    for name in names:
        mesh.add(name, slots=0)
    mesh.run_until(lambda: all(mesh.connected(*pair) for pair in itertools.combinations(names, 2)))
    mesh.run(SECOND_MS)
    for name in ("ann", "bob"):
        mesh.cut(name, "cid")
    job = mesh.submit("ann", frames=1)
    mesh.run(4 * SECOND_MS)  # shorter than a channel lives in silence
    mesh.heal()
    assert job not in mesh.hosts["cid"].core.ledger.jobs
    mesh.run_until(lambda: job in mesh.hosts["cid"].core.ledger.jobs, 20 * SECOND_MS)
    assert all(mesh.connected(*pair) for pair in itertools.combinations(names, 2))


def test_equal_sets_cost_one_small_message(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    mesh.submit("ann", frames=1)
    mesh.run(30 * SECOND_MS)
    mesh.said.clear()
    mesh.run(100 * SECOND_MS)
    kinds = (ms.News, ms.Revocations, *(kind for kind in ms.MESSAGES if kind.__module__ == gs.__name__))
    said = [message for _, _, message in mesh.said if isinstance(message, kinds)]
    assert {type(message) for message in said} == {gs.SetDigests}
    assert 20 <= len(said) <= 40
    assert max(len(ms.encode(message)) for message in said) < 160


def placed(rig: Rig) -> list[JobId]:
    return sorted(rig.peer.meshset._placed)


def shuffled(heads: list[Head], seed: bytes) -> list[Head]:
    return sorted(heads, key=lambda head: blake3(seed + head.job.id).digest())


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_of_a_submitters_jobs_the_lowest_numbers_have_a_place(cast: Cast, order: str) -> None:
    rig = Rig(cast, slots=0)
    mad, other = cast.actor("mad"), cast.actor("other")
    rig.meet(mad, other)
    heads = [cast.head(mad, number=number) for number in range(1, 3 * MAX_JOBS_EACH)]
    theirs = cast.head(other, number=99)
    arriving = {"rising": heads, "falling": heads[::-1], "mixed": shuffled(heads, b"1")}[order]
    for head in (theirs, *arriving):
        rig.hear(mad, news(heads=(head,)))
    lowest = sorted(head.job.id for head in [theirs, *heads[:MAX_JOBS_EACH]])
    assert placed(rig) == lowest
    assert sorted(rig.peer.ledger.jobs) == lowest, "of the others nothing is left"


def test_a_job_that_this_peer_has_part_in_stays_when_it_loses_its_place(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    ann = cast.actor("ann")
    rig.meet(ann)
    heads = [cast.head(ann, number=number) for number in range(1, MAX_JOBS_EACH + 5)]
    late = kept, rendered, ordered, lost = heads[-4:]
    for head in late:
        rig.learn(head, by=ann)
    rig.keep(kept, by=ann)
    rig.take(rendered, cast.result(ann, rendered, 0), by=ann)
    rig.tell(FetchAsked(op=4, job=JobId(ordered.job.id), directory="/out", overwrite=False))
    for head in heads[:-4]:
        rig.learn(head, by=ann)
    known = rig.peer.ledger.jobs
    assert [head.job.id in known for head in late] == [True, True, True, False]
    assert placed(rig) == sorted(head.job.id for head in heads[:-4])
    assert lost.job.id not in rig.peer.claims.following
    offered = {one for _, offer in sent(rig.compared(ann), gs.Offer) for one in offer.ids}
    assert kept.job.id[: gs.SHORT_BYTES] not in offered, "it has no place in the set"


def test_a_renderer_lets_go_of_a_job_that_loses_its_place(cast: Cast) -> None:
    rig = Rig(cast)
    ann = cast.actor("ann")
    rig.meet(ann)
    high = cast.head(ann, number=MAX_JOBS_EACH + 1)
    rig.learn(high, ann, by=ann)
    assert high.job.id in rig.peer.claims.following
    for number in range(1, MAX_JOBS_EACH + 1):
        rig.learn(cast.head(ann, number=number), by=ann)
    assert high.job.id not in rig.peer.claims.following
    assert high.job.id not in rig.peer.ledger.jobs
    rig.wait(10 * SECOND_MS, ann)


def test_a_person_is_told_that_there_is_no_place_for_another_job(cast: Cast) -> None:
    rig = Rig(cast)
    for op in range(MAX_JOBS_EACH):
        rig.tell(planned(op))
    rig.clear()
    rig.tell(planned(MAX_JOBS_EACH))
    (reply,) = of(rig.effects, Reply)
    assert isinstance(reply.reply, Declined)
    assert reply.reply.code == "too-many-jobs"
    assert len(rig.peer.ledger.jobs) == MAX_JOBS_EACH
    rig.jump(MARK_LIFE_MS * 2 + SECOND_MS)
    rig.clear()
    rig.tell(planned(MAX_JOBS_EACH))
    assert not any(isinstance(reply.reply, Declined) for reply in of(rig.effects, Reply)), "the others have ended"


def test_a_job_leaves_the_set_an_hour_after_its_last_mark_and_comes_back_with_a_new_one(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    ann = cast.actor("ann")
    rig.meet(ann)
    head = cast.head(ann)
    job = rig.learn(head, ann, by=ann)
    rig.jump(2 * HOUR_MS - SECOND_MS)
    rig.compared(ann)
    assert placed(rig) == [job]
    rig.jump(3 * SECOND_MS)
    assert sent(rig.compared(ann), ms.News) == []
    assert placed(rig) == []
    assert job in rig.peer.ledger.jobs, "its seals are still compared"
    rig.hear(ann, news(marks=(cast.mark(ann, head, rig.now.wall + HOUR_MS),)))
    assert placed(rig) == [job]
    assert sent(rig.compared(ann), ms.News)


def test_a_side_of_a_split_that_still_keeps_a_cancelled_job_hears_of_the_cancel(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann, bob)
    head = cast.head(ann)
    rig.learn(head, ann, by=ann)
    cancel = cast.cancel(ann, head)
    rig.hear(ann, news(cancels=(cancel,)))
    rig.jump(DAY_MS)
    effects = rig.hear(bob, news(marks=(cast.mark(bob, head, rig.now.wall + HOUR_MS),)))
    assert [(peer, message.cancels) for peer, message in sent(effects, ms.News)] == [(bob.id, (cancel,))]


def test_a_job_may_lose_its_place_and_be_cancelled_in_one_message(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    ann = cast.actor("ann")
    rig.meet(ann)
    heads = [cast.head(ann, number=number) for number in range(1, MAX_JOBS_EACH + 2)]
    for head in heads[1:]:
        rig.hear(ann, news(heads=(head,)))
    last = JobId(heads[-1].job.id)
    assert last in rig.peer.ledger.jobs
    rig.hear(ann, news(heads=(heads[0],), cancels=(cast.cancel(ann, heads[-1]),)))
    assert last not in rig.peer.ledger.jobs
    assert JobId(heads[0].job.id) in rig.peer.ledger.jobs


@pytest.mark.parametrize("seed", [b"1", b"2", b"3"])
def test_of_too_many_marks_those_of_the_closest_stay(cast: Cast, seed: bytes) -> None:
    rig = Rig(cast, slots=0)
    ann = cast.actor("ann")
    rig.meet(ann)
    head = cast.head(ann)
    job = rig.learn(head, by=ann)
    keepers = [cast.actor(f"keeper {number}") for number in range(2 * MAX_MARKS_PER_JOB)]
    rig.hear(ann, *(gs.Chains(chains=(keeper.chain,)) for keeper in keepers))
    for keeper in sorted(keepers, key=lambda one: blake3(seed + one.id).digest()):
        rig.hear(ann, news(marks=(cast.mark(keeper, head),)))
    closest = sorted(keepers, key=lambda one: distance(one.id, job))[:MAX_MARKS_PER_JOB]
    assert rig.peer.meshset.live_marks(job, rig.now.wall) == sorted(one.id for one in closest)
    assert len(rig.peer.meshset._catalogue) == 1 + MAX_MARKS_PER_JOB


def test_where_as_many_jobs_are_known_as_may_be_those_make_room_that_ended_first(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    ann, known = cast.actor("ann"), rig.peer.ledger.jobs
    rig.meet(ann)
    kept = rig.keep(cast.head(ann, number=1), by=ann)
    rig.jump(3 * HOUR_MS)
    rig.compared(ann)
    number = 1
    while len(known) < MAX_JOBS_KNOWN:
        number += 1
        rig.peer.ledger.open(cast.head(ann, number=number))
    fresh = cast.head(cast.actor("bob"), number=1)
    rig.learn(fresh, by=ann)
    assert fresh.job.id in known
    assert kept in known
    assert MAX_JOBS_KNOWN - 300 < len(known) <= MAX_JOBS_KNOWN
