"""The LAN: one UDP port on which peers call to all machines of a network, and hear others do so.

Theory: IPv4 by broadcast, which every switch and every cheap access point passes on; IPv6, which has none, by
link-local multicast. Neither is routed. The port is the same for all peers of all meshes, and shared by those of one
machine; which datagrams are ours, their bytes tell.

Invariants: whatever fails to be sent is not sent, and nobody waits: networks come and go, and there is a next time. In
each second so many datagrams are read from a socket and no more, those of a wrong size included; the system drops the
others, at no cost to this process. The module must not know what the bytes mean.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from mesh.ground.limits import BEACONS_READ_PER_SECOND
from mesh.net.interfaces import cables
from mesh.net.posix import share_port
from mesh.wire.beacon import SIZE

PORT: Final = 47_877
"""UDP; in a range that nobody has registered."""

GROUP: Final = "ff02::6d73:686e"
"""Link-local, so that no router passes it on; the last four bytes spell mshn."""

_ANY: Final = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 (from whichever network it comes)
_BUFFER_BYTES: Final = 32 * 1024
"""What waits while nobody reads: more than a second's worth, and little to chew on after a flood."""

_PAUSE_S: Final = 1.0
"""The second of which so many datagrams are read."""


class LanSockets:
    """The `Lan` of its port; made by `open_lan`."""

    def __init__(self, only: Collection[str], port: int) -> None:
        self._only = only
        self.port = port
        self.problems: list[str] = []
        """Why an IP family is not heard."""
        self._unsent = ""
        """Why the last beacon left by no network at all."""
        self._four = self._opened(socket.AF_INET)
        self._six = self._opened(socket.AF_INET6)
        self._join()

    def send(self, datagram: bytes) -> None:
        """Send to everybody on each of this machine's networks."""
        self._join()
        errors: list[str] = []
        for cable in cables(self._only):
            if self._four is not None and cable.broadcast is not None:
                errors.append(_send(self._four, datagram, (cable.broadcast, self.port)))
            if self._six is not None:
                errors.append(_send(self._six, datagram, (GROUP, self.port, 0, cable.index)))
        # A network that has one of the two families alone is well.
        self._unsent = "" if "" in errors else next(iter(errors), "this machine is on no network")

    def faults(self) -> list[str]:
        """Say why a family is not heard, and why nothing could be sent the last time."""
        return [*self.problems, *([f"nothing could be sent: {self._unsent}"] if self._unsent else [])]

    async def hear(self, take: Callable[[bytes, str], None]) -> None:
        """Give `take` what comes, for ever."""
        async with trio.open_nursery() as nursery:
            for sock in (self._four, self._six):
                if sock is not None:
                    nursery.start_soon(_hear, trio.socket.from_stdlib_socket(sock.dup()), take)
            await trio.sleep_forever()

    def close(self) -> None:
        """Let go of the sockets."""
        for sock in (self._four, self._six):
            if sock is not None:
                sock.close()

    def _opened(self, family: socket.AddressFamily) -> socket.socket | None:
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:
            return None  # the machine lacks that family, and nobody needs to hear of it
        try:
            sock.setblocking(False)
            share_port(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind((_ANY[family], self.port))
        except OSError as error:
            sock.close()
            self.problems.append(f"UDP port {self.port}: {error.strerror or error}")
            return None
        return sock

    def _join(self) -> None:
        """Hear the group on every network, those that came since too."""
        if self._six is None:
            return
        for cable in cables(self._only):
            member = socket.inet_pton(socket.AF_INET6, GROUP) + struct.pack("@I", cable.index)
            with suppress(OSError):  # mostly: joined before
                self._six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)


@asynccontextmanager
async def open_lan(only: Collection[str] = (), *, port: int = PORT) -> AsyncIterator[LanSockets]:
    """Yield the networks that this machine is on; with `only`, those on which it has one of these addresses."""
    lan = LanSockets(only, port)
    try:
        await trio.lowlevel.checkpoint()
        yield lan
    finally:
        lan.close()


def _send(sock: socket.socket, datagram: bytes, target: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Send, and return why that failed; empty: it did not."""
    try:
        sock.sendto(datagram, target)
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def _hear(sock: trio.socket.SocketType, take: Callable[[bytes, str], None]) -> None:
    left, until_s = 0, trio.current_time()
    with sock:
        while True:
            if not left:
                await trio.sleep_until(until_s)
            if trio.current_time() >= until_s:
                left, until_s = BEACONS_READ_PER_SECOND, trio.current_time() + _PAUSE_S
            try:
                datagram, source = await sock.recvfrom(SIZE + 1)
            except OSError:  # such as the word of a host that nobody listens there, to something sent before
                await trio.sleep(_PAUSE_S)
                continue
            left -= 1
            if len(datagram) == SIZE:
                take(datagram, _host_of(source))


def _host_of(source: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the sender's address, a link-local one with its zone."""
    return socket.getnameinfo(source, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
