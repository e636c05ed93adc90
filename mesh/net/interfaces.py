"""Under which addresses this host may be reached: what goes into invites and greetings.

A host knows its own interfaces and nothing about the networks between it and others, so this is a list of guesses,
best first. Linux is asked interface by interface, since a host without a default route or a name (a container, a
network namespace) has addresses too; elsewhere the resolver and the routing table are asked.
"""

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mesh.wire.messages import MAX_ADDRESSES, Address, Port

_SIOCGIFADDR: Final = 0x8915
_IFREQ: Final = "16s24x"
_IF_INET6: Final = Path("/proc/net/if_inet6")

#: Where a socket is pointed to learn which of our addresses would be used; documentation networks, and nothing is sent.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def addresses(port: Port) -> tuple[Address, ...]:
    """Return at most eight addresses of this host with `port`: routable ones first, then private, loopback last."""
    found = {host: ipaddress.ip_address(host) for host in [*_outbound(), *_interfaces()]}
    usable = [
        (host, ip) for host, ip in found.items() if not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)
    ]
    # A stable sort: among equals the address that packets leave from, which is first, stays first.
    usable.sort(key=lambda entry: (entry[1].is_loopback, entry[1].version))
    return tuple(Address(host=host, port=port) for host, _ in usable[:MAX_ADDRESSES])


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
    from fcntl import ioctl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack(_IFREQ, name.encode()))
            except OSError:
                continue  # an interface that is down or speaks no IPv4
            yield socket.inet_ntop(socket.AF_INET, answer[20:24])


def _linux_ipv6() -> Iterator[str]:
    try:
        lines = _IF_INET6.read_text(encoding="ascii").splitlines()
    except OSError:
        return  # no IPv6 here
    for line in lines:
        yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))
