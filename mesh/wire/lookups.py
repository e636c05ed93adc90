"""What peers ask each other in single datagrams, channel or not: who is near an id, what is kept under a key, who is
there.

A datagram is [number, fields], like a packet on a channel, in at most `MAX_LOOKUP_BYTES`: one that never has to be cut
up on its way. Numbers are only ever appended. Each question carries a number that its answer repeats; whoever answers
is known by the transport, not by what the answer says.

Addresses here are IP addresses, never names: what a stranger's answer holds must not make anybody ask a resolver.
"""

import dataclasses
from typing import Annotated, ClassVar, TypeAlias, get_args

from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import WallTime
from mesh.wire import addresses, cbor
from mesh.wire.carrying import MAX_CARRIED_BYTES
from mesh.wire.codec import AtMost, Between, Size, codec_of, from_value, most_bytes, to_value
from mesh.wire.envelope import Signed
from mesh.wire.members import Chain
from mesh.wire.messages import Count
from mesh.wire.probes import Alive, Probe, Probed, ProbeFor, ProbeMessage

MAX_LOOKUP_BYTES = MAX_CARRIED_BYTES
"""One datagram: what is left of the smallest MTU of the internet's usual links, 1,280, after headers and a cipher."""

MAX_POINTER_BYTES = 1_000
"""A signed record of the DHT: small enough to be answered with, whole."""

DHT_ID_BYTES = 20
"""The first bytes of a peer's id: 160 bits, as the routing table counts."""

MAX_NODES = 8
"""Nodes told in one answer."""

MAX_NODE_ENDPOINTS = 2
MAX_OWN_ENDPOINTS = 4

# Whoever reads look-ups reads endpoints: they stand elsewhere only so that `probes` can be below this module.
Endpoint: TypeAlias = addresses.Endpoint

DhtId: TypeAlias = Annotated[bytes, Size(DHT_ID_BYTES)]
Slots: TypeAlias = Annotated[int, Between(0, 1024)]


def dht_id(peer: PeerId) -> bytes:
    """Return where in the DHT a peer stands, and under which key it is to be found."""
    return peer[:DHT_ID_BYTES]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A peer that answered the sender lately, and where."""

    peer: PeerId
    endpoints: Annotated[tuple[Endpoint, ...], AtMost(MAX_NODE_ENDPOINTS)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A peer's own word of where it is and what it can do; kept by the peers nearest to its key until it expires.

    Of one author's pointers under a key the one with the highest sequence is true.
    """

    DOMAIN: ClassVar[str] = "pointer"

    key: DhtId
    """The author's own id, cut to size: nobody else's pointer is kept there."""
    sequence: Annotated[int, Between(1, 2**62)]
    expires: WallTime
    endpoints: Annotated[tuple[Endpoint, ...], AtMost(MAX_OWN_ENDPOINTS)]
    name: Annotated[str, AtMost(64)]
    """For people's eyes."""
    slots: Slots
    busy: Slots
    cores: Annotated[int, Between(0, 2**16)]
    memory_mb: Annotated[int, Between(0, 2**31)]
    draining: bool
    engines: Annotated[tuple[Annotated[bytes, Size(8)], ...], AtMost(8)]
    """The first eight bytes of BLAKE3 of each engine's encoding: enough to tell whether it has a given one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodePing:
    """Is anybody there?"""

    NUMBER: ClassVar[int] = 1

    number: Count


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodePong:
    """The sender is, and this is who let it in."""

    NUMBER: ClassVar[int] = 2

    number: Count
    chain: Chain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FindNodes:
    """Which nodes does the receiver know nearest to `target`?"""

    NUMBER: ClassVar[int] = 3

    number: Count
    target: DhtId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodesFound:
    """These, nearest first."""

    NUMBER: ClassVar[int] = 4

    number: Count
    nodes: Annotated[tuple[Node, ...], AtMost(MAX_NODES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FindPointers:
    """What does the receiver keep under `key`, and which nodes does it know nearest to it?"""

    NUMBER: ClassVar[int] = 5

    number: Count
    key: DhtId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PointersFound:
    """This, and these."""

    NUMBER: ClassVar[int] = 6

    number: Count
    pointers: Annotated[tuple[Signed[Pointer], ...], AtMost(1)]
    nodes: Annotated[tuple[Node, ...], AtMost(MAX_NODES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StorePointer:
    """Keep this until it expires."""

    NUMBER: ClassVar[int] = 7

    number: Count
    pointer: Signed[Pointer]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PointerStored:
    """The highest sequence that the sender now keeps of that author; 0: none, it declines."""

    NUMBER: ClassVar[int] = 8

    number: Count
    sequence: Annotated[int, Between(0, 2**62)]


Question: TypeAlias = NodePing | FindNodes | FindPointers | StorePointer
Answer: TypeAlias = NodePong | NodesFound | PointersFound | PointerStored
Lookup: TypeAlias = (
    NodePing
    | NodePong
    | FindNodes
    | NodesFound
    | FindPointers
    | PointersFound
    | StorePointer
    | PointerStored
    | ProbeMessage
)

LOOKUPS: tuple[type[Lookup], ...] = get_args(Lookup)
BY_NUMBER: dict[int, type[Lookup]] = {kind.NUMBER: kind for kind in LOOKUPS}
ANSWERS: dict[type, type] = {
    NodePing: NodePong,
    FindNodes: NodesFound,
    FindPointers: PointersFound,
    StorePointer: PointerStored,
    Probe: Alive,
    ProbeFor: Probed,
}
"""What answers what; nothing answers the rest."""
ANSWERING: frozenset[type] = frozenset(ANSWERS.values())
"""What is said to who asked, and to nobody else."""

assert len(BY_NUMBER) == len(LOOKUPS), "a number is used twice"
assert all(cbor.LONGEST_TAG + most_bytes(kind) <= MAX_LOOKUP_BYTES for kind in LOOKUPS), "more than a datagram"
assert codec_of(Signed[Pointer]).most_bytes <= MAX_POINTER_BYTES, "a pointer that is too long"

_MAX_ITEMS = 512
"""Values in one datagram: far more than eight nodes with their addresses, or all tidings that fit."""


def encode(lookup: Lookup) -> bytes:
    """Return the datagram of `lookup`."""
    return cbor.encode([type(lookup).NUMBER, to_value(lookup)])


def decode(data: bytes) -> Lookup:
    """Return what a datagram says, its signatures not yet checked; raises `WireError`."""
    match cbor.numbered(cbor.decode(data, MAX_LOOKUP_BYTES, _MAX_ITEMS)):
        case (number, body) if number in BY_NUMBER:
            return from_value(BY_NUMBER[number], body)
    raise WireError("a look-up of an unknown number")
