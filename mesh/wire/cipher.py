"""The record layer: packets on an open channel, sealed so that they can be neither read, changed, reordered nor cut
off.

On the wire a packet is

    head (4 bytes: kind, then the length of what follows in 3 bytes, big-endian) | ChaCha20-Poly1305 ciphertext with
    tag

The head is clear and authenticated as associated data. Each direction has a key of its own and a nonce that counts
its packets from 0. After `REKEY_PACKETS` packets or `REKEY_BYTES` bytes of plaintext, whichever comes first, both
sides replace the key by one from which it cannot be computed; nothing is said about it on the wire. A direction ends
with a close packet: its end of file without one is a connection that broke, or was broken.

Invariants: a packet is delivered once, whole, in order, or not at all. What an `Opener` holds is bounded by one
packet and one `feed`. After any `WireError` an opener is dead, since the stream cannot be trusted again. The module
does not know what packets mean, nor how bytes travel.
"""

import enum
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from mesh.ground.errors import WireError
from mesh.wire.noise import KEY_SIZE, NONCE_MAX, TAG_SIZE, nonce_of, rekey

HEAD_SIZE: Final = 4

CONTROL_PACKET_MAX_BYTES: Final = 64 * 1024
"""Plaintext of a packet between cores: a batch of messages; larger things are blobs."""

DATA_PACKET_MAX_BYTES: Final = 1024 * 1024
"""Plaintext of a bulk packet; 256 KiB is fastest, and a manifest of the largest blob fits."""

REKEY_PACKETS: Final = 1 << 16
"""Far below any bound of the cipher: it limits how much one stolen key reads back."""

REKEY_BYTES: Final = 1 << 30

assert DATA_PACKET_MAX_BYTES + TAG_SIZE < 1 << 24, "the length must fit its three bytes"


class _Kind(enum.IntEnum):
    """What a packet is; numbers are never used twice."""

    DATA = 0
    CLOSE = 1


class _Direction:
    """The key and the count of one direction, advanced alike on both sides."""

    __slots__ = ("_bytes", "_counter", "_key", "_packets", "packet_max_bytes")

    def __init__(self, key: bytes, packet_max_bytes: int) -> None:
        assert len(key) == KEY_SIZE
        assert packet_max_bytes <= DATA_PACKET_MAX_BYTES
        self._key = key
        self._counter = 0
        self._packets = 0
        self._bytes = 0
        self.packet_max_bytes = packet_max_bytes

    def seal(self, kind: _Kind, plain: bytes) -> bytes:
        head = _head(kind, len(plain) + TAG_SIZE)
        sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plain, head, nonce_of(self._counter), self._key)
        self._advance(len(plain))
        return head + sealed

    def open(self, head: bytes, sealed: bytes) -> bytes:
        try:
            plain = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, head, nonce_of(self._counter), self._key)
        except CryptoError as error:
            raise WireError("a packet does not decrypt") from error
        self._advance(len(plain))
        return plain

    def _advance(self, size: int) -> None:
        self._counter += 1
        assert self._counter < NONCE_MAX
        self._packets += 1
        self._bytes += size
        if self._packets >= REKEY_PACKETS or self._bytes >= REKEY_BYTES:
            self._key = rekey(self._key)
            self._packets = self._bytes = 0


class Sealer:
    """The sending end of one direction; `packet_max_bytes` bounds the plaintext of each packet."""

    __slots__ = ("_closed", "_direction")

    def __init__(self, key: bytes, packet_max_bytes: int) -> None:
        self._direction = _Direction(key, packet_max_bytes)
        self._closed = False

    def seal(self, packet: bytes) -> bytes:
        """Return the bytes that carry `packet`; they must leave in the order of the calls."""
        assert not self._closed
        assert len(packet) <= self._direction.packet_max_bytes, f"a packet of {len(packet)} bytes"
        return self._direction.seal(_Kind.DATA, packet)

    def close(self) -> bytes:
        """Return the bytes that end this direction; nothing may be sealed after them."""
        assert not self._closed
        self._closed = True
        return self._direction.seal(_Kind.CLOSE, b"")


class Opener:
    """The receiving end of one direction: bytes in, in any portions; packets out."""

    __slots__ = ("_buffer", "_closed", "_direction", "_failed")

    def __init__(self, key: bytes, packet_max_bytes: int) -> None:
        self._direction = _Direction(key, packet_max_bytes)
        self._buffer = bytearray()
        self._closed = False
        self._failed = False

    @property
    def closed(self) -> bool:
        """Whether the other side has ended this direction itself; end of file is clean only then."""
        return self._closed

    @property
    def wanted(self) -> int:
        """How many bytes are missing until something can be opened, at least 1: a hint for the size of a read."""
        if len(self._buffer) < HEAD_SIZE:
            return HEAD_SIZE - len(self._buffer)
        return max(1, HEAD_SIZE + int.from_bytes(self._buffer[1:HEAD_SIZE], "big") - len(self._buffer))

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Return the packets that `data` completes.

        Raises `WireError` for anything that the other end did not seal, in its order; packets that came before it in
        the same `data` are lost with it.
        """
        if self._failed:
            raise WireError("the channel failed before")
        self._buffer += data
        try:
            return self._packets()
        except WireError:
            self._failed = True
            self._buffer.clear()
            raise

    def _packets(self) -> list[bytes]:
        packets: list[bytes] = []
        at = 0
        view = memoryview(self._buffer)
        try:
            while (end := self._end_of_packet(view, at)) is not None:
                head, sealed = bytes(view[at : at + HEAD_SIZE]), bytes(view[at + HEAD_SIZE : end])
                plain = self._direction.open(head, sealed)
                if head[0] == _Kind.CLOSE:
                    self._closed = True
                else:
                    packets.append(plain)
                at = end
        finally:
            view.release()
        del self._buffer[:at]
        return packets

    def _end_of_packet(self, view: memoryview, at: int) -> int | None:
        """Return where the packet at `at` ends, or None when it is not all here; refuse what can be no packet."""
        if self._closed and at < len(view):
            raise WireError("bytes after the close")
        if len(view) - at < HEAD_SIZE:
            return None
        kind, size = view[at], int.from_bytes(view[at + 1 : at + HEAD_SIZE], "big")
        # Before the bytes are waited for, so that nobody makes us collect more than one packet.
        longest = self._direction.packet_max_bytes if kind == _Kind.DATA else 0
        if kind not in (_Kind.DATA, _Kind.CLOSE) or not TAG_SIZE <= size <= longest + TAG_SIZE:
            raise WireError("not the head of a packet")
        end = at + HEAD_SIZE + size
        return end if end <= len(view) else None


def _head(kind: _Kind, size: int) -> bytes:
    return bytes([kind]) + size.to_bytes(HEAD_SIZE - 1, "big")
