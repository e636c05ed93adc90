"""A network in memory, for tests of the shell: real handshakes, packets by reference, and wires that a test can cut.

Theory: hosts are names on one `Wires`; whoever listens there is found by (host, port). Handshakes run for real, since
who is let in is half of what a transport promises; the record layer does not, since nobody could look at its bytes. A
wire that is cut carries nothing and says nothing, as a pulled plug does.

Invariants: it keeps every promise of the transport's port. The module must not know what packets mean.
"""

import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from mesh.ground.errors import WireError
from mesh.ground.ids import Boot, PeerId
from mesh.ports.transport import (
    ChannelClosed,
    DialledSelf,
    DialRefused,
    DialTimedOut,
    DialUnreachable,
    HandshakeFailed,
    ListenFailed,
)
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES
from mesh.wire.envelope import Verifier
from mesh.wire.handshake import ChannelKind, Door, MetSelf, Opened, Papers, Purpose, initiate, respond
from mesh.wire.members import Credentials, JoinRequest, Membership
from mesh.wire.messages import Address

LOOPBACK: Final = "127.0.0.1"
QUEUE_MAX_BYTES: Final = 192 * 1024
DIAL_S: Final = 10.0


class MemoryChannel:
    """One end of a channel."""

    def __init__(self, opened: Opened, host: str, remote: Address, *, dialled: bool, wires: "Wires") -> None:
        self._opened = opened
        self.host = host
        """Where this end is."""
        self.remote = remote
        self.dialled = dialled
        self._wires = wires
        self._packets: deque[bytes] = deque()
        self._bytes = 0
        self._ended: bool | None = None
        """Whether it ended cleanly; None: it goes on."""
        self._closed = False
        self._changed = trio.Event()
        self.other: MemoryChannel = self

    @property
    def peer(self) -> PeerId:
        """Who is at the other end."""
        return self._opened.peer

    @property
    def boot(self) -> Boot | None:
        """Which start of that peer's process it is."""
        return self._opened.boot

    @property
    def kind(self) -> ChannelKind:
        """What may be said here."""
        return self._opened.kind

    @property
    def version(self) -> int:
        """Which version of the wire is spoken here."""
        return self._opened.version

    @property
    def shown(self) -> Credentials | JoinRequest:
        """What the other side showed."""
        return self._opened.shown

    @property
    def membership(self) -> Membership:
        """What its chain proves."""
        return self._opened.membership

    @property
    def open(self) -> bool:
        """Whether neither end has ended it."""
        return not self._closed and self._ended is None

    @property
    def backlog_bytes(self) -> int:
        """How much the other end has not taken."""
        return self.other._bytes  # noqa: SLF001 (its other end)

    async def send(self, packet: bytes) -> None:
        """Queue one packet, waiting while the queue is full."""
        await trio.lowlevel.checkpoint()
        while not self.offer(packet):
            if self._closed or self._ended is not None:
                raise self._error()
            await self.other.changed()

    def offer(self, packet: bytes) -> bool:
        """Queue one packet without waiting."""
        assert len(packet) <= CONTROL_PACKET_MAX_BYTES
        if self._closed or self._ended is not None or self.other._bytes + len(packet) > self._wires.queue_max_bytes:  # noqa: SLF001
            return False
        self._wires.pass_on(self, packet)
        return True

    async def receive(self) -> bytes:
        """Return the next packet."""
        await trio.lowlevel.checkpoint()
        while not self._packets:
            if self._closed or self._ended is not None:
                raise self._error()
            await self.changed()
        packet = self._packets.popleft()
        self._bytes -= len(packet)
        self._note()
        return packet

    async def aclose(self) -> None:
        """Close, cleanly for the other end."""
        await trio.lowlevel.checkpoint()
        if not self._closed:
            self._closed = True
            self._note()
            self._wires.pass_on(self, None)

    def end(self, *, clean: bool) -> None:
        """End at this side, after what has arrived."""
        if self._ended is None:
            self._ended = clean
        self._note()

    async def changed(self) -> None:
        """Wait until anything happens at this end."""
        await self._changed.wait()

    def take(self, packet: bytes | None) -> None:
        """Take a packet that the other end sent, or None, its clean end, unless this end is no more."""
        if packet is None:
            self.end(clean=True)
            return
        if self._closed or self._ended is not None:
            return
        self._packets.append(packet)
        self._bytes += len(packet)
        self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _error(self) -> ChannelClosed:
        return ChannelClosed(clean=bool(self._ended) and not self._closed)


@dataclass(eq=False)
class Wires:
    """All hosts of one test."""

    cut: bool = False
    queue_max_bytes: int = QUEUE_MAX_BYTES
    listening: dict[tuple[str, int], "MemoryTransport"] = field(default_factory=dict)
    ports: "itertools.count[int]" = field(default_factory=lambda: itertools.count(40_000))

    @asynccontextmanager
    async def attach(
        self, papers: Papers, *, door: Door, verifier: Verifier, entropy: Callable[[], bytes], host: str = LOOPBACK
    ) -> AsyncIterator["MemoryTransport"]:
        """Yield the transport of a process at `host`; at the end its channels are closed cleanly."""
        transport = MemoryTransport(self, papers, door=door, verifier=verifier, entropy=entropy, host=host)
        try:
            yield transport
        finally:
            await transport.aclose()

    def pass_on(self, channel: MemoryChannel, packet: bytes | None) -> None:
        """Bring a packet to a channel's other end, or None, its clean end; never where the wires are cut."""
        if not self.cut:
            channel.other.take(packet)

    async def reach(self, host: str, address: Address) -> None:
        """Come from a host to an address, or raise what a dial raises that does not."""
        del host
        if self.cut:
            await trio.sleep(DIAL_S)
            raise DialTimedOut(f"{address}")


class MemoryTransport:
    """The `Transport` of its port, on wires."""

    def __init__(
        self,
        wires: Wires,
        papers: Papers,
        *,
        door: Door,
        verifier: Verifier,
        entropy: Callable[[], bytes],
        host: str,
    ) -> None:
        self._wires = wires
        self._papers = papers
        self._door = door
        self._verifier = verifier
        self._entropy = entropy
        self.host = host
        self._port = 0
        self.channels: list[MemoryChannel] = []
        self.lent: list[Address] = []
        """Where it was asked to lend."""
        self._to_accept, self._accepted = trio.open_memory_channel[MemoryChannel](64)

    async def listen(self, host: str, port: int) -> int:
        """Accept channels; every host name of the test's own is one address."""
        await trio.lowlevel.checkpoint()
        self.host = host or self.host
        port = port or next(self._wires.ports)
        if (self.host, port) in self._wires.listening:
            raise ListenFailed(f"{self.host}:{port} is taken")
        self._wires.listening[self.host, port] = self
        self._port = port
        return port

    def addresses(self) -> tuple[Address, ...]:
        """Return where this process listens."""
        return (Address(host=self.host, port=self._port),) if self._port else ()

    async def accept(self) -> MemoryChannel:
        """Wait for the next channel that another peer opened."""
        return await self._accepted.receive()

    async def dial(self, address: Address, purpose: Purpose = Purpose.CONTROL) -> MemoryChannel:
        """Open a channel."""
        await trio.lowlevel.checkpoint()
        await self._wires.reach(self.host, address)
        if address.host.endswith(".invalid"):
            raise DialUnreachable(f"{address}")
        listener = self._wires.listening.get((address.host, address.port))
        if listener is None:
            raise DialRefused(f"{address}")
        near, far = self._shake(listener, address, purpose)
        near.other, far.other = far, near
        self.channels.append(near)
        listener.channels.append(far)
        await listener._to_accept.send(far)  # noqa: SLF001
        return near

    async def lend(self, address: Address) -> None:
        """Note it and fail: no pieces travel over wires in memory."""
        await trio.lowlevel.checkpoint()
        self.lent.append(address)
        raise DialUnreachable(f"{address}")

    def judge_again(self) -> None:
        """Let go of nobody: no pieces travel over wires in memory."""

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` from now on."""
        self._papers = replace(self._papers, shown=shown)

    def crash(self) -> None:
        """End as a killed process does: its channels break, and nobody listens."""
        self._wires.listening.pop((self.host, self._port), None)
        for channel in self.channels:
            channel.end(clean=False)
            channel.other.end(clean=False)

    async def aclose(self) -> None:
        """End as a process does that ends in order."""
        self._wires.listening.pop((self.host, self._port), None)
        for channel in self.channels:
            await channel.aclose()

    def _shake(
        self, listener: "MemoryTransport", address: Address, purpose: Purpose
    ) -> tuple[MemoryChannel, MemoryChannel]:
        """Let both sides' handshakes talk, at once and to the end."""
        ours = initiate(
            papers=self._papers, purpose=purpose, door=self._door, verifier=self._verifier, seed=self._entropy()
        )
        theirs = respond(
            papers=listener._papers,  # noqa: SLF001 (its own kind)
            door=listener._door,  # noqa: SLF001
            verifier=self._verifier,
            seed=self._entropy(),
        )
        said = ours.feed(b"")
        theirs.feed(b"")
        try:
            while ours.opened is None:
                said = ours.feed(theirs.feed(said))
        except MetSelf as error:
            raise DialledSelf(f"{address}") from error
        except WireError as error:
            raise HandshakeFailed(f"{address}: {error}") from error
        assert theirs.opened is not None
        here = Address(host=self.host, port=next(self._wires.ports))
        return (
            MemoryChannel(ours.opened, self.host, address, dialled=True, wires=self._wires),
            MemoryChannel(theirs.opened, listener.host, here, dialled=False, wires=self._wires),
        )
