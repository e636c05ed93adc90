"""Who may be one person under many names: nodes that came by one invite, or that are in one range of addresses.

Theory: who grinds keys can surround any id with identities of his own, so that the nearest to it are all his. But an
invite lets in few, and addresses cost money. So whatever picks the nearest, to store there, to ask or to tell, takes
also some that are nearest beyond those kin. In a mesh where all came by one invite there are none, and nothing is lost.

The module must not know what is stored, nor who asks.
"""

from collections import Counter
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
    shared: Counter[tuple[int, bytes]] = Counter()
    for node in nearest:
        if len(chosen) >= count:
            break
        marks = [(place, mark) for place, mark in enumerate(kin(node)) if mark is not None]
        if all(shared[mark] < most for mark in marks):
            chosen.append(node)
            shared.update(marks)
    return chosen
