"""Lay out a scene's tree and write the recipe that leads Blender through it on another host.

Theory: files below the scene's own project keep their relative names, so that most paths need no change; any other file
gets a name under `_external`. The recipe says, for each path that a .blend file stores, which name it means. It travels
in the tree, so it is read on the other side as hostile data, with every field checked.

A missing file keeps its name and is listed as absent: a peer renders without a file only if the submitter said so.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.ports.renderer import SceneFile, SceneUnreadable
from mesh.wire.tree import name_problem

RECIPE_MAX_BYTES = 12 * 1024 * 1024
"""Below the bound of a channel's line; some fifty thousand paths."""

_VERSION = 1
_EXTERNAL = "_external"

_UP_MAX = 3
"""How many directories above the scene still count as its project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Say how stored paths lead to names: `links` are (owner name, stored path, target name)."""

    main: str
    links: tuple[tuple[str, str, str], ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAt:
    """Be one path that a .blend file stores, and where it leads on the submitter's host."""

    owner: str
    stored: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """Be a scene laid out as a tree: its files under their names, and the recipe's bytes."""

    files: tuple[SceneFile, ...]
    recipe: bytes


def lay_out(main: str, needed: Iterable[str], missing: Iterable[str], stored: Sequence[StoredAt]) -> Laid:
    """Name every file of a scene, all given as absolute paths; `needed` exist, `missing` do not."""
    present, absent = sorted({main, *needed}), sorted(set(missing))
    names = _names(main, [*present, *absent])
    for each in stored:
        # The first file of a sequence may be none of those that the frames need, but it is what the scene names.
        if each.path not in names and (kin := _directory_name(each.path, names)):
            names[each.path] = kin
    links = {
        (names[each.owner], each.stored, names[each.path])
        for each in stored
        if each.owner in names and each.path in names
    }
    document = {
        "version": _VERSION,
        "main": names[main],
        "links": sorted(links),
        "absent": [names[path] for path in absent],
    }
    return Laid(
        files=tuple(SceneFile(name=names[path], path=Path(path)) for path in present),
        recipe=json.dumps(document, separators=(",", ":"), sort_keys=True).encode(),
    )


def parse(data: bytes) -> Recipe:
    """Read a recipe. Raises SceneUnreadable whatever else the bytes are."""
    try:
        document = json.loads(data)
        if document["version"] != _VERSION:
            raise SceneUnreadable(f"the scene's recipe has version {document['version']!r}, this peer reads {_VERSION}")
        links = tuple((_text(owner), _text(stored), _text(target)) for owner, stored, target in document["links"])
        return Recipe(main=_text(document["main"]), links=links, absent=tuple(map(_text, document["absent"])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SceneUnreadable(f"the scene's recipe is damaged: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is something else")
    return value


def _names(main: str, paths: Sequence[str]) -> dict[str, str]:
    """Give each path its name in the tree."""
    root = _root(main, paths)
    directories = sorted({os.path.dirname(path) for path in paths})
    names: dict[str, str] = {}
    for path in paths:
        name = os.path.relpath(path, root).replace(os.sep, "/") if path.startswith(root.rstrip(os.sep) + os.sep) else ""
        if not name or name.startswith(_EXTERNAL) or name_problem(name):
            name = f"{_EXTERNAL}/{directories.index(os.path.dirname(path))}/{os.path.basename(path)}"
        names[path] = name
    return names


def _root(main: str, paths: Sequence[str]) -> str:
    """Choose the directory that names are relative to: the nearest that holds all files not far from the scene."""
    own = os.path.dirname(main)
    near = [path for path in paths if os.path.relpath(path, own).split(os.sep).count(os.pardir) <= _UP_MAX]
    root = os.path.commonpath([os.path.dirname(path) for path in [main, *near]])
    return own if root == os.path.dirname(root) else root


def _directory_name(path: str, names: Mapping[str, str]) -> str:
    """Name a file beside a named one of the same directory, or give an empty text when there is none."""
    directory = os.path.dirname(path)
    for other, name in names.items():
        if os.path.dirname(other) == directory:
            return f"{name.rpartition('/')[0]}/{os.path.basename(path)}".lstrip("/")
    return ""
