"""What the journal says of other peers: where each was reached, when it was heard, and what it calls itself.

Invariants: how often a peer is written down is bounded, however often it moves, and however often it renames itself.
The module must not know whom to dial.
"""

from collections.abc import Iterable

from mesh.core.directory import Directory, Known
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.ground.instants import DAY_MS, MINUTE_MS, SECOND_MS, Instant, WallTime, later
from mesh.wire.kept import KeptContact
from mesh.wire.messages import Contact

_KEPT_AGAIN_MS = 20 * MINUTE_MS
"""A third of the time for which a peer counts as heard of: so much of it a restart may forget."""

_MOVED_AGAIN_MS = 10 * SECOND_MS
"""A peer that is elsewhere is written down at once, since by what is remembered alone a restart finds it; but not more
often than this, however often it moves: each time is a write to the disk."""

_RENAMED_AGAIN_MS = DAY_MS
"""So often a new name alone is a reason to write at once; else it waits until the peer is written down anyway."""


class AddressBook:
    """Keep in the journal who was met, so that a restart finds and names them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._look_at = Instant(0)
        """When it is looked for what the journal does not say yet."""

    def restore(self, kept: Iterable[KeptContact]) -> None:
        """Take what the journal says; of each peer the last entry holds."""
        for entry in kept:
            known = self._directory.known(entry.contact.peer)
            known.addresses = known.kept = entry.contact.addresses
            known.name = known.kept_name = entry.name
            known.heard_wall = known.kept_wall = entry.heard

    def on_tick(self, turn: Turn) -> None:
        """Write down now and then what is new of those who are connected."""
        if turn.now.instant >= self._look_at:
            self._look_at = later(turn.now.instant, _MOVED_AGAIN_MS)
            for peer in self._directory.all_connected():
                self.keep(turn, peer, self._directory.peers[peer])

    def keep(self, turn: Turn, peer: PeerId, known: Known) -> None:
        """Write down what is known of a peer that has just been heard, if that is due."""
        due, renamed = _is_due(known, turn.now.wall), _is_renamed(known, turn.now.wall)
        if not (due or renamed) or not (known.addresses or known.name):
            return
        if not due:
            known.renamed_wall = turn.now.wall
        known.kept, known.kept_name, known.kept_wall = known.addresses, known.name, turn.now.wall
        contact = Contact(peer=peer, addresses=known.addresses)
        turn.keep(KeptContact(contact=contact, heard=known.heard_wall, name=known.name))


def _is_due(known: Known, wall: WallTime) -> bool:
    moved = known.addresses != known.kept and any(address not in known.kept for address in known.addresses)
    return wall - known.kept_wall > (_MOVED_AGAIN_MS if moved else _KEPT_AGAIN_MS)


def _is_renamed(known: Known, wall: WallTime) -> bool:
    return known.name != known.kept_name and wall - known.renamed_wall > _RENAMED_AGAIN_MS
