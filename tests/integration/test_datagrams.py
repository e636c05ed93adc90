"""Datagrams over real sockets: what an attacker at a real port gets, and look-ups between real processes."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from mesh.ground.ids import Boot, PeerId
from mesh.net import datagrams as udp
from mesh.net.datagrams import UdpDatagrams, family_of, listen_together, open_datagrams
from mesh.net.machine import Machine
from mesh.ports.transport import ListenFailed
from mesh.wire import lookups
from mesh.wire.datagram import DATAGRAM_MAX_BYTES, Kind
from mesh.wire.envelope import mesh_id, sign
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.lookups import NodePing, NodePong
from mesh.wire.members import Credentials, StaticKey, judge_chain
from mesh.wire.messages import Address
from mesh.wire.pairs import Pairs
from mesh.wire.signing import Ed25519Verifier
from tests.support.ether import company_of, entropy
from tests.support.meshes import Member, TestMesh
from tests.support.network import LOOPBACK, over_tcp, over_udp
from tests.support.node_process import NodeProcess, make_mesh, peer_of
from tests.support.nodes import TestPeer, eventually
from tests.support.timed import timed

ANSWER_S = 0.3
"""Many times what an answer takes on one machine; that none comes shows in no other way."""


@contextmanager
def attacker(host: str = LOOPBACK) -> Iterator[socket.socket]:
    """Yield a plain socket."""
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind((host, 0))
        yield sock


async def answers(sock: socket.socket, *, wait_s: float = ANSWER_S) -> list[bytes]:
    """Return what comes to a plain socket until nothing more does."""
    found: list[bytes] = []
    sock.setblocking(False)
    while True:
        with trio.move_on_after(wait_s) as patience:
            await trio.lowlevel.wait_readable(sock)
        if patience.cancelled_caught:
            return found
        found.append(sock.recv(65_536))


def first_datagram(member: Member, to: Member, address: Address) -> bytes:
    """Return what a member says first of all."""
    (sent,) = Pairs(company_of(member.papers), entropy).send(udp.Instant(0), to.id, (address,), b"ping")
    return sent.data


@timed
async def test_garbage_at_a_real_port_earns_no_byte_and_stops_nobody() -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with over_udp(ann.papers) as near, over_udp(bob.papers) as far:
        await near.listen(LOOPBACK, 0)
        address = Address(host=LOOPBACK, port=await far.listen(LOOPBACK, 0))
        honest = first_datagram(mesh.member(), bob, address)
        with attacker() as sock:
            for data in (
                b"",
                b"x",
                bytes(60_000),
                honest[:60],
                honest + b"\0",
                first_datagram(TestMesh().member(), bob, address),
            ):
                sock.sendto(data, (LOOPBACK, address.port))
            for kind in range(8):
                sock.sendto(bytes([kind]) + bytes(100), (LOOPBACK, address.port))
            assert await answers(sock) == []
        near.send(bob.id, (address,), b"all is well")
        assert (await far.receive()).payload == b"all is well"


@timed
async def test_a_recorded_first_datagram_earns_one_unreadable_answer_at_a_real_port() -> None:
    mesh = TestMesh()
    bob = mesh.member().admits().admits().admits()
    async with over_udp(bob.papers) as far:
        address = Address(host=LOOPBACK, port=await far.listen(LOOPBACK, 0))
        recorded = first_datagram(mesh.member(), bob, address)
        for _ in range(3):
            with attacker() as sock:
                sock.sendto(recorded, (LOOPBACK, address.port))
                (answer,) = await answers(sock)
                assert answer[0] == Kind.SECOND
                assert len(answer) <= len(recorded) == DATAGRAM_MAX_BYTES
                # Nothing of whom it is about can be read in it.
                assert bob.signer.key not in answer
                assert bob.boot not in answer


@timed
async def test_a_flood_of_first_datagrams_leaves_room_for_a_member() -> None:
    """From one address, as an attacker without a network of its own has it: a member there comes in all the same."""
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with over_udp(ann.papers) as near, over_udp(bob.papers) as far:
        await near.listen(LOOPBACK, 0)
        address = Address(host=LOOPBACK, port=await far.listen(LOOPBACK, 0))
        recorded = [first_datagram(mesh.member(), bob, address) for _ in range(50)]
        received = 0
        with attacker() as sock:
            for _ in range(4):
                for data in recorded:
                    sock.sendto(data, (LOOPBACK, address.port))
                received += sum(map(len, await answers(sock, wait_s=0.05)))
        assert received <= 4 * 50 * DATAGRAM_MAX_BYTES
        async with trio.open_nursery() as nursery:

            async def insist() -> None:
                while True:
                    near.send(bob.id, (address,), b"ping")
                    await trio.sleep(0.2)

            nursery.start_soon(insist)
            assert (await far.receive()).peer == ann.id
            nursery.cancel_scope.cancel()


@timed
async def test_datagrams_go_over_ipv6_too_and_both_families_share_a_port() -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with over_udp(ann.papers) as near, over_udp(bob.papers) as far:
        await near.listen("", 0)
        port = await far.listen("", 0)
        for number, host in enumerate(("::1", LOOPBACK)):
            with attacker(host) as sock:
                sock.sendto(first_datagram(mesh.member(), bob, Address(host=host, port=port)), (host, port))
                (answer,) = await answers(sock)
                assert answer[0] == Kind.SECOND
            near.send(bob.id, (Address(host=host, port=port),), bytes([number]))
            assert (await far.receive()).payload == bytes([number])


@timed
async def test_channels_and_datagrams_share_a_port() -> None:
    mesh = TestMesh()
    async with over_tcp(mesh.member().papers) as transport, over_udp(mesh.member().papers) as datagrams:
        port = await listen_together(transport, datagrams, LOOPBACK, 0)
        assert transport.addresses() == (Address(host=LOOPBACK, port=port),)
        assert port == datagrams._sockets[0].getsockname()[1]
        async with over_tcp(mesh.member().papers) as late, over_udp(mesh.member().papers) as behind:
            with pytest.raises(ListenFailed):
                await listen_together(late, behind, LOOPBACK, port)
            # The drawn port is taken for connections: another one is drawn.
            assert await listen_together(late, Drawing(behind, [port]), LOOPBACK, 0) != port


class Drawing:
    """Datagrams whose system draws these ports first."""

    def __init__(self, inner: UdpDatagrams, drawn: list[int]) -> None:
        self._inner = inner
        self._drawn = drawn
        self.send, self.receive, self.show, self.leave = inner.send, inner.receive, inner.show, inner.leave

    async def listen(self, host: str, port: int) -> int:
        return self._drawn.pop() if self._drawn else await self._inner.listen(host, port)


@timed
async def test_of_several_addresses_the_one_is_sent_from_that_leads_there() -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member()
    async with over_udp(ann.papers) as near, over_udp(bob.papers) as far:
        await near.listen("127.0.0.2", 0)
        await near.listen(LOOPBACK, 0)
        address = Address(host=LOOPBACK, port=await far.listen(LOOPBACK, 0))
        near.send(bob.id, (address,), b"ping")
        assert (await far.receive()).address.host == LOOPBACK


def test_nothing_is_sent_to_names_groups_or_everybody() -> None:
    assert family_of("192.0.2.1") == socket.AF_INET
    assert family_of("fe80::1%eth0") == socket.AF_INET6
    for host in ("localhost", "peer.example", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255", ""):
        assert family_of(host) is None


@pytest.mark.slow
@timed
async def test_real_processes_find_each_other_by_datagram(tmp_path: Path) -> None:
    """Some seconds: three interpreters start, meet, and tell the DHT where they are.

    What one published is read by another; and a member that has no channel to anybody, only datagrams, is answered.
    """
    states = await make_mesh(tmp_path, "ann", "bob", "cid", "eve")
    processes = [NodeProcess(state=state) for state in states[:3]]
    try:
        rows = [process.ask("status")["peers"] for process in processes]
        ids = [next(row["id"] for row in seen if row["me"]) for seen in rows]
        for asker, wanted, name in ((1, 0, "ann"), (2, 1, "bob"), (0, 2, "cid")):
            await eventually(partial(tells, processes[asker], ids[wanted], name))
        eve, contacts = peer_of(states[3])
        papers = papers_of(eve)
        world = Machine()
        company = Company(papers=papers, door=DatedDoor(lambda: world.now().wall), verifier=Ed25519Verifier())
        async with open_datagrams(Pairs(company, world.entropy), lambda: world.now().instant) as datagrams:
            await datagrams.listen(LOOPBACK, 0)
            for number, address in enumerate(contacts[:3]):
                wanted_peer = PeerId(bytes.fromhex(ids[number]))
                pong = await asked(datagrams, wanted_peer, address, number)
                assert judge_chain(pong.chain, papers.mesh).peer == wanted_peer
    finally:
        for process in processes:
            process.close()


async def tells(process: NodeProcess, peer: str, name: str) -> bool:
    """Whether the DHT, as this process reads it, knows that peer."""
    await trio.lowlevel.checkpoint()
    told = process.ask("peer", peer)["told"]
    assert told is None or told["name"] == name
    return told is not None


def papers_of(peer: TestPeer) -> Papers:
    """Return what a peer brings to handshakes that has no node."""
    chain = peer.standing.chain
    static = sign(StaticKey(mesh=mesh_id(chain[0].key), static=peer.static.public), peer.signer)
    shown = Credentials(chain=chain, static=static, boot=Boot(os.urandom(16)))
    return Papers(mesh=static.body.mesh, secret=peer.secret, static=peer.static, shown=shown)


async def asked(datagrams: UdpDatagrams, peer: PeerId, address: Address, number: int) -> NodePong:
    """Ask until there is an answer."""
    while True:
        datagrams.send(peer, (address,), lookups.encode(NodePing(number=number)))
        with trio.move_on_after(1.0):
            while True:
                heard = await datagrams.receive()
                message = lookups.decode(heard.payload)
                if heard.peer == peer and isinstance(message, NodePong):
                    assert (message.number, heard.address) == (number, address)
                    return message
