"""Pieces and manifests: how a blob gets a name that depends on its bytes alone.

A blob is cut into pieces of one size, which its own size determines; its manifest is the size and the BLAKE3 hash of
each piece, in canonical form; its id is the hash of the manifest, in a domain of its own, so that no other statement's
hash can pass for it. Whoever has the manifest can verify any piece alone, from any source, in any order.

Invariants: a `Manifest` that exists is well formed, and two manifests of the same bytes are equal. A piece that fits
its manifest is exactly right: there is no "probably". The module must not know where pieces lie or who has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, BlobId
from mesh.wire import cbor

MIB = 1024 * 1024

PIECE_MIN_BYTES = 1 * MIB
"""Small enough to pass on after a tenth of a second at 100 Mbit/s, large enough that 32 bytes of hash are no burden."""

PIECE_MAX_BYTES = 16 * MIB
"""The largest part that a peer holds in memory unverified, per piece in flight."""

SMALL_BLOB_BYTES = 2048 * MIB
"""Up to this size a blob is cut into the smallest pieces; from there on a doubled size doubles the piece."""

BLOB_MAX_BYTES = 256 * 1024 * MIB
"""The largest blob; its manifest then has 16,384 hashes and still fits one bulk packet of 1 MiB."""

MANIFEST_MAX_BYTES = MIB
"""Encoded size of the largest manifest, with room to spare; one bulk packet holds it."""

_HASH_HEAD_BYTES = 2
_DOMAIN = "meshnode blob manifest v1"

assert BLOB_MAX_BYTES // PIECE_MAX_BYTES * (ID_SIZE + _HASH_HEAD_BYTES) + 32 <= MANIFEST_MAX_BYTES
assert SMALL_BLOB_BYTES % PIECE_MIN_BYTES == 0
assert PIECE_MAX_BYTES % PIECE_MIN_BYTES == 0


def piece_size(blob_size: int) -> int:
    """Return the size in bytes of every piece but the last of a blob of `blob_size` bytes."""
    size, reach = PIECE_MIN_BYTES, SMALL_BLOB_BYTES
    while blob_size > reach and size < PIECE_MAX_BYTES:
        size, reach = 2 * size, 2 * reach
    return size


def piece_count(blob_size: int) -> int:
    """Return how many pieces a blob of `blob_size` bytes has; an empty blob has none."""
    return -(-blob_size // piece_size(blob_size))


def piece_hash(piece: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte hash by which a manifest names `piece`."""
    return blake3(piece).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A blob's size in bytes and the hash of each of its pieces, in order."""

    size: int
    pieces: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.size <= BLOB_MAX_BYTES:
            raise WireError(f"a blob of {self.size} bytes is beyond the bound of {BLOB_MAX_BYTES}")
        if len(self.pieces) != piece_count(self.size):
            raise WireError(f"{len(self.pieces)} pieces do not make a blob of {self.size} bytes")
        if any(len(name) != ID_SIZE for name in self.pieces):
            raise WireError("a piece's hash does not have 32 bytes")

    @property
    def piece_size(self) -> int:
        """Size in bytes of every piece but the last."""
        return piece_size(self.size)

    def extent(self, number: int) -> tuple[int, int]:
        """Return (offset, size) in bytes of piece `number`, counted from 0."""
        assert 0 <= number < len(self.pieces)
        offset = number * self.piece_size
        return offset, min(self.piece_size, self.size - offset)

    def numbers(self, offset: int, size: int) -> range:
        """Return the numbers of the pieces that hold the `size` bytes from `offset` on."""
        assert 0 <= offset <= offset + size <= self.size
        if size == 0:
            return range(0)
        return range(offset // self.piece_size, (offset + size - 1) // self.piece_size + 1)

    def fits(self, number: int, piece: bytes | bytearray | memoryview) -> bool:
        """Say whether `piece` is exactly the bytes of piece `number`; any number and any bytes may be asked about."""
        if not 0 <= number < len(self.pieces) or memoryview(piece).nbytes != self.extent(number)[1]:
            return False
        return piece_hash(piece) == self.pieces[number]


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes of `manifest`, at most `MANIFEST_MAX_BYTES`."""
    return cbor.encode([manifest.size, list(manifest.pieces)])


def decode(data: bytes) -> Manifest:
    """Return the manifest that `data` encodes, or raise `WireError`."""
    match cbor.numbered(cbor.decode(data, MANIFEST_MAX_BYTES)):
        case (size, list(pieces)):
            return Manifest(size=size, pieces=tuple(_hashes(pieces)))
        case _:
            pass
    raise WireError("a manifest is a list of a size and of pieces")


def blob_id(manifest: Manifest) -> BlobId:
    """Return the id of the blob that `manifest` describes."""
    return encoded_blob_id(encode(manifest))


def encoded_blob_id(data: bytes) -> BlobId:
    """Return the id of the blob whose canonical manifest is `data`; it does not check that `data` is one."""
    return BlobId(blake3(data, derive_key_context=_DOMAIN).digest())


def decode_for(blob: BlobId, data: bytes) -> Manifest:
    """Return the manifest of `blob` that `data` encodes; raise `WireError` when it is another blob's, or none."""
    manifest = decode(data)
    if encoded_blob_id(data) != blob:
        raise WireError("the manifest is of another blob")
    return manifest


def manifest_of(data: bytes) -> Manifest:
    """Return the manifest of a blob that is wholly in memory."""
    size = len(data)
    view, step = memoryview(data), piece_size(size)
    return Manifest(size=size, pieces=tuple(piece_hash(view[at : at + step]) for at in range(0, size, step)))


def _hashes(pieces: list[cbor.Value]) -> Iterator[bytes]:
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise WireError("a piece's hash is not a byte string")
        yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceSet:
    """Some of the `count` pieces of one blob: bit n of `bits` stands for piece n."""

    count: int
    bits: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.bits < 1 << self.count

    def __contains__(self, number: int) -> bool:
        return 0 <= number < self.count and bool(self.bits >> number & 1)

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __iter__(self) -> Iterator[int]:
        bits = self.bits
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1
            bits ^= lowest

    @property
    def complete(self) -> bool:
        """Whether every piece is here; an empty blob always is."""
        return self.bits == (1 << self.count) - 1

    def missing(self) -> "PieceSet":
        """Return the pieces that are not here."""
        return PieceSet(count=self.count, bits=self.bits ^ ((1 << self.count) - 1))

    def plus(self, number: int) -> "PieceSet":
        """Return this set with piece `number`."""
        assert 0 <= number < self.count
        return PieceSet(count=self.count, bits=self.bits | 1 << number)

    def minus(self, number: int) -> "PieceSet":
        """Return this set without piece `number`."""
        return PieceSet(count=self.count, bits=self.bits & ~(1 << number))

    def encode(self) -> bytes:
        """Return ceil(count / 8) bytes, piece 0 in the lowest bit of the first."""
        return self.bits.to_bytes(-(-self.count // 8), "little")

    @staticmethod
    def decode(count: int, data: bytes) -> "PieceSet":
        """Return the set of `count` pieces that `data` encodes; raise `WireError` for a wrong length or stray bits."""
        bits = int.from_bytes(data, "little")
        if len(data) != -(-count // 8) or bits >> count:
            raise WireError(f"{len(data)} bytes are not a set of {count} pieces")
        return PieceSet(count=count, bits=bits)

    @staticmethod
    def full(count: int) -> "PieceSet":
        """Return the set of all `count` pieces."""
        return PieceSet(count=count, bits=(1 << count) - 1)
