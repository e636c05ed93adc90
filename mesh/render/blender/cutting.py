"""Say how a scene's frames can be cut into buckets, and set the scene up to render one.

Theory: Cycles draws each pixel from the pixel's own place in the frame, so a bucket is bit for bit what the whole has
there, as long as nothing looks at its neighbours. What does is left for later, when the frame is whole (denoising,
compositing, the burned-in stamp), or makes the scene one whose frames are only rendered whole, with the reason.

This module runs inside Blender only. Sizes are pixels, from the left and from the top.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from . import borders

Facts = dict[str, Any]

ADAPTIVE_MARGIN = 8
"""Adaptive sampling asks the neighbours whether a pixel is done: 4 pixels are measured to do, none do not."""

_DENOISER = "OPENIMAGEDENOISE"
_OVERRIDDEN = (
    "render.use_stamp",
    "cycles.use_denoising",
    "cycles.denois",
    "cycles.use_adaptive_sampling",
    "cycles.time_limit",
    "cycles.use_guiding",
    "view_layers[",
)
"""What a bucket sets, or what is only looked at once; an animated value would be put back while it renders."""


def facts(scene: Any) -> Facts:
    """Tell how frames of a scene can be cut; see `Cutting`."""
    width, height = frame_size(scene)
    adaptive = scene.render.engine == "CYCLES" and scene.cycles.use_adaptive_sampling
    return {
        "width": width,
        "height": height,
        "region": list(region(scene)),
        "margin": ADAPTIVE_MARGIN if adaptive else 0,
        "obstacles": list(obstacles(scene)),
    }


def frame_size(scene: Any) -> tuple[int, int]:
    """Give the size of the whole frame."""
    render = scene.render
    percentage = render.resolution_percentage
    return render.resolution_x * percentage // 100, render.resolution_y * percentage // 100


def region(scene: Any) -> borders.Box:
    """Give the pixels that the scene renders: those within its own border; all where it has none, or an empty one."""
    width, height = frame_size(scene)
    left, top, right, bottom = _bordered(scene)
    return (left, top, right, bottom) if left < right and top < bottom else (0, 0, width, height)


def _bordered(scene: Any) -> borders.Box:
    render, (width, height) = scene.render, frame_size(scene)
    if not render.use_border:
        return 0, 0, width, height
    edges = render.border_min_x, render.border_min_y, render.border_max_x, render.border_max_y
    return borders.box(edges, width, height)


def obstacles(scene: Any) -> Iterator[dict[str, str]]:
    """Yield each reason why frames of a scene can only be rendered whole."""
    render = scene.render
    if render.engine != "CYCLES":
        text = f"{render.engine} computes with the whole picture at once"
        yield _obstacle("whole-engine", render.engine, text, "render with Cycles")
        return
    if region(scene) != _bordered(scene):
        text = f"the border of scene {scene.name!r} holds no pixel"
        yield _obstacle("whole-border", scene.name, text, "draw the border anew, or switch it off")
    yield from _sampling(scene)
    yield from _layers(scene)
    if render.use_sequencer and scene.sequence_editor is not None and scene.sequence_editor.sequences_all:
        text = f"scene {scene.name!r} is put through its sequencer"
        yield _obstacle(
            "whole-sequencer", scene.name, text, "switch Sequencer off in Post Processing, or remove strips"
        )
    for thing in scene.objects:
        if thing.type in ("GPENCIL", "GREASEPENCIL") and not thing.hide_render:
            text = f"object {thing.name!r} is a grease pencil, which is drawn over the whole picture"
            yield _obstacle("whole-grease-pencil", thing.name, text, "turn it into a mesh or a curve")
    yield from _compositor(scene)
    for path in _animated(scene):
        text = f"scene {scene.name!r} animates {path}"
        yield _obstacle("whole-animated", path, text, "remove its keyframes and drivers")


def _sampling(scene: Any) -> Iterator[dict[str, str]]:
    cycles = scene.cycles
    if cycles.time_limit > 0:
        text = f"scene {scene.name!r} stops after {cycles.time_limit:g} s, which each bucket would do by itself"
        yield _obstacle("whole-time-limit", scene.name, text, "set the Time Limit of Sampling to 0")
    if cycles.use_guiding:
        text = f"scene {scene.name!r} uses path guiding, which learns from the whole picture"
        yield _obstacle("whole-path-guiding", scene.name, text, "switch Path Guiding off")
    for layer in scene.view_layers if cycles.use_adaptive_sampling else ():
        if layer.use and layer.cycles.pass_debug_sample_count:
            text = f"view layer {layer.name!r} has a pass of sample counts, which are parts of each bucket's highest"
            yield _obstacle("whole-sample-count", layer.name, text, "switch the Sample Count pass off")
    if not cycles.use_denoising:
        return
    if cycles.denoiser != _DENOISER:
        text = f"scene {scene.name!r} denoises with {cycles.denoiser or 'nothing'}, which not every machine has"
        yield _obstacle("whole-denoiser", scene.name, text, "choose OpenImageDenoise")
    # Cycles denoises what shadow catchers collect as well; its function for files does not. Lamps only light it.
    things = [each for each in scene.objects if each.type != "LIGHT" and not each.hide_render]
    catchers = [each for each in things if each.is_shadow_catcher]
    layers = [each for each in scene.view_layers if each.use and each.cycles.use_pass_shadow_catcher]
    if catchers or layers:
        name = (catchers or layers)[0].name
        text = f"scene {scene.name!r} denoises, and what {name!r} catches of shadows with it"
        yield _obstacle("whole-shadow-catcher", name, text, "switch denoising off, or denoise in the compositor")


def _layers(scene: Any) -> Iterator[dict[str, str]]:
    for layer in scene.view_layers if scene.render.use_freestyle else ():
        if layer.use and layer.use_freestyle:
            text = f"view layer {layer.name!r} draws Freestyle lines, which see the whole picture"
            yield _obstacle("whole-freestyle", layer.name, text, "switch Freestyle off")


def _compositor(scene: Any) -> Iterator[dict[str, str]]:
    """Yield what the compositor takes in place of this scene's passes, or besides: whole pictures of other scenes."""
    tree = getattr(scene, "node_tree", None) or getattr(scene, "compositing_node_group", None)
    if not (scene.use_nodes and scene.render.use_compositing and tree is not None):
        return
    sources = [node for node in tree.nodes if node.bl_idname == "CompositorNodeRLayers" and not node.mute]
    if all(node.scene not in (None, scene) for node in sources):
        text = f"the compositor of scene {scene.name!r} uses none of the scene's own view layers"
        yield _obstacle("whole-compositor", scene.name, text, "add a Render Layers node, or switch Compositing off")
    for name in sorted({node.scene.name for node in sources if node.scene not in (None, scene)}):
        text = f"the compositor of scene {scene.name!r} also takes scene {name!r}"
        yield _obstacle("whole-compositor", name, text, "render that scene by itself, and load its files")


def _animated(scene: Any) -> list[str]:
    data = scene.animation_data
    if data is None:
        return []
    curves = [*data.drivers, *(data.action.fcurves if data.action else ())]
    found = {curve.data_path for curve in curves if curve.data_path.startswith(_OVERRIDDEN)}
    return sorted(path for path in found if not path.endswith("].samples"))


def _obstacle(code: str, subject: str, text: str, remedy: str) -> dict[str, str]:
    return {"code": code, "subject": subject, "text": text, "remedy": remedy}


@contextmanager
def bucket(scene: Any, box: borders.Box) -> Iterator[None]:
    """Set a scene up to write the pixels of `box` with all passes, and put everything back afterwards.

    Raises ValueError for pixels that the frame does not have.
    """
    render, settings = scene.render, scene.render.image_settings
    min_x, min_y, max_x, max_y = borders.border(box, *frame_size(scene))
    wanted: list[tuple[Any, str, Any]] = [
        (render, "use_border", True),
        (render, "use_crop_to_border", True),
        (render, "border_min_x", min_x),
        (render, "border_min_y", min_y),
        (render, "border_max_x", max_x),
        (render, "border_max_y", max_y),
        *passes_only(scene),
    ]
    wanted += [
        (layer.cycles, "denoising_store_passes", True) for layer in scene.view_layers if is_denoised(scene, layer)
    ]
    wanted.append((scene.cycles, "use_denoising", False))
    with changed(wanted), changed(all_passes(settings)):
        yield


def is_denoised(scene: Any, layer: Any) -> bool:
    """Say whether Cycles denoises a view layer."""
    return bool(scene.cycles.use_denoising and layer.cycles.use_denoising)


def passes_only(scene: Any) -> list[tuple[Any, str, Any]]:
    """List the settings with which a render stops before anything that is done to the picture as a whole."""
    render = scene.render
    return [(render, "use_compositing", False), (render, "use_sequencer", False), (render, "use_stamp", False)]


def all_passes(settings: Any) -> list[tuple[Any, str, Any]]:
    """List the settings with which a render writes all it has, without loss."""
    # Blender 5 lets one choose among the formats of this kind only.
    wanted = [(settings, "media_type", "MULTI_LAYER_IMAGE")] if hasattr(settings, "media_type") else []
    wanted += [
        (settings, "file_format", "OPEN_EXR_MULTILAYER"),
        (settings, "color_mode", "RGBA"),
        (settings, "color_depth", "32"),
        (settings, "exr_codec", "ZIP"),
    ]
    if settings.color_management == "OVERRIDE":
        # A file of its own colours would be in these; switching OVERRIDE off and on again would forget them.
        wanted.append((settings.linear_colorspace_settings, "name", _scene_linear()))
    return wanted


def _scene_linear() -> str:
    """Give the name of the colours that renders are in."""
    image = bpy.data.images.new("scene linear", 1, 1, float_buffer=True)
    name: str = image.colorspace_settings.name
    bpy.data.images.remove(image)
    return name


@contextmanager
def changed(wanted: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Hold attributes at values, set in this order, and put back what was there, in the same order."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in wanted]
    try:
        for owner, name, value in wanted:
            if getattr(owner, name) != value:
                setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            if getattr(owner, name) != value:
                setattr(owner, name, value)
