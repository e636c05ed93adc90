"""What the desk says of engines, field by field; the conventions are those of `desk`.

This module must stay light, since every command imports it: nothing from outside the standard library.
"""

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from mesh.ports.renderer import Engines


class EngineRow(TypedDict):
    """One exact renderer; `program` is empty for another peer's."""

    name: str
    version: str
    build: str
    program: str
    renders: list[str]


class BrokenEngineRow(TypedDict):
    """A renderer that was found on this host and cannot be used."""

    name: str
    program: str
    reason: str


class EnginesAnswer(TypedDict):
    """What this peer can render with, best first."""

    usable: list[EngineRow]
    broken: list[BrokenEngineRow]


def engines_answer(found: "Engines") -> EnginesAnswer:
    """Describe what a probe found."""
    return EnginesAnswer(
        usable=[
            EngineRow(
                name=engine.name,
                version=engine.version,
                build=engine.build,
                program=str(engine.program),
                renders=list(engine.renders),
            )
            for engine in found.usable
        ],
        broken=[
            BrokenEngineRow(name=broken.name, program=str(broken.program), reason=broken.reason)
            for broken in found.broken
        ],
    )
