"""Canonical CBOR with bounds: the only door through which bytes become values.

One value has one encoding (RFC 8949, section 4.2.1: shortest heads, definite lengths), so that a hash of the bytes
names the value. Only integers of 64 bits, byte and text strings, lists, booleans and null exist; there are no maps,
floats, tags or cycles, since nothing here needs them and each is a way to say one thing twice.
"""

from typing import TypeAlias

import cbor2

from mesh.ground.errors import WireError

Value: TypeAlias = "bool | int | bytes | str | list[Value] | None"

MAX_DEPTH = 12
_INT_MIN = -(2**63)
_INT_MAX = 2**63 - 1


def encode(value: Value) -> bytes:
    """Return the one encoding of `value`, made of the types that `Value` names."""
    return cbor2.dumps(value)


def decode(data: bytes, limit: int) -> Value:
    """Return the value that `data` encodes canonically.

    Raises `WireError` when `data` is longer than `limit` bytes, malformed, not canonical, nested deeper than
    `MAX_DEPTH`, followed by more bytes, or holds a type that `Value` does not name.
    """
    if len(data) > limit:
        raise WireError(f"{len(data)} bytes where at most {limit} are allowed")
    try:
        value = cbor2.loads(data, allow_indefinite=False, allow_duplicate_keys=False, max_depth=MAX_DEPTH)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WireError(f"not CBOR: {type(error).__name__}") from error
    checked = _checked(value)
    # Whatever laxity the library has left (long heads, bytes after the value) shows as a different encoding.
    if encode(checked) != data:
        raise WireError("not canonical CBOR")
    return checked


def _checked(value: object) -> Value:
    if value is None or isinstance(value, bool | bytes | str):
        return value
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise WireError("an integer beyond 64 bits")
        return value
    if isinstance(value, list):
        return [_checked(item) for item in value]
    raise WireError(f"a value of type {type(value).__name__}")
