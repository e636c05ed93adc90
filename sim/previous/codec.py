"""Bytes of the previous version to plain values and back, by the frozen page alone.

A value is read as that version read it: what it does not know it refuses, with all that it came in. Written again from
the plain values it has the bytes that a program of that version would write. So whatever passes here on its way to or
from a simulated peer of the old version was really said in the old wire.

What a type refuses beyond its bounds, such as a name that leads out of its directory, is not on the page: a newer
version may refuse more there, and never less.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from mesh.ground.errors import WireError
from mesh.wire import cbor

VERSION: Final = 1

_PAGE: Final = Path(__file__).with_name(f"version{VERSION}.json")

_PACKET_BYTES, _DATAGRAM_BYTES, _ENTRY_BYTES, _BODY_BYTES = 64 * 1024, 1_100, 128 * 1024, 16 * 1024
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64

Shape: TypeAlias = list[Any]
"""What a field may hold: a word, and what bounds it."""

Plain: TypeAlias = Any
"""A value as it was read: of a type its fields by name, those that were left out with their defaults."""


class PreviousWire:
    """Everything that the version reads and writes."""

    def __init__(self, page: Mapping[str, Any]) -> None:
        self.page = page
        self._types: Mapping[str, Mapping[str, Any]] = page["types"]
        self._read: dict[str, Callable[[Shape, cbor.Value], Plain]] = {
            "bool": _bool,
            "int": _int,
            "bytes": _bytes,
            "text": _text,
            "list": self._read_list,
            "optional": lambda shape, value: None if value is None else self._read_one(shape[1], value),
            "union": self._read_union,
            "signed": self._read_signed,
            "type": lambda shape, value: self._read_fields(shape[1], value),
        }

    def message(self, packet: bytes) -> bytes:
        """Read a packet as the old version does and return what it would write; raises `WireError`."""
        return self._again("messages", cbor.decode(packet, _PACKET_BYTES))

    def lookup(self, datagram: bytes) -> bytes:
        """Do the same with a datagram."""
        return self._again("lookups", cbor.decode(datagram, _DATAGRAM_BYTES))

    def kept(self, entry: bytes) -> bytes:
        """Do the same with a journal entry."""
        return self._again("kept", cbor.decode(entry, _ENTRY_BYTES))

    def whole(self, name: str, data: bytes, limit: int) -> bytes:
        """Do the same with a value of one type, such as the page of a seal."""
        return cbor.encode(self._write(["type", name], self._read_fields(name, cbor.decode(data, limit))))

    def statement(self, name: str, data: bytes) -> bytes:
        """Do the same with a signed statement by itself."""
        shape = ["signed", name]
        return cbor.encode(self._write(shape, self._read_one(shape, cbor.decode(data, _BODY_BYTES + 200))))

    def _again(self, union: str, value: cbor.Value) -> bytes:
        shape = ["union", self.page[union]]
        return cbor.encode(self._write(shape, self._read_one(shape, value)))

    # Reading.

    def _read_one(self, shape: Shape, value: cbor.Value) -> Plain:
        return self._read[shape[0]](shape, value)

    def _read_list(self, shape: Shape, value: cbor.Value) -> Plain:
        if not isinstance(value, list) or len(value) > shape[2]:
            raise WireError(f"version {VERSION} expects a list of at most {shape[2]}")
        return [self._read_one(shape[1], item) for item in value]

    def _read_union(self, shape: Shape, value: cbor.Value) -> Plain:
        match value:
            case [int(number), body] if not isinstance(number, bool) and str(number) in shape[1]:
                return (number, self._read_fields(shape[1][str(number)], body))
        raise WireError(f"version {VERSION} does not know one of a union")

    def _read_signed(self, shape: Shape, value: cbor.Value) -> Plain:
        match value:
            case [bytes(key), bytes(data), bytes(signature)] if (len(key), len(signature)) == (
                _KEY_BYTES,
                _SIGNATURE_BYTES,
            ):
                return (key, self._read_fields(shape[1], cbor.decode(data, _BODY_BYTES)), signature)
        raise WireError(f"version {VERSION} expects a signed {shape[1]}")

    def _read_fields(self, name: str, value: cbor.Value) -> Plain:
        fields, defaults = self._types[name]["fields"], self._types[name].get("defaults", [])
        required = len(fields) - len(defaults)
        if not isinstance(value, list) or not required <= len(value) <= len(fields):
            raise WireError(f"version {VERSION} does not know these fields of {name}")
        if len(value) > required and value[-1] == defaults[len(value) - required - 1]:
            raise WireError(f"a default that version {VERSION} leaves out of {name}")
        given = [*value, *defaults[len(value) - required :]]
        return {field: self._read_one(shape, one) for (field, shape), one in zip(fields, given, strict=True)}

    # Writing.

    def _write(self, shape: Shape, plain: Plain) -> cbor.Value:
        match shape[0]:
            case "list":
                return [self._write(shape[1], item) for item in plain]
            case "optional":
                return None if plain is None else self._write(shape[1], plain)
            case "union":
                number, fields = plain
                return [number, self._write_fields(shape[1][str(number)], fields)]
            case "signed":
                key, fields, signature = plain
                return [key, cbor.encode(self._write_fields(shape[1], fields)), signature]
            case "type":
                return self._write_fields(shape[1], plain)
            case _:
                written: cbor.Value = plain
                return written

    def _write_fields(self, name: str, plain: Plain) -> cbor.Value:
        fields, defaults = self._types[name]["fields"], self._types[name].get("defaults", [])
        written = [self._write(shape, plain[field]) for field, shape in fields]
        required = len(fields) - len(defaults)
        while len(written) > required and written[-1] == defaults[len(written) - required - 1]:
            written.pop()
        return written


@cache
def previous() -> PreviousWire:
    """Return the previous version's wire."""
    return PreviousWire(json.loads(_PAGE.read_text("utf-8")))


def _bool(_shape: Shape, value: cbor.Value) -> Plain:
    if not isinstance(value, bool):
        raise WireError(f"version {VERSION} expects true or false")
    return value


def _int(shape: Shape, value: cbor.Value) -> Plain:
    if not isinstance(value, int) or isinstance(value, bool) or not shape[1] <= value <= shape[2]:
        raise WireError(f"version {VERSION} expects an integer from {shape[1]} to {shape[2]}")
    return value


def _bytes(shape: Shape, value: cbor.Value) -> Plain:
    if not isinstance(value, bytes) or not shape[1] <= len(value) <= shape[2]:
        raise WireError(f"version {VERSION} expects {shape[1]} to {shape[2]} bytes")
    return value


def _text(shape: Shape, value: cbor.Value) -> Plain:
    if not isinstance(value, str) or len(value.encode()) > shape[1]:
        raise WireError(f"version {VERSION} expects text of at most {shape[1]} bytes")
    return value
