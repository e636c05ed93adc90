"""An eclipse of the DHT: identities that one person made by one invite, with ids ground until they surround a victim's.

Theory: who is nearest to a key keeps what is found under it. So whoever makes enough keys, and keeps those whose ids
begin like the victim's, is asked by everybody who looks for the victim. These answer as nodes do, take every pointer,
give none, and tell of each other alone.
"""

from itertools import count

from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.wire.envelope import Signer, peer_id
from mesh.wire.lookups import (
    MAX_NODES,
    Answer,
    FindNodes,
    FindPointers,
    Node,
    NodesFound,
    PointersFound,
    PointerStored,
    StorePointer,
    dht_id,
)
from mesh.wire.members import Chain
from mesh.wire.messages import Address
from sim.dht import PORT, Crowd
from sim.dht import Node as Honest


class Eclipser(Honest):
    """One of the attacker's identities, in a network of its own: the invite alone gives them away."""

    def __init__(self, crowd: Crowd, index: int, signer: Signer, chain: Chain) -> None:
        super().__init__(crowd, index, signer, chain)
        self.address = Address(host=f"10.200.{index % 256}.9", port=PORT)

    def hear(self, event: DatagramHeard) -> None:
        """Answer what leads to keys with lies, and all else as every node does."""
        answer = self._lie(event)
        if answer is None:
            super().hear(event)
        elif self.up:
            self.turn(lambda turn: self._say(turn, event, answer))

    def _lie(self, event: DatagramHeard) -> Answer | None:
        match event.message:
            case FindNodes() as question:
                return NodesFound(number=question.number, nodes=self._kin(question.target))
            case FindPointers() as question:
                return PointersFound(number=question.number, pointers=(), nodes=self._kin(question.key))
            case StorePointer() as question:
                return PointerStored(number=question.number, sequence=question.pointer.body.sequence)
            case _:
                return None

    def _say(self, turn: Turn, event: DatagramHeard, answer: Answer) -> None:
        turn.do(SendDatagram(peer=event.peer, addresses=(event.address,), message=answer))

    def _kin(self, target: bytes) -> tuple[Node, ...]:
        at = int.from_bytes(target, "big")
        others = [node for node in self.crowd.nodes if isinstance(node, Eclipser) and node is not self]
        others.sort(key=lambda node: int.from_bytes(dht_id(node.id), "big") ^ at)
        return tuple(Node(peer=node.id, endpoints=node.dht.own) for node in others[:MAX_NODES])


def ground(crowd: Crowd, victim: PeerId, many: int, bits: int) -> list[Signer]:
    """Return keys whose ids have the victim's first `bits` bits."""
    found: list[Signer] = []
    wanted = int.from_bytes(victim, "big") >> 8 * len(victim) - bits
    for number in count():
        signer = crowd.keyring.signer(crowd.dice.fork(b"ground" + number.to_bytes(4, "big")).draw(32))
        if int.from_bytes(peer_id(signer.key), "big") >> 8 * len(victim) - bits == wanted:
            found.append(signer)
            if len(found) == many:
                return found
    raise AssertionError("keys do not run out")
