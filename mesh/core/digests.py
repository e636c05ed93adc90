"""Comparing: two peers find out what each lacks of the other's mesh set by hashes over ever smaller parts of it.

Theory: a set is a tree of sixteen branches by the bits of its keys. One side tells the hashes of the sixteen parts; of
each part that differs the other tells the sixteen within it, or, where it has few items there, all their keys. From
those the first side sees what to ask for and what to offer. So equal sets cost one message, and others grow with the
difference alone. A part that one side has nothing of is offered at once: a newcomer knows after one round trip what
there is, and has it after the second.

Invariants: no state is kept of a comparison, so that a lost message costs nothing but the time until the next one.
Hashing is paid for out of the asker's purse before it is done. An answer is at most a few messages; what does not fit
them is found by the next comparison. What is compared is what the other can read: of an older peer's set, and of this
one, jobs are left out that need a version which it does not speak.
"""

from mesh.core.catalogue import EMPTY, WHOLE, Catalogue, children
from mesh.core.offers import Offers
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.wire.codec import most_items
from mesh.wire.gossip import BRANCHES, SHORT_BYTES, SetDigests, SetKeys, SetLeaf, SetNode

_LEAF = most_items(SetLeaf, "keys")
_NODES_MOST = most_items(SetDigests, "nodes")
_LEAVES_MOST = most_items(SetKeys, "leaves")
_DEEPEST = 2**60
_TOLD_MOST = 8_192
"""Keys offered in answer to one message."""

_NODE_BYTES = 2 * BRANCHES * SHORT_BYTES
"""What hashing and telling a part costs of the asker's purse, with a byte for each key in it."""


class Digests:
    """Compare this peer's set with another's."""

    def __init__(self, catalogue: Catalogue, offers: Offers) -> None:
        self._catalogue = catalogue
        self._offers = offers

    def compare(self, turn: Turn, peer: PeerId) -> None:
        """Begin to compare."""
        turn.send(peer, SetDigests(nodes=(_node(self._offers.read_by(peer), WHOLE),)))

    def on_set_digests(self, turn: Turn, peer: PeerId, message: SetDigests) -> None:
        """Go further into what differs, tell small parts in full, and offer what the other has nothing of."""
        nodes: list[SetNode] = []
        leaves: list[SetLeaf] = []
        offered: list[bytes] = []
        read = self._offers.read_by(peer)
        for theirs in message.nodes:
            if not self._pay(turn, peer, theirs.part):
                break
            mine = read.digests(theirs.part)
            for at, part in enumerate(children(theirs.part)):
                start, end = at * SHORT_BYTES, (at + 1) * SHORT_BYTES
                told = theirs.digests[start:end]
                if mine[start:end] == told:
                    continue
                keys = read.under(part)
                if told == EMPTY:
                    offered += keys[: _TOLD_MOST - len(offered)]
                elif part > _DEEPEST:
                    continue  # keys so alike were made to be
                elif len(keys) <= _LEAF:
                    leaves.append(SetLeaf(part=part, keys=tuple(keys)))
                elif len(nodes) < _NODES_MOST:
                    nodes.append(_node(read, part))
        if nodes:
            turn.send(peer, SetDigests(nodes=tuple(nodes)))
        if leaves:
            turn.send(peer, SetKeys(leaves=tuple(leaves[:_LEAVES_MOST])))
        self._offers.tell(turn, peer, offered)

    def on_set_keys(self, turn: Turn, peer: PeerId, message: SetKeys) -> None:
        """Ask for what this peer lacks, and offer what the other does."""
        offered: list[bytes] = []
        lacking: list[bytes] = []
        read = self._offers.read_by(peer)
        for leaf in message.leaves:
            if not self._pay(turn, peer, leaf.part):
                break
            theirs = dict.fromkeys(leaf.keys)
            mine = dict.fromkeys(read.under(leaf.part))
            lacking += [key for key in theirs if key not in mine]
            offered += [key for key in mine if key not in theirs][: _TOLD_MOST - len(offered)]
        self._offers.told(turn, peer, lacking)
        self._offers.tell(turn, peer, offered)

    def _pay(self, turn: Turn, peer: PeerId, part: int) -> bool:
        return self._offers.pay(turn, peer, _NODE_BYTES + self._catalogue.count(part))


def _node(read: Catalogue, part: int) -> SetNode:
    return SetNode(part=part, digests=read.digests(part))
