"""Who may be one person under many names: nodes that came by one invite, or that are in one range of addresses.

Theory: who grinds keys can surround any id with identities of his own, so that the nearest to it are all his. But an
invite lets in few, and addresses cost money. So whatever picks the nearest, to store there, to ask or to tell, takes
also some that are nearest beyond those kin. In a mesh where all came by one invite there are none, and nothing is lost.

The module must not know what is stored, nor who asks.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from mesh.ground.dht_limits import DHT_SAME_NEAR

T = TypeVar("T")


class Kin(NamedTuple):
    """What a node shares with those that may be the same person's."""

    invite: bytes | None
    """What let it in; None: not known yet, or what let in most. It is nobody's kin by it."""
    range: bytes | None
    """The neighbourhood of its address; None: the one that most are in."""


def spread(nearest: Iterable[T], kin: Callable[[T], Kin], count: int, most: int = DHT_SAME_NEAR) -> list[T]:
    """Return the first `count` of `nearest` of which no invite and no range has more than `most`."""
    chosen: list[T] = []
    invites: dict[bytes | None, int] = {}
    ranges: dict[bytes | None, int] = {}
    for node in nearest:
        if len(chosen) >= count:
            break
        invite, range_ = kin(node)
        by_invite, by_range = invites.get(invite, 0), ranges.get(range_, 0)
        if by_invite < most and by_range < most:
            chosen.append(node)
            invites[invite] = by_invite + 1 if invite is not None else 0
            ranges[range_] = by_range + 1 if range_ is not None else 0
    return chosen
