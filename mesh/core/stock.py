"""What a store holds, as its host tells the core."""

from dataclasses import dataclass

from mesh.ground.ids import BlobId
from mesh.ground.instants import WallTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One blob, whole or in part; `size`: the bytes of it that are here."""

    blob: BlobId
    size: int
    last_used: WallTime
    """When it was last read or written; each use has another time."""
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMeasured:
    """How full this host's store is, told every few seconds; in bytes."""

    stored: int
    free: int
    """How much more its quota and its disk allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StockTaken:
    """What the store holds, blob by blob, and what those of the trees name that could be read."""

    op: int
    stored: int
    free: int
    blobs: tuple[Stored, ...]
    trees: tuple[tuple[BlobId, tuple[BlobId, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """These blobs were deleted; those that were asked for and are not named were used meanwhile, and are still here."""

    op: int
    gone: tuple[BlobId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeAsked:
    """Somebody at this host needs so many bytes of what is only cache."""

    op: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAsked:
    """A person wants to know what the store holds, and for whom."""

    op: int
