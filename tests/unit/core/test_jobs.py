"""Commands about jobs: what is taken, and what its record says."""

import pytest

from mesh.core.effects import Accepted, Append, Declined, Reply, Send
from mesh.core.events import CancelAsked, ChannelClosed, FetchAsked, JobPlanned
from mesh.ground.instants import DAY_MS, HOUR_MS, SECOND_MS
from mesh.ground.limits import JOB_DAYS_MS
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries, KeptHead, KeptOrder
from mesh.wire.members import ALL_ROLES, Role
from mesh.wire.messages import Head, News
from mesh.wire.records import Cancel, Job
from mesh.wire.tasks import FrameRange, Frames
from tests.support.cast import ENGINE, NAMES, PICTURE, Actor, Cast, blob
from tests.support.rig import Rig, kept, of, sent


def planned(op: int = 1) -> JobPlanned:
    return JobPlanned(
        op=op,
        name="shot",
        scene=blob("scene"),
        scene_blobs=(blob("scene"), blob("part")),
        engine=ENGINE,
        frames=Frames(ranges=(FrameRange(first=1, last=4, step=1),)),
        names=NAMES,
        picture=PICTURE,
        directory="/out",
        overwrite=False,
    )


def submitted(rig: Rig) -> Signed[Job]:
    rig.tell(planned())
    head: Head = kept(rig.effects, KeptHead)[-1].head
    return head.job


def reply(rig: Rig) -> Accepted | Declined:
    return of(rig.effects, Reply)[-1].reply


@pytest.fixture
def people(cast: Cast) -> list[Actor]:
    return [cast.actor(f"p{number}") for number in range(4)]


def test_a_job_is_signed_kept_told_and_then_acknowledged(cast: Cast, people: list[Actor]) -> None:
    rig = Rig(cast)
    rig.meet(*people)
    effects = rig.tell(planned())
    (head,) = [entry.head for entry in kept(effects, KeptHead)]
    assert reply(rig) == Accepted(job=head.job.id)  # type: ignore[arg-type]
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Append) < kinds.index(Send)
    answered = kinds.index(Reply)
    assert kept(effects[:answered], KeptHead)
    assert kept(effects[:answered], KeptOrder)
    assert {peer for peer, news in sent(effects, News) if news.heads} == {actor.id for actor in people}


@pytest.mark.parametrize(("others", "copies", "tries"), [(0, 1, 2), (1, 2, 2), (2, 3, 3), (4, 3, 3)])
def test_copies_and_tries_follow_the_peers_heard_of_lately(
    cast: Cast, people: list[Actor], others: int, copies: int, tries: int
) -> None:
    rig = Rig(cast)
    rig.meet(*people[:others])
    body = submitted(rig).body
    assert (body.copies, body.tries) == (copies, tries)


def test_peers_that_were_not_heard_of_for_an_hour_do_not_count(cast: Cast, people: list[Actor]) -> None:
    rig = Rig(cast)
    rig.meet(*people)
    for actor in people:
        rig.tell(ChannelClosed(peer=actor.id, clean=False))
    rig.jump(HOUR_MS + SECOND_MS)
    assert submitted(rig).body.copies == 1


def test_jobs_are_numbered_and_end_on_their_last_day(cast: Cast) -> None:
    rig = Rig(cast)
    bodies = [submitted(rig).body for _ in range(3)]
    assert [body.number for body in bodies] == [1, 2, 3]
    assert bodies[0].last_day == rig.now.wall + JOB_DAYS_MS


def test_who_may_not_submit_is_told_so(cast: Cast) -> None:
    rig = Rig(cast, roles=Role.RENDER)
    rig.tell(planned())
    answer = reply(rig)
    assert isinstance(answer, Declined)
    assert answer.code == "may-not-submit"
    assert kept(rig.effects, KeptHead) == []


def test_a_cancel_is_on_the_disk_before_it_is_acknowledged_and_leaves_at_once(cast: Cast, people: list[Actor]) -> None:
    rig = Rig(cast)
    rig.meet(*people)
    job = submitted(rig)
    effects = rig.tell(CancelAsked(op=9, job=job.id))  # type: ignore[arg-type]
    answered = next(at for at, effect in enumerate(effects) if isinstance(effect, Reply))
    cancels = [e for message in kept(effects[:answered], KeptEntries) for e in message.entries]
    assert [type(entry.body.what) for entry in cancels] == [Cancel]
    assert {peer for peer, news in sent(effects, News) if news.cancels} == {actor.id for actor in people}


def test_only_submitter_and_admin_cancel(cast: Cast, people: list[Actor]) -> None:
    head = cast.head(people[0])
    for roles, allowed in ((Role.RENDER | Role.SUBMIT, False), (ALL_ROLES, True)):
        rig = Rig(cast, roles=roles)
        rig.meet(people[0])
        job = rig.learn(head, by=people[0])
        rig.tell(CancelAsked(op=9, job=job))
        assert isinstance(reply(rig), Accepted) is allowed


def test_a_job_that_nobody_knows_is_declined_with_a_word(cast: Cast) -> None:
    rig = Rig(cast)
    for event in (
        CancelAsked(op=1, job=blob("no job")),  # type: ignore[arg-type]
        FetchAsked(op=1, job=blob("no job"), directory="/out", overwrite=False),  # type: ignore[arg-type]
    ):
        rig.tell(event)
        answer = reply(rig)
        assert isinstance(answer, Declined)
        assert answer.code == "unknown-job"
        assert answer.text


def test_alone_a_submitter_is_told_that_the_job_is_only_here_and_never_that_it_may_go(cast: Cast) -> None:
    rig = Rig(cast)
    job = submitted(rig)
    view = rig.peer.job_view(rig.now, job.id)  # type: ignore[arg-type]
    assert view is not None
    assert view.only_here
    assert not view.may_go


def test_it_may_go_once_others_hold_the_scene_and_keep_the_record(cast: Cast, people: list[Actor]) -> None:
    rig = Rig(cast)
    rig.meet(*people[:2])
    job = submitted(rig)
    head = Head(job=job, chain=rig.me.chain)

    def may_go() -> bool:
        view = rig.peer.job_view(rig.now, job.id)  # type: ignore[arg-type]
        assert view is not None
        return view.may_go

    for actor in people[:2]:
        rig.hear(actor, Holds(holds=(cast.hold(actor, head, blob("scene")),)))
    assert not may_go()
    marks = tuple(cast.mark(actor, head, rig.now.wall + HOUR_MS) for actor in people[:2])
    rig.hear(people[0], News(heads=(), marks=marks[:1], cancels=(), admissions=()))
    assert not may_go()
    rig.hear(people[0], News(heads=(), marks=marks[1:], cancels=(), admissions=()))
    assert may_go()
    rig.jump(2 * DAY_MS)
    assert not may_go(), "marks that expired keep nothing"
