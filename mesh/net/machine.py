"""The machine itself as the node's world: its clocks, its entropy, its threads.

The module must not know what anybody does with them.
"""

import os
import platform
import secrets
import time
from collections.abc import Callable
from typing import Final, TypeVar

import trio

from mesh.ground.instants import Instant, Now, WallTime
from mesh.ports.world import HostFacts

T = TypeVar("T")

# Linux stops its monotonic clock while the machine sleeps and has this one beside it; elsewhere the monotonic one
# goes on.
_AWAKE_OR_NOT: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_MS_NS: Final = 1_000_000


class Machine:
    """The `World` of a real process."""

    def now(self) -> Now:
        """Read both clocks."""
        return Now(
            instant=Instant(time.clock_gettime_ns(_AWAKE_OR_NOT) // _MS_NS), wall=WallTime(time.time_ns() // _MS_NS)
        )

    def spent_ns(self) -> int:
        """Read the thread's own clock."""
        return time.thread_time_ns()

    def entropy(self, size: int) -> bytes:
        """Draw `size` bytes from the operating system."""
        return secrets.token_bytes(size)

    def facts(self) -> HostFacts:
        """Say what machine this is; processors that this process may not use do not count."""
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return HostFacts(
            name=platform.node() or "unnamed",
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_mb=pages * page_bytes // 2**20,
        )

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` in one of trio's threads."""
        return await trio.to_thread.run_sync(call)
