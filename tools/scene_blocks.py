"""Building blocks of the test scenes: cameras, lights, pictures, materials, things, numbers, files.

Everything here runs inside Blender, with nothing but its own Python; `scenes` composes it.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Color = tuple[float, float, float]


def fresh(*, engine: str = "CYCLES", size: tuple[int, int] = (64, 36), samples: int = 2, frames: int = 4) -> Any:
    """Start from an empty file and give its scene, with a camera and a light."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.save_version = 0
    scene = bpy.context.scene
    scene.render.engine = engine
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.frame_start, scene.frame_end = 1, frames
    scene.render.filepath = "//render/frame_"
    if engine == "CYCLES":
        scene.cycles.samples = samples
        scene.cycles.use_adaptive_sampling = False
        scene.cycles.use_denoising = False
        scene.cycles.max_bounces = 3
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (0.0, -7.0, 2.2), (math.radians(80), 0.0, 0.0)
    scene.camera = camera
    light("Key", (-3.0, -4.0, 5.0), 500.0, 3.0)
    return scene


def light(name: str, place: Color, power: float, size: float, color: Color = (1.0, 1.0, 1.0)) -> Any:
    """Add an area light that shines at the scene's middle."""
    import bpy
    import mathutils

    data = bpy.data.lights.new(name, "AREA")
    data.energy, data.size, data.color = power, size, color
    thing = bpy.data.objects.new(name, data)
    thing.location = place
    thing.rotation_euler = (-mathutils.Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(thing)
    return thing


def world(color: Color, strength: float) -> None:
    """Light everything a little from all sides."""
    import bpy

    made = bpy.data.worlds.new("World")
    made.use_nodes = True
    background = made.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*color, 1.0)
    background.inputs["Strength"].default_value = strength
    bpy.context.scene.world = made


def picture(path: Path, size: int, pixel: Callable[[int, int], Color]) -> Path:
    """Write a square PNG, pixel by pixel."""
    import bpy
    import numpy as np

    data = np.ones((size, size, 4), dtype=np.float32)
    data[:, :, :3] = [[pixel(x, y) for x in range(size)] for y in range(size)]
    image = bpy.data.images.new(path.stem, size, size)
    image.pixels.foreach_set(data.ravel())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def checks(first: Color, second: Color, cell: int) -> Callable[[int, int], Color]:
    """Give a chequered pattern."""
    return lambda x, y: first if (x // cell + y // cell) % 2 else second


def planks(x: int, y: int) -> Color:
    """Give something like wooden boards."""
    board = y // 16
    grain = 0.5 + 0.5 * math.sin(0.22 * x + 2.7 * board + 2.0 * math.sin(0.05 * x + board * 1.3) + 0.9 * (y % 16))
    shade = 0.82 + 0.18 * math.sin(board * 2.1)
    edge = 0.45 if y % 16 == 0 or (x + board * 53) % 128 == 0 else 1.0
    return tuple(shade * edge * (base + more * grain) for base, more in ((0.36, 0.14), (0.2, 0.1), (0.1, 0.06)))  # type: ignore[return-value]


def bands(x: int, y: int) -> Color:
    """Give coloured bands that bend, for round things."""
    wave = 0.5 + 0.5 * math.sin(0.15 * y + 1.5 * math.sin(0.1 * x))
    return (0.85 * wave + 0.05, 0.25 + 0.3 * wave, 0.75 - 0.6 * wave)


def material(name: str, *, texture: Path | None = None, color: Color = (0.8, 0.8, 0.8), rough: float = 0.5) -> Any:
    """Make a material, with a picture if one is given."""
    import bpy

    made = bpy.data.materials.new(name)
    made.use_nodes = True
    tree = made.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*color, 1.0)
    shader.inputs["Roughness"].default_value = rough
    if texture is not None:
        node = tree.nodes.new("ShaderNodeTexImage")
        node.image = bpy.data.images.load(str(texture))
        tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    return made


def add(kind: str, name: str, look: Any, **options: Any) -> Any:
    """Add a mesh primitive with a material."""
    import bpy

    getattr(bpy.ops.mesh, f"primitive_{kind}_add")(**options)
    thing = bpy.context.object
    thing.name = thing.data.name = name
    thing.data.materials.append(look)
    return thing


def smooth(thing: Any) -> None:
    """Shade something as if it had no edges."""
    for polygon in thing.data.polygons:
        polygon.use_smooth = True


def aim(thing: Any, place: Color) -> None:
    """Turn a camera or a light towards a place."""
    import mathutils

    thing.rotation_euler = (mathutils.Vector(place) - thing.location).to_track_quat("-Z", "Y").to_euler()


def node_output(tree: Any) -> Any:
    """Give the node in which a material's tree ends."""
    return tree.nodes["Material Output"]


def number(size: float, place: Color, look: Any) -> Any:
    """Add the frame's own number as solid letters, made by geometry nodes from the scene's time."""
    import bpy

    tree = bpy.data.node_groups.new("Frame number", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    kinds = {
        "time": "GeometryNodeInputSceneTime",
        "text": "FunctionNodeValueToString",
        "curves": "GeometryNodeStringToCurves",
        "real": "GeometryNodeRealizeInstances",
        "fill": "GeometryNodeFillCurve",
        "solid": "GeometryNodeExtrudeMesh",
        "look": "GeometryNodeSetMaterial",
        "out": "NodeGroupOutput",
    }
    nodes = {name: tree.nodes.new(kind) for name, kind in kinds.items()}
    nodes["curves"].inputs["Size"].default_value = size
    nodes["curves"].align_x = "CENTER"
    nodes["solid"].inputs["Offset Scale"].default_value = size * 0.12
    nodes["solid"].inputs["Individual"].default_value = False
    nodes["look"].inputs["Material"].default_value = look
    chain = ["curves", "real", "fill", "solid", "look", "out"]
    tree.links.new(nodes["time"].outputs["Frame"], nodes["text"].inputs["Value"])
    tree.links.new(nodes["text"].outputs["String"], nodes["curves"].inputs["String"])
    for left, right in pairwise(chain):
        tree.links.new(nodes[left].outputs[0], nodes[right].inputs[0])
    thing = bpy.data.objects.new("Number", bpy.data.meshes.new("Number"))
    thing.location, thing.rotation_euler = place, (math.radians(90), 0.0, 0.0)
    thing.modifiers.new("Number", "NODES").node_group = tree
    bpy.context.scene.collection.objects.link(thing)
    return thing


def turn(thing: Any, frames: int, turns: float) -> None:
    """Turn something around its own axis, evenly."""
    for frame in (1, frames + 1):
        thing.rotation_euler[2] = turns * math.tau * (frame - 1) / frames
        thing.keyframe_insert("rotation_euler", index=2, frame=frame)
    for curve in thing.animation_data.action.fcurves:
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def save(path: Path, *, compress: bool = False) -> None:
    """Save the file with relative paths."""
    import bpy

    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress, relative_remap=True)
    bpy.ops.file.make_paths_relative()
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress, relative_remap=True)


def link(library: Path, names: Sequence[str]) -> list[Any]:
    """Link objects from another .blend file into the scene."""
    import bpy

    with bpy.data.libraries.load(str(library), link=True, relative=False) as (_, wanted):
        wanted.objects = list(names)
    for thing in wanted.objects:
        bpy.context.scene.collection.objects.link(thing)
    return list(wanted.objects)


def output(form: str, mode: str, depth: str) -> None:
    """Choose the file format of the frames."""
    import bpy

    settings = bpy.context.scene.render.image_settings
    settings.file_format, settings.color_mode = form, mode
    settings.color_depth = depth


def passes(scene: Any, names: Sequence[str]) -> None:
    """Keep more of what is rendered than the picture, in each view layer; names as in `use_pass_...`."""
    for layer in scene.view_layers:
        for name in names:
            setattr(layer, f"use_pass_{name}", True)
