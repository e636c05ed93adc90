"""What every `Datagrams` does, the real one and any fake: add a factory to `NETWORKS` and it must pass."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from mesh.ground.instants import WallTime
from mesh.ports.datagrams import Datagrams
from mesh.ports.transport import ListenFailed
from mesh.wire.datagram import PAYLOAD_MAX_BYTES
from mesh.wire.handshake import Papers
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard
from tests.support.meshes import NOW, Member, TestMesh
from tests.support.network import LOOPBACK, over_airwaves, over_udp
from tests.support.timed import timed

OpenDatagrams = Callable[[Papers], AbstractAsyncContextManager[Datagrams]]

NETWORKS: dict[str, OpenDatagrams] = {"udp": over_udp, "memory": over_airwaves}

networks = pytest.mark.parametrize("opened", NETWORKS.values(), ids=NETWORKS.keys())

QUIET_S = 0.3
"""Longer than a handshake on one machine takes; that nothing came shows in no other way."""


async def at(datagrams: Datagrams) -> Address:
    return Address(host=LOOPBACK, port=await datagrams.listen(LOOPBACK, 0))


async def say(source: Datagrams, to: Member, address: Address, payload: bytes, target: Datagrams) -> Heard:
    """Say it again and again until it is heard: a single one may be lost."""
    while True:
        source.send(to.id, (address,), payload)
        with trio.move_on_after(1.0):
            while True:
                heard = await target.receive()
                if heard.payload == payload:
                    return heard


async def is_deaf(datagrams: Datagrams) -> bool:
    """Whether nothing is heard for a while."""
    with trio.move_on_after(QUIET_S):
        await datagrams.receive()
        return False
    return True


@networks
@timed
async def test_a_payload_is_heard_with_its_sender_and_an_answer_finds_the_way_back(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member().admits()
    async with opened(ann.papers) as near, opened(bob.papers) as far:
        here, there = await at(near), await at(far)
        heard = await say(near, bob, there, b"ping", far)
        assert heard == Heard(peer=ann.id, address=here, payload=b"ping")
        answer = await say(far, ann, heard.address, b"pong", near)
        assert answer == Heard(peer=bob.id, address=there, payload=b"pong")


@networks
@timed
async def test_payloads_of_every_size_arrive_whole_and_once(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with opened(ann.papers) as near, opened(bob.papers) as far:
        await at(near)
        there = await at(far)
        await say(near, bob, there, b"first", far)
        sizes = (1, 2, 100, 1_100, PAYLOAD_MAX_BYTES)
        for size in sizes:
            near.send(bob.id, (there,), bytes([size % 251]) * size)
        heard = [(await far.receive()).payload for _ in sizes]
        assert sorted(map(len, heard)) == sorted(sizes)
        assert await is_deaf(far)


@networks
@timed
async def test_more_than_a_datagram_is_a_fault_of_ours(opened: OpenDatagrams) -> None:
    async with opened(TestMesh().member().papers) as datagrams:
        await at(datagrams)
        for payload in (b"", bytes(PAYLOAD_MAX_BYTES + 1)):
            with pytest.raises(AssertionError):
                datagrams.send(TestMesh().member().id, (Address(host=LOOPBACK, port=9),), payload)


@networks
@timed
async def test_strangers_impostors_and_expired_members_are_not_heard(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    bob = mesh.member()
    async with opened(bob.papers) as far:
        there = await at(far)
        for stranger in (TestMesh().member(), mesh.impostor(), mesh.member(expires=WallTime(NOW - 1))):
            async with opened(stranger.papers) as near:
                await at(near)
                near.send(bob.id, (there,), b"let me in")
                assert await is_deaf(far)


@networks
@timed
async def test_only_the_wanted_peer_is_told(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as near, opened(mesh.member().papers) as far:
        await at(near)
        near.send(mesh.member().id, (await at(far),), b"for somebody else")
        assert await is_deaf(far)


@networks
@timed
async def test_what_leads_nowhere_is_lost_without_a_word(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with opened(ann.papers) as near, opened(bob.papers) as far:
        near.send(bob.id, (Address(host=LOOPBACK, port=9),), b"before anybody listens")
        await at(near)
        there = await at(far)
        for address in (
            Address(host="no-such-host.invalid", port=9),
            Address(host="224.0.0.1", port=9),
            Address(host="255.255.255.255", port=9),
            Address(host="0.0.0.0", port=there.port),
            Address(host="fe80::1%nowhere", port=9),
            Address(host=LOOPBACK, port=there.port - 1),
        ):
            near.send(mesh.member().id, (address,), b"ping")
        near.send(mesh.member().id, (), b"no address")
        await say(near, bob, there, b"all is well", far)


@networks
@timed
async def test_a_port_that_is_taken_and_one_that_is_left(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers) as first, opened(mesh.member().papers) as second:
        port = await first.listen(LOOPBACK, 0)
        with pytest.raises(ListenFailed):
            await second.listen(LOOPBACK, port)
        first.leave(port)
        assert await second.listen(LOOPBACK, port) == port


@networks
@timed
async def test_one_may_listen_at_several_addresses(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with opened(ann.papers) as near, opened(bob.papers) as far:
        await at(near)
        first, second = await at(far), await at(far)
        await say(near, bob, first, b"one", far)
    async with opened(ann.papers) as near, opened(bob.papers) as far:
        await at(near)
        first, second = await at(far), await at(far)
        await say(near, bob, second, b"other", far)
        far.leave(first.port)
        await say(near, bob, second, b"still", far)


@networks
@timed
async def test_a_renewed_member_is_heard(opened: OpenDatagrams) -> None:
    mesh = TestMesh()
    old, bob = mesh.member(expires=WallTime(NOW - 1)), mesh.member()
    async with opened(old.papers) as near, opened(bob.papers) as far:
        await at(near)
        there = await at(far)
        near.send(bob.id, (there,), b"expired")
        assert await is_deaf(far)
        near.show(mesh.readmitted(old).credentials)
        assert (await say(near, bob, there, b"renewed", far)).peer == old.id
