"""Async tests under trio that end by themselves."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec

import trio

P = ParamSpec("P")

#: A hung test shows as a failure; every wait in a healthy one is far shorter, on a busy machine too.
PATIENCE_S = 30.0


def timed(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test under trio, for at most `PATIENCE_S` seconds."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            with trio.fail_after(PATIENCE_S):
                await test(*args, **kwargs)

        trio.run(bounded)

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until `condition` holds."""
    while not condition():
        await trio.lowlevel.checkpoint()
