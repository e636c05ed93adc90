"""Which task an idle slot takes: pure ranks, so that peers who cannot ask each other seldom choose alike."""

from collections.abc import Collection, Iterable
from functools import lru_cache
from heapq import nsmallest

from blake3 import blake3

from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.limits import CLAIMS_PER_SECOND, RUN_MOST
from mesh.wire.messages import OpenTask

_RANK_BYTES = 8

_RANKS_KEPT = 65_536
"""Ranks that are remembered, some 16 MB: of the few hundred tasks of a window from which a peer claims again and again,
for each of the peers that a simulator has in one process."""


@lru_cache(maxsize=_RANKS_KEPT)
def rank(job: JobId, task: int, peer: PeerId) -> bytes:
    """Return how well `task` suits `peer`, lowest first: a hash, even and the same for everybody who asks."""
    return blake3(job + task.to_bytes(4, "big") + peer).digest(length=_RANK_BYTES)


def suits(blob: BlobId, peer: PeerId) -> bytes:
    """Return how well a copy of `blob` suits `peer`, lowest first: a hash like `rank`, of what any holder knows."""
    return blake3(blob + peer).digest(length=_RANK_BYTES)


def next_tasks(
    window: Iterable[OpenTask], job: JobId, peer: PeerId, excluded: Collection[int], count: int
) -> list[OpenTask]:
    """Return the `count` tasks of the window that suit `peer` best, without those excluded.

    Tasks that somebody has tried before come first: a person waits for the gap that a lost peer left.
    """
    free = [task for task in window if task.task not in excluded]
    tried = [task for task in free if task.attempt]
    chosen = nsmallest(count, tried, key=lambda task: rank(job, task.task, peer))
    if len(chosen) < count:
        fresh = [task for task in free if not task.attempt] if tried else free
        chosen += nsmallest(count - len(chosen), fresh, key=lambda task: rank(job, task.task, peer))
    return chosen


def run_length(median_ms: int) -> int:
    """Return how many tasks a slot claims at once, so that it claims at most twice a second."""
    if median_ms <= 0:
        return 1
    period_ms = 1_000 // CLAIMS_PER_SECOND
    return min(RUN_MOST, max(1, -(-period_ms // median_ms)))


def wanted_claims(slots: int, median_ms: int, unclaimed: int, mesh_slots: int, in_hand: int) -> int:
    """Return how many claims a peer wants in hand: one for each slot, and a run ahead of it so that no slot waits.

    Nothing is claimed ahead when fewer open tasks would remain than the mesh has slots: somebody idle could take them
    at once, and whoever claims ahead of a long render would keep them waiting. The more slots the mesh has, the fewer.
    """
    everybody = max(mesh_slots, slots)
    remaining = unclaimed - max(0, slots - in_hand)
    if remaining < everybody:
        return slots
    ahead = min(run_length(median_ms), max(1, unclaimed // (2 * everybody)))
    return slots * (1 + ahead)
