"""What people say of pictures: who is obeyed, until when, and who hears of a complaint."""

import pytest

from mesh.core.effects import Declined, Export, Reply, Ruled
from mesh.core.events import ChannelClosed, Exported, FetchAsked, RejectAsked
from mesh.ground.ids import BlobId, JobId
from mesh.ground.limits import COMPLAINTS_PER_AUTHOR
from mesh.wire.complaints import Complaint, Complaints
from mesh.wire.envelope import Signed, sign
from mesh.wire.kept import KeptDelivery, KeptEntries
from mesh.wire.messages import Head
from mesh.wire.records import Entry, Reject, Result, Seal
from tests.support.cast import Actor, Cast, block, cut_into
from tests.support.rig import Rig, journal, kept, of, sent

OUT = "/home/me/out"


class Office:
    """A peer that submitted a job, or judges one of ann's, or has no say in it; bob renders, cid is a judge."""

    def __init__(self, cast: Cast, role: str = "submitter", *, cut: bool = False) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
        author = self.rig.me if role == "submitter" else self.ann
        judges = (self.cid, self.rig.me) if role == "judge" else (self.cid,)
        self.head: Head = cast.head(author, frames=3, cut=cut_into(2, 1) if cut else None, judges=judges)
        self.rig.meet(self.ann, self.bob, self.cid)
        self.job: JobId = self.rig.keep(self.head, by=self.ann)

    def rendered(self, task: int, attempt: int = 1) -> Signed[Entry]:
        result = self.cast.result(self.bob, self.head, task, attempt)
        self.rig.peer.swarm._complete[picture(result)] = None
        self.rig.take(self.head, result, by=self.bob)
        return result

    def ordered(self) -> None:
        self.rig.tell(FetchAsked(op=1, job=self.job, directory=OUT, overwrite=False))

    def written(self) -> Export:
        export = of(self.rig.effects, Export)[-1]
        self.rig.tell(Exported(op=export.op))
        return export

    def ask(self, *frames: int, reason: str = "it is black") -> Ruled | Declined:
        effects = self.rig.tell(RejectAsked(op=7, job=self.job, frames=frames, reason=reason))
        (reply,) = of(effects, Reply)
        assert isinstance(reply.reply, Ruled | Declined)
        return reply.reply

    def rejects(self) -> list[Reject]:
        entries = [entry for message in kept(self.rig.effects, KeptEntries) for entry in message.entries]
        return [entry.body.what for entry in entries if isinstance(entry.body.what, Reject)]


def picture(result: Signed[Entry]) -> BlobId:
    assert isinstance(result.body.what, Result)
    return result.body.what.outputs[0].blob


@pytest.mark.parametrize("role", ["submitter", "judge"])
def test_who_may_rule_rejects_what_counts_and_says_why(cast: Cast, role: str) -> None:
    office = Office(cast, role)
    result = office.rendered(1)
    assert office.ask(2) == Ruled(job=office.job, frames=1, complained=False)
    (reject,) = office.rejects()
    assert (reject.task, reject.result, reject.reason) == (1, result.id, "it is black")
    assert office.rig.peer.ledger.jobs[office.job].task(1).counting is None
    refused = office.ask(2)
    assert isinstance(refused, Declined)
    assert refused.code == "no-picture", "it was rejected already"


def test_anybody_else_complains_to_those_who_may_rule(cast: Cast) -> None:
    office = Office(cast, "nobody")
    result = office.rendered(0)
    assert office.ask(1) == Ruled(job=office.job, frames=1, complained=True)
    assert office.rejects() == []
    assert office.rig.peer.ledger.jobs[office.job].task(0).counting == result
    told = {peer for peer, _ in sent(office.rig.effects, Complaints)}
    assert {office.ann.id, office.cid.id} <= told


def test_frames_without_a_picture_and_strange_ones_are_named(cast: Cast) -> None:
    office = Office(cast)
    office.rendered(0)
    bare, strange = office.ask(1, 3), office.ask(9)
    assert isinstance(bare, Declined)
    assert isinstance(strange, Declined)
    assert (bare.code, strange.code) == ("no-picture", "no-such-frame")
    assert bare.text.endswith("frame 3")
    assert office.ask() == Ruled(job=office.job, frames=1, complained=False), "all that there are"


def test_a_delivered_file_is_replaced_after_its_reject_and_the_person_is_told(cast: Cast) -> None:
    office = Office(cast)
    office.ordered()
    first = office.rendered(0)
    office.written()
    office.ask(1)
    second = office.rendered(0, attempt=2)
    export = office.written()
    assert (export.blob, export.overwrite) == (picture(second), True)
    assert [entry.result for entry in kept(office.rig.effects, KeptDelivery)] == [first.id, second.id]
    view = office.rig.peer.job_view(office.rig.now, office.job)
    assert view is not None
    assert any("was replaced" in problem and "it is black" in problem for problem in view.problems)
    again = Rig(cast, kept=journal(office.rig.effects), complete=(picture(first), picture(second)), actor=office.rig.me)
    own = again.peer.delivery.own(office.job)
    assert own is not None
    assert own.delivered == {0: second.id}, "also after a restart"
    assert not of(again.effects, Export)


def test_a_delivered_file_is_replaced_where_its_result_counts_no_more_anyway(cast: Cast) -> None:
    office = Office(cast)
    office.ordered()
    late = cast.result(office.bob, office.head, 0, 1)
    office.rendered(0, attempt=2)
    office.written()
    office.rig.peer.swarm._complete[picture(late)] = None
    office.rig.take(office.head, late, by=office.bob)
    office.ask(1)
    assert len(office.rejects()) == 2, "what was written, and what counts now"
    third = office.rendered(0, attempt=3)
    assert office.written().blob == picture(third)


def test_nothing_is_rejected_once_the_submitter_has_sealed(cast: Cast) -> None:
    office = Office(cast, "judge")
    office.rendered(0)
    office.rig.take(
        office.head, cast.entry(office.ann, office.head, Seal(blob=picture(office.rendered(1)))), by=office.ann
    )
    refused = office.ask(1)
    assert isinstance(refused, Declined)
    assert refused.code == "sealed"


def test_of_a_frame_that_was_made_of_buckets_these_are_rejected_too(cast: Cast) -> None:
    office = Office(cast, cut=True)
    frame = 2
    buckets = [cast.result(office.bob, office.head, frame, block=block(column, 0)) for column in (0, 1)]
    made = cast.result(office.bob, office.head, frame, assembles=True)
    office.rig.take(office.head, *buckets, made, by=office.bob)
    office.ask(3)
    assert {reject.result for reject in office.rejects()} == {entry.id for entry in (*buckets, made)}


def complaint(office: Office, author: Actor, of_: Signed[Entry], reason: str = "odd") -> Signed[Complaint]:
    body = Complaint(job=office.job, task=0, result=of_.id, reason=reason)  # type: ignore[arg-type]
    return sign(body, author.signer)


def test_a_keeper_passes_a_complaint_on_once_and_to_a_judge_that_comes_later(cast: Cast) -> None:
    office = Office(cast, "nobody")
    result = office.rendered(0)
    office.rig.tell(ChannelClosed(peer=office.cid.id, clean=True))
    office.rig.clear()
    said = Complaints(complaints=(complaint(office, office.bob, result),))
    office.rig.hear(office.bob, said)
    assert {peer for peer, _ in sent(office.rig.effects, Complaints)} == {office.ann.id}
    office.rig.hear(office.bob, said)
    assert len(sent(office.rig.effects, Complaints)) == 1
    office.rig.meet(office.cid, life="again")
    assert office.cid.id in {peer for peer, _ in sent(office.rig.effects, Complaints)}


def test_complaints_are_shown_until_somebody_rejects_and_no_author_fills_the_list(cast: Cast) -> None:
    office = Office(cast)
    result = office.rendered(0)
    for number in range(2 * COMPLAINTS_PER_AUTHOR):
        office.rig.hear(office.bob, Complaints(complaints=(complaint(office, office.bob, result, f"{number}"),)))
    view = office.rig.peer.job_view(office.rig.now, office.job)
    assert view is not None
    assert len(view.complaints) == COMPLAINTS_PER_AUTHOR
    assert view.complaints[0].frame == 1
    office.ask(1)
    view = office.rig.peer.job_view(office.rig.now, office.job)
    assert view is not None
    assert view.complaints == ()


def test_a_complaint_outlives_its_peers_and_its_keepers_restart(cast: Cast) -> None:
    for role in ("guest", "keeper"):
        office = Office(cast, "guest")
        result = office.rendered(0)
        if role == "guest":
            assert office.ask(1) == Ruled(job=office.job, frames=1, complained=True)
        else:
            office.rig.hear(office.bob, Complaints(complaints=(complaint(office, office.bob, result),)))
        again = Rig(cast, kept=journal(office.rig.effects), complete=(picture(result),), actor=office.rig.me, slots=0)
        again.meet(office.ann)
        (told,) = [message for peer, message in sent(again.effects, Complaints) if peer == office.ann.id]
        assert [said.body.result for said in told.complaints] == [result.id]
        again.take(office.head, cast.reject(office.ann, office.head, result), by=office.ann)
        once_more = Rig(
            cast, kept=(*journal(office.rig.effects), *journal(again.effects)), actor=office.rig.me, slots=0
        )
        once_more.meet(office.ann)
        assert not sent(once_more.effects, Complaints), "it was ruled on"


def test_a_stranger_does_not_complain(cast: Cast) -> None:
    office = Office(cast)
    stranger = Cast().actor("stranger")
    office.rig.hear(office.bob, Complaints(complaints=(complaint(office, stranger, office.rendered(0)),)))
    assert office.rig.peer.rulings.of(office.job) == []
