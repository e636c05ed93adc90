"""The trace's hash: what it covers, and what it does not depend on."""

import dataclasses

import pytest

from mesh.core.effects import Append, Dial, Effect, Send, SetTimer
from mesh.core.events import Event, FetchFailed, MessageHeard, TimerFired
from mesh.core.timers import FetchLate, Tick
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import Instant
from mesh.wire.kept import KeptHead
from mesh.wire.messages import Address, Heartbeat, OpenTask, Ping, RefusalCode, Refused, Window
from sim.trace import Trace, plain
from tests.support.cast import Cast

PEER, OTHER = PeerId(b"p" * 32), PeerId(b"o" * 32)
BLOB = BlobId(b"b" * 32)
TICK = TimerFired(timer=Tick())
WINDOW = Window(
    job=JobId(b"j" * 32),
    open=(OpenTask(task=1, attempt=0), OpenTask(task=2, attempt=0)),
    slots=1,
    unclaimed=2,
    running=0,
    counting=0,
    stopped=0,
    safe=0,
    median_ms=0,
    ended=False,
)


def hash_of(*turns: tuple[int, int, Event, list[Effect]]) -> str:
    trace = Trace()
    for turn in turns:
        trace.turn(*turn)
    return trace.hexdigest()


def heard(message: Ping | Window | Refused) -> MessageHeard:
    return MessageHeard(peer=PEER, message=message)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 1, TICK, []), (2, 1, TICK, [])),
        ((1, 1, TICK, []), (1, 2, TICK, [])),
        ((1, 1, TICK, []), (1, 1, FetchFailed(op=1, blob=BLOB, full=False), [])),
        ((1, 1, FetchFailed(op=1, blob=BLOB, full=True), []), (1, 1, FetchFailed(op=1, blob=BLOB, full=False), [])),
        ((1, 1, heard(Ping(number=1)), []), (1, 1, heard(Ping(number=2)), [])),
        ((1, 1, heard(WINDOW), []), (1, 1, heard(dataclasses.replace(WINDOW, safe=1)), [])),
        ((1, 1, heard(WINDOW), []), (1, 1, heard(dataclasses.replace(WINDOW, open=WINDOW.open[:1])), [])),
        (
            (1, 1, heard(WINDOW), []),
            (1, 1, heard(dataclasses.replace(WINDOW, open=(WINDOW.open[0], OpenTask(task=2, attempt=1)))), []),
        ),
        (
            (1, 1, TICK, [Send(peer=PEER, message=Ping(number=1))]),
            (1, 1, TICK, [Send(peer=OTHER, message=Ping(number=1))]),
        ),
        (
            (1, 1, TICK, [SetTimer(timer=FetchLate(op=1, blob=BLOB), at=Instant(5))]),
            (1, 1, TICK, [SetTimer(timer=FetchLate(op=2, blob=BLOB), at=Instant(5))]),
        ),
        (
            (1, 1, TICK, [Dial(peer=PEER, addresses=(Address(host="10.0.0.1", port=1),))]),
            (1, 1, TICK, [Dial(peer=PEER, addresses=(Address(host="10.0.0.1", port=2),))]),
        ),
    ],
)
def test_whatever_differs_in_a_turn_is_in_the_hash(
    one: tuple[int, int, Event, list[Effect]], other: tuple[int, int, Event, list[Effect]]
) -> None:
    assert hash_of(one) == hash_of(one)
    assert hash_of(one) != hash_of(other)


def test_the_order_of_effects_and_of_turns_is_in_the_hash() -> None:
    first, second = Send(peer=PEER, message=Ping(number=1)), Send(peer=PEER, message=Ping(number=2))
    assert hash_of((1, 1, TICK, [first, second])) != hash_of((1, 1, TICK, [second, first]))
    assert hash_of((1, 1, TICK, [first]), (1, 1, TICK, [])) != hash_of((1, 1, TICK, []), (1, 1, TICK, [first]))


def test_signatures_are_not_in_the_hash() -> None:
    cast = Cast()
    head = cast.head(cast.founder())
    unsigned = dataclasses.replace(head, job=dataclasses.replace(head.job, signature=bytes(64)))
    kept = [hash_of((1, 1, TICK, [Append(entries=(KeptHead(head=one),))])) for one in (head, unsigned)]
    assert kept[0] == kept[1]


def test_the_hash_does_not_depend_on_who_asked_for_it_in_between() -> None:
    asked, not_asked = Trace(), Trace()
    for trace in (asked, not_asked):
        for number in range(3):
            trace.turn(number, 1, heard(WINDOW), [Send(peer=PEER, message=Ping(number=number))])
            trace.happened(number, 1, "something")
            if trace is asked:
                trace.hexdigest()
    assert asked.hexdigest() == not_asked.hexdigest()


def test_an_equal_message_that_is_another_object_is_hashed_alike() -> None:
    again = dataclasses.replace(WINDOW, open=tuple(dataclasses.replace(task) for task in WINDOW.open))
    assert again is not WINDOW
    twice = [(1, 1, heard(WINDOW), []), (2, 1, heard(WINDOW), [])]
    assert hash_of(*twice) == hash_of(twice[0], (2, 1, heard(again), []))


def test_a_member_of_an_enumeration_is_the_number_that_its_bytes_are() -> None:
    code = next(iter(RefusalCode))
    by_reference, as_bytes = heard(Refused(code=code)), heard(Refused(code=int(code)))
    assert hash_of((1, 1, by_reference, [])) == hash_of((1, 1, as_bytes, []))


def test_many_things_of_one_type_are_read_without_their_names() -> None:
    beats = Heartbeat(job=JobId(b"j" * 32), beats=())
    assert plain(beats) == ("Heartbeat", (b"j" * 32, ()))
    assert plain(WINDOW.open) == (("OpenTask", (1, 0, False)), ("OpenTask", (2, 0, False)))
