"""Which of the peers that hold something are gone, as far as their copies are concerned.

Theory: nothing that must be true rests on this. Whoever is taken for gone and is not has another keep what it keeps,
and hears so; that costs a copy. So a refused dial is enough, or as much silence as ends a lease. Of whom this boot has
never met, and in a large mesh of whom it has no use for a channel with, silence says little: they are looked for, and
waited for as long as disks mostly take to come back.
"""

from collections.abc import Iterable

from mesh.core.directory import Directory
from mesh.core.notes import PeersNeeded
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.ground.limits import LEASE_MS, LOST_AFTER_SAFE_MS

_SOUGHT_AT_ONCE = 4
"""Holders that are looked for at a time in a large mesh: a look-up in the DHT and a dial each, every second."""


class Absences:
    """Tell who is gone."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._met: dict[PeerId, None] = {}
        self._since: dict[PeerId, Instant] = {}
        self._gone: dict[PeerId, None] = {}

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._gone

    def met(self, peer: PeerId) -> None:
        """Note that a peer is there."""
        self._met[peer] = None
        self._since.pop(peer, None)
        self._gone.pop(peer, None)

    def died(self, peer: PeerId) -> bool:
        """Note that a peer's process is surely gone; tell whether that is news."""
        fresh = peer not in self._gone
        self._gone[peer] = None
        return fresh

    def wait_anew(self) -> None:
        """Count no silence from before now: this host slept through it."""
        self._since.clear()

    def look(self, turn: Turn, peers: Iterable[PeerId]) -> list[PeerId]:
        """Look at all these peers, once a second; return those who are gone since the last look."""
        fresh: list[PeerId] = []
        sought: list[PeerId] = []
        for peer in peers:
            if self._directory.answers(peer, turn.now.instant):
                self._since.pop(peer, None)
                self._gone.pop(peer, None)
            elif peer not in self._gone:
                since = self._since.setdefault(peer, turn.now.instant)
                if turn.now.instant - since >= self._patience_ms(peer):
                    self._gone[peer] = None
                    fresh.append(peer)
                elif not self._directory.connected(peer):
                    sought.append(peer)
        if self._directory.crowd and sought:
            turn.tell(PeersNeeded(peers=tuple(sought[:_SOUGHT_AT_ONCE])))
        return fresh

    def _patience_ms(self, peer: PeerId) -> int:
        surely = peer in self._met and not self._directory.parted(peer)
        return LEASE_MS if surely else LOST_AFTER_SAFE_MS
