"""Turn what Blender says of a scene into the port's `Inspection`.

The node reads headers and stored paths itself, before Blender is started; the rest comes from the stage script.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.ports.renderer import (
    Cutting,
    Engine,
    EngineTooOld,
    ExternalFile,
    FrameNames,
    Inspection,
    Refusal,
    SceneUnreadable,
)
from mesh.render.blender import header, paths, recipe
from mesh.render.blender.stages import read_output
from mesh.wire.grids import MAX_SAMPLES, MAX_SIDE, Region

_MARGIN_MAX = 64
"""Pixels around a bucket; eight are known to do."""

_MISSING_DATABLOCK = re.compile(r"LIB: (?P<kind>[^:]+): '(?P<name>.*)' missing from '(?P<library>.*)', parent '.*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Be a scene's .blend files as read without Blender: the main header, engines by scene, all stored paths."""

    saved_by: str
    engines: Mapping[str, str]
    stored: tuple[recipe.StoredAt, ...]


def read_header(scene: Path) -> header.Header:
    """Read a scene's header. Raises SceneUnreadable."""
    try:
        return header.read(str(scene))
    except header.NotABlend as error:
        raise SceneUnreadable(f"{scene.name}: {error}") from error
    except OSError as error:
        raise SceneUnreadable(f"{scene}: {error.strerror}") from error


def refuse_newer(name: str, found: header.Header, engine: Engine) -> None:
    """Raise EngineTooOld for a file that was saved by a newer Blender than the engine."""
    major, minor = (int(part) for part in engine.version.split(".")[:2])
    if (found.major, found.minor) > (major, minor):
        raise EngineTooOld(f"{name} was saved by Blender {found.version}, this is Blender {engine.version}")


def read_closure(scene: Path, engine: Engine) -> Closure:
    """Read the scene and every library that it reaches. Raises SceneUnreadable, EngineTooOld."""
    main = str(scene)
    first = read_header(scene)
    refuse_newer(scene.name, first, engine)
    stored: list[recipe.StoredAt] = []
    engines: Mapping[str, str] = {}
    try:
        for path, found in paths.closure(main):
            if found is None:
                continue
            refuse_newer(os.path.basename(path), found.header, engine)
            engines = found.engines if path == main else engines
            stored += [
                recipe.StoredAt(owner=path, stored=each.stored, path=paths.resolve(each.stored, path))
                for each in found.paths
            ]
    except header.NotABlend as error:
        raise SceneUnreadable(str(error)) from error
    return Closure(saved_by=first.version, engines=engines, stored=tuple(stored))


def assemble(scene: Path, engine: Engine, closure: Closure, facts: Mapping[str, Any], log: str) -> Inspection:
    """Make an inspection of what was read here, what Blender said, and what it printed while it loaded the scene.

    Raises SceneUnreadable where what Blender says makes no sense, which only a scene that took it over brings about.
    """
    try:
        return _assembled(scene, engine, closure, facts, log)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise SceneUnreadable(f"{scene.name}: what Blender says of it makes no sense: {error!r}") from error
    except OSError as error:
        raise SceneUnreadable(f"{scene}: {error.strerror}") from error


def _assembled(scene: Path, engine: Engine, closure: Closure, facts: Mapping[str, Any], log: str) -> Inspection:
    external = [_external(file) for file in facts["files"]]
    laid = recipe.lay_out(
        str(scene),
        needed=[path for file in facts["files"] for path in file["files"] if path not in file["missing"]],
        missing=[path for file in facts["files"] for path in file["missing"]],
        stored=closure.stored,
    )
    needless = [
        f"{file['user']}: {file['path']} is missing, but nothing uses it"
        for file in facts["files"]
        if file["needless"] and file["missing"]
    ]
    return Inspection(
        scene=scene,
        scene_name=facts["scene"],
        saved_by=closure.saved_by,
        saved_at_ms=scene.stat().st_mtime_ns // 1_000_000,
        engine=engine,
        render_engine=facts["render_engine"],
        first_frame=facts["first"],
        last_frame=facts["last"],
        frame_step=facts["step"],
        current_frame=facts["current"],
        output=read_output(facts["output"]),
        output_directory=Path(facts["directory"]),
        frame_names=FrameNames(**facts["names"]),
        cutting=_cutting(facts["cutting"]),
        color_management=tuple((name, value) for name, value in facts["color"]),
        external=tuple(external),
        files=laid.files,
        recipe=laid.recipe,
        refusals=(*map(_refusal, facts["refusals"]), *missing_datablocks(log, external)),
        warnings=(*facts["warnings"], *needless, *_environment_warnings()),
    )


def missing_datablocks(log: str, external: list[ExternalFile]) -> list[Refusal]:
    """Read from Blender's output which linked datablocks an existing library lacks."""
    gone = {path.name for file in external if file.kind == "library" for path in file.missing}
    found = []
    for match in _MISSING_DATABLOCK.finditer(log):
        kind, name, library = match.group("kind", "name", "library")
        if paths.resolve(library, "/").rpartition("/")[2] in gone:
            continue
        refusal = Refusal(
            code="missing-datablock",
            subject=name,
            text=f"{kind.lower()} {name!r} is missing from the library {library}",
            remedy="relink it in Blender, or delete what uses it",
        )
        if refusal not in found:
            found.append(refusal)
    return found


def _cutting(facts: Mapping[str, Any]) -> Cutting:
    """Read how frames can be cut. Raises ValueError and the like where that makes no sense."""
    numbers = [facts["width"], facts["height"], *facts["region"], facts["margin"], facts["samples"]]
    if any(type(each) is not int for each in numbers):
        raise ValueError(f"{numbers} are not all numbers")
    width, height, left, top, right, bottom, margin, samples = numbers
    if not (0 <= left < right <= width <= MAX_SIDE and 0 <= top < bottom <= height <= MAX_SIDE):
        raise ValueError(f"{left}, {top}, {right}, {bottom} is no part of {width}x{height} pixels")
    if not 0 <= margin <= _MARGIN_MAX:
        raise ValueError(f"a margin of {margin} pixels")
    if not 0 <= samples <= MAX_SAMPLES:
        raise ValueError(f"{samples} samples")
    return Cutting(
        width=width,
        height=height,
        region=Region(left=left, top=top, right=right, bottom=bottom),
        margin=margin,
        obstacles=tuple(map(_refusal, facts["obstacles"])),
        samples=samples,
        sample_obstacles=tuple(map(_refusal, facts["sample_obstacles"])),
    )


def _refusal(each: Mapping[str, Any]) -> Refusal:
    if any(type(text) is not str for text in each.values()):
        raise TypeError("a reason is no text")
    return Refusal(**each)


def _external(file: Mapping[str, Any]) -> ExternalFile:
    return ExternalFile(
        kind=file["kind"],
        path=Path(file["path"]),
        stored=file["stored"],
        owner=Path(file["owner"]),
        user=file["user"],
        files=tuple(Path(path) for path in file["files"]),
        missing=() if file["needless"] else tuple(Path(path) for path in file["missing"]),
    )


def _environment_warnings() -> list[str]:
    if os.environ.get("OCIO"):
        return ["OCIO is set here: your own renders may use a colour configuration that the mesh does not have"]
    return []
