"""The members of a view, and what speaks against one that may be gone.

Theory: as in SWIM a silent member is suspected before it is given up, so that it can clear itself; as in Lifeguard it
has long at first, and shorter with each other peer that found it silent by itself. Only a peer that says so of its own
probe is such a witness, and datagrams prove who speaks: nobody can be witness twice, or invent another.
"""

from dataclasses import dataclass, field
from math import log, log10

from mesh.core.dht.questions import RoundTrips
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.ground.limits import DOUBT_FACTOR, DOUBT_MS, DOUBT_WITNESSES
from mesh.wire.messages import Address
from mesh.wire.probes import UNKNOWN, State, Tiding

NOTHING_TOLD = (-1, 0)
"""Ranks below every tiding."""


@dataclass(slots=True)
class Doubt:
    """Why a member may be gone."""

    peer: PeerId
    incarnation: int
    since: Instant
    asked_at: Instant
    missed: bool = False
    """Whether this peer itself has asked in vain since the doubt began."""
    witnesses: dict[PeerId, None] = field(default_factory=dict)

    def testify(self, witness: PeerId) -> None:
        """Let another peer say that it asked in vain."""
        if len(self.witnesses) < DOUBT_WITNESSES:
            self.witnesses[witness] = None

    def tiding(self) -> Tiding:
        """Return what this peer says of it."""
        state = State.SUSPECT if self.missed else State.DOUBTED
        return Tiding(peer=self.peer, incarnation=self.incarnation, state=int(state))

    def ripe(self, now: Instant, peers: int) -> bool:
        """Whether the member is to be given up, in a view of so many peers."""
        return self.missed and now - self.since >= doubt_ms(peers, len(self.witnesses))


@dataclass(slots=True)
class Member:
    """One peer of the view."""

    incarnation: int = UNKNOWN
    """As it, or others, last told."""
    doubt: Doubt | None = None
    told: tuple[int, int] = NOTHING_TOLD
    """The rank of the last tiding of it that this peer began to tell."""
    trips: RoundTrips | None = None
    reads_at: Address | None = None
    """Where it last spoke from, by datagram; None: it never did, or what is sent there is lost."""
    unheard: int = 0
    """Probes in a row that it answered on its channel alone."""
    deaf_until: Instant = Instant(0)
    """Until then no datagram is sent to it."""


def doubt_ms(peers: int, witnesses: int) -> int:
    """Return how long a member of a view of `peers` may be doubted, as Lifeguard has it."""
    least_ms = DOUBT_MS * (1 + log10(peers))
    part = log(min(witnesses, DOUBT_WITNESSES) + 1) / log(DOUBT_WITNESSES + 1)
    return int(least_ms * (DOUBT_FACTOR - (DOUBT_FACTOR - 1) * part))
