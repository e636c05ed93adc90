"""One connection with its handshake behind it: what control channels and bulk transfers are both made of."""

from dataclasses import dataclass

import trio

from mesh.wire.handshake import Exchange, Opened
from mesh.wire.messages import Address


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Link:
    """A stream and the record layer on it."""

    stream: trio.abc.Stream
    opened: Opened
    remote: Address
    dialled: bool


class EndedEarly(Exception):
    """The other side ended the connection in the middle of a handshake."""


async def shake(stream: trio.abc.Stream, exchange: Exchange) -> Opened:
    """Carry a handshake's bytes to its end.

    Raises `WireError`, `EndedEarly`, or `trio.BrokenResourceError`; the caller bounds the time and lets go of the
    stream.
    """
    outgoing = exchange.feed(b"")
    while True:
        if outgoing:
            await stream.send_all(outgoing)
        if exchange.opened is not None:
            return exchange.opened
        # Never more than the next step wants: what follows the handshake belongs to the record layer.
        data = await stream.receive_some(exchange.wanted)
        if not data:
            raise EndedEarly
        outgoing = exchange.feed(bytes(data))
