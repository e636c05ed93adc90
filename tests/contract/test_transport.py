"""What every `Transport` does, the real one and any fake: add a factory to `NETWORKS` and it must pass."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
import trio

from mesh.ground.ids import Boot
from mesh.ground.instants import WallTime
from mesh.ports.transport import (
    Channel,
    ChannelClosed,
    DialledSelf,
    DialRefused,
    DialUnreachable,
    HandshakeFailed,
    ListenFailed,
    Transport,
)
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES
from mesh.wire.handshake import ChannelKind, Papers, Purpose
from mesh.wire.members import JoinRequest
from mesh.wire.messages import Address
from tests.support.meshes import NOW, TestMesh, seed
from tests.support.network import over_memory, over_tcp
from tests.support.timed import timed

OpenTransport = Callable[[Papers], AbstractAsyncContextManager[Transport]]


NETWORKS: dict[str, OpenTransport] = {"tcp": over_tcp, "memory": over_memory}

networks = pytest.mark.parametrize("opened", NETWORKS.values(), ids=NETWORKS.keys())


@asynccontextmanager
async def joined(
    opened: OpenTransport, ours: Papers, theirs: Papers, purpose: Purpose = Purpose.CONTROL
) -> AsyncIterator[tuple[Channel, Channel]]:
    """Yield both ends of a channel that `ours` dialled."""
    async with opened(theirs) as listener, opened(ours) as dialler:
        port = await listener.listen("127.0.0.1", 0)
        near = await dialler.dial(Address(host="127.0.0.1", port=port), purpose)
        far = await listener.accept()
        yield near, far
        async with trio.open_nursery() as closing:
            closing.start_soon(near.aclose)
            closing.start_soon(far.aclose)


@networks
@timed
async def test_both_ends_know_each_other(opened: OpenTransport) -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with joined(opened, ann.papers, bob.papers) as (near, far):
        assert (near.peer, near.boot, near.kind, near.dialled) == (bob.id, bob.boot, ChannelKind.MEMBER, True)
        assert (far.peer, far.boot, far.kind, far.dialled) == (ann.id, ann.boot, ChannelKind.MEMBER, False)
        assert near.shown == bob.credentials
        assert far.membership.peer == ann.id
        assert far.remote.host == "127.0.0.1"


@networks
@timed
@pytest.mark.parametrize(
    ("ours", "theirs", "spoken"),
    [((1, 2), (1, 2), 2), ((1, 1), (1, 2), 1), ((1, 2), (1, 1), 1), ((1, 2), (2, 9), 2)],
    ids=["both new", "old dials", "old is dialled", "newer"],
)
async def test_a_channel_speaks_the_highest_version_of_both(
    opened: OpenTransport, ours: tuple[int, int], theirs: tuple[int, int], spoken: int
) -> None:
    mesh = TestMesh()
    ann, bob = (replace(mesh.member().papers, lowest=lowest, highest=highest) for lowest, highest in (ours, theirs))
    async with joined(opened, ann, bob) as (near, far):
        assert (near.version, far.version) == (spoken, spoken)


@networks
@timed
async def test_packets_arrive_whole_and_in_order_both_ways(opened: OpenTransport) -> None:
    mesh = TestMesh()
    packets = [bytes([size % 251]) * size for size in (0, 1, 3, 1_000, CONTROL_PACKET_MAX_BYTES, 17)] * 40
    async with joined(opened, mesh.member().papers, mesh.member().papers) as ends, trio.open_nursery() as nursery:

        async def send(channel: Channel) -> None:
            for packet in packets:
                await channel.send(packet)

        async def receive(channel: Channel) -> None:
            assert [await channel.receive() for _ in packets] == packets

        for channel in ends:
            nursery.start_soon(send, channel)
            nursery.start_soon(receive, channel)


@networks
@timed
async def test_a_close_comes_after_all_that_was_sent_and_is_clean(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with joined(opened, mesh.member().papers, mesh.member().papers) as (near, far):
        for number in range(100):
            assert near.offer(bytes([number]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.aclose)
            assert [await far.receive() for _ in range(100)] == [bytes([number]) for number in range(100)]
            for _ in range(2):
                with pytest.raises(ChannelClosed) as closed:
                    await far.receive()
                assert closed.value.clean
            assert not far.offer(b"late")
            with pytest.raises(ChannelClosed):
                await far.send(b"late")
            await far.aclose()
        with pytest.raises(ChannelClosed):
            await near.receive()
        with pytest.raises(ChannelClosed):
            await near.send(b"late")
        await near.aclose()


@networks
@timed
async def test_a_waiting_receive_ends_when_the_channel_is_closed_here(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with (
        joined(opened, mesh.member().papers, mesh.member().papers) as (near, far),
        trio.open_nursery() as nursery,
    ):
        ended = trio.Event()

        async def wait_for_end() -> None:
            with pytest.raises(ChannelClosed):
                await near.receive()
            ended.set()

        nursery.start_soon(wait_for_end)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(near.aclose)
        with pytest.raises(ChannelClosed):
            await far.receive()
        await far.aclose()
        await ended.wait()


@networks
@timed
async def test_a_queue_that_nobody_empties_fills_up_and_then_drains(opened: OpenTransport) -> None:
    mesh = TestMesh()
    packet = bytes(CONTROL_PACKET_MAX_BYTES)
    async with joined(opened, mesh.member().papers, mesh.member().papers) as (near, far):
        sent = 0
        while True:
            # A refusal is the last word only when the sender can do no more: the network has room of its own.
            if near.offer(packet):
                sent += 1
                assert sent < 10_000, "an unbounded queue"
                continue
            await trio.testing.wait_all_tasks_blocked(0.05)
            if not near.offer(packet):
                break
            sent += 1
        for _ in range(sent):
            assert await far.receive() == packet
        await near.send(b"last")
        assert await far.receive() == b"last"


@networks
@timed
async def test_nothing_listens_there(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as gone:
        port = await gone.listen("127.0.0.1", 0)
    async with opened(mesh.member().papers) as dialler:
        with pytest.raises(DialRefused):
            await dialler.dial(Address(host="127.0.0.1", port=port))


@networks
@timed
async def test_a_host_that_does_not_exist(opened: OpenTransport) -> None:
    async with opened(TestMesh().member().papers) as dialler:
        with pytest.raises(DialUnreachable):
            await dialler.dial(Address(host="no-such-host.invalid", port=9))


@networks
@timed
async def test_a_port_that_is_taken(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as first, opened(mesh.member().papers) as second:
        port = await first.listen("127.0.0.1", 0)
        with pytest.raises(ListenFailed):
            await second.listen("127.0.0.1", port)


@networks
@timed
async def test_a_peer_that_dials_itself_is_told(opened: OpenTransport) -> None:
    ann = TestMesh().member()
    async with opened(ann.papers) as transport:
        port = await transport.listen("127.0.0.1", 0)
        with pytest.raises(DialledSelf):
            await transport.dial(Address(host="127.0.0.1", port=port))


@networks
@timed
async def test_a_clone_of_this_disk_is_met_like_anybody(opened: OpenTransport) -> None:
    ann = TestMesh().member()
    clone = replace(ann, boot=Boot(seed()[:16]))
    async with joined(opened, ann.papers, clone.papers) as (near, _):
        assert (near.peer, near.boot) == (ann.id, clone.boot)


@networks
@timed
async def test_other_meshes_and_impostors_open_no_channel(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as listener:
        address = Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0))
        for papers in (TestMesh().member().papers, mesh.impostor().papers):
            async with opened(papers) as dialler:
                with pytest.raises(HandshakeFailed):
                    await dialler.dial(address)
        async with opened(mesh.member().papers) as dialler:
            await dialler.dial(address)
            # The first that comes is the member: nobody came before it.
            assert (await listener.accept()).kind is ChannelKind.MEMBER


@networks
@timed
async def test_an_expired_member_may_only_renew(opened: OpenTransport) -> None:
    mesh = TestMesh()
    old = mesh.member(expires=WallTime(NOW - 1))
    async with joined(opened, old.papers, mesh.member().papers) as (near, far):
        assert near.kind is far.kind is ChannelKind.RENEW
        await near.send(b"renew?")
        assert await far.receive() == b"renew?"


@networks
@timed
async def test_a_joiner_may_only_ask_and_shows_its_membership_once_it_has_one(opened: OpenTransport) -> None:
    mesh = TestMesh()
    ann = mesh.member()
    papers = ann.invites()
    async with opened(ann.papers) as listener, opened(papers) as joiner:
        address = Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0))
        near = await joiner.dial(address, Purpose.JOIN)
        far = await listener.accept()
        assert near.kind is far.kind is ChannelKind.ADMIT
        assert isinstance(far.shown, JoinRequest)
        assert far.peer == far.shown.by_subject.author
        assert far.boot is None
        # An admission by another way, which serves the test: new papers for the same channel key.
        admitted = replace(ann.admits(), static=papers.static)
        joiner.show(admitted.credentials)
        await joiner.dial(address)
        assert (await listener.accept()).kind is ChannelKind.MEMBER


@networks
@timed
async def test_a_listener_names_addresses_that_lead_to_it(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as listener, opened(mesh.member().papers) as dialler:
        assert listener.addresses() == ()
        port = await listener.listen("", 0)
        addresses = listener.addresses()
        assert {address.port for address in addresses} == {port}
        loopback = [address for address in addresses if address.host in ("127.0.0.1", "::1")]
        assert loopback
        assert addresses[-1] in loopback
        for address in loopback:
            await dialler.dial(address)
            await listener.accept()


@networks
@timed
async def test_leaving_the_transport_closes_its_channels_cleanly(opened: OpenTransport) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as listener:
        address = Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:

            async def leave_at_once() -> None:
                async with opened(mesh.member().papers) as dialler:
                    await dialler.dial(address)

            nursery.start_soon(leave_at_once)
            far = await listener.accept()
            with pytest.raises(ChannelClosed) as closed:
                await far.receive()
            assert closed.value.clean
            await far.aclose()
