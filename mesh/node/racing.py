"""Several ways to one place, tried so that the best one wins: each begins a little after the one before, or as soon as
that one has failed.

A way that leads nowhere silently so costs a quarter of a second and not its whole time-out, and one that is merely
slower does not win over one that was to be preferred.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import trio

W = TypeVar("W")
T = TypeVar("T")

STAGGER_S: Final = 0.25
"""Between the beginnings: longer than a round trip, short for a person."""


async def first_of(
    ways: Sequence[W], go: Callable[[W], Awaitable[T | None]], let_go: Callable[[T], Awaitable[None]]
) -> T | None:
    """Return the first that `go` gives, None where no way gives anything.

    The others are cancelled; one that arrived at the same moment is handed to `let_go`.
    """
    found: list[T] = []

    async def attempt(way: W, ended: trio.Event) -> None:
        try:
            got = await go(way)
        finally:
            ended.set()
        if got is None:
            return
        if found:
            with trio.CancelScope(shield=True):
                await let_go(got)
            return
        found.append(got)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for way in ways:
            ended = trio.Event()
            nursery.start_soon(attempt, way, ended)
            with trio.move_on_after(STAGGER_S):
                await ended.wait()
            if found:
                break
    return found[0] if found else None
