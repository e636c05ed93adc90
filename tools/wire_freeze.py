#!/usr/bin/env python3
"""Freeze the wire as `mesh.wire` declares it now: `python -m tools.wire_freeze PAGE` writes it down as data.

This is done once for each version, on the last commit that speaks it, and never again: `sim/previous` reads the page by
code of its own, and shares only CBOR with what is spoken today. How a version is raised is told in
docs/internals/versions.md.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

from mesh.ground.ids import BOOT_SIZE, ID_SIZE, Boot
from mesh.wire import beacon, handshake, kept, lookups, members, messages
from mesh.wire.codec import AtMost, Between, Size, codec_of
from mesh.wire.envelope import Signed
from mesh.wire.records import SealPage

LONGEST_TIME = 2**62

FIRST_WORDS = (beacon.Beacon, handshake.Answer, handshake.Reply, members.Invite)
"""What is said before a version is agreed on."""

MOVED = {"carrying": "messages"}
"""Modules whose types went by another one's name when a version was frozen."""


class Freezer:
    """Writes types down, each under its own name, with all that stands within them."""

    def __init__(self) -> None:
        self.types: dict[str, Any] = {}

    def type(self, kind: Any) -> str:
        """Write a dataclass down, once, and return its name."""
        module = kind.__module__.rpartition(".")[2]
        name = f"{MOVED.get(module, module)}.{kind.__name__}"
        if name not in self.types:
            self.types[name] = {}
            hints = get_type_hints(kind, include_extras=True)
            fields = dataclasses.fields(kind)
            self.types[name] = {"fields": [[field.name, self.shape(hints[field.name])] for field in fields]}
            given = [field for field in fields if field.default is not dataclasses.MISSING]
            if given:
                self.types[name]["defaults"] = [codec_of(hints[field.name]).write(field.default) for field in given]
        return name

    def shape(self, annotation: Any) -> Any:
        """Return what a field may hold, as JSON."""
        if isinstance(annotation, NewType):
            if annotation.__supertype__ is int:
                return ["int", 0, LONGEST_TIME]
            size = BOOT_SIZE if annotation is Boot else ID_SIZE  # whatever else has a size of its own says it
            return ["bytes", size, size]
        origin = get_origin(annotation)
        if origin is Annotated:
            return self._bounded(*get_args(annotation))
        if origin in (Union, UnionType):
            options = [option for option in get_args(annotation) if option is not NoneType]
            if len(options) < len(get_args(annotation)):
                return ["optional", self.shape(Union[tuple(options)])]  # noqa: UP007
            return ["union", self.union(options)]
        if origin is Signed:
            return ["signed", self.type(get_args(annotation)[0])]
        return ["bool"] if annotation is bool else ["type", self.type(annotation)]

    def union(self, options: Any) -> dict[str, str]:
        """Return the names of types by their numbers."""
        return {str(option.NUMBER): self.type(option) for option in sorted(options, key=lambda one: int(one.NUMBER))}

    def _bounded(self, base: Any, bound: Size | Between | AtMost) -> Any:
        match bound:
            case Size(exactly=size):
                return ["bytes", size, size]
            case Between(low=low, high=high):
                return ["int", low, high]
            case AtMost(length=most) if base in (bytes, str):
                return ["bytes", 0, most] if base is bytes else ["text", most]
            case AtMost(length=most):
                return ["list", self.shape(get_args(base)[0]), most]


def main() -> int:
    """Write the page."""
    freezer = Freezer()
    everything = {
        "messages": freezer.union(messages.MESSAGES),
        "lookups": freezer.union(lookups.LOOKUPS),
        "kept": freezer.union(kept.KEPT),
        "page": freezer.type(SealPage),
        "first words": [freezer.type(kind) for kind in FIRST_WORDS],
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in everything.items()]
    types = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(freezer.types.items())]
    text = "{\n" + ",\n".join([*lines, ' "types": {\n' + ",\n".join(types) + "\n }"]) + "\n}\n"
    Path(sys.argv[1]).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
