"""Look-ups between the core and the datagrams' port: what is no look-up, or is forged, never reaches the core."""

from collections.abc import Sequence
from dataclasses import replace

import trio
import trio.testing

from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard, Event
from mesh.ground.ids import PeerId
from mesh.node.hearing import Hearing
from mesh.node.lookups import Lookups
from mesh.wire import lookups
from mesh.wire.lookups import StorePointer
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard
from mesh.wire.signing import Ed25519Verifier
from tests.strategies import sample
from tests.support.meshes import TestMesh
from tests.support.timed import timed
from tests.support.worlds import VirtualWorld

ADDRESS = Address(host="192.0.2.1", port=4_000)


class Port:
    """The datagrams' port, as a test sees it."""

    def __init__(self) -> None:
        self.sent: list[tuple[PeerId, Sequence[Address], bytes, bool]] = []
        self.arrive, self._arrived = trio.open_memory_channel[Heard](100)

    async def listen(self, host: str, port: int) -> int:
        return port

    def leave(self, port: int) -> None:
        pass

    def send(self, peer: PeerId, addresses: Sequence[Address], payload: bytes, *, awaited: bool = True) -> None:
        self.sent.append((peer, addresses, payload, awaited))

    async def receive(self) -> Heard:
        return await self._arrived.receive()

    def show(self, shown: Credentials) -> None:
        pass


def between(port: Port, heard: list[Event]) -> Lookups:
    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)

    return Lookups(datagrams=port, hearing=Hearing(Ed25519Verifier(), VirtualWorld()), tell=tell)


@timed
async def test_an_effect_becomes_a_payload_of_which_it_is_known_whether_it_is_answered() -> None:
    port, peer = Port(), TestMesh().member().id
    said = {kind: sample(kind) for kind in lookups.LOOKUPS}
    for message in said.values():
        between(port, []).send(SendDatagram(peer=peer, addresses=(ADDRESS,), message=message))
    assert port.sent == [
        (peer, (ADDRESS,), lookups.encode(message), kind in lookups.ANSWERS) for kind, message in said.items()
    ]


@timed
async def test_payloads_become_events_unless_they_are_none_or_forged() -> None:
    port, peer = Port(), TestMesh().member().id
    heard: list[Event] = []
    good = sample(StorePointer)
    forged = replace(good, pointer=replace(good.pointer, signature=bytes(64)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(between(port, heard).hear)
        for payload in (b"\x00", lookups.encode(forged), lookups.encode(good) + b"\0", lookups.encode(good)):
            port.arrive.send_nowait(Heard(peer=peer, address=ADDRESS, payload=payload))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert heard == [DatagramHeard(peer=peer, address=ADDRESS, message=good)]
