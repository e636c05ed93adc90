"""A host's clocks, entropy and threads in tier B: virtual, drawn, and none.

What runs in a thread elsewhere runs in place here, after the time that a disk takes, half of it before and half after:
a process may end in either. Nothing has a thread's freedom to overtake, which the shell must not count on anyway.
"""

from collections.abc import Callable
from typing import TypeVar

import trio

from mesh.ground.dice import Dice
from mesh.ground.instants import Instant, Now, WallTime
from mesh.ports.world import HostFacts
from sim.clock import EPOCH_MS
from sim.draws import Draws
from sim.shell.disk import Killed

T = TypeVar("T")

_MACHINE_MS = 10**9
_SKEW_MS = 2_000


class ShellWorld:
    """The `World` of one process; its host's clock goes on from one to the next."""

    def __init__(self, host: Dice, life: Dice, *, name: str, disk_ms: int) -> None:
        clock = host.fork(b"clock")
        self._begun_ms = clock.below(_MACHINE_MS)
        self._ahead_ms = clock.below(2 * _SKEW_MS + 1) - _SKEW_MS
        self._entropy = life.fork(b"entropy")
        self._draws = Draws(life.fork(b"disk"))
        self._name = name
        self._disk_ms = disk_ms
        self.dead = False
        self.stands: trio.Event | None = None
        """Set while the machine stands still: the disk answers when it goes on."""

    def now(self) -> Now:
        """Read both clocks."""
        at_ms = round(trio.current_time() * 1000)
        return Now(instant=Instant(self._begun_ms + at_ms), wall=WallTime(EPOCH_MS + at_ms + self._ahead_ms))

    def spent_ns(self) -> int:
        """Give the time of a processor that is never busy."""
        return 0

    def entropy(self, size: int) -> bytes:
        """Draw bytes that nobody can guess who does not know the seed."""
        return self._entropy.draw(size)

    def facts(self) -> HostFacts:
        """Describe the machine."""
        return HostFacts(name=self._name, cores=4, memory_mb=16_384)

    def alive(self) -> None:
        """Raise `Killed` where the process is dead."""
        if self.dead:
            raise Killed(self._name)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` here, when the disk gets to it; cancelling waits for it."""
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            await self._turns()
            result = call()
            await self._turns()
        return result

    async def _turns(self) -> None:
        """Take half of what a disk takes; of a dead process nobody waits for anything."""
        if not self.dead:
            await trio.sleep(self._draws.below(self._disk_ms + 1) / 1000)
        while self.stands is not None and not self.dead:
            await self.stands.wait()
