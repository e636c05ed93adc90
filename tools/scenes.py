"""Make the project's own test scenes: the demo, tiny ones for tests, and some that the mesh must refuse.

`python tools/scenes.py --out DIR [--scene NAME ...]` writes DIR/NAME/NAME.blend and what belongs to it. Blender is only
in the embedded engine's environment, so the script starts itself again there; a test calls `make`. The scenes are made
from nothing, the same each time, and hold no work of others.
"""

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tools import cut_scenes, still_scenes
from tools.scene_blocks import (
    add,
    bands,
    checks,
    fresh,
    light,
    link,
    material,
    number,
    output,
    picture,
    planks,
    save,
    smooth,
    turn,
    world,
)

DEMO_FRAMES = 24


class ScenesFailed(Exception):
    """The scenes could not be made; the message is the end of what Blender printed."""


def make(python: Path, out: Path, names: Iterable[str] = ()) -> None:
    """Make scenes with the embedded engine's Python; no names means all. Raises ScenesFailed."""
    chosen = [part for name in names for part in ("--scene", name)]
    command = [str(python), "-I", str(Path(__file__).resolve()), "--inside", "--out", str(out), *chosen]
    outcome = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if outcome.returncode != 0:
        raise ScenesFailed(outcome.stdout.decode("utf-8", "replace")[-2000:])


def demo(out: Path) -> None:
    """Make the demo's scene: two linked props and the frame's number on a turning stage, textures in files."""
    props = demo_library(out.parent / "library" / "props.blend")
    floor = picture(out.parent / "textures" / "floor.png", 256, planks)
    wall = picture(out.parent / "textures" / "wall.png", 128, checks((0.05, 0.11, 0.2), (0.1, 0.2, 0.33), 8))
    scene = fresh(size=(432, 243), samples=6, frames=DEMO_FRAMES)
    scene.cycles.use_denoising = True
    demo_stage(floor, wall)
    left, right = link(props, ["Vase", "Head"])
    left.location, right.location = (-2.2, 0.4, 0.0), (2.2, 0.4, 1.0)
    demo_holders([left, right])
    number(1.5, (0.0, -0.4, 0.35), material("Brass", color=(0.9, 0.55, 0.18), rough=0.25))
    light("Warm", (-4.0, -3.5, 4.5), 420.0, 2.0, (1.0, 0.82, 0.62))
    light("Cool", (4.5, -2.0, 3.5), 300.0, 2.0, (0.55, 0.75, 1.0))
    world((0.3, 0.4, 0.6), 0.35)
    scene.camera.location = (0.0, -8.2, 2.3)
    scene.camera.rotation_euler = (math.radians(81), 0.0, 0.0)
    scene.camera.data.lens = 42
    output("PNG", "RGB", "8")
    save(out, compress=True)


def demo_exr(out: Path) -> None:
    """Make the demo's scene with float EXR frames, so that every bit can be compared."""
    demo(out)
    output("OPEN_EXR", "RGBA", "32")
    save(out, compress=True)


def demo_library(path: Path) -> Path:
    """Make the props, with a texture of their own, in a library file of their own."""
    import bpy

    cloth = picture(path.parent / "textures" / "bands.png", 128, bands)
    fresh()
    banded = material("Banded", texture=cloth, rough=0.35)
    head = add("monkey", "Head", banded, size=1.6)
    smooth(head)
    vase = add("torus", "Vase", banded, major_radius=0.7, minor_radius=0.3, major_segments=48, minor_segments=24)
    smooth(vase)
    for name in ("Key", "Camera"):
        bpy.data.objects.remove(bpy.data.objects[name])
    save(path)
    return path


def demo_stage(floor: Path, wall: Path) -> None:
    """Build floor, wall and a turning plinth."""
    import bpy

    add("plane", "Floor", material("Floor", texture=floor, rough=0.3), size=14)
    back = add("plane", "Wall", material("Wall", texture=wall, rough=0.8), size=14, location=(0, 4, 4))
    back.rotation_euler = (math.radians(90), 0.0, 0.0)
    dark = material("Plinth", color=(0.03, 0.03, 0.035), rough=0.2)
    plinth = add("cylinder", "Plinth", dark, radius=1.5, depth=0.3, vertices=12, location=(0, 0, 0.15))
    turn(plinth, DEMO_FRAMES, 1.0)
    bpy.data.objects.remove(bpy.data.objects["Key"])


def demo_holders(things: Sequence[Any]) -> None:
    """Let linked things turn: they follow empties of this file, since they themselves belong to the library."""
    import bpy

    for index, thing in enumerate(things):
        instance = bpy.data.objects.new(f"Turning {thing.name}", thing.data)
        place = thing.location.copy()
        bpy.context.scene.collection.objects.unlink(thing)
        bpy.context.scene.collection.objects.link(instance)
        instance.location = (place[0], place[1], 0.3 if index == 0 else 1.05)
        instance.modifiers.new("Smooth", "SUBSURF").render_levels = 2
        turn(instance, DEMO_FRAMES, -0.5 if index else 1.0)


def tiny(out: Path) -> None:
    """Make a scene that renders in a few hundredths of a second, with a texture and its frame's number."""
    tiny_content(out)
    output("PNG", "RGBA", "8")
    save(out)


def tiny_exr(out: Path) -> None:
    """Make the tiny scene with float EXR frames and moving, blurred things."""
    import bpy

    tiny_content(out)
    bpy.context.scene.render.use_motion_blur = True
    output("OPEN_EXR", "RGBA", "32")
    save(out)


def tiny_content(out: Path) -> Any:
    """Fill an empty scene with a floor, a turning cube and a number."""
    texture = picture(out.parent / "textures" / "checks.png", 32, checks((0.9, 0.1, 0.1), (0.1, 0.2, 0.9), 4))
    scene = fresh()
    add("plane", "Floor", material("Floor", texture=texture), size=8)
    cube = add("cube", "Cube", material("Green", color=(0.1, 0.7, 0.2)), size=1.2, location=(-1.6, 0.5, 0.9))
    turn(cube, 4, 0.2)
    number(1.8, (0.8, -0.4, 0.3), material("White", color=(0.9, 0.9, 0.9)))
    return scene


def slow(out: Path) -> None:
    """Make a scene whose one frame takes many seconds, to be interrupted."""
    scene = tiny_content(out)
    scene.render.resolution_x, scene.render.resolution_y = 640, 360
    scene.cycles.samples = 4096
    save(out)


def nested(out: Path) -> None:
    """Make a scene that links a library that links another, each with a texture beside it, one by absolute path."""
    import bpy

    inner = out.parent / "deep" / "inner.blend"
    texture = picture(inner.parent / "inner.png", 32, checks((0.9, 0.8, 0.1), (0.1, 0.5, 0.1), 4))
    fresh()
    add("cube", "Inner", material("Inner", texture=texture), size=1.5, location=(-1.5, 0, 1))
    save(inner)
    outer = out.parent / "outer.blend"
    fresh()
    link(inner, ["Inner"])
    texture = picture(out.parent / "far" / "outer.png", 32, checks((0.1, 0.8, 0.9), (0.5, 0.1, 0.5), 4))
    add("cube", "Outer", material("Outer", texture=texture), size=1.5, location=(1.5, 0, 1))
    group = bpy.data.collections.new("Both")
    for name in ("Inner", "Outer"):
        group.objects.link(bpy.data.objects[name])
    group.use_fake_user = True
    save(outer)
    fresh()
    with bpy.data.libraries.load(str(outer), link=True) as (_, wanted):
        wanted.collections = ["Both"]
    bpy.context.scene.collection.children.link(wanted.collections[0])
    floor = picture(out.parent / "far" / "floor.png", 32, checks((0.3, 0.3, 0.3), (0.7, 0.7, 0.7), 4))
    add("plane", "Floor", material("Floor", texture=floor), size=8)
    output("OPEN_EXR", "RGBA", "32")
    save(out)
    bpy.data.images["floor.png"].filepath = str(floor)
    bpy.ops.wm.save_as_mainfile(filepath=str(out), relative_remap=False)


def sequence(out: Path) -> None:
    """Make a scene with an image sequence that starts at frame 2, is shifted by 10, and repeats after 3 pictures."""
    import bpy

    for index in range(11, 14):
        cell = checks((0.1 * (index - 10), 0.2, 0.8), (0.9, 0.3 * (index - 10), 0.1), 4)
        picture(out.parent / "seq" / f"pic_{index:03d}.png", 32, cell)
    scene = fresh(frames=6)
    look = material("Moving", texture=out.parent / "seq" / "pic_011.png")
    add("plane", "Floor", look, size=8)
    node = look.node_tree.nodes["Image Texture"]
    node.image.source = "SEQUENCE"
    user = node.image_user
    user.frame_start, user.frame_duration, user.frame_offset = 2, 3, 10
    user.use_cyclic, user.use_auto_refresh = True, True
    scene.world = bpy.data.worlds.new("Dark")
    save(out)


def font(out: Path) -> None:
    """Make a scene with text in a font file of its own, a copy of Blender's."""
    import bpy

    source = next(iter(sorted(Path(bpy.utils.resource_path("LOCAL")).glob("datafiles/fonts/*Mono*"))))
    target = out.parent / "fonts" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    scene = fresh()
    letters = bpy.data.objects.new("Letters", bpy.data.curves.new("Letters", "FONT"))
    letters.data.body, letters.data.font = "Mesh", bpy.data.fonts.load(str(target))
    letters.location, letters.rotation_euler = (-1.5, 0.0, 1.0), (math.radians(90), 0.0, 0.0)
    scene.collection.objects.link(letters)
    save(out)


def missing_texture(out: Path) -> None:
    """Make the tiny scene and take its texture away."""
    tiny(out)
    (out.parent / "textures" / "checks.png").unlink()


def missing_library(out: Path) -> None:
    """Make the nested scene and take its deeper library away."""
    nested(out)
    (out.parent / "deep" / "inner.blend").unlink()


def python_driver(out: Path) -> None:
    """Make a scene with a driver that needs Python, and one that does not."""
    import bpy

    tiny_content(out)
    cube = bpy.data.objects["Cube"]
    cube.driver_add("location", 0).driver.expression = "[frame for frame in range(3)][1]"
    cube.driver_add("location", 1).driver.expression = "sin(frame / 10)"
    save(out)


def undefined_node(out: Path) -> None:
    """Make a scene with a shader node whose add-on is not there any more."""
    import bpy

    class Vanishing(bpy.types.Node):  # type: ignore[misc]
        bl_idname = "ShaderNodeVanishing"
        bl_label = "Vanishing"

    tiny_content(out)
    bpy.utils.register_class(Vanishing)
    bpy.data.materials["Green"].node_tree.nodes.new("ShaderNodeVanishing")
    save(out)


def absent_engine(out: Path) -> None:
    """Make a scene for a render engine that nobody has."""
    import bpy

    class Absent(bpy.types.RenderEngine):  # type: ignore[misc]
        bl_idname = "ABSENT_RENDER"
        bl_label = "Absent"

    tiny_content(out)
    bpy.utils.register_class(Absent)
    bpy.context.scene.render.engine = "ABSENT_RENDER"
    save(out)


def unbaked_cloth(out: Path) -> None:
    """Make a scene with cloth that nobody baked, and rigid bodies likewise."""
    import bpy

    tiny_content(out)
    bpy.data.objects["Floor"].modifiers.new("Cloth", "CLOTH")
    bpy.ops.rigidbody.world_add()
    bpy.context.scene.rigidbody_world.collection = bpy.data.collections.new("Bodies")
    bpy.context.scene.rigidbody_world.collection.objects.link(bpy.data.objects["Cube"])
    save(out)


def many_refusals(out: Path) -> None:
    """Make a scene with a movie as output, a File Output node, a UDIM set, a movie clip and no camera."""
    import bpy

    scene = tiny_content(out)
    tile = picture(out.parent / "textures" / "tile.1001.png", 8, checks((1, 1, 1), (0, 0, 0), 2))
    material("Tiled", texture=tile).use_fake_user = True
    bpy.data.images["tile.1001.png"].source = "TILED"
    scene.use_nodes = True
    scene.node_tree.nodes.new("CompositorNodeOutputFile").base_path = "//../../elsewhere/"
    bpy.data.movieclips.load(str(tile)).use_fake_user = True
    scene.render.image_settings.file_format = "FFMPEG"
    scene.camera = None
    save(out)


def canary(out: Path) -> None:
    """Make a scene whose paths and script try to leave its directory; a canary lies beside it."""
    import bpy

    beyond = picture(out.parent.parent / "beyond" / "canary.png", 8, checks((1, 1, 1), (0, 0, 0), 2))
    tiny_content(out)
    add("cube", "Spy", material("Spy", texture=beyond), size=1.0)
    text = bpy.data.texts.new("spy.py")
    text.write(f"open({str(beyond.parent / 'script-ran')!r}, 'w').close()\n")
    text.use_module = True
    bpy.context.scene.render.filepath = "//../beyond/frame_"
    save(out)


def every_path(out: Path) -> None:
    """Make a scene that names a file in each way that the tiny scenes do not; few of the files are there."""
    import bpy

    tiny_content(out)
    save(out)
    cube, data = bpy.data.objects["Cube"], bpy.data
    data.sounds.load("//sound.wav").use_fake_user = True
    volume = data.volumes.new("Smoke")
    volume.filepath, volume.use_fake_user = "//smoke.vdb", True
    clip = data.movieclips.load(str(picture(out.parent / "clip.png", 8, checks((1, 1, 1), (0, 0, 0), 2))))
    clip.use_proxy_custom_directory, clip.proxy.directory, clip.use_fake_user = True, "//proxies", True
    every_path_of_a_modifier(out, cube)
    nodes = data.materials["Green"].node_tree.nodes
    for kind, name in (("ShaderNodeScript", "//script.osl"), ("ShaderNodeTexIES", "//lamp.ies")):
        node = nodes.new(kind)
        node.mode, node.filepath = "EXTERNAL", name
    every_view(out)
    save(out)


def every_path_of_a_modifier(out: Path, thing: Any) -> None:
    """Give an object a modifier of each kind that keeps files of its own."""
    import bpy

    bpy.ops.wm.alembic_export(filepath=str(out.with_name("shape.abc")), start=1, end=1)
    bpy.ops.cachefile.open(filepath=str(out.with_name("shape.abc")))
    (cache,) = bpy.data.cache_files
    cache.layers.new(filepath="//layer.abc")
    shape = thing.modifiers.new("Shape", "MESH_SEQUENCE_CACHE")
    shape.cache_file, shape.object_path = cache, cache.object_paths[0].path if cache.object_paths else "/Cube"
    bpy.context.view_layer.objects.active = thing
    thing.modifiers.new("Multires", "MULTIRES")
    bpy.ops.object.multires_subdivide(modifier="Multires")
    bpy.ops.object.multires_external_save(filepath=str(out.with_name("multires.btx")), modifier="Multires")
    thing.modifiers.new("Ocean", "OCEAN").filepath = "//ocean"
    thing.modifiers.new("Mesh Cache", "MESH_CACHE").filepath = "//mesh.mdd"
    fluid = thing.modifiers.new("Fluid", "FLUID")
    fluid.fluid_type = "DOMAIN"
    fluid.domain_settings.cache_directory = "//fluid"
    cloth = thing.modifiers.new("Cloth", "CLOTH").point_cache
    cloth.use_external, cloth.filepath = True, "//points"


def every_view(out: Path) -> None:
    """Give the floor's picture two views with a path each, in a scene that renders one view."""
    import bpy

    scene = bpy.context.scene
    for side in ("L", "R"):
        picture(out.parent / f"view_{side}.png", 8, checks((1, 1, 1), (0, 0, 0), 2))
    scene.render.use_multiview = True
    image = bpy.data.images["checks.png"]
    innocent = image.filepath
    image.filepath_raw = "//view_L.png"
    image.views_format, image.use_multiview = "INDIVIDUAL", True
    image.filepath_raw = innocent
    scene.render.use_multiview = False


SCENES: dict[str, Callable[[Path], None]] = (cut_scenes.SCENES | still_scenes.SCENES) | {
    made.__name__: made
    for made in (
        demo,
        demo_exr,
        tiny,
        tiny_exr,
        slow,
        nested,
        sequence,
        font,
        missing_texture,
        missing_library,
        python_driver,
        undefined_node,
        absent_engine,
        unbaked_cloth,
        many_refusals,
        canary,
        every_path,
    )
}


def main(arguments: Sequence[str]) -> int:
    """Make the scenes that are asked for, in Blender's environment."""
    parser = argparse.ArgumentParser(description="Make the project's own test scenes.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where each gets a directory")
    parser.add_argument("--scene", action="append", choices=sorted(SCENES), help="only these; all by default")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.scene or list(SCENES)
    if options.inside:
        for name in names:
            SCENES[name](options.out.absolute() / name / f"{name}.blend")
        # Once a Python driver ran, this Blender crashes when Python takes it down: leave without that.
        os._exit(0)
    sys.path.insert(0, str(ROOT))
    from mesh.render.engines import cache_directory
    from mesh.render.install import embedded_python

    python = embedded_python(cache_directory(os.environ))
    if python is None:
        print("error: the embedded engine is not installed; type: meshnode engine install blender", file=sys.stderr)
        return 1
    try:
        make(python, options.out, names)
    except ScenesFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(str(options.out / name / f"{name}.blend") for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
