"""Probes under way: each waits as long as answers from there take as a rule, and longer where this peer is not well.

Theory: who is too busy to hear takes everybody for silent. So a peer judges itself first, as Lifeguard does: probes
that nobody answered, its own late timers and having to clear itself make it *ill*, answers make it well again; its
patience grows with its illness. A timer that comes late judges nobody at all: what it waited for may stand behind it in
the queue.

Invariants: at most one probe of a peer is this peer's own; those and the ones for others are bounded apart, so that
nobody's wishes keep this peer from probing. The module must not know what an answer, or its absence, means.
"""

from dataclasses import dataclass, field

from mesh.core.dht.questions import RoundTrips
from mesh.core.timers import ProbeLate
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, later
from mesh.ground.limits import (
    HEALTH_WORST,
    LATE_MS,
    PROBE_PATIENCE_LEAST_MS,
    PROBE_PATIENCE_MS,
    PROBE_WHOLE_MS,
    PROBES_OPEN,
)
from mesh.wire.messages import Address

_NUMBERS = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Somebody who asked for a probe: where it reads, and under which number it waits."""

    peer: PeerId
    address: Address
    number: int


@dataclass(slots=True, kw_only=True)
class Asked:
    """A probe under way."""

    number: int
    peer: PeerId
    since: Instant
    by_datagram: bool
    asker: Asker | None = None
    """None: it is this peer's own."""
    due: Instant = Instant(0)
    """When its timer fires, unless this host is late."""
    helped: bool = False
    """Whether others shall ask, too, where nothing is heard."""
    helpers: dict[PeerId, bool] = field(default_factory=dict)
    """Who was asked to; whether it has said anything at all."""
    again: bool = False
    """Whether the second wait has begun: others were asked, and the channel."""
    excused: bool = False
    """Whether it was given more time, since this host was late."""


class Probes:
    """All probes of one peer that wait, and its own health."""

    def __init__(self) -> None:
        self.open: dict[int, Asked] = {}
        self.own: dict[PeerId, Asked] = {}
        """This peer's own, by whom they ask."""
        self.illness = 0
        """0: well, up to `HEALTH_WORST`."""
        self._number = 0

    def full(self, *, own: bool) -> bool:
        """Whether there is no room for one more: of this peer's own, or for others."""
        return (len(self.own) if own else len(self.open) - len(self.own)) >= PROBES_OPEN

    def begin(
        self, now: Instant, peer: PeerId, *, by_datagram: bool, helped: bool = False, asker: Asker | None = None
    ) -> Asked:
        """Note a probe, and return it with a number that no other under way has."""
        self._number = self._number % (_NUMBERS - 1) + 1
        asked = Asked(number=self._number, peer=peer, since=now, by_datagram=by_datagram, helped=helped, asker=asker)
        self.open[asked.number] = asked
        if asker is None:
            self.own[peer] = asked
        return asked

    def wait(self, turn: Turn, asked: Asked, wait_ms: int) -> None:
        """Have its timer fire in `wait_ms`."""
        asked.due = later(turn.now.instant, wait_ms)
        turn.wake(ProbeLate(number=asked.number), wait_ms)

    def late(self, now: Instant, asked: Asked) -> bool:
        """Whether its timer came so late that it must not be judged by it; once for each probe."""
        if asked.excused or now - asked.due < LATE_MS:
            return False
        asked.excused = True
        return True

    def close(self, asked: Asked) -> None:
        """Wait for it no longer."""
        del self.open[asked.number]
        if asked.asker is None:
            del self.own[asked.peer]

    def forget(self, peer: PeerId) -> None:
        """Let go of this peer's own probe of `peer`, if there is one."""
        asked = self.own.get(peer)
        if asked is not None:
            self.close(asked)

    def feel(self, worse: int) -> None:
        """Be worse by so much, or better where negative."""
        self.illness = max(0, min(self.illness + worse, HEALTH_WORST))

    def patience_ms(self, trips: RoundTrips | None) -> int:
        """Return how long an answer is waited for that takes as long as others from there did."""
        measured_ms = PROBE_PATIENCE_MS if trips is None else int(trips.mean_ms + 4 * trips.deviation_ms)
        return max(PROBE_PATIENCE_LEAST_MS, min(measured_ms, PROBE_PATIENCE_MS)) * (1 + self.illness)

    @property
    def whole_ms(self) -> int:
        """How long everybody's answer together is waited for."""
        return PROBE_WHOLE_MS * (1 + self.illness)


class Allowance:
    """How often each peer may have something done in a second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent: dict[PeerId, int] = {}

    def spend(self, peer: PeerId) -> bool:
        """Take one of a peer's; tell whether there was one left."""
        spent = self._spent.get(peer, 0)
        if spent >= self._most:
            return False
        self._spent[peer] = spent + 1
        return True

    def renew(self) -> None:
        """Begin another second."""
        self._spent.clear()
