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
