"""The transport over TCP: it listens, dials, shakes hands, and hands out channels.

Theory: whoever connects is a stranger until its handshake is done, and a stranger gets as little as can be: a bounded
time, a few kilobytes of memory, and no byte. Half-open handshakes are bounded in number, per source address and in
all. When all places are taken the oldest is dropped: an honest handshake needs a few round trips, so the oldest is
somebody who waits.

Invariants: every accepted socket is a half-open handshake, a channel, a bulk link, or closed. At most `MAX_CHANNELS`
channels exist. A failure of one connection is never one of the transport. The module must not know what packets mean.
"""

import os
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final
from weakref import WeakSet

import trio

from mesh.ground.errors import WireError
from mesh.ground.limits import MAX_CHANNELS
from mesh.net import interfaces, sockets
from mesh.net.channel import TcpChannel
from mesh.net.link import EndedEarly, Link, shake
from mesh.ports.transport import DialledSelf, HandshakeFailed, TooManyChannels
from mesh.wire.envelope import Verifier
from mesh.wire.handshake import (
    HANDSHAKE_MS,
    ChannelKind,
    Door,
    Exchange,
    MetSelf,
    Opened,
    Papers,
    Purpose,
    initiate,
    respond,
)
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.noise import KEY_SIZE

ACCEPTED_MAX: Final = 64
"""Channels that the node has not taken yet; beyond them handshakes wait at their end, and are bounded there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a transport holds at once; a test may set them low."""

    channels: int = MAX_CHANNELS
    """A peer in a full mesh of two thousand; each costs a socket and some kilobytes."""
    half_open: int = 256
    """Handshakes under way; an honest one lasts a few round trips, so this serves thousands of peers a minute."""
    half_open_per_source: int = 64
    """Of these from one address, behind which there may be a whole office, or many peers of one test."""
    door: int = 256
    """Channels of those who may only ask to be let in or renewed, beside members: any old invite is enough for that."""
    door_per_source: int = 64
    """Of these from one address, behind which a whole office may join at once."""
    handshake_s: float = HANDSHAKE_MS / 1000
    stall_s: float = 60.0
    """A peer that takes nothing for so long loses its channel. One that paces this one reads some kilobytes a second,
    and its system says so only when half of a buffer is free again; who is dead is noticed by his silence before."""


class _HalfOpen:
    """Handshakes under way that others began, oldest first."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._scopes: OrderedDict[trio.CancelScope, str] = OrderedDict()
        self._sources: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._scopes)

    @contextmanager
    def place(self, source: str) -> Iterator[trio.CancelScope | None]:
        """Yield the scope of one more handshake, None when its source has too many."""
        if self._sources[source] >= self._bounds.half_open_per_source:
            yield None
            return
        if len(self._scopes) >= self._bounds.half_open:
            oldest, _ = self._scopes.popitem(last=False)
            oldest.cancel()
        scope = trio.CancelScope(deadline=trio.current_time() + self._bounds.handshake_s)
        self._scopes[scope] = source
        self._sources[source] += 1
        try:
            with scope:
                yield scope
        finally:
            self._scopes.pop(scope, None)
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]


class TcpTransport:
    """The `Transport` of its port; made by `open_transport`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        papers: Papers,
        door: Door,
        verifier: Verifier,
        serve_bulk: Callable[[Link], Awaitable[None]],
        take_lent: Callable[[Link], Awaitable[None]],
        bounds: Bounds,
    ) -> None:
        self._nursery = nursery
        self._papers = papers
        self._door = door
        self._verifier = verifier
        self._serve_bulk = serve_bulk
        self._take_lent = take_lent
        self._bounds = bounds
        self._half_open = _HalfOpen(bounds)
        self._channels: set[TcpChannel] = set()
        self._links: WeakSet[Link] = WeakSet()
        """Links for pieces, of either direction, that somebody still has."""
        self._opening = 0
        self._at_door: Counter[str] = Counter()
        """Channels of those who are no members, or no longer: how many from each address."""
        self._listening: list[Address] = []
        self._accepted, self._to_accept = trio.open_memory_channel[TcpChannel](ACCEPTED_MAX)

    async def listen(self, host: str, port: int) -> int:
        """Accept channels on `host` (empty: every address) and return the port; raise `ListenFailed`."""
        assert isinstance(self._papers.shown, Credentials), "a joiner has nothing to show to who dials"
        listeners = await sockets.listen(host, port)
        for listener in listeners:
            name, bound = listener.socket.getsockname()[:2]
            self._listening.append(Address(host=str(name), port=int(bound)))
            self._nursery.start_soon(self._serve_listener, listener)
        return self._listening[-1].port

    def addresses(self) -> tuple[Address, ...]:
        """Return where others may try to reach this peer; empty before `listen`.

        Told of an address where nobody listens, others would take its refusal for this peer's death.
        """
        found: dict[Address, None] = {}
        for at in self._listening:
            found.update(dict.fromkeys(interfaces.named_by(at)))
        return interfaces.best_first(found)

    @property
    def everywhere(self) -> bool:
        """Whether it listens at all addresses of some IP family."""
        return any(interfaces.is_everywhere(at) for at in self._listening)

    async def accept(self) -> TcpChannel:
        """Wait for the next channel that another peer opened."""
        return await self._to_accept.receive()

    async def dial(self, address: Address, purpose: Purpose = Purpose.CONTROL) -> TcpChannel:
        """Open a channel; see the port for the errors."""
        assert purpose in {Purpose.CONTROL, Purpose.JOIN}, "bulk connections are links, not channels"
        with self._place():
            return self._channel(await self.link(address, purpose))

    async def link(self, address: Address, purpose: Purpose) -> Link:
        """Connect and shake hands; bulk transfers begin here. Raises what `dial` raises."""
        exchange = initiate(
            papers=self._papers, purpose=purpose, door=self._door, verifier=self._verifier, seed=os.urandom(KEY_SIZE)
        )
        stream = await sockets.connect(address)
        try:
            opened = await self._shaken(stream, exchange, address)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return self._noted(Link(stream=stream, opened=opened, remote=address, dialled=True))

    async def lend(self, address: Address) -> None:
        """Let who listens there ask on a link that this peer opens; see the port for the errors."""
        link = await self.link(address, Purpose.LEND)
        try:
            await self._serve_bulk(link)
        finally:
            await trio.aclose_forcefully(link.stream)

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` in every handshake from now on."""
        self._papers = replace(self._papers, shown=shown)

    def judge_again(self) -> None:
        """Let go of links with those whom the door shuts out now."""
        for link in tuple(self._links):
            shown = link.opened.shown
            if isinstance(shown, Credentials) and self._door.member(shown, link.opened.membership) is None:
                self._nursery.start_soon(trio.aclose_forcefully, link.stream)

    async def aclose_all(self) -> None:
        """Close every channel, side by side."""
        async with trio.open_nursery() as closing:
            for channel in tuple(self._channels):
                closing.start_soon(channel.aclose)

    async def _serve_listener(self, listener: trio.SocketListener) -> None:
        await trio.serve_listeners(self._serve, [listener], handler_nursery=self._nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """See one accepted connection through to its end; whoever calls this closes it then."""
        link = await self._answer(stream)
        if link is None:
            return
        if link.opened.purpose is Purpose.BULK:
            await self._serve_bulk(self._noted(link))
        elif link.opened.purpose is Purpose.LEND:
            await self._take_lent(self._noted(link))
        elif link.opened.kind is not ChannelKind.MEMBER:
            with self._place_at_door(link.remote.host) as free:
                if free:
                    await self._accept(link)
        elif not self._full:
            await self._accept(link)

    async def _accept(self, link: Link) -> None:
        channel = self._channel(link)
        await self._accepted.send(channel)
        await channel.released.wait()

    async def _answer(self, stream: trio.SocketStream) -> Link | None:
        """Shake hands with whoever connected; None when it is to be let go."""
        try:
            remote = sockets.remote_address(stream)
        except OSError:
            return None
        exchange = respond(papers=self._papers, door=self._door, verifier=self._verifier, seed=os.urandom(KEY_SIZE))
        link: Link | None = None
        with self._half_open.place(remote.host) as scope:
            if scope is not None and not self._full:
                with suppress(WireError, EndedEarly, trio.BrokenResourceError):
                    link = Link(stream=stream, opened=await shake(stream, exchange), remote=remote, dialled=False)
        return link

    async def _shaken(self, stream: trio.SocketStream, exchange: Exchange, address: Address) -> Opened:
        """Shake hands with whom we dialled, and say in the port's words what went wrong."""
        try:
            with trio.fail_after(self._bounds.handshake_s):
                return await shake(stream, exchange)
        except MetSelf as error:
            raise DialledSelf(f"{address} is this peer itself") from error
        except WireError as error:
            raise HandshakeFailed(f"{address}: {error}") from error
        except trio.TooSlowError as error:
            raise HandshakeFailed(f"{address} did not answer the handshake") from error
        except (EndedEarly, trio.BrokenResourceError) as error:
            raise HandshakeFailed(f"{address} ended the handshake") from error

    def _noted(self, link: Link) -> Link:
        if link.opened.purpose in (Purpose.BULK, Purpose.LEND):
            self._links.add(link)
        return link

    @property
    def _full(self) -> bool:
        return len(self._channels) - self._at_door.total() + self._opening >= self._bounds.channels

    def _channel(self, link: Link) -> TcpChannel:
        sockets.bound_buffers(link.stream)
        channel = TcpChannel(link, stall_s=self._bounds.stall_s, on_release=self._channels.discard)
        self._channels.add(channel)
        self._nursery.start_soon(channel.run)
        return channel

    @contextmanager
    def _place_at_door(self, source: str) -> Iterator[bool]:
        """Keep a place for one more who is no member; yield whether there is one."""
        bounds = self._bounds
        if self._at_door.total() >= bounds.door or self._at_door[source] >= bounds.door_per_source:
            yield False
            return
        self._at_door[source] += 1
        try:
            yield True
        finally:
            self._at_door[source] -= 1
            if not self._at_door[source]:
                del self._at_door[source]

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Keep a place for one more channel while it is being opened; raise `TooManyChannels` when there is none."""
        if self._full:
            raise TooManyChannels(f"{self._bounds.channels} channels are open")
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1


async def refuse(_link: Link) -> None:
    """Have no use for a link."""
    await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_transport(
    *,
    papers: Papers,
    door: Door,
    verifier: Verifier,
    serve_bulk: Callable[[Link], Awaitable[None]],
    take_lent: Callable[[Link], Awaitable[None]] = refuse,
    bounds: Bounds = Bounds(),
) -> AsyncIterator[TcpTransport]:
    """Yield a transport; at the end close its channels cleanly, for two seconds at most, and everything else at once.

    `serve_bulk` is called with each bulk link on which another peer asks, `take_lent` with each that another opened for
    this one to ask on; either has the connection until it returns.
    """
    async with trio.open_nursery() as nursery:
        transport = TcpTransport(
            nursery,
            papers=papers,
            door=door,
            verifier=verifier,
            serve_bulk=serve_bulk,
            take_lent=take_lent,
            bounds=bounds,
        )
        try:
            yield transport
        finally:
            await transport.aclose_all()
            nursery.cancel_scope.cancel()
