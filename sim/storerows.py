"""A made-up store for the fake desk: mostly cache, and what a test says besides."""

from mesh.ports.stores import BoundRow, CheckedRow, FreeAnswer, RotRow, StoreAnswer, StoreRow

STORED_BYTES = 88_000_000
FREE_BYTES = 120_000_000_000
CACHE_BYTES = 60_000_000


def store_answer(row: StoreRow, bound: list[BoundRow], rotten: list[RotRow]) -> StoreAnswer:
    """Tell of the store."""
    return StoreAnswer(
        blobs=40,
        stored_bytes=STORED_BYTES,
        free_bytes=FREE_BYTES,
        store=StoreRow(**row),
        bound=list(bound),
        cache_blobs=30,
        cache_bytes=CACHE_BYTES,
        rotten=list(rotten),
        checked=CheckedRow(last_at_ms=1_790_000_000_000, oldest_at_ms=1_789_900_000_000, due_blobs=3),
    )


def free_answer(size: int) -> FreeAnswer:
    """Free what was asked for, all the cache at most."""
    freed = min(size, CACHE_BYTES)
    return FreeAnswer(blobs=3, freed_bytes=freed, stored_bytes=STORED_BYTES - freed, free_bytes=FREE_BYTES + freed)
