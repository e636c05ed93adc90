"""Where a peer accepts channels, as it travels: nothing that a resolver could take for anything else.

And what an address says of itself: whether it names the machine that dials it, or one cable, or a machine for
everybody. The module must not resolve names: a name that is no address may lead anywhere.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, TypeAlias

from mesh.wire.codec import AtMost, Between

MAX_ADDRESSES = 8

_IPV4_BYTES = 4
_IPV6_BYTES = 16
_MAPPED = bytes(10) + b"\xff\xff"

Port: TypeAlias = Annotated[int, Between(1, 65_535)]
Host: TypeAlias = Annotated[str, AtMost(100)]
"""An address, perhaps with a zone, or a name that a resolver knows."""

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOCALHOST = "localhost"
_NET_BITS = {4: 24, 6: 64}
"""How much of an address mostly names its network: in offices and homes, and in every IPv6 network of one cable."""

_HOSTS_KEPT = 16_384
"""Hosts whose address is remembered, some 3 MB: those of the largest mesh, which a simulator has in one process."""

# Names without surprises for a resolver: ASCII labels of 1 to 63 characters. An IPv6 address may name its zone.
_HOST = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a peer accepts channels; raises `ValueError` for a host that no resolver may be asked for."""

    host: Host
    port: Port

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"{self.host!a} is neither an address nor a host's name")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a peer hears datagrams and accepts channels: 4 or 16 bytes of an IP address, and a port.

    Raises `ValueError` for other lengths and for an IPv4 address in IPv6's clothes: each address is written in one way.
    """

    ip: Annotated[bytes, AtMost(_IPV6_BYTES)]
    port: Port

    def __post_init__(self) -> None:
        if len(self.ip) not in (_IPV4_BYTES, _IPV6_BYTES) or self.ip.startswith(_MAPPED):
            raise ValueError(f"{len(self.ip)} bytes are no IP address in its shortest form")


@lru_cache(maxsize=_HOSTS_KEPT)  # each word about a peer's addresses asks again
def ip_of(host: str) -> IpAddress | None:
    """Return the IP address that `host` is, its zone included, one of IPv4 as such; None for a name."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def is_loopback(address: Address) -> bool:
    """Say whether an address is whoever dials it, so that a refusal there says nothing of another host."""
    ip = ip_of(address.host)
    return ip.is_loopback if ip is not None else address.host.rstrip(".").lower() == _LOCALHOST


@lru_cache(maxsize=_HOSTS_KEPT)
def tellable(address: Address) -> bool:
    """Say whether an address means the same host on every machine: no loopback, no link's own, nobody's, and no name.

    A name means what each machine's resolver makes of it: `127.1` and `0x7f000001` are loopback to some, and whoever
    owns a domain can make any name of it so. Peers know their own addresses and need no names to tell them.
    """
    ip = ip_of(address.host)
    if ip is None:
        return False
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast)


def told(addresses: Iterable[Address], *, here: bool) -> tuple[Address, ...]:
    """Return those of `addresses` that may pass between two peers; all of them where both are on one machine."""
    return tuple(address for address in addresses if here or tellable(address))


def same_network(one: str, other: str) -> bool:
    """Say whether two hosts are probably on one cable: their addresses begin alike."""
    first, second = ip_of(one), ip_of(other)
    if first is None or second is None or first.version != second.version:
        return False
    shift = first.max_prefixlen - _NET_BITS[first.version]
    return int(first) >> shift == int(second) >> shift
