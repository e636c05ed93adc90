"""Ways to a listening port for those who have no business there, and how much they are told."""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from mesh.wire.handshake import (
    LENGTH_SIZE,
    MESSAGE_MAX_BYTES,
    Door,
    Papers,
    Preamble,
    Purpose,
    initiate,
    mesh_hint,
)
from mesh.wire.messages import Address
from tests.support.meshes import TestMesh, seed
from tests.support.network import DOOR, VERIFIER

GROWTH_MAX_BYTES = 50 * 1024 * 1024
"""By which a node may grow, whatever strangers do."""


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


async def many_at_once(times: int, at_once: int, once: Callable[[], Awaitable[None]]) -> None:
    """Do something often, so many at a time."""

    async def some() -> None:
        for _ in range(times // at_once):
            await once()

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(some)


def random_words(dice: random.Random, mesh: TestMesh) -> bytes:
    """Return bytes that get as far as luck allows: plain noise, or noise behind a preamble that anybody could see."""
    noise = dice.randbytes(dice.choice((0, 1, 15, 16, 17, 66, 500, MESSAGE_MAX_BYTES, 20_000)))
    if dice.random() < 0.5:
        return noise
    purpose = dice.choice(list(Purpose))
    preamble = Preamble(lowest=1, highest=1, purpose=purpose, hint=mesh_hint(mesh.id, mesh.secret)).encode()
    length = len(noise) if dice.random() < 0.7 else dice.randrange(1 << 16)
    return preamble + min(length, 0xFFFF).to_bytes(LENGTH_SIZE, "big") + noise


def first_words(papers: Papers, purpose: Purpose, door: Door = DOOR) -> bytes:
    """Return what one who holds `papers` says first."""
    return initiate(papers=papers, purpose=purpose, door=door, verifier=VERIFIER, seed=seed()).feed(b"")


async def heard_after_message_3(
    address: Address, papers: Papers, purpose: Purpose, door: Door = DOOR
) -> tuple[bytes, bytes]:
    """Shake hands as one who holds `papers`; return message 2 and all that came after message 3."""
    exchange = initiate(papers=papers, purpose=purpose, door=door, verifier=VERIFIER, seed=seed())
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


def is_one_message(data: bytes) -> bool:
    """Say whether bytes are one whole handshake message and nothing else."""
    return len(data) == LENGTH_SIZE + int.from_bytes(data[:LENGTH_SIZE], "big")
