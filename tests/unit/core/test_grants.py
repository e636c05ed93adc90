"""Whose grants a peer takes up, where one coordinator follows another."""

import pytest

from mesh.core.effects import StartRender
from mesh.ground.ids import JobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import UNANSWERED_MS
from mesh.wire.envelope import sign
from mesh.wire.grids import Block
from mesh.wire.messages import ClaimSent, Withdraw
from mesh.wire.stills import Epoch, Grant, Grants, Leading
from tests.support.cast import Actor, Cast, block, cut_into
from tests.support.rig import Rig, of, sent


class Subject:
    """A peer with a still's scene, which two others keep."""

    def __init__(self, cast: Cast) -> None:
        self.rig = Rig(cast)
        self.one, self.other = sorted((cast.actor("ann"), cast.actor("bob")), key=lambda actor: actor.id)
        self.rig.meet(self.one, self.other)
        head = cast.head(self.one, frames=1, cut=cut_into(8, 8))
        self.job: JobId = self.rig.learn(head, self.one, self.other, by=self.one)
        self.rig.peer.scenes._whole[head.job.body.scene] = None
        self.rig.wait(2 * SECOND_MS, self.one, self.other)
        self.rig.clear()

    def leads(self, actor: Actor, number: int) -> None:
        self.rig.hear(actor, Leading(epoch=sign(Epoch(job=self.job, number=number), actor.signer)))

    def grants(self, actor: Actor, number: int, found: Block) -> None:
        body = Grant(job=self.job, epoch=number, number=1, peer=self.rig.me.id, task=0, block=found, attempt=0)
        self.rig.hear(actor, Grants(grants=(sign(body, actor.signer),)))

    def claimed(self) -> list[Block | None]:
        return [claim.body.block for _, said in sent(self.rig.effects, ClaimSent) for claim in said.claims]


@pytest.fixture
def subject(cast: Cast) -> Subject:
    return Subject(cast)


def test_grants_of_a_lower_epoch_than_is_followed_are_not_heard(subject: Subject) -> None:
    subject.leads(subject.one, 3)
    subject.leads(subject.other, 4)
    subject.grants(subject.one, 3, block(0, 0))
    subject.grants(subject.one, 4, block(1, 0))
    assert subject.claimed() == [], "of two with one number the higher id is followed"
    assert sent(subject.rig.effects, Withdraw) == []
    subject.rig.wait(UNANSWERED_MS, subject.one, subject.other)
    assert of(subject.rig.effects, StartRender) == []


def test_whoever_leads_now_is_heard_at_once_also_where_its_epoch_was_not(subject: Subject) -> None:
    subject.leads(subject.one, 3)
    subject.grants(subject.one, 3, block(0, 0))
    subject.grants(subject.other, 4, block(1, 0))
    assert subject.claimed() == [block(0, 0), block(1, 0)]


def test_who_leads_again_is_heard_by_its_new_epoch_alone(subject: Subject) -> None:
    subject.leads(subject.other, 2)
    subject.leads(subject.one, 3)
    subject.leads(subject.other, 4)
    subject.grants(subject.other, 2, block(0, 0))
    subject.grants(subject.other, 4, block(1, 0))
    assert subject.claimed() == [block(1, 0)]
