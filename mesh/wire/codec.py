"""From frozen dataclasses to canonical CBOR and back, by the dataclasses' own annotations.

A type is written as a list of its fields in the order of their declaration; fields are only ever appended, with a
default, so that a newer peer reads what an older one wrote. Bounds stand where the field is declared, as
`Annotated[..., Size(n)]` and its like: a decoded value has been through them, and nothing else has to check again.

A union is written as [number, fields]; the numbers come from the types' own `NUMBER`, which is never used twice.
"""

import dataclasses
from collections.abc import Callable
from functools import cache
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

from mesh.ground.errors import WireError
from mesh.ground.ids import BOOT_SIZE, ID_SIZE, BlobId, Boot, JobId, MeshId, PeerId, PublicKey, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.cbor import Value

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
    """How one type is written and read."""

    write: Callable[[Any], Value]
    read: Callable[[Value], Any]


_WALL = Between(0, 2**62)

#: What the distinct id types are at run time.
_FIXED: dict[object, object] = {
    PeerId: Size(ID_SIZE),
    MeshId: Size(ID_SIZE),
    PublicKey: Size(ID_SIZE),
    RecordId: Size(ID_SIZE),
    JobId: Size(ID_SIZE),
    BlobId: Size(ID_SIZE),
    Boot: Size(BOOT_SIZE),
    WallTime: _WALL,
}


def to_value(thing: object) -> Value:
    """Return the CBOR value of a dataclass."""
    return codec_of(type(thing)).write(thing)


def from_value(kind: type[T], value: Value) -> T:
    """Return the dataclass of type `kind` that `value` holds; raises `WireError`."""
    return cast(T, codec_of(kind).read(value))


def codec_of(annotation: object) -> Codec:
    """Return the codec of an annotation; raises `TypeError` where the annotation has no bounds: a bug of ours."""
    return _codec(annotation)


@cache
def _codec(annotation: Any) -> Codec:
    if isinstance(annotation, NewType):
        return _newtype(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        base, bound = get_args(annotation)[:2]
        return _bounded(base, bound)
    if origin in (Union, UnionType):
        return _union(get_args(annotation))
    if getattr(annotation, "CODED", False) or getattr(origin, "CODED", False):
        return cast(Codec, (origin or annotation).codec(get_args(annotation)))
    if annotation is bool:
        return Codec(write=lambda flag: flag, read=_read_bool)
    if dataclasses.is_dataclass(annotation):
        return _fields(cast(type, annotation))
    raise TypeError(f"no bounded codec for {annotation!r}")


def _newtype(annotation: NewType) -> Codec:
    bound = _FIXED.get(annotation)
    if isinstance(bound, Size):
        return _bounded(bytes, bound)
    if isinstance(bound, Between):
        return _bounded(int, bound)
    raise TypeError(f"no bound known for {annotation!r}")


def _read_bool(value: Value) -> bool:
    if not isinstance(value, bool):
        raise WireError("expected true or false")
    return value


def _bounded(base: Any, bound: object) -> Codec:
    match base, bound:
        case _ if base is bytes and isinstance(bound, Size):
            return Codec(write=bytes, read=lambda value: _read_bytes(value, bound.exactly, bound.exactly))
        case _ if base is bytes and isinstance(bound, AtMost):
            return Codec(write=bytes, read=lambda value: _read_bytes(value, 0, bound.length))
        case _ if base is str and isinstance(bound, AtMost):
            return Codec(write=str, read=lambda value: _read_text(value, bound.length))
        case _ if base is int and isinstance(bound, Between):
            return Codec(write=int, read=lambda value: _read_int(value, bound))
        case _ if get_origin(base) is tuple and isinstance(bound, AtMost):
            return _tuple(codec_of(get_args(base)[0]), bound.length)
    raise TypeError(f"no codec for {base!r} bounded by {bound!r}")


def _read_bytes(value: Value, least: int, most: int) -> bytes:
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        raise WireError(f"expected {least} to {most} bytes")
    return value


def _read_text(value: Value, most: int) -> str:
    if not isinstance(value, str) or len(value.encode()) > most:
        raise WireError(f"expected text of at most {most} bytes")
    return value


def _read_int(value: Value, bound: Between) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not bound.low <= value <= bound.high:
        raise WireError(f"expected an integer from {bound.low} to {bound.high}")
    return value


def _tuple(item: Codec, most: int) -> Codec:
    def read(value: Value) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise WireError(f"expected a list of at most {most}")
        return tuple(item.read(entry) for entry in value)

    return Codec(write=lambda entries: [item.write(entry) for entry in entries], read=read)


def _union(options: tuple[Any, ...]) -> Codec:
    if NoneType in options:
        (only,) = [option for option in options if option is not NoneType]
        inner = codec_of(only)
        return Codec(
            write=lambda thing: None if thing is None else inner.write(thing),
            read=lambda value: None if value is None else inner.read(value),
        )
    by_number = {option.NUMBER: option for option in options}
    assert len(by_number) == len(options), f"a number is used twice in {options}"

    def read(value: Value) -> Any:
        match value:
            case [int(number), body] if not isinstance(number, bool) and number in by_number:
                return codec_of(by_number[number]).read(body)
        raise WireError("expected one of a union")

    return Codec(write=lambda thing: [type(thing).NUMBER, codec_of(type(thing)).write(thing)], read=read)


def _fields(kind: type) -> Codec:
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    codecs = [(field.name, codec_of(hints[field.name])) for field in fields]
    required = sum(field.default is dataclasses.MISSING for field in fields)

    def read(value: Value) -> Any:
        if not isinstance(value, list) or not required <= len(value) <= len(codecs):
            raise WireError(f"expected the fields of {kind.__name__}")
        try:
            return kind(**{name: codec.read(item) for (name, codec), item in zip(codecs, value, strict=False)})
        except ValueError as error:  # what a dataclass's own __post_init__ refuses
            raise WireError(str(error)) from error

    return Codec(write=lambda thing: [codec.write(getattr(thing, name)) for name, codec in codecs], read=read)
