"""Channels over real sockets: how they end, what they withstand, and how much of them there may be."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from mesh.net.channel import TcpChannel
from mesh.net.streams import Bounds
from mesh.ports.transport import Channel, ChannelClosed, HandshakeFailed, TooManyChannels
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES
from mesh.wire.handshake import ChannelKind, Purpose
from mesh.wire.messages import Address
from tests.support.meshes import TestMesh
from tests.support.network import listening, over_tcp
from tests.support.timed import timed, until


async def passed_on(source: trio.SocketStream, to: trio.SocketStream, change: Callable[[bytes], bytes]) -> None:
    """Pass bytes on until either side ends."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in source:
            await to.send_all(change(bytes(data)))
        await to.send_eof()


class Relay:
    """A wire between two peers that a test can cut, bend or stop."""

    def __init__(self, nursery: trio.Nursery, target: Address) -> None:
        self._nursery = nursery
        self._target = target
        self._ends: list[trio.SocketStream] = []
        self.change: Callable[[bytes], bytes] = lambda data: data

    async def open(self) -> Address:
        listeners = await self._nursery.start(trio.serve_tcp, self._carry, 0)
        return Address(host="127.0.0.1", port=listeners[0].socket.getsockname()[1])

    async def cut(self) -> None:
        """End both connections politely, as TCP goes: end of file, and no more."""
        for end in self._ends:
            await end.aclose()

    def _bent(self, data: bytes) -> bytes:
        return self.change(data)

    async def _carry(self, near: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream(self._target.host, self._target.port) as far, trio.open_nursery() as both:
            self._ends += [near, far]
            both.start_soon(passed_on, near, far, self._bent)
            both.start_soon(passed_on, far, near, bytes)


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Relay, Channel, Channel]]:
    """Yield both ends of a channel, and the wire between them."""
    mesh = TestMesh()
    async with (
        trio.open_nursery() as nursery,
        listening(mesh.member().papers) as (listener, address),
        over_tcp(mesh.member().papers) as dialler,
    ):
        relay = Relay(nursery, address)
        near = await dialler.dial(await relay.open())
        yield relay, near, await listener.accept()
        nursery.cancel_scope.cancel()


async def ends(channel: Channel) -> ChannelClosed:
    """Read on until the channel ends, and return how."""
    try:
        while True:
            await channel.receive()
    except ChannelClosed as closed:
        return closed


async def send_for_ever(channel: Channel) -> None:
    while True:
        await channel.send(bytes(CONTROL_PACKET_MAX_BYTES))


@timed
async def test_an_end_of_file_without_a_signed_close_is_not_clean() -> None:
    async with relayed() as (relay, near, far):
        await near.send(b"first")
        assert await far.receive() == b"first"
        await relay.cut()
        assert not (await ends(near)).clean
        assert not (await ends(far)).clean


@timed
async def test_a_signed_close_is_clean_though_a_relay_carried_it() -> None:
    async with relayed() as (_, near, far), trio.open_nursery() as nursery:
        nursery.start_soon(near.aclose)
        assert (await ends(far)).clean
        await far.aclose()


@timed
async def test_a_bent_packet_ends_the_channel_and_delivers_nothing() -> None:
    async with relayed() as (relay, near, far):
        relay.change = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        await near.send(b"to be bent")
        closed = await ends(far)
        assert not closed.clean
        assert "decrypt" in str(closed)
        # The side that sent learns of it as of any broken connection.
        assert not (await ends(near)).clean


@timed
async def test_a_peer_that_takes_nothing_loses_its_channel() -> None:
    mesh = TestMesh()
    async with (
        listening(mesh.member().papers) as (listener, address),
        over_tcp(mesh.member().papers, bounds=Bounds(stall_s=0.1)) as dialler,
    ):
        near = await dialler.dial(address)
        await listener.accept()  # and nobody reads it
        with pytest.raises(ChannelClosed, match="took nothing"):
            await send_for_ever(near)


@timed
async def test_a_peer_that_takes_slowly_keeps_its_channel() -> None:
    """What is sent in one go takes it longer than it may take nothing."""
    mesh, packet, many = TestMesh(), bytes(4_096), 128
    async with (
        listening(mesh.member().papers) as (listener, address),
        over_tcp(mesh.member().papers, bounds=Bounds(stall_s=0.6)) as dialler,
    ):
        near = await dialler.dial(address)
        far = await listener.accept()
        for _ in range(many):
            assert near.offer(packet)
        for number in range(many):
            if number % 4 == 0:
                await trio.sleep(0.05)  # a reader that is paced
            assert await far.receive() == packet


@timed
async def test_whoever_sits_still_is_let_go_without_a_byte() -> None:
    async with listening(TestMesh().member().papers, bounds=Bounds(handshake_s=0.05)) as (_, address):
        stream = await trio.open_tcp_stream(address.host, address.port)
        assert await stream.receive_some(1) == b""
        await stream.aclose()


@timed
async def test_a_listener_that_sits_still_is_a_failed_handshake() -> None:
    async def sit_still(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with (
        trio.open_nursery() as nursery,
        over_tcp(TestMesh().member().papers, bounds=Bounds(handshake_s=0.05)) as dialler,
    ):
        listeners = await nursery.start(trio.serve_tcp, sit_still, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(HandshakeFailed, match="did not answer"):
            await dialler.dial(Address(host="127.0.0.1", port=port))
        nursery.cancel_scope.cancel()


async def strangers(address: Address, count: int) -> list[trio.SocketStream]:
    return [await trio.open_tcp_stream(address.host, address.port) for _ in range(count)]


async def is_let_go(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(5):
        return await stream.receive_some(1) == b""
    return False


@timed
async def test_one_source_has_only_so_many_handshakes_under_way() -> None:
    mesh = TestMesh()
    async with listening(mesh.member().papers, bounds=Bounds(half_open_per_source=3)) as (listener, address):
        idle = await strangers(address, 3)
        await until(lambda: len(listener._half_open) == 3)
        (fourth,) = await strangers(address, 1)
        assert await is_let_go(fourth)
        assert len(listener._half_open) == 3
        # A place that becomes free is given again.
        await idle[0].aclose()
        await until(lambda: len(listener._half_open) == 2)
        async with over_tcp(mesh.member().papers) as dialler:
            await dialler.dial(address)
        for stream in (*idle, fourth):
            await stream.aclose()


@timed
async def test_when_all_places_are_taken_the_oldest_goes_and_a_member_still_gets_in() -> None:
    mesh = TestMesh()
    async with listening(mesh.member().papers, bounds=Bounds(half_open=4)) as (listener, address):
        idle = await strangers(address, 4)
        await until(lambda: len(listener._half_open) == 4)
        async with over_tcp(mesh.member().papers) as dialler:
            await dialler.dial(address)
            await listener.accept()
        assert await is_let_go(idle[0])
        assert len(listener._half_open) == 3
        for stream in idle:
            await stream.aclose()


@timed
async def test_channels_are_bounded_on_both_sides_and_places_come_back() -> None:
    mesh = TestMesh()
    async with (
        listening(mesh.member().papers, bounds=Bounds(channels=2)) as (listener, address),
        over_tcp(mesh.member().papers, bounds=Bounds(channels=3)) as dialler,
    ):
        first = await dialler.dial(address)
        await dialler.dial(address)
        accepted = [await listener.accept(), await listener.accept()]
        with pytest.raises(HandshakeFailed):
            await dialler.dial(address)
        await first.aclose()
        for channel in accepted:
            await channel.aclose()
        await dialler.dial(address)
        await dialler.dial(address)
        with pytest.raises(TooManyChannels):
            await dialler.dial(address)


@pytest.mark.parametrize("bounds", [Bounds(channels=2, door=2), Bounds(channels=2, door_per_source=2)])
@timed
async def test_those_at_the_door_are_bounded_by_themselves_and_keep_no_member_out(bounds: Bounds) -> None:
    mesh = TestMesh()
    member = mesh.member()
    async with (
        listening(mesh.member().papers, bounds=bounds) as (listener, address),
        over_tcp(member.invites()) as joiner,
        over_tcp(member.papers) as dialler,
    ):
        waiting = [await joiner.dial(address, Purpose.JOIN) for _ in range(2)]
        at_door = [await listener.accept() for _ in range(2)]
        third = await joiner.dial(address, Purpose.JOIN)
        with pytest.raises(ChannelClosed):
            await third.receive()
        await dialler.dial(address)
        assert (await listener.accept()).kind is ChannelKind.MEMBER
        for channel in (waiting[0], at_door[0]):
            await channel.aclose()
        await until(lambda: listener._at_door.total() == 1)
        await joiner.dial(address, Purpose.JOIN)
        assert (await listener.accept()).kind is ChannelKind.ADMIT


@timed
async def test_one_port_serves_both_ip_families() -> None:
    mesh = TestMesh()
    async with over_tcp(mesh.member().papers) as listener, over_tcp(mesh.member().papers) as dialler:
        port = await listener.listen("", 0)
        for host in ("127.0.0.1", "::1", "localhost"):
            await dialler.dial(Address(host=host, port=port))
            await listener.accept()


@timed
async def test_a_hundred_channels_talk_at_once() -> None:
    mesh = TestMesh()
    async with (
        listening(mesh.member().papers) as (listener, address),
        over_tcp(mesh.member().papers) as dialler,
        trio.open_nursery() as nursery,
    ):

        async def echo(channel: TcpChannel) -> None:
            await channel.send(await channel.receive())
            await ends(channel)
            await channel.aclose()

        async def ask(number: int) -> None:
            channel = await dialler.dial(address)
            await channel.send(bytes([number]) * 1_000)
            assert await channel.receive() == bytes([number]) * 1_000
            await channel.aclose()

        for number in range(100):
            nursery.start_soon(ask, number)
        for _ in range(100):
            nursery.start_soon(echo, await listener.accept())


@timed
async def test_a_peer_that_listens_on_one_address_names_no_other() -> None:
    """Who dials another one is refused, and would take that for the peer's death."""
    async with listening(TestMesh().member().papers) as (listener, address):
        assert listener.addresses() == (address,)
