"""Listening and connecting: the plain TCP beneath every channel, and the plain UDP beneath datagrams.

Theory: a peer listens on one port number for both IP families and both protocols, so that one number names it. A
refused connection is news (nothing listens: the peer is dead), silence and missing routes are not; so the errors are
told apart with care.
The module must not know what the bytes mean.
"""

import errno
import os
import socket
import sys
from contextlib import suppress
from typing import Final

import trio

from mesh.ports.transport import (
    AddressNotHere,
    DialRefused,
    DialTimedOut,
    DialUnreachable,
    ListenFailed,
    PortTaken,
)
from mesh.wire.messages import Address

CONNECT_S: Final = 5.0
"""Three SYNs on Linux (0, 1, 3 s): who has not answered by then is treated as silent."""

BUFFER_BYTES: Final = 64 * 1024
"""What the system keeps of a channel in each direction (Linux keeps twice as much): a second's heartbeats behind it are
not late, and megabytes for each of two thousand channels would be the system's to lose."""

_NO_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""How the system says that a host has no such name, or that the name has no address."""

_BACKLOG: Final = 512
"""More than the half-open handshakes that are served at once, so that a burst of honest peers waits in the kernel."""

_PORT_TRIES: Final = 16
"""How often a port that is free in one IP family may be taken in the other before that is an error."""


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Return listeners on one port of `host` (empty: all addresses of both families; port 0: any free one).

    Raises `PortTaken`, `AddressNotHere` or another `ListenFailed`.
    """
    targets = await _targets(host)
    for attempt in range(_PORT_TRIES):
        try:
            return await _bind_all(targets, port)
        except OSError as error:
            # Somebody may have in one family the number that was drawn in the other: then another is drawn.
            if port == 0 and error.errno == errno.EADDRINUSE and attempt < _PORT_TRIES - 1:
                continue
            raise _listen_error(host or "all addresses", port, error) from error
    raise AssertionError("the last attempt returns or raises")


async def bind_datagrams(host: str, port: int) -> list[trio.socket.SocketType]:
    """Return sockets for datagrams on one port of `host`, as `listen` does for connections."""
    targets = await _targets(host)
    for attempt in range(_PORT_TRIES):
        try:
            return await _bind_all_datagrams(targets, port)
        except OSError as error:
            if port == 0 and error.errno == errno.EADDRINUSE and attempt < _PORT_TRIES - 1:
                continue
            raise _listen_error(host or "all addresses", port, error) from error
    raise AssertionError("the last attempt returns or raises")


async def connect(address: Address) -> trio.SocketStream:
    """Return a connection to `address`; raise `DialRefused`, `DialTimedOut` or `DialUnreachable`."""
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(address.host, address.port)
    except trio.TooSlowError as error:
        raise DialTimedOut(f"{address} did not answer within {CONNECT_S:.0f} s") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no resolver would be asked for
        raise _dial_error(address, error) from error
    return await led_elsewhere(stream, address)


async def led_elsewhere(stream: trio.SocketStream, address: Address) -> trio.SocketStream:
    """Return a connection that was just opened to `address`; raise `DialRefused` where it leads back to itself.

    With nothing listening, a port from the ephemeral range on this host can happen to be connected to itself. A
    connection that the far end has reset already raises what a dial that failed does.
    """
    try:
        itself = stream.socket.getsockname() == stream.socket.getpeername()
    except OSError as error:
        await trio.aclose_forcefully(stream)
        raise _dial_error(address, error) from error
    if itself:
        await trio.aclose_forcefully(stream)
        raise DialRefused(f"nothing listens at {address}")
    return stream


def bound_buffers(stream: trio.abc.Stream) -> None:
    """Have the system keep little of what one side said and the other has not read yet."""
    if not isinstance(stream, trio.SocketStream):
        return
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with suppress(OSError):  # a connection that has just ended
            stream.socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)


def remote_address(stream: trio.SocketStream) -> Address:
    """Return the other end of `stream`; raise `OSError` when the connection is gone already."""
    name = stream.socket.getpeername()
    host, port = name[:2]
    if len(name) > 2 and name[3]:
        with suppress(ValueError):  # interfaces may be called what no host may, such as `br+lan`
            named = socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]  # with its zone
            return Address(host=named, port=port)
        host = f"{host.partition('%')[0]}%{name[3]}"
    return Address(host=host, port=port)


async def _targets(host: str) -> list[tuple[int, str]]:
    """Return (family, address) of everything to listen on."""
    if not host:
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]  # noqa: S104 (that is what was asked for)
    try:
        found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        # No address of this machine: another port would not help.
        raise AddressNotHere(f"{host} cannot be looked up: {_reason(error)}") from error
    return list(dict.fromkeys((int(family), str(sockaddr[0])) for family, _, _, _, sockaddr in found))


async def _bind_all(targets: list[tuple[int, str]], port: int) -> list[trio.SocketListener]:
    listeners: list[trio.SocketListener] = []
    try:
        for family, host in targets:
            bound = await _bind(family, host, port)
            if bound is None:
                continue
            listeners.append(bound)
            port = bound.socket.getsockname()[1]
    except OSError:
        for listener in listeners:
            await listener.aclose()
        raise
    if not listeners:
        raise OSError(errno.EAFNOSUPPORT, "neither IPv4 nor IPv6 is there")
    return listeners


async def _bind_all_datagrams(targets: list[tuple[int, str]], port: int) -> list[trio.socket.SocketType]:
    bound: list[trio.socket.SocketType] = []
    try:
        for family, host in targets:
            sock = await _bound(family, socket.SOCK_DGRAM, host, port)
            if sock is not None:
                bound.append(sock)
                port = sock.getsockname()[1]
    except OSError:
        for sock in bound:
            sock.close()
        raise
    if not bound:
        raise OSError(errno.EAFNOSUPPORT, "neither IPv4 nor IPv6 is there")
    return bound


async def _bind(family: int, host: str, port: int) -> trio.SocketListener | None:
    """Return a listener, or None when the machine lacks that IP family."""
    sock = await _bound(family, socket.SOCK_STREAM, host, port)
    if sock is None:
        return None
    try:
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return trio.SocketListener(sock)


async def _bound(family: int, kind: int, host: str, port: int) -> trio.socket.SocketType | None:
    """Return a socket that has the address, or None when the machine lacks that IP family."""
    try:
        sock = trio.socket.socket(family, kind)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        # So that a killed peer can listen on its port again at once; on Windows it would let others take it over, and
        # datagrams everywhere.
        if sys.platform != "win32" and kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await sock.bind((host, port))
    except OSError as error:
        sock.close()
        if family == socket.AF_INET6 and host == "::" and error.errno == errno.EADDRNOTAVAIL:
            return None  # IPv6 is compiled in and switched off
        raise
    return sock


def _listen_error(where: str, port: int, error: OSError) -> ListenFailed:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"{where}, port {port}: another program listens there")
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressNotHere(f"{where} is no address of this machine")
    if error.errno == errno.EACCES:
        return ListenFailed(f"{where}, port {port}: only an administrator may use ports below 1024")
    return ListenFailed(f"{where}, port {port}: {_reason(error)}")


def _dial_error(address: Address, error: OSError | UnicodeError) -> DialRefused | DialTimedOut | DialUnreachable:
    causes = _causes(error)
    if all(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return DialRefused(f"nothing listens at {address}")
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return DialTimedOut(f"{address} did not answer")
    return DialUnreachable(f"{address}: {_reason(causes[0])}")


def _reason(error: BaseException) -> str:
    """Return what the system says, without its number, nor what was added to it on the way here."""
    if isinstance(error, UnicodeError) or (isinstance(error, socket.gaierror) and error.errno in _NO_NAME):
        reason = "no such host"
    elif isinstance(error, socket.gaierror):
        reason = error.strerror or str(error)
    elif isinstance(error, OSError) and error.errno:
        reason = os.strerror(error.errno)
    else:
        reason = str(error)
    # It stands in the middle of a sentence.
    return reason[:1].lower() + reason[1:] if reason[1:2].islower() else reason


def _causes(error: BaseException) -> list[BaseException]:
    """Return what each address of a name answered: trio hangs one error, or a group of them, on its own."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return list(cause.exceptions)
    return [cause if isinstance(cause, OSError) else error]
