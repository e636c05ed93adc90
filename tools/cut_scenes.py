"""Test scenes whose frames are cut into buckets and finished: small, noisy, and with all that could go wrong at edges.

Everything here runs inside Blender, with nothing but its own Python; `scenes` calls it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.scene_blocks import add, checks, fresh, light, material, number, output, picture, save, turn, world

SIZE = (67, 41)
"""Both are primes: no edge of a bucket lies on a round fraction."""


def content(out: Path) -> Any:
    """Fill an empty scene with blurred, textured, moving things, and two view layers of several passes each."""
    import bpy

    texture = picture(out.parent / "textures" / "checks.png", 32, checks((0.9, 0.1, 0.1), (0.1, 0.2, 0.9), 4))
    scene = fresh(size=SIZE, samples=4)
    add("plane", "Floor", material("Floor", texture=texture, rough=0.2), size=8)
    cube = add("cube", "Cube", material("Green", color=(0.1, 0.7, 0.2)), size=1.2, location=(-1.6, 0.5, 0.9))
    turn(cube, 4, 0.2)
    number(1.8, (0.8, -0.4, 0.3), material("White", color=(0.9, 0.9, 0.9)))
    light("Small", (2.0, -3.0, 2.0), 200.0, 0.2, (1.0, 0.7, 0.4))
    world((0.3, 0.4, 0.6), 0.3)
    scene.render.use_motion_blur = True
    scene.camera.data.dof.use_dof = True
    scene.camera.data.dof.focus_distance, scene.camera.data.dof.aperture_fstop = 5.0, 0.4
    first = scene.view_layers[0]
    first.use_pass_z = first.use_pass_normal = first.use_pass_diffuse_color = True
    first.use_pass_cryptomatte_object = True
    bpy.ops.object.select_all(action="DESELECT")
    second = scene.view_layers.new("Second")
    second.use_pass_glossy_direct = second.use_pass_object_index = True
    second.samples = 3
    output("OPEN_EXR_MULTILAYER", "RGBA", "32")
    return scene


def passes(out: Path) -> None:
    """Make the scene with all its passes in each file, at a fixed number of samples, as left by who saw one layer."""
    content(out).render.use_single_layer = True
    save(out)


def passes_adaptive(out: Path) -> None:
    """Make the scene so that adaptive sampling stops at other pixels after other numbers of samples."""
    adaptive(content(out))
    save(out)


def adaptive(scene: Any) -> None:
    """Have Cycles stop where it is good enough."""
    scene.cycles.samples, scene.cycles.use_adaptive_sampling = 96, True
    scene.cycles.adaptive_threshold, scene.cycles.adaptive_min_samples = 0.05, 8
    scene.view_layers["Second"].samples = 0


def passes_denoised(out: Path) -> None:
    """Make the scene denoised, but for a third layer; what guides the denoiser is in the files of the first alone."""
    scene = content(out)
    scene.cycles.use_denoising = True
    scene.view_layers["ViewLayer"].cycles.denoising_store_passes = True
    scene.view_layers.new("Third").cycles.use_denoising = False
    save(out)


def passes_png(out: Path) -> None:
    """Make the scene put through the compositor, stamped, dithered and put into a PNG."""
    composited(content(out))
    save(out)


def composited(scene: Any) -> None:
    """Mix both layers, blur them across edges, and burn in what does not change from run to run."""
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    left, right = (tree.nodes.new("CompositorNodeRLayers") for _ in range(2))
    right.layer = "Second"
    glare, mix, out = (tree.nodes.new(f"CompositorNode{kind}") for kind in ("Glare", "MixRGB", "Composite"))
    glare.glare_type, glare.threshold, glare.quality = "FOG_GLOW", 0.3, "HIGH"
    mix.inputs["Fac"].default_value = 0.3
    tree.links.new(left.outputs["Image"], glare.inputs["Image"])
    tree.links.new(glare.outputs["Image"], mix.inputs[1])
    tree.links.new(right.outputs["GlossDir"], mix.inputs[2])
    tree.links.new(mix.outputs["Image"], out.inputs["Image"])
    render = scene.render
    render.dither_intensity, render.use_stamp = 2.0, True
    for name in ("date", "time", "render_time", "filename", "memory", "hostname"):
        setattr(render, f"use_stamp_{name}", False)
    render.stamp_font_size = 8
    scene.view_settings.exposure = 0.5
    output("PNG", "RGB", "8")


def passes_png_denoised(out: Path) -> None:
    """Make the scene denoised and sampled adaptively, with its own border, cropped, in a PNG."""
    scene = content(out)
    adaptive(scene)
    scene.cycles.use_denoising = True
    composited(scene)
    bordered(scene, crop=True)
    save(out)


def passes_border(out: Path) -> None:
    """Make the scene with its own border, in a PNG of the whole size."""
    scene = content(out)
    composited(scene)
    bordered(scene, crop=False)
    save(out)


def samples_apart(out: Path) -> None:
    """Make the scene so that its samples add up, with passes of every kind, denoised in its second layer."""
    sampled(content(out))
    save(out)


def samples_apart_png(out: Path) -> None:
    """Make the scene so that its samples add up, denoised, with its own border, composited into a PNG."""
    scene = content(out)
    sampled(scene)
    composited(scene)
    bordered(scene, crop=False)
    save(out)


def sampled(scene: Any) -> None:
    """Have Cycles draw samples that are the same whether they are drawn together or not, and keep all that it can."""
    import bpy

    cycles = scene.cycles
    cycles.samples, cycles.sampling_pattern, cycles.use_denoising = 20, "TABULATED_SOBOL", True
    first, second = scene.view_layers
    second.samples = 0
    first.cycles.use_denoising = first.use_pass_cryptomatte_object = first.use_pass_diffuse_color = False
    for layer in (first, second):
        for name in ("z", "mist", "position", "normal", "uv", "object_index", "material_index", "ambient_occlusion"):
            setattr(layer, f"use_pass_{name}", True)
        for name in ("diffuse_direct", "diffuse_indirect", "glossy_direct", "glossy_indirect", "environment", "emit"):
            setattr(layer, f"use_pass_{name}", True)
    for number_, thing in enumerate(scene.objects, 3):
        thing.pass_index = number_
    for number_, stuff in enumerate(bpy.data.materials, 5):
        stuff.pass_index = number_
    # Without any green or blue of its own, by which Cycles would divide.
    bpy.data.materials["Green"].node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1, 0, 0, 1)
    second.aovs.add().name = "Custom"


def unaddable(out: Path) -> None:
    """Make a scene whose samples can only be rendered together, for all reasons that go together."""
    import bpy

    scene = content(out)
    sampled(scene)
    cycles, first = scene.cycles, scene.view_layers[0]
    cycles.samples, cycles.sample_offset, cycles.auto_scrambling_distance, cycles.use_denoising = 300, 7, True, False
    scene.render.use_motion_blur = False
    first.use_pass_vector = first.use_pass_cryptomatte_object = first.cycles.use_pass_shadow_catcher = True
    first.use_pass_cryptomatte_material = first.use_pass_cryptomatte_asset = True
    bpy.data.objects["Floor"].is_shadow_catcher = True
    cycles.keyframe_insert("samples", frame=1)
    save(out)


def bordered(scene: Any, *, crop: bool) -> None:
    """Have Blender render only a part, whose edges are in the middle of nowhere."""
    render = scene.render
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.13, 0.9, 0.2, 0.77


def uncuttable(out: Path) -> None:
    """Make a scene whose frames can only be rendered whole, for all reasons that go together."""
    import bpy

    scene = content(out)
    scene.cycles.time_limit, scene.cycles.use_guiding, scene.cycles.use_denoising = 5.0, True, True
    scene.cycles.use_adaptive_sampling = scene.view_layers[0].cycles.pass_debug_sample_count = True
    bpy.data.objects["Floor"].is_shadow_catcher = True
    scene.render.use_freestyle = True
    scene.sequence_editor_create().sequences.new_effect("Color", "COLOR", 1, 1, frame_end=4)
    pencil = bpy.data.objects.new("Pencil", bpy.data.grease_pencils.new("Pencil"))
    scene.collection.objects.link(pencil)
    scene.render.use_border, scene.render.border_max_x = True, 0.001
    scene.use_nodes = True
    scene.node_tree.nodes["Render Layers"].scene = bpy.data.scenes.new("Other")
    scene.cycles.keyframe_insert("use_denoising", frame=1)
    save(out)


def uncuttable_engine(out: Path) -> None:
    """Make a scene for an engine that computes with the whole picture."""
    content(out).render.engine = "BLENDER_WORKBENCH"
    save(out)


SCENES: dict[str, Callable[[Path], None]] = {
    made.__name__: made
    for made in (
        passes,
        passes_adaptive,
        passes_denoised,
        passes_png,
        passes_png_denoised,
        passes_border,
        samples_apart,
        samples_apart_png,
        unaddable,
        uncuttable,
        uncuttable_engine,
    )
}
