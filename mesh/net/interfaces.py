"""Under which addresses this host may be reached: what goes into invites and greetings.

A host knows its own interfaces and nothing about the networks between it and others, so this is a list of guesses,
best first. Linux is asked interface by interface, since a host without a default route or a name (a container, a
network namespace) has addresses too; elsewhere the resolver and the routing table are asked.
"""

import ipaddress
import socket
import struct
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.wire.messages import MAX_ADDRESSES, Address, Port

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MULTICAST: Final = 0x1000
_IFREQ: Final = "16s24x"
_IF_INET6: Final = Path("/proc/net/if_inet6")

#: Where a socket is pointed to learn which of our addresses would be used; documentation networks, and nothing is sent.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


_ANY_HOST: Final = {"0.0.0.0": 4, "::": 6}  # noqa: S104 (what a socket says that listens everywhere)
_EVERYBODY: Final = "255.255.255.255"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """One interface on which other machines can be called all at once."""

    index: int
    """For IPv6; 0: whichever the system prefers."""
    broadcast: str | None
    """Where everybody of its IPv4 network hears; None: it has none."""


def cables(only: Collection[str] = ()) -> tuple[Cable, ...]:
    """Return the interfaces that lead to other machines; with `only`, those that have one of these addresses."""
    if sys.platform != "linux":
        return (Cable(index=0, broadcast=_EVERYBODY),)
    return tuple(_linux_cables(frozenset(only)))


def addresses(port: Port) -> tuple[Address, ...]:
    """Return at most eight addresses of this host with `port`: routable ones first, then private, loopback last."""
    return best_first([found for host in _ANY_HOST for found in named_by(Address(host=host, port=port))])


def is_everywhere(listening: Address) -> bool:
    """Say whether a listening socket can be reached at all of this host's addresses of a family."""
    return listening.host in _ANY_HOST


def named_by(listening: Address) -> tuple[Address, ...]:
    """Return where a listening socket can be reached: all of this host's addresses of a family, or just its own."""
    version = _ANY_HOST.get(listening.host)
    if version is None:
        return (listening,)
    found = {host: ipaddress.ip_address(host) for host in [*_outbound(), *_interfaces()]}
    return tuple(
        Address(host=host, port=listening.port)
        for host, ip in found.items()
        if ip.version == version and not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)
    )


def best_first(found: Iterable[Address]) -> tuple[Address, ...]:
    """Return at most eight of these addresses: routable ones first, then private, loopback last."""
    ips = {address: ipaddress.ip_address(address.host) for address in found}
    # A stable sort: among equals the address that packets leave from, which is first, stays first.
    ordered = sorted(ips, key=lambda address: (ips[address].is_loopback, ips[address].version))
    return tuple(ordered[:MAX_ADDRESSES])


def _outbound() -> Iterator[str]:
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                yield str(probe.getsockname()[0])
        except OSError:
            continue  # no such family, or no route: the interfaces are asked too


def _interfaces() -> Iterator[str]:
    if sys.platform == "linux":
        yield from _linux_ipv4()
        yield from _linux_ipv6()
    else:
        yield "127.0.0.1"
        yield from _resolved(socket.gethostname())


def _resolved(name: str) -> Iterator[str]:
    try:
        infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return  # a host whose own name does not resolve
    for info in infos:
        yield str(info[4][0]).partition("%")[0]


def _linux_ipv4() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            answer = _asked(probe, _SIOCGIFADDR, name)
            if answer is not None:
                yield socket.inet_ntop(socket.AF_INET, answer[4:8])


def _linux_ipv6() -> Iterator[str]:
    for _, host in _linux_ipv6_by_interface():
        yield host


def _linux_ipv6_by_interface() -> Iterator[tuple[int, str]]:
    try:
        lines = _IF_INET6.read_text(encoding="ascii").splitlines()
    except OSError:
        return  # no IPv6 here
    for line in lines:
        host, index, *_ = line.split()
        yield int(index, 16), socket.inet_ntop(socket.AF_INET6, bytes.fromhex(host))


def _linux_cables(only: frozenset[str]) -> Iterator[Cable]:
    by_index: dict[int, list[str]] = {}
    for index, host in _linux_ipv6_by_interface():
        by_index.setdefault(index, []).append(host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for index, name in socket.if_nameindex():
            flags = _asked(probe, _SIOCGIFFLAGS, name)
            bits = 0 if flags is None else int.from_bytes(flags[:2], sys.byteorder)
            if not bits & _UP or bits & _LOOPBACK or not bits & _MULTICAST:
                continue
            own = _linux_network(probe, name)
            hosts = [*by_index.get(index, ()), *([] if own is None else [str(own.ip)])]
            if hosts and (not only or not only.isdisjoint(hosts)):
                yield Cable(index=index, broadcast=None if own is None else _broadcast(own))


def _linux_network(probe: socket.socket, name: str) -> ipaddress.IPv4Interface | None:
    host, mask = _asked(probe, _SIOCGIFADDR, name), _asked(probe, _SIOCGIFNETMASK, name)
    if host is None or mask is None:
        return None
    return ipaddress.IPv4Interface((host[4:8], int.from_bytes(mask[4:8], "big").bit_count()))


def _broadcast(own: ipaddress.IPv4Interface) -> str | None:
    """Return the address of everybody; between two alone, as on most VPNs, there is none."""
    return str(own.network.broadcast_address) if own.network.prefixlen < 31 else None


def _asked(probe: socket.socket, question: int, name: str) -> bytes | None:
    """Return what the system says of an interface; None for one that is down, gone or speaks no IPv4."""
    from fcntl import ioctl

    try:
        return ioctl(probe.fileno(), question, struct.pack(_IFREQ, name.encode()))[16:]
    except OSError:
        return None
