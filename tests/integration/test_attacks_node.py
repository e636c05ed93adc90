"""Members who mean ill, at whole running nodes over real sockets: thrown out, dated back, flooding."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from mesh.ground.errors import MeshError
from mesh.ground.ids import JobId
from mesh.ground.instants import DAY_MS, WallTime
from mesh.ground.limits import CHANNEL_SHARE
from mesh.wire.envelope import sign
from mesh.wire.handshake import Papers
from mesh.wire.messages import Address, ClaimSent, Hello, Ping, Pong
from mesh.wire.records import Claim
from mesh.wire.signing import Ed25519Signer
from tests.support.intruders import WORLD, Liar, lying, member, mesh_at
from tests.support.knocking import GROWTH_MAX_BYTES
from tests.support.meshes import Member, seed
from tests.support.staged import StagedPeer, all_connected, until
from tests.support.timed import timed

CLOSED_S = 2.0
"""By then a channel of one who was thrown out is closed, from the moment at which the news is there."""

FLOOD_S = 6.0

BACKLOG_BYTES = 1_000_000
"""What waits at a flooder that is read as its part allows: thousands of claims."""

BESIDE = 0.25
"""Of a processor that a node takes on a busy machine while it answers; a flood that is not paced takes all of one."""

LONG_AGO_MS = 365 * DAY_MS


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[StagedPeer]]:
    """Two peers of one mesh, each a process; the first founded it."""
    directory = tmp_path_factory.mktemp("besieged")
    with ExitStack() as ending:
        peers = [StagedPeer(directory=directory / name, name=name) for name in ("ada", "bob")]
        for peer in peers:
            ending.callback(peer.end)
        peers[0].start(found="besieged")
        peers[0].wait_ready()
        peers[1].start(token=peers[0].invite())
        peers[1].wait_ready()
        until("both have a channel", lambda: all_connected(peers))
        yield peers


def address_of(peer: StagedPeer) -> Address:
    """Return where a peer on this host listens."""
    host, _, port = peer.ask("/status")["addresses"][0].rpartition(":")
    return Address(host=host, port=int(port))


async def known(liar: Liar, who: Member, name: str) -> None:
    """Say a hello, and wait until it was heard."""
    hello = Hello(name=name, program="test", addresses=(), wall=WORLD.now().wall, chain=who.chain)
    await liar.say(hello, Ping(number=1))
    await liar.answer(Pong)


async def in_thread(peer: StagedPeer, path: str) -> None:
    """Have a peer do something while this process goes on."""
    await trio.to_thread.run_sync(peer.post, path, {})


async def opens(address: Address, papers: Papers) -> bool:
    """Return whether a node lets somebody in."""
    answered = False
    try:
        async with lying(address, papers) as somebody:
            await somebody.say(Ping(number=7))
            answered = await somebody.answer(Pong) == Pong(number=7)
    except* (MeshError, AssertionError):
        pass  # no channel, or one that ended at once
    return answered


def test_who_is_thrown_out_while_connected_loses_its_channels_within_two_seconds(besieged: list[StagedPeer]) -> None:
    ada, bob = besieged
    thief = member(mesh_at(ada.home))

    @timed
    async def throw_out() -> None:
        async with lying(address_of(ada), thief.papers) as at_ada, lying(address_of(bob), thief.papers) as at_bob:
            for liar in (at_ada, at_bob):
                await known(liar, thief, "thief")
            await in_thread(ada, f"/members/{thief.id.hex()}/revoke")
            # The news is at ada before it answers, and at bob a moment later.
            with trio.fail_after(CLOSED_S):
                await at_ada.over.wait()
                await at_bob.over.wait()
        assert not await opens(address_of(ada), thief.papers)
        assert not await opens(address_of(bob), thief.papers)

    throw_out()


def test_a_friend_that_a_thrown_out_member_admits_as_of_last_year_is_let_in_by_nobody(
    besieged: list[StagedPeer],
) -> None:
    ada, bob = besieged
    mesh = mesh_at(ada.home)
    thief = member(mesh)
    before = thief.admits(expires=WallTime(WORLD.now().wall + DAY_MS))
    signer = Ed25519Signer(seed())
    admission = dataclasses.replace(
        mesh.admission(signer.key, expires=WallTime(WORLD.now().wall + DAY_MS)),
        issued=WallTime(WORLD.now().wall - LONG_AGO_MS),
    )
    friend = dataclasses.replace(thief, signer=signer, chain=(*thief.chain, sign(admission, thief.signer)))
    found_key = Ed25519Signer(seed())
    finder = dataclasses.replace(thief, signer=signer, chain=(*thief.chain, sign(admission, found_key)))

    @timed
    async def knock() -> None:
        assert await opens(address_of(ada), before.papers), "a proof like the friend's lets in while the thief is in"
        assert not await opens(address_of(ada), finder.papers), "a key found in an old invite admits nobody"
        async with lying(address_of(ada), thief.papers) as liar:
            await known(liar, thief, "another thief")
            await in_thread(ada, f"/members/{thief.id.hex()}/revoke")
            await liar.over.wait()
        for one in (ada, bob):
            assert not await opens(address_of(one), friend.papers)
            assert not await opens(address_of(one), before.papers)

    knock()


def processor_s(peer: StagedPeer) -> float:
    """Return the processor time that a peer's process has used."""
    fields = Path(f"/proc/{peer.running.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_a_member_that_floods_costs_its_part_of_a_processor_and_delays_nobody(besieged: list[StagedPeer]) -> None:
    """Slow: a flood of six seconds, and one before it that empties the flooder's purse."""
    ada, _ = besieged
    mesh = mesh_at(ada.home)
    flooder, honest = member(mesh), member(mesh)
    said = 0

    async def flood(liar: Liar) -> None:
        nonlocal said
        while True:
            claim = Claim(job=JobId(bytes(32)), task=1, attempt=1, boot=flooder.boot, number=1 + said)
            await liar.say(ClaimSent(claims=(sign(claim, flooder.signer),)))
            said += 1

    async def pings_are_answered(friend: Liar) -> None:
        began, asked = trio.current_time(), 0
        while trio.current_time() - began < FLOOD_S:
            asked += 1
            with trio.fail_after(CLOSED_S):
                await friend.say(Ping(number=asked))
                while Pong(number=asked) not in friend.heard:  # noqa: ASYNC110 (its list is all it has)
                    await trio.sleep(0.01)
            await trio.sleep(0.1)

    async def besiege() -> None:
        async with lying(address_of(ada), flooder.papers) as liar, trio.open_nursery() as nursery:
            nursery.start_soon(flood, liar)
            while liar.channel.backlog_bytes < BACKLOG_BYTES:  # noqa: ASYNC110 (a channel tells nobody)
                await trio.sleep(0.05)  # its purse is not empty yet
            async with lying(address_of(ada), honest.papers) as friend:
                before_s, began = processor_s(ada), trio.current_time()
                await pings_are_answered(friend)
                spent_s, lasted_s = processor_s(ada) - before_s, trio.current_time() - began
            assert spent_s < lasted_s * (1 / CHANNEL_SHARE + BESIDE), "with all that it does besides"
            assert not liar.over.is_set(), "it is paced, and not cut"
            nursery.cancel_scope.cancel()

    before = ada.resident_bytes()
    trio.run(besiege)
    assert ada.resident_bytes() - before < GROWTH_MAX_BYTES
