"""Pieces cover a blob exactly, its id follows from its bytes alone, and a wrong piece never fits."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import cbor
from mesh.wire.manifest import (
    BLOB_MAX_BYTES,
    MANIFEST_MAX_BYTES,
    MIB,
    PIECE_MAX_BYTES,
    Manifest,
    PieceSet,
    blob_id,
    decode,
    decode_for,
    encode,
    manifest_of,
    piece_count,
    piece_size,
)

GIB = 1024 * MIB
HASH = bytes(32)


def test_an_id_is_the_hash_of_the_bytes_that_the_reference_shows() -> None:
    for content, encoded in (
        (b"", b"\x82\x00\x80"),
        (b"meshnode", b"\x82\x08\x81\x58\x20" + blake3(b"meshnode").digest()),
    ):
        manifest = manifest_of(content)
        assert encode(manifest) == encoded
        assert blob_id(manifest) == blake3(encoded, derive_key_context="meshnode blob manifest v1").digest()


def test_ids_stay_what_they_were() -> None:
    assert blob_id(manifest_of(b"")).hex() == "f0ad752ed414da3bf82d57575e974fcc6f199d852b0791dfc72de1fbebe414fd"
    assert (
        blob_id(manifest_of(bytes(MIB + 1))).hex() == "e53c21734eb07674cd6530abe5737b3dc3b76e5b3f55b04b89e33ec6e2b911a7"
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, MIB),
        (2 * GIB, MIB),
        (2 * GIB + 1, 2 * MIB),
        (4 * GIB, 2 * MIB),
        (4 * GIB + 1, 4 * MIB),
        (16 * GIB + 1, 16 * MIB),
        (BLOB_MAX_BYTES, PIECE_MAX_BYTES),
    ],
)
def test_pieces_double_with_the_blob(size: int, expected: int) -> None:
    assert piece_size(size) == expected


@given(st.integers(0, BLOB_MAX_BYTES))
def test_extents_cover_a_blob_without_gap_or_overlap(size: int) -> None:
    manifest = Manifest(size=size, pieces=(HASH,) * piece_count(size))
    if not manifest.pieces:
        assert size == 0
        return
    last = len(manifest.pieces) - 1
    offset, length = manifest.extent(last)
    assert offset == last * manifest.piece_size
    assert 0 < length <= manifest.piece_size
    assert offset + length == size
    assert manifest.extent(0)[0] == 0


def test_the_largest_manifest_stays_within_its_bound() -> None:
    largest = Manifest(size=BLOB_MAX_BYTES, pieces=(HASH,) * piece_count(BLOB_MAX_BYTES))
    data = encode(largest)
    assert len(data) <= MANIFEST_MAX_BYTES
    assert decode(data) == largest


@given(st.binary(max_size=64), st.integers(0, 8))
def test_encode_and_decode_are_inverse(content: bytes, pieces: int) -> None:
    manifest = manifest_of(content + bytes(pieces * MIB))
    assert decode(encode(manifest)) == manifest
    assert decode_for(blob_id(manifest), encode(manifest)) == manifest


def test_only_the_right_bytes_fit() -> None:
    content = b"a" * MIB + b"bc"
    manifest = manifest_of(content)
    assert manifest.fits(0, content[:MIB])
    assert manifest.fits(1, memoryview(content)[MIB:])
    assert not manifest.fits(1, b"bd")
    assert not manifest.fits(1, b"bc\0")
    assert not manifest.fits(0, b"bc")
    assert not manifest.fits(2, b"")
    assert not manifest.fits(-1, b"bc")


def test_numbers_name_the_pieces_that_bytes_lie_in() -> None:
    manifest = manifest_of(bytes(3 * MIB))
    assert list(manifest.numbers(0, 1)) == [0]
    assert list(manifest.numbers(MIB - 1, 2)) == [0, 1]
    assert list(manifest.numbers(MIB, 2 * MIB)) == [1, 2]
    assert list(manifest.numbers(3 * MIB, 0)) == []


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1, []],
        [0, [HASH]],
        [1, [HASH[1:]]],
        [1, ["x" * 32]],
        [True, [HASH]],
        [-1, []],
        [BLOB_MAX_BYTES + 1, []],
        [1, [HASH], 0],
    ],
)
def test_what_is_no_manifest_is_refused(value: cbor.Value) -> None:
    with pytest.raises(WireError):
        decode(cbor.encode(value))


def test_another_blobs_manifest_is_refused() -> None:
    with pytest.raises(WireError, match="another blob"):
        decode_for(blob_id(manifest_of(b"a")), encode(manifest_of(b"b")))


@given(st.integers(0, 70).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, max(0, count - 1))))))
def test_a_set_of_pieces_is_what_its_numbers_say(case: tuple[int, set[int]]) -> None:
    count, numbers = case[0], case[1] if case[0] else set()
    pieces = PieceSet(count=count)
    for number in numbers:
        pieces = pieces.plus(number)
    assert list(pieces) == sorted(numbers)
    assert len(pieces) == len(numbers)
    assert set(pieces.missing()) == set(range(count)) - numbers
    assert pieces.complete == (len(numbers) == count)
    assert all((number in pieces) == (number in numbers) for number in range(-1, count + 1))
    assert PieceSet.decode(count, pieces.encode()) == pieces
    for number in numbers:
        pieces = pieces.minus(number)
    assert pieces == PieceSet(count=count)


@pytest.mark.parametrize(("count", "data"), [(8, b""), (8, b"\1\0"), (7, b"\x80"), (0, b"\0")])
def test_a_set_with_stray_bits_is_refused(count: int, data: bytes) -> None:
    with pytest.raises(WireError):
        PieceSet.decode(count, data)
