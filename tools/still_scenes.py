"""Stills of the project's own: each has what is hard to cut into buckets, and is small enough to be rendered often.

Every scene comes with fixed and with adaptive sampling, as a PNG and as an EXR of floats with many passes: `still_dof`,
`still_dof_adaptive`, `still_dof_exr`, `still_dof_exr_adaptive`. What is drawn, dithered, denoised or composited over
the whole picture is in some of them on purpose. Everything here runs inside Blender; `scenes` makes the files.

Balls are icospheres: how Blender numbers the edges of a UV sphere differs from process to process, and with it the last
bits of what is seen.
"""

import colorsys
import functools
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tools.scene_blocks import (
    Color,
    add,
    aim,
    bands,
    checks,
    fresh,
    light,
    material,
    node_output,
    number,
    output,
    passes,
    picture,
    planks,
    save,
    smooth,
    world,
)

LIGHT_PASSES = ("z", "normal", "diffuse_direct", "diffuse_indirect", "diffuse_color", "glossy_direct", "emit")
CRYPTOMATTES = ("cryptomatte_object", "cryptomatte_material", "cryptomatte_asset")
SAMPLES = 20
ADAPTIVE_FACTOR = 3
"""How many times as many samples a pixel may get where the sampling is adaptive."""

Content = Callable[[Path], Any]


def dof(out: Path) -> Any:
    """Show a row of marbles from very near, lamps far behind, and a ring that flies through the picture."""
    floor = picture(out.parent / "textures" / "floor.png", 256, planks)
    scene = fresh(size=(333, 187), samples=14, frames=1)
    scene.render.use_motion_blur, scene.render.motion_blur_shutter = True, 0.8
    scene.cycles.rolling_shutter_type = "NONE"
    add("plane", "Floor", material("Floor", texture=floor, rough=0.25), size=30)
    for index in range(7):
        place = (-1.9 + 0.75 * index, -2.6 + 1.25 * index, 0.5)
        marble(f"Marble {index}", place, colorsys.hsv_to_rgb(0.02 + index / 8, 0.75, 0.8))
    drawn = random.Random(7)
    for index in range(26):
        color = colorsys.hsv_to_rgb(drawn.choice((0.03, 0.1, 0.55, 0.9)), 0.9, 1.0)
        place = (drawn.uniform(-7, 7), drawn.uniform(8, 11), drawn.uniform(0.6, 4.5))
        lamp = material(f"Lamp {index}", color=(0, 0, 0))
        glow(lamp, color, 12.0)
        add("ico_sphere", f"Lamp {index}", lamp, radius=0.07, subdivisions=2, location=place)
    brass = material("Brass", color=(0.9, 0.55, 0.18), rough=0.2)
    brass.node_tree.nodes["Principled BSDF"].inputs["Metallic"].default_value = 1.0
    ring = add("torus", "Ring", brass, major_radius=0.6, minor_radius=0.12, major_segments=64, minor_segments=16)
    smooth(ring)
    for frame, place, turned in ((0, (0.6, -1.6, 1.7), 0.0), (2, (1.9, -1.2, 1.2), 2.2)):
        ring.location, ring.rotation_euler = place, (0.9 + turned, 0.4, turned)
        ring.keyframe_insert("location", frame=frame)
        ring.keyframe_insert("rotation_euler", frame=frame)
    world((0.1, 0.16, 0.3), 0.5)
    camera = scene.camera
    camera.location, camera.data.lens = (0.2, -6.4, 1.25), 42
    aim(camera, (0.2, 0.0, 0.75))
    camera.data.dof.use_dof, camera.data.dof.aperture_fstop = True, 0.22
    camera.data.dof.focus_distance, camera.data.dof.aperture_blades = 5.0, 7
    return scene


def volume(_: Path) -> Any:
    """Show light that falls through a grating into mist, on a head and a cloud of smoke."""
    scene = fresh(size=(317, 179), samples=8, frames=1)
    scene.cycles.volume_bounces, scene.cycles.volume_step_rate, scene.cycles.volume_max_steps = 0, 4.0, 24
    add("plane", "Floor", material("Floor", color=(0.25, 0.22, 0.2), rough=0.4), size=20)
    smooth(
        add("monkey", "Head", material("Head", color=(0.75, 0.35, 0.2), rough=0.35), size=1.7, location=(0.9, 0.3, 1))
    )
    grating(material("Iron", color=(0.02, 0.02, 0.02)))
    sun = light("Beam", (-5.5, 1.5, 6.5), 1500.0, 0.25, (1.0, 0.7, 0.35))
    aim(sun, (0.6, 0.2, 0.4))
    sun.data.spread = 0.5
    mist = add("cube", "Mist", volume_material("Mist", 0.045), size=1, location=(0, 1, 3.05))
    mist.scale = (14, 12, 6)
    smoke = volume_material("Smoke", 5.0, noise=2.6, color=(0.55, 0.7, 1.0))
    add("ico_sphere", "Smoke", smoke, radius=1.15, subdivisions=3, location=(-1.5, 0.4, 1.25))
    scene.objects["Key"].data.energy = 60.0
    world((0.05, 0.09, 0.2), 0.5)
    aim(scene.camera, (0, 0, 1.25))
    return scene


def hair(out: Path) -> Any:
    """Show two creatures of nothing but fur and eyes, one behind the other."""
    scene = fresh(size=(257, 145), samples=7, frames=1)
    scene.cycles.max_bounces = 2
    scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 2
    ground = picture(out.parent / "textures" / "ground.png", 64, checks((0.16, 0.3, 0.2), (0.2, 0.37, 0.24), 8))
    add("plane", "Ground", material("Ground", texture=ground, rough=0.9), size=16)
    creature("Red", (-0.75, -0.6, 1.0), 1.0, (0.8, 0.08, 0.03))
    creature("Grey", (1.35, 0.9, 0.8), 0.8, (0.28, 0.3, 0.36))
    light("Rim", (3.5, 3.5, 3.5), 600.0, 1.5, (0.6, 0.75, 1.0))
    world((0.5, 0.6, 0.8), 0.5)
    scene.camera.location = (0, -6.2, 1.9)
    aim(scene.camera, (0.15, 0, 0.95))
    return scene


def displaced(_: Path) -> Any:
    """Show rocks in water, diced as finely as the picture needs it."""
    scene = fresh(size=(321, 181), samples=SAMPLES, frames=1)
    scene.cycles.feature_set, scene.cycles.dicing_rate, scene.cycles.max_subdivisions = "EXPERIMENTAL", 1.5, 8
    rock = material("Rock", color=(0.3, 0.24, 0.19), rough=0.8)
    displace(rock, scale=0.42, height=4.5)
    land = add("grid", "Land", rock, size=14, x_subdivisions=8, y_subdivisions=8, location=(0, 4, -0.75))
    stone = material("Stone", color=(0.2, 0.15, 0.12), rough=0.6)
    displace(stone, scale=1.7, height=0.5)
    boulder = add("ico_sphere", "Boulder", stone, radius=0.55, subdivisions=2, location=(-1.5, -2.2, 0.3))
    for thing in (land, boulder):
        smooth(thing)
        thing.modifiers.new("Dicing", "SUBSURF").subdivision_type = "SIMPLE"
        thing.cycles.use_adaptive_subdivision = True
    sea = material("Sea", color=(0.01, 0.06, 0.09), rough=0.06)
    add("plane", "Sea", sea, size=60, location=(0, 10, 0.0))
    scene.objects["Key"].data.energy = 900.0
    scene.objects["Key"].data.color = (1.0, 0.8, 0.55)
    world((0.42, 0.6, 0.85), 0.8)
    scene.camera.location = (0, -7, 1.9)
    aim(scene.camera, (0, 0, 0.65))
    return scene


def layers(out: Path) -> Any:
    """Show gems before a wall in two view layers, put together by the compositor, with glare, mattes and a stamp."""
    import bpy

    scene = fresh(size=(335, 189), samples=16, frames=1)
    scene.render.film_transparent = True
    back, front = (bpy.data.collections.new(name) for name in ("Back", "Front"))
    wall = picture(out.parent / "textures" / "wall.png", 128, bands)
    scenery = [add("plane", "Wall", material("Wall", texture=wall, rough=0.8), size=12, location=(0, 3, 2))]
    scenery[0].rotation_euler = (math.radians(90), 0.0, 0.0)
    scenery.append(add("plane", "Table", material("Table", color=(0.1, 0.1, 0.13), rough=0.3), size=12))
    gems = []
    for index, (name, hue) in enumerate((("Ruby", 0.97), ("Topaz", 0.12), ("Emerald", 0.38), ("Sapphire", 0.62))):
        look = material(name, color=colorsys.hsv_to_rgb(hue, 0.85, 0.7), rough=0.08)
        place = (-2.25 + 1.5 * index, -0.4 + 0.5 * (index % 2), 0.62)
        gems.append(add("ico_sphere", name, look, radius=0.62, subdivisions=1, location=place))
        gems[-1].rotation_euler = (0.3 * index, 0.5, index)
    glowing = material("Glowing", color=(0, 0, 0))
    glow(glowing, (1.0, 0.8, 0.5), 7.0)
    gems.append(number(1.3, (0.0, 0.7, 0.9), glowing))
    for group, things in ((back, scenery), (front, gems)):
        scene.collection.children.link(group)
        for thing in things:
            scene.collection.objects.unlink(thing)
            group.objects.link(thing)
    scene.view_layers[0].name = "Gems"
    scene.view_layers.new("Scenery")
    scene.view_layers["Gems"].layer_collection.children["Back"].exclude = True
    scene.view_layers["Scenery"].layer_collection.children["Front"].indirect_only = True
    passes(scene, CRYPTOMATTES)
    world((0.4, 0.5, 0.7), 0.4)
    scene.camera.location = (0, -7, 1.7)
    aim(scene.camera, (0, 0, 1.0))
    composite(scene)
    stamp(scene)
    return scene


def denoised(out: Path) -> Any:
    """Show glass, metal and a head with few samples, denoised."""
    scene = table(out, (319, 181), 8)
    scene.cycles.use_denoising, scene.cycles.denoiser = True, "OPENIMAGEDENOISE"
    return scene


def border(out: Path) -> Any:
    """Show a part of the glass, metal and head; the rest of the frame stays empty."""
    scene = table(out, (333, 187), SAMPLES)
    cut_out(scene, crop=False)
    return scene


def cropped(out: Path) -> Any:
    """Show a part of the glass, metal and head, of which the frame is made."""
    scene = table(out, (333, 187), SAMPLES)
    cut_out(scene, crop=True)
    return scene


def table(out: Path, size: tuple[int, int], samples: int) -> Any:
    """Lay a table: a head, a glass ball, a metal ring, the frame's number."""
    wood = picture(out.parent / "textures" / "wood.png", 256, planks)
    scene = fresh(size=size, samples=samples, frames=1)
    scene.cycles.max_bounces, scene.cycles.transmission_bounces = 6, 6
    add("plane", "Table", material("Table", texture=wood, rough=0.3), size=16)
    smooth(
        add("monkey", "Head", material("Head", color=(0.1, 0.35, 0.6), rough=0.4), size=1.7, location=(-1.9, 0.6, 0.9))
    )
    glass = material("Glass", color=(0.95, 1.0, 0.97), rough=0.0)
    glass.node_tree.nodes["Principled BSDF"].inputs["Transmission Weight"].default_value = 1.0
    smooth(add("ico_sphere", "Glass", glass, radius=0.85, subdivisions=5, location=(0.2, -0.6, 0.85)))
    metal = material("Metal", color=(0.95, 0.6, 0.3), rough=0.15)
    metal.node_tree.nodes["Principled BSDF"].inputs["Metallic"].default_value = 1.0
    ring = add("torus", "Ring", metal, major_radius=0.7, minor_radius=0.22, location=(2.1, 0.2, 0.75))
    ring.rotation_euler = (1.2, 0.3, 0.5)
    smooth(ring)
    number(1.1, (1.0, 1.6, 0.4), material("White", color=(0.9, 0.9, 0.9)))
    light("Cool", (4.0, -2.5, 3.0), 250.0, 1.0, (0.6, 0.75, 1.0))
    world((0.5, 0.6, 0.8), 0.35)
    scene.camera.location = (0, -6.5, 2.1)
    aim(scene.camera, (0, 0, 0.85))
    return scene


def still_counted(out: Path) -> None:
    """Make a still that keeps how many samples each pixel got: as a part of the most that any pixel of a render got."""
    scene = table(out, (160, 90), SAMPLES)
    adapt(scene)
    scene.view_layers[0].cycles.pass_debug_sample_count = True
    output("OPEN_EXR_MULTILAYER", "RGBA", "32")
    save(out)


def still_bench(out: Path) -> None:
    """Make the still that benches render: a minute to a minute and a half on two cores, at once loaded."""
    table(out, (960, 540), 195)
    output("PNG", "RGB", "8")
    save(out)


def still_bench_adaptive(out: Path) -> None:
    """Make the same still larger, with few samples where they suffice: its buckets need margins."""
    scene = table(out, (1600, 900), 64)
    scene.cycles.use_adaptive_sampling, scene.cycles.adaptive_threshold = True, 0.03
    output("PNG", "RGB", "8")
    save(out)


def still_hd(out: Path) -> None:
    """Make a still of 1920x1080 and 8 channels that takes few seconds: what its end takes is measured."""
    layer = table(out, (1920, 1080), 2).view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = True
    output("PNG", "RGB", "8")
    save(out)


def still_hd_passes(out: Path) -> None:
    """Make the same still with 47 channels."""
    layer = table(out, (1920, 1080), 2).view_layers[0]
    for name in ("z", "normal", "position", "uv", "vector", "mist", "object_index", "emit", "environment"):
        setattr(layer, f"use_pass_{name}", True)
    for kind in ("diffuse", "glossy"):
        for part in ("direct", "indirect", "color"):
            setattr(layer, f"use_pass_{kind}_{part}", True)
    layer.use_pass_ambient_occlusion = True
    output("PNG", "RGB", "8")
    save(out)


def still_heavy(out: Path) -> None:
    """Make a still that takes more than five seconds to its first sample, however many the cores, and a minute then."""
    scene = table(out, (960, 540), 110)
    ball = scene.objects["Glass"].modifiers
    fine = ball.new("Fine", "SUBSURF")
    fine.levels, fine.render_levels = 0, 3
    # What takes triangles away again works on one core, and leaves little for the memory.
    fewer = ball.new("Fewer", "DECIMATE")
    fewer.ratio, fewer.show_viewport = 0.15, False
    output("PNG", "RGB", "8")
    save(out)


def marble(name: str, place: Color, color: Color) -> Any:
    """Add a coloured, polished ball."""
    ball = add("ico_sphere", name, material(name, color=color, rough=0.12), radius=0.5, subdivisions=4, location=place)
    smooth(ball)
    return ball


def glow(look: Any, color: Color, strength: float) -> None:
    """Let a material shine."""
    inputs = look.node_tree.nodes["Principled BSDF"].inputs
    inputs["Emission Color"].default_value, inputs["Emission Strength"].default_value = (*color, 1.0), strength


def grating(look: Any) -> None:
    """Hang bars into the light."""
    for index in range(9):
        bar = add("cube", f"Bar {index}", look, size=1, location=(-4.3 + 0.34 * index, 1.1, 5.4 - 0.1 * index))
        bar.scale = (0.17, 4.0, 0.06)


def volume_material(name: str, density: float, *, noise: float = 0.0, color: Color = (1.0, 1.0, 1.0)) -> Any:
    """Make a material that scatters light inside; with noise it is a cloud that thins out towards its skin."""
    import bpy

    made = bpy.data.materials.new(name)
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    scatter = tree.nodes.new("ShaderNodeVolumePrincipled")
    scatter.inputs["Color"].default_value, scatter.inputs["Density"].default_value = (*color, 1.0), density
    tree.links.new(scatter.outputs["Volume"], node_output(tree).inputs["Volume"])
    if noise:
        texture, ramp = tree.nodes.new("ShaderNodeTexNoise"), tree.nodes.new("ShaderNodeMapRange")
        texture.inputs["Scale"].default_value = noise
        for socket, value in (("From Min", 0.48), ("From Max", 0.62), ("To Min", 0.0), ("To Max", density)):
            ramp.inputs[socket].default_value = value
        tree.links.new(texture.outputs["Fac"], ramp.inputs["Value"])
        tree.links.new(ramp.outputs["Result"], scatter.inputs["Density"])
    return made


def creature(name: str, place: Color, size: float, color: Color) -> None:
    """Add a ball of fur with eyes."""
    import bpy

    fur = bpy.data.materials.new(f"{name} fur")
    fur.use_nodes = True
    tree = fur.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    strand = tree.nodes.new("ShaderNodeBsdfHairPrincipled")
    strand.inputs["Color"].default_value = (*color, 1.0)
    tree.links.new(strand.outputs[0], node_output(tree).inputs["Surface"])
    body = add("ico_sphere", name, fur, radius=0.72 * size, subdivisions=4, location=place)
    system = body.modifiers.new("Fur", "PARTICLE_SYSTEM").particle_system
    settings = system.settings
    settings.type, settings.count, settings.hair_length = "HAIR", 500, 0.42 * size
    settings.child_type, settings.rendered_child_count, settings.child_radius = "SIMPLE", 9, 0.12 * size
    settings.roughness_1, settings.roughness_2, settings.clump_factor = 0.03, 0.05, 0.5
    settings.brownian_factor, settings.root_radius, settings.tip_radius = 0.06, 1.0, 0.1
    settings.radius_scale = 0.02 * size
    white, black = material(f"{name} white", rough=0.1), material(f"{name} black", color=(0, 0, 0), rough=0.05)
    for side in (-1, 1):
        x, y, z = place[0] + side * 0.3 * size, place[1] - 0.86 * size, place[2] + 0.26 * size
        smooth(add("ico_sphere", f"{name} eye {side}", white, radius=0.19 * size, subdivisions=4, location=(x, y, z)))
        at = (x - side * 0.02 * size, y - 0.13 * size, z)
        smooth(add("ico_sphere", f"{name} pupil {side}", black, radius=0.1 * size, subdivisions=3, location=at))


def displace(look: Any, *, scale: float, height: float) -> None:
    """Let a material push its surface out by noise."""
    look.displacement_method = "BOTH"
    tree = look.node_tree
    noise, push = tree.nodes.new("ShaderNodeTexNoise"), tree.nodes.new("ShaderNodeDisplacement")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = scale, 9.0
    noise.inputs["Roughness"].default_value = 0.55
    push.inputs["Scale"].default_value, push.inputs["Midlevel"].default_value = height, 0.42
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(coordinates.outputs["Object"], noise.inputs["Vector"])
    tree.links.new(noise.outputs["Fac"], push.inputs["Height"])
    tree.links.new(push.outputs["Displacement"], node_output(tree).inputs["Displacement"])


def composite(scene: Any) -> None:
    """Put the gems, glaring and one of them recoloured by its matte, over the scenery, whose colours are changed."""
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    kinds = {
        "gems": "CompositorNodeRLayers",
        "scenery": "CompositorNodeRLayers",
        "matte": "CompositorNodeCryptomatteV2",
        "hue": "CompositorNodeHueSat",
        "glare": "CompositorNodeGlare",
        "balance": "CompositorNodeColorBalance",
        "over": "CompositorNodeAlphaOver",
        "out": "CompositorNodeComposite",
    }
    nodes = {name: tree.nodes.new(kind) for name, kind in kinds.items()}
    nodes["gems"].layer, nodes["scenery"].layer = "Gems", "Scenery"
    nodes["matte"].layer_name, nodes["matte"].matte_id = "Gems.CryptoObject", "Topaz"
    nodes["hue"].inputs["Hue"].default_value = 0.8
    nodes["glare"].glare_type, nodes["glare"].threshold, nodes["glare"].size = "FOG_GLOW", 0.9, 7
    nodes["balance"].gain, nodes["balance"].lift = (1.05, 0.95, 1.2), (0.95, 1.0, 1.08)
    links = (
        ("gems", "Image", "matte", "Image"),
        ("gems", "Image", "hue", "Image"),
        ("matte", "Matte", "hue", "Fac"),
        ("hue", "Image", "glare", "Image"),
        ("scenery", "Image", "balance", "Image"),
        ("balance", "Image", "over", 1),
        ("glare", "Image", "over", 2),
        ("over", "Image", "out", "Image"),
    )
    for left, socket, right, into in links:
        tree.links.new(nodes[left].outputs[socket], nodes[right].inputs[into])


def stamp(scene: Any) -> None:
    """Burn into the picture what is the same wherever it is rendered."""
    render = scene.render
    render.use_stamp, render.stamp_font_size = True, 12
    for what in ("date", "time", "render_time", "hostname", "memory", "filename"):
        setattr(render, f"use_stamp_{what}", False)
    render.use_stamp_frame, render.use_stamp_camera, render.use_stamp_note = True, True, True
    render.stamp_note_text = "burned in"


def cut_out(scene: Any, *, crop: bool) -> None:
    """Render a part of the frame alone."""
    render = scene.render
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x = 0.23, 0.781
    render.border_min_y, render.border_max_y = 0.117, 0.9


def adapt(scene: Any) -> None:
    """Let the sampling end where it is good enough; some pixels get the fewest samples, some the most."""
    cycles = scene.cycles
    cycles.use_adaptive_sampling, cycles.adaptive_threshold, cycles.adaptive_min_samples = True, 0.08, 16
    cycles.samples *= ADAPTIVE_FACTOR


def make(content: Content, out: Path, *, exr: bool, adaptive: bool) -> None:
    """Make one scene in one of its four ways."""
    scene = content(out)
    if adaptive:
        adapt(scene)
    if exr:
        passes(scene, LIGHT_PASSES)
        output("OPEN_EXR_MULTILAYER", "RGBA", "32")
    else:
        output("PNG", "RGBA" if scene.render.film_transparent else "RGB", "8")
    save(out)


def names(contents: Iterable[Content]) -> dict[str, Callable[[Path], None]]:
    """Name all ways of some scenes."""
    return {
        f"still_{content.__name__}{'_exr' * exr}{'_adaptive' * adaptive}": functools.partial(
            make, content, exr=exr, adaptive=adaptive
        )
        for content in contents
        for exr in (False, True)
        for adaptive in (False, True)
    }


FOR_TIME: dict[str, Callable[[Path], None]] = {
    "still_bench": still_bench,
    "still_bench_adaptive": still_bench_adaptive,
    "still_heavy": still_heavy,
    "still_hd": still_hd,
    "still_hd_passes": still_hd_passes,
}
"""What is there to be timed."""

SCENES: dict[str, Callable[[Path], None]] = {
    **names((dof, volume, hair, displaced, layers, denoised, border, cropped)),
    "still_counted": still_counted,
    **FOR_TIME,
}
