"""What a pixel costs: measured from buckets that were rendered, by job and by who rendered them.

Theory: a bucket should take the remaining work / (4 x slots), so that all slots end at about the same time, but at
least half a second, since each bucket has costs of its own, and at most twenty, since that much is lost with a host.
What a pixel costs differs from peer to peer and from place to place in the picture; the latest buckets tell best. The
first one of a peer tells least: its engine does in it what it does once for a scene, which may take many times as long.

Blocks of cells are powers of two, each twice the one before. What is said here is the most that one may have, so that
on average they have what they should.

Invariants: pure arithmetic on what it was told. Must not know which cells are open, nor who may claim.
"""

import math
from dataclasses import dataclass, field

from mesh.ground.ids import JobId, PeerId
from mesh.ground.limits import BUCKET_LEAST_MS, BUCKET_MOST_MS, BUCKETS_PER_SLOT, FIRST_BUCKET_PIXELS

_WEIGHT_OF_LATEST = 0.4
_BLOCKS_STEP = 2.0
"""A block of at most so many pixels has more than half of them, where cells are fine enough."""


@dataclass(slots=True)
class Pace:
    """What a pixel costs the peers of one job, in milliseconds of one slot."""

    of_all: float = 0.0
    by_peer: dict[PeerId, float] = field(default_factory=dict)
    warm: dict[PeerId, None] = field(default_factory=dict)
    """Of whom more than the first bucket is known."""
    first_ms: dict[PeerId, int] = field(default_factory=dict)
    """What the first bucket took."""


class Costs:
    """Measure, and say how large the next bucket should be."""

    def __init__(self) -> None:
        self._paces: dict[JobId, Pace] = {}

    def note(self, job: JobId, peer: PeerId, pixels: int, render_ms: int) -> None:
        """Learn from a bucket."""
        assert pixels > 0
        pace = self._paces.setdefault(job, Pace())
        cost = max(render_ms, 1) / pixels
        if peer not in pace.by_peer:
            pace.by_peer[peer] = cost
            pace.first_ms[peer] = render_ms
            pace.of_all = pace.of_all or cost
            return
        pace.of_all = _blended(pace.of_all, cost) if pace.warm else cost
        pace.by_peer[peer] = _blended(pace.by_peer[peer], cost) if peer in pace.warm else cost
        pace.warm[peer] = None

    def forget(self, job: JobId) -> None:
        """Forget a job."""
        self._paces.pop(job, None)

    def expected_ms(self, job: JobId, peer: PeerId, pixels: int) -> int | None:
        """Return how long so many pixels take a slot of a peer; None where nothing was measured yet."""
        pace = self._paces.get(job)
        return round(pixels * pace.by_peer.get(peer, pace.of_all)) if pace is not None else None

    def loading_ms(self, job: JobId, peer: PeerId) -> int:
        """Return how long a fresh engine of a peer takes at most until it is at its pace; 0 where that is unknown."""
        pace = self._paces.get(job)
        return pace.first_ms.get(peer, 0) if pace is not None else 0

    def bucket_pixels(self, job: JobId, peer: PeerId, remaining: int, slots: int) -> float:
        """Return how many pixels the next bucket of a peer should have at most, `remaining` ones being open, for so
        many slots of all peers.
        """
        share = remaining / (BUCKETS_PER_SLOT * max(1, slots))
        pace = self._paces.get(job)
        if pace is None:
            return min(share, FIRST_BUCKET_PIXELS)
        wanted_ms = max(BUCKET_LEAST_MS * _BLOCKS_STEP, share * pace.of_all * math.sqrt(_BLOCKS_STEP))
        return min(BUCKET_MOST_MS, wanted_ms) / pace.by_peer.get(peer, pace.of_all)

    def within_pixels(self, job: JobId, remaining: int, slots: int) -> float:
        """Return of how many pixels a block is that the next bucket is best a part of; 0: of any.

        The first ones are small, since nothing was measured yet. One here and one there would break large blocks up.
        """
        return 0.0 if job in self._paces else remaining / (BUCKETS_PER_SLOT * max(1, slots))


def _blended(before: float, latest: float) -> float:
    return before + _WEIGHT_OF_LATEST * (latest - before)
