"""Signed statements: one body, one author, one domain.

A signature covers the domain of the body's type, the author's key and the body's bytes as they travelled, so that a
statement of one kind never passes for another and nothing is encoded again before it is checked. The id of a statement
leaves the signature out: whoever signs the same body twice has said one thing. So an id that was checked once says
nothing about the signature on another copy: each copy is checked before it is kept or passed on.

Decoding gives a `Signed` whose signature nobody has looked at yet. `check` looks, at it and at all that it carries; the
shell does this in batches before anything reaches the core.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    NewType,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from blake3 import blake3

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, MeshId, PeerId, PublicKey, RecordId
from mesh.wire import cbor
from mesh.wire.cbor import head_size
from mesh.wire.codec import Codec, from_value, most_bytes, to_value

SIGNATURE_SIZE = 64
MAX_BODY_BYTES = 16 * 1024

_PREFIX = b"meshnode/1/"


class Body(Protocol):
    """What can be signed: a dataclass with a domain of its own."""

    DOMAIN: ClassVar[str]


B = TypeVar("B", bound=Body)


class Signer(Protocol):
    """Whoever can sign with one key."""

    @property
    def key(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes: ...


class Verifier(Protocol):
    """Whoever can tell a signature from a forgery."""

    def verifies(self, key: PublicKey, message: bytes, signature: bytes) -> bool: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signed(Generic[B]):
    """A statement, its author and the signature; equal to another when the ids are equal."""

    CODED: ClassVar[bool] = True

    body: B
    key: PublicKey
    data: bytes
    """The body's bytes as they travel."""
    signature: bytes
    author: PeerId
    id: RecordId

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Signed) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def to_value(self) -> cbor.Value:
        """Return what travels."""
        return [self.key, self.data, self.signature]

    @staticmethod
    def codec(arguments: tuple[Any, ...]) -> Codec:
        """Return the codec of `Signed[Body]`; raises `TypeError` for a body whose bounds exceed `MAX_BODY_BYTES`."""
        (kind,) = arguments
        body_bytes = most_bytes(kind)
        if body_bytes > MAX_BODY_BYTES:
            raise TypeError(f"a {kind.__name__} may have {body_bytes} bytes")
        return Codec(
            write=lambda signed: signed.to_value(),
            read=lambda value: _read(kind, value),
            most_bytes=1 + sum(head_size(size) + size for size in (ID_SIZE, body_bytes, SIGNATURE_SIZE)),
            depth=1,  # what is in the body's bytes is decoded by itself
        )


def message_of(domain: str, key: PublicKey, data: bytes) -> bytes:
    """Return the bytes that a signature covers."""
    return _PREFIX + domain.encode() + b"\0" + key + data


def peer_id(key: PublicKey) -> PeerId:
    """Return the id of the peer that owns `key`."""
    return _peer_id(key)


@lru_cache(maxsize=4096)  # every statement asks, and a mesh has few authors
def _peer_id(key: PublicKey) -> PeerId:
    return PeerId(blake3(key, derive_key_context="meshnode 1 peer id").digest())


def mesh_id(root: PublicKey) -> MeshId:
    """Return the id of the mesh whose root key is `root`."""
    return MeshId(blake3(root, derive_key_context="meshnode 1 mesh id").digest())


def sign(body: B, signer: Signer) -> Signed[B]:
    """Sign `body`."""
    data = cbor.encode(to_value(body))
    message = message_of(body.DOMAIN, signer.key, data)
    return _signed(body, signer.key, data, signer.sign(message))


def encode(signed: Signed[Any]) -> bytes:
    """Return the bytes of one signed statement, to be kept or sent by itself."""
    return cbor.encode(signed.to_value())


def decode(kind: type[B], data: bytes) -> Signed[B]:
    """Return the unchecked statement in `data`; raises `WireError`."""
    return _read(kind, cbor.decode(data, MAX_BODY_BYTES + SIGNATURE_SIZE + ID_SIZE + 16))


def check(thing: object, verifier: Verifier) -> None:
    """Check every signature in `thing`, a statement or a message, also of what statements carry; raises `WireError`."""
    for signed in statements(thing):
        message = message_of(type(signed.body).DOMAIN, signed.key, signed.data)
        if not verifier.verifies(signed.key, message, signed.signature):
            raise WireError(f"a forged signature under a {type(signed.body).DOMAIN}")


def statements(thing: object) -> Iterator[Signed[Any]]:
    """Yield every statement in `thing`, a value of a type that can be coded or a tuple of them; carriers come first."""
    if isinstance(thing, Signed):
        yield thing
        yield from statements(thing.body)
    elif isinstance(thing, tuple):
        for item in thing:
            yield from statements(item)
    elif thing is not None:
        for name in _carriers(cast(Any, type(thing))):
            yield from statements(getattr(thing, name))


@cache
def _carriers(kind: type) -> tuple[str, ...]:
    """Return the fields of `kind` that may carry statements: most messages have none, and are not looked through."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(field.name for field in dataclasses.fields(kind) if _may_carry(hints[field.name]))


def _may_carry(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Signed:
        return True
    if origin is Annotated or origin is tuple:
        return _may_carry(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(_may_carry(option) for option in get_args(annotation))
    if isinstance(annotation, NewType) or annotation in (bool, int, bytes, str, NoneType):
        return False
    return bool(_carriers(annotation))  # a `TypeError` for what is no dataclass: nothing may hide in it unchecked


def _signed(body: B, key: PublicKey, data: bytes, signature: bytes) -> Signed[B]:
    digest = blake3(message_of(body.DOMAIN, key, data)).digest()
    return Signed(body=body, key=key, data=data, signature=signature, author=peer_id(key), id=RecordId(digest))


def _read(kind: type[B], value: cbor.Value) -> Signed[B]:
    match value:
        case [bytes(key), bytes(data), bytes(signature)] if len(key) == ID_SIZE and len(signature) == SIGNATURE_SIZE:
            body = from_value(kind, cbor.decode(data, MAX_BODY_BYTES))
            return _signed(body, PublicKey(key), data, signature)
    raise WireError(f"not a signed {kind.DOMAIN}")


__all__ = [
    "Body",
    "Signed",
    "Signer",
    "Verifier",
    "check",
    "decode",
    "encode",
    "mesh_id",
    "message_of",
    "peer_id",
    "sign",
    "statements",
]
