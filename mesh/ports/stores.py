"""What a host's owner is told of its store: part of the desk, by its conventions.

What is *bound* somebody is owed, or it is being used; all else is *cache*, and goes when room is needed. This module
must stay light, as the desk's: nothing from outside the standard library.
"""

from typing import TypedDict


class NoRoomRow(TypedDict):
    """A job whose scene this peer would fetch if its store had room for what is lacking."""

    job: str
    job_name: str
    lacking_bytes: int


class StoreRow(TypedDict):
    """How the store stands: `quota_bytes` 0 where only the disk bounds it.

    While it is `full`, with nothing that could make way, this peer claims nothing, keeps no further job and takes no
    copies.
    """

    quota_bytes: int
    full: bool
    no_room: list[NoRoomRow]


class BoundRow(TypedDict):
    """What a job binds: its scene, and frames that this peer holds. What several jobs bind counts for one of them.

    With an empty `job` it is what is fetched, checked or written at this moment. `until_at_ms` is the job's last day.
    """

    job: str
    job_name: str
    state: str
    until_at_ms: int | None
    blobs: int
    bytes: int


class RotRow(TypedDict):
    """A piece that was not as it had been written; it was put aside, and comes from another peer where it is needed."""

    blob: str
    piece: int
    found_at_ms: int


class CheckedRow(TypedDict):
    """How far the search for rot is: when the last blob was checked, and how many of all are still to be in this round.

    `oldest_at_ms` is when the blob was checked that was not for longest; both are None where none ever was.
    """

    last_at_ms: int | None
    oldest_at_ms: int | None
    due_blobs: int


class StoreAnswer(TypedDict):
    """What the store holds, and for whom."""

    blobs: int
    stored_bytes: int
    free_bytes: int
    """How much more quota and disk allow."""
    store: StoreRow
    bound: list[BoundRow]
    cache_blobs: int
    cache_bytes: int
    rotten: list[RotRow]
    checked: CheckedRow


class FreeAnswer(TypedDict):
    """What went, and how the store stands now; less goes than was asked where all else is bound or was just used."""

    blobs: int
    freed_bytes: int
    stored_bytes: int
    free_bytes: int
