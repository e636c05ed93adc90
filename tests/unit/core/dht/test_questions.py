"""Questions under way: one timer watches over all of them."""

from __future__ import annotations

from mesh.core.dht.questions import Questions
from mesh.core.effects import Effect, SetTimer
from mesh.core.timers import AnswersLate
from mesh.core.turn import Turn
from mesh.ground.dht_limits import DHT_PATIENCE_MOST_MS, DHT_PATIENCE_MS
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, Now, WallTime
from mesh.wire.lookups import Endpoint, FindNodes, NodePing, NodesFound

PEER = PeerId(bytes(32))
WHERE = (Endpoint(ip=b"\x0a\x00\x00\x01", port=7_000),)


def at(instant: int) -> Turn:
    return Turn(Now(instant=Instant(instant), wall=WallTime(instant)), Dice(b"questions"), PeerId(b"\x01" * 32))


def ask(questions: Questions, turn: Turn) -> int:
    """Ask something, and return its number."""
    number = questions.number()
    questions.ask(turn, PEER, WHERE, FindNodes(number=number, target=bytes(20)))
    return number


def wakes(effects: list[Effect]) -> list[int]:
    return [int(effect.at) for effect in effects if isinstance(effect, SetTimer) and effect.timer == AnswersLate()]


def test_what_is_asked_together_takes_one_timer_and_is_late_together() -> None:
    questions, turn = Questions(), at(1_000)
    numbers = [ask(questions, turn) for _ in range(3)]
    assert wakes(turn.effects) == [1_000 + DHT_PATIENCE_MS]
    assert questions.late(at(1_000 + DHT_PATIENCE_MS)) == numbers


def test_what_is_late_earlier_than_all_others_has_a_timer_of_its_own() -> None:
    questions, turn = Questions(), at(0)
    ping = questions.number()
    questions.ask(turn, PEER, WHERE, NodePing(number=ping))
    first = ask(questions, turn)
    assert wakes(turn.effects) == [DHT_PATIENCE_MOST_MS, DHT_PATIENCE_MS]
    turn = at(DHT_PATIENCE_MS)
    assert questions.late(turn) == [first]
    assert wakes(turn.effects) == [DHT_PATIENCE_MOST_MS]
    turn = at(DHT_PATIENCE_MOST_MS)
    assert questions.late(turn) == [ping]
    assert questions.late(turn) == [], "the timer that was asked for at first fires, too"


def test_with_everything_answered_no_timer_is_asked_for() -> None:
    questions, turn = Questions(), at(0)
    number = ask(questions, turn)
    assert questions.answered(at(10), PEER, NodesFound(number=number, nodes=())) is not None
    turn = at(DHT_PATIENCE_MS)
    assert questions.late(turn) == []
    assert turn.effects == []


def test_one_asked_once_more_is_waited_for_twice_as_long() -> None:
    questions, turn = Questions(), at(0)
    number = ask(questions, turn)
    turn = at(DHT_PATIENCE_MS)
    assert questions.late(turn) == [number]
    assert questions.press(turn, number) is not None
    assert wakes(turn.effects) == [3 * DHT_PATIENCE_MS]
    turn = at(3 * DHT_PATIENCE_MS)
    assert questions.late(turn) == [number]
    assert questions.press(turn, number) is not None
    assert number not in questions.open
