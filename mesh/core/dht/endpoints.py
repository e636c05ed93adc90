"""Which addresses are believed, of those that others tell, and which neighbourhood an address belongs to.

What a stranger's answer holds decides where this host sends datagrams. So addresses that lead nowhere or back here are
dropped, and loopback is believed only of somebody who speaks from loopback himself: on one machine it is the truth.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from mesh.wire.lookups import Endpoint
from mesh.wire.messages import Address

_IPV4_RANGE_BYTES = 3
_IPV6_RANGE_BYTES = 8
_IPV4_BYTES = 4
_IPV4_LOOPBACK = 127
_IPV6_LOOPBACK = bytes(15) + b"\x01"


@lru_cache(maxsize=8_192)  # every datagram and every dial asks
def endpoint_of(address: Address) -> Endpoint | None:
    """Return an address as numbers; None for a name, and for one that is good on one host's link alone."""
    try:
        ip = ipaddress.ip_address(address.host)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None or ip.is_link_local:
            return None
        ip = ip.ipv4_mapped or ip
    return Endpoint(ip=ip.packed, port=address.port)


@lru_cache(maxsize=8_192)
def address_of(endpoint: Endpoint) -> Address:
    """Return an endpoint as it is dialled."""
    return Address(host=str(ipaddress.ip_address(endpoint.ip)), port=endpoint.port)


def addresses_of(endpoints: Iterable[Endpoint]) -> tuple[Address, ...]:
    """Return endpoints as they are dialled, in their order."""
    return tuple(map(address_of, endpoints))


def is_loopback(endpoint: Endpoint) -> bool:
    """Whether it leads to whoever asks."""
    return endpoint.ip[0] == _IPV4_LOOPBACK if len(endpoint.ip) == _IPV4_BYTES else endpoint.ip == _IPV6_LOOPBACK


@lru_cache(maxsize=8_192)
def _leads_somewhere(endpoint: Endpoint) -> bool:
    ip = ipaddress.ip_address(endpoint.ip)
    if isinstance(ip, ipaddress.IPv4Address) and (ip.packed[0] == 0 or ip.is_reserved):
        return False
    return not (ip.is_unspecified or ip.is_multicast or (ip.version == 6 and ip.is_link_local))


def believed(told: Iterable[Endpoint], own: tuple[Endpoint, ...], *, loopback: bool) -> tuple[Endpoint, ...]:
    """Return what is believed of endpoints that somebody told, each once; `loopback`: of loopback, too."""
    return tuple(
        endpoint
        for endpoint in dict.fromkeys(told)
        if endpoint not in own and _leads_somewhere(endpoint) and (loopback or not is_loopback(endpoint))
    )


def range_of(endpoint: Endpoint) -> bytes:
    """Return the neighbourhood of an address, one owner's as a rule: an IPv4 /24 or an IPv6 /64."""
    size = _IPV4_RANGE_BYTES if len(endpoint.ip) == _IPV4_BYTES else _IPV6_RANGE_BYTES
    return endpoint.ip[:size]
