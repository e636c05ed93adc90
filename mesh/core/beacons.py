"""The beacon on the LAN: when this peer shows itself, and what it does when it hears another.

Theory: two peers on one cable find each other when either hears the other, so who is alone speaks often, and who has
company seldom: the pauses double up to those of every other probing. Who hears a peer that it has no channel with
answers soon by a beacon of its own, since of two only one may be where the other can dial it.

A beacon may be recorded and sent again, and whoever has the mesh secret may invent one. So a beacon is never believed,
only knocked at: one address for each beacon that is newer than any heard of that peer, the next address at the next
one. Knocks come out of one purse, so that no flood makes this peer dial without end.

Invariants: a beacon that was heard before, or an older one, has no effect at all. A knock proves nothing about anybody:
only whoever answers it becomes known.
"""

from dataclasses import dataclass

from mesh.core.directory import Directory
from mesh.core.effects import Knock, SendBeacon
from mesh.core.events import BeaconHeard, Started
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.ground.instants import DAY_MS, SECOND_MS, Instant, WallTime, later
from mesh.ground.limits import (
    BEACON_ALONE_MS,
    BEACON_ANSWER_MS,
    BEACON_KNOCKS,
    BEACON_KNOCKS_PER_SECOND,
    BEACON_MS,
    MAX_CONTACTS,
)

_AHEAD_MS = DAY_MS
"""A beacon from so far in the future says nothing: believed, it would make all true ones of its peer old."""


@dataclass(slots=True)
class _Heard:
    """The newest beacon of one peer."""

    wall: WallTime
    knocks: int = 0


class Beacons:
    """Shows this peer on its LAN, and knocks at others that show themselves."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._own: tuple[object, ...] = ()
        self._on = False
        self._pause_ms = BEACON_MS
        self._sent_at: Instant | None = None
        self._due = Instant(0)
        self._wall = WallTime(0)
        self._heard: dict[PeerId, _Heard] = {}
        self._purse_milli = BEACON_KNOCKS * SECOND_MS
        self._filled_at: Instant | None = None

    def on_started(self, turn: Turn, event: Started) -> None:
        """Begin to speak, where there is a LAN to speak on."""
        self._on = event.beacon
        self._own = event.addresses
        self._due = later(turn.now.instant, turn.dice.below(BEACON_MS))

    def on_tick(self, turn: Turn) -> None:
        """Speak when it is time."""
        if not self._on:
            return
        if not self._directory.all_connected():
            alone = later(self._sent_at or turn.now.instant, BEACON_ALONE_MS)
            self._due = min(self._due, alone)
        if turn.now.instant >= self._due:
            self._send(turn)

    def on_beacon_heard(self, turn: Turn, event: BeaconHeard) -> None:
        """Knock where a peer without a channel shows itself, and let it hear of us."""
        if event.peer == self._directory.me or self._directory.connected(event.peer):
            return
        known = self._heard.get(event.peer)
        if event.wall - turn.now.wall > _AHEAD_MS or (known is not None and event.wall <= known.wall):
            return
        if known is None:
            known = self._heard[event.peer] = _Heard(wall=event.wall)
            if len(self._heard) > MAX_CONTACTS:
                del self._heard[next(iter(self._heard))]
        known.wall = event.wall
        addresses = [address for address in event.addresses if address not in self._own]
        if addresses and self._pay(turn.now.instant):
            turn.do(Knock(address=addresses[known.knocks % len(addresses)]))
            known.knocks += 1
        self._answer(turn)

    def _answer(self, turn: Turn) -> None:
        earliest = turn.now.instant if self._sent_at is None else later(self._sent_at, BEACON_ANSWER_MS)
        soon = later(max(turn.now.instant, earliest), turn.dice.below(BEACON_MS))
        self._due = min(self._due, soon)

    def _send(self, turn: Turn) -> None:
        # Higher than the last one even if the clock was set back meanwhile.
        self._wall = WallTime(max(self._wall + 1, turn.now.wall))
        turn.do(SendBeacon(wall=self._wall))
        self._sent_at = turn.now.instant
        connected = bool(self._directory.all_connected())
        most_ms = self._directory.probe_ms() if connected else BEACON_ALONE_MS
        self._due = later(turn.now.instant, turn.dice.jitter(min(self._pause_ms, most_ms)))
        self._pause_ms = min(2 * self._pause_ms, most_ms)

    def _pay(self, now: Instant) -> bool:
        if self._filled_at is not None:
            self._purse_milli += (now - self._filled_at) * BEACON_KNOCKS_PER_SECOND
        self._filled_at = now
        self._purse_milli = min(self._purse_milli, BEACON_KNOCKS * SECOND_MS)
        if self._purse_milli < SECOND_MS:
            return False
        self._purse_milli -= SECOND_MS
        return True
