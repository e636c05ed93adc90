"""Who keeps a job: a hint that nobody must agree on, and that must never run dry."""

import pytest

from mesh.core.dht.table import Neighbour
from mesh.core.events import ChannelClosed, DialFailed
from mesh.core.keepers import distance
from mesh.ground.ids import JobId
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from mesh.ground.limits import KEEPERLESS_MS, KEEPERS, MARK_MS
from mesh.wire.kept import KeptMark
from mesh.wire.lookups import Endpoint
from mesh.wire.messages import Head, KeepAsk, News
from tests.support.cast import Actor, Cast
from tests.support.rig import Rig, kept, news, sent
from tests.unit.core.test_jobs import planned


@pytest.fixture
def people(cast: Cast) -> list[Actor]:
    return [cast.actor(f"p{number}") for number in range(8)]


def marks_of(rig: Rig) -> int:
    return sum(entry.mark.author == rig.me.id for entry in kept(rig.effects, KeptMark))


def test_the_keepers_are_the_five_closest_that_answer(cast: Cast, people: list[Actor]) -> None:
    rig = Rig(cast)
    rig.meet(*people)
    head = cast.head(people[0])
    job = rig.learn(head, *people, by=people[0])
    assert (
        rig.peer.keepers.of(job, rig.now)
        == sorted((actor.id for actor in people), key=lambda peer: distance(peer, job))[:KEEPERS]
    )


def test_a_keeper_that_does_not_answer_is_none_now(cast: Cast, people: list[Actor]) -> None:
    rig = Rig(cast)
    rig.meet(*people[:3])
    head = cast.head(people[0])
    job = rig.learn(head, *people[:3], by=people[0])
    rig.wait(10 * SECOND_MS, people[0], people[2])
    assert set(rig.peer.keepers.of(job, rig.now)) == {people[0].id, people[2].id}


def test_a_peer_keeps_what_submitter_or_keeper_asks_and_nobody_else(cast: Cast, people: list[Actor]) -> None:
    ann, keeper, nobody = people[:3]
    rig = Rig(cast)
    rig.meet(ann, keeper, nobody)
    job = rig.learn(cast.head(ann), keeper, by=ann)
    rig.hear(nobody, KeepAsk(job=job, fresh=False))
    assert marks_of(rig) == 0
    rig.hear(keeper, KeepAsk(job=job, fresh=False))
    assert marks_of(rig) == 1
    rig.hear(ann, KeepAsk(job=job, fresh=False))
    assert marks_of(rig) == 1


def test_fresh_is_the_submitters_word_alone_and_only_before_any_record(cast: Cast, people: list[Actor]) -> None:
    ann, bob = people[:2]
    for by, with_record, believed in ((ann, False, True), (bob, False, False), (ann, True, False)):
        rig = Rig(cast)
        rig.meet(ann, bob)
        head = cast.head(ann)
        job = rig.learn(head, bob, by=ann)
        if with_record:
            rig.take(head, cast.result(bob, head, 0), by=bob)
        rig.hear(by, KeepAsk(job=job, fresh=True))
        assert rig.peer.leases.ready(job, rig.now) is believed


def test_a_mark_is_renewed_every_twenty_minutes_while_the_job_lives(cast: Cast, people: list[Actor]) -> None:
    ann = people[0]
    rig = Rig(cast)
    rig.meet(ann)
    rig.keep(cast.head(ann), by=ann)
    for _ in range(120):
        rig.wait(MINUTE_MS, ann)
    assert 2 * HOUR_MS // MARK_MS - 1 <= marks_of(rig) <= 2 * HOUR_MS // MARK_MS + 1


def test_where_no_keeper_answers_for_half_a_minute_the_closest_live_peers_keep(cast: Cast, people: list[Actor]) -> None:
    ann, bob = people[:2]
    rig = Rig(cast)
    rig.meet(ann, bob)
    job = rig.learn(cast.head(ann), ann, by=ann)
    rig.tell(ChannelClosed(peer=ann.id, clean=False))
    rig.wait(KEEPERLESS_MS - 5 * SECOND_MS, bob)
    assert rig.peer.keepers.of(job, rig.now) == []
    assert marks_of(rig) == 0
    rig.wait(15 * SECOND_MS, bob)
    assert marks_of(rig) == 1
    assert rig.peer.keepers.acting(job, rig.now)


def test_a_dead_keeper_has_a_successor_at_once(cast: Cast, people: list[Actor]) -> None:
    ann, bob, cid = people[:3]
    rig = Rig(cast)
    rig.meet(ann, bob, cid)
    job = rig.keep(cast.head(ann), bob, by=ann)
    rig.clear()
    rig.tell(ChannelClosed(peer=bob.id, clean=False))
    rig.tell(DialFailed(peer=bob.id, refused=True))
    assert {peer for peer, ask in sent(rig.effects, KeepAsk) if ask.job == job} == {ann.id, cid.id}


def test_nobody_is_asked_to_keep_once_five_do(cast: Cast, people: list[Actor]) -> None:
    ann = people[0]
    rig = Rig(cast)
    rig.meet(*people)
    rig.keep(cast.head(ann), *people[:5], by=ann)
    rig.clear()
    for _ in range(6):
        rig.wait(5 * SECOND_MS, *people)
    asked = {peer for peer, _ in sent(rig.effects, KeepAsk)}
    assert not asked & {actor.id for actor in people[:5]}
    assert len(asked) <= KEEPERS


def test_a_mark_in_somebody_elses_mesh_makes_no_keeper(cast: Cast, people: list[Actor]) -> None:
    ann = people[0]
    rig = Rig(cast)
    rig.meet(ann)
    head = cast.head(ann)
    job = rig.learn(head, by=ann)
    stranger = Cast("another").actor("stranger")
    rig.hear(ann, News(heads=(), marks=(cast.mark(stranger, head, rig.now.wall + HOUR_MS),), cancels=(), admissions=()))
    assert rig.peer.keepers.of(job, rig.now) == []


@pytest.mark.parametrize("near", [True, False])
def test_in_a_large_mesh_only_who_is_near_a_job_looks_for_its_keepers_and_misses_them(cast: Cast, near: bool) -> None:
    """Who has no channel with a job's keepers, as most in a large mesh, cannot tell that they are gone."""
    people = [cast.actor(f"p{number}") for number in range(12)]
    ann = cast.actor("ann")
    rig = Rig(cast, slots=0, everybody=4)
    rig.meet(*people)

    def is_near(head: Head) -> bool:
        job = JobId(head.job.id)
        return sum(distance(actor.id, job) < distance(rig.me.id, job) for actor in people) < KEEPERS

    head = next(head for head in (cast.head(ann, frames=count) for count in range(1, 99)) if is_near(head) is near)
    job = rig.learn(head, ann, by=people[0])
    rig.wait(KEEPERLESS_MS - 10 * SECOND_MS, *people)
    assert rig.peer.directory.crowd
    assert rig.peer.view.wants(ann.id) is near
    assert marks_of(rig) == 0
    rig.wait(2 * KEEPERLESS_MS, *people)
    assert marks_of(rig) == near
    assert rig.peer.keepers.acting(job, rig.now) is near


def test_who_has_met_none_of_a_jobs_keepers_looks_for_them_before_it_takes_over(
    cast: Cast, people: list[Actor]
) -> None:
    """Whoever came a moment ago may have met few, and take a large mesh for a small one."""
    ann, bob = people[:2]
    rig = Rig(cast, slots=0)
    rig.meet(bob)
    rig.learn(cast.head(ann), ann, by=bob)
    rig.wait(15 * SECOND_MS, bob)
    assert not rig.peer.directory.crowd
    assert ann.id in rig.peer.view._needed
    assert marks_of(rig) == 0


def test_in_a_large_mesh_who_knows_of_nodes_nearer_to_a_job_leaves_it_to_them(cast: Cast) -> None:
    people, nodes = ([cast.actor(f"{kind}{number}") for number in range(12)] for kind in "pn")
    ann = cast.actor("ann")
    rig = Rig(cast, slots=0, everybody=4)
    rig.meet(*people)

    def nearer(head: Head, actors: list[Actor]) -> int:
        job = JobId(head.job.id)
        return sum(distance(actor.id, job) < distance(rig.me.id, job) for actor in actors)

    heads = (cast.head(ann, frames=count) for count in range(1, 999))
    head = next(head for head in heads if nearer(head, people) < KEEPERS <= nearer(head, nodes))
    for number, actor in enumerate(nodes):
        where = Endpoint(ip=bytes((10, 9, number, 1)), port=7_000)
        node = Neighbour(actor.id, (where,), invite=actor.id, heard_at=rig.now.instant)
        assert rig.peer.dht.table.add(node)
    job = rig.learn(head, ann, by=people[0])
    rig.wait(2 * KEEPERLESS_MS, *people)
    assert marks_of(rig) == 0
    assert not rig.peer.keepers.acting(job, rig.now)
    for actor in nodes:
        rig.peer.dht.table.remove(actor.id)
    rig.wait(2 * KEEPERLESS_MS, *people)
    assert marks_of(rig) == 1


@pytest.mark.parametrize("large", [True, False])
def test_in_a_large_mesh_a_new_jobs_keepers_hear_of_each_other_from_its_submitter(cast: Cast, large: bool) -> None:
    """Whoever of them does not would ask others to keep it, before the mesh set has told."""
    people = [cast.actor(f"p{number}") for number in range(12)]
    rig = Rig(cast, slots=0, everybody=4 if large else 128)
    rig.meet(*people)
    rig.wait(5 * SECOND_MS, *people)
    rig.tell(planned(1))
    (job,) = rig.peer.ledger.jobs
    head = rig.peer.ledger.jobs[job].head
    one, two = (actor for actor in people if actor.id in [peer for peer, _ in sent(rig.effects, KeepAsk)][:2])
    first, second = (cast.mark(actor, head, rig.now.wall + HOUR_MS) for actor in (one, two))
    rig.hear(one, news(marks=(first,)))
    told = sent(rig.hear(two, news(marks=(second,))), News)
    expected = {(one.id, second.id), (two.id, first.id)} if large else set()
    assert {(peer, mark.id) for peer, message in told for mark in message.marks} == expected
    renewed = cast.mark(two, head, rig.now.wall + HOUR_MS + SECOND_MS)
    assert sent(rig.hear(two, news(marks=(renewed,))), News) == [], "each is introduced once"
