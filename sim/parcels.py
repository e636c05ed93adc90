"""How messages and journal entries travel in the simulated world: by reference, or as the bytes that real ones are.

Both ways end in equal values; the second proves it with every message, and costs about three times as much. In both,
the signatures that a message carries are checked before it is heard, as a node's shell does it; each statement once
in the whole world, since a statement that was good stays good.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias, cast, get_args, get_type_hints

from mesh.ground.errors import UnknownKind, WireError
from mesh.wire import kept as kept_codec
from mesh.wire import lookups, messages
from mesh.wire.envelope import Signed, Verifier, message_of
from mesh.wire.kept import Kept
from mesh.wire.lookups import Lookup
from mesh.wire.messages import Message

Wire: TypeAlias = Literal["reference", "bytes"]


LATER = b"\x82\x19\xff\xff\x80"
"""A packet of a kind of message that there is in no version yet: number 65,535, no fields."""

_LATELY = 4_096
SAMPLED_EACH = 64
"""Encoding each message for its length alone would cost a third of a run."""

_MESSAGES = frozenset(messages.MESSAGES)


class Shelf(Protocol):
    """How journal entries are stored."""

    def lay_down(self, entry: Kept) -> object: ...

    def pick_up(self, stored: object) -> Kept: ...


class Parcels(Shelf, Protocol):
    """Pack on one side, unpack on the other."""

    def pack(self, message: Message) -> object: ...

    def unpack(self, parcel: object) -> Message: ...

    def wrap(self, lookup: Lookup) -> object: ...

    def unwrap(self, parcel: object) -> Lookup: ...


class ByReference:
    """Hand over the very object, which is frozen."""

    def pack(self, message: Message) -> object:
        """Return `message`."""
        return message

    def unpack(self, parcel: object) -> Message:
        """Return the message that `pack` was given; raises `UnknownKind` for what comes from a later version."""
        if parcel is LATER:
            raise UnknownKind("a message of an unknown kind")
        assert type(parcel) in _MESSAGES
        return cast(Message, parcel)

    def wrap(self, lookup: Lookup) -> object:
        """Return `lookup`."""
        return lookup

    def unwrap(self, parcel: object) -> Lookup:
        """Return the look-up that `wrap` was given."""
        assert isinstance(parcel, lookups.LOOKUPS)
        return parcel

    def lay_down(self, entry: Kept) -> object:
        """Return `entry`."""
        return entry

    def pick_up(self, stored: object) -> Kept:
        """Return the entry that `lay_down` was given."""
        assert isinstance(stored, kept_codec.KEPT)
        return stored


class AsBytes:
    """Encode and decode with the real codecs, each message once; raises `WireError` where these do not fit."""

    def __init__(self) -> None:
        self._packed: dict[int, tuple[Message, bytes]] = {}
        self._unpacked: dict[bytes, Message] = {}

    def pack(self, message: Message) -> object:
        """Return the packet of `message`, which often goes to many peers."""
        packed = self._packed.get(id(message))
        if packed is None or packed[0] is not message:
            if len(self._packed) >= _LATELY:
                self._packed.clear()
            packed = self._packed[id(message)] = (message, messages.encode(message))
        return packed[1]

    def unpack(self, parcel: object) -> Message:
        """Return the message in a packet."""
        assert isinstance(parcel, bytes)
        message = self._unpacked.get(parcel)
        if message is None:
            if len(self._unpacked) >= _LATELY:
                self._unpacked.clear()
            message = self._unpacked[parcel] = messages.decode(parcel)
        return message

    def wrap(self, lookup: Lookup) -> object:
        """Return the datagram of `lookup`."""
        return lookups.encode(lookup)

    def unwrap(self, parcel: object) -> Lookup:
        """Return the look-up in a datagram."""
        assert isinstance(parcel, bytes)
        return lookups.decode(parcel)

    def lay_down(self, entry: Kept) -> object:
        """Return the journal's bytes of `entry`."""
        return kept_codec.encode(entry)

    def pick_up(self, stored: object) -> Kept:
        """Return the entry in the journal's bytes."""
        assert isinstance(stored, bytes)
        return kept_codec.decode(stored)


class CountedBytes(AsBytes):
    """Packets whose bytes are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def pack(self, message: Message) -> object:
        """Return the packet of `message`."""
        packet = super().pack(message)
        assert isinstance(packet, bytes)
        self.bytes += len(packet)
        return packet

    def wrap(self, lookup: Lookup) -> object:
        """Return the datagram of `lookup`."""
        datagram = super().wrap(lookup)
        assert isinstance(datagram, bytes)
        self.bytes += len(datagram)
        return datagram


class SampledBytes(ByReference):
    """Things by reference, of which one in `SAMPLED_EACH` is encoded: what all bytes are about is known from these."""

    def __init__(self) -> None:
        self._counted = 0
        self._sampled_bytes = 0

    @property
    def bytes(self) -> int:
        """How many bytes all were, about."""
        return self._sampled_bytes * SAMPLED_EACH

    def pack(self, message: Message) -> object:
        """Return `message`."""
        self._counted += 1
        if not self._counted % SAMPLED_EACH:
            self._sampled_bytes += len(messages.encode(message))
        return message

    def wrap(self, lookup: Lookup) -> object:
        """Return `lookup`."""
        self._counted += 1
        if not self._counted % SAMPLED_EACH:
            self._sampled_bytes += len(lookups.encode(lookup))
        return lookup


def parcels_for(wire: Wire) -> Parcels:
    """Return the way of travelling that `wire` names."""
    return AsBytes() if wire == "bytes" else ByReference()


class Checked:
    """Checks what messages carry, and remembers which statements were good."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._good: set[tuple[bytes, bytes]] = set()
        self._lately: dict[int, object] = {}
        """Messages found good lately, by identity: by reference, one goes to many peers."""

    def check(self, message: object) -> None:
        """Check every signature in `message`; raises `WireError`."""
        kind: Any = type(message)
        if not _may_hold(kind) or self._lately.get(id(message)) is message:
            return
        self._check(message)
        if len(self._lately) >= _LATELY:
            self._lately.clear()
        self._lately[id(message)] = message

    def _check(self, message: object) -> None:
        for signed in carried(message):
            name = (signed.id, signed.signature)
            if name in self._good:
                continue
            covered = message_of(type(signed.body).DOMAIN, signed.key, signed.data)
            if not self._verifier.verifies(signed.key, covered, signed.signature):
                raise WireError(f"a forged signature under a {type(signed.body).DOMAIN}")
            self._good.add(name)


def carried(thing: object) -> Iterator[Signed[Any]]:
    """Yield every signed statement within `thing`; as `envelope.statements`, but it looks only where some can be."""
    if isinstance(thing, tuple):
        for item in thing:
            yield from carried(item)
        return
    if isinstance(thing, Signed):
        yield thing
        yield from carried(thing.body)
        return
    kind: Any = type(thing)
    for name in _carriers(kind):
        yield from carried(getattr(thing, name))


@cache
def _may_hold(kind: Any) -> bool:
    """Tell whether a value of this type can hold a signed statement at all: most messages cannot."""
    return kind in (tuple, Signed) or bool(_carriers(kind))


@cache
def _carriers(kind: Any) -> tuple[str, ...]:
    """Return the fields of a dataclass that can hold a signed statement, at any depth."""
    if not dataclasses.is_dataclass(kind):
        return ()
    hints = get_type_hints(kind)
    return tuple(field.name for field in dataclasses.fields(kind) if _may_carry(hints[field.name]))


def _may_carry(annotation: Any) -> bool:
    if getattr(annotation, "CODED", False) or getattr(getattr(annotation, "__origin__", None), "CODED", False):
        return True
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return bool(_carriers(annotation))
    return any(_may_carry(argument) for argument in get_args(annotation))
