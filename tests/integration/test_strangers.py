"""What a stranger gets from a listening port: nothing, at little cost, however it asks and however often."""

import random
import socket
from pathlib import Path

import pytest
import trio

from mesh.ground.errors import WireError
from mesh.ground.instants import WallTime
from mesh.wire.handshake import LENGTH_SIZE, ChannelKind, Purpose, initiate
from tests.support.knocking import (
    GROWTH_MAX_BYTES,
    answered,
    first_words,
    heard_after_message_3,
    is_one_message,
    many_at_once,
    random_words,
)
from tests.support.meshes import NOW, TestMesh, seed
from tests.support.network import DOOR, VERIFIER, listening
from tests.support.timed import timed, until

RANDOM_INPUTS = 10_000
AT_ONCE = 50


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts resident pages as only Linux tells them")
def test_ten_thousand_random_inputs_get_no_byte_and_no_memory() -> None:
    """Slow: ten thousand connections take several seconds."""
    mesh = TestMesh()
    dice = random.Random(20_261_120)

    async def main() -> None:
        async with listening(mesh.member().papers) as (transport, address):

            async def knock() -> None:
                assert await answered(address, random_words(dice, mesh)) == b""

            before = resident_bytes()
            await many_at_once(RANDOM_INPUTS, AT_ONCE, knock)
            assert resident_bytes() - before < GROWTH_MAX_BYTES
            # Nothing of it stayed, and the peer still serves its own.
            await until(lambda: not transport._half_open)
            async with listening(mesh.member().papers) as (member, _):
                assert (await member.dial(address)).kind is ChannelKind.MEMBER

    trio.run(main)


@timed
async def test_an_outsider_and_another_meshs_member_get_no_byte() -> None:
    mesh = TestMesh()
    async with listening(mesh.member().papers) as (_, address):
        for papers in (TestMesh().member().papers, TestMesh().member().invites()):
            purpose = Purpose.CONTROL if papers.shown.NUMBER == 1 else Purpose.JOIN
            assert await answered(address, first_words(papers, purpose), stay=True) == b""


@pytest.mark.parametrize("purpose", [Purpose.CONTROL, Purpose.BULK, Purpose.JOIN])
@timed
async def test_one_who_knows_the_secret_without_a_proof_gets_message_2_and_no_more(purpose: Purpose) -> None:
    mesh = TestMesh()
    impostor = mesh.impostor()
    papers = impostor.invites() if purpose is Purpose.JOIN else impostor.papers
    async with listening(mesh.member().papers) as (_, address):
        second, after = await heard_after_message_3(address, papers, purpose)
        assert is_one_message(second)
        assert after == b""


@timed
async def test_an_expired_member_gets_a_channel_to_renew_and_no_pieces() -> None:
    mesh = TestMesh()
    old = mesh.member(expires=WallTime(NOW - 1))
    async with listening(mesh.member().papers) as (transport, address), listening(old.papers) as (expired, _):
        channel = await expired.dial(address)
        assert channel.kind is (await transport.accept()).kind is ChannelKind.RENEW
        _, after = await heard_after_message_3(address, old.papers, Purpose.BULK)
        assert after == b""


@timed
async def test_a_recorded_handshake_said_again_earns_one_unreadable_answer() -> None:
    mesh = TestMesh()
    recorded = first_words(mesh.member().papers, Purpose.CONTROL)
    async with listening(mesh.member().papers) as (_, address):
        first, again = [await answered(address, recorded) for _ in range(2)]
        assert is_one_message(first)
        assert len(first) == len(again)
        assert first[LENGTH_SIZE:] != again[LENGTH_SIZE:]
        # Only who has the ephemeral secret reads it; a recorder that guesses another reads nothing.
        guess = initiate(
            papers=mesh.member().papers, purpose=Purpose.CONTROL, door=DOOR, verifier=VERIFIER, seed=seed()
        )
        guess.feed(b"")
        with pytest.raises(WireError):
            guess.feed(again)


@timed
async def test_a_connection_that_is_reset_at_once_does_no_harm() -> None:
    mesh = TestMesh()
    async with listening(mesh.member().papers) as (_, address):
        for _ in range(50):
            with socket.create_connection((address.host, address.port)) as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert await answered(address, b"still there?") == b""
