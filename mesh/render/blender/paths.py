"""Settle the paths of a checked-out scene, so that Blender can open nothing outside its tree.

Theory: the submitter's recipe maps (the .blend file that stores a path, the path as stored) to a name in the tree. Each
path field of the main file and of each library that it reaches is compared with that map before Blender sees the file:
a mapped path is rewritten to its place in the tree, an unmapped one that stays inside the tree is left alone, and any
other is pointed at a name that does not exist. After loading, whoever still uses such a name is refused; what no
datablock shows after loading is refused at once. What would read files by itself while Blender loads is disarmed.

Invariants: a tree holds no links, so that names can be judged as text. The recipe comes from another peer: each name in
it is checked here like a path of the scene. This module runs in both halves and must not know `bpy`.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .blendfile import Scan, StoredPath, rewrite, scan
from .header import NotABlend

OUTSIDE = ".meshnode-outside"
"""A directory that no tree has: paths that would leave the tree point into it."""

LIBRARIES_MAX = 10_000
"""Files of one closure; productions with more than a thousand libraries are not known."""

_UNSEEN = {"ImageView": "a view of an image", "CacheFileLayer": "a layer of a cache file"}
"""What holds paths and is no datablock that could be asked for its path after loading."""

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class LeavesTree(Exception):
    """A path of the scene, or a name of the recipe, is not inside the tree."""


@dataclass(frozen=True)
class Settled:
    """Tell what settling found.

    `engines` is each scene's raw render engine in the main file, `outside` maps the places of cut-off paths to what was
    stored, `version` is the newest Blender that saved any of the files.
    """

    engines: Mapping[str, str]
    outside: Mapping[str, str]
    version: tuple[int, int]


def resolve(stored: str, owner: str) -> str:
    """Give the absolute path that a stored path means in the .blend file `owner`.

    Both slashes part names, as Blender itself reads them. A path relative to nothing is taken as relative to its file.
    """
    if _DRIVE.match(stored) and os.sep == "/":
        stored = stored[2:]
    text = stored.replace("\\", "/")
    text = text.removeprefix("//")
    return os.path.normpath(os.path.join(os.path.dirname(owner), text))


def closure(main: str) -> Iterator[tuple[str, Scan | None]]:
    """Yield the main file and each library reachable from it with its scan; None where a library does not exist.

    Raises NotABlend with the damaged file's name in it.
    """
    queue, seen = [os.path.abspath(main)], {os.path.abspath(main)}
    while queue:
        path = queue.pop(0)
        found = scan_named(path) if os.path.isfile(path) else None
        yield path, found
        for stored in found.paths if found else ():
            target = resolve(stored.stored, path)
            if stored.kind == "Library" and target not in seen:
                seen.add(target)
                queue.append(target)
        if len(seen) > LIBRARIES_MAX:
            raise NotABlend(f"it links more than {LIBRARIES_MAX} libraries")


def scan_named(path: str) -> Scan:
    """Scan a file; what is wrong with it names the file. Raises NotABlend."""
    try:
        return scan(path)
    except (NotABlend, OSError) as error:
        raise NotABlend(f"{os.path.basename(path)}: {error}") from error


def inside(tree: str, name: str) -> str:
    """Give the absolute path of a tree's name. Raises LeavesTree for a name that is not plainly inside."""
    parts = name.split("/")
    if (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise LeavesTree(f"the name {name!r} is not inside the tree")
    return os.path.join(tree, *parts)


def settle(tree: str, main: str, links: Iterable[tuple[str, str, str]]) -> Settled:
    """Rewrite, in the checked-out files themselves, every path that does not lead to its place in the tree.

    `links` are (owner name, stored path, target name). Raises LeavesTree, NotABlend, OSError.
    """
    tree = os.path.abspath(tree)
    targets = {(owner, stored): target for owner, stored, target in links}
    outside: dict[str, str] = {}
    engines: Mapping[str, str] = {}
    version = (0, 0)
    queue, seen = [main], {main}
    while queue:
        owner = queue.pop(0)
        path = inside(tree, owner)
        if not os.path.isfile(path):
            continue
        if os.path.realpath(path) != os.path.join(os.path.realpath(tree), *owner.split("/")):
            raise LeavesTree(f"{owner} is a link")
        found = scan_named(path)
        version = max(version, (found.header.major, found.header.minor))
        if owner == main:
            engines = found.engines
        changes = dict(found.defused)
        for stored in found.paths:
            target = _target(tree, owner, stored, targets.get((owner, stored.stored)), outside)
            wanted = "//" + posixpath.relpath(target, posixpath.dirname(owner) or ".")
            if resolve(stored.stored, path) != inside(tree, target) or not _plainly_relative(stored.stored):
                changes[stored.offset] = (stored.size, wanted)
            if stored.kind == "Library" and target not in seen:
                seen.add(target)
                queue.append(target)
        if changes:
            rewrite(path, changes)
    return Settled(engines=engines, outside=outside, version=version)


def _target(tree: str, owner: str, stored: StoredPath, mapped: str | None, outside: dict[str, str]) -> str:
    """Give the name in the tree that a stored path shall lead to."""
    if mapped is not None:
        inside(tree, mapped)
        return mapped
    natural = resolve(stored.stored, inside(tree, owner))
    if natural.startswith(tree + os.sep) and _plainly_relative(stored.stored):
        return os.path.relpath(natural, tree).replace(os.sep, "/")
    if stored.kind in _UNSEEN:
        raise LeavesTree(f"{_UNSEEN[stored.kind]} in {owner} reads {stored.stored}, outside the job's tree")
    name = f"{OUTSIDE}/{len(outside)}"
    outside[inside(tree, name)] = stored.stored
    return name


def _plainly_relative(stored: str) -> bool:
    """Say whether Blender reads a stored path as relative to its own file, on any system."""
    return stored.startswith("//") and "\\" not in stored
