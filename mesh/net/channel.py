"""A control channel over one link: a bounded queue out, packets in, and an end that tells a close from a break.

Theory: senders put packets into a queue and go on; one task seals and sends them, many in one go when they come fast.
The queue is bounded in bytes, and a peer that takes nothing for `stall_s` has ended the channel, so that a mute peer
costs a bounded amount of memory for a bounded time. Reading is left to whoever calls `receive`, so that what is not
wanted is not read, and TCP slows the other side down.

Invariants: after the channel has ended nothing more is sent or delivered from the network; `ended` is set once.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from mesh.ground.errors import WireError
from mesh.ground.ids import Boot, PeerId
from mesh.net.link import Link
from mesh.ports.transport import ChannelClosed
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES
from mesh.wire.handshake import ChannelKind
from mesh.wire.members import Credentials, JoinRequest, Membership
from mesh.wire.messages import Address

QUEUE_MAX_BYTES: Final = 4 * 1024 * 1024
"""What one slow peer may make us hold; 64 of the largest packets, thousands of ordinary ones."""

CLOSE_S: Final = 2.0
"""How long a close waits for the queue to drain; the other side learns of it sooner or later anyway."""

LINGER_S: Final = 0.5
"""How long it then waits for the other side's own end: more than a round trip, and less than anybody minds."""

_READ_BYTES: Final = CONTROL_PACKET_MAX_BYTES
_BATCH_BYTES: Final = 256 * 1024
"""How much is sealed before it is sent: one system call for many packets, and no long turn of the loop."""

_PART_BYTES: Final = 16 * 1024
"""What must be taken within the time that a peer may take nothing: a busy one reads some kilobytes a second."""


class TcpChannel:
    """The `Channel` of the transport port."""

    def __init__(self, link: Link, *, stall_s: float, on_release: Callable[["TcpChannel"], None]) -> None:
        self._link = link
        self._stall_s = stall_s
        self._on_release = on_release
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._arrived: deque[bytes] = deque()
        self._ended: ChannelClosed | None = None
        self._closing = False
        self._reading = False
        self._work = trio.Event()
        self._room = trio.Event()
        self._drained = trio.Event()
        self._over = trio.Event()
        self.released = trio.Event()
        """Set once `aclose` is through and the connection is nobody's any more."""

    @property
    def peer(self) -> PeerId:
        """Who is at the other end."""
        return self._link.opened.peer

    @property
    def boot(self) -> Boot | None:
        """Which start of that peer's process it is; None for a joiner."""
        return self._link.opened.boot

    @property
    def kind(self) -> ChannelKind:
        """What may be said here."""
        return self._link.opened.kind

    @property
    def version(self) -> int:
        """Which version of the wire is spoken here."""
        return self._link.opened.version

    @property
    def shown(self) -> Credentials | JoinRequest:
        """What the other side showed, its signatures checked."""
        return self._link.opened.shown

    @property
    def membership(self) -> Membership:
        """What its chain proves; for a joiner: its inviter's membership."""
        return self._link.opened.membership

    @property
    def remote(self) -> Address:
        """The other end of the connection."""
        return self._link.remote

    @property
    def dialled(self) -> bool:
        """Whether this side opened the channel."""
        return self._link.dialled

    @property
    def backlog_bytes(self) -> int:
        """How much waits to be sealed."""
        return self._queued_bytes

    async def send(self, packet: bytes) -> None:
        """Queue one packet, waiting while the queue is full; raise `ChannelClosed` if the channel has ended."""
        await trio.lowlevel.checkpoint()
        while not self.offer(packet):
            if self._ended is not None or self._closing:
                raise self._closed()
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()

    def offer(self, packet: bytes) -> bool:
        """Queue one packet without waiting; return False, and drop it, if the queue is full or the channel ended."""
        assert len(packet) <= CONTROL_PACKET_MAX_BYTES, f"a packet of {len(packet)} bytes"
        if self._ended is not None or self._closing or self._queued_bytes + len(packet) > QUEUE_MAX_BYTES:
            return False
        self._queue.append(packet)
        self._queued_bytes += len(packet)
        self._work.set()
        return True

    async def receive(self) -> bytes:
        """Return the next packet; raise `ChannelClosed` when there will be none."""
        await trio.lowlevel.checkpoint()
        while not self._arrived:
            if self._ended is not None:
                raise self._closed()
            await self._read()
        return self._arrived.popleft()

    async def aclose(self) -> None:
        """Send what is queued and a signed close, for some two seconds at most, then let go."""
        self._closing = True
        self._work.set()
        self._room.set()
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._drained.wait()
        with trio.move_on_after(LINGER_S, shield=True):
            await self._linger()
        self._end(ChannelClosed(clean=False, reason="the channel was closed here"))
        self._on_release(self)
        self.released.set()
        await trio.aclose_forcefully(self._link.stream)

    async def run(self) -> None:
        """Seal and send what is queued until the channel ends; one task, started with the channel."""
        try:
            while self._ended is None and not (self._closing and not self._queue):
                await self._wait_for_work()
                await self._send_all(self._sealed_batch())
            if self._ended is None:
                await self._send_all(self._link.opened.sealer.close())
        finally:
            self._drained.set()

    async def _linger(self) -> None:
        """Wait for the other side's end: letting go of a socket with unread bytes resets it, and may undo our close."""
        while self._ended is None:
            if self._reading:
                await self._over.wait()
            else:
                await self._read()
                self._arrived.clear()

    async def _wait_for_work(self) -> None:
        while not self._queue and not self._closing and self._ended is None:
            self._work = trio.Event()
            await self._work.wait()

    def _sealed_batch(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self._queue and size < _BATCH_BYTES:
            packet = self._queue.popleft()
            size += len(packet)
            parts.append(self._link.opened.sealer.seal(packet))
        self._queued_bytes -= size
        self._room.set()
        return b"".join(parts)

    async def _send_all(self, data: bytes) -> None:
        """Send a batch, with patience for each part of it: who takes it slowly takes it."""
        for at in range(0, len(data), _PART_BYTES):
            with trio.move_on_after(self._stall_s) as patience:
                try:
                    await self._link.stream.send_all(data[at : at + _PART_BYTES])
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._end(ChannelClosed(clean=False))
                    return
            if patience.cancelled_caught:
                self._end(ChannelClosed(clean=False, reason=f"the other peer took nothing for {self._stall_s:.0f} s"))
                await trio.aclose_forcefully(self._link.stream)
                return

    async def _read(self) -> None:
        """Take in what has arrived, or end the channel."""
        opener = self._link.opened.opener
        self._reading = True
        try:
            data = await self._link.stream.receive_some(_READ_BYTES)
            self._arrived.extend(opener.feed(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end(ChannelClosed(clean=False))
            return
        except WireError as error:
            self._end(ChannelClosed(clean=False, reason=str(error)))
            await trio.aclose_forcefully(self._link.stream)
            return
        finally:
            self._reading = False
        if opener.closed or not data:
            self._end(ChannelClosed(clean=opener.closed))

    def _end(self, why: ChannelClosed) -> None:
        if self._ended is not None:
            return
        self._ended = why
        self._work.set()
        self._room.set()
        self._over.set()

    def _closed(self) -> ChannelClosed:
        """Return a fresh error each time: one that is raised twice would carry both tracebacks."""
        if self._ended is None:
            return ChannelClosed(clean=False, reason="the channel was closed here")
        return ChannelClosed(clean=self._ended.clean, reason=str(self._ended))
