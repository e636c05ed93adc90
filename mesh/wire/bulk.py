"""What is said on a bulk connection: asking for manifests and pieces, and their bytes in parts.

A packet is its number (1 byte) and fixed fields, big-endian; bytes of pieces come last and as they are, so that
nothing is copied or parsed that need not be:

    1 AskManifest   blob (32)
    2 AskPieces     blob (32) | piece number (4), 1 to 256 times
    3 ManifestSent  the manifest's canonical bytes
    4 Part          piece number (4) | offset in the piece (4) | at most 256 KiB of it
    5 NotHere       piece number (4); 2**32 - 1 stands for the manifest

Only the side that dialled asks. Answers come in the order of the questions, the parts of a piece without gaps and in
order, so that no answer names its blob. Invariants: decoding any bytes gives a message or a `WireError`. The module
does not know where pieces come from, nor whether they are right: that is for their manifest.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, BlobId
from mesh.wire.cipher import DATA_PACKET_MAX_BYTES
from mesh.wire.manifest import MANIFEST_MAX_BYTES, PIECE_MAX_BYTES

PART_MAX_BYTES: Final = 256 * 1024
"""Sealing in portions of this size is fastest: larger ones fall out of the processor's cache."""

ASK_MAX_PIECES: Final = 256
"""Piece numbers in one question: a quarter of a gigabyte at least, and a packet of a kilobyte."""

MANIFEST: Final = 2**32 - 1
"""Stands for the manifest where a piece number is expected; no blob has so many pieces."""

_ASK_MANIFEST, _ASK_PIECES, _MANIFEST_SENT, _PART, _NOT_HERE = range(1, 6)
_NUMBER: Final = struct.Struct(">I")
_PART_HEAD: Final = struct.Struct(">BII")
_NOT_HERE_BODY: Final = struct.Struct(">BI")

# The bound on manifests is loose; what their largest blob makes of them fits, number included.
assert MANIFEST_MAX_BYTES <= DATA_PACKET_MAX_BYTES
assert _PART_HEAD.size + PART_MAX_BYTES <= DATA_PACKET_MAX_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class AskManifest:
    """Send the manifest of this blob."""

    blob: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPieces:
    """Send these pieces of this blob, in this order."""

    blob: BlobId
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        assert 1 <= len(self.numbers) <= ASK_MAX_PIECES


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSent:
    """The canonical bytes of the manifest that was asked for."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The next bytes of a piece."""

    number: int
    offset: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHere:
    """The sender does not have this piece, or, as `MANIFEST`, the manifest."""

    number: int


Question: TypeAlias = AskManifest | AskPieces
Answer: TypeAlias = ManifestSent | Part | NotHere
BulkMessage: TypeAlias = Question | Answer


def encode(message: BulkMessage) -> bytes:
    """Return the packet of `message`."""
    match message:
        case AskManifest(blob=blob):
            return bytes([_ASK_MANIFEST]) + blob
        case AskPieces(blob=blob, numbers=numbers):
            return bytes([_ASK_PIECES]) + blob + struct.pack(f">{len(numbers)}I", *numbers)
        case ManifestSent(data=data):
            return bytes([_MANIFEST_SENT]) + data
        case Part(number=number, offset=offset, data=data):
            assert 0 < len(data) <= PART_MAX_BYTES
            return b"".join((_PART_HEAD.pack(_PART, number, offset), data))
        case NotHere(number=number):
            return _NOT_HERE_BODY.pack(_NOT_HERE, number)


def decode_question(packet: bytes) -> Question:
    """Return the question in a packet, or raise `WireError`."""
    if len(packet) > ID_SIZE:
        blob, rest = BlobId(packet[1 : 1 + ID_SIZE]), packet[1 + ID_SIZE :]
        if packet[0] == _ASK_MANIFEST and not rest:
            return AskManifest(blob=blob)
        count, odd = divmod(len(rest), _NUMBER.size)
        if packet[0] == _ASK_PIECES and not odd and 1 <= count <= ASK_MAX_PIECES:
            return AskPieces(blob=blob, numbers=struct.unpack(f">{count}I", rest))
    raise WireError("not a question about pieces")


def decode_answer(packet: bytes) -> Answer:
    """Return the answer in a packet, or raise `WireError`."""
    number = packet[0] if packet else None
    if number == _PART and 0 < len(packet) - _PART_HEAD.size <= PART_MAX_BYTES:
        _, piece, offset = _PART_HEAD.unpack_from(packet)
        if offset >= PIECE_MAX_BYTES:
            raise WireError("a part beyond the largest piece")
        return Part(number=piece, offset=offset, data=memoryview(packet)[_PART_HEAD.size :])
    if number == _MANIFEST_SENT and 0 < len(packet) - 1 <= MANIFEST_MAX_BYTES:
        return ManifestSent(data=packet[1:])
    if number == _NOT_HERE and len(packet) == _NOT_HERE_BODY.size:
        return NotHere(number=_NOT_HERE_BODY.unpack(packet)[1])
    raise WireError("not an answer about pieces")


def parts(number: int, piece: bytes) -> Iterator[Part]:
    """Yield a piece in parts."""
    view = memoryview(piece)
    for offset in range(0, len(piece), PART_MAX_BYTES):
        yield Part(number=number, offset=offset, data=view[offset : offset + PART_MAX_BYTES])


class Collector:
    """Puts answers together into the pieces and manifests that were asked for, in the order of the asking.

    It holds at most one piece that is not whole.
    """

    __slots__ = ("_awaited", "_filled", "_piece", "awaited_bytes")

    def __init__(self) -> None:
        self._awaited: deque[tuple[int, int]] = deque()
        self._piece = bytearray()
        self._filled = 0
        self.awaited_bytes = 0
        """What has been asked for and has not come, in bytes; a manifest counts nothing."""

    @property
    def idle(self) -> bool:
        """Whether every question has its answer."""
        return not self._awaited

    def expect(self, number: int, size: int) -> None:
        """Await piece `number`, of `size` bytes, or the manifest, as `MANIFEST`, of no known size."""
        assert (size == 0) == (number == MANIFEST)
        self._awaited.append((number, size))
        self.awaited_bytes += size

    def take(self, answer: Answer) -> tuple[int, bytes | None] | None:
        """Return (number, bytes) of what `answer` completes, no bytes for what is not there; None if more has to come.

        Raises `WireError` for an answer to something else than the oldest open question.
        """
        if not self._awaited:
            raise WireError("an answer that nobody asked for")
        number, size = self._awaited[0]
        match answer:
            case ManifestSent(data=data) if number == MANIFEST:
                return self._completed(number, data)
            case NotHere() if answer.number == number and not self._filled:
                return self._completed(number, None)
            case Part() if answer.number == number and answer.offset == self._filled:
                if self._filled + len(answer.data) > size:
                    raise WireError("a piece longer than its manifest says")
                return self._fill(number, size, answer.data)
        raise WireError("an answer out of order")

    def _fill(self, number: int, size: int, data: bytes | memoryview) -> tuple[int, bytes | None] | None:
        self._piece += data
        self._filled += len(data)
        if self._filled < size:
            return None
        piece = bytes(self._piece)
        self._piece.clear()
        self._filled = 0
        return self._completed(number, piece)

    def _completed(self, number: int, data: bytes | None) -> tuple[int, bytes | None]:
        _, size = self._awaited.popleft()
        self.awaited_bytes -= size
        return number, data
