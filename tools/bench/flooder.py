"""Be a member that floods: run as a module by `flood.py`, which tells it on standard input when to begin and to stop.

Theory: everything that it says is signed and well-formed, since what is not ends the channel that it came on. It has a
job of its own and writes results of it; it claims frames of the honest job, and asks where peers are that never were.
Each kind is said a thousand times a second, to the victims by turns and as far as they take it.

Its plan comes as one argument of JSON. For each line on standard input (a list of victims, by their numbers; empty: it
rests) it prints how much of each kind it has said until then.
"""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from mesh.ground.ids import BlobId, Boot, JobId, RecordId
from mesh.ground.instants import DAY_MS, wall_later
from mesh.net.datagrams import UdpDatagrams, open_datagrams
from mesh.net.machine import Machine
from mesh.net.streams import TcpTransport, open_transport, refuse
from mesh.node.channels import USED
from mesh.node.joining import join_mesh, join_papers
from mesh.ports.transport import Channel, ChannelClosed, TransportError
from mesh.wire import invites, lookups, messages
from mesh.wire.envelope import sign
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.lookups import DHT_ID_BYTES, FindPointers
from mesh.wire.members import Chain, Credentials, StaticKey
from mesh.wire.messages import Address, Available, ClaimSent, Entries, Head, Hello, KeepAsk, News, Ping, Pong
from mesh.wire.noise import KeyPair
from mesh.wire.pairs import Pairs
from mesh.wire.records import Claim, EngineId, Entry, Job, Output, OutputNames, Picture, Result
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from mesh.wire.tasks import parse_frames

PER_SECOND = 1_000
"""Of each kind, to all victims together."""

STEP_S = 0.02
REDIAL_S = 0.2

BACKLOG_BYTES = 64 * 1024
"""What a victim does not take is not kept for it: it would be said when the flood is over."""

OWN_TASKS = 20_000
NAME = "flooder"
ENGINE = EngineId(name="blender", version="4.2.23", build="fake")
WORLD, VERIFIER = Machine(), Ed25519Verifier()
DOOR = DatedDoor(lambda: WORLD.now().wall)


@dataclass(kw_only=True)
class Flooder:
    """One member and what it says."""

    signer: Ed25519Signer
    chain: Chain
    boot: Boot
    addresses: list[Address]
    channels: list[Channel]
    datagrams: UdpDatagrams
    victim: JobId
    """The job that it claims frames of."""
    tasks: int
    said: Counter[str] = field(default_factory=Counter)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        wall = WORLD.now().wall
        body = Job(
            number=1,
            name="a flood",
            scene=BlobId(WORLD.entropy(32)),
            engine=ENGINE,
            frames=parse_frames(f"1-{OWN_TASKS}"),
            names=OutputNames(prefix="f_", digits=5, suffix=".png"),
            picture=Picture(format="PNG", width=64, height=36, color_mode="RGB", depth=8),
            copies=3,
            tries=3,
            submitted=wall,
            last_day=wall_later(wall, DAY_MS),
        )
        self.head = Head(job=sign(body, self.signer), chain=self.chain)
        self.own = JobId(self.head.job.id)

    async def greet(self, channel: Channel) -> None:
        """Say what members say at first, and have the own job kept."""
        assert channel.offer(USED)
        hello = Hello(name=NAME, program="flooder", addresses=(), wall=WORLD.now().wall, chain=self.chain)
        able = Available(engines=(ENGINE,), slots=1, busy=0, cores=1, memory_mb=1_000, draining=False)
        news = News(heads=(self.head,), marks=(), cancels=(), admissions=())
        for message in (hello, able, news, KeepAsk(job=self.own, fresh=True)):
            await channel.send(messages.encode(message))

    async def stay(self, transport: TcpTransport, number: int) -> None:
        """Answer a victim's pings, as one that is alive; dial it again where it ends the channel."""
        while True:
            with suppress(ChannelClosed):
                await self._listen(self.channels[number])
            self.said["channels lost"] += 1
            while True:
                await trio.sleep(REDIAL_S)
                with suppress(TransportError):
                    channel = await transport.dial(self.addresses[number])
                    await self.greet(channel)
                    self.channels[number] = channel
                    break

    async def _listen(self, channel: Channel) -> None:
        while True:
            packet = await channel.receive()
            message = messages.decode(packet) if len(packet) > 1 else None
            if isinstance(message, Ping):
                channel.offer(messages.encode(Pong(number=message.number)))

    async def record(self, number: int) -> None:
        """Say that a frame of its own job is rendered."""
        channel = self.channels[number]
        if channel.backlog_bytes > BACKLOG_BYTES:
            self.said["records held back"] += 1
            return
        claim = self._claim(self.own, OWN_TASKS)
        output = Output(blob=BlobId(WORLD.entropy(32)), size=1_000)
        what = Result(claim=claim, outputs=(output,), render_ms=1_000, log=None)
        entry = sign(Entry(job=self.own, boot=self.boot, number=next(self.numbers), what=what), self.signer)
        await channel.send(messages.encode(Entries(job=self.own, entries=(entry,), chains=())))
        self.said["records"] += 1

    async def claim(self, number: int) -> None:
        """Claim a frame of the honest job."""
        channel = self.channels[number]
        if channel.backlog_bytes > BACKLOG_BYTES:
            self.said["claims held back"] += 1
            return
        await channel.send(messages.encode(ClaimSent(claims=(self._claim(self.victim, self.tasks),))))
        self.said["claims"] += 1

    async def look_up(self, number: int) -> None:
        """Ask where somebody is who never was."""
        question = FindPointers(number=next(self.numbers) % 2**31, key=WORLD.entropy(DHT_ID_BYTES))
        self.datagrams.send(self.channels[number].peer, (self.addresses[number],), lookups.encode(question))
        self.said["look-ups"] += 1
        await trio.lowlevel.checkpoint()

    def _claim(self, job: JobId, tasks: int):  # type: ignore[no-untyped-def]
        number = next(self.numbers)
        return sign(Claim(job=job, task=number % tasks, attempt=1, boot=self.boot, number=number), self.signer)


async def steadily(once: Callable[[], Awaitable[None]], per_second: float) -> None:
    """Do something so often, until cancelled; what was missed is not made up for."""
    while True:
        due_s = trio.current_time() + STEP_S
        with suppress(ChannelClosed):
            for _ in range(round(per_second * STEP_S)):
                await once()
        await trio.lowlevel.checkpoint()
        await trio.sleep_until(due_s)


async def flood(flooder: Flooder, victims: list[int]) -> None:
    """Flood these victims until cancelled."""
    async with trio.open_nursery() as nursery:
        for number in victims:
            for kind in (flooder.record, flooder.claim, flooder.look_up):
                nursery.start_soon(steadily, partial(kind, number), PER_SECOND / len(victims))


async def obey(flooder: Flooder) -> None:
    """Flood whom standard input names, until it ends."""
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def scoped(victims: list[int], within: trio.CancelScope) -> None:
            with within:
                await flood(flooder, victims)

        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            scope.cancel()
            scope = trio.CancelScope()
            nursery.start_soon(scoped, json.loads(line), scope)
            print(json.dumps(flooder.said), flush=True)
        nursery.cancel_scope.cancel()


async def admitted(token: str, signer: Ed25519Signer, static: KeyPair) -> tuple[Papers, Chain]:
    """Join as anybody does; return what proves it."""
    read = invites.read(token, VERIFIER)
    papers = join_papers(token=read, invited=Ed25519Signer(read.seed), joiner=signer, static=static)
    async with open_transport(papers=papers, door=DOOR, verifier=VERIFIER, serve_bulk=refuse) as transport:
        standing = await join_mesh(token=read, joiner=signer, name=NAME, transport=transport, verifier=VERIFIER)
    shown = Credentials(
        chain=standing.chain,
        static=sign(StaticKey(mesh=read.mesh, static=static.public), signer),
        boot=Boot(WORLD.entropy(16)),
    )
    return Papers(mesh=read.mesh, secret=read.secret, static=static, shown=shown), standing.chain


async def dialled(transport: TcpTransport, addresses: list[Address]) -> list[Channel]:
    """Return a channel to each victim."""
    return [await transport.dial(address) for address in addresses]


async def main() -> None:
    """Join, connect, obey."""
    said = json.loads(sys.argv[1])
    addresses = [Address(host=host, port=port) for host, port in said["victims"]]
    signer, static = Ed25519Signer(WORLD.entropy(32)), KeyPair.of(WORLD.entropy(32))
    papers, chain = await admitted(said["token"], signer, static)
    pairs = Pairs(Company(papers=papers, door=DOOR, verifier=VERIFIER), WORLD.entropy)
    async with (
        open_transport(papers=papers, door=DOOR, verifier=VERIFIER, serve_bulk=refuse) as transport,
        open_datagrams(pairs, lambda: WORLD.now().instant) as datagrams,
        trio.open_nursery() as nursery,
    ):
        await datagrams.listen("127.0.0.1", 0)
        assert isinstance(papers.shown, Credentials)
        flooder = Flooder(
            signer=signer,
            chain=chain,
            boot=papers.shown.boot,
            addresses=addresses,
            channels=await dialled(transport, addresses),
            datagrams=datagrams,
            victim=JobId(RecordId(bytes.fromhex(said["job"]))),
            tasks=said["tasks"],
        )
        for number, channel in enumerate(flooder.channels):
            await flooder.greet(channel)
            nursery.start_soon(flooder.stay, transport, number)
        await obey(flooder)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
