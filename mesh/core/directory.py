"""What is known of other peers: read by every machine, changed by `Contacting` alone."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from statistics import median_low

from mesh.ground.ids import Boot, PeerId
from mesh.ground.instants import Instant, WallTime
from mesh.ground.limits import (
    HEARD_MS,
    PING_AGAIN_MS,
    PROBE_PER_PEER_MS,
    REDIAL_MOST_MS,
    REDIAL_MS,
    SETTLE_SAMPLES,
)
from mesh.wire.addresses import told
from mesh.wire.messages import MAX_ADDRESSES, Address, Available, Contact
from mesh.wire.records import Job
from mesh.wire.versions import VERSION_HIGHEST, VERSION_LOWEST

MUTE_MS = 2_500
"""A question unanswered for so long: this peer does not answer now. Two lost heartbeats and a half."""


@dataclass(slots=True)
class Known:
    """One other peer."""

    addresses: tuple[Address, ...] = ()
    """Where it was reached, and where it says that it is."""
    told: tuple[Address, ...] = ()
    """Where others say that it is: tried a few times, beside its own."""
    told_tries: int = 0
    shown: tuple[tuple[Address, ...], Contact] | None = None
    """What another machine is told of it, and the addresses that this was made of."""
    name: str = ""
    """What it called itself last, in this life of ours or before."""
    boot: Boot | None = None
    connected: bool = False
    """Whether there is a channel to it; the directory sets it."""
    channel: int = 0
    """The present channel's number, or that of the last one."""
    greeted: bool = False
    """Whether its hello has come on the present channel."""
    version: int = VERSION_HIGHEST
    """Of the wire: what the present channel speaks, or the last one did."""
    speaks: int = 0
    """The highest that it says it could speak; 0: it has not said."""
    here: bool = False
    """Whether it was last reached on this very machine."""
    dialled: bool = False
    """Whether the present channel was opened from here."""
    parted: bool = False
    """Whether it is about to close the channel, or did, because it has no use for it: it lives on."""
    left: bool = False
    heard_at: Instant = Instant(0)
    asked_at: Instant | None = None
    """When the first question was sent that nothing was heard since; None: none is open."""
    pings: dict[int, Instant] = field(default_factory=dict)
    round_trips_ms: list[int] = field(default_factory=list)
    redial_ms: int = REDIAL_MS
    dialling: bool = False
    tried_at: Instant | None = None
    redial_at: Instant | None = None
    """When it is dialled again; one timer acts, however many were set."""
    heard_wall: WallTime = WallTime(0)
    kept: tuple[Address, ...] = ()
    """Where the journal says that it is, how it is called, and since when."""
    kept_name: str = ""
    kept_wall: WallTime = WallTime(0)
    renamed_wall: WallTime = WallTime(0)
    """When it was last written down for nothing but a new name."""
    available: Available | None = None
    """What it says that it can render with; the directory sets it."""

    def learn(self, addresses: tuple[Address, ...]) -> None:
        """Take first-hand addresses, the newest first."""
        self.addresses = tuple(dict.fromkeys((*addresses, *self.addresses)))[:MAX_ADDRESSES]

    def contact(self, peer: PeerId, *, here: bool) -> Contact:
        """Return where it can be reached, without an address where nowhere; `here`: for somebody on this machine."""
        if here:
            return Contact(peer=peer, addresses=self.addresses)
        if self.shown is None or self.shown[0] is not self.addresses:
            self.shown = (self.addresses, Contact(peer=peer, addresses=told(self.addresses, here=False)))
        return self.shown[1]

    @property
    def round_trip_ms(self) -> int | None:
        """The median of recent round trips; None: none was measured."""
        trips = sorted(self.round_trips_ms)
        return trips[len(trips) // 2] if trips else None

    def is_asked(self, now: Instant) -> bool:
        """Whether an answer is waited for, and it is too early to ask again."""
        return self.asked_at is not None and any(now - at < PING_AGAIN_MS for at in self.pings.values())


class Directory:
    """What is known of other peers: read by everybody, changed by `Contacting` alone."""

    def __init__(self, me: PeerId) -> None:
        self.me = me
        self.peers: dict[PeerId, Known] = {}
        self._connected: list[PeerId] = []
        """Those of them with a channel, lowest id first: asked for many times a second, among thousands of others."""
        self._older: dict[PeerId, None] = {}
        """Those whose channel speaks an older version than this peer could."""
        self.offers = 0
        """How often it has changed how many slots some peer renders with."""
        self.crowd = 0
        """How many peers there may be, in a mesh too large to be connected to all; 0: who is connected is everybody."""

    def known(self, peer: PeerId) -> Known:
        """Return a peer, which is known from now on."""
        known = self.peers.get(peer)
        if known is None:
            known = self.peers[peer] = Known()
        return known

    def forget(self, peer: PeerId) -> None:
        """Know nothing of a peer any more."""
        self.offer(peer, None)
        del self.peers[peer]

    def offer(self, peer: PeerId, available: Available | None) -> None:
        """Note what a peer says that it can render with; None: it has not said so since it came."""
        known, before = self.known(peer), self.spare_slots_of(peer)
        known.available = available
        self.offers += self.spare_slots_of(peer) != before

    def connect(self, peer: PeerId, version: int = VERSION_HIGHEST) -> None:
        """Note that there is a channel to a peer, which speaks so and so."""
        known = self.peers[peer]
        known.version = version
        self._older.pop(peer, None)
        if version < VERSION_HIGHEST:
            self._older[peer] = None
        if not known.connected:
            known.connected = True
            insort(self._connected, peer)

    def disconnect(self, peer: PeerId) -> None:
        """Note that the channel to a peer is gone."""
        known = self.peers[peer]
        if known.connected:
            known.connected = False
            self._older.pop(peer, None)
            del self._connected[bisect_left(self._connected, peer)]

    def connected(self, peer: PeerId) -> bool:
        """Whether a channel to `peer` is open; to oneself it always is."""
        if peer == self.me:
            return True
        known = self.peers.get(peer)
        return known is not None and known.connected

    @property
    def mixed(self) -> bool:
        """Whether some channel speaks an older version than this peer could."""
        return bool(self._older)

    def version(self, peer: PeerId) -> int:
        """Return which version of the wire is spoken with `peer`; who was never met is taken for one of ours."""
        known = self.peers.get(peer)
        return known.version if known is not None else VERSION_HIGHEST

    def speaks(self, peer: PeerId, version: int) -> bool:
        """Whether `peer` speaks a version of the wire, or a newer one, and so can have part in what needs it."""
        return peer == self.me or version == VERSION_LOWEST or self.version(peer) >= version

    def met(self, peer: PeerId) -> bool:
        """Whether a channel to `peer` was ever open; to oneself it always is."""
        known = self.peers.get(peer)
        return peer == self.me or (known is not None and bool(known.heard_wall))

    def answers(self, peer: PeerId, now: Instant) -> bool:
        """Whether `peer` is connected and has not been mute for long."""
        if peer == self.me:
            return True
        known = self.peers.get(peer)
        if known is None or not known.connected:
            return False
        return known.asked_at is None or now - known.asked_at < MUTE_MS

    def all_connected(self) -> list[PeerId]:
        """Return the others with a channel, lowest id first."""
        return list(self._connected)

    @property
    def channels(self) -> int:
        """How many others have a channel."""
        return len(self._connected)

    def heard_within(self, wall: WallTime, span_ms: int, needs: int = VERSION_LOWEST) -> list[PeerId]:
        """Return the others that were heard of in the last `span_ms` milliseconds and have not said that they leave.

        Without those that do not speak the version that something `needs`.
        """
        return sorted(
            peer
            for peer, known in self.peers.items()
            if (known.connected or (not known.left and wall - known.heard_wall <= span_ms)) and known.version >= needs
        )

    def slots_for(self, job: Job) -> int:
        """Return how many slots of connected peers could render a job."""
        slots = 0
        for peer in self._connected:  # asked by whoever claims, of everybody
            offer = self.peers[peer].available
            if offer is not None and not (offer.draining or offer.paused) and _fits(offer, job):
                slots += offer.slots
        return slots

    def slots_of(self, peer: PeerId) -> int:
        """Return how many slots another peer says that it has; 0 before it said so."""
        known = self.peers.get(peer)
        return known.available.slots if known is not None and known.available is not None else 0

    def spare_slots_of(self, peer: PeerId) -> int:
        """Return how many slots another peer says that it renders with now; 0 before it said so."""
        known = self.peers.get(peer)
        offer = known.available if known is not None else None
        return offer.slots if offer is not None and not (offer.draining or offer.paused) else 0

    def drains(self, peer: PeerId) -> bool:
        """Whether another peer says that it takes nothing new, because it is about to end."""
        known = self.peers.get(peer)
        return known is not None and known.available is not None and known.available.draining

    def parted(self, peer: PeerId) -> bool:
        """Whether a channel was closed because one end had no use for it: its end says nothing of the peer."""
        known = self.peers.get(peer)
        return known is not None and known.parted

    def contacts(self, *, here: bool = False) -> tuple[Contact, ...]:
        """Return where connected peers can be reached; `here`: for somebody on this machine."""
        found = [self.peers[peer].contact(peer, here=here) for peer in self._connected]
        return tuple([contact for contact in found if contact.addresses])

    def probe_ms(self) -> int:
        """Return the pause between tries of what may lead to another part of the mesh, once all goes well."""
        there = max(self.crowd, 1 + len(self._connected))
        return max(REDIAL_MOST_MS, PROBE_PER_PEER_MS * there)

    def usual_round_trip_ms(self) -> int | None:
        """Return the round trip of the middle one of the connected peers, or None before enough were measured.

        The slowest is no measure: whoever answers late, on purpose or not, would have all others wait.
        """
        there = [self.peers[peer] for peer in self._connected]
        if sum(len(known.round_trips_ms) for known in there) < SETTLE_SAMPLES:
            return None
        return median_low(trip for known in there if (trip := known.round_trip_ms) is not None)


def _fits(offer: Available, job: Job) -> bool:
    return job.engine in offer.engines and offer.memory_mb >= job.memory_mb


def copies_for(directory: Directory, wall: WallTime, most: int, needs: int = VERSION_LOWEST) -> int:
    """Return min(`most`, peers heard of in the last hour, oneself included): what `copies` and `tries` are set to.

    Only those that can have part in what needs a version are counted.
    """
    return min(most, 1 + len(directory.heard_within(wall, HEARD_MS, needs)))
