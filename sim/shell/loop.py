"""Trio on a virtual clock, with its only liberty, the order of what is ready at once, drawn from a seed.

Trio shuffles the tasks of each step of its loop, so that nobody relies on an order. It has a switch for Hypothesis that
sorts them first, and shuffles by a generator of its own; what that generator is seeded with decides all. And its clock
jumps by a difference of two times, which may end a rounding short of the deadline, for ever: ours jumps to the deadline
itself. There is no public way to either.
"""

import math
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import trio
import trio.testing
from trio._core import _run as trio_run

T = TypeVar("T")


def on_virtual_clock(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` to its end; time jumps to the next deadline whenever nobody has anything to do."""
    with _drawn_order(seed):
        return trio.run(main, clock=_exact_clock())


def _exact_clock() -> trio.testing.MockClock:
    clock = trio.testing.MockClock(autojump_threshold=0)

    def jump() -> None:
        deadline = trio_run.GLOBAL_RUN_CONTEXT.runner.deadlines.next_deadline()
        if deadline < math.inf:
            vars(clock)["_virtual_base"] = max(deadline, clock.current_time())

    vars(clock)["_autojump"] = jump
    return clock


@contextmanager
def _drawn_order(seed: int) -> Iterator[None]:
    inside = vars(trio_run)
    before, state = inside["_ALLOW_DETERMINISTIC_SCHEDULING"], cast(random.Random, inside["_r"]).getstate()
    inside["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    inside["_r"].seed(seed)
    try:
        yield
    finally:
        inside["_ALLOW_DETERMINISTIC_SCHEDULING"] = before
        inside["_r"].setstate(state)
