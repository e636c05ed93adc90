"""Every way in which an earlier wording of the rules was broken on paper, as far as what exists can meet it.

The numbers are those of the list from which the rules were made; each test is named by what must not happen.
"""

from collections import Counter

import pytest

from mesh.core.catalogue import WHOLE
from mesh.core.claims import Mine, Stand
from mesh.core.effects import AnswerDoor
from mesh.core.events import AdmissionAsked, RenewalAsked
from mesh.core.placement import next_tasks, rank
from mesh.core.status import JobState, TaskState
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, WallTime
from mesh.ground.limits import LEASE_MS, MAX_ADMISSIONS_KEPT, RESTARTED_KEEPER_MS, STALLED_UNKNOWN_MS, WINDOW_FACTOR
from mesh.wire import kept as kp
from mesh.wire.envelope import sign
from mesh.wire.gossip import Offer, SetDigests, SetKeys, SetNode
from mesh.wire.members import Admission, Invite, judge_standing
from mesh.wire.messages import (
    Admitted,
    Beat,
    ClaimSent,
    Heartbeat,
    News,
    OpenTask,
    RefusalCode,
    Refused,
    Running,
    Verdict,
)
from mesh.wire.records import Failed, FailureKind, Lost, Result, Seal, SealedTask, SealPage
from tests.support.cast import WALL, Cast, blob
from tests.support.rig import Rig, of
from tests.support.small_mesh import Host, SmallMesh


def five(mesh: SmallMesh, count: int = 5, **options: int) -> list[Host]:
    hosts = [mesh.add(f"p{number}", **options) for number in range(count)]  # type: ignore[arg-type]
    mesh.run(3 * SECOND_MS)
    return hosts


def state(host: Host, job: JobId) -> JobState:
    return host.job(job).state


def sealed(mesh: SmallMesh, job: JobId, *hosts: Host) -> None:
    mesh.run_until(lambda: all(state(host, job) is JobState.SEALED for host in hosts), 10 * MINUTE_MS)


def isolate(mesh: SmallMesh, host: Host) -> None:
    for other in mesh.hosts.values():
        if other is not host:
            mesh.cut(host.actor.name, other.actor.name)


def renders(mesh: SmallMesh, job: JobId) -> Counter[int]:
    return Counter(task for host in mesh.hosts.values() for of_, task in host.started if of_ == job)


# Pictures and seals.


def test_1_an_earlier_attempt_that_comes_late_changes_no_delivered_file(mesh: SmallMesh) -> None:
    ann, bob, cid = five(mesh, 3)
    cid.render_ms = None
    job = mesh.submit("p0", frames=6)
    mesh.run_until(lambda: bool(cid.rendering))
    ((op, effect),) = cid.rendering.items()
    isolate(mesh, cid)
    late = mesh.finish("p2", op)
    mesh.run_until(lambda: len(ann.files) == 6, 2 * MINUTE_MS)
    files = dict(ann.files)
    sealed(mesh, job, ann, bob)
    mesh.heal()
    mesh.run(2 * MINUTE_MS)
    assert any(
        isinstance(entry.body.what, Result) and entry.author == cid.id and entry.body.what.task == effect.task
        for entry in ann.core.ledger.jobs[job].entries.values()
    )
    assert late not in ann.files.values()
    assert ann.files == files
    assert len(ann.written) == 6
    assert ann.tasks(job)[effect.task].result == cid.tasks(job)[effect.task].result


@pytest.mark.slow
def test_2_two_sides_of_a_long_split_that_sealed_different_pictures_agree_when_they_meet(mesh: SmallMesh) -> None:
    """It takes seconds: five peers live for two and a half hours, more than the life of a head and of its marks."""
    hosts = five(mesh, 4)
    ann = hosts[0]
    for host in hosts:
        host.render_ms = None
    job = mesh.submit("p0", frames=4)
    mesh.run_until(lambda: all(host.rendering for host in hosts) and ann.job(job).may_go)
    for side in (hosts[:2], hosts[2:]):
        for host in side:
            for other in hosts:
                if other not in side:
                    mesh.cut(host.actor.name, other.actor.name)
    for host in hosts:
        host.render_ms = 1_000
        for op in list(host.rendering):
            mesh.finish(host.actor.name, op)
    mesh.run(5 * HOUR_MS // 2)
    assert state(ann, job) is JobState.SEALED
    mesh.heal()
    sealed(mesh, job, *hosts)
    mesh.run(10 * MINUTE_MS)
    stands = {host.core.ledger.jobs[job].sealed[0].id for host in hosts}  # type: ignore[index]
    assert len(stands) == 1
    named = {tuple(task.result for task in host.tasks(job)) for host in hosts}
    assert len(named) == 1
    assert len(ann.written) == 4


def test_3_the_submitters_seal_stands_over_a_keepers_that_names_another_picture(cast: Cast) -> None:
    keeper = Rig(cast, slots=0)
    ann, bob = cast.actor("ann"), cast.actor("bob")
    keeper.meet(ann, bob)
    head = cast.head(ann, frames=1)
    job = keeper.keep(head, by=ann)
    results = [cast.result(bob, head, 0, attempt) for attempt in (1, 2)]
    keeper.take(head, *results, by=bob)
    ledger = keeper.peer.ledger.jobs[job]
    for author, result in ((bob, results[0]), (ann, results[1])):
        page = SealPage(job=job, tasks=(SealedTask(result=result, holds=()),), chains=())
        ledger.add_seal(cast.entry(author, head, Seal(blob=blob(author.name))), page)
    assert ledger.standing(0) == results[1]


def test_4_a_cancel_stands_above_a_seal_whichever_comes_first(mesh: SmallMesh) -> None:
    hosts = five(mesh, 3)
    job = mesh.submit("p0", frames=3)
    mesh.run_until(lambda: state(hosts[0], job) is JobState.SEALED)
    mesh.cancel("p0", job)
    mesh.run(2 * SECOND_MS)
    assert {state(host, job) for host in hosts} == {JobState.CANCELLED}
    for name in ("p0", "p1", "p2"):
        mesh.kill(name)
        mesh.start(name)
    mesh.run(30 * SECOND_MS)
    assert {state(host, job) for host in hosts} == {JobState.CANCELLED}


def test_5_a_result_whose_author_dies_before_anybody_held_it_is_rendered_again(mesh: SmallMesh) -> None:
    ann, bob, cid = five(mesh, 3)
    cid.render_ms = None
    job = mesh.submit("p0", frames=3)
    mesh.run_until(lambda: bool(cid.rendering))
    ((op, effect),) = cid.rendering.items()
    picture = mesh.finish("p2", op)
    mesh.run(2)
    cid.blobs.pop(picture)
    mesh.kill("p2")
    mesh.run_until(lambda: len(ann.files) == 3, 5 * MINUTE_MS)
    assert renders(mesh, job)[effect.task] == 2
    assert any(isinstance(entry.body.what, Lost) for entry in ann.core.ledger.jobs[job].entries.values())
    assert bob.running


def test_5_the_same_while_the_author_lives_and_its_blob_is_rotten(mesh: SmallMesh) -> None:
    ann, _, cid = five(mesh, 3)
    cid.render_ms = None
    job = mesh.submit("p0", frames=3)
    mesh.run_until(lambda: bool(cid.rendering))
    ((op, effect),) = cid.rendering.items()
    picture = mesh.finish("p2", op)
    cid.blobs.pop(picture)
    cid.core.swarm._complete.pop(picture)
    mesh.run_until(lambda: len(ann.files) == 3, 5 * MINUTE_MS)
    assert renders(mesh, job)[effect.task] == 2


def test_6_what_is_safe_and_delivered_is_not_undone_when_its_author_goes_for_good(mesh: SmallMesh) -> None:
    ann, bob, cid = five(mesh, 3)
    job = mesh.submit("p0", frames=6)
    mesh.run_until(lambda: all(task.state is TaskState.SAFE for task in ann.tasks(job)), MINUTE_MS)
    before = renders(mesh, job)
    mesh.kill("p1")
    mesh.run(HOUR_MS)
    assert state(ann, job) is JobState.SEALED
    assert renders(mesh, job) == before
    assert not bob.running
    assert cid.running


def test_7_with_three_copies_asked_and_one_of_three_peers_dead_frames_are_delivered_at_once(mesh: SmallMesh) -> None:
    ann, _, cid = five(mesh, 3)
    job = mesh.submit("p0", frames=6)
    mesh.run_until(lambda: bool(cid.rendering))
    assert ann.core.ledger.jobs[job].job.copies == 3
    mesh.kill("p2")
    mesh.run_until(lambda: len(ann.files) == 6, 20 * SECOND_MS)
    sealed(mesh, job, ann)


def test_8_the_last_capable_peer_takes_again_what_it_failed_once(mesh: SmallMesh) -> None:
    ann, bob = five(mesh, 2)
    ann.failing[1] = bob.failing[1] = FailureKind.CRASHED
    job = mesh.submit("p0", frames=2)
    mesh.run_until(lambda: any(isinstance(one.body.what, Failed) for one in ann.core.ledger.jobs[job].entries.values()))
    first = next(host for host in (ann, bob) if host.core.ledger.jobs[job].task(1).failures[0].author == host.id)
    other = bob if first is ann else ann
    mesh.kill(other.actor.name)
    first.failing.clear()
    mesh.run_until(lambda: first.job(job).counting == 2, 2 * MINUTE_MS)


def test_9_an_author_that_lost_what_it_had_not_synced_starts_another_stream(mesh: SmallMesh) -> None:
    ann, bob = five(mesh, 2)
    job = mesh.submit("p0", frames=8)
    mesh.run_until(lambda: any(entry.author == bob.id for entry in ann.core.ledger.jobs[job].entries.values()))
    lost_from = next(
        number
        for number, entry in enumerate(bob.kept())
        if isinstance(entry, kp.KeptEntries) and entry.entries[0].author == bob.id
    )
    mesh.kill("p1")
    bob.journal = bob.journal[:lost_from]  # an older disk is restored
    mesh.start("p1")
    sealed(mesh, job, ann, bob)
    streams = [boot for author, boot in ann.core.ledger.jobs[job].streams if author == bob.id]
    assert len(streams) == 2
    assert ann.core.ledger.jobs[job].digest() == bob.core.ledger.jobs[job].digest()


# Holds.


def test_14_a_power_loss_forgets_no_hold_that_anybody_heard_of(mesh: SmallMesh) -> None:
    ann = mesh.add("p0", slots=0)
    bob = mesh.add("p1")
    mesh.run(SECOND_MS)
    job = mesh.submit("p0", frames=12)
    for fuse in range(1, 60):
        if not bob.running:
            mesh.start("p1")
        bob.fuse = fuse
        mesh.run(700)
    bob.fuse = None
    if not bob.running:
        mesh.start("p1")
    sealed(mesh, job, ann)
    book = ann.core.holding.book
    told = {hold.id for of, blob in book.by(bob.id) for hold in book.known(of, blob) if hold.author == bob.id}
    written = {entry.hold.id for entry in bob.kept() if isinstance(entry, kp.KeptHold)}
    assert told
    assert told <= written


# Claims.


def test_16_two_keepers_that_decide_for_two_claimants_leave_one_renderer_and_no_heartbeat(cast: Cast) -> None:
    claimant = Rig(cast)
    keepers = [cast.actor("ann"), cast.actor("bob")]
    claimant.meet(*keepers)
    head = cast.head(keepers[0])
    job = claimant.learn(head, *keepers, by=keepers[0])
    claimant.peer.scenes._whole[head.job.body.scene] = None
    claim = cast.claim(claimant.me, head, 0)
    claimant.peer.claims.mine[RecordId(claim.id)] = Mine(claim=claim, keeper=keepers[0].id, stand=Stand.PENDING)
    claimant.hear(keepers[0], Verdict(claim=RecordId(claim.id), yours=False))
    claimant.hear(keepers[1], Verdict(claim=RecordId(claim.id), yours=True))
    claimant.clear()
    claimant.wait(20 * SECOND_MS, *keepers)
    said = [effect.message for effect in claimant.effects if hasattr(effect, "message")]
    assert not [one for one in said if isinstance(one, Heartbeat | Running) and getattr(one, "job", job) == job]


def test_16_the_two_of_a_split_verdict_end_with_one_result_that_counts(mesh: SmallMesh) -> None:
    hosts = five(mesh, 4)
    for host in hosts:
        host.render_ms = 4_000
    job = mesh.submit("p0", frames=4)
    mesh.run_until(lambda: all(host.rendering for host in hosts))
    mesh.cut("p0", "p1")
    mesh.cut("p2", "p3")
    mesh.run(20 * SECOND_MS)
    mesh.heal()
    sealed(mesh, job, *hosts)
    assert len(hosts[0].written) == 4
    assert len({tuple(task.result for task in host.tasks(job)) for host in hosts}) == 1


def test_17_running_tasks_are_not_open_when_all_keepers_start_again(mesh: SmallMesh) -> None:
    hosts = five(mesh, 4, slots=1)
    renderer = hosts[3]
    keepers = hosts[:3]
    for host in keepers:
        host.slots = 0
    for host in hosts:
        host.render_ms = None
    job = mesh.submit("p0", frames=1)
    mesh.run_until(lambda: any(host.rendering for host in hosts))
    busy = next(host for host in hosts if host.rendering)
    (op,) = busy.rendering
    others = [host for host in hosts if host is not busy]
    for host in others:
        mesh.kill(host.actor.name)
    for host in others:
        host.slots = 1
        mesh.start(host.actor.name)
    mesh.run(RESTARTED_KEEPER_MS + 20 * SECOND_MS)
    assert renders(mesh, job) == {0: 1}
    mesh.finish(busy.actor.name, op)
    sealed(mesh, job, *hosts)
    assert renderer.running


def test_18_a_holder_cut_from_one_keeper_alone_keeps_its_lease(mesh: SmallMesh) -> None:
    hosts = five(mesh, 4)
    for host in hosts:
        host.render_ms = None
    job = mesh.submit("p0", frames=4)
    mesh.run_until(lambda: all(host.rendering for host in hosts))
    order = [mesh.named(peer) for peer in hosts[0].core.keepers.of(job, mesh.now)]
    holder = next(host for host in reversed(order) if host is not order[0])
    mesh.cut(holder.actor.name, order[0].actor.name)
    mesh.run(100 * SECOND_MS)
    assert renders(mesh, job) == dict.fromkeys(range(4), 1)


def test_19_a_hundred_idle_peers_that_choose_from_one_window_seldom_choose_alike() -> None:
    job = JobId(blob("job"))
    peers = [PeerId(blob(f"peer {number}")) for number in range(100)]

    def alone(size: int) -> int:
        window = [OpenTask(task=task, attempt=0) for task in range(size)]
        chosen = Counter(next_tasks(window, job, peer, (), 1)[0].task for peer in peers)
        return sum(count == 1 for count in chosen.values())

    assert alone(WINDOW_FACTOR * 100) > 1.5 * alone(100)


def test_20_a_hoarder_that_heartbeats_and_never_renders_loses_the_task(cast: Cast) -> None:
    keeper = Rig(cast, slots=0)
    ann = cast.actor("ann")
    head = cast.head(ann, frames=1)
    actors = [cast.actor(name) for name in ("one", "other")]
    hoarder, honest = sorted(actors, key=lambda actor: rank(JobId(head.job.id), 0, actor.id))
    keeper.meet(ann, hoarder, honest)
    job = keeper.keep(head, by=ann)
    claim = cast.claim(hoarder, head, 0)
    keeper.hear(hoarder, ClaimSent(claims=(claim,)))
    keeper.wait(SECOND_MS, ann, hoarder, honest)
    for _ in range(STALLED_UNKNOWN_MS // SECOND_MS + 2):
        keeper.hear(
            hoarder,
            Heartbeat(job=job, beats=(Beat(claim=RecordId(claim.id), progress=0),)),
            Running(claims=(claim,)),
        )
        keeper.wait(SECOND_MS, ann, hoarder, honest)
    wanted, again = (cast.claim(actor, head, 0, attempt=2) for actor in (honest, hoarder))
    keeper.hear(honest, ClaimSent(claims=(wanted,)))
    keeper.hear(hoarder, ClaimSent(claims=(claim, again)), Running(claims=(claim,)))
    keeper.wait(2 * SECOND_MS, ann, hoarder, honest)
    assert keeper.peer.leases.dockets[job].leases[0].claim == wanted.id


def test_21_a_laptop_that_slept_for_an_hour_hears_the_news_before_it_claims_or_publishes(mesh: SmallMesh) -> None:
    ann, bob, cid = five(mesh, 3)
    cid.render_ms = None
    job = mesh.submit("p0", frames=9)
    mesh.run_until(lambda: bool(cid.rendering))
    ((op, effect),) = cid.rendering.items()
    mesh.freeze("p2")
    sealed(mesh, job, ann, bob)
    mesh.run(HOUR_MS)
    before = renders(mesh, job)
    mesh.finish("p2", op)
    mesh.wake("p2")
    mesh.run(MINUTE_MS)
    assert renders(mesh, job) == before
    results = [one for one in ann.core.ledger.jobs[job].entries.values() if isinstance(one.body.what, Result)]
    assert not [one for one in results if one.author == cid.id and one.body.what.task == effect.task]
    assert state(cid, job) is JobState.SEALED


def test_21_a_keeper_that_slept_opens_nothing_before_it_heard_who_renders(mesh: SmallMesh) -> None:
    hosts = five(mesh, 3)
    for host in hosts:
        host.render_ms = None
    job = mesh.submit("p0", frames=3)
    mesh.run_until(lambda: all(host.rendering for host in hosts))
    closest = mesh.named(hosts[0].core.keepers.of(job, mesh.now)[0])
    mesh.freeze(closest.actor.name)
    mesh.run(LEASE_MS // 2)
    mesh.wake(closest.actor.name)
    mesh.run(20 * SECOND_MS)
    assert renders(mesh, job) == dict.fromkeys(range(3), 1)


# Membership.


def test_24_an_invite_that_expired_three_weeks_ago_lets_nobody_in_whatever_it_is_dated(cast: Cast) -> None:
    rig = Rig(cast)
    body = Invite(mesh=cast.mesh, key=cast.signer("found").key, roles=3, uses=9, expires=WallTime(WALL - 21 * DAY_MS))
    found = sign(body, rig.me.signer)
    (answer,) = of(rig.tell(AdmissionAsked(op=1, invite=found, subject=cast.signer("thief").key)), AnswerDoor)
    assert answer.answer == Refused(code=RefusalCode.EXPIRED)


def test_27_admissions_made_up_to_push_out_the_admitted_push_out_nobody(cast: Cast) -> None:
    rig = Rig(cast)
    grinder = cast.actor("grinder")
    rig.meet(grinder)
    body = Invite(mesh=cast.mesh, key=cast.signer("invite").key, roles=3, uses=1, expires=WallTime(WALL + DAY_MS))
    invite = sign(body, rig.me.signer)
    rig.tell(AdmissionAsked(op=1, invite=invite, subject=cast.signer("first").key))
    for batch in range(MAX_ADMISSIONS_KEPT // 32 + 4):
        made_up = tuple(
            sign(
                Admission(
                    mesh=cast.mesh,
                    subject=cast.signer(f"made up {number}").key,
                    roles=1,
                    issued=WALL,
                    expires=WallTime(WALL + DAY_MS),
                    invite=RecordId(blob(f"invite {batch} {number}")),
                ),
                grinder.signer,
            )
            for number in range(32)
        )
        rig.hear(grinder, News(heads=(), marks=(), cancels=(), admissions=made_up))
    assert len(rig.peer.door.admissions) <= MAX_ADMISSIONS_KEPT
    (answer,) = of(rig.tell(AdmissionAsked(op=2, invite=invite, subject=cast.signer("second").key)), AnswerDoor)
    assert answer.answer == Refused(code=RefusalCode.USED_UP)


def test_28_a_mesh_that_was_off_for_two_months_wakes_up_without_its_founder(cast: Cast) -> None:
    ann, bob = (cast.actor(name, expires=WALL - 30 * DAY_MS) for name in ("ann", "bob"))
    door = Rig(cast, actor=ann)
    (answer,) = of(door.tell(RenewalAsked(op=1, chain=bob.chain)), AnswerDoor)
    assert isinstance(answer.answer, Admitted)
    renewed = judge_standing(answer.answer.chain, answer.answer.renewed, cast.mesh)
    assert renewed.peer == bob.id
    assert renewed.expires > WALL


# Scale.


def test_31_a_mark_that_is_signed_again_makes_no_two_sets_differ(cast: Cast) -> None:
    rig = Rig(cast)
    ann, keeper = cast.actor("ann"), cast.actor("keeper")
    rig.meet(ann, keeper)
    head = cast.head(ann)
    rig.learn(head, keeper, by=ann)
    node = SetNode(part=WHOLE, digests=rig.peer.meshset.digests._catalogue.digests(WHOLE))
    rig.clear()
    rig.hear(
        ann, News(heads=(), marks=(cast.mark(keeper, head, WALL + HOUR_MS + MINUTE_MS),), cancels=(), admissions=())
    )
    assert rig.peer.meshset.marks[JobId(head.job.id)][keeper.id].body.expires == WALL + HOUR_MS + MINUTE_MS
    rig.clear()
    rig.hear(ann, SetDigests(nodes=(node,)))
    assert not [
        effect for effect in rig.effects if isinstance(getattr(effect, "message", None), SetDigests | SetKeys | Offer)
    ]
