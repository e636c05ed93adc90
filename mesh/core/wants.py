"""What a swarm remembers of each blob: which pieces are here, who said that it has which, and what was asked of whom.

Invariants: nothing is asked and nothing decided here.
"""

from dataclasses import dataclass, field

from mesh.core.piecebits import bits_of
from mesh.ground.ids import BlobId, PeerId
from mesh.ground.instants import Instant


@dataclass(slots=True)
class Pieces:
    """What this peer has of one blob it wants or has."""

    total: int = 0
    """Pieces of the blob; 0: the manifest is not here."""
    have: int = 0
    """One bit for each piece that is here."""

    @property
    def all(self) -> int:
        return (1 << self.total) - 1

    @property
    def tellable(self) -> bool:
        """Whether there is anything here, of as many as is known."""
        return self.total > 0 and self.have > 0

    @property
    def complete(self) -> bool:
        return self.total > 0 and self.have == self.all

    def lacking(self, size: int) -> int:
        """Return about how much is not here yet of a blob of `size` bytes."""
        return size * (self.total - self.have.bit_count()) // self.total if self.total else size


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a source was asked for, and when."""

    blob: BlobId
    peer: PeerId
    at: Instant


@dataclass(slots=True)
class Want:
    """A blob on its way."""

    rank: bytes
    """This peer's own order of the blobs that are equally rare."""
    sources: dict[PeerId, int | None] = field(default_factory=dict)
    """Which pieces a peer said it has, one bit each; None: all of them."""
    asked: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Pieces under way, by the request's op."""
    manifest_op: int | None = None
    hints: dict[PeerId, None] = field(default_factory=dict)
    reasons: dict[bytes, None] = field(default_factory=dict)
    """For whom it comes: it is wanted until each has dropped it."""
    page_bytes: int = 0
    """Where it is wanted as the page of a seal, the most that such a page may have."""
    refused: int = 0
    """How often in a row there was no room for it here."""
    again_at: Instant = Instant(0)
    """Not asked for before that: there was no room."""
    answered_at: Instant | None = None
    """When a source last said that it has something that is lacking here."""
    since: Instant = Instant(0)
    sought: dict[PeerId, None] = field(default_factory=dict)
    """Who was asked lately whether it has any of it, and may have wanted it itself no sooner than afterwards."""
    order: dict[int, bytes] = field(default_factory=dict)
    """This peer's own order of the pieces that are equally rare; empty before it is needed."""

    @property
    def silent_since(self) -> Instant:
        """Since when nobody has answered that it has anything."""
        return self.since if self.answered_at is None else self.answered_at

    @property
    def under_way(self) -> int:
        """One bit for each piece that a source was asked for."""
        return bits_of(number for numbers in self.asked.values() for number in numbers)
