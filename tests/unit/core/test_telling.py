"""Who is told of holds, when a copy is here or is not, and how much at a time."""

import pytest

from mesh.core.effects import CheckOutput, FetchManifest, FetchPieces, Send, Stopped
from mesh.core.events import BlobDamaged, BlobStarted, ChannelClosed, OutputChecked, PiecesStored, StopAsked
from mesh.core.telling import HOLDS_TOLD_PER_SECOND
from mesh.core.turn import Turn
from mesh.ground.ids import JobId
from mesh.ground.instants import SECOND_MS
from mesh.wire.copies import HoldAsk, Holds
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptHead
from mesh.wire.messages import Have
from mesh.wire.records import Hold
from tests.support.cast import Cast, blob
from tests.support.rig import Rig, of, sent
from tests.unit.core.test_repair import Taker


class Rotten(Taker):
    """Who has taken bob's place while bob was away, and whose copy has rotted since."""

    def __init__(self, cast: Cast) -> None:
        super().__init__(cast)
        self.rig.tell(ChannelClosed(peer=self.bob.id, clean=False))
        self.asked()
        self.brings()
        self.checks()
        (self.mine,) = self.given()
        self.rots()
        self.rig.clear()

    def rots(self) -> None:
        self.rig.tell(BlobDamaged(blob=self.picture))

    def mends(self) -> None:
        """Let ann send the copy again."""
        self.rig.clear()
        self.rig.hear(self.ann, Have(blob=self.picture, pieces=0, bits=b""))
        (manifest,) = of(self.rig.effects, FetchManifest)
        self.rig.tell(BlobStarted(op=manifest.op, blob=self.picture, pieces=1, have=()))
        (pieces,) = of(self.rig.effects, FetchPieces)
        self.rig.tell(PiecesStored(op=pieces.op, blob=self.picture, numbers=(0,), complete=True))
        for check in of(self.rig.effects, CheckOutput):
            self.rig.tell(OutputChecked(op=check.op, blob=self.picture, good=True))
        self.rig.wait(2 * SECOND_MS, self.ann, self.bob)

    def told(self) -> list[tuple[bytes, Signed[Hold]]]:
        return [(peer, hold) for peer, message in sent(self.rig.effects, Holds) for hold in message.holds]


@pytest.fixture
def rotten(cast: Cast) -> Rotten:
    return Rotten(cast)


def test_whose_place_was_taken_hears_so_only_while_the_copy_is_there(rotten: Rotten) -> None:
    """Else he lets go of his own, which may be the last."""
    rotten.rig.let_in(rotten.bob)
    rotten.rig.hear(rotten.bob, Holds(holds=(rotten.bobs,)))
    rotten.rig.wait(3 * SECOND_MS, rotten.ann, rotten.bob)
    assert rotten.told() == []
    rotten.mends()
    assert rotten.told() == [(rotten.bob.id, rotten.mine)]


def test_who_asks_for_a_copy_is_not_told_of_one_that_is_not_there(rotten: Rotten) -> None:
    rotten.asked(rotten.anns)
    assert rotten.told() == []
    rotten.mends()
    assert rotten.told() == [(rotten.ann.id, rotten.mine)]


def test_a_hold_that_was_given_twice_is_told_once(cast: Cast) -> None:
    taker = Taker(cast)
    taker.rig.tell(ChannelClosed(peer=taker.bob.id, clean=False))
    taker.asked()
    taker.brings()
    taker.checks()
    (first,) = taker.given()
    eve = cast.actor("eve")
    taker.rig.let_in(eve)
    listed = (first.id, *first.body.replaces)
    eves = cast.hold(eve, taker.head, taker.picture, b"eve's".ljust(16), replaces=listed)
    taker.rig.hear(eve, Holds(holds=(eves,)))
    taker.rig.clear()
    taker.asked(eves)
    taker.checks()
    (second,) = taker.given()
    assert first.id in second.body.replaces
    taker.rig.clear()
    taker.rig.let_in(taker.bob)
    assert sent(taker.rig.effects, Holds) == [(taker.bob.id, Holds(holds=(second,)))]


def test_what_binds_no_more_is_owed_to_nobody(cast: Cast) -> None:
    taker = Taker(cast)
    taker.rig.tell(ChannelClosed(peer=taker.bob.id, clean=False))
    taker.asked()
    taker.brings()
    taker.checks()
    taker.rig.take(taker.head, cast.cancel(taker.ann, taker.head), by=taker.ann)
    taker.rig.clear()
    taker.rig.let_in(taker.bob)
    assert sent(taker.rig.effects, Holds) == []
    assert taker.rig.peer.holding._telling._owed == {}


class Rich:
    """Who holds many outputs of several jobs that ann submitted."""

    def __init__(self, cast: Cast, *, jobs: int, each: int) -> None:
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.bob)
        for number in range(jobs):
            head = cast.head(self.ann, number=1 + number, frames=each)
            self.rig.learn(head, by=self.bob)
            for task in range(each):
                hold = cast.hold(self.rig.me, head, blob(f"{number} {task}"))
                self.rig.peer.holding.book.add(hold, each)
                self.rig.peer.swarm._complete[hold.body.blob] = None
        self.rig.clear()

    def told(self) -> list[Signed[Hold]]:
        return [hold for _, message in sent(self.rig.effects, Holds) for hold in message.holds]


def test_many_holds_leave_bit_by_bit_however_often_somebody_comes(cast: Cast) -> None:
    rich = Rich(cast, jobs=3, each=HOLDS_TOLD_PER_SECOND // 2)
    for life in range(5):
        rich.rig.meet(rich.ann, life=str(life))
    assert len(rich.told()) == HOLDS_TOLD_PER_SECOND
    rich.rig.wait(3 * SECOND_MS, rich.ann, rich.bob)
    assert len({hold.id for hold in rich.told()}) == 3 * (HOLDS_TOLD_PER_SECOND // 2)
    rich.rig.clear()
    rich.rig.wait(3 * SECOND_MS, rich.ann, rich.bob)
    assert rich.told() == []


def test_who_goes_while_he_is_told_is_told_no_more(cast: Cast) -> None:
    rich = Rich(cast, jobs=3, each=HOLDS_TOLD_PER_SECOND // 2)
    rich.rig.meet(rich.ann)
    rich.rig.tell(ChannelClosed(peer=rich.ann.id, clean=False))
    rich.rig.clear()
    rich.rig.wait(2 * SECOND_MS, rich.bob)
    assert rich.told() == []
    assert rich.rig.peer.holding._telling._due == {}


def test_a_few_holds_of_each_of_a_thousand_jobs_are_told_in_few_messages(cast: Cast) -> None:
    rich = Rich(cast, jobs=60, each=3)
    rich.rig.meet(rich.ann)
    messages = [effect for effect in of(rich.rig.effects, Send) if isinstance(effect.message, Holds)]
    assert len(rich.told()) == 180
    assert len(messages) == 3


def test_an_ask_for_a_copy_that_binds_is_answered_at_once(cast: Cast) -> None:
    taker = Taker(cast)
    taker.asked()
    taker.brings()
    taker.checks()
    (mine,) = taker.given()
    taker.rig.clear()
    ask = HoldAsk(job=taker.job, blob=taker.picture, replaced=None, others=())
    taker.rig.hear(taker.ann, ask)
    assert sent(taker.rig.effects, Holds) == [(taker.ann.id, Holds(holds=(mine,)))]


def test_a_forgotten_job_is_owed_nothing_and_nobody_trips_over_it(cast: Cast) -> None:
    """After a restart every job was sorted by what is safe, also one that was only heard of."""
    head = cast.head(cast.actor("ann"))
    rig = Rig(cast, kept=(KeptHead(head=head),), slots=0)
    job = JobId(head.job.id)
    turn = Turn(rig.now, rig.peer._dice, rig.me.id)
    rig.peer.meshset._forget(turn, job)
    rig.peer._settle(turn)
    assert job not in rig.peer.ledger.jobs
    assert Stopped() in rig.tell(StopAsked(now=False))
