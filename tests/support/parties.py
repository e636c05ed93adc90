"""The shell's channels without a core: what each side hears is noted, and a test says what each asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from mesh.core.effects import CloseChannel, Dial, Send
from mesh.core.events import AdmissionAsked, ChannelClosed, ChannelOpened, Event, MessageHeard, RenewalAsked
from mesh.node.bootstraps import Bootstraps
from mesh.node.channels import Channels
from mesh.node.doors import Doors
from mesh.node.hearing import Hearing
from mesh.node.pacing import Pacing
from mesh.wire.handshake import DatedDoor
from mesh.wire.messages import Address, Message, Ping
from mesh.wire.signing import Ed25519Verifier
from sim.wires import MemoryTransport, Wires
from tests.support.meshes import NOW, Member, seed
from tests.support.worlds import VirtualWorld

DOOR = DatedDoor(lambda: NOW)


@dataclass(kw_only=True)
class Party:
    """One peer's channels and what its core would hear."""

    member: Member
    channels: Channels
    doors: Doors
    transport: MemoryTransport
    world: VirtualWorld
    address: Address
    said: list[str]
    """What its person was told of the addresses that were typed."""
    bootstraps: Bootstraps
    heard: list[Event] = field(default_factory=list)
    expired: bool = False
    turn_ns: int = 0
    """What its core takes for each message."""
    gate: trio.Event | None = None
    """While set, its core is not done with a message before this event."""

    def dial(self, other: "Party") -> None:
        """Ask for a channel to `other`."""
        self.channels.dial(Dial(peer=other.member.id, addresses=(other.address,)))

    def say(self, other: "Party", number: int) -> None:
        """Ask for a message to `other`."""
        self.channels.send(Send(peer=other.member.id, message=Ping(number=number)))

    def messages(self) -> list[Message]:
        """Return the messages heard so far."""
        return [event.message for event in self.heard if isinstance(event, MessageHeard)]

    def close(self, other: "Party") -> None:
        """End the channel with `other` that the core knows of."""
        known = [event for event in self.heard if isinstance(event, ChannelOpened) and event.peer == other.member.id]
        self.channels.close(CloseChannel(peer=other.member.id, channel=known[-1].channel))

    def openings(self) -> list[ChannelOpened | ChannelClosed]:
        """Return what was heard of channels so far."""
        return [event for event in self.heard if isinstance(event, ChannelOpened | ChannelClosed)]

    def asked(self) -> list[AdmissionAsked | RenewalAsked]:
        """Return what was asked at the door."""
        return [event for event in self.heard if isinstance(event, AdmissionAsked | RenewalAsked)]


@asynccontextmanager
async def party(wires: Wires, member: Member, *, typed: tuple[Address, ...] = ()) -> AsyncIterator[Party]:
    """Yield a listening peer whose core only notes; it ends as a process does that was killed."""
    world, verifier = VirtualWorld(), Ed25519Verifier()
    async with (
        wires.attach(member.papers, door=DOOR, verifier=verifier, entropy=seed) as transport,
        trio.open_nursery() as nursery,
    ):
        yield await _started(nursery, member, transport, world, typed)
        transport.crash()
        nursery.cancel_scope.cancel()


async def _started(
    nursery: trio.Nursery,
    member: Member,
    transport: MemoryTransport,
    world: VirtualWorld,
    typed: tuple[Address, ...],
) -> Party:
    hearing = Hearing(Ed25519Verifier(), world)

    async def note(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        made.heard.append(event)

    async def note_and_weigh(event: Event) -> int:
        await note(event)
        if made.gate is not None:
            await made.gate.wait()
        return made.turn_ns

    doors = Doors(hearing=hearing, shown=lambda: member.credentials, expired=lambda: made.expired, tell=note)
    said: list[str] = []
    bootstraps = Bootstraps(typed, said.append)
    channels = Channels(
        me=member.id,
        nursery=nursery,
        transport=transport,
        hearing=hearing,
        doors=doors,
        world=world,
        tell=note,
        heard=note_and_weigh,
        pacing=Pacing(),
        bootstraps=bootstraps,
    )
    port = await transport.listen("", 0)
    made = Party(
        member=member,
        channels=channels,
        doors=doors,
        transport=transport,
        world=world,
        address=Address(host="127.0.0.1", port=port),
        said=said,
        bootstraps=bootstraps,
    )
    nursery.start_soon(channels.accept)
    return made


async def quiet() -> None:
    """Wait until nobody has anything to do."""
    await trio.testing.wait_all_tasks_blocked()
