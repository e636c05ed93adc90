"""Datagrams over UDP: a socket for each address listened on, and the clock that makes `Pairs` say things again.

Theory: all that may be known of a datagram is decided by `Pairs`, which is pure; here bytes are passed in and out, and
lost where a queue is full, since whoever relies on datagrams must bear their loss anyway.

Invariants: nothing is sent to a name, a group or to everybody: addresses come from other peers, and a resolver or a
network must not be made to work for whoever made them up. A failure to send or receive one datagram is its loss, and
never one of the adapter. The module must not know what payloads say.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Final

import trio

from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.net import sockets
from mesh.ports.datagrams import Datagrams
from mesh.ports.transport import ListenFailed, Transport
from mesh.wire.calls import Outgoing
from mesh.wire.datagram import DATAGRAM_MAX_BYTES
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard, Pairs

HEARD_MAX: Final = 256
"""Payloads that the node has not taken yet: a tenth of a second's work of its core, and then the rest is stale."""

WAITING_MAX: Final = 1_024
"""Datagrams that wait for the kernel: a megabyte."""

TAKEN_MOST: Final = 128
"""Datagrams that are taken in one go, some milliseconds of work, before others have their turn."""

REST_S: Final = 0.02
"""A flooded socket is not looked at for so long: the kernel keeps some hundred datagrams meanwhile."""

TICK_S: Final = 0.05
"""How often a handshake's clock is looked at: a fifth of its shortest wait."""

PORT_TRIES: Final = 16
"""How often a port that is free for datagrams may be taken for connections before that is an error."""

IDLE_S: Final = 10.0
"""The same where none is under way, so that old keys are forgotten."""


class UdpDatagrams:
    """The `Datagrams` of its port; made by `open_datagrams`."""

    def __init__(self, nursery: trio.Nursery, pairs: Pairs, clock: Callable[[], Instant]) -> None:
        self._nursery = nursery
        self._pairs = pairs
        self._clock = clock
        self._sockets: list[trio.socket.SocketType] = []
        self._waiting, self._to_send = trio.open_memory_channel[Outgoing](WAITING_MAX)
        self._heard, self._to_receive = trio.open_memory_channel[Heard](HEARD_MAX)
        self._stirred = trio.Event()

    async def listen(self, host: str, port: int) -> int:
        """Send and receive on `host` and return the port; raise `ListenFailed`."""
        bound = await sockets.bind_datagrams(host, port)
        self._sockets += bound
        for sock in bound:
            self._nursery.start_soon(self._hear, sock)
        return int(bound[0].getsockname()[1])

    def send(self, peer: PeerId, addresses: Sequence[Address], payload: bytes, *, awaited: bool = True) -> None:
        """Send a payload, or lose it."""
        families = {sock.family for sock in self._sockets}
        reachable = [address for address in addresses if family_of(address.host) in families]
        self._queue(self._pairs.send(self._clock(), peer, reachable, payload, awaited=awaited))

    async def receive(self) -> Heard:
        """Wait for the next payload."""
        return await self._to_receive.receive()

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` from now on."""
        self._pairs.show(shown)

    def leave(self, port: int) -> None:
        """Listen on this port no longer."""
        for sock in tuple(self._sockets):
            if sock.getsockname()[1] == port:
                self._sockets.remove(sock)
                sock.close()

    def close(self) -> None:
        """Let go of the sockets."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def run(self) -> None:
        """Send what waits, and keep the clock, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._post)
            nursery.start_soon(self._keep_waking)

    def _queue(self, outgoing: Iterable[Outgoing]) -> None:
        for each in outgoing:
            try:
                self._waiting.send_nowait(each)
            except trio.WouldBlock:
                break
        if self._pairs.busy:
            self._stirred.set()

    async def _post(self) -> None:
        async for outgoing in self._to_send:
            to = (outgoing.address.host, outgoing.address.port)
            try:
                sock = self._socket_towards(*to)
                if sock is not None:
                    await sock.sendto(outgoing.data, to)
            except (OSError, trio.ClosedResourceError):
                continue  # no route, a closed port, a full buffer, another socket now: all as lost on the way

    def _socket_towards(self, host: str, port: int) -> trio.socket.SocketType | None:
        """Return the socket to send from; may raise `OSError`."""
        family = family_of(host)
        able = [sock for sock in self._sockets if sock.family == family]
        if len(able) < 2 or family is None:
            return able[0] if able else None
        # Of several addresses the one that the system itself would leave from; nothing is sent to learn it.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))
            own = probe.getsockname()[0]
        return next((sock for sock in able if sock.getsockname()[0] == own), able[0])

    async def _hear(self, sock: trio.socket.SocketType) -> None:
        """Take what comes to a socket, all that is there at a time; rest for a moment where there is too much of it.

        What a flood costs beside is mostly to be woken for each datagram.
        """
        if sock.fileno() < 0:
            return  # left before this began
        # The same socket without trio's, which would go round its loop for each datagram; not to be closed.
        plain = socket.socket(sock.family, sock.type, sock.proto, sock.fileno())
        try:
            while sock.fileno() >= 0:
                await trio.lowlevel.wait_readable(sock)
                if self._take(plain):
                    await trio.sleep(REST_S)
        except trio.ClosedResourceError:
            return
        finally:
            plain.detach()

    def _take(self, sock: socket.socket) -> bool:
        """Take some of what is there; return whether a peer says more than is heard of it."""
        surplus, now = False, self._clock()
        for _ in range(TAKEN_MOST):
            try:
                # One byte more than any honest one has, so that a longer one is not taken for its beginning.
                data, source = sock.recvfrom(DATAGRAM_MAX_BYTES + 1)
            except BlockingIOError:
                break
            except OSError:
                continue  # some systems report here that an earlier datagram met a closed port
            address = _address(source)
            if address is not None:
                surplus |= self._react(now, address, data)
        return surplus

    def _react(self, now: Instant, source: Address, data: bytes) -> bool:
        reaction = self._pairs.hear(now, source, data)
        if reaction.surplus:
            return True
        self._queue(reaction.send)
        if reaction.heard is not None:
            with suppress(trio.WouldBlock):
                self._heard.send_nowait(reaction.heard)
        return False

    async def _keep_waking(self) -> None:
        while True:
            if self._pairs.busy:
                await trio.sleep(TICK_S)
            else:
                self._stirred = trio.Event()
                with trio.move_on_after(IDLE_S):
                    await self._stirred.wait()
            self._queue(self._pairs.wake(self._clock()))


@lru_cache(maxsize=4096)  # the same peers are written to again and again
def family_of(host: str) -> int | None:
    """Return the IP family of an address that one host may have; None for names, groups, and what stands for all."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
        return None
    return int(socket.AF_INET if address.version == 4 else socket.AF_INET6)


def _address(source: tuple[str, int] | tuple[str, int, int, int]) -> Address | None:
    """Return where a datagram came from; None for a source that no answer can reach."""
    host, port = source[:2]
    if len(source) == 4 and source[3] and "%" not in host:
        host = f"{host}%{source[3]}"
    return Address(host=host, port=port) if port else None


async def listen_together(transport: Transport, datagrams: Datagrams, host: str, port: int) -> int:
    """Accept channels and hear datagrams on one port of `host` (0: any that is free for both) and return it.

    Raises `ListenFailed`.
    """
    for attempt in range(PORT_TRIES):
        drawn = await datagrams.listen(host, port)
        try:
            return await transport.listen(host, drawn)
        except ListenFailed:
            datagrams.leave(drawn)
            if port or attempt == PORT_TRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


@asynccontextmanager
async def open_datagrams(pairs: Pairs, clock: Callable[[], Instant]) -> AsyncIterator[UdpDatagrams]:
    """Yield datagrams over UDP; at the end let go of the sockets without a word."""
    async with trio.open_nursery() as nursery:
        datagrams = UdpDatagrams(nursery, pairs, clock)
        nursery.start_soon(datagrams.run)
        try:
            yield datagrams
        finally:
            nursery.cancel_scope.cancel()
            datagrams.close()
