"""The beacon: what members read in it, and that others read nothing."""

from dataclasses import replace

import pytest
from blake3 import blake3

from mesh.ground.errors import WireError
from mesh.ground.ids import MeshId, PeerId
from mesh.ground.instants import WallTime
from mesh.wire.beacon import NONCE_SIZE, SIZE, Beacon, beacon_key, seal, unseal
from mesh.wire.messages import Address
from tests.strategies import largest

MESH = MeshId(bytes(range(32)))
SECRET = bytes(range(32, 64))
KEY = beacon_key(MESH, SECRET)
BEACON = Beacon(
    peer=PeerId(b"p" * 32),
    wall=WallTime(1_790_000_000_000),
    port=40_001,
    addresses=(Address(host="192.168.1.5", port=40_001), Address(host="fd00::5", port=40_001)),
)
NONCES = (bytes(NONCE_SIZE), bytes(range(NONCE_SIZE)))


def test_a_beacon_comes_back_as_it_was() -> None:
    for beacon in (BEACON, replace(BEACON, port=0, addresses=()), largest(Beacon)):
        datagram = seal(beacon, KEY, NONCES[1])
        assert len(datagram) == SIZE
        assert unseal(datagram, KEY) == beacon


def test_two_beacons_of_one_peer_have_no_byte_in_common_but_by_chance() -> None:
    one, other = (seal(BEACON, KEY, nonce) for nonce in (b"\x00" * NONCE_SIZE, b"\xff" * NONCE_SIZE))
    alike = sum(a == b for a, b in zip(one, other, strict=True))
    assert alike < 16, "of random bytes one in 256 is alike"
    for beacon in (one, other):
        for telling in (BEACON.peer, MESH, b"192.168.1.5", b"fd00::5"):
            assert telling not in beacon


def test_another_mesh_of_the_same_secret_and_another_secret_read_nothing() -> None:
    datagram = seal(BEACON, KEY, NONCES[1])
    for key in (beacon_key(MeshId(bytes(32)), SECRET), beacon_key(MESH, bytes(32))):
        with pytest.raises(WireError):
            unseal(datagram, key)


def test_any_changed_or_missing_byte_makes_it_nothing() -> None:
    datagram = seal(BEACON, KEY, NONCES[1])
    for at in range(0, SIZE, 7):
        spoilt = bytearray(datagram)
        spoilt[at] ^= 1
        with pytest.raises(WireError):
            unseal(bytes(spoilt), KEY)
    for wrong in (b"", datagram[:-1], datagram + b"\0"):
        with pytest.raises(WireError):
            unseal(wrong, KEY)


def test_what_a_released_peer_sends_stays_readable() -> None:
    datagram = seal(BEACON, KEY, NONCES[1])
    assert KEY.hex() == "b50e4a90d615c09a36b3eb611d9547f7131922252ed3b9df961aeeb694622193"
    assert blake3(datagram).hexdigest() == "5488f8998fb750c3a6f1595e75c9372121d0b45ea633c0bb06c5c61ff8e84e71"
