"""Datagrams: what one of them looks like, and the row of them that two peers seal for each other.

Theory: a pair of peers runs the handshake's three Noise messages in datagrams and then seals datagrams with keys that
are a further output of it. A datagram names the handshake or the pair that it belongs to by eight random bytes, an
*index* that its receiver drew, so that nobody who has not seen one on its way can address anything.

    FIRST   kind (1) | part wanted (1) | cookie (16) | caller's index (8) | preamble (16) | Noise message 1 (48) | zeros
    SECOND  kind (1) | part (1) | parts (1) | caller's index (8) | answerer's index (8) | a part of Noise message 2
    THIRD   kind (1) | part (1) | parts (1) | answerer's index (8) | caller's index (8) | a part of Noise message 3
    COOKIE  kind (1) | caller's index (8) | nonce (24) | XChaCha20-Poly1305 ciphertext of a cookie (16), with tag
    SEALED  kind (1) | receiver's index (8) | counter (8) | ChaCha20-Poly1305 ciphertext, with tag

Message 2 is fetched: each FIRST carries all of message 1 and asks for one part of message 2, which is no longer than
itself. So every answer has a question of its own that is at least as long, whatever is lost on the way, and a
responder keeps nothing of a message 1 in parts.

Invariants: no datagram is longer than `DATAGRAM_MAX_BYTES`. A sealed one is opened once, if at all, in whatever order
they come. Decoding any bytes gives a value or a `WireError`. The module draws no entropy, reads no clock and does not
know who may speak to whom.
"""

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from blake3 import blake3
from nacl import bindings
from nacl.exceptions import CryptoError

from mesh.ground.errors import WireError
from mesh.wire.handshake import MESSAGE_MAX_BYTES, PREAMBLE_SIZE
from mesh.wire.noise import KEY_SIZE, NONCE_MAX, OVERHEAD, TAG_SIZE, nonce_of

DATAGRAM_MAX_BYTES: Final = 1_232
"""What every IPv6 path carries in one packet (1,280 bytes), less its header and UDP's; IPv4's are as good by now."""

PARTS_MAX: Final = 4
"""Datagrams that a handshake message may take; all of today's take one."""

INDEX_SIZE: Final = 8
COOKIE_SIZE: Final = 16
COOKIE_NONCE_SIZE: Final = 24
COUNTER_SIZE: Final = 8

NO_COOKIE: Final = bytes(COOKIE_SIZE)

KEYS_LABEL: Final = b"meshnode 1 datagrams"
"""Names the further output of the handshake that datagrams are sealed with."""

WINDOW: Final = 1_024
"""How far a datagram may come behind the newest one; a megabyte of the longest."""

_COOKIE_CONTEXT: Final = "meshnode 1 datagram cookie"
_MESSAGE_1_SIZE: Final = OVERHEAD[0]
_FIRST_SIZE: Final = 2 + COOKIE_SIZE + INDEX_SIZE + PREAMBLE_SIZE + _MESSAGE_1_SIZE
_PART_HEAD: Final = 3 + 2 * INDEX_SIZE
_SEALED_HEAD: Final = 1 + INDEX_SIZE + COUNTER_SIZE
_COOKIE_SENT_SIZE: Final = 1 + INDEX_SIZE + COOKIE_NONCE_SIZE + COOKIE_SIZE + TAG_SIZE

PAYLOAD_MAX_BYTES: Final = DATAGRAM_MAX_BYTES - _SEALED_HEAD - TAG_SIZE

assert PARTS_MAX * (DATAGRAM_MAX_BYTES - _PART_HEAD) >= MESSAGE_MAX_BYTES
assert _COOKIE_SENT_SIZE <= _FIRST_SIZE, "a cookie must be no longer than the shortest question"


class Kind(enum.IntEnum):
    """A datagram's first byte; numbers are never used twice."""

    FIRST = 1
    SECOND = 2
    THIRD = 3
    COOKIE = 4
    SEALED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The whole of message 1, and a question for one part of message 2."""

    part: int
    cookie: bytes
    """What the answerer gave, or `NO_COOKIE`."""
    index: bytes
    preamble: bytes
    message: bytes

    def encode(self, size: int) -> bytes:
        """Return `size` bytes, which bound the answer."""
        assert _FIRST_SIZE <= size <= DATAGRAM_MAX_BYTES
        head = bytes([Kind.FIRST, self.part]) + self.cookie
        return (head + self.index + self.preamble + self.message).ljust(size, b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of message 2 or 3."""

    kind: Kind
    number: int
    count: int
    to: bytes
    """The receiver's index."""
    sender: bytes
    body: bytes

    def encode(self) -> bytes:
        """Return the bytes."""
        assert self.kind in {Kind.SECOND, Kind.THIRD}
        return bytes([self.kind, self.number, self.count]) + self.to + self.sender + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieSent:
    """An answer that costs nothing: come again, with this."""

    to: bytes
    nonce: bytes
    sealed: bytes

    def encode(self) -> bytes:
        """Return the bytes."""
        return bytes([Kind.COOKIE]) + self.to + self.nonce + self.sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A datagram under a pair's keys."""

    to: bytes
    counter: int
    head: bytes
    """All that stands before the ciphertext; the cipher covers it too."""
    ciphertext: bytes


Datagram: TypeAlias = First | Part | CookieSent | Sealed


def decode(data: bytes) -> Datagram:
    """Return what a datagram says; raise `WireError`."""
    if not 0 < len(data) <= DATAGRAM_MAX_BYTES:
        raise WireError(f"a datagram of {len(data)} bytes")
    match data[0]:
        case Kind.FIRST:
            return _decode_first(data)
        case Kind.SECOND | Kind.THIRD:
            return _decode_part(data)
        case Kind.COOKIE if len(data) == _COOKIE_SENT_SIZE:
            nonce_at = 1 + INDEX_SIZE
            sealed_at = nonce_at + COOKIE_NONCE_SIZE
            return CookieSent(to=data[1:nonce_at], nonce=data[nonce_at:sealed_at], sealed=data[sealed_at:])
        case Kind.SEALED if len(data) >= _SEALED_HEAD + TAG_SIZE:
            counter_at = 1 + INDEX_SIZE
            return Sealed(
                to=data[1:counter_at],
                counter=int.from_bytes(data[counter_at:_SEALED_HEAD], "big"),
                head=data[:_SEALED_HEAD],
                ciphertext=data[_SEALED_HEAD:],
            )
    raise WireError("a datagram of no known kind")


def _decode_first(data: bytes) -> First:
    if len(data) < _FIRST_SIZE or data[1] >= PARTS_MAX:
        raise WireError("a first datagram that is cut short, or asks for a part that there cannot be")
    index_at = 2 + COOKIE_SIZE
    preamble_at = index_at + INDEX_SIZE
    message_at = preamble_at + PREAMBLE_SIZE
    return First(
        part=data[1],
        cookie=data[2:index_at],
        index=data[index_at:preamble_at],
        preamble=data[preamble_at:message_at],
        message=data[message_at:_FIRST_SIZE],  # what follows is there for its length alone
    )


def _decode_part(data: bytes) -> Part:
    if len(data) <= _PART_HEAD or not data[1] < data[2] <= PARTS_MAX:
        raise WireError("no part of a handshake message")
    to, sender = data[3 : 3 + INDEX_SIZE], data[3 + INDEX_SIZE : _PART_HEAD]
    return Part(kind=Kind(data[0]), number=data[1], count=data[2], to=to, sender=sender, body=data[_PART_HEAD:])


def parted(kind: Kind, message: bytes, *, to: bytes, sender: bytes, size: int) -> tuple[Part, ...]:
    """Cut a handshake message into parts whose datagrams have at most `size` bytes."""
    room = size - _PART_HEAD
    count = -(-len(message) // room)
    assert 1 <= count <= PARTS_MAX, f"a handshake message of {len(message)} bytes in datagrams of {size}"
    return tuple(
        Part(
            kind=kind,
            number=number,
            count=count,
            to=to,
            sender=sender,
            body=message[number * room : (number + 1) * room],
        )
        for number in range(count)
    )


class Collector:
    """Puts the parts of one message together: the newest of each number counts, of however many the last one said."""

    __slots__ = ("_bodies", "_count")

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}
        self._count = 0

    def take(self, part: Part) -> bytes | None:
        """Return the message once every part is here, and begin anew then; raise `WireError` if it is too long."""
        if part.count != self._count:
            self._bodies.clear()
            self._count = part.count
        self._bodies[part.number] = part.body
        if len(self._bodies) < self._count:
            return None
        message = b"".join(self._bodies[number] for number in range(self._count))
        self._bodies.clear()
        if len(message) > MESSAGE_MAX_BYTES:
            raise WireError(f"a handshake message of {len(message)} bytes")
        return message

    def missing(self) -> tuple[int, ...]:
        """Return the numbers of the parts to ask for: the first alone while nothing is known of the others."""
        return tuple(number for number in range(self._count or 1) if number not in self._bodies)


class ReplayWindow:
    """Which counters were seen: all that lie `WINDOW` or more behind the newest count as seen."""

    __slots__ = ("_next", "_seen")

    def __init__(self) -> None:
        self._next = 0
        """The newest counter seen, and one."""
        self._seen = 0
        """A bit for each of the last `WINDOW` counters, the newest in the lowest."""

    def fresh(self, counter: int) -> bool:
        """Whether a datagram with this counter may be opened."""
        behind = self._next - 1 - counter
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def mark(self, counter: int) -> None:
        """Note that one was."""
        assert self.fresh(counter)
        behind = self._next - 1 - counter
        if behind >= 0:
            self._seen |= 1 << behind
            return
        # Not by the whole distance: a counter near 2^64 would ask for as many bits.
        self._seen = (self._seen << -behind if -behind < WINDOW else 0) & (1 << WINDOW) - 1 | 1
        self._next = counter + 1


class DatagramSealer:
    """The sending end of a pair."""

    __slots__ = ("_counter", "_key", "_to")

    def __init__(self, key: bytes, to: bytes) -> None:
        assert len(key) == KEY_SIZE and len(to) == INDEX_SIZE
        self._key = key
        self._to = to
        self._counter = 0

    def seal(self, payload: bytes) -> bytes:
        """Return a datagram that carries `payload`."""
        assert len(payload) <= PAYLOAD_MAX_BYTES, f"a payload of {len(payload)} bytes"
        assert self._counter < NONCE_MAX
        head = bytes([Kind.SEALED]) + self._to + self._counter.to_bytes(COUNTER_SIZE, "big")
        nonce = nonce_of(self._counter)
        self._counter += 1
        return head + bindings.crypto_aead_chacha20poly1305_ietf_encrypt(payload, head, nonce, self._key)


class DatagramOpener:
    """The receiving end of a pair."""

    __slots__ = ("_key", "_window")

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_SIZE
        self._key = key
        self._window = ReplayWindow()

    def open(self, sealed: Sealed) -> bytes:
        """Return the payload; raise `WireError` for what was opened before, came too late, or nobody sealed."""
        if sealed.counter >= NONCE_MAX or not self._window.fresh(sealed.counter):
            raise WireError("a datagram that was here before, or comes too late")
        nonce = nonce_of(sealed.counter)
        try:
            plain = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed.ciphertext, sealed.head, nonce, self._key)
        except CryptoError as error:
            raise WireError("a datagram that does not decrypt") from error
        # Only now: what nobody sealed must not move the window.
        self._window.mark(sealed.counter)
        return plain


def seal_cookie(cookie: bytes, first: First, *, secret: bytes, nonce: bytes) -> CookieSent:
    """Return a cookie that only a member can read, and only for this message 1; `nonce` is random, used once."""
    sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(cookie, first.message, nonce, _cookie_key(secret))
    return CookieSent(to=first.index, nonce=nonce, sealed=sealed)


def open_cookie(sent: CookieSent, message: bytes, *, secret: bytes) -> bytes:
    """Return the cookie that answers the message 1 `message`; raise `WireError`."""
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sent.sealed, message, sent.nonce, _cookie_key(secret)
        )
    except CryptoError as error:
        raise WireError("a cookie that does not decrypt") from error


def _cookie_key(secret: bytes) -> bytes:
    return blake3(secret, derive_key_context=_COOKIE_CONTEXT).digest()
