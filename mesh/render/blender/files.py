"""List the files outside the .blend files that a loaded scene uses, and who uses them.

Only what is not packed and is read from the disk counts. Paths are resolved by our own rule from what the datablock
stores, not by Blender's working directory. This module runs inside Blender only; the artist's data is only read.
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import bpy

from . import sequences
from .blendfile import BUILTIN
from .paths import resolve

Frames = list[range]
File = dict[str, Any]
"""One external file as it travels: kind, path, stored, owner, user, files, missing, needless."""


def owner_of(datablock: Any, main: str) -> str:
    """Give the absolute path of the .blend file that holds a datablock."""
    return library_path(datablock.library, main) if datablock.library else main


def library_path(library: Any, main: str) -> str:
    """Give a library's absolute path; Blender stores it relative to the main file, for nested ones too."""
    return resolve(library.filepath, main)


def external_files(main: str, frames: Frames) -> list[File]:
    """List libraries, images, sequences and fonts in that order, each with all files behind it."""
    users = bpy.data.user_map(subset=[*bpy.data.images, *bpy.data.fonts])
    found = [*_libraries(main), *_images(main, frames, users), *_fonts(main, users)]
    return sorted(found, key=lambda file: (file["kind"] != "library", file["kind"], file["path"], file["owner"]))


def is_external(datablock: Any) -> bool:
    """Say whether a datablock with a path reads it from the disk."""
    return bool(datablock.filepath) and datablock.filepath != BUILTIN and not _packed(datablock)


def image_is_external(image: Any) -> bool:
    """Say whether an image comes from files."""
    return image.source not in ("GENERATED", "VIEWER") and is_external(image)


def _packed(datablock: Any) -> bool:
    return bool(getattr(datablock, "packed_file", None)) or len(getattr(datablock, "packed_files", ())) > 0


def _file(kind: str, datablock: Any, path: str, owner: str, user: str) -> File:
    return {
        "kind": kind,
        "path": path,
        "stored": datablock.filepath,
        "owner": owner,
        "user": user,
        "files": [path],
        "missing": [] if os.path.isfile(path) else [path],
        "needless": False,
    }


def _libraries(main: str) -> Iterator[File]:
    linked: dict[Any, list[str]] = {}
    for datablock in every_datablock():
        if datablock.library is not None:
            linked.setdefault(datablock.library, []).append(f"{kind_of(datablock)} {datablock.name!r}")
    for library in bpy.data.libraries:
        path = library_path(library, main)
        owner = library_path(library.parent, main) if library.parent else main
        yield _file("library", library, path, owner, ", ".join(sorted(linked.get(library, []))[:3]) or "nothing")


def _images(main: str, frames: Frames, users: Any) -> Iterator[File]:
    for image in bpy.data.images:
        if not image_is_external(image) or image.source in ("MOVIE", "TILED"):
            continue
        owner = owner_of(image, main)
        path = resolve(image.filepath, owner)
        file = _file("image", image, path, owner, _who(image, users))
        if image.source == "SEQUENCE":
            file = _sequence(image, file, frames)
        file["needless"] = not users.get(image)
        yield file


def _fonts(main: str, users: Any) -> Iterator[File]:
    for font in bpy.data.fonts:
        if is_external(font):
            owner = owner_of(font, main)
            file = _file("font", font, resolve(font.filepath, owner), owner, _who(font, users))
            file["needless"] = not users.get(font)
            yield file


def _who(datablock: Any, users: Any) -> str:
    names = sorted(f"{kind_of(user)} {user.name!r}" for user in users.get(datablock, ()))
    return f"{kind_of(datablock)} {datablock.name!r}" + (f" of {', '.join(names[:3])}" if names else "")


def kind_of(datablock: Any) -> str:
    """Give the word for a datablock's kind, such as `image` or `object`."""
    return str(datablock.bl_rna.name).lower()


def every_datablock() -> Iterator[Any]:
    """Yield every datablock of the file but libraries, screens and the like that no picture depends on."""
    skipped = {"libraries", "screens", "workspaces", "window_managers", "brushes", "palettes", "texts"}
    for name in dir(bpy.data):
        if name not in skipped and isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection):
            yield from getattr(bpy.data, name)


def every_node_tree() -> Iterator[tuple[Any, Any]]:
    """Yield (node tree, datablock that holds it) of groups, materials, worlds, lights, scenes and the like."""
    for datablock in every_datablock():
        if isinstance(datablock, bpy.types.NodeTree):
            yield datablock, datablock
        elif (tree := getattr(datablock, "node_tree", None)) is not None:
            yield tree, datablock


def _sequence(image: Any, file: File, frames: Frames) -> File:
    """Expand a sequence into the files that the frames need, each with its place on the disk."""
    found = sequences.pattern(file["path"])
    if found is None:
        return {**file, "kind": "sequence"}
    must: set[int] = set()
    may: set[int] = set()
    users = list(_sequence_users(image))
    blur = any(scene.render.use_motion_blur for scene in bpy.data.scenes)
    for user in users:
        more_must, more_may = sequences.needed(user, frames, blur)
        must |= more_must
        may |= more_may
    names = {found.file(number) for number in must}
    names |= {name for number in may if os.path.isfile(name := found.file(number))}
    if not users or _bends_time(image):
        names |= set(_on_disk(found))
    files = sorted(names) or [file["path"]]
    missing = [name for name in files if not os.path.isfile(name)]
    return {**file, "kind": "sequence", "files": files, "missing": missing}


def _sequence_users(image: Any) -> Iterator[sequences.User]:
    for tree, _ in every_node_tree():
        for node in tree.nodes:
            if getattr(node, "image", None) == image:
                yield _user(getattr(node, "image_user", node))
    for texture in bpy.data.textures:
        if getattr(texture, "image", None) == image:
            yield _user(texture.image_user)


def _user(user: Any) -> sequences.User:
    return sequences.User(
        start=user.frame_start, length=user.frame_duration, offset=user.frame_offset, cyclic=user.use_cyclic
    )


def _bends_time(image: Any) -> bool:
    """Say whether the simple rule is not exact: animated image users, frames that do not refresh, remapped time."""
    if any(scene.render.frame_map_old != scene.render.frame_map_new for scene in bpy.data.scenes):
        return True
    for tree, _ in every_node_tree():
        uses = [node for node in tree.nodes if getattr(node, "image", None) == image]
        if not uses:
            continue
        if any(not getattr(node, "image_user", node).use_auto_refresh for node in uses):
            return True
        if tree.animation_data is not None and any("frame" in path for path in _animated_paths(tree.animation_data)):
            return True
    return False


def _animated_paths(data: Any) -> Iterable[str]:
    curves = [*data.drivers, *(data.action.fcurves if data.action else ())]
    return [curve.data_path for curve in curves]


def _on_disk(found: sequences.Pattern) -> Iterator[str]:
    directory = os.path.dirname(found.head)
    wanted = re.compile(re.escape(os.path.basename(found.head)) + r"[0-9]+" + re.escape(found.tail))
    if os.path.isdir(directory):
        for name in sorted(os.listdir(directory)):
            if wanted.fullmatch(name):
                yield os.path.join(directory, name)
