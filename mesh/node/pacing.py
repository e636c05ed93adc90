"""Pacing: what a member may cost this host, and for how long it is not read where it costs more.

Theory: what a message costs cannot be told from its size: one of fifty bytes can draw a thousand records. So processor
time is measured, of reading a message, of the turn that it caused and of writing what is sent back, and taken from the
purse of whoever sent it. A purse fills by `CHANNEL_SHARE` of a processor, up to `CHANNEL_PURSE_MS`. Who has spent it is
not read until it is filled again: his own system holds back what he says, and nothing of it is lost. Who works must
say more than who does not, the more the shorter the frames; so each output of his that others keep gives something
back, `EARNED_NS` at most, and never more than `EARNED_SHARE` of a processor in the long run. What this peer asked for
is free: else whoever makes it ask, and others can, would empty the purse of who answers.

Invariants: nobody's channel is cut for what it costs. A purse belongs to a peer and outlives its channels, so that
connecting again fills none; of too many that one is forgotten which was touched by nobody for longest, and is full most
likely. The module must not know what messages mean, nor any clock.
"""

from dataclasses import dataclass
from typing import Final

from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.ground.limits import CHANNEL_PAUSE_MS, CHANNEL_PURSE_MS, CHANNEL_SHARE, EARNED_SHARE, MAX_CHANNELS

PACKET_NS: Final = 50_000
"""Taken for each packet besides what is measured: the kernel's part, the cipher's, the loop's and the disk's."""

OPENING_NS: Final = 5_000_000
"""Taken for each channel that a peer opens: a handshake, 1.2 ms before anybody knows who it is, and what is said and
compared with whoever comes, 1.5 ms where 200 jobs are kept."""

EARNED_NS: Final = 10_000_000
"""Given back for an output that others keep: three times what a frame was seen to cost a keeper, with its claim, its
heartbeats, result and holds, since there are slower machines. What was not spent is not given back."""

ASKED_MOST: Final = 64
"""Answers that a peer may owe: what was asked of one that is away is not added up for ever."""

PURSES_MOST: Final = 2 * MAX_CHANNELS
"""Twice as many as may be in use: whoever has a channel keeps his."""

_MS_NS: Final = 1_000_000
_FULL_NS: Final = CHANNEL_PURSE_MS * _MS_NS


@dataclass(slots=True)
class _Purse:
    """What is left of one peer's; below zero: what it owes."""

    left_ns: int
    earnable_ns: int
    """So much may be given back now."""
    at: Instant


class Pacing:
    """The purses of all peers."""

    def __init__(self) -> None:
        self._purses: dict[PeerId, _Purse] = {}
        """The one that was not looked at for longest comes first."""
        self._asked: dict[PeerId, int] = {}
        """How many answers each may still give; who was not asked for longest comes first."""

    def __len__(self) -> int:
        return len(self._purses)

    def spend(self, now: Instant, peer: PeerId, spent_ns: int) -> None:
        """Take processor time from a peer's purse."""
        purse = self._filled(now, peer)
        purse.left_ns -= spent_ns

    def asked(self, peer: PeerId) -> None:
        """Note that this peer asked another one something."""
        self._asked[peer] = min(ASKED_MOST, self._asked.pop(peer, 0) + 1)
        if len(self._asked) > PURSES_MOST:
            del self._asked[next(iter(self._asked))]

    def awaits(self, peer: PeerId) -> bool:
        """Whether the peer may still give answers."""
        return peer in self._asked

    def answered(self, peer: PeerId) -> bool:
        """Note that a peer gave an answer; return whether it was asked, so that the answer is free."""
        left = self._asked.pop(peer, 0)
        if left > 1:
            self._asked[peer] = left - 1
        return left > 0

    def earn(self, now: Instant, peer: PeerId) -> None:
        """Give back for one output of the peer's that others keep."""
        if peer not in self._purses:
            return
        purse = self._filled(now, peer)
        given_ns = min(EARNED_NS, _FULL_NS - purse.left_ns, purse.earnable_ns)
        purse.left_ns += given_ns
        purse.earnable_ns -= given_ns

    def pause_ms(self, now: Instant, peer: PeerId) -> int:
        """Return for how long the peer is not read now; it must be asked again then."""
        if peer not in self._purses:
            return 0
        owed_ns = -self._filled(now, peer).left_ns
        return min(CHANNEL_PAUSE_MS, -(-owed_ns * CHANNEL_SHARE // _MS_NS)) if owed_ns > 0 else 0

    def _filled(self, now: Instant, peer: PeerId) -> _Purse:
        """Return a peer's purse with what has come into it since it was looked at."""
        purse = self._purses.pop(peer, None) or _Purse(_FULL_NS, _FULL_NS, now)
        self._purses[peer] = purse
        if len(self._purses) > PURSES_MOST:
            del self._purses[next(iter(self._purses))]
        passed_ns = (now - purse.at) * _MS_NS
        purse.left_ns = min(_FULL_NS, purse.left_ns + passed_ns // CHANNEL_SHARE)
        purse.earnable_ns = min(_FULL_NS, purse.earnable_ns + passed_ns // EARNED_SHARE)
        purse.at = now
        return purse
