"""Any datagram, and any bytes that a holder of the secret seals, is a beacon or a `WireError`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from mesh.ground.errors import WireError
from mesh.ground.ids import MeshId
from mesh.wire import cbor
from mesh.wire.beacon import LENGTH_SIZE, NONCE_SIZE, PLAIN_SIZE, SIZE, Beacon, beacon_key, seal, unseal
from mesh.wire.codec import to_value
from tests.strategies import instances

KEY = beacon_key(MeshId(bytes(32)), bytes(32))
NONCE = bytes(NONCE_SIZE)

hosts = st.text(max_size=12) | st.sampled_from(["10.0.0.1", "fe80::1%eth0", "::", "%", "a b"])
values = (
    st.tuples(
        st.binary(min_size=31, max_size=33),
        st.integers(-1, 2**63 - 1),
        st.integers(-1, 65_536),
        st.lists(st.tuples(hosts, st.integers(-1, 65_536)).map(list), max_size=5),
    ).map(list)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=5),
        max_leaves=12,
    )
).filter(lambda value: len(cbor.encode(value)) <= PLAIN_SIZE - LENGTH_SIZE)


def sealed(plain: bytes) -> bytes:
    return NONCE + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, b"", NONCE, KEY)


def beacon_or_wire_error(plain: bytes) -> None:
    datagram = sealed(plain)
    try:
        beacon = unseal(datagram, KEY)
    except WireError:
        return
    assert seal(beacon, KEY, NONCE) == datagram, "two encodings of one beacon"


@given(datagram=st.binary(max_size=80) | st.binary(min_size=SIZE, max_size=SIZE))
def test_noise_is_no_beacon(datagram: bytes) -> None:
    with pytest.raises(WireError):
        unseal(datagram, KEY)


@given(plain=st.binary(max_size=120), filled=st.booleans())
def test_any_bytes_that_were_sealed(plain: bytes, filled: bool) -> None:
    beacon_or_wire_error(plain.ljust(PLAIN_SIZE, b"\0") if filled else plain)


@given(value=values, extra=st.integers(-3, 3), fill=st.sampled_from([b"\0", b"\1"]))
def test_values_of_nearly_the_right_form(value: cbor.Value, extra: int, fill: bytes) -> None:
    body = cbor.encode(value)
    size = max(0, len(body) + extra)
    beacon_or_wire_error((size.to_bytes(LENGTH_SIZE, "big") + body).ljust(PLAIN_SIZE, fill)[:PLAIN_SIZE])


@given(beacon=instances(Beacon))
def test_every_beacon_comes_back(beacon: Beacon) -> None:
    assert unseal(seal(beacon, KEY, NONCE), KEY) == beacon
    assert len(cbor.encode(to_value(beacon))) <= PLAIN_SIZE - LENGTH_SIZE
