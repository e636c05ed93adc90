"""Who coordinates a job: the closest keeper that answers, until it dies or is silent, whoever else says so."""

import pytest

from mesh.core.events import ChannelClosed, DialFailed
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LEASE_MS
from mesh.wire.envelope import Signed, sign
from mesh.wire.messages import Head
from mesh.wire.stills import MAX_EPOCH, Epoch, Leading
from tests.support.cast import Actor, Cast, cut_into
from tests.support.rig import Rig, sent


class Throne:
    """A keeper of ann's still, and another one; either is the closer keeper."""

    def __init__(self, cast: Cast, *, first: bool) -> None:
        self.cast = cast
        for number in range(32):
            self.rig = Rig(cast, slots=0)
            self.ann, self.other, self.bob = cast.actor("ann"), cast.actor("other keeper"), cast.actor("bob")
            self.rig.meet(self.ann, self.other, self.bob)
            self.head: Head = cast.head(self.ann, frames=1 + number, cut=cut_into(2, 1, frames=1 + number))
            self.job: JobId = self.rig.keep(self.head, self.other, by=self.ann)
            if (self.rig.peer.keepers.of(self.job, self.rig.now)[0] == self.rig.me.id) == first:
                break
        self.rig.clear()

    def epoch(self) -> Signed[Epoch] | None:
        return self.rig.peer.election.epoch(self.job)

    def followed(self) -> tuple[int, PeerId]:
        epoch = self.epoch()
        assert epoch is not None
        return (epoch.body.number, epoch.author)

    def told(self, actor: Actor) -> list[Signed[Epoch]]:
        return [said.epoch for peer, said in sent(self.rig.effects, Leading) if peer == actor.id]

    def says(self, actor: Actor, number: int, *, by: Actor | None = None) -> Signed[Epoch]:
        epoch = sign(Epoch(job=self.job, number=number), actor.signer)
        self.rig.hear(by or actor, Leading(epoch=epoch))
        return epoch

    def wait(self, for_ms: int) -> None:
        self.rig.wait(for_ms, self.ann, self.other, self.bob)


@pytest.fixture
def first(cast: Cast) -> Throne:
    return Throne(cast, first=True)


@pytest.fixture
def second(cast: Cast) -> Throne:
    return Throne(cast, first=False)


def test_the_closest_keeper_leads_and_says_so_each_second(first: Throne) -> None:
    first.wait(5 * SECOND_MS)
    assert first.followed() == (1, first.rig.me.id)
    assert 4 <= len(first.told(first.other)) <= 7
    assert first.told(first.bob) == [], "who keeps nothing hears of it with its window"


def test_the_next_keeper_waits_for_who_is_closer(second: Throne) -> None:
    second.wait(5 * SECOND_MS)
    assert second.epoch() is None
    second.says(second.other, 1)
    assert second.followed() == (1, second.other.id)


def test_who_is_silent_is_followed_for_a_lease_and_no_longer(second: Throne) -> None:
    second.says(second.other, 1)
    second.wait(LEASE_MS - SECOND_MS)
    assert second.followed() == (1, second.other.id)
    second.says(second.other, 1)
    second.wait(LEASE_MS - SECOND_MS)
    assert second.followed() == (1, second.other.id)
    second.wait(2 * SECOND_MS)
    assert second.followed() == (2, second.rig.me.id)


def test_who_is_dead_is_followed_no_moment_longer(second: Throne) -> None:
    second.says(second.other, 4)
    second.rig.tell(ChannelClosed(peer=second.other.id, clean=False))
    second.rig.tell(DialFailed(peer=second.other.id, refused=True))
    assert second.followed() == (5, second.rig.me.id)


def test_a_lower_epoch_is_answered_by_the_higher_one(second: Throne) -> None:
    higher = second.says(second.other, 3)
    second.rig.clear()
    second.says(second.other, 2)
    assert second.followed() == (3, second.other.id)
    assert second.told(second.other) == [higher]


def test_an_epoch_of_who_does_not_keep_the_job_is_nothing_whoever_brings_it(second: Throne) -> None:
    second.says(second.bob, 9)
    second.says(second.bob, 9, by=second.other)
    assert second.epoch() is None


def test_the_highest_epoch_leaves_nobody_without_one(second: Throne) -> None:
    second.says(second.other, MAX_EPOCH)
    second.wait(LEASE_MS + 2 * SECOND_MS)
    number, _author = second.followed()
    assert number == MAX_EPOCH


def test_who_leads_says_so_also_while_there_is_nothing_to_grant(first: Throne) -> None:
    """Or the next one would hold it for silent, once there is."""
    first.wait(SECOND_MS)
    first.rig.peer.election._has_buckets = lambda _ledger: False
    first.rig.clear()
    first.wait(LEASE_MS)
    assert len(first.told(first.other)) >= LEASE_MS // SECOND_MS - 1


def test_a_job_that_has_ended_is_led_by_nobody(first: Throne) -> None:
    first.wait(SECOND_MS)
    first.rig.take(first.head, first.cast.cancel(first.ann, first.head), by=first.ann)
    first.rig.clear()
    first.wait(3 * SECOND_MS)
    assert first.epoch() is None
    assert first.told(first.other) == []


def test_the_next_keeper_leads_where_who_is_closer_does_not(cast: Cast) -> None:
    """It may have just started, and decide nothing for some seconds."""
    for number in range(64):
        rig = Rig(cast, slots=0)
        ann, closer, third = cast.actor("ann"), cast.actor("closer keeper"), cast.actor("third keeper")
        rig.meet(ann, closer, third)
        head = cast.head(ann, frames=1 + number, cut=cut_into(2, 1, frames=1 + number))
        job = rig.keep(head, closer, third, by=ann)
        if [peer for peer in rig.peer.keepers.of(job, rig.now) if peer != third.id] == [closer.id, rig.me.id]:
            break
    rig.hear(third, Leading(epoch=sign(Epoch(job=job, number=1), third.signer)))
    rig.tell(ChannelClosed(peer=third.id, clean=False))
    rig.tell(DialFailed(peer=third.id, refused=True))
    epoch = rig.peer.election.epoch(job)
    assert epoch is not None
    assert epoch.author == third.id, "who is closer has its time"
    rig.wait(SECOND_MS, ann, closer)
    epoch = rig.peer.election.epoch(job)
    assert epoch is not None
    assert (epoch.body.number, epoch.author) == (2, rig.me.id)
