"""Say whether a scene's samples can be rendered apart and added, and set the scene up to render some of them.

Theory: Cycles draws each sample of a pixel from the sample's own number, and most of what it writes are averages over
samples; then ranges of samples, weighted by how many they are, add up to the whole, but for the rounding of floats.
What is no average was measured with 4.2: depths, positions and indices are the first sample's alone; light by its kind
is divided by the colour of what it falls on, so that only dividend and divisor are averages. Cryptomatte, motion
vectors and the alpha of shadow catchers are neither, and make the scene one whose samples stay together.

Before Blender 5 the number of a range's samples also chooses the sequence that they are drawn from, but for the pattern
called Classic up to 256 samples. With all others, the default among them, ranges are no parts of the whole.

This module runs inside Blender only.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import cutting

CLASSIC_SAMPLES = 256
"""Of the shortest table of the pattern Classic; longer renders have longer tables, which begin otherwise."""

FIRSTS = ("Depth", "Position", "IndexOB", "IndexMA")
"""Passes that hold values of the first sample."""

QUOTIENTS = {f"{kind}{part}": f"{kind}Col" for kind in ("Diff", "Gloss", "Trans") for part in ("Dir", "Ind")}
"""Passes of which Cycles divides the average by the average of another."""

RULES = {"first": FIRSTS, "quotients": QUOTIENTS, "counts": ["cycles.*.samples"]}
"""What who adds the files must know: also which headers tell how many samples there are."""

_NOT_ADDED = (
    ("use_pass_vector", "Vector", "which are averages over the samples that hit something"),
    ("use_pass_cryptomatte_object", "Cryptomatte", "which ranks what each pixel shows"),
    ("use_pass_cryptomatte_material", "Cryptomatte", "which ranks what each pixel shows"),
    ("use_pass_cryptomatte_asset", "Cryptomatte", "which ranks what each pixel shows"),
)

_COLOURS = ("use_pass_diffuse_color", "use_pass_glossy_color", "use_pass_transmission_color")

_OVERRIDDEN = (
    "cycles.samples",
    "cycles.sample_offset",
    "cycles.use_sample_subset",
    "cycles.sample_subset_length",
    "cycles.use_layer_samples",
    "cycles.sampling_pattern",
    "cycles.auto_scrambling_distance",
)
"""What a range of samples sets, or what is only looked at once."""


def samples(scene: Any) -> int:
    """Give how many samples each pixel gets; 0 where that is not known."""
    if scene.render.engine != "CYCLES":
        return 0
    return max(_layer_samples(scene, layer) for layer in _layers(scene)) if _layers(scene) else 0


def obstacles(scene: Any) -> Iterator[dict[str, str]]:
    """Yield each reason why the samples of a frame can only be rendered together, those that forbid buckets first."""
    if scene.render.engine != "CYCLES":
        text = f"{scene.render.engine} has no samples that can be rendered apart"
        yield _obstacle("samples-engine", scene.render.engine, text, "render with Cycles")
        return
    yield from cutting.obstacles(scene)
    yield from _numbers(scene)
    yield from _passes(scene)
    for path in _animated(scene):
        text = f"scene {scene.name!r} animates {path}"
        yield _obstacle("samples-animated", path, text, "remove its keyframes and drivers")


def _numbers(scene: Any) -> Iterator[dict[str, str]]:
    cycles = scene.cycles
    if cycles.use_adaptive_sampling:
        text = f"scene {scene.name!r} samples adaptively: each pixel stops by what all its samples look like"
        yield _obstacle("samples-adaptive", scene.name, text, "switch the Noise Threshold of Sampling off")
    different = sorted({_layer_samples(scene, layer) for layer in _layers(scene)})
    if len(different) > 1:
        text = f"view layers of scene {scene.name!r} have different samples: {', '.join(map(str, different))}"
        yield _obstacle("samples-layers", scene.name, text, "set the Samples Override of each view layer to 0")
    if cycles.sample_offset or getattr(cycles, "use_sample_subset", False):
        text = f"scene {scene.name!r} renders a part of its samples already, from {cycles.sample_offset} on"
        yield _obstacle("samples-offset", scene.name, text, "set Sample Offset in Advanced of Sampling to 0")
    if hasattr(cycles, "use_sample_subset"):
        return
    if cycles.sampling_pattern != "TABULATED_SOBOL":
        text = f"scene {scene.name!r} draws samples by a pattern in which parts are not those of the whole"
        yield _obstacle("samples-pattern", scene.name, text, "set Pattern in Advanced of Sampling to Classic")
    elif samples(scene) > CLASSIC_SAMPLES:
        text = f"each pixel gets {samples(scene)} samples; more than {CLASSIC_SAMPLES} are drawn otherwise than parts"
        yield _obstacle("samples-many", scene.name, text, f"set Max Samples to at most {CLASSIC_SAMPLES}")
    if cycles.auto_scrambling_distance:
        text = f"scene {scene.name!r} scrambles samples by how many there are"
        yield _obstacle("samples-scrambling", scene.name, text, "switch Scrambling Distance Automatic off")


def _passes(scene: Any) -> Iterator[dict[str, str]]:
    for layer in _layers(scene):
        for name, called, why in _NOT_ADDED:
            if getattr(layer, name):
                text = f"view layer {layer.name!r} has the pass {called}, {why}"
                yield _obstacle("samples-pass", layer.name, text, f"switch the {called} pass off ({name})")
        if layer.cycles.use_pass_shadow_catcher:
            text = f"view layer {layer.name!r} has the pass Shadow Catcher, which is a quotient"
            yield _obstacle("samples-pass", layer.name, text, "switch the Shadow Catcher pass off")
    things = [each for each in scene.objects if each.type != "LIGHT" and not each.hide_render]
    for name in [each.name for each in things if each.is_shadow_catcher][:1]:
        text = f"object {name!r} catches shadows, and the picture's alpha is a quotient then"
        yield _obstacle("samples-shadow-catcher", name, text, "let it catch no shadows")


def _layers(scene: Any) -> list[Any]:
    return [layer for layer in scene.view_layers if layer.use]


def _layer_samples(scene: Any, layer: Any) -> int:
    """Give how many samples Cycles draws for a view layer."""
    own, general = int(layer.samples), int(scene.cycles.samples)
    if scene.cycles.use_layer_samples == "IGNORE" or own == 0:
        return general
    return own if scene.cycles.use_layer_samples == "USE" else min(own, general)


def _animated(scene: Any) -> list[str]:
    data = scene.animation_data
    if data is None:
        return []
    curves = [*data.drivers, *(data.action.fcurves if data.action else ())]
    paths = {curve.data_path for curve in curves}
    return sorted(path for path in paths if path in _OVERRIDDEN or path.endswith("].samples"))


def _obstacle(code: str, subject: str, text: str, remedy: str) -> dict[str, str]:
    return {"code": code, "subject": subject, "text": text, "remedy": remedy}


@contextmanager
def some(scene: Any, first: int, count: int, of: int) -> Iterator[None]:
    """Set a scene up to write `count` samples of its picture from `first` on, with all passes and how they add up.

    Raises ValueError for samples that the scene does not have.
    """
    if of != samples(scene) or not 0 <= first < first + count <= of:
        raise ValueError(f"{count} samples from {first} of {of} are no part of {samples(scene)}")
    cycles, render = scene.cycles, scene.render
    wanted: list[tuple[Any, str, Any]] = [(cycles, "sample_offset", first)]
    if hasattr(cycles, "use_sample_subset"):
        wanted += [(cycles, "use_sample_subset", True), (cycles, "sample_subset_length", count)]
    else:
        wanted += [(cycles, "use_layer_samples", "IGNORE"), (cycles, "samples", count)]
    # What quotients are divided by has to be there; a frame's file gets none that its scene does not have.
    wanted += [(layer, name, True) for layer in _layers(scene) for name in _COLOURS if _divides(layer, name)]
    wanted += [
        (render, "metadata_input", "SCENE"),
        (render, "use_stamp_note", True),
        (render, "stamp_note_text", "meshnode " + json.dumps(RULES)),
    ]
    with cutting.changed(wanted), cutting.bucket(scene, cutting.region(scene)):
        yield


def _divides(layer: Any, colour: str) -> bool:
    kind = colour.removesuffix("_color")
    return bool(getattr(layer, f"{kind}_direct") or getattr(layer, f"{kind}_indirect"))
