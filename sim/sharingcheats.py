"""Peers that share their time out otherwise than they should, which the checker of L10 must catch."""

from mesh.core.notes import SlotFreed
from mesh.core.peer import Peer
from mesh.ground.ids import JobId
from mesh.ground.instants import Instant
from mesh.ground.share_limits import WEIGHT_DEFAULT
from sim.cheats import Cheat
from sim.host import Host


class FirstJobFirst(Cheat):
    """L10: takes every job for equal, and the one that it heard of first before all others."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        fairness = self.inner.claims.fairness
        fairness.fairest = lambda jobs, now: jobs[0] if jobs else None  # type: ignore[method-assign] # noqa: ARG005


class CountsTasks(Cheat):
    """L10: gives each job as many tasks, however long they take."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        fairness, books = self.inner.claims.fairness, self.inner.claims.fairness.on_slot_freed

        def one(job: JobId) -> int:
            del job
            return 1_000

        fairness.expected_ms = one  # type: ignore[method-assign]
        fairness.on_slot_freed = lambda note: books(SlotFreed(job=note.job, taken_ms=1_000))  # type: ignore[method-assign]


class TakesAllGrants(Cheat):
    """L10: renders every bucket that it is granted, and gives animations what is left."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)

        def always(job: JobId, now: Instant) -> bool:
            del job, now
            return True

        self.inner.claims.fairness.is_turn = always  # type: ignore[method-assign]


class TakesNoGrants(Cheat):
    """L10: renders buckets while there is nothing else to do."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        fairness = self.inner.claims.fairness

        def alone(job: JobId, now: Instant) -> bool:
            del now
            return fairness._able == (job,)  # noqa: SLF001

        fairness.is_turn = alone  # type: ignore[method-assign]


class IgnoresWeights(Cheat):
    """L10: gives each job as much, whatever its weight."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)

        def usual(job: JobId) -> int:
            del job
            return WEIGHT_DEFAULT

        self.inner.claims.fairness.weight = usual  # type: ignore[method-assign]
