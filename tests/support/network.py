"""Real transports on loopback, for members of meshes made in a moment."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from mesh.ground.instants import Instant
from mesh.net.datagrams import UdpDatagrams, open_datagrams
from mesh.net.link import Link
from mesh.net.streams import Bounds, TcpTransport, open_transport, refuse
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.messages import Address
from mesh.wire.pairs import Pairs
from mesh.wire.signing import Ed25519Verifier
from sim.airwaves import Airwaves, MemoryDatagrams
from sim.wires import MemoryTransport, Wires
from tests.support.meshes import NOW, seed

LOOPBACK = "127.0.0.1"
DOOR = DatedDoor(lambda: NOW)
VERIFIER = Ed25519Verifier()


async def no_bulk(link: Link) -> None:
    """Serve no pieces."""
    await link.stream.aclose()


@asynccontextmanager
async def over_tcp(
    papers: Papers,
    *,
    bounds: Bounds | None = None,
    serve_bulk: Callable[[Link], Awaitable[None]] = no_bulk,
    take_lent: Callable[[Link], Awaitable[None]] = refuse,
) -> AsyncIterator[TcpTransport]:
    """Yield a transport at the time `NOW`."""
    async with open_transport(
        papers=papers,
        door=DOOR,
        verifier=VERIFIER,
        serve_bulk=serve_bulk,
        take_lent=take_lent,
        bounds=bounds or Bounds(),
    ) as transport:
        yield transport


_wires = Wires()


@asynccontextmanager
async def over_memory(papers: Papers) -> AsyncIterator[MemoryTransport]:
    """Yield a transport of the same promises that needs no socket."""
    async with _wires.attach(papers, door=DOOR, verifier=VERIFIER, entropy=seed) as transport:
        yield transport


def _clock() -> Instant:
    return Instant(int(trio.current_time() * 1000))


@asynccontextmanager
async def over_udp(papers: Papers) -> AsyncIterator[UdpDatagrams]:
    """Yield datagrams over real sockets, at the time `NOW`."""
    company = Company(papers=papers, door=DOOR, verifier=VERIFIER)
    async with open_datagrams(Pairs(company, os.urandom), _clock) as datagrams:
        yield datagrams


_airwaves = Airwaves()


@asynccontextmanager
async def over_airwaves(papers: Papers) -> AsyncIterator[MemoryDatagrams]:
    """Yield datagrams of the same promises that need no socket."""
    company = Company(papers=papers, door=DOOR, verifier=VERIFIER)
    async with _airwaves.attach(Pairs(company, os.urandom), _clock) as datagrams:
        yield datagrams


@asynccontextmanager
async def listening(papers: Papers, *, bounds: Bounds | None = None) -> AsyncIterator[tuple[TcpTransport, Address]]:
    """Yield a transport that listens on loopback, and where."""
    async with over_tcp(papers, bounds=bounds) as transport:
        yield transport, Address(host=LOOPBACK, port=await transport.listen(LOOPBACK, 0))
