"""Channels to the members of the mesh: one to each, whoever dialled.

Theory: two peers may dial each other at once, and both ends must keep the same channel without talking about it. So a
channel is used only once its dialler has said `USED` on it: the dialler has no better one then. Where two are used, the
one dialled by the peer with the lower id stays; where one side dialled both, the newer, since it gave the older up; and
a new boot ends whatever the old one had. A signed close alone says only that this channel ends; a peer that stops says
`FAREWELL` first, which nobody else can say in its place.

Invariants: the core hears `ChannelOpened` and `ChannelClosed` in turn for each peer, and messages only between the two.
A peer that takes its messages too slowly loses its channel, and delays nobody; one that costs too much is read more
slowly. Of each channel one message at a time waits for the core. Whatever cannot be decoded or verified ends the
channel that it came on, but for kinds of messages that newer versions may know: those are passed over. Every `Dial` is
answered, by an open channel or by `DialFailed`.

The module must not know what messages mean, but for where a peer says that it listens, and that records which were
not sent are compared again.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from mesh.core.effects import CloseChannel, Dial, Earned, Knock, Send
from mesh.core.events import (
    ChannelClosed,
    ChannelOpened,
    DatagramHeard,
    DialFailed,
    Event,
    MessageHeard,
    TwinMet,
    UnknownHeard,
)
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.limits import CHANNEL_BACKLOG_BYTES
from mesh.node.bootstraps import VERDICT_S, Bootstraps
from mesh.node.doors import Doors
from mesh.node.hearing import Hearing
from mesh.node.pacing import OPENING_NS, PACKET_NS, Pacing
from mesh.node.racing import first_of
from mesh.ports import transport as ports
from mesh.ports.transport import Channel, DialRefused, DialTimedOut, HandshakeFailed, Transport, TransportError
from mesh.ports.world import World
from mesh.wire import lookups, messages
from mesh.wire.addresses import is_loopback, same_network, told
from mesh.wire.carrying import Carried
from mesh.wire.handshake import ChannelKind
from mesh.wire.members import Credentials
from mesh.wire.messages import Address, Entries, Hello, Message

USED: Final = b"\x01"
"""The dialler's first packet: it uses this channel. No message begins so, since each is a list of two."""

FAREWELL: Final = b"\x02"
"""The last packet of a peer that stops."""

BECKON: Final = b"\x03"
"""Open a connection to me on which I can ask you for pieces: dialling you leads nowhere."""

LENT_MOST: Final = 4
"""Connections lent to one peer at a time: twice what its core asks of one source."""

LENT_AGAIN_S: Final = 1.0
"""How long one that could not be opened keeps its place, so that nobody has us dial for him without end."""

PROVED_S: Final = 10.0
"""How long an accepted channel waits for its dialler to use it."""

UNPROVEN_MOST: Final = 8
"""Accepted channels of one peer that wait for that: as many as it may find addresses to dial at once."""

FAREWELL_S: Final = 3.0
"""How long a peer that stops waits for its channels to close; the others notice anyway."""


class Line:
    """A channel in use."""

    __slots__ = ("channel", "lent", "listens", "number", "scope", "told")

    def __init__(self, channel: Channel, number: int) -> None:
        self.channel = channel
        self.number = number
        self.scope = trio.CancelScope()
        self.told = False
        """Whether the core knows of it."""
        self.listens: tuple[Address, ...] = ()
        self.lent = 0
        """Connections that this peer opened, or is opening, for the other to ask on."""

    def routes(self) -> tuple[Address, ...]:
        """Return where the peer may be reached, surest first."""
        remote = self.channel.remote
        here = [remote] if self.channel.dialled else [Address(host=remote.host, port=at.port) for at in self.listens]
        return tuple(dict.fromkeys((*here, *self.listens)))


class Channels:
    """Performs the core's effects about channels, and hears what others do."""

    def __init__(
        self,
        *,
        me: PeerId,
        nursery: trio.Nursery,
        transport: Transport,
        hearing: Hearing,
        doors: Doors,
        world: World,
        tell: Callable[[Event], Awaitable[None]],
        heard: Callable[[Event], Awaitable[int]],
        pacing: Pacing,
        bootstraps: Bootstraps | None = None,
    ) -> None:
        self._me = me
        self._nursery = nursery
        self._transport = transport
        self._hearing = hearing
        self._doors = doors
        self._world = world
        self._tell = tell
        self._heard = heard
        self._pacing = pacing
        self._bootstraps = bootstraps or Bootstraps()
        self._lines: dict[PeerId, Line] = {}
        self._numbers = itertools.count(1)
        self._worked: dict[PeerId, Address] = {}
        self._unproven: Counter[PeerId] = Counter()
        """Accepted channels of each peer that it has not used yet."""
        self._last: tuple[Message | None, bytes] = (None, b"")
        self._leaving = False
        self._using = 0
        self._fewer = trio.Event()

    def connected(self) -> tuple[PeerId, ...]:
        """Return the peers with a channel."""
        return tuple(self._lines)

    def routes(self, peer: PeerId) -> tuple[Address, ...]:
        """Return where `peer` may be reached, surest first; nothing where it has no channel."""
        line = self._lines.get(peer)
        return line.routes() if line is not None else ()

    def send(self, effect: Send) -> None:
        """Send a message, or drop it where there is no channel; a full queue ends the channel."""
        line = self._lines.get(effect.peer)
        if line is None:
            return
        if isinstance(effect.message, Entries) and line.channel.backlog_bytes > CHANNEL_BACKLOG_BYTES:
            return
        # The core often tells many peers the same thing.
        if self._last[0] is not effect.message:
            begun_ns = self._world.spent_ns()
            self._last = (effect.message, messages.encode(effect.message))
            self._spend(effect.peer, self._world.spent_ns() - begun_ns)
        if not line.channel.offer(self._last[1]):
            line.scope.cancel()

    def carry(self, peer: PeerId, carried: Carried) -> bool:
        """Say on the peer's channel what would else go by datagram; return whether it has one."""
        line = self._lines.get(peer)
        if line is None or not line.told:
            return False
        line.channel.offer(messages.encode(carried))  # where its queue is full this is lost, as datagrams are
        return True

    def beckon(self, peer: PeerId) -> None:
        """Ask `peer` to open a connection on which it can be asked for pieces."""
        line = self._lines.get(peer)
        if line is not None:
            line.channel.offer(BECKON)

    def earned(self, effect: Earned) -> None:
        """Give a peer that works back what that costs here."""
        self._pacing.earn(self._world.now().instant, effect.peer)

    def close(self, effect: CloseChannel) -> None:
        """End a channel without another word to the core, unless another has come that it is about to hear of."""
        line = self._lines.get(effect.peer)
        if line is not None and line.number == effect.channel:
            del self._lines[effect.peer]
            line.scope.cancel()

    def dial(self, effect: Dial) -> None:
        """Open a channel where there is none."""
        if effect.peer not in self._lines:
            self._nursery.start_soon(self._dial, effect)

    async def accept(self) -> None:
        """Take channels that others open, for ever."""
        while True:
            channel = await self._transport.accept()
            if channel.peer == self._me and channel.kind is not ChannelKind.ADMIT:
                self._nursery.start_soon(self._met_twin, channel)
            elif channel.kind is ChannelKind.MEMBER and self._unproven[channel.peer] < UNPROVEN_MOST:
                self._unproven[channel.peer] += 1
                self._nursery.start_soon(self._accepted, channel)
            elif channel.kind is ChannelKind.MEMBER:
                self._nursery.start_soon(channel.aclose)
            else:
                self._nursery.start_soon(self._doors.serve, channel)

    def knock(self, effect: Knock) -> None:
        """Dial an address without knowing who answers, unless a channel was dialled there and lasts.

        Where a peer only says that it listens somebody else may be by now.
        """
        if any(line.channel.dialled and line.channel.remote == effect.address for line in self._lines.values()):
            self._bootstraps.reached(effect.address)
        else:
            self._nursery.start_soon(self._knock, effect.address)

    async def farewell(self) -> None:
        """Say to everybody that this peer stops, and return when every channel is closed.

        A channel that the core closed in the same turn gets its farewell too, since its task has not run yet.
        """
        self._leaving = True
        for line in self._lines.values():
            line.scope.cancel()
        with trio.move_on_after(FAREWELL_S):
            while self._using:
                self._fewer = trio.Event()
                await self._fewer.wait()

    async def _dial(self, effect: Dial) -> None:
        attempt = _Attempt(self._transport, effect.peer, self._worked.get(effect.peer), self._hosts())
        channel = await attempt.run(effect.addresses, effect.others)
        if channel is None:
            await self._tell(DialFailed(peer=effect.peer, refused=attempt.refused))
            return
        if channel.kind is ChannelKind.MEMBER:
            self._worked[effect.peer] = channel.remote
            await self._use(channel)
        else:
            await self._doors.serve(channel)
            await self._tell(DialFailed(peer=effect.peer, refused=False))

    async def _knock(self, address: Address) -> None:
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._say_silent, address)
            channel = await self._answering(address)
            waiting.cancel_scope.cancel()
        if channel is None:
            return  # the core knocks again
        if channel.peer == self._me:
            self._bootstraps.failed(address, HandshakeFailed("a copy of this peer answers"))
            await self._met_twin(channel)
        elif channel.kind is not ChannelKind.MEMBER:
            await self._doors.serve(channel)
        else:
            self._bootstraps.reached(address)
            if channel.peer in self._lines:
                await channel.aclose()
            else:
                await self._use(channel)

    async def _met_twin(self, channel: Channel) -> None:
        """Tell the core of a process with this peer's own key: the handshake refuses that of this very process."""
        await self._tell(TwinMet(address=channel.remote))
        await channel.aclose()

    async def _answering(self, address: Address) -> Channel | None:
        """Return a channel to whoever is there, None where nobody of this mesh is."""
        try:
            return await self._transport.dial(address)
        except TransportError as error:
            self._bootstraps.failed(address, error)
            return None

    async def _say_silent(self, address: Address) -> None:
        """Say early of an address that it seems to be silent: what dials it has more patience than a person."""
        await trio.sleep(VERDICT_S)
        self._bootstraps.failed(address, DialTimedOut(f"{address} has not answered for {VERDICT_S:.0f} s"))

    def _hosts(self) -> tuple[str, ...]:
        """Return this machine's own addresses, as far as it knows them."""
        return tuple(address.host for address in self._transport.addresses())

    async def _accepted(self, channel: Channel) -> None:
        """Wait until the dialler uses the channel, then do so too."""
        used = False
        try:
            with trio.move_on_after(PROVED_S), suppress(ports.ChannelClosed):
                used = await channel.receive() == USED
            self._spend(channel.peer, OPENING_NS)
            await self._pause(channel.peer)
        finally:
            self._unproven[channel.peer] -= 1
            self._unproven += Counter()  # forgets those that have none
        if used:
            await self._use(channel)
        else:
            await channel.aclose()

    async def _use(self, channel: Channel) -> None:
        """Use a channel for as long as it lasts, unless there is a better one."""
        rival = self._lines.get(channel.peer)
        unwanted = rival is not None and not self._replaces(channel, rival.channel)
        if channel.peer == self._me or self._leaving or unwanted:
            await channel.aclose()
            return
        self._using += 1
        try:
            await self._use_alone(channel, rival)
        finally:
            self._using -= 1
            self._fewer.set()

    async def _use_alone(self, channel: Channel, rival: Line | None) -> None:
        line = self._lines[channel.peer] = Line(channel, next(self._numbers))
        if channel.dialled:
            channel.offer(USED)
        if rival is not None:
            rival.scope.cancel()
            if rival.told:
                await self._tell(ChannelClosed(peer=channel.peer, clean=False))
        clean = await self._hear(line)
        if self._lines.get(channel.peer) is line:
            del self._lines[channel.peer]
            if line.told and not self._leaving:
                await self._tell(ChannelClosed(peer=channel.peer, clean=clean))
        if self._leaving:
            channel.offer(FAREWELL)
        await channel.aclose()

    async def _hear(self, line: Line) -> bool:
        """Tell the core what comes on a channel; return whether the peer said farewell."""
        channel, farewell = line.channel, False
        assert channel.boot is not None, "a member without a boot"
        with line.scope:
            address = channel.remote if channel.dialled else None
            shown = channel.shown if isinstance(channel.shown, Credentials) else None
            here = is_loopback(channel.remote) or channel.remote.host in self._hosts()
            await self._tell(
                ChannelOpened(
                    peer=channel.peer,
                    boot=channel.boot,
                    address=address,
                    shown=shown,
                    here=here,
                    channel=line.number,
                    version=channel.version,
                )
            )
            line.told = True
            with suppress(ports.ChannelClosed, WireError):
                while True:
                    await self._pause(channel.peer)
                    packet = await channel.receive()
                    if packet in (FAREWELL, BECKON):
                        self._spend(channel.peer, PACKET_NS)
                        farewell |= packet == FAREWELL
                        if packet == BECKON:
                            self._nursery.start_soon(self._lend, line)
                    else:
                        await self._take(line, packet, here=here)
        return farewell

    async def _take(self, line: Line, packet: bytes, *, here: bool) -> None:
        """Have the core hear a message; what it costs is its sender's, unless this peer asked for it."""
        peer = line.channel.peer
        message, read_ns = await self._hearing.weighed(packet)
        if isinstance(message, Hello):
            line.listens = told(message.addresses, here=here)
        begun_ns = self._world.spent_ns()
        event = UnknownHeard(peer=peer) if message is None else self._event(line, message)
        read_ns += PACKET_NS + self._world.spent_ns() - begun_ns
        answers = isinstance(event, DatagramHeard) and type(event.message) in lookups.ANSWERING
        free = answers and self._pacing.answered(peer)
        handled_ns = 0 if event is None else await self._heard(event)
        if not free:
            self._spend(peer, read_ns + handled_ns)

    def _event(self, line: Line, message: Message) -> Event | None:
        """Return what the core hears of a message; None where what it carries is nothing, as of a datagram.

        What a channel carries counts as heard where its peer listens, on the host that its connection comes from.
        """
        peer = line.channel.peer
        if not isinstance(message, Carried):
            return MessageHeard(peer=peer, message=message)
        routes = line.routes()
        if not routes:
            return None  # its hello, which tells them, comes first
        with suppress(WireError):
            carried = lookups.decode(message.payload)
            self._hearing.check(carried)
            return DatagramHeard(peer=peer, address=routes[0], message=carried)
        return None

    def _spend(self, peer: PeerId, spent_ns: int) -> None:
        self._pacing.spend(self._world.now().instant, peer, spent_ns)

    async def _pause(self, peer: PeerId) -> None:
        """Leave what a peer says unread for as long as it must wait; what does not fit its system's buffers stays
        with it.
        """
        pause_ms = self._pacing.pause_ms(self._world.now().instant, peer)
        if pause_ms:
            await trio.sleep(pause_ms / 1000)

    async def _lend(self, line: Line) -> None:
        """Open a connection on which the other peer asks, wherever it can be reached."""
        if line.lent >= LENT_MOST:
            return
        line.lent += 1
        try:
            for address in line.routes():
                with suppress(TransportError):
                    await self._transport.lend(address)
                    return
            await trio.sleep(LENT_AGAIN_S)
        finally:
            line.lent -= 1

    def _replaces(self, new: Channel, old: Channel) -> bool:
        if new.boot != old.boot or new.dialled == old.dialled:
            return True
        return new.dialled == (self._me < new.peer)


class _Attempt:
    """One dial of one peer, at all its addresses, the best first: in a network that this machine is in too, else where
    it was reached last, else as the peer itself orders them.
    """

    def __init__(self, transport: Transport, peer: PeerId, worked: Address | None, own: tuple[str, ...]) -> None:
        self._transport = transport
        self._peer = peer
        self._worked = worked
        self._own = own
        self._scope = trio.CancelScope()
        self._found: Channel | None = None
        self._refused_at: list[Address] = []
        self.refused = False
        """Whether a host said that no such process listens, where that proves something."""

    async def run(self, addresses: tuple[Address, ...], others: int = 0) -> Channel | None:
        """Return a channel to the peer, or None; so many of the last addresses only others tell of."""
        with self._scope:
            await first_of(sorted(dict.fromkeys(addresses), key=self._worse), self._try, _let_go)
        its_own = addresses[: len(addresses) - others]
        refused_at = [at for at in self._refused_at if at in its_own]
        telling = [at for at in refused_at if at == self._worked or not is_loopback(at)]
        self.refused = bool(telling) or 0 < len(refused_at) == len(its_own)
        return self._found

    def _worse(self, address: Address) -> tuple[bool, bool]:
        near = any(same_network(address.host, own) for own in self._own)
        return (not near, address != self._worked)

    async def _try(self, address: Address) -> Channel | None:
        try:
            channel = await self._transport.dial(address)
        except DialRefused:
            self._refused_at.append(address)
            if address == self._worked:
                self._scope.cancel()
            return None
        except TransportError:
            return None
        if channel.peer != self._peer:
            await channel.aclose()
            return None
        self._found = self._found or channel
        return channel


async def _let_go(channel: Channel) -> None:
    await channel.aclose()
