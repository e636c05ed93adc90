"""Find what in a loaded scene would render wrong, or not at all, on another machine.

Theory: the engine's exit code says nothing: an unknown node renders as nothing, a missing engine becomes another one,
an unbaked simulation gives a different frame on each peer, and a File Output node writes wherever it likes. Each such
thing is named before anything is sent, and once more on the peer that opens the stage: the submitter may be a liar.

This module runs inside Blender only and changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import bpy

from .files import every_datablock, every_node_tree, is_external, kind_of

Refused = dict[str, str]

_MOVIES = ("FFMPEG", "AVI_JPEG", "AVI_RAW")
_BUILT_IN_ENGINES = ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT", "BLENDER_WORKBENCH", "CYCLES")
_LATER = "the mesh does not carry these yet; pack the data, or render the scene on one machine"


def find(scene: Any, raw_engines: Mapping[str, str]) -> list[Refused]:
    """List every reason not to render a scene; `raw_engines` is what the file itself says of each scene's engine."""
    checks: Iterable[Iterable[Refused]] = (
        _engine(scene, raw_engines),
        _camera(scene),
        _output(scene),
        _sequencer(scene),
        _freestyle(scene),
        _nodes(),
        _drivers(),
        _simulations(),
        _images(),
        _datablocks(),
        _modifiers(),
    )
    found: list[Refused] = []
    for check in checks:
        found.extend(refused for refused in check if refused not in found)
    return found


def warnings(scene: Any) -> list[str]:
    """List what a person should know but what keeps nobody from rendering."""
    found = [
        f"text {text.name!r} is a registered script; it does not run in the mesh"
        for text in bpy.data.texts
        if text.use_module
    ]
    if scene.render.use_stamp and scene.render.use_stamp_filename:
        found.append("the burned-in stamp shows the file's name as it is on the peer that rendered")
    if scene.render.engine == "CYCLES" and scene.cycles.device == "GPU":
        found.append("the scene asks for a GPU; the mesh renders Cycles on processors for now")
    return found


def _refused(code: str, subject: str, text: str, remedy: str) -> Refused:
    return {"code": code, "subject": subject, "text": text, "remedy": remedy}


def _engine(scene: Any, raw_engines: Mapping[str, str]) -> Iterator[Refused]:
    wanted = raw_engines.get(scene.name, scene.render.engine)
    installed = {getattr(engine, "bl_idname", "") for engine in bpy.types.RenderEngine.__subclasses__()}
    if wanted != scene.render.engine or wanted not in (*_BUILT_IN_ENGINES, *installed):
        text = f"scene {scene.name!r} renders with {wanted}, which this Blender does not have"
        yield _refused("absent-engine", wanted, text, "choose another render engine, or a Blender that has it")


def _camera(scene: Any) -> Iterator[Refused]:
    if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
        yield _refused("no-camera", scene.name, f"scene {scene.name!r} has no camera", "choose the scene's camera")


def _output(scene: Any) -> Iterator[Refused]:
    settings = scene.render.image_settings
    if settings.file_format in _MOVIES:
        text = f"scene {scene.name!r} writes a movie ({settings.file_format})"
        yield _refused("movie-output", scene.name, text, "choose an image format in Output Properties")
    if scene.render.use_multiview:
        text = f"scene {scene.name!r} renders several views (stereoscopy)"
        yield _refused("multiview", scene.name, text, "switch Stereoscopy off")


def _sequencer(scene: Any) -> Iterator[Refused]:
    strips = _strips(scene)
    if any(strip.type == "SCENE" for strip in strips):
        strips = [strip for each in bpy.data.scenes for strip in _strips(each)]
    for strip in strips:
        if strip.type in ("MOVIE", "SOUND", "IMAGE", "MOVIECLIP", "MASK"):
            text = f"sequencer strip {strip.name!r} is a {strip.type.lower()}"
            yield _refused("sequencer-strip", strip.name, text, "remove the strip; the mesh renders scenes, not edits")


def _strips(scene: Any) -> list[Any]:
    return list(scene.sequence_editor.sequences_all) if scene.sequence_editor is not None else []


def _freestyle(scene: Any) -> Iterator[Refused]:
    for layer in scene.view_layers if scene.render.use_freestyle else ():
        if layer.use_freestyle and layer.freestyle_settings.mode == "SCRIPT":
            text = f"view layer {layer.name!r} draws its lines with Python scripts"
            yield _refused("freestyle-script", layer.name, text, "choose Freestyle's parameter editor")


def _nodes() -> Iterator[Refused]:
    for tree, holder in every_node_tree():
        where = f"{kind_of(holder)} {holder.name!r}"
        for node in tree.nodes:
            subject = f"{where}, node {node.name!r}"
            if node.bl_idname == "NodeUndefined":
                text = f"{where} has an undefined node {node.name!r}: its add-on is missing"
                yield _refused("undefined-node", subject, text, "remove the node, or install its add-on everywhere")
            elif node.bl_idname == "CompositorNodeOutputFile" and not node.mute:
                text = f"{where} has a File Output node {node.name!r}, which writes files of its own"
                yield _refused("file-output-node", subject, text, "mute or remove the node")
            elif node.bl_idname == "ShaderNodeScript":
                text = f"{where} has a script node {node.name!r} (Open Shading Language)"
                yield _refused("script-node", subject, text, "bake the node into a texture, or remove it")
            elif node.bl_idname == "ShaderNodeTexIES" and node.mode == "EXTERNAL" and node.filepath:
                text = f"{where} reads the IES file {node.filepath}"
                yield _refused("ies-file", subject, text, "choose an internal text as the source")
            elif node.bl_idname == "GeometryNodeSimulationOutput":
                text = f"{where} has a simulation zone ({node.name!r})"
                yield _refused("simulation-nodes", subject, text, "apply the result, or render on one machine")
            elif node.bl_idname.startswith("GeometryNodeImport"):
                text = f"{where} reads a file of its own ({node.name!r})"
                yield _refused("import-node", subject, text, "apply the result")
            elif node.bl_idname == "GeometryNodeBake":
                text = f"{where} has a bake node ({node.name!r})"
                yield _refused("bake-node", subject, text, "apply the result, or render on one machine")


def _drivers() -> Iterator[Refused]:
    holders = [(datablock, datablock) for datablock in every_datablock()]
    holders += [(tree, holder) for tree, holder in every_node_tree() if tree is not holder]
    holders += [(block.shape_keys, block) for block in every_datablock() if getattr(block, "shape_keys", None)]
    for holder, named in holders:
        data = getattr(holder, "animation_data", None)
        for curve in data.drivers if data is not None else ():
            driver = curve.driver
            if driver.type == "SCRIPTED" and not driver.is_simple_expression:
                subject = f"{kind_of(named)} {named.name!r}, {curve.data_path}"
                text = f"{subject} is driven by the Python expression {driver.expression!r}, which does not run here"
                yield _refused("python-driver", subject, text, "bake the driver to keyframes, or simplify it")


def _simulations() -> Iterator[Refused]:
    for thing in bpy.data.objects:
        for modifier in thing.modifiers:
            if modifier.show_render and (refused := _simulation(thing, modifier)):
                yield refused
        for system in thing.particle_systems:
            if _moves(system.settings, system) and (problem := _cache_problem(system.point_cache)):
                yield _unbaked(thing, f"particle system {system.name!r}", problem)
    for each in bpy.data.scenes:
        world = each.rigidbody_world
        bodies = world is not None and world.enabled and world.collection is not None and world.collection.objects
        if bodies and (problem := _cache_problem(world.point_cache)):
            yield _unbaked(each, "rigid body world", problem)


def _simulation(thing: Any, modifier: Any) -> Refused | None:
    what = f"{modifier.type.lower().replace('_', ' ')} modifier {modifier.name!r}"
    if modifier.type in ("CLOTH", "SOFT_BODY"):
        problem = _cache_problem(modifier.point_cache)
        return _unbaked(thing, what, problem) if problem else None
    if modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
        return _unbaked(thing, what, "keeps its cache in files")
    if modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
        return _unbaked(thing, what, "depends on the frames before")
    return None


def _moves(settings: Any, system: Any) -> bool:
    if settings.type == "HAIR":
        return bool(system.use_hair_dynamics)
    return bool(settings.physics_type != "NO")


def _cache_problem(cache: Any) -> str:
    """Say what is wrong with a point cache, or give an empty text for one that is baked into the file."""
    if not cache.is_baked:
        return "is not baked"
    if cache.use_disk_cache or cache.use_external:
        return "keeps its bake in files beside the scene"
    return ""


def _unbaked(holder: Any, what: str, problem: str) -> Refused:
    text = f"{kind_of(holder)} {holder.name!r}: {what} {problem}, so frames rendered apart would differ"
    return _refused("unbaked-simulation", holder.name, text, "bake it without Disk Cache, or apply its result")


def _images() -> Iterator[Refused]:
    for image in bpy.data.images:
        if image.source == "TILED":
            yield _refused("udim", image.name, f"image {image.name!r} is a UDIM set", _LATER)
        elif image.source == "MOVIE":
            text = f"image {image.name!r} is a movie"
            yield _refused("movie-texture", image.name, text, "turn it into an image sequence")
        # Each view has a path of its own, which scripts cannot see; render results have views without one.
        if image.is_multiview and image.source != "VIEWER":
            text = f"image {image.name!r} has several views (stereoscopy)"
            yield _refused("multiview-image", image.name, text, "switch Use Multi-View off in the image's properties")


def _datablocks() -> Iterator[Refused]:
    kinds = (
        ("movieclips", "movie-clip", "movie clip"),
        ("volumes", "volume", "volume"),
        ("cache_files", "cache-file", "cache file (Alembic, USD)"),
        ("sounds", "sound", "sound"),
    )
    for collection, code, word in kinds:
        for datablock in getattr(bpy.data, collection, ()):
            if is_external(datablock):
                text = f"{word} {datablock.name!r} reads {datablock.filepath}"
                yield _refused(code, datablock.name, text, _LATER)


def _modifiers() -> Iterator[Refused]:
    for thing in bpy.data.objects:
        for modifier in thing.modifiers:
            where = f"object {thing.name!r}, modifier {modifier.name!r}"
            if modifier.type == "MESH_CACHE" and modifier.filepath:
                yield _refused("mesh-cache", where, f"{where} reads {modifier.filepath}", _LATER)
            elif modifier.type == "MULTIRES" and modifier.is_external:
                yield _refused("multires-file", where, f"{where} keeps its shape in {modifier.filepath}", "pack it")
            elif modifier.type == "OCEAN" and modifier.is_cached:
                yield _refused("ocean-cache", where, f"{where} reads a cache of the ocean", "delete the ocean's bake")
