"""The beacon: the datagram by which peers of one mesh find each other on a LAN, and from which others learn nothing.

    nonce (24 bytes, random) | XChaCha20-Poly1305 of: length (2, big-endian), a `Beacon`, zeros

The key is derived from the mesh secret and the mesh's id. Every beacon has the same size and looks random: without the
secret two beacons of one peer, or of one mesh, cannot be told from those of others by their bytes. What a network shows
anyway stays visible: which host sent it, when, and to which port.

A beacon proves only that its sender knows the mesh secret, which every invite holds, and it can be recorded and sent
again. So it is a hint where to dial and nothing else; who answers proves itself there. Its `wall` only rises, so that
whoever heard a newer one takes an old one for nothing.

The module draws no entropy and reads no clock.
"""

import dataclasses
from typing import Annotated, Final

from blake3 import blake3
from nacl import bindings
from nacl.exceptions import CryptoError

from mesh.ground.errors import WireError
from mesh.ground.ids import MeshId, PeerId
from mesh.ground.instants import WallTime
from mesh.wire import cbor
from mesh.wire.codec import AtMost, Between, from_value, most_bytes, to_value
from mesh.wire.messages import Address
from mesh.wire.noise import TAG_SIZE

NONCE_SIZE: Final = 24
LENGTH_SIZE: Final = 2
PLAIN_SIZE: Final = 488
SIZE: Final = NONCE_SIZE + PLAIN_SIZE + TAG_SIZE
"""528 bytes: under half of what every IPv6 link carries whole."""

MAX_TOLD: Final = 4
"""Addresses in a beacon: beside the one that it comes from, a host has few that others on its LAN can use."""

_LABEL: Final = b"meshnode 1 beacon"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Beacon:
    """Who speaks on this LAN, and where it accepts channels."""

    peer: PeerId
    wall: WallTime
    """When it was made, by its maker's clock; higher in each of its beacons."""
    port: Annotated[int, Between(0, 65_535)]
    """Where it listens at the address that the beacon comes from; 0: only at those below."""
    addresses: Annotated[tuple[Address, ...], AtMost(MAX_TOLD)]


assert LENGTH_SIZE + most_bytes(Beacon) <= PLAIN_SIZE, "a beacon that does not fit"


def beacon_key(mesh: MeshId, secret: bytes) -> bytes:
    """Return the key of a mesh's beacons: meshes of the same name, even of the same secret, have different ones."""
    return blake3(_LABEL + mesh, key=secret).digest()


def seal(beacon: Beacon, key: bytes, nonce: bytes) -> bytes:
    """Return the datagram; `nonce` are 24 uniformly random bytes, used once."""
    assert len(nonce) == NONCE_SIZE
    body = cbor.encode(to_value(beacon))
    plain = (len(body).to_bytes(LENGTH_SIZE, "big") + body).ljust(PLAIN_SIZE, b"\0")
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, b"", nonce, key)


def unseal(datagram: bytes, key: bytes) -> Beacon:
    """Return what a datagram says; raise `WireError` for one that no holder of `key` made."""
    if len(datagram) != SIZE:
        raise WireError(f"a beacon of {len(datagram)} bytes")
    nonce, sealed = datagram[:NONCE_SIZE], datagram[NONCE_SIZE:]
    try:
        plain = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, b"", nonce, key)
    except CryptoError as error:
        raise WireError("a beacon of nobody in this mesh") from error
    return from_value(Beacon, cbor.decode(_body(plain), PLAIN_SIZE))


def _body(plain: bytes) -> bytes:
    end = LENGTH_SIZE + int.from_bytes(plain[:LENGTH_SIZE], "big")
    if end > PLAIN_SIZE or any(plain[end:]):
        raise WireError("a beacon that is filled with something")
    return plain[LENGTH_SIZE:end]
