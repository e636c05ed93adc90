"""A liar's end of the DHT: every answer that leaves is garbage, whatever was asked; all else passes unchanged."""

import dataclasses
import random
import sys
from collections.abc import Sequence
from typing import get_args

from mesh.ground.ids import PeerId
from mesh.ports.datagrams import Datagrams
from mesh.wire import lookups
from mesh.wire.lookups import Endpoint, Node, NodesFound
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard

GARBLED = "answered with garbage"
"""What it prints each time."""

ANSWERS: tuple[type, ...] = get_args(lookups.Answer)


class GarbledAnswers:
    """Datagrams of a network, of which each answer of the DHT is replaced: by noise, or by nodes that there are not."""

    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams
        self._dice = random.Random(1)

    async def listen(self, host: str, port: int) -> int:
        """Listen as the network does."""
        return await self._datagrams.listen(host, port)

    def leave(self, port: int) -> None:
        """Leave as the network does."""
        self._datagrams.leave(port)

    def send(self, peer: PeerId, addresses: Sequence[Address], payload: bytes, *, awaited: bool = True) -> None:
        """Send a payload, or garbage in its place."""
        message = lookups.decode(payload)
        if isinstance(message, ANSWERS):
            payload = self._garbage(message, len(payload))
            print(GARBLED, file=sys.stderr, flush=True)
        self._datagrams.send(peer, addresses, payload, awaited=awaited)

    async def receive(self) -> Heard:
        """Hear what the network does."""
        return await self._datagrams.receive()

    def show(self, shown: Credentials) -> None:
        """Show it to the network."""
        self._datagrams.show(shown)

    def _garbage(self, message: lookups.Answer, size: int) -> bytes:
        if self._dice.random() < 0.5:
            return self._dice.randbytes(size)
        nodes = tuple(self._nobody() for _ in range(3))
        if isinstance(message, (lookups.NodesFound, lookups.PointersFound)):
            changed = {"pointers": ()} if isinstance(message, lookups.PointersFound) else {}
            return lookups.encode(dataclasses.replace(message, nodes=nodes, **changed))
        return lookups.encode(NodesFound(number=message.number, nodes=nodes))

    def _nobody(self) -> Node:
        endpoint = Endpoint(ip=bytes((10, 77, 0, self._dice.randrange(200, 250))), port=40_001)
        return Node(peer=PeerId(self._dice.randbytes(32)), endpoints=(endpoint,))
