"""What a host offers is told at once where it decides who can help, and otherwise seldom."""

from dataclasses import replace
from typing import Any

import pytest

from mesh.core import events as ev
from mesh.core.availability import due
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import BUSY_MS, OFFER_AGAIN_MS
from mesh.wire.messages import Available
from tests.support.cast import ENGINE, Cast
from tests.support.rig import Rig, sent
from tests.unit.core.test_slots import Bench

TOLD = Available(engines=(ENGINE,), slots=2, busy=1, cores=4, memory_mb=8_000, draining=False)


@pytest.mark.parametrize(
    "changed",
    [{"engines": ()}, {"slots": 1}, {"cores": 8}, {"memory_mb": 9}, {"draining": True}, {"paused": True}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_is_told_at_once(changed: dict[str, Any]) -> None:
    assert due(TOLD, replace(TOLD, **changed), 0)
    assert due(TOLD, replace(TOLD, busy=2, **changed), 0)


def test_how_busy_it_is_waits_and_nothing_new_waits_longer() -> None:
    assert not due(TOLD, replace(TOLD, busy=0), BUSY_MS - 1)
    assert due(TOLD, replace(TOLD, busy=0), BUSY_MS)
    assert not due(TOLD, TOLD, OFFER_AGAIN_MS - 1)
    assert due(TOLD, TOLD, OFFER_AGAIN_MS)


def told(rig: Rig) -> list[tuple[int, bool]]:
    return [(said.busy, said.paused) for _, said in sent(rig.effects, Available)]


def test_of_a_job_with_short_frames_others_hear_twice_a_minute(cast: Cast) -> None:
    bench = Bench(cast, slots=1)
    bench.rig.wait(BUSY_MS, bench.ann)
    bench.rig.clear()
    for task in range(10):
        bench.win(task)
        (*_, effect) = bench.started()
        bench.rig.wait(5 * SECOND_MS, bench.ann)
        bench.written(effect)
        bench.rendered(effect)
        bench.rig.wait(SECOND_MS, bench.ann)
    assert 1 <= len(told(bench.rig)) <= 3
    bench.rig.wait(BUSY_MS, bench.ann)
    assert told(bench.rig)[-1] == (0, False), "the last change is told in the end"


def test_a_pause_does_not_wait_and_tells_how_busy_the_host_is(cast: Cast) -> None:
    bench = Bench(cast, slots=1)
    bench.rig.wait(SECOND_MS, bench.ann)
    bench.rig.clear()
    bench.win(0)
    bench.rig.tell(ev.PauseAsked(op=1, until=None, now=False))
    assert told(bench.rig) == [(1, True)]
    bench.rig.tell(ev.ResumeAsked(op=2))
    assert told(bench.rig) == [(1, True), (1, False)]


def test_who_comes_later_hears_it_too(cast: Cast) -> None:
    rig = Rig(cast)
    rig.tell(ev.PauseAsked(op=1, until=None, now=False))
    rig.meet(cast.actor("ann"))
    assert told(rig) == [(0, True)]
