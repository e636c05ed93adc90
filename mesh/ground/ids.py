"""Identifiers: plain bytes at run time, distinct types to the checker.

An id is always the name of something by hash or a random nonce; nothing may be read out of its bits. Ids are never
put into sets that the core iterates, since the order of a set depends on the process's hash seed.
"""

from typing import NewType

PeerId = NewType("PeerId", bytes)
"""32 bytes: BLAKE3 of the peer's Ed25519 public key."""

MeshId = NewType("MeshId", bytes)
"""32 bytes: BLAKE3 of the mesh's root public key."""

PublicKey = NewType("PublicKey", bytes)
"""32 bytes: an Ed25519 public key."""

RecordId = NewType("RecordId", bytes)
"""32 bytes: the hash of a signed statement, its signature left out."""

JobId = NewType("JobId", bytes)
"""32 bytes: the record id of the job's own record."""

BlobId = NewType("BlobId", bytes)
"""32 bytes: the hash of a blob's manifest, which depends on the blob's bytes alone."""

Boot = NewType("Boot", bytes)
"""16 random bytes drawn at each start of a peer's process."""

ID_SIZE = 32
BOOT_SIZE = 16

_SHORT_DIGITS = 8


def short(identifier: bytes) -> str:
    """Return the first eight hexadecimal digits, for people's eyes only."""
    return identifier.hex()[:_SHORT_DIGITS]
