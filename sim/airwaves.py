"""A network of datagrams in memory, for tests of the shell: real handshakes, and no promise about any datagram.

Theory: hosts are (address, port) on one `Airwaves`; the machine behind them is the real one, since whom it lets in is
most of what the port promises; only the sockets are missing. A test may lose, double or bend what passes.

Invariants: it keeps every promise of the datagrams' port. The module must not know what payloads say.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.ports.transport import ListenFailed
from mesh.wire.calls import Outgoing
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard, Pairs

LOOPBACK: Final = "127.0.0.1"
QUEUE_MAX: Final = 256
TICK_S: Final = 0.05


def _as_it_is(data: bytes) -> Iterable[bytes]:
    return (data,)


@dataclass(eq=False)
class Airwaves:
    """All hosts of one test."""

    carry: Callable[[bytes], Iterable[bytes]] = _as_it_is
    """Says what arrives of a datagram: nothing, itself, or itself twice."""
    listening: dict[Address, "MemoryDatagrams"] = field(default_factory=dict)
    ports: "itertools.count[int]" = field(default_factory=lambda: itertools.count(50_000))

    @asynccontextmanager
    async def attach(self, pairs: Pairs, clock: Callable[[], Instant]) -> AsyncIterator["MemoryDatagrams"]:
        """Yield the datagrams of one process; at the end it is gone without a word."""
        async with trio.open_nursery() as nursery:
            datagrams = MemoryDatagrams(self, pairs, clock)
            nursery.start_soon(datagrams.run)
            try:
                yield datagrams
            finally:
                datagrams.close()
                nursery.cancel_scope.cancel()

    def pass_on(self, source: Address, target: Address, data: bytes) -> None:
        """Let a datagram arrive at whoever listens there, if anybody does."""
        other = self.listening.get(target)
        if other is None:
            return
        for carried in self.carry(data):
            other.arrive(source, carried)


class MemoryDatagrams:
    """The `Datagrams` of its port, on airwaves."""

    def __init__(self, airwaves: Airwaves, pairs: Pairs, clock: Callable[[], Instant]) -> None:
        self._airwaves = airwaves
        self._pairs = pairs
        self._clock = clock
        self._here: list[Address] = []
        self._stirred = trio.Event()
        self._arriving, self._arrived = trio.open_memory_channel[tuple[Address, bytes]](QUEUE_MAX)
        self._heard, self._to_receive = trio.open_memory_channel[Heard](QUEUE_MAX)

    async def listen(self, host: str, port: int) -> int:
        """Send and receive; every host name of the test's own is one address."""
        await trio.lowlevel.checkpoint()
        here = Address(host=host or LOOPBACK, port=port or next(self._airwaves.ports))
        if here in self._airwaves.listening:
            raise ListenFailed(f"{here} is taken")
        self._airwaves.listening[here] = self
        self._here.append(here)
        return here.port

    async def run(self) -> None:
        """Take in what arrives, and keep the clock, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear)
            nursery.start_soon(self._keep_waking)

    def send(self, peer: PeerId, addresses: Sequence[Address], payload: bytes, *, awaited: bool = True) -> None:
        """Send a payload, or lose it."""
        if self._here:
            self._post(self._pairs.send(self._clock(), peer, addresses, payload, awaited=awaited))

    async def receive(self) -> Heard:
        """Wait for the next payload."""
        return await self._to_receive.receive()

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` from now on."""
        self._pairs.show(shown)

    def leave(self, port: int) -> None:
        """Listen on this port no longer."""
        for here in tuple(self._here):
            if here.port == port:
                self._here.remove(here)
                del self._airwaves.listening[here]

    def close(self) -> None:
        """Be nowhere."""
        for here in tuple(self._here):
            self.leave(here.port)

    def _post(self, outgoing: Sequence[Outgoing]) -> None:
        for each in outgoing if self._here else ():
            self._airwaves.pass_on(self._here[0], each.address, each.data)
        if self._pairs.busy:
            self._stirred.set()

    def arrive(self, source: Address, data: bytes) -> None:
        """Take what came, or lose it where too much waits."""
        try:
            self._arriving.send_nowait((source, data))
        except trio.WouldBlock:
            return  # as in any queue on the way

    async def _hear(self) -> None:
        async for source, data in self._arrived:
            reaction = self._pairs.hear(self._clock(), source, data)
            self._post(reaction.send)
            if reaction.heard is not None:
                try:
                    self._heard.send_nowait(reaction.heard)
                except trio.WouldBlock:
                    continue

    async def _keep_waking(self) -> None:
        while True:
            if self._pairs.busy:
                await trio.sleep(TICK_S)
            else:
                self._stirred = trio.Event()
                await self._stirred.wait()
            self._post(self._pairs.wake(self._clock()))
