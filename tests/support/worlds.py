"""A world on trio's clock, for tests of the shell that run in virtual time."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import trio
import trio.testing

from mesh.ground.instants import Instant, Now, WallTime
from mesh.ports.world import HostFacts

P = ParamSpec("P")
T = TypeVar("T")

_EPOCH_MS = 1_700_000_000_000


_PATIENCE_S = 3_600.0
"""Of virtual time: what waits for ever fails after a moment."""


def virtual(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on a clock that jumps to the next deadline whenever nobody has anything to do."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            with trio.fail_after(_PATIENCE_S):
                await test(*args, **kwargs)

        trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))

    return run


class VirtualWorld:
    """The `World` of a test: what runs in a thread elsewhere runs in place here, since threads do not wait for virtual
    time.
    """

    def __init__(self) -> None:
        self._slept_ms = 0
        self._drawn = 0
        self.hold: trio.Event | None = None
        """While set, whatever asks for a thread waits for this event first: a slow disk."""
        self.work_ns = 0
        """What each look at the processor time adds to it: whatever lies between two looks took so long."""
        self._spent_ns = 0

    def sleep_ms(self, duration_ms: int) -> None:
        """Let the host sleep: its clock goes on, the loop's does not."""
        self._slept_ms += duration_ms

    def now(self) -> Now:
        """Read both clocks."""
        at_ms = round(trio.current_time() * 1000) + self._slept_ms
        return Now(instant=Instant(at_ms), wall=WallTime(_EPOCH_MS + at_ms))

    def spent_ns(self) -> int:
        """Read a processor time that only the test makes pass."""
        self._spent_ns += self.work_ns
        return self._spent_ns

    def entropy(self, size: int) -> bytes:
        """Return bytes that differ from call to call."""
        self._drawn += 1
        return self._drawn.to_bytes(size, "big")

    def facts(self) -> HostFacts:
        """Describe no machine in particular."""
        return HostFacts(name="virtual", cores=2, memory_mb=4096)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` here."""
        await trio.lowlevel.checkpoint()
        if self.hold is not None:
            await self.hold.wait()
        return call()
