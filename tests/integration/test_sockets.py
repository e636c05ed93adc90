"""Connections over loopback that end before they began."""

import socket
import struct

import pytest
import trio

from mesh.net.sockets import led_elsewhere
from mesh.ports.transport import DialUnreachable
from mesh.wire.messages import Address
from tests.support.timed import timed


@timed
async def test_a_connection_that_was_reset_at_once_is_a_dial_that_failed() -> None:
    """Asking such a socket for its far end raises, and once ended the peer that dialled."""
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener[0].socket.getsockname()
    stream = await trio.open_tcp_stream(host, port)
    far = await listener[0].accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await far.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some(1)
    with pytest.raises(DialUnreachable):
        await led_elsewhere(stream, Address(host=host, port=port))
    await listener[0].aclose()


@timed
async def test_a_connection_that_stands_is_returned() -> None:
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener[0].socket.getsockname()
    stream = await trio.open_tcp_stream(host, port)
    assert await led_elsewhere(stream, Address(host=host, port=port)) is stream
    await stream.aclose()
    await listener[0].aclose()
