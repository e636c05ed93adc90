"""What a stranger gets from a listening port: nothing, at little cost, however it asks and however often."""

import random
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from mesh.ground.errors import WireError
from mesh.ground.instants import WallTime
from mesh.wire.handshake import (
    LENGTH_SIZE,
    MESSAGE_MAX_BYTES,
    ChannelKind,
    Papers,
    Preamble,
    Purpose,
    initiate,
    mesh_hint,
)
from mesh.wire.messages import Address
from tests.support.meshes import NOW, TestMesh, seed
from tests.support.network import DOOR, VERIFIER, listening
from tests.support.timed import timed, until

RANDOM_INPUTS = 10_000
AT_ONCE = 50
GROWTH_MAX_BYTES = 50 * 1024 * 1024


async def answered(address: Address, words: bytes, *, stay: bool = False) -> bytes:
    """Say `words` to who listens there, and return all that comes back; `stay` leaves our side open."""
    heard = b""
    stream = await trio.open_tcp_stream(address.host, address.port)
    async with stream:
        # Whether it hears us out, hangs up or resets the connection is all the same: bytes are what counts.
        with suppress(trio.BrokenResourceError):
            await stream.send_all(words)
            if not stay:
                await stream.send_eof()
        with suppress(trio.BrokenResourceError):
            while portion := await stream.receive_some(65_536):
                heard += portion
    return heard


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def random_words(dice: random.Random, mesh: TestMesh) -> bytes:
    """Return bytes that get as far as luck allows: plain noise, or noise behind a preamble that anybody could see."""
    noise = dice.randbytes(dice.choice((0, 1, 15, 16, 17, 66, 500, MESSAGE_MAX_BYTES, 20_000)))
    if dice.random() < 0.5:
        return noise
    purpose = dice.choice(list(Purpose))
    preamble = Preamble(lowest=1, highest=1, purpose=purpose, hint=mesh_hint(mesh.id, mesh.secret)).encode()
    length = len(noise) if dice.random() < 0.7 else dice.randrange(1 << 16)
    return preamble + min(length, 0xFFFF).to_bytes(LENGTH_SIZE, "big") + noise


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts resident pages as only Linux tells them")
def test_ten_thousand_random_inputs_get_no_byte_and_no_memory() -> None:
    """Slow: ten thousand connections take several seconds."""
    mesh = TestMesh()
    dice = random.Random(20_261_120)

    async def main() -> None:
        async with listening(mesh.member().papers) as (transport, address):

            async def knock(times: int) -> None:
                for _ in range(times):
                    assert await answered(address, random_words(dice, mesh)) == b""

            async def knock_all(times: int) -> None:
                async with trio.open_nursery() as nursery:
                    for _ in range(AT_ONCE):
                        nursery.start_soon(knock, times // AT_ONCE)

            await knock_all(500)
            before = resident_bytes()
            await knock_all(RANDOM_INPUTS)
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
            exchange = initiate(papers=papers, purpose=purpose, door=DOOR, verifier=VERIFIER, seed=seed())
            assert await answered(address, exchange.feed(b""), stay=True) == b""


async def heard_after_message_3(address: Address, papers: Papers, purpose: Purpose) -> tuple[bytes, bytes]:
    """Shake hands as one who holds `papers`; return message 2 and all that came after message 3."""
    exchange = initiate(papers=papers, purpose=purpose, door=DOOR, verifier=VERIFIER, seed=seed())
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(exchange.feed(b""))
        second = b""
        third = b""
        while not third:
            portion = bytes(await stream.receive_some(exchange.wanted))
            assert portion
            second += portion
            third = exchange.feed(portion)
        await stream.send_all(third)
        after = b""
        with suppress(trio.BrokenResourceError):
            while portion := bytes(await stream.receive_some(65_536)):
                after += portion
    return second, after


@pytest.mark.parametrize("purpose", [Purpose.CONTROL, Purpose.BULK, Purpose.JOIN])
@timed
async def test_one_who_knows_the_secret_without_a_proof_gets_message_2_and_no_more(purpose: Purpose) -> None:
    mesh = TestMesh()
    impostor = mesh.impostor()
    papers = impostor.invites() if purpose is Purpose.JOIN else impostor.papers
    async with listening(mesh.member().papers) as (_, address):
        second, after = await heard_after_message_3(address, papers, purpose)
        assert len(second) == LENGTH_SIZE + int.from_bytes(second[:LENGTH_SIZE], "big")
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
    exchange = initiate(papers=mesh.member().papers, purpose=Purpose.CONTROL, door=DOOR, verifier=VERIFIER, seed=seed())
    recorded = exchange.feed(b"")
    async with listening(mesh.member().papers) as (_, address):
        first, again = [await answered(address, recorded) for _ in range(2)]
        assert len(first) == len(again) == LENGTH_SIZE + int.from_bytes(first[:LENGTH_SIZE], "big")
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
