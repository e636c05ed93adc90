"""Peers that exchange datagrams over nothing: a test carries each one, or loses it, and is the clock."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.wire.calls import Outgoing
from mesh.wire.datagram import DATAGRAM_MAX_BYTES
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Door, Papers
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard, Most, Pairs
from mesh.wire.signing import Ed25519Verifier
from tests.support.meshes import NOW, Member, seed

DOOR = DatedDoor(lambda: NOW)
VERIFIER = Ed25519Verifier()
TICK_MS = 50


def entropy(size: int) -> bytes:
    """Return bytes that no other call returns, the same in each run."""
    return seed("entropy")[:size]


def company_of(papers: Papers, *, door: Door = DOOR, datagram_bytes: int = DATAGRAM_MAX_BYTES) -> Company:
    """Return what one side brings to handshakes by datagrams."""
    return Company(papers=papers, door=door, verifier=VERIFIER, datagram_bytes=datagram_bytes)


@dataclass(frozen=True, kw_only=True)
class Flying:
    """A datagram on its way."""

    source: Address
    to: Address
    data: bytes


def always(flying: Flying) -> Iterable[Flying]:
    """Lose nothing."""
    return (flying,)


@dataclass(kw_only=True)
class Station:
    """One peer."""

    member: Member
    pairs: Pairs
    address: Address
    heard: list[Heard] = field(default_factory=list)

    @property
    def id(self) -> PeerId:
        return self.member.id

    @property
    def payloads(self) -> list[bytes]:
        return [heard.payload for heard in self.heard]


class Ether:
    """All stations of one test, and the datagrams between them, first in first out."""

    def __init__(self) -> None:
        self.now = Instant(1_000_000)
        self.stations: dict[Address, Station] = {}
        self.flying: list[Flying] = []
        self.flown: list[Flying] = []
        """Everything that was sent."""
        self.carry: Callable[[Flying], Iterable[Flying]] = always
        """Says what arrives of a datagram."""

    def station(
        self,
        member: Member,
        *,
        papers: Papers | None = None,
        door: Door = DOOR,
        datagram_bytes: int = DATAGRAM_MAX_BYTES,
        most: Most | None = None,
    ) -> Station:
        """Return a new peer with an address of its own."""
        company = company_of(papers or member.papers, door=door, datagram_bytes=datagram_bytes)
        pairs = Pairs(company, entropy, most or Most())
        number = len(self.stations) + 1
        address = Address(host=f"10.0.{number // 250}.{number % 250 + 1}", port=4_000 + number)
        made = self.stations[address] = Station(member=member, pairs=pairs, address=address)
        return made

    def say(self, one: Station, other: Station, payload: bytes, *at: Address) -> None:
        """Let one peer say something to another, at the addresses given or the true one."""
        self.post(one.address, one.pairs.send(self.now, other.id, at or (other.address,), payload))

    def post(self, source: Address, outgoing: Iterable[Outgoing]) -> None:
        """Send datagrams."""
        for each in outgoing:
            flying = Flying(source=source, to=each.address, data=each.data)
            self.flown.append(flying)
            self.flying += self.carry(flying)

    def deliver(self, flying: Flying) -> None:
        """Let one datagram arrive."""
        station = self.stations.get(flying.to)
        if station is None:
            return
        reaction = station.pairs.hear(self.now, flying.source, flying.data)
        if reaction.heard is not None:
            station.heard.append(reaction.heard)
        self.post(station.address, reaction.send)

    def settle(self) -> None:
        """Let everything arrive that is on its way, and what follows from it."""
        while self.flying:
            self.deliver(self.flying.pop(0))

    def wait(self, for_ms: int) -> None:
        """Let time pass; whatever is said meanwhile arrives at once."""
        until = self.now + for_ms
        self.settle()
        while self.now < until:
            self.now = Instant(min(until, self.now + TICK_MS))
            for station in tuple(self.stations.values()):
                self.post(station.address, station.pairs.wake(self.now))
            self.settle()

    def kinds(self) -> list[int]:
        """Return the kinds of all datagrams sent so far."""
        return [flying.data[0] for flying in self.flown]
