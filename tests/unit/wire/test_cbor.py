"""The door for bytes: one encoding a value, and nothing that a hostile one could have us build."""

import tracemalloc

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import cbor

LIMIT = 64 * 1024

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def hexed(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def depth(value: cbor.Value) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values.filter(lambda value: depth(value) <= cbor.MAX_DEPTH))
def test_what_was_encoded_is_decoded(value: cbor.Value) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data, len(data)) == value
    assert cbor2.loads(data) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        # From RFC 8949, appendix A.
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1a000f4240", 1_000_000),
        ("1b000000e8d4a51000", 1_000_000_000_000),
        ("20", -1),
        ("3903e7", -1000),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("4401020304", b"\1\2\3\4"),
        ("62c3bc", "ü"),
        ("80", []),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("1b7fffffffffffffff", 2**63 - 1),
        ("3b7fffffffffffffff", -(2**63)),
    ],
)
def test_published_examples(data: str, value: cbor.Value) -> None:
    decoded = cbor.decode(hexed(data), LIMIT)
    assert decoded == value
    assert type(decoded) is type(value)
    assert cbor.encode(value) == hexed(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "nothing"),
        ("1817", "a head of two bytes for 23"),
        ("1900ff", "a head of three bytes for 255"),
        ("1a0000ffff", "a head of five bytes for 65,535"),
        ("1b00000000ffffffff", "a head of nine bytes for 2**32 - 1"),
        ("5801 00", "a long head of a string"),
        ("980100", "a long head of a list"),
        ("1b8000000000000000", "an integer beyond 63 bits"),
        ("3b8000000000000000", "a negative one"),
        ("c24101", "an integer as a tagged string"),
        ("0000", "a second value"),
        ("8101 00", "a byte after a list"),
        ("18", "a head without its number"),
        ("19ff", "half of it"),
        ("1affffff", "three quarters"),
        ("4201", "a string that is cut off"),
        ("8201", "a list that is cut off"),
        ("9fff", "a list without a length"),
        ("5f4101ff", "a string without a length"),
        ("7f6161ff", "text without a length"),
        ("ff", "the end of what never began"),
        ("a0", "a map"),
        ("f97e00", "a float"),
        ("fb3ff0000000000000", "a long float"),
        ("f7", "undefined"),
        ("e0", "a simple value"),
        ("f820", "a simple value with a byte of its own"),
        ("f8f4", "false in two bytes"),
        ("1c", "a reserved head"),
        ("5d00", "a reserved head of a string"),
        ("63eda080", "a lone surrogate"),
        ("62c080", "text with a zero in two bytes"),
        ("61ff", "text that is not UTF-8"),
        ("d9d9f700", "the tag that says: this is CBOR"),
        ("d81c81d81d00", "a list that contains itself"),
        ("81d81c82d81d00d81d00", "one that contains itself twice"),
        ("d81e820100", "a fraction over nothing"),
        ("c5821b7fffffffffffffff03", "a power of two with 2**63 digits"),
        ("d9010280", "a set"),
    ],
)
def test_what_has_no_place_is_refused(data: str, why: str) -> None:
    with pytest.raises(WireError):
        cbor.decode(hexed(data), LIMIT)


@pytest.mark.parametrize("head", ["5b", "7b", "9b", "bb", "db"])
@pytest.mark.parametrize("announced", [2**63 - 1, 2**60, 2**32, 2**31 - 1])
def test_an_announced_length_costs_nothing(head: str, announced: int) -> None:
    data = hexed(head) + announced.to_bytes(8, "big") + bytes(1000)
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            cbor.decode(data, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_worst_packet_takes_memory_in_proportion() -> None:
    lists = LIMIT - 3
    data = b"\x99" + lists.to_bytes(2, "big") + b"\x80" * lists
    tracemalloc.start()
    try:
        assert cbor.decode(data, LIMIT) == [[]] * lists
        assert tracemalloc.get_traced_memory()[1] < 100 * LIMIT
    finally:
        tracemalloc.stop()


def test_references_unfold_into_nothing() -> None:
    """Ten references to the list before, in each of eight lists: 10**8 values if anybody followed them."""
    lists = [hexed("d81c8a") + bytes(10)]
    lists += [hexed("d81c8a") + (hexed("d81d") + bytes([at])) * 10 for at in range(8)]
    with pytest.raises(WireError):
        cbor.decode(b"\x89" + b"".join(lists), LIMIT)


def test_items_are_bounded_beside_bytes() -> None:
    data = cbor.encode([[1, 2], [3, 4]])
    assert cbor.decode(data, LIMIT, items=6) == [[1, 2], [3, 4]]
    with pytest.raises(WireError):
        cbor.decode(data, LIMIT, items=5)
    with pytest.raises(WireError):
        cbor.decode(b"\x9a" + (1 << 20).to_bytes(4, "big") + bytes(1 << 20), 1 << 21)


@pytest.mark.parametrize("opening", ["81", "c1", "a100", "d81c81"])
def test_depth_is_bounded(opening: str) -> None:
    with pytest.raises(WireError):
        cbor.decode(hexed(opening) * 10_000 + b"\0", LIMIT)


def test_depth_is_bounded_exactly() -> None:
    deepest = b"\x81" * cbor.MAX_DEPTH + b"\0"
    assert depth(cbor.decode(deepest, LIMIT)) == cbor.MAX_DEPTH
    with pytest.raises(WireError):
        cbor.decode(b"\x81" + deepest, LIMIT)
    with pytest.raises(WireError):
        cbor.decode(b"\x81" * cbor.MAX_DEPTH + b"\x80", LIMIT)


def test_more_bytes_than_allowed_are_not_looked_at() -> None:
    data = cbor.encode(bytes(100))
    assert cbor.decode(data, len(data)) == bytes(100)
    with pytest.raises(WireError, match="at most 101"):
        cbor.decode(data, len(data) - 1)


@given(st.integers(0, 2**63 - 1))
def test_the_size_of_a_head_is_known(number: int) -> None:
    assert cbor.head_size(number) == len(cbor.encode(number))
