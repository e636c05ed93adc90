"""The bounds of what a peer stores: when cache makes way, when nothing more is taken on, how fast rot is sought.

What is bound is never evicted; all else is cache. Sizes are bytes, durations milliseconds.
"""

from mesh.ground.instants import DAY_MS, HOUR_MS, SECOND_MS

_MIB = 1 << 20
_GIB = 1 << 30

STORE_LOOK_MS = 5 * SECOND_MS
"""How full the store is, is looked at so often: a fast line brings some 600 MB in that time, less than is kept free."""

STORE_SPARE_PART = 10
STORE_SPARE_BYTES = 4 * _GIB
"""One part in so many of what may be stored is kept free of cache, at most so much: what is rendered and fetched must
find room at once, and the disk is not this program's alone."""

STORE_FULL_PART = 20
STORE_FULL_BYTES = 512 * _MIB
"""With less room than that, and nothing that could make way, a peer takes nothing on: what it has in hand needs it."""

STORE_PAGES_PART = 50
STORE_PAGES_BYTES = 256 * _MIB
"""One part in so many of what may be stored is kept for the pages of seals, at most so much: who keeps a job must learn
how it ended, however full the store is by then. A page has about a kilobyte for each frame."""

STOCK_MS = 30 * SECOND_MS
"""A stock that found nothing to evict is not taken again so soon: it lists every blob."""

USED_LATELY_MS = 10 * SECOND_MS
"""What was read or written so shortly ago is being sent, written or looked at."""

UNTOLD_MS = HOUR_MS
"""Whole blobs that the core never heard of are files on their way in: the largest scene is read in by then. Later they
are what was left of somebody's failed attempt."""

EVICTED_AT_ONCE = 1_024
"""Blobs that one effect deletes: some seconds of a disk's time."""

SCRUB_BYTES_PER_SECOND = 4 * _MIB
"""What is read to find rot: a twentieth of what a hard disk gives, so that nobody who renders notices; a terabyte takes
three days."""

SCRUB_ROUND_MS = 7 * DAY_MS
"""What was checked since is not read again: bits rot over months."""

assert STORE_FULL_PART > STORE_SPARE_PART
assert STORE_FULL_BYTES < STORE_SPARE_BYTES
assert STORE_PAGES_PART > STORE_FULL_PART
assert STORE_PAGES_BYTES < STORE_FULL_BYTES
assert STORE_LOOK_MS < STOCK_MS
assert USED_LATELY_MS < UNTOLD_MS


def pages_room(limit: int, most: int = STORE_PAGES_BYTES) -> int:
    """Return how many of `limit` bytes that may be stored in all are kept for the pages of seals, at most `most`."""
    return min(limit // STORE_PAGES_PART, most)
