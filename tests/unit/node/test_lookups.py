"""Look-ups between the core and the datagrams' port: what is no look-up, or is forged, never reaches the core."""

from collections.abc import Sequence
from dataclasses import replace

import trio
import trio.testing

from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard, Event
from mesh.ground.ids import PeerId
from mesh.ground.limits import CHANNEL_PURSE_MS, CHANNEL_SHARE
from mesh.node.driver import Over
from mesh.node.hearing import Hearing
from mesh.node.lookups import Lookups
from mesh.node.pacing import Pacing
from mesh.wire import lookups
from mesh.wire.lookups import Alive, FindNodes, FindPointers, Probe, StorePointer
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard
from mesh.wire.signing import Ed25519Verifier
from tests.strategies import sample
from tests.support.meshes import TestMesh
from tests.support.timed import timed
from tests.support.worlds import VirtualWorld, virtual

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


def between(port: Port, heard: list[Event], *, turn_ns: int = 0, read_ns: int = 0) -> Lookups:
    world = VirtualWorld()
    world.work_ns = read_ns

    async def tell(event: Event, over: Over | None) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)
        if over is not None:
            over(turn_ns)

    return Lookups(
        datagrams=port,
        carry=lambda _peer, _carried: False,
        hearing=Hearing(Ed25519Verifier(), VirtualWorld()),
        world=world,
        tell=tell,
        pacing=Pacing(),
    )


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


@virtual
async def test_who_asks_more_than_its_part_of_a_processor_is_not_heard_until_that_is_there_again() -> None:
    port, mesh = Port(), TestMesh()
    flooder, bob = mesh.member().id, mesh.member().id
    heard: list[Event] = []
    turn_ns = CHANNEL_PURSE_MS * 1_000_000 // 10
    asked = sample(FindPointers)

    def said(peer: PeerId) -> DatagramHeard:
        return DatagramHeard(peer=peer, address=ADDRESS, message=asked)

    async def say(peer: PeerId, times: int) -> None:
        for _ in range(times):
            port.arrive.send_nowait(Heard(peer=peer, address=ADDRESS, payload=lookups.encode(asked)))
        await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(between(port, heard, turn_ns=turn_ns).hear)
        await say(flooder, 50)
        assert heard == [said(flooder)] * 10
        await say(bob, 1)
        assert heard[-1] == said(bob), "others are heard at once"
        await trio.sleep(turn_ns * CHANNEL_SHARE / 1e9 + 1)
        await say(flooder, 50)
        assert 12 <= len(heard) <= 13, "nothing of the flood was kept for later"
        nursery.cancel_scope.cancel()


@virtual
async def test_what_says_nothing_costs_its_sender_too() -> None:
    port, peer = Port(), TestMesh().member().id
    heard: list[Event] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(between(port, heard, read_ns=CHANNEL_PURSE_MS * 1_000_000 // 5).hear)
        good = lookups.encode(sample(FindPointers))
        for payload in (good, *[b"\x00"] * 5, good):
            port.arrive.send_nowait(Heard(peer=peer, address=ADDRESS, payload=payload))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(heard) == 1, "the second came when nothing was left"


@virtual
async def test_answers_that_were_asked_for_are_free_and_heard_whatever_their_sender_owes() -> None:
    port, peer = Port(), TestMesh().member().id
    heard: list[Event] = []
    between_them = between(port, heard, turn_ns=2 * CHANNEL_PURSE_MS * 1_000_000)
    question, answered = sample(Probe), sample(Alive)

    async def say(message: lookups.Lookup) -> int:
        before = len(heard)
        port.arrive.send_nowait(Heard(peer=peer, address=ADDRESS, payload=lookups.encode(message)))
        await trio.testing.wait_all_tasks_blocked()
        return len(heard) - before

    async with trio.open_nursery() as nursery:
        nursery.start_soon(between_them.hear)
        for _ in range(3):
            between_them.send(SendDatagram(peer=peer, addresses=(ADDRESS,), message=question))
        assert [await say(answered) for _ in range(2)] == [1, 1], "two were free"
        assert await say(sample(FindNodes)) == 1, "its purse was full"
        assert await say(sample(FindNodes)) == 0, "it owes, and this is no answer, though one is awaited"
        assert await say(answered) == 1, "the third is awaited"
        assert await say(answered) == 0, "nobody asked, and it owes"
        assert await say(sample(FindNodes)) == 0
        nursery.cancel_scope.cancel()
