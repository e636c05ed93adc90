"""The network between hosts: channels that are dialled, carry messages in order, and break.

A host is reachable from another unless that direction is cut. What a cut swallows is silent: what was sent waits, as
in the senders' buffers of a real connection, and arrives after healing if both ends still hold the channel. A process
that dies closes its channels visibly, as its system does for it; a host without power closes nothing, and whoever
sends to it learns so only once it is back and knows the channel no more. Beyond what a connection does, a scenario
may lose, duplicate and reorder messages.

Invariants: one channel per pair is current; an end that closed hears nothing more of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.core.effects import SendDatagram
from mesh.core.events import (
    BeaconHeard,
    ChannelClosed,
    ChannelOpened,
    DatagramHeard,
    DialFailed,
    MessageHeard,
    TwinMet,
    UnknownHeard,
)
from mesh.ground.errors import UnknownKind, WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import WallTime
from mesh.wire.messages import Address, Message
from mesh.wire.versions import VERSION_HIGHEST
from sim.draws import Draws
from sim.parcels import LATER

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

DIAL_GIVEN_UP_MS = 5_000
"""A dial that nothing answers ends after the handshake's time."""

PORT = 7_000
_PART = 1_000_000


class Channel:
    """One connection of two hosts: which ends still hold it, and what waits behind a cut."""

    __slots__ = ("broken", "busy_until", "first", "held", "open", "opens_ms", "second", "version")

    def __init__(self, first: int, second: int, opens_ms: int, version: int) -> None:
        self.first = first
        self.second = second
        self.version = version
        """Of the wire: the highest that both ends speak."""
        self.open = {first: True, second: True}
        self.opens_ms = opens_ms
        """Nothing arrives before both ends know of the channel."""
        self.busy_until = {first: opens_ms, second: opens_ms}
        """When the last message to that end arrives: later ones do not overtake it."""
        self.broken = False
        """Something on it was lost for good."""
        self.held: dict[int, list[object]] = {first: [], second: []}

    def other(self, end: int) -> int:
        """Return the end across from `end`."""
        return self.second if end == self.first else self.first


@dataclass(slots=True, kw_only=True)
class NetFaults:
    """How bad the network is now; rates in millionths of messages."""

    loss_ppm: int = 0
    duplicate_ppm: int = 0
    reorder_ppm: int = 0


def address_of(index: int) -> Address:
    """Return where host `index` listens."""
    return Address(host=f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}", port=PORT)


class Net:
    """All channels of the world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._draws = Draws(world.dice.fork(b"net"))
        self._datagram_draws = Draws(world.dice.fork(b"datagrams"))
        # Asked for with every message.
        self._least_ms, self._jitters = world.scenario.latency_ms, world.scenario.jitter_ms + 1
        self._sites, self._has_clones = world.scenario.sites, bool(world.scenario.clone_of)
        self._channels: dict[tuple[int, int], Channel] = {}
        self._by_address: dict[Address, int] = {}
        self._moves = 0
        self._cuts: dict[tuple[int, int], int] = {}
        """How many faults cut this direction now."""
        self.faults = NetFaults()
        self.lags: dict[int, int] = {}
        """How much longer everything from and to a host takes now, in milliseconds."""

    def place(self, host: "Host") -> None:
        """Give a host its address."""
        self._by_address[host.address] = host.index

    def move(self, host: "Host") -> None:
        """Give a host that does not run an address that nobody had before; its old one leads nowhere from now on."""
        assert not host.running
        del self._by_address[host.address]
        self._moves += 1
        host.address = address_of(len(self._world.hosts) + self._moves)
        self.place(host)

    # Reach.

    def reaches(self, source: int, target: int) -> bool:
        """Tell whether bytes of `source` get to `target`'s machine now."""
        return (source, target) not in self._cuts

    def connects(self, one: int, other: int) -> bool:
        """Tell whether both directions are whole."""
        return self.reaches(one, other) and self.reaches(other, one)

    def cut(self, source: int, target: int) -> None:
        """Cut one direction."""
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1

    def mend(self, source: int, target: int) -> None:
        """Take one cut of that direction back; what waited arrives when no cut is left."""
        left = self._cuts.pop((source, target), 0) - 1
        if left > 0:
            self._cuts[source, target] = left
            return
        channel = self._between(source, target)
        if channel is not None:
            held, channel.held[target] = channel.held[target], []
            for parcel in held:
                self._transmit(channel, source, parcel, extra_ms=0)

    def heal(self) -> None:
        """Mend everything and lose nothing from now on; a channel that lost something is broken, as a real one is."""
        self.faults = NetFaults()
        self.lags.clear()
        for source, target in list(self._cuts):
            self._cuts[source, target] = 1
            self.mend(source, target)
        for channel in self._channels.values():
            if channel.broken:
                for end in (channel.first, channel.second):
                    self._end(channel, self._world.hosts[end], clean=False)

    def latency_ms(self, one: int, other: int) -> int:
        """Draw the time that one message takes from one host to another."""
        drawn_ms = self._least_ms + self._draws.below(self._jitters)
        return drawn_ms + self._further_ms(one, other) if self._sites > 1 or self.lags else drawn_ms

    def _further_ms(self, one: int, other: int) -> int:
        """Return how much longer it takes between these two: they are far from each other, or a line of theirs lags."""
        scenario = self._world.scenario
        far_ms = scenario.far_ms if scenario.sites > 1 and (one - other) % scenario.sites else 0
        return far_ms + (self.lags.get(one, 0) + self.lags.get(other, 0) if self.lags else 0)

    # Dialling.

    def dial(self, host: "Host", peer: PeerId, addresses: tuple[Address, ...]) -> None:
        """Try the addresses for `host`: the first that is a host's is where the peer is or is not."""
        target = next((self._by_address[address] for address in addresses if address in self._by_address), None)
        if target is None or target == host.index:
            self._world.tell(host, DIAL_GIVEN_UP_MS, DialFailed(peer=peer, refused=False))
            return
        channel = self._between(host.index, target)
        if channel is not None and all(channel.open.values()):
            return
        if any(self.holds(host, twin) for twin in self._twins(peer)):
            return
        address = self._world.hosts[target].address
        self._world.after(3 * self.latency_ms(host.index, target), self._arrive, host, host.life, peer, address)

    def knock(self, host: "Host", address: Address) -> None:
        """Dial an address for `host`, whoever is there; nothing happens where nobody is."""
        target = self._by_address.get(address)
        if target is None or target == host.index:
            return
        channel = self._between(host.index, target)
        if channel is None or not all(channel.open.values()):
            self._world.after(3 * self.latency_ms(host.index, target), self._arrive, host, host.life, None, address)

    def call(self, host: "Host", wall: WallTime) -> None:
        """Let every running host that `host` reaches hear its beacon; what a cut swallows is lost."""
        heard = BeaconHeard(peer=host.peer_id, wall=wall, addresses=(host.address,))
        for other in self._world.hosts:
            if other is not host and other.running and self.reaches(host.index, other.index):
                self._world.tell(other, self.latency_ms(host.index, other.index), heard)

    def _arrive(self, host: "Host", life: int, peer: PeerId | None, address: Address) -> None:
        """End a handshake: a channel at both ends, or none; `peer` None: whoever is there."""
        if host.life != life:
            return
        index = self._by_address.get(address)
        target = self._world.hosts[index] if index is not None else None  # it may have moved meanwhile
        if target is None or not self.connects(host.index, target.index) or not target.powered or target.frozen:
            self._fail(host, DIAL_GIVEN_UP_MS, peer, refused=False)
            return
        if not target.running or peer not in (None, target.peer_id):
            self._fail(host, 0, peer, refused=not target.running)
            return
        if not host.opens_to(target) or not target.opens_to(host):
            self._fail(host, 0, peer, refused=False)
            return
        if target.peer_id == host.peer_id:
            self._world.tell(target, 0, TwinMet(address=host.address))
            self._world.tell(host, self.latency_ms(host.index, host.index), TwinMet(address=address))
            return
        old = self._between(host.index, target.index)
        if old is not None and all(old.open.values()):
            return
        if old is not None:
            self._end(old, host, clean=False)
            self._end(old, target, clean=False)
        self._end_twins(host, target)
        self._end_twins(target, host)
        opened_ms = self.latency_ms(host.index, target.index)
        first, second = sorted((host.index, target.index))
        version = min(host.version, target.version)
        self._channels[first, second] = Channel(first, second, self._world.now_ms + opened_ms, version)
        dialled = ChannelOpened(peer=target.peer_id, boot=target.boot, address=address, version=version)
        self._world.tell(target, 0, ChannelOpened(peer=host.peer_id, boot=host.boot, address=None, version=version))
        self._world.tell(host, opened_ms, dialled)

    def _end_twins(self, host: "Host", peer: "Host") -> None:
        """End a host's channel to another machine under the same identity: its shell has one channel to each peer."""
        for twin in self._twins(peer.peer_id):
            channel = self._between(host.index, twin.index)
            if channel is not None and twin is not peer and channel.open[host.index]:
                self._end(channel, host, clean=False)
                self._hang_up(channel, host.index, clean=False)

    def _fail(self, host: "Host", after_ms: int, peer: PeerId | None, *, refused: bool) -> None:
        if peer is not None:
            self._world.tell(host, after_ms, DialFailed(peer=peer, refused=refused))

    def _between(self, one: int, other: int) -> Channel | None:
        return self._channels.get((one, other) if one < other else (other, one))

    def target_of(self, host: "Host", peer: PeerId) -> int | None:
        """Return the host on which a host's peer is: of clones the one that it has a channel with."""
        if not self._has_clones:
            return self._world.index_of(peer)
        held = (twin.index for twin in self._twins(peer) if self.holds(host, twin))
        return next(held, self._world.index_of(peer))

    def _twins(self, peer: PeerId) -> "Iterator[Host]":
        """Yield all hosts under one identity, where a scenario has clones."""
        if self._world.scenario.clone_of:
            yield from (host for host in self._world.hosts if host.peer_id == peer)

    def holds(self, host: "Host", other: "Host") -> bool:
        """Tell whether a host's end of a channel to another is open."""
        channel = self._between(host.index, other.index)
        return channel is not None and channel.open[host.index]

    # Messages.

    def send(self, host: "Host", peer: PeerId, message: Message) -> None:
        """Put a message on the host's channel to `peer`, if it holds one."""
        target = self.target_of(host, peer)
        channel = self._between(host.index, target) if target is not None else None
        if target is None or channel is None or not channel.open[host.index]:
            return
        parcel = self._world.parcels.pack(message)
        if channel.version < VERSION_HIGHEST:
            versions = self._world.versions
            versions.says(host, peer, message, channel.version)
            parcel = versions.packet(host, peer, parcel, channel.version)
        if not channel.open[target]:
            self._world.after(2 * self.latency_ms(host.index, target), self._reset, channel, host)
            return
        faults = self.faults
        if faults.loss_ppm and self._strikes(faults.loss_ppm):
            channel.broken = True
            return
        extra_ms = 0
        if faults.reorder_ppm and self._strikes(faults.reorder_ppm):
            extra_ms = 1 + self._draws.below(500)
        self._transmit(channel, host.index, parcel, extra_ms)
        if faults.duplicate_ppm and self._strikes(faults.duplicate_ppm):
            self._transmit(channel, host.index, parcel, extra_ms=1 + self._draws.below(2_000))

    def say_unknown(self, host: "Host", other: "Host") -> None:
        """Say something of a kind that nobody knows yet, where a channel speaks the present version."""
        channel = self._between(host.index, other.index)
        if channel is not None and all(channel.open.values()) and channel.version == VERSION_HIGHEST:
            self._transmit(channel, host.index, LATER, extra_ms=0)

    def _strikes(self, ppm: int) -> bool:
        return self._draws.below(_PART) < ppm

    def _transmit(self, channel: Channel, source: int, parcel: object, extra_ms: int) -> None:
        target = channel.second if source == channel.first else channel.first
        if self._cuts and not self.reaches(source, target):
            channel.held[target].append(parcel)
            return
        arrives_ms = self._world.now_ms + self.latency_ms(source, target) + extra_ms
        arrives_ms = max(arrives_ms, channel.opens_ms)
        if extra_ms == 0:
            arrives_ms = max(arrives_ms, channel.busy_until[target])
            channel.busy_until[target] = arrives_ms
        self._world.at(arrives_ms, self._deliver, channel, target, parcel)

    def _deliver(self, channel: Channel, target: int, parcel: object) -> None:
        if not channel.open[target]:
            return
        source, world = channel.second if target == channel.first else channel.first, self._world
        if self._cuts and not self.reaches(source, target):
            channel.held[target].append(parcel)
            return
        host, sender = world.hosts[target], world.hosts[source].peer_id
        try:
            message = world.parcels.unpack(parcel)
            world.checked.check(message)
        except UnknownKind:
            host.receive(UnknownHeard(peer=sender))
            return
        except WireError:
            self.close(host, sender)
            world.tell(host, 0, ChannelClosed(peer=sender, clean=False))
            return
        world.adversary.overhear(host, sender, message)
        host.receive(MessageHeard(peer=sender, message=message))

    # Datagrams.

    def send_datagram(self, host: "Host", effect: SendDatagram) -> None:
        """Send a datagram to the first of the addresses that is a host's; a fault or a cut swallows it silently."""
        found = (self._by_address.get(address) for address in effect.addresses)
        target = next((index for index in found if index is not None), None)
        if target is None or target == host.index or not self.reaches(host.index, target):
            return
        version = min(host.version, self._world.hosts[target].version)
        parcel = self._world.versions.datagram(version, self._world.parcels.wrap(effect.message))
        faults, scenario = self.faults, self._world.scenario
        copies = 1 + (faults.duplicate_ppm > 0 and self._strikes_datagram(faults.duplicate_ppm))
        for _ in range(copies):
            if faults.loss_ppm and self._strikes_datagram(faults.loss_ppm):
                continue
            extra_ms = (
                self._datagram_draws.below(500)
                if faults.reorder_ppm and self._strikes_datagram(faults.reorder_ppm)
                else 0
            )
            extra_ms += self._further_ms(host.index, target)
            arrives_ms = (
                self._world.now_ms + scenario.latency_ms + self._datagram_draws.below(scenario.jitter_ms + 1) + extra_ms
            )
            self._world.at(arrives_ms, self._deliver_datagram, host, effect.peer, target, parcel)

    def _deliver_datagram(self, source: "Host", peer: PeerId, target: int, parcel: object) -> None:
        """Let the peer that was meant hear it, unless it is mute, gone, or another one listens there by now."""
        host = self._world.hosts[target]
        if not host.running or host.frozen or host.peer_id != peer:
            return
        message = self._world.adversary.poisoned(self._world.parcels.unwrap(parcel))
        if message is None:
            return
        try:
            self._world.checked.check(message)
        except WireError:
            return
        host.receive(DatagramHeard(peer=source.peer_id, address=source.address, message=message))

    def _strikes_datagram(self, ppm: int) -> bool:
        return self._datagram_draws.below(_PART) < ppm

    # Ends.

    def close(self, host: "Host", peer: PeerId) -> None:
        """Close the host's end with a signed word, which the other end hears if it can."""
        target = self.target_of(host, peer)
        channel = self._between(host.index, target) if target is not None else None
        if channel is not None and channel.open[host.index]:
            channel.open[host.index] = False
            self._hang_up(channel, host.index, clean=True)

    def drop(self, host: "Host", *, visibly: bool, clean: bool) -> None:
        """End all channels of a process that stopped or died; `visibly`: its machine still says so."""
        for channel in self._channels.values():
            if channel.open.get(host.index):
                channel.open[host.index] = False
                if visibly:
                    self._hang_up(channel, host.index, clean)

    def _hang_up(self, channel: Channel, source: int, clean: bool) -> None:
        target = channel.other(source)
        if not channel.open[target] or not self.reaches(source, target):
            return
        arrives_ms = max(self._world.now_ms + self.latency_ms(source, target), channel.busy_until[target])
        self._world.at(arrives_ms, self._end, channel, self._world.hosts[target], clean)

    def _reset(self, channel: Channel, host: "Host") -> None:
        """Answer a message on a channel that the other end knows no more."""
        other = self._world.hosts[channel.other(host.index)]
        if other.powered and self.connects(host.index, other.index):
            self._end(channel, host, clean=False)

    def _end(self, channel: Channel, host: "Host", clean: bool) -> None:
        """Let one end hear that its channel is gone."""
        if channel.open[host.index]:
            channel.open[host.index] = False
            other = self._world.hosts[channel.other(host.index)]
            self._world.tell(host, 0, ChannelClosed(peer=other.peer_id, clean=clean))
