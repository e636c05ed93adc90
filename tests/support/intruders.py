"""Those who mean ill to a running node: strangers who know its secret, members with forged dates, members who lie.

They have what a test finds in the node's own directory: with the root key of its mesh they make themselves into
whatever they like.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from mesh.ground.ids import PeerId
from mesh.ground.instants import DAY_MS, WallTime
from mesh.net.machine import Machine
from mesh.net.streams import TcpTransport, open_transport
from mesh.node.channels import USED
from mesh.ports.transport import Channel, ChannelClosed
from mesh.store.keys import KeyRing
from mesh.wire import messages
from mesh.wire.envelope import mesh_id
from mesh.wire.handshake import ChannelKind, DatedDoor, Papers
from mesh.wire.messages import Address, Message
from mesh.wire.signing import Ed25519Signer
from tests.support.meshes import Member, TestMesh
from tests.support.network import VERIFIER, no_bulk

WORLD = Machine()
DOOR = DatedDoor(lambda: WORLD.now().wall)
"""Judges dates by the clock on the wall, as the node does."""


def mesh_at(home: Path) -> TestMesh:
    """Return the mesh that the peer of this directory founded, its root key included."""
    ring = KeyRing(home / "keys")
    root, secret = ring.root(), ring.mesh()
    assert root is not None
    assert secret is not None
    mesh = TestMesh()
    mesh.root = Ed25519Signer(root.reveal())
    mesh.id, mesh.secret = mesh_id(mesh.root.key), secret.reveal()
    return mesh


def member(mesh: TestMesh) -> Member:
    """Return a member whose admission lasts until tomorrow."""
    return mesh.member(expires=WallTime(WORLD.now().wall + DAY_MS))


@dataclass(kw_only=True)
class Liar:
    """A member with a channel, who says what a test says and hears what comes."""

    channel: Channel
    heard: list[Message] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)

    async def listen(self) -> None:
        """Hear until the channel ends."""
        with suppress(ChannelClosed):
            while True:
                packet = await self.channel.receive()
                if len(packet) > 1:  # what shells say to each other is one byte
                    self.heard.append(messages.decode(packet))
        self.over.set()

    async def say(self, *said: Message) -> None:
        """Say messages, waiting while the node is slow."""
        for message in said:
            await self.channel.send(messages.encode(message))

    async def answer(self, kind: type[Message]) -> Message:
        """Wait until the node has said something of this kind."""
        while not any(isinstance(message, kind) for message in self.heard):
            assert not self.over.is_set(), "the node ended the channel"
            await trio.sleep(0.01)
        return next(message for message in self.heard if isinstance(message, kind))


@asynccontextmanager
async def over_tcp(papers: Papers) -> AsyncIterator[TcpTransport]:
    """Yield a transport that lives today."""
    async with open_transport(papers=papers, door=DOOR, verifier=VERIFIER, serve_bulk=no_bulk) as transport:
        yield transport


@asynccontextmanager
async def lying(address: Address, papers: Papers) -> AsyncIterator[Liar]:
    """Yield somebody who has just opened a channel to a node, and uses it as members do."""
    async with over_tcp(papers) as transport, trio.open_nursery() as nursery:
        channel = await transport.dial(address)
        liar = Liar(channel=channel)
        if channel.kind is ChannelKind.MEMBER:
            assert channel.offer(USED)
        nursery.start_soon(liar.listen)
        yield liar
        nursery.cancel_scope.cancel()


def peer_ids(count: int) -> list[PeerId]:
    """Return ids of peers that never were."""
    return [PeerId(WORLD.entropy(32)) for _ in range(count)]
