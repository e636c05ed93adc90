"""What the node asks of the machine it runs on: clocks, entropy, threads, facts.

Theory: the shell reads no clock and starts no thread by itself, so that it runs unchanged on a virtual clock, where a
thread that takes real time would make virtual time jump over it.

Invariants: `now().instant` never goes back and goes on while the machine sleeps. What `in_thread` runs must not touch
anything that the event loop owns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mesh.ground.instants import Now

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What a peer tells others of its machine; memory in MiB."""

    name: str
    cores: int
    memory_mb: int


class World(Protocol):
    """The machine, as the node sees it."""

    def now(self) -> Now:
        """Read both clocks."""
        ...

    def spent_ns(self) -> int:
        """Read how much processor time the calling thread has used; only differences mean anything."""
        ...

    def entropy(self, size: int) -> bytes:
        """Draw `size` bytes that nobody can guess."""
        ...

    def facts(self) -> HostFacts:
        """Say what machine this is."""
        ...

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread and return what it returns, or raise what it raises.

        Cancelling waits for the thread: what it began is done when this returns.
        """
        ...
