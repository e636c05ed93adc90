"""The network of tier B: the channels and datagrams of the shell's own tests, along lines that take time and are cut.

Pieces of blobs go from store to store, whole and at some speed, without a connection of their own; a peer that lends
connections is not asked, since here everybody can be dialled by who reaches him. A beacon reaches everybody.
"""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobMissing, BlobStore
from mesh.ports.transport import DialRefused, DialTimedOut, DialUnreachable, FetchFailed, PieceSink, Provider
from mesh.wire.manifest import Manifest
from mesh.wire.messages import Address
from sim.airwaves import Airwaves
from sim.shell.lines import Lane, Lines
from sim.wires import MemoryChannel, Wires

PORT: Final = 7_000
CONNECT_S: Final = 5.0
"""A dial that nobody answers fails so late."""

BYTES_PER_S: Final = 50_000_000
LAN_PORT: Final = 7_001

Tap = Callable[[MemoryChannel, bytes], None]


def address_of(index: int) -> Address:
    """Return where a host is."""
    return Address(host=f"10.0.{index // 250}.{index % 250 + 1}", port=PORT)


class ShellWires(Wires):
    """All channels of a mesh."""

    def __init__(self, lines: Lines, tap: Tap) -> None:
        super().__init__()
        self._lines = lines
        self._tap = tap
        self._lanes: dict[MemoryChannel, Lane] = {}
        self.dark: dict[str, None] = {}
        """Hosts without power: nobody says there that nothing listens."""
        self.stores: dict[str, BlobStore] = {}
        """Of the processes that run, by their hosts."""

    def pass_on(self, channel: MemoryChannel, packet: bytes | None) -> None:
        """Bring a packet, or the end, to the other side in its time."""
        if packet is not None:
            self._tap(channel, packet)
        lane = self._lanes.get(channel)
        if lane is None:
            lane = self._lanes[channel] = Lane(channel.host, channel.other.host)
        self._lines.carry(lane, lambda: channel.other.take(packet))

    async def reach(self, host: str, address: Address) -> None:
        """Take a round trip to an address, or find out that nobody answers."""
        await self.round_trip(host, address.host)
        if address.host in self.dark:
            await trio.sleep(CONNECT_S)
            raise DialTimedOut(f"{address}")

    async def round_trip(self, host: str, other: str) -> None:
        """Go to a host and back, or raise `DialTimedOut`."""
        lines = self._lines
        if lines.open(host, other) and lines.open(other, host):
            await trio.sleep(lines.delay_s(host, other) + lines.delay_s(other, host))
            if lines.open(host, other) and lines.open(other, host):
                return
        await trio.sleep(CONNECT_S)
        raise DialTimedOut(other)


class ShellAirwaves(Airwaves):
    """All datagrams of a mesh."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def pass_on(self, source: Address, target: Address, data: bytes) -> None:
        """Bring a datagram to whoever listens there in its time, or lose it."""
        self._lines.throw(source.host, target.host, lambda: self._arrive(source, target, data))

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        super().pass_on(source, target, data)


class ShellPieces:
    """The `Pieces` of one process."""

    def __init__(self, wires: ShellWires, host: str) -> None:
        self._wires = wires
        self._host = host

    async def fetch_manifest(self, provider: Provider, blob: BlobId) -> Manifest | None:
        """Return a blob's manifest, where that peer has it; see the port."""
        _, store = await self._reach(provider)
        try:
            return store.manifest(blob)
        except BlobMissing:
            return None

    async def fetch_pieces(
        self, provider: Provider, blob: BlobId, manifest: Manifest, numbers: Sequence[int], sink: PieceSink
    ) -> tuple[int, ...]:
        """Hand pieces to `sink` as they come; see the port."""
        missing: list[int] = []
        other, store = await self._reach(provider)
        for number in numbers:
            try:
                piece = store.read_piece(blob, number)
            except BlobMissing:
                missing.append(number)
                continue
            await trio.sleep(manifest.extent(number)[1] / BYTES_PER_S)
            if self._wires.stores.get(other) is not store:
                raise FetchFailed(f"{other} went away")
            try:
                await self._wires.round_trip(self._host, other)
            except DialTimedOut as error:
                raise FetchFailed(f"{other} says nothing more") from error
            sink(number, piece)
        return tuple(missing)

    async def _reach(self, provider: Provider) -> tuple[str, BlobStore]:
        if not isinstance(provider, Address):
            await trio.lowlevel.checkpoint()
            raise DialUnreachable("nobody lends connections here")
        await self._wires.reach(self._host, provider)
        store = self._wires.stores.get(provider.host)
        if store is None or provider.port != PORT:
            raise DialRefused(f"{provider}")
        return provider.host, store


class ShellLan:
    """The `Lan` of one process: everybody's, as far as lines are open."""

    def __init__(self, lines: Lines, host: str, all_here: "dict[str, ShellLan]") -> None:
        self._lines = lines
        self._host = host
        self._all_here = all_here
        self._take: Callable[[bytes, str], None] = lambda _datagram, _host: None
        self.port = LAN_PORT

    def faults(self) -> list[str]:
        """Name nothing that is wrong."""
        return []

    def send(self, datagram: bytes) -> None:
        """Send to everybody."""
        for host, other in self._all_here.items():
            if other is not self:
                self._lines.throw(self._host, host, lambda other=other: other.arrive(datagram, self._host))  # type: ignore[misc]

    def arrive(self, datagram: bytes, host: str) -> None:
        """Take what somebody sent."""
        self._take(datagram, host)

    async def hear(self, take: Callable[[bytes, str], None]) -> None:
        """Give all that comes to `take`, for ever."""
        self._take = take
        await trio.sleep_forever()
