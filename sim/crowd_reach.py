"""Who has a way to whom, judged from outside: does a peer reach its nearest ids, does it know every job?

Theory: a look-up reaches anybody as long as each peer knows the peers nearest to itself. So a peer is *whole* when it
has a way to the eight live peers whose ids are nearest to its own, in its routing table or by a channel, and knows the
heads of all jobs. Two parts of a mesh have become one when as many peers are whole as before they parted.

The module judges by the world's own list of who is up, and reads cores without changing them.
"""

from collections.abc import Sequence

from mesh.core.peer import Peer
from mesh.ground.ids import PeerId
from mesh.wire.lookups import dht_id
from sim.crowd import Crowd, Node

NEAREST = 8
_BITS = 160


def nearest(peers: Sequence[PeerId], count: int = NEAREST) -> dict[PeerId, tuple[PeerId, ...]]:
    """Return for each peer the `count` others that are nearest to it, nearest first.

    The nearest share the longest beginning: in the order of ids they lie in one stretch around each.
    """
    at = sorted((int.from_bytes(dht_id(peer), "big"), peer) for peer in peers)
    found = {}
    for place, (mine, peer) in enumerate(at):
        first, last = place, place + 1
        for bits in range(_BITS + 1):
            while first > 0 and at[first - 1][0] ^ mine < 1 << bits:
                first -= 1
            while last < len(at) and at[last][0] ^ mine < 1 << bits:
                last += 1
            if last - first > count:
                break
        others = sorted((other ^ mine, id_) for other, id_ in at[first:last] if id_ != peer)
        found[peer] = tuple(id_ for _, id_ in others[:count])
    return found


class Reach:
    """Whether the peers that are up now are whole."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._up = crowd.up()
        self._nearest = nearest([node.id for node in self._up])

    def lacking(self, nodes: Sequence[Node] | None = None) -> list[Node]:
        """Return those that are not whole, of `nodes` or of all."""
        return [node for node in (self._up if nodes is None else nodes) if not self._whole(node)]

    def strangers(self) -> int:
        """Return how many peers have no way to one of their nearest at least."""
        return sum(not self._reaches(node) for node in self._up)

    def unknown_heads(self) -> int:
        """Return how many heads of jobs are missing, of all peers together."""
        return sum(job not in node.peer.ledger.jobs for node in self._up for job in self._crowd.jobs)

    def _whole(self, node: Node) -> bool:
        jobs = node.peer.ledger.jobs
        return all(job in jobs for job in self._crowd.jobs) and self._reaches(node)

    def _reaches(self, node: Node) -> bool:
        return all(has_way(node.peer, peer) for peer in self._nearest[node.id])


def has_way(core: Peer, peer: PeerId) -> bool:
    """Tell whether a peer has a channel to another, or has it in its routing table."""
    return core.directory.connected(peer) or core.whereabouts.dht.table.get(peer) is not None
