"""Tell all that a submitter must know of a loaded scene: range, output, colour management, files, refusals.

This module runs inside Blender only and changes nothing in the file. Sizes are pixels.
"""

import os
from collections.abc import Mapping
from typing import Any

import bpy

from . import cutting, refusals, sampling
from .files import Frames, external_files

Facts = dict[str, Any]


def facts(main: str, frames: Frames | None, raw_engines: Mapping[str, str]) -> Facts:
    """Describe the loaded file; `frames` None means the scene's own range."""
    scene = bpy.context.scene
    own = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
    return {
        "scene": scene.name,
        "render_engine": raw_engines.get(scene.name, scene.render.engine),
        "first": scene.frame_start,
        "last": scene.frame_end,
        "step": scene.frame_step,
        "current": scene.frame_current,
        "output": output(scene),
        "cutting": {
            **cutting.facts(scene),
            "samples": sampling.samples(scene),
            "sample_obstacles": list(sampling.obstacles(scene)),
        },
        "directory": _directory(scene, main),
        "names": frame_names(scene),
        "color": color_management(scene),
        "files": external_files(main, frames or [own]),
        "refusals": refusals.find(scene, raw_engines),
        "warnings": refusals.warnings(scene),
    }


def output(scene: Any) -> Facts:
    """Say what each finished frame must look like."""
    render, settings = scene.render, scene.render.image_settings
    width, height = cutting.frame_size(scene)
    if render.use_border and render.use_crop_to_border:
        left, top, right, bottom = cutting.region(scene)
        width, height = right - left, bottom - top
    return {
        "format": settings.file_format,
        "width": width,
        "height": height,
        "color_mode": settings.color_mode,
        "depth": int(settings.color_depth),
    }


def frame_name(scene: Any, frame: int) -> str:
    """Give the bare name of a frame's file, as Blender's own animation render would choose it."""
    return os.path.basename(str(scene.render.frame_path(frame=frame)))


def _directory(scene: Any, main: str) -> str:
    """Give the absolute directory of the scene's own output; a path relative to nothing is relative to the file."""
    return os.path.normpath(os.path.join(os.path.dirname(main), os.path.dirname(scene.render.frame_path(frame=1))))


def frame_names(scene: Any) -> Facts:
    """Take frame names apart into prefix, digits and suffix, by what changes between three frames.

    A minus sign stands right before the digits, and 1 and 2 differ only in the last of them. A movie has one name.
    """
    one, two, minus = (frame_name(scene, frame) for frame in (1, 2, -1))
    if one == two:
        return {"prefix": one, "digits": 0, "suffix": ""}
    start = _first_difference(one, minus)
    last = _first_difference(one, two)
    return {"prefix": one[:start], "digits": last - start + 1, "suffix": one[last + 1 :]}


def _first_difference(left: str, right: str) -> int:
    return next(place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)


def color_management(scene: Any) -> list[tuple[str, str]]:
    """List what turns scene light into the file's colours."""
    view = scene.view_settings
    return [
        ("display device", scene.display_settings.display_device),
        ("view transform", view.view_transform),
        ("look", view.look),
        ("exposure", f"{view.exposure:g}"),
        ("gamma", f"{view.gamma:g}"),
        ("file", scene.render.image_settings.color_management.lower().replace("_", " ")),
    ]
