"""Canonical CBOR with bounds: the only door through which bytes become values.

One value has one encoding (RFC 8949, section 4.2.1: shortest heads, definite lengths), so that a hash of the bytes
names the value. Only integers of 64 bits, byte and text strings, lists, booleans and null exist; there are no maps,
floats, tags or cycles, since nothing here needs them and each is a way to say one thing twice.

The reader is our own and knows nothing else. A general one builds whatever bytes ask for before anybody can refuse it:
shared references that make a cycle, or a kilobyte that unfolds into terabytes; maps whose keys collide; patterns to be
compiled. This one makes at most one object for each byte, and none before it has seen that the bytes are there. It
needs no second encoding either to tell what is canonical: a longer head than needed is refused where it stands.
"""

from typing import Final, TypeAlias

import cbor2

from mesh.ground.errors import WireError

Value: TypeAlias = "bool | int | bytes | str | list[Value] | None"

MAX_DEPTH: Final = 12
"""Lists within lists: twice what our deepest message needs, far below what a stack holds."""

MAX_ITEMS: Final = 1 << 17
"""Values in one encoding: more than a control packet has bytes, and at most some 10 MiB of memory."""

LONGEST_TAG: Final = 1 + 9
"""Bytes of [number, ...] around a value, at most."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_MAJOR_SHIFT: Final = 5
_LOW_BITS: Final = 0x1F
_LOW_MOST: Final = 23
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST = range(5)
_SIMPLE: Final[dict[int, bool | None]] = {0xF4: False, 0xF5: True, 0xF6: None}

#: By the low bits of a head that is longer than a byte: how many bytes follow, and the least number that needs them.
_LONG_HEADS: Final = {24: (1, 24), 25: (2, 1 << 8), 26: (4, 1 << 16), 27: (8, 1 << 32)}


def encode(value: Value) -> bytes:
    """Return the one encoding of `value`, made of the types that `Value` names."""
    return cbor2.dumps(value)


def decode(data: bytes, limit: int, items: int = MAX_ITEMS) -> Value:
    """Return the value that `data` encodes canonically, in at most `limit` bytes and `items` values.

    Raises `WireError` when `data` is longer, malformed, not canonical, nested deeper than `MAX_DEPTH`, followed by more
    bytes, or holds a type that `Value` does not name.
    """
    if len(data) > limit:
        raise WireError(f"{len(data)} bytes where at most {limit} are allowed")
    try:
        value, end = _read(data, items)
    except IndexError as error:
        raise WireError("CBOR that is cut off") from error
    except KeyError as error:
        raise WireError("CBOR of a kind that is never used") from error
    except UnicodeDecodeError as error:
        raise WireError("text that is not UTF-8") from error
    if end != len(data):
        raise WireError("bytes after a CBOR value")
    return value


def numbered(value: Value) -> tuple[int, Value] | None:
    """Return the number and the rest of what is told as a list of these two; None for anything else.

    To Python true and false are numbers, too: a peer that says them for one is not understood.
    """
    match value:
        case [bool(), _]:
            return None
        case [int(number), rest]:
            return number, rest
        case _:
            return None


def head_size(number: int) -> int:
    """Return how many bytes the head of `number`, a length or an integer from 0, takes."""
    return 1 + next((size for size, least in reversed(_LONG_HEADS.values()) if number >= least), 0)


def _read(data: bytes, items: int) -> tuple[Value, int]:
    """Return the first value in `data` and where it ends.

    Lists that are still open stand on a stack of our own, each with the count of values that it waits for, so that
    nothing in the bytes decides how deep calls go.
    """
    size = len(data)
    outer: list[tuple[list[Value], int]] = []
    inner: list[Value] = []
    waits = 1
    at = 0
    while True:
        head = data[at]
        at += 1
        major = head >> _MAJOR_SHIFT
        number = head & _LOW_BITS
        if number > _LOW_MOST:
            width, least = _LONG_HEADS[number]
            number = int.from_bytes(data[at : at + width], "big")
            at += width
            if not least <= number <= INT_MAX or at > size:
                raise WireError("a CBOR head that is cut off, too long or beyond 63 bits")
        if major == _BYTES or major == _TEXT:  # noqa: PLR1714, SIM109 (a tuple would be made for every value)
            start, at = at, at + number
            if at > size:
                raise WireError("a CBOR string that is cut off")
            inner.append(data[start:at] if major == _BYTES else data[start:at].decode())
        elif major == _UNSIGNED:
            inner.append(number)
        elif major == _LIST:
            items -= number
            if items < 0 or number > size - at or len(outer) >= MAX_DEPTH:
                raise WireError("a CBOR list that is too long, too deep or cut off")
            made: list[Value] = []
            inner.append(made)
            if number:
                outer.append((inner, waits))
                inner, waits = made, number
                continue
        elif major == _NEGATIVE:
            inner.append(-1 - number)
        else:
            inner.append(_SIMPLE[head])
        waits -= 1
        while not waits:
            if not outer:
                return inner[0], at
            inner, waits = outer.pop()
            waits -= 1
