"""Tidings that a peer tells on: bounded, each told a number of times, the least told first.

Theory: what every peer tells a few times, to others drawn at random, soon reaches all of them; the number of times that
it takes grows with the logarithm of theirs. Of one peer the newest word alone is told: the one of its highest
incarnation, and of that the gravest.

Invariants: at most one tiding of a peer, `MAX_TIDINGS_KEPT` in all, `MAX_TIDINGS` at a time. The module must not know
who is told, nor what becomes of it.
"""

from dataclasses import dataclass

from mesh.ground.ids import PeerId
from mesh.ground.limits import MAX_TIDINGS_KEPT, TIDINGS_TOLD
from mesh.wire.probes import MAX_TIDINGS, Tiding


@dataclass(slots=True)
class Piece:
    """One tiding, and how often it was told."""

    tiding: Tiding
    told: int = 0


def rank(tiding: Tiding) -> tuple[int, int]:
    """Return what of two tidings of one peer the newer and graver has more of."""
    return tiding.incarnation, tiding.state


class Tidings:
    """All tidings that one peer tells."""

    def __init__(self) -> None:
        self._pieces: dict[PeerId, Piece] = {}

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, tiding: Tiding) -> None:
        """Begin to tell a tiding, in the place of what was told of that peer, if it is newer or graver."""
        known = self._pieces.get(tiding.peer)
        if known is not None and rank(known.tiding) >= rank(tiding):
            return
        if known is None and len(self._pieces) >= MAX_TIDINGS_KEPT:
            del self._pieces[max(self._pieces, key=lambda peer: self._pieces[peer].told)]
        self._pieces[tiding.peer] = Piece(tiding)

    def drop(self, peer: PeerId) -> None:
        """Tell nothing more of a peer."""
        self._pieces.pop(peer, None)

    def take(self, peers: int, *first: Tiding) -> tuple[Tiding, ...]:
        """Return what to tell one of `peers` peers now: `first`, then the least told."""
        if not self._pieces:
            return first
        room = MAX_TIDINGS - len(first)
        chosen = sorted(self._pieces.values(), key=lambda piece: piece.told)[:room]
        enough = TIDINGS_TOLD * len(str(peers))
        for piece in chosen:
            piece.told += 1
            if piece.told >= enough:
                del self._pieces[piece.tiding.peer]
        return (*first, *(piece.tiding for piece in chosen))
