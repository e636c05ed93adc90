"""Talk with a child process: one JSON object a line over an inherited socket, with bounded lines.

The child may be taken over by a hostile scene, so what it says is data: a line too long or not an object ends the talk.
"""

import json
import socket
from typing import Any

import trio

LINE_MAX_BYTES = 16 * 1024 * 1024
"""The longest answer: an inspection that lists some fifty thousand files."""

_RECEIVE_BYTES = 64 * 1024

_NUMBER_MAX = 2**53
"""Bytes and milliseconds in records and messages are no larger."""

Message = dict[str, Any]


class ChannelEnded(Exception):
    """The child closed its end, or said something that is no message."""


class Channel:
    """Be the node's end of a child's socket. One task sends and one receives at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
        self._held = bytearray()

    async def send(self, **message: Any) -> None:
        """Send one message. Raises ChannelEnded."""
        try:
            await self._stream.send_all(json.dumps(message).encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ChannelEnded("the child is gone") from error

    async def receive(self) -> Message:
        """Wait for the next message. Raises ChannelEnded; a cancelled call loses nothing."""
        searched = 0
        while (end := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            if searched > LINE_MAX_BYTES:
                raise ChannelEnded("the child's message is too long")
            try:
                data = await self._stream.receive_some(_RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ChannelEnded("the child is gone") from error
            if not data:
                raise ChannelEnded("the child closed its end")
            self._held += data
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ChannelEnded("the child's message is no JSON") from error
        if not isinstance(message, dict):
            raise ChannelEnded("the child's message is no object")
        return message

    def close(self) -> None:
        """Close the node's end, at which the child ends itself."""
        self._stream.socket.close()


def number(message: Message, key: str) -> int:
    """Read a count from a message; whatever is no count is 0."""
    value = message.get(key)
    return value if type(value) is int and 0 <= value <= _NUMBER_MAX else 0


def listed(message: Message, key: str) -> list[Any]:
    """Read a list from a message; whatever is no list is empty."""
    value = message.get(key)
    return value if isinstance(value, list) else []
