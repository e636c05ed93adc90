"""Write and read a scene's recipe: what another host must know to render its tree as its artist would.

It travels in the tree, so it is read on the other side as hostile data: each field is checked, each option by the same
rule that took it from the artist's .ini. A recipe of another renderer is none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.ports.renderer import SceneUnreadable
from mesh.render.povray import options
from mesh.render.povray.files import is_plain, library_name
from mesh.wire import tree

RENDERER = "povray"
RECIPE_MAX_BYTES = 4 << 20
"""Names of some ten thousand absent files."""

_VERSION = 1
_REQUIRED = frozenset(("Bits_Per_Color", "Height", "Output_File_Type", "Width"))
LIBRARIES_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Say how a tree is rendered: the main file's name, how many libraries it has, checked options.

    `prefix` begins the names of frames; `headers` are files that are included before the scene; `absent` names what the
    submitter knew to be missing.
    """

    main: str
    prefix: str
    libraries: int
    headers: tuple[str, ...]
    settings: Mapping[str, str]
    declares: Mapping[str, str]
    absent: tuple[str, ...] = ()

    @property
    def library_names(self) -> tuple[str, ...]:
        """Give the directories of the tree that are library paths."""
        return tuple(library_name(number) for number in range(self.libraries))


def write(recipe: Recipe) -> bytes:
    """Give a recipe's bytes."""
    document = {
        "renderer": RENDERER,
        "version": _VERSION,
        "main": recipe.main,
        "prefix": recipe.prefix,
        "libraries": recipe.libraries,
        "headers": list(recipe.headers),
        "settings": dict(recipe.settings),
        "declares": dict(recipe.declares),
        "absent": list(recipe.absent),
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def parse(data: bytes) -> Recipe:
    """Read a recipe. Raises SceneUnreadable whatever else the bytes are."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("renderer") != RENDERER:
            problem = "is not for POV-Ray"
        elif document.get("version") != _VERSION:
            problem = f"has version {document.get('version')!r}, this peer reads {_VERSION}"
        else:
            return _recipe(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, options.BadOption) as error:
        raise SceneUnreadable(f"the scene's recipe is damaged: {error}") from error
    raise SceneUnreadable(f"the scene's recipe {problem}")


def _recipe(document: Mapping[str, Any]) -> Recipe:
    libraries = document["libraries"]
    if type(libraries) is not int or not 0 <= libraries <= LIBRARIES_MAX:
        raise ValueError(f"it has {libraries!a} libraries")
    return Recipe(
        main=_name(document["main"]),
        prefix=_prefix(document["prefix"]),
        libraries=libraries,
        headers=tuple(_name(name) for name in document["headers"]),
        settings=_settings(document["settings"]),
        declares=dict(options.declared(f"{name}={_text(value)}") for name, value in document["declares"].items()),
        absent=tuple(_text(name) for name in document["absent"]),
    )


def _prefix(value: object) -> str:
    prefix = _text(value)
    if problem := tree.name_problem(f"{prefix}1.png") or ("leads into a directory" if "/" in prefix else None):
        raise ValueError(f"the prefix {prefix!a} {problem}")
    return prefix


def _name(value: object) -> str:
    name = _text(value)
    if not is_plain(name):
        raise ValueError(f"the name {name!a} would have to be quoted, or leads out of the tree")
    return name


def _settings(named: Mapping[object, object]) -> dict[str, str]:
    settings = {_text(name): options.checked(_text(name), _text(value)) for name, value in named.items()}
    if lacking := _REQUIRED - settings.keys():
        raise ValueError(f"it does not say {', '.join(sorted(lacking))}")
    return options.complete(settings)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is something else")
    return value
