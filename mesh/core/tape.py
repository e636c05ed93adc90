"""What is on a tape: who a core was, all that it heard, and a digest of all that it asked for.

Theory: a core is a function of who it is, its seed, and what it hears at which time. So its tape is that, written down,
with a digest of each effect: a core that hears it again must ask for the same. Keys are no part of it: what the core
had signed is on the tape instead, in its order, and whoever replays it gives it back. A tape begins with `MAGIC`; each
entry is one frame:

    length, 4 bytes little-endian | check, 8 bytes of BLAKE3 | entry, canonical CBOR

A process that is killed tears the last frame at most, and what is whole before it counts.

Invariants: whatever the core hears can be written and is read again as it was; a type that cannot is found when the
types are first looked at. No entry holds a key, a secret of a mesh, or what a key signs with. The module must not know
what any event or effect means.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NewType, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from blake3 import blake3

from mesh.core.effects import Effect
from mesh.core.events import Event
from mesh.core.me import Me
from mesh.core.membership import Chain
from mesh.ground.errors import MeshError, WireError
from mesh.ground.ids import Boot, MeshId, PublicKey
from mesh.ground.instants import Instant, Now, WallTime
from mesh.ground.tape_limits import TAPE_MAX_BYTES
from mesh.wire import cbor
from mesh.wire.cbor import Value
from mesh.wire.codec import codec_of

MAGIC: Final = b"meshnode tape 1\n"
DIGEST_BYTES: Final = 8
CHECK_BYTES: Final = 8
_LENGTH_BYTES: Final = 4
HEAD_BYTES: Final = _LENGTH_BYTES + CHECK_BYTES


class TapeDamaged(MeshError):
    """The file is no tape, or is damaged before its end. Record another one: `meshnode join --tape DIR`."""

    exit_code = 59


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Stands first: whose core it was, all but its key."""

    program: str
    """Which version recorded it: another one's core may ask for something else."""
    key: PublicKey
    chain: Chain
    mesh: MeshId
    boot: Boot
    name: str
    everybody: int
    seed: bytes
    """Of the core's dice."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The core heard an event."""

    now: Now
    event: Event


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What it had signed in that turn, and the names and digests of the effects that it asked for."""

    signatures: tuple[bytes, ...]
    effects: tuple[tuple[str, bytes], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """In that turn the core broke a rule of its own instead, by an error of this name."""

    signatures: tuple[bytes, ...]
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Stands last where the tape was full; what came later is not on it."""


TapeEntry: TypeAlias = Head | Heard | Asked | Broke | Full
_KINDS: Final[tuple[type[TapeEntry], ...]] = get_args(TapeEntry)
"""An entry's number is its place here: only ever add at the end."""


def head_of(me: Me, seed: bytes, program: str) -> Head:
    """Return a core's first entry."""
    return Head(
        program=program,
        key=me.signer.key,
        chain=me.chain,
        mesh=me.mesh,
        boot=me.boot,
        name=me.name,
        everybody=me.everybody,
        seed=seed,
    )


def digests(effects: Sequence[Effect]) -> tuple[tuple[str, bytes], ...]:
    """Return each effect's name and digest; signatures within them count, ids alone would leave them out."""
    return tuple(
        (
            type(effect).__name__,
            blake3(cbor.encode(_way(cast(Any, type(effect))).write(effect))).digest(length=DIGEST_BYTES),
        )
        for effect in effects
    )


def frame(entry: TapeEntry) -> bytes:
    """Return the bytes of an entry as they stand on the tape."""
    kind = type(entry)
    body = cbor.encode([_KINDS.index(kind), _way(cast(Any, kind)).write(entry)])
    return len(body).to_bytes(_LENGTH_BYTES, "little") + _check(body) + body


def read_tape(read: Callable[[int], bytes]) -> Iterator[TapeEntry]:
    """Yield the entries of a tape up to where it was torn; `read` gives the next bytes, fewer only at its end.

    Raises `TapeDamaged` where it is no tape, or damaged before its last frame.
    """
    if read(len(MAGIC)) != MAGIC:
        raise TapeDamaged("it does not begin as a tape does")
    while len(head := read(HEAD_BYTES)) == HEAD_BYTES:
        length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        if length > TAPE_MAX_BYTES:
            raise TapeDamaged(f"an entry of {length} bytes")
        body = read(length)
        if len(body) < length:
            return
        if _check(body) != head[_LENGTH_BYTES:]:
            if read(1):
                raise TapeDamaged("an entry in its middle is not as it was written")
            return
        yield _entry(body)


def _entry(body: bytes) -> TapeEntry:
    try:
        match cbor.numbered(cbor.decode(body, TAPE_MAX_BYTES, TAPE_MAX_BYTES)):
            case (number, fields) if 0 <= number < len(_KINDS):
                entry: TapeEntry = _way(cast(Any, _KINDS[number])).read(fields)
                return entry
    except (WireError, ValueError, KeyError, TypeError) as error:
        raise TapeDamaged(f"an entry that this program cannot read: {error}") from error
    raise TapeDamaged("an entry that this program does not know")


def _check(body: bytes) -> bytes:
    return blake3(body).digest(length=CHECK_BYTES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How the values of one annotation are written and read."""

    write: Callable[[Any], Value]
    read: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


@cache
def _way(annotation: Any) -> _Way:
    """Return how an annotation's values go onto a tape; raises `TypeError` where they cannot."""
    origin = get_origin(annotation)
    if isinstance(annotation, NewType):
        return _way(annotation.__supertype__)
    if annotation in (bool, int, str, bytes):
        return _Way(write=_plain, read=_same)
    if annotation is Now:
        return _Way(
            write=lambda now: [now.instant, now.wall],
            read=lambda said: Now(instant=Instant(said[0]), wall=WallTime(said[1])),
        )
    if origin is tuple:
        return _tuple(get_args(annotation))
    if origin in (Union, UnionType):
        return _union(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _Way(write=lambda member: member.value, read=annotation)
    if _of_the_wire(annotation):
        return _as_bytes(annotation)
    if dataclasses.is_dataclass(annotation):
        return _fields(annotation)
    raise TypeError(f"nothing writes {annotation!r} onto a tape")


def _plain(value: Any) -> Value:
    """Return what CBOR knows: of an enum's member the plain integer."""
    return value if isinstance(value, bool) or not isinstance(value, int) else +value


def _tuple(items: tuple[Any, ...]) -> _Way:
    if items[1:] == (...,):
        each = _way(items[0])
        return _Way(
            write=lambda values: [each.write(value) for value in values],
            read=lambda values: tuple(map(each.read, values)),
        )
    ways = [_way(item) for item in items]
    return _Way(
        write=lambda values: [way.write(value) for way, value in zip(ways, values, strict=True)],
        read=lambda values: tuple(way.read(value) for way, value in zip(ways, values, strict=True)),
    )


def _union(options: tuple[Any, ...]) -> _Way:
    some = tuple(option for option in options if option is not NoneType)
    if len(some) == 1:
        inner = _way(some[0])
    elif all(_of_the_wire(option) and hasattr(option, "NUMBER") for option in some):
        inner = _as_bytes(Union[some])  # noqa: UP007 (made of what is in hand)
    else:
        inner = _named(some)
    if len(some) == len(options):
        return inner
    return _Way(
        write=lambda value: None if value is None else inner.write(value),
        read=lambda value: None if value is None else inner.read(value),
    )


def _named(options: tuple[Any, ...]) -> _Way:
    """Return how one of several types of the core's own goes: under its name."""
    ways = {option.__name__: _way(option) for option in options}
    return _Way(
        write=lambda thing: [type(thing).__name__, ways[type(thing).__name__].write(thing)],
        read=lambda said: ways[said[0]].read(said[1]),
    )


def _of_the_wire(annotation: Any) -> bool:
    """Whether the wire has an encoding of its own for this type."""
    kind = get_origin(annotation) or annotation
    return dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "").startswith("mesh.wire.")


def _as_bytes(annotation: Any) -> _Way:
    """Return how what the wire encodes goes: as these very bytes, so that lists within lists stay few."""
    codec = codec_of(annotation)
    return _Way(
        write=lambda thing: cbor.encode(codec.write(thing)),
        read=lambda data: codec.read(cbor.decode(data, TAPE_MAX_BYTES, TAPE_MAX_BYTES)),
    )


def _fields(kind: Any) -> _Way:
    hints = get_type_hints(kind)
    ways = {field.name: _way(hints[field.name]) for field in dataclasses.fields(kind)}
    return _Way(
        write=lambda thing: [way.write(getattr(thing, name)) for name, way in ways.items()],
        read=lambda said: kind(
            **{name: way.read(value) for (name, way), value in zip(ways.items(), said, strict=True)}
        ),
    )


for _kind in (*_KINDS, *get_args(Effect)):
    _way(_kind)  # what the core may hear and ask for is known now, so that none is found wanting on a running peer
