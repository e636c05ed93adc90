"""Who can reach whom: who is asked, who is dialled and how often, and what the person hears in the end."""

import pytest

from mesh.core import events as ev
from mesh.core.effects import ReachFound, Report, TryDials
from mesh.ground.ids import PeerId
from mesh.ground.instants import HOUR_MS, SECOND_MS, WallTime, wall_later
from mesh.ground.limits import DIALLED_BACK_MS, DIALLING_BACK, MAX_REACH_ASKED, REACH_MS, WITNESSES
from mesh.wire.dials import DialledBack, DialMe, Outcome, Tried
from mesh.wire.messages import Address, Hello
from tests.support.cast import Actor, Cast, blob
from tests.support.rig import Rig, of, sent

HERE = Tried(address=Address(host="192.0.2.7", port=7_000), outcome=Outcome.REACHED)
THERE = Address(host="192.0.2.9", port=7_000)


@pytest.fixture
def rig(cast: Cast) -> Rig:
    made = Rig(cast)
    made.meet(*(cast.actor(name) for name in ("ann", "bob", "cid", "dan", "eve")))
    made.clear()
    return made


def answer(rig: Rig, actor: Actor, *, ahead_ms: int = 0, took_ms: int = 0, number: int = 7) -> None:
    heard = WallTime(rig.now.wall + ahead_ms)
    rig.hear(actor, DialledBack(number=number, heard=heard, told=wall_later(heard, took_ms), tried=(HERE,)))


def test_a_few_are_asked_and_their_answers_told(rig: Rig, cast: Cast) -> None:
    rig.tell(ev.ReachAsked(op=7, peer=None))
    asked = [peer for peer, _ in sent(rig.effects, DialMe)]
    assert len(set(asked)) == WITNESSES
    people = {cast.actor(name).id: cast.actor(name) for name in ("ann", "bob", "cid", "dan", "eve")}
    for peer in asked:
        assert not of(rig.effects, ReachFound)
        answer(rig, people[peer])
        answer(rig, people[peer])
    (found,) = of(rig.effects, ReachFound)
    assert found.reports == tuple(Report(peer=peer, ahead_ms=0, tried=(HERE,)) for peer in asked)
    assert (found.op, found.mine, found.silent) == (7, (), ())


def test_who_does_not_answer_is_named_when_the_time_is_over(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.tell(ev.ReachAsked(op=7, peer=ann.id))
    rig.wait(REACH_MS, *(cast.actor(name) for name in ("ann", "bob")))
    (found,) = of(rig.effects, ReachFound)
    assert (found.reports, found.silent) == ((), (ann.id,))
    answer(rig, ann)
    assert len(of(rig.effects, ReachFound)) == 1


@pytest.mark.parametrize("ahead_ms", [0, -4 * HOUR_MS, 90_000])
def test_the_difference_of_clocks_does_not_depend_on_how_long_the_dials_took(
    rig: Rig, cast: Cast, ahead_ms: int
) -> None:
    ann = cast.actor("ann")
    rig.tell(ev.ReachAsked(op=7, peer=ann.id))
    heard = WallTime(rig.now.wall + ahead_ms + 40)
    rig.jump(2_080)
    rig.hear(ann, DialledBack(number=7, heard=heard, told=WallTime(rig.now.wall + ahead_ms - 40), tried=()))
    (found,) = of(rig.effects, ReachFound)
    assert found.reports[0].ahead_ms == ahead_ms


def test_the_way_to_a_peer_is_tried_from_here_too(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.hear(ann, Hello(name="ann", program="meshnode", addresses=(THERE,), wall=rig.now.wall, chain=ann.chain))
    rig.tell(ev.ReachAsked(op=7, peer=ann.id))
    (trial,) = of(rig.effects, TryDials)
    assert (trial.peer, trial.addresses) == (ann.id, (THERE,))
    answer(rig, ann)
    assert not of(rig.effects, ReachFound)
    mine = (Tried(address=THERE, outcome=Outcome.SILENT),)
    rig.tell(ev.DialsTried(op=trial.op, tried=mine))
    (found,) = of(rig.effects, ReachFound)
    assert found.mine == mine
    rig.clear()
    rig.tell(ev.ChannelClosed(peer=ann.id, clean=False))
    rig.tell(ev.ReachAsked(op=8, peer=ann.id))
    assert not sent(rig.effects, DialMe), "without a channel it cannot be asked"
    (trial,) = of(rig.effects, TryDials)
    rig.tell(ev.DialsTried(op=trial.op, tried=()))
    assert of(rig.effects, ReachFound)


def test_where_there_is_nobody_to_ask_the_answer_comes_at_once(cast: Cast) -> None:
    rig = Rig(cast)
    for op, peer in ((1, None), (2, PeerId(blob("nobody"))), (3, rig.me.id)):
        rig.tell(ev.ReachAsked(op=op, peer=peer))
        assert of(rig.effects, ReachFound)[-1] == ReachFound(op=op, mine=(), reports=(), silent=())


def test_one_who_asks_is_dialled_where_its_channel_and_hello_say_and_not_again_at_once(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.hear(ann, DialMe(number=5))
    (trial,) = of(rig.effects, TryDials)
    assert (trial.peer, trial.addresses) == (ann.id, ())
    heard = rig.now.wall
    rig.jump(500)
    rig.tell(ev.DialsTried(op=trial.op, tried=(HERE,)))
    assert sent(rig.effects, DialledBack) == [
        (ann.id, DialledBack(number=5, heard=heard, told=WallTime(heard + 500), tried=(HERE,)))
    ]
    rig.clear()
    rig.hear(ann, DialMe(number=6))
    ((_, said),) = sent(rig.effects, DialledBack)
    assert (said.number, said.tried) == (6, ())
    assert not of(rig.effects, TryDials)
    rig.jump(DIALLED_BACK_MS)
    rig.hear(ann, DialMe(number=7))
    assert of(rig.effects, TryDials)


def test_a_crowd_that_asks_is_not_dialled_all_at_once(rig: Rig, cast: Cast) -> None:
    for name in ("ann", "bob", "cid", "dan", "eve"):
        rig.hear(cast.actor(name), DialMe(number=1))
    assert len(of(rig.effects, TryDials)) == DIALLING_BACK
    assert len(sent(rig.effects, DialledBack)) == 1
    assert len(rig.peer.backdials._dialled_at) == DIALLING_BACK
    for trial in of(rig.effects, TryDials):
        rig.tell(ev.DialsTried(op=trial.op, tried=()))
    rig.jump(HOUR_MS)
    rig.hear(cast.actor("eve"), DialMe(number=2))
    assert len(rig.peer.backdials._dialled_at) == 1, "who asked long ago is forgotten"


def test_reports_that_nobody_asked_for_change_nothing(rig: Rig, cast: Cast) -> None:
    answer(rig, cast.actor("ann"), number=99)
    rig.tell(ev.DialsTried(op=12_345, tried=(HERE,)))
    rig.tell(ev.ReachAsked(op=7, peer=cast.actor("ann").id))
    answer(rig, cast.actor("bob"))
    assert not of(rig.effects, ReachFound)


def test_questions_under_way_are_bounded(rig: Rig) -> None:
    for op in range(MAX_REACH_ASKED + 3):
        rig.tell(ev.ReachAsked(op=op, peer=None))
    assert len(of(rig.effects, ReachFound)) == 3
    rig.wait(REACH_MS + SECOND_MS)
    assert len(of(rig.effects, ReachFound)) == MAX_REACH_ASKED + 3
