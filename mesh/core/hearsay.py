"""Peers that others only tell of: each is dialled a few times, with growing pauses, and then forgotten.

Theory: whoever is told of a peer cannot know whether there is one. An honest teller has a channel with those it names,
so most answer at once; the rest are behind routers, or gone, or invented. So a rumour has few tries, tellers are served
in turn, and all dials of rumours together come out of one purse: what a liar's inventions cost does not depend on how
many they are, and they do not keep others' rumours waiting. Where somebody else says that a peer is that was met is
tried as often, out of the same purse.

Invariants: a peer that was ever met is no rumour. What was forgotten is taken up again when somebody else tells of it,
or the same one after a pause that doubles each time, since the way may have opened meanwhile. Every list is bounded.
The module does not know addresses, nor who dials.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS, Instant, later
from mesh.ground.limits import (
    FORGOTTEN_MOST_MS,
    FORGOTTEN_MS,
    MAX_CONTACTS,
    REDIAL_MS,
    RUMOUR_PAUSE_FACTOR,
    RUMOUR_PURSE,
    RUMOUR_TRIES,
    RUMOURS_PER_SECOND,
)

TELLERS_MOST = 8
"""Who told of a forgotten peer in vain: after so many nobody is believed sooner than the pause."""


@dataclass(slots=True)
class Rumour:
    """A peer that nobody here has met."""

    teller: PeerId
    due: Instant
    tries: int = 0


@dataclass(slots=True)
class Forgotten:
    """A rumour that led nowhere."""

    tellers: tuple[PeerId, ...]
    until: Instant
    times: int


class Hearsay:
    """All rumours of one peer."""

    def __init__(self) -> None:
        self._rumours: dict[PeerId, Rumour] = {}
        self._by_teller: dict[PeerId, dict[PeerId, Rumour]] = {}
        """Those of each teller, oldest first; the tellers in the order of their turns."""
        self._forgotten: dict[PeerId, Forgotten] = {}
        self._purse_milli = RUMOUR_PURSE * SECOND_MS
        self._wanted_milli = 0
        """What the next in turn costs: until the purse holds so much, nobody is looked for."""
        self._filled_at: Instant | None = None

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._rumours

    def __len__(self) -> int:
        return len(self._rumours)

    def believed(self, now: Instant, teller: PeerId, peer: PeerId) -> bool:
        """Say whether what `teller` says of a peer that is unknown here is worth a try, and not known to be vain."""
        vain = self._forgotten.get(peer)
        if vain is None or now >= vain.until:
            return True
        return teller not in vain.tellers and len(vain.tellers) < TELLERS_MOST

    def add(self, now: Instant, teller: PeerId, peer: PeerId) -> None:
        """Begin to try a peer."""
        assert peer not in self._rumours
        rumour = Rumour(teller=teller, due=now)
        self._rumours[peer] = self._by_teller.setdefault(teller, {})[peer] = rumour

    def crowded_out(self, teller: PeerId) -> PeerId | None:
        """Drop the newest rumour of whoever told most, to make room for one of `teller`; return whose it was.

        None where `teller` itself told most.
        """
        most = max(self._by_teller, key=lambda other: len(self._by_teller[other]), default=None)
        if most is None or len(self._by_teller[most]) <= 1 + len(self._by_teller.get(teller, ())):
            return None
        peer = next(reversed(self._by_teller[most]))
        self._drop(peer)
        return peer

    def due(self, now: Instant, cost_of: Callable[[PeerId], int], most: int = MAX_CONTACTS) -> list[PeerId]:
        """Return whom to dial now, `most` of them, of each teller one in turn, as far as the purse goes.

        `cost_of` says how many addresses a dial tries; 0 for who is being dialled.
        """
        self._fill(now)
        if not self._rumours or most < 1 or self._purse_milli < self._wanted_milli:
            return []
        self._wanted_milli = 0
        waiting = [
            [peer for peer, rumour in rumours.items() if rumour.due <= now and cost_of(peer)]
            for rumours in self._by_teller.values()
        ]
        chosen: list[PeerId] = []
        for place in range(max(map(len, waiting))):
            for peers in waiting:
                if place < len(peers):
                    cost_milli = cost_of(peers[place]) * SECOND_MS
                    if cost_milli > self._purse_milli:
                        self._wanted_milli = cost_milli
                        self._next_turn()
                        return chosen
                    self._purse_milli -= cost_milli
                    chosen.append(peers[place])
                    if len(chosen) >= most:
                        self._next_turn()
                        return chosen
        return chosen

    def affords(self, now: Instant, addresses: int) -> bool:
        """Pay for a dial of so many addresses that somebody tells of a peer that was met; tell whether that goes."""
        self._fill(now)
        if addresses * SECOND_MS > self._purse_milli - self._wanted_milli:
            return False  # what is saved up for a rumour is not spent
        self._purse_milli -= addresses * SECOND_MS
        return True

    def failed(self, now: Instant, dice: Dice, peer: PeerId) -> bool:
        """Note that a dial led nowhere; return whether the peer is forgotten now."""
        rumour = self._rumours[peer]
        rumour.tries += 1
        if rumour.tries < RUMOUR_TRIES:
            pause_ms = REDIAL_MS * RUMOUR_PAUSE_FACTOR ** (rumour.tries - 1)
            rumour.due = later(now, dice.jitter(pause_ms))
            return False
        self._drop(peer)
        before = self._forgotten.pop(peer, None)
        times = before.times + 1 if before is not None else 0
        pause_ms = min(FORGOTTEN_MS << min(times, 16), FORGOTTEN_MOST_MS)
        # Past its pause everybody may tell of it anew: only who told since then did so in vain.
        tellers = before.tellers if before is not None and now < before.until else ()
        self._forgotten[peer] = Forgotten(
            tellers=(*tellers, rumour.teller), until=later(now, dice.jitter(pause_ms)), times=times
        )
        if len(self._forgotten) > MAX_CONTACTS:
            del self._forgotten[next(iter(self._forgotten))]
        return True

    def met(self, peer: PeerId) -> None:
        """A channel with a peer is open: it is no rumour any more."""
        if peer in self._rumours:
            self._drop(peer)
        self._forgotten.pop(peer, None)

    def _drop(self, peer: PeerId) -> None:
        rumour = self._rumours.pop(peer)
        told = self._by_teller[rumour.teller]
        del told[peer]
        if not told:
            del self._by_teller[rumour.teller]

    def _fill(self, now: Instant) -> None:
        if self._filled_at is not None:
            self._purse_milli += (now - self._filled_at) * RUMOURS_PER_SECOND
        self._purse_milli = min(self._purse_milli, RUMOUR_PURSE * SECOND_MS)
        self._filled_at = now

    def _next_turn(self) -> None:
        """Let another teller be first the next time."""
        if self._by_teller:
            first = next(iter(self._by_teller))
            self._by_teller[first] = self._by_teller.pop(first)
