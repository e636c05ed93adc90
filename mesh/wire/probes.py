"""What peers say in single datagrams of who is there: probes, their answers, and tidings of others.

A probe asks one peer whether it is there; who hears nothing has others ask. Each of these datagrams, and one that is
nothing else, carries tidings: what the sender believes of some other peers. Tidings are nobody's signed word: they say
whom to ask, and prove nothing.

Incarnations tell an old word from a new one. A peer's own begins at the calendar when it starts, and whenever others
doubt it, it takes a higher one; nobody else may raise it.
"""

import dataclasses
import enum
from typing import Annotated, ClassVar, TypeAlias

from mesh.ground.ids import PeerId
from mesh.wire.addresses import Endpoint
from mesh.wire.codec import AtMost, Between
from mesh.wire.messages import Count

MAX_TIDINGS = 16
"""In one datagram: 750 bytes, so that a question with addresses and an answer fit beside them."""

MAX_PROBED_ENDPOINTS = 2
"""Where a peer is probed for another: as many addresses as a node of the DHT is told with."""

Incarnation: TypeAlias = Annotated[int, Between(0, 2**62)]


UNKNOWN = 0
"""The incarnation of a peer that the sender never heard: whatever the present one is."""


class State(enum.IntEnum):
    """What is said of a peer; at one incarnation a higher one counts for more."""

    ALIVE = 0
    """It said so itself."""
    DOUBTED = 1
    """Somebody told the sender that it does not answer."""
    SUSPECT = 2
    """It did not answer the sender itself."""
    GONE = 3
    """The sender has given it up."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tiding:
    """What the sender believes of a peer, in that peer's incarnation."""

    peer: PeerId
    incarnation: Incarnation
    state: Annotated[int, Between(0, 15)]


Tidings: TypeAlias = Annotated[tuple[Tiding, ...], AtMost(MAX_TIDINGS)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Is the receiver there?"""

    NUMBER: ClassVar[int] = 9

    number: Count
    tidings: Tidings = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFor:
    """Is `peer` there? The receiver asks it in the sender's place."""

    NUMBER: ClassVar[int] = 10

    number: Count
    peer: PeerId
    endpoints: Annotated[tuple[Endpoint, ...], AtMost(MAX_PROBED_ENDPOINTS)]
    """Where the sender would ask, for who does not know it."""
    tidings: Tidings = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The sender is there, in this incarnation."""

    NUMBER: ClassVar[int] = 11

    number: Count
    incarnation: Incarnation
    tidings: Tidings = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Whether the peer that the receiver named answered the sender."""

    NUMBER: ClassVar[int] = 12

    number: Count
    answered: bool
    tidings: Tidings = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gossip:
    """Fresh tidings; nobody answers."""

    NUMBER: ClassVar[int] = 13

    tidings: Tidings


ProbeMessage: TypeAlias = Probe | ProbeFor | Alive | Probed | Gossip

PROBE_MESSAGES = (Probe, ProbeFor, Alive, Probed, Gossip)
