"""Make a frame's file from all its passes, as if Blender itself had rendered them just now.

Theory: Blender composites, stamps, dithers and writes whatever a render engine hands it. So the scene is rendered once
more, by an engine that computes nothing and only loads the passes: all that follows is Blender's own doing. What Cycles
does to the whole picture, denoising, happens before that, by Cycles' own function for files. What that reads the same
engine writes first, in an empty scene, since a heavy one takes long to evaluate.

Invariants: the scene is as it was afterwards. Passes that only the denoiser needs do not reach the frame's file. An
error within an engine is only printed by Blender, which then writes a black picture: so it is asked afterwards what was
loaded. This module runs inside Blender only.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, ClassVar, TypeAlias, TypeVar

import bpy
import numpy as np

from . import cutting, exrheader

Pass = tuple[str, str, str]
"""A pass as Cycles registers it: its name, a letter for each channel, and what it holds."""

Values: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"

Text = tuple[str, str]
"""A header of a file: its name and what it says."""

_ENGINE = "MESHNODE_FINISHING"
_COMBINED: Pass = ("Combined", "RGBA", "COLOR")
_NOISY: Pass = ("Noisy Image", "RGBA", "COLOR")
_GUIDES: tuple[Pass, ...] = (
    ("Denoising Normal", "XYZ", "VECTOR"),
    ("Denoising Albedo", "RGB", "COLOR"),
    ("Denoising Depth", "Z", "VALUE"),
)
_MOTION: Pass = ("Vector", "XYZW", "VECTOR")
"""Denoisers of animations look at it; ours does not, but files without it are not denoised."""
_DENOISED = (_COMBINED, _MOTION, _NOISY, *_GUIDES)
"""The passes in the denoiser's files."""
_KEPT = ("cycles.", "cryptomatte/")
"""Headers that Cycles leaves with its passes; Blender adds all others by itself."""

Result = TypeVar("Result")


class Unfit(Exception):
    """The passes are not those of this frame, or cannot be denoised; the message says why."""


class _Work:
    """What the engine does in the render at hand: hand over the passes of the scene itself, the denoised ones too."""

    def __init__(self, size: tuple[int, int], file: str, denoised: str = "", texts: Iterable[Text] = ()) -> None:
        self.size = size
        self._file, self._denoised = file, denoised
        self._texts = tuple(texts)
        self.loaded: set[str] = set()
        self.error = ""

    def passes(self, scene: Any, layer: Any) -> Iterable[Pass]:
        """List the passes of a view layer."""
        return _scene_passes(scene, layer)

    def load(self, engine: Any, scene: Any, layer: Any) -> None:
        """Hand Blender the passes of a view layer. What a file lacks keeps its values, and Blender warns of it."""
        result = engine.begin_result(0, 0, *self.size, layer=layer.name)
        result.load_from_file(self._file)
        self._change(result, is_denoised=cutting.is_denoised(scene, layer))
        engine.end_result(result)
        for name, text in self._texts:
            engine.get_result().stamp_data_add_field(name, text)
        self.loaded.add(layer.name)

    def _change(self, result: Any, *, is_denoised: bool) -> None:
        if is_denoised:
            result.load_from_file(self._denoised)
            with self._values(result) as values:
                for name, *_ in _DENOISED:
                    if name in values:
                        values[name][:] = values[name][::-1].copy()

    @contextmanager
    def _values(self, result: Any) -> Iterator[dict[str, Values]]:
        """Yield all passes of the only layer by name, to be changed: rows from the bottom, columns, channels."""
        (layer,) = result.layers
        ends = list(accumulate(self.size[0] * self.size[1] * each.channels for each in layer.passes))
        # Blender copies values in bulk only for all passes at once, one after the other.
        values = np.empty(ends[-1], np.float32)
        layer.passes.foreach_get("rect", values)
        shape = self.size[1], self.size[0], -1
        parts = np.split(values, ends[:-1])
        yield {each.name: part.reshape(shape) for each, part in zip(layer.passes, parts, strict=True)}
        layer.passes.foreach_set("rect", values)


class _ForDenoiser(_Work):
    """Write what the denoiser reads, and the noisy picture under its own name.

    Upside down: files begin at the top, and Cycles' own pictures, which are denoised a little otherwise, at the bottom.
    """

    def passes(self, scene: Any, layer: Any) -> Iterable[Pass]:  # noqa: ARG002 (the same for all)
        return _DENOISED

    def _change(self, result: Any, *, is_denoised: bool) -> None:  # noqa: ARG002
        with self._values(result) as values:
            for part in values.values():
                part[:] = part[::-1].copy()
            values[_NOISY[0]][:] = values[_COMBINED[0]]


class _Engine(bpy.types.RenderEngine):  # type: ignore[misc]
    """Be a render engine that loads what others rendered."""

    bl_idname = _ENGINE
    bl_label = "Finishing"
    bl_use_exclude_layers = True
    bl_use_custom_freestyle = True
    work: ClassVar[_Work | None] = None

    def update_render_passes(self, scene: Any, layer: Any) -> None:
        """Tell Blender which passes there are; the compositor's nodes have sockets for these."""
        for name, letters, kind in _scene_passes(scene, layer) if self.work is None else self.work.passes(scene, layer):
            self.register_pass(scene, layer, name, len(letters), letters, kind)

    def render(self, depsgraph: Any) -> None:
        """Hand over one view layer."""
        if self.work is None:
            return
        try:
            self.work.load(self, depsgraph.scene, depsgraph.view_layer)
        except RuntimeError as error:
            self.work.error = str(error).strip()


def finish(scene: Any, passes: str, temporary: str, write: Callable[[], Result]) -> Result:
    """Have Blender make the file of the frame that the scene is at from a file of passes; give what `write` gives.

    `write` renders and writes with the scene's own settings; other files go to the directory `temporary`. Raises Unfit,
    RuntimeError as Blender does, and what `write` raises.
    """
    header = _fitting(scene, passes)
    size = header.width, header.height
    texts = [(name, text) for name, text in header.texts if name.startswith(_KEPT)]
    denoised = _denoise(scene, _ForDenoiser(size, passes, texts=texts), temporary)
    # Another engine has all that it may see evaluated anew, which takes as long as loading the scene: but it sees none.
    unseen = [(each, "hide_render", True) for each in scene.objects if each.type != "CAMERA" and not each.hide_render]
    with cutting.changed([(scene.render, "engine", _registered()), *unseen]):
        return _at_work(_Work(size, passes, denoised, texts), [layer.name for layer in _layers(scene)], write)


def _fitting(scene: Any, passes: str) -> exrheader.Header:
    """Read the header of a file of passes. Raises Unfit where it is not of this scene."""
    try:
        header = exrheader.read(passes)
    except exrheader.NotAnExr as error:
        raise Unfit(f"{os.path.basename(passes)}: {error}") from error
    except OSError as error:
        raise Unfit(f"{os.path.basename(passes)}: {error.strerror}") from error
    left, top, right, bottom = cutting.region(scene)
    if (header.width, header.height) != (right - left, bottom - top):
        raise Unfit(f"the passes are {header.width}x{header.height} pixels instead of {right - left}x{bottom - top}")
    for layer in _layers(scene):
        wanted = [each for each in _scene_passes(scene, layer) if each != _NOISY]
        wanted += _GUIDES if cutting.is_denoised(scene, layer) else ()
        for name, letters, _ in wanted:
            for letter in letters:
                if f"{layer.name}.{name}.{letter}" not in header.channels:
                    raise Unfit(f"the passes lack {layer.name}.{name}.{letter}")
    return header


def _denoise(scene: Any, work: _ForDenoiser, temporary: str) -> str:
    """Denoise what the scene wants denoised, and give the file; an empty name where there is nothing to do."""
    layers = [layer for layer in _layers(scene) if cutting.is_denoised(scene, layer)]
    if not layers:
        return ""
    import _cycles

    noisy, denoised = os.path.join(temporary, "noisy.exr"), os.path.join(temporary, "denoised.exr")
    names = [layer.name for layer in layers]
    try:
        with _empty_scene(names, work.size, noisy) as empty:
            _at_work(work, names, lambda: bpy.ops.render.render(write_still=True, scene=empty))
        preferences = bpy.context.preferences.as_pointer()
        _cycles.denoise(preferences, scene.as_pointer(), layers[0].as_pointer(), input=[noisy], output=[denoised])
    except (RuntimeError, ValueError) as error:
        raise Unfit(f"the frame cannot be denoised: {error}") from error
    return denoised


@contextmanager
def _empty_scene(layers: Sequence[str], size: tuple[int, int], file: str) -> Iterator[str]:
    """Make a scene with nothing in it but these view layers, that writes all its passes to a file; give its name."""
    scene = bpy.data.scenes.new("meshnode")
    camera = bpy.data.cameras.new("meshnode")
    thing = bpy.data.objects.new("meshnode", camera)
    try:
        scene.collection.objects.link(thing)
        scene.camera = thing
        scene.view_layers[0].name = layers[0]
        for name in layers[1:]:
            scene.view_layers.new(name)
        render = scene.render
        render.engine, render.filepath = _registered(), file
        render.resolution_x, render.resolution_y = size
        render.resolution_percentage, render.use_file_extension = 100, False
        for owner, name, value in (*cutting.passes_only(scene), *cutting.all_passes(render.image_settings)):
            setattr(owner, name, value)
        # It is read once, right away, and thrown away.
        render.image_settings.exr_codec = "NONE"
        yield scene.name
    finally:
        bpy.data.scenes.remove(scene)
        bpy.data.objects.remove(thing)
        bpy.data.cameras.remove(camera)


def _at_work(work: _Work, layers: Iterable[str], render: Callable[[], Result]) -> Result:
    """Render with the engine of this module. Raises Unfit unless it loaded each of these view layers."""
    _Engine.work = work
    try:
        done = render()
    finally:
        _Engine.work = None
    if lacking := set(layers) - work.loaded:
        raise Unfit(f"the passes of {', '.join(sorted(lacking))} cannot be loaded: {work.error}")
    return done


def _layers(scene: Any) -> list[Any]:
    """List the view layers that are rendered."""
    return [layer for layer in scene.view_layers if layer.use]


def _scene_passes(scene: Any, layer: Any) -> Sequence[Pass]:
    """List the passes that Cycles itself has for a view layer."""
    from cycles.engine import list_render_passes

    return list(list_render_passes(scene, layer))


def _registered() -> str:
    """Make Blender know the engine, and give its name."""
    if not _Engine.is_registered:
        bpy.utils.register_class(_Engine)
    return _ENGINE
