"""From frozen dataclasses to canonical CBOR and back, by the dataclasses' own annotations.

A type is written as a list of its fields in the order of their declaration. Fields are only ever appended, with a
default; trailing fields that have their defaults are left out, always, so that a newer peer reads what an older one
wrote, and would write the same bytes itself: one value has one encoding across versions too.

Bounds stand where the field is declared, as `Annotated[..., Size(n)]` and its like. A decoded value has been through
them, and nothing else has to check again. A value that is written is held to them by assertions: what comes from the
world (a name that a person typed, the reason that an engine gave) is cut to size where it enters, by `clipped`. From
the bounds follows the greatest size of every type, so that whether a message fits is known when it is declared.

A union is written as [number, fields]; the numbers come from the types' own `NUMBER`, which is never used twice.
"""

import dataclasses
from collections.abc import Callable
from functools import cache
from operator import attrgetter, call
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    NewType,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from mesh.ground.errors import NewerError, WireError
from mesh.ground.ids import BOOT_SIZE, ID_SIZE, BlobId, Boot, JobId, MeshId, PeerId, PublicKey, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.cbor import INT_MAX, INT_MIN, Value, head_size, numbered

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """The exact length of a byte string."""

    exactly: int


@dataclasses.dataclass(frozen=True, slots=True)
class AtMost:
    """The greatest length of a string, in bytes (text: in UTF-8), or of a tuple."""

    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class Between:
    """The range of an integer, both ends allowed."""

    low: int
    high: int


class Coded(Protocol):
    """A type that brings its own codec instead of fields."""

    CODED: ClassVar[bool]

    def to_value(self) -> Value: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How one type is written and read, and how large it gets."""

    write: Callable[[Any], Value]
    read: Callable[[Value], Any]
    most_bytes: int
    """The greatest size of its encoding."""
    depth: int
    """Lists within lists in its encoding, at the deepest place."""


#: What the distinct types of the ground are at run time.
_FIXED: dict[object, Size | Between] = {
    PeerId: Size(ID_SIZE),
    MeshId: Size(ID_SIZE),
    PublicKey: Size(ID_SIZE),
    RecordId: Size(ID_SIZE),
    JobId: Size(ID_SIZE),
    BlobId: Size(ID_SIZE),
    Boot: Size(BOOT_SIZE),
    WallTime: Between(0, 2**62),
}


def to_value(thing: object) -> Value:
    """Return the CBOR value of a dataclass."""
    return codec_of(cast(Any, type(thing))).write(thing)


def from_value(kind: type[T], value: Value) -> T:
    """Return the dataclass of type `kind` that `value` holds; raises `WireError`."""
    return cast(T, codec_of(cast(Any, kind)).read(value))


def most_bytes(kind: Any) -> int:
    """Return the greatest size in bytes of the encoding of `kind`, a type or an annotation."""
    return codec_of(kind).most_bytes


def most_items(kind: type, field: str) -> int:
    """Return how many items the tuple `field` of `kind` may hold."""
    return _most_items(kind, field)


@cache
def _most_items(kind: type, field: str) -> int:
    base, bound = get_args(get_type_hints(kind, include_extras=True)[field])
    assert get_origin(base) is tuple and isinstance(bound, AtMost), f"{kind.__name__}.{field} is no bounded tuple"
    return bound.length


def clipped(text: str, most: int) -> str:
    """Return `text` cut to at most `most` bytes of UTF-8, at the end of a character, so that any text can be written.

    What has no UTF-8, such as the undecodable bytes of a file name, becomes a question mark.
    """
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


@cache
def codec_of(annotation: Any) -> Codec:
    """Return the codec of an annotation; raises `TypeError` where the annotation has no bounds: a bug of ours."""
    if isinstance(annotation, NewType):
        return _newtype(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bounded(*_annotated(annotation))
    if origin in (Union, UnionType):
        return _union(get_args(annotation))
    if getattr(annotation, "CODED", False) or getattr(origin, "CODED", False):
        return cast(Codec, (origin or annotation).codec(get_args(annotation)))
    if annotation is bool:
        return Codec(write=_read_bool, read=_read_bool, most_bytes=1, depth=0)
    if dataclasses.is_dataclass(annotation):
        return _fields(cast(type, annotation))
    raise TypeError(f"no bounded codec for {annotation!r}")


def _annotated(annotation: Any) -> tuple[Any, object]:
    base, *bounds = get_args(annotation)
    if len(bounds) == 1:
        return base, bounds[0]
    # Nested annotations are flattened by Python: which of the bounds holds would depend on their order.
    raise TypeError(f"more than one bound in {annotation!r}")


def _newtype(annotation: NewType) -> Codec:
    match _FIXED.get(annotation):
        case Size() as size:
            return _bytes(size.exactly, size.exactly)
        case Between() as between:
            return _int(between)
        case None:
            raise TypeError(f"no bound known for {annotation!r}")


def _bounded(base: Any, bound: object) -> Codec:
    match bound:
        case Size() if base is bytes:
            return _bytes(bound.exactly, bound.exactly)
        case AtMost() if base is bytes:
            return _bytes(0, bound.length)
        case AtMost() if base is str:
            return _text(bound.length)
        case Between() if base is int:
            return _int(bound)
        case AtMost() if get_origin(base) is tuple and get_args(base)[1:] == (...,):
            return _tuple(codec_of(get_args(base)[0]), bound.length)
    raise TypeError(f"no codec for {base!r} bounded by {bound!r}")


def _read_bool(value: Value) -> bool:
    if value is not True and value is not False:
        raise WireError("expected true or false")
    return value


def _bytes(least: int, most: int) -> Codec:
    def write(value: bytes) -> Value:
        assert least <= len(value) <= most, f"{len(value)} bytes where {least} to {most} are allowed"
        return value

    def read(value: Value) -> bytes:
        if not isinstance(value, bytes) or not least <= len(value) <= most:
            raise WireError(f"expected {least} to {most} bytes")
        return value

    return Codec(write=write, read=read, most_bytes=head_size(most) + most, depth=0)


def _text(most: int) -> Codec:
    def write(value: str) -> Value:
        assert len(value.encode()) <= most, f"text of more than {most} bytes"
        return value

    def read(value: Value) -> str:
        if not isinstance(value, str) or len(value.encode()) > most:
            raise WireError(f"expected text of at most {most} bytes")
        return value

    return Codec(write=write, read=read, most_bytes=head_size(most) + most, depth=0)


def _int(bound: Between) -> Codec:
    low, high = bound.low, bound.high
    if not INT_MIN <= low <= high <= INT_MAX:
        raise TypeError(f"no integers in {bound}")

    def write(value: int) -> Value:
        assert low <= value <= high, f"{value} where {low} to {high} are allowed"
        return +value  # of a bool or an enum's member the plain integer, at no cost

    def read(value: Value) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise WireError(f"expected an integer from {low} to {high}")
        return value

    longest = max(head_size(end if end >= 0 else -1 - end) for end in (low, high))
    return Codec(write=write, read=read, most_bytes=longest, depth=0)


def _tuple(item: Codec, most: int) -> Codec:
    write_item, read_item = item.write, item.read

    def write(entries: tuple[Any, ...]) -> Value:
        assert len(entries) <= most, f"{len(entries)} items where at most {most} are allowed"
        return list(map(write_item, entries))

    def read(value: Value) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise WireError(f"expected a list of at most {most}")
        return tuple(map(read_item, value))

    return Codec(write=write, read=read, most_bytes=head_size(most) + most * item.most_bytes, depth=1 + item.depth)


def _union(options: tuple[Any, ...]) -> Codec:
    if NoneType in options:
        return _optional(codec_of(Union[tuple(option for option in options if option is not NoneType)]))  # noqa: UP007
    by_number = {option.NUMBER: codec_of(option) for option in options}
    by_type = {option: (option.NUMBER, codec_of(option).write) for option in options}
    if len(by_number) != len(options):
        raise TypeError(f"a number is used twice in {options}")
    newest = max(by_number)

    def write(thing: object) -> Value:
        number, write_body = by_type[type(thing)]
        return [number, write_body(thing)]

    def read(value: Value) -> Any:
        match numbered(value):
            case (number, body) if number in by_number:
                return by_number[number].read(body)
            case (number, _) if number > newest:
                raise NewerError(f"one of a union has the number {number}, which this program does not know")
        raise WireError("expected one of a union")

    return Codec(
        write=write,
        read=read,
        most_bytes=1 + max(head_size(number) + codec.most_bytes for number, codec in by_number.items()),
        depth=1 + max(codec.depth for codec in by_number.values()),
    )


def _optional(inner: Codec) -> Codec:
    return Codec(
        write=lambda thing: None if thing is None else inner.write(thing),
        read=lambda value: None if value is None else inner.read(value),
        most_bytes=inner.most_bytes,
        depth=inner.depth,
    )


def _fields(kind: type) -> Codec:
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    codecs = [codec_of(hints[name]) for name in names]
    readers = [codec.read for codec in codecs]
    writers = [codec.write for codec in codecs]
    values_of = _values_of(names)
    required = sum(field.default is dataclasses.MISSING for field in fields)
    defaults = [field.default for field in fields[required:]]
    if dataclasses.MISSING in defaults:
        raise TypeError(f"{kind.__name__} has a field without a default after one that has one")
    unsaid = list(map(call, writers[required:], defaults))

    def write(thing: object) -> Value:
        values = list(map(call, writers, values_of(thing)))
        while len(values) > required and values[-1] == unsaid[len(values) - required - 1]:
            values.pop()
        return values

    def read(value: Value) -> Any:
        if not isinstance(value, list) or len(value) < required:
            raise WireError(f"expected the fields of {kind.__name__}")
        if len(value) > len(names):
            raise NewerError(f"a {kind.__name__} says more than this program knows")
        given = list(map(call, readers, value))
        if len(value) > required and value[-1] == unsaid[len(value) - required - 1]:
            raise WireError(f"a default that {kind.__name__} leaves out")
        try:
            return kind(**dict(zip(names, given, strict=False)))
        except ValueError as error:  # what a dataclass's own __post_init__ refuses
            raise WireError(str(error)) from error

    return Codec(
        write=write,
        read=read,
        most_bytes=head_size(len(names)) + sum(codec.most_bytes for codec in codecs),
        depth=1 + max((codec.depth for codec in codecs), default=0),
    )


def _values_of(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return what gets all fields of a dataclass at once; `attrgetter` gives a bare value for a single name."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda thing: tuple(getattr(thing, name) for name in names)
