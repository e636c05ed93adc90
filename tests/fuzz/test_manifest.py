"""Any bytes are a manifest, a tree or a set of pieces, or a `WireError`; what decodes encodes to the same bytes."""

from collections.abc import Callable

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import manifest as manifests
from mesh.wire import tree as trees
from mesh.wire.manifest import MIB, PieceSet, manifest_of

# Nearly right values reach the checks behind the decoder; raw bytes and flipped bits reach the decoder itself.
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=40)
HASHES = st.binary(min_size=31, max_size=33)
VALUES = (
    st.tuples(st.integers(-1, 3 * MIB), st.lists(HASHES, max_size=4)).map(list)
    | st.lists(st.tuples(st.text(max_size=8), HASHES, st.integers(), st.integers()).map(list), max_size=4)
    | st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
)
BYTES = st.binary(max_size=200) | VALUES.map(cbor2.dumps)
DECODERS = [
    pytest.param(lambda data: manifests.encode(manifests.decode(data)), id="manifest"),
    pytest.param(lambda data: trees.encode(trees.decode(data)), id="tree"),
    pytest.param(lambda data: PieceSet.decode(40, data).encode(), id="pieces"),
]


def attempt(there_and_back: Callable[[bytes], bytes], data: bytes) -> None:
    try:
        again = there_and_back(data)
    except WireError:
        return
    assert again == data


@pytest.mark.parametrize("there_and_back", DECODERS)
@given(data=BYTES)
def test_any_bytes_decode_or_raise_a_wire_error(there_and_back: Callable[[bytes], bytes], data: bytes) -> None:
    attempt(there_and_back, data)


@given(content=st.binary(max_size=100), at=st.integers(0), bit=st.integers(0, 7))
def test_a_manifest_with_one_bit_changed_is_not_the_blobs(content: bytes, at: int, bit: int) -> None:
    manifest = manifest_of(content)
    data = bytearray(manifests.encode(manifest))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(WireError):
        manifests.decode_for(manifests.blob_id(manifest), bytes(data))
