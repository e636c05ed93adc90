"""Peers of two versions meet over real sockets: they settle on the older one, and say nothing that it does not know."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from mesh.ground.ids import BlobId
from mesh.ground.instants import DAY_MS, WallTime
from mesh.node.channels import USED
from mesh.ports.transport import Channel, ChannelClosed, HandshakeFailed
from mesh.wire import messages
from mesh.wire.envelope import sign
from mesh.wire.gossip import SHORT_BYTES, Want
from mesh.wire.handshake import Papers
from mesh.wire.messages import Head, Hello, Message, News, Ping, Pong
from mesh.wire.records import Job
from mesh.wire.tasks import FrameRange, Frames
from mesh.wire.versions import VERSION_HIGHEST
from sim.parcels import LATER
from sim.previous.codec import VERSION as OLD
from sim.previous.codec import previous
from tests.integration.test_attacks_node import address_of, known
from tests.support.cast import ENGINE, NAMES, PICTURE
from tests.support.intruders import WORLD, lying, member, mesh_at, over_tcp
from tests.support.meshes import Member
from tests.support.staged import StagedPeer
from tests.support.timed import timed


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StagedPeer]:
    """A peer of the present version, a process."""
    directory: Path = tmp_path_factory.mktemp("versions")
    peer = StagedPeer(directory=directory / "ada", name="ada")
    try:
        peer.start(found="versions")
        peer.wait_ready()
        yield peer
    finally:
        peer.end()


class OldPeer:
    """A member that speaks and reads the frozen wire of the version before, and nothing else."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.heard: list[Message] = []
        self.over = trio.Event()

    async def listen(self) -> None:
        """Hear until the channel ends; what the old wire does not know ends it too, and the test."""
        with suppress(ChannelClosed):
            while True:
                packet = await self.channel.receive()
                if len(packet) > 1:
                    self.heard.append(messages.decode(previous().message(packet)))
        self.over.set()

    async def say(self, *said: Message) -> None:
        """Say what the old wire can say."""
        for message in said:
            await self.channel.send(previous().message(messages.encode(message)))

    async def answered(self, number: int) -> None:
        """Ask whether the other is there, and wait for the answer: all that was said before was heard."""
        await self.say(Ping(number=number))
        while Pong(number=number) not in self.heard:
            assert not self.over.is_set(), "the node ended the channel"
            await trio.sleep(0.01)


@asynccontextmanager
async def old_peer(ada: StagedPeer, who: Member) -> AsyncIterator[OldPeer]:
    """Yield a member of the version before with a channel to a node, and its name told."""
    papers = dataclasses.replace(who.papers, highest=OLD)
    async with over_tcp(papers) as transport, trio.open_nursery() as nursery:
        channel = await transport.dial(address_of(ada))
        assert channel.offer(USED)
        peer = OldPeer(channel)
        nursery.start_soon(peer.listen)
        await peer.say(Hello(name="old", program="test", addresses=(), wall=WORLD.now().wall, chain=who.chain))
        await peer.answered(1)
        yield peer
        nursery.cancel_scope.cancel()


def head_of(who: Member, name: str, memory_mb: int) -> Head:
    """Return a job that a member submits now."""
    job = Job(
        number=1 + memory_mb,
        name=name,
        scene=BlobId(WORLD.entropy(32)),
        engine=ENGINE,
        frames=Frames(ranges=(FrameRange(first=1, last=4, step=1),)),
        names=NAMES,
        picture=PICTURE,
        copies=1,
        tries=3,
        submitted=WORLD.now().wall,
        last_day=WallTime(WORLD.now().wall + DAY_MS),
        memory_mb=memory_mb,
    )
    return Head(job=sign(job, who.signer), chain=who.chain)


def test_a_channel_speaks_the_older_version_and_tells_of_no_job_that_needs_the_later(ada: StagedPeer) -> None:
    mesh = mesh_at(ada.home)
    old, new = member(mesh), member(mesh)
    heads = {name: head_of(new, name, memory_mb) for name, memory_mb in (("plain", 0), ("large", 8_000))}
    wanted = Want(ids=tuple(head.job.id[:SHORT_BYTES] for head in heads.values()), authors=())

    @timed
    async def meet() -> None:
        async with lying(address_of(ada), new.papers) as at_new, old_peer(ada, old) as at_old:
            assert (at_new.channel.version, at_old.channel.version) == (VERSION_HIGHEST, OLD)
            await known(at_new, new, "new")
            await at_new.say(News(heads=tuple(heads.values()), marks=(), cancels=(), admissions=()), wanted)
            while not {"plain", "large"} <= names(at_new.heard):
                assert not at_new.over.is_set()
                await trio.sleep(0.01)
            await at_old.say(wanted)
            await at_old.answered(2)
            assert names(at_old.heard) == {"plain"}, "what was asked for was said before the answer"
            assert [one.speaks for one in at_old.heard if isinstance(one, Hello)] == [1]
            assert [one.speaks for one in at_new.heard if isinstance(one, Hello)] == [VERSION_HIGHEST]

    meet()


def names(heard: list[Message]) -> set[str]:
    """Return the names of the jobs that were told."""
    return {head.job.body.name for one in heard if isinstance(one, News) for head in one.heads}


def test_a_kind_of_message_that_only_a_later_version_knows_ends_no_channel(ada: StagedPeer) -> None:
    ahead = member(mesh_at(ada.home))

    @timed
    async def say_it() -> None:
        async with lying(address_of(ada), ahead.papers) as liar:
            await known(liar, ahead, "ahead")
            for _ in range(3):
                await liar.channel.send(LATER)
            await liar.say(Ping(number=9))
            while Pong(number=9) not in liar.heard:
                assert not liar.over.is_set()
                await trio.sleep(0.01)

    say_it()


def test_who_speaks_no_version_that_this_peer_knows_gets_no_channel(ada: StagedPeer) -> None:
    papers: Papers = member(mesh_at(ada.home)).papers
    later = dataclasses.replace(papers, lowest=VERSION_HIGHEST + 1, highest=VERSION_HIGHEST + 1)

    @timed
    async def dial() -> None:
        async with over_tcp(later) as transport:
            with pytest.raises(HandshakeFailed):
                await transport.dial(address_of(ada))

    dial()
