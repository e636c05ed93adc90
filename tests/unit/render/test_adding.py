"""Samples out of ranges add up to what all of them together would have been; what is no range changes nothing."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from mesh.ports.renderer import OutputWrong
from mesh.render.assemble import assembly
from mesh.render.pasting import Answer, Picture, answer
from mesh.wire.grids import Region, SampleRange
from tests.support.timed import timed
from tests.unit.render.test_pasting import read, write

FRAME = Region(left=3, top=2, right=20, bottom=13)
PASSES = {"Col": "RGB", "Combined": "RGB", "Depth": "Z", "Dir": "RGB"}
"""In the order in which files hold them."""

NAMES = tuple(f"Layer.{name}.{letter}" for name, letters in PASSES.items() for letter in letters)
KINDS = ("float",) * len(NAMES)
RULES = "meshnode " + json.dumps({"first": ["Depth"], "quotients": {"Dir": "Col"}, "counts": ["engine.*.samples"]})
SAMPLES = 11
EDGES = [0, 1, 4, SAMPLES]
FAR = np.float32(1e10)
"""Where nothing is hit."""


def drawn() -> dict[str, Any]:
    """What each sample of each pixel is: light, depth, light of one kind, and the colour by which that is divided."""
    dice = np.random.default_rng(1)
    shape = (SAMPLES, FRAME.height, FRAME.width)
    colour = dice.random((*shape, 3)) * (dice.random((*shape, 3)) < 0.5)
    colour[:, :, :3, 1:] = 0  # a red thing
    colour[:, 0] = 0  # a black one
    return {
        "light": dice.lognormal(0, 2, (*shape, 3)),
        "depth": np.where(dice.random(shape) < 0.3, FAR, dice.random(shape)),
        "kind": colour * dice.lognormal(0, 1, (*shape, 3)),
        "colour": colour,
    }


def rendered(samples: dict[str, Any], first: int, after: int) -> Any:
    """What Cycles writes of some samples."""
    kind, colour = (samples[name][first:after].mean(axis=0) for name in ("kind", "colour"))
    there = colour != 0
    found = np.divide(kind, colour, out=np.zeros_like(kind), where=there)
    mean = found.sum(axis=2) / np.maximum(there.sum(axis=2), 1)
    depth = samples["depth"][0] if first == 0 else np.zeros((FRAME.height, FRAME.width))
    light = samples["light"][first:after].mean(axis=0)
    parts = (colour, light, depth[..., None], np.where(there, found, mean[..., None]))
    return np.concatenate(parts, axis=2).astype(np.float32)


def begun() -> Picture:
    region = [FRAME.left, FRAME.top, FRAME.right, FRAME.bottom]
    picture, said = answer(None, {"do": "begin", "width": 24, "height": 16, "region": region})
    assert said == {"is": "begun"}
    assert picture is not None
    return picture


def ranged(path: Path, pixels: Any, *, rules: str = RULES, **headers: object) -> Path:
    return write(path, pixels, names=NAMES, kinds=KINDS, **({"Note": rules} if rules else {}), **headers)


def added(picture: Picture, path: Path, first: int, count: int, of: int = SAMPLES) -> Answer:
    return answer(picture, {"do": "add", "path": str(path), "first": first, "count": count, "of": of})[1]


def filled(directory: Path, edges: list[int], **headers: object) -> Picture:
    """Add all ranges, the last one first."""
    picture, samples = begun(), drawn()
    for first, after in reversed(list(pairwise(edges))):
        path = ranged(directory / "range.exr", rendered(samples, first, after), **headers)
        assert added(picture, path, first, after - first) == {"is": "added"}
    return picture


@pytest.mark.parametrize("edges", [[0, SAMPLES], EDGES, list(range(SAMPLES + 1))])
def test_averages_first_samples_and_quotients_are_those_of_all_samples(edges: list[int], tmp_path: Path) -> None:
    picture = filled(tmp_path, edges, Camera="Kamera", **{"engine.Layer.samples": "7"})
    merged = tmp_path / "merged.exr"
    assert answer(picture, {"do": "write", "path": str(merged)}) == (None, {"is": "written"})
    spec, pixels = read(merged)
    wanted = rendered(drawn(), 0, SAMPLES)
    assert np.allclose(pixels, wanted, rtol=1e-6, atol=1e-9)
    assert np.array_equal(pixels[..., 6], wanted[..., 6])
    assert spec.get_string_attribute("Camera") == "Kamera"
    assert spec.get_string_attribute("engine.Layer.samples") == str(SAMPLES)
    assert "Note" not in {each.name for each in spec.extra_attribs}
    assert (spec.x, spec.y, spec.full_width, spec.full_height) == (FRAME.left, FRAME.top, 24, 16)


def test_what_says_nothing_of_its_values_is_averages(tmp_path: Path) -> None:
    picture = begun()
    for first, value in ((0, 1.0), (3, 3.0)):
        path = ranged(tmp_path / "a.exr", np.full((FRAME.height, FRAME.width, 10), value, np.float32), rules="")
        assert added(picture, path, first, 3 if first == 0 else 1, 4) == {"is": "added"}
    answer(picture, {"do": "write", "path": str(tmp_path / "merged.exr")})
    assert (read(tmp_path / "merged.exr")[1] == 1.5).all()


def test_a_picture_that_lacks_samples_is_not_written(tmp_path: Path) -> None:
    said = answer(filled(tmp_path, EDGES[:-1]), {"do": "write", "path": str(tmp_path / "merged.exr")})[1]
    assert said == {"is": "wrong", "text": "7 of 11 samples are not there"}


def test_a_preview_is_the_average_of_what_is_there(tmp_path: Path) -> None:
    picture = begun()
    samples = drawn() | {"light": np.ones((SAMPLES, FRAME.height, FRAME.width, 3))}
    for first, after in ((0, 1), (4, 11)):
        added(picture, ranged(tmp_path / "a.exr", rendered(samples, first, after)), first, after - first)
        assert answer(picture, {"do": "preview", "path": str(tmp_path / "a.png")})[1] == {"is": "previewed"}
        shown = OpenImageIO.ImageBuf(str(tmp_path / "a.png")).get_pixels(OpenImageIO.UINT8)
        assert (shown[FRAME.top : FRAME.bottom, FRAME.left : FRAME.right] == 255).all()
        assert shown[0, 0, 0] < 50


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first": 4, "count": 8}, "8 samples from 4 of 11 are no part of 11"),
        ({"first": -1, "count": 3}, "no part of"),
        ({"first": 1, "count": 0}, "no part of"),
        ({"first": 1, "count": 3, "of": 12}, "no part of"),
        ({"first": 0, "count": 2}, "some of the 2 samples from 0 are there already"),
        ({"first": 0, "count": 11}, "are there already"),
        ({"rules": ""}, "averaged otherwise"),
        ({"rules": RULES.replace("Depth", "Combined")}, "averaged otherwise"),
        ({"rules": "meshnode {"}, "does not say how"),
        ({"rules": "meshnode []"}, "does not say how"),
        ({"rules": 'meshnode {"first": 3}'}, "does not say how"),
        ({"rules": 'meshnode {"first": [], "counts": [], "quotients": 7}'}, "does not say how"),
    ],
    ids=str,
)
def test_what_is_no_range_of_this_picture_changes_nothing(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    picture, samples = filled(tmp_path, EDGES[:2]), drawn()
    told: dict[str, Any] = {"first": 1, "count": 3, "of": SAMPLES, "rules": RULES} | change
    path = ranged(tmp_path / "bad.exr", rendered(samples, 1, 4), rules=told.pop("rules"))
    refused = added(picture, path, **told)
    assert refused["is"] == ("unlike" if "other" in said else "wrong")
    assert said in refused["text"]
    for first, after in pairwise(EDGES[1:]):
        added(picture, ranged(tmp_path / "a.exr", rendered(samples, first, after)), first, after - first)
    merged = tmp_path / "merged.exr"
    assert answer(picture, {"do": "write", "path": str(merged)})[1] == {"is": "written"}
    assert np.allclose(read(merged)[1], rendered(samples, 0, SAMPLES), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("divisor", ["No", "Dir"])
def test_quotients_without_their_divisors_are_refused(divisor: str, tmp_path: Path) -> None:
    path = ranged(tmp_path / "a.exr", rendered(drawn(), 0, 1), rules=RULES.replace("Col", divisor))
    refused = added(begun(), path, 0, 1)
    assert "by which Layer.Dir.R is divided" in refused["text"]


def test_a_picture_is_either_pasted_or_added(tmp_path: Path) -> None:
    region = [FRAME.left, FRAME.top, FRAME.right, FRAME.bottom]
    path = ranged(tmp_path / "a.exr", rendered(drawn(), 0, 1))
    paste = {"do": "paste", "path": str(path), "held": region, "taken": region}
    one = begun()
    assert answer(one, paste)[1] == {"is": "pasted"}
    assert added(one, path, 0, 1)["text"] == "buckets are pasted into this picture"
    other = begun()
    assert added(other, path, 0, 1) == {"is": "added"}
    assert answer(other, paste)[1]["text"] == "samples are added to this picture"


@timed
async def test_a_process_of_its_own_adds_and_names_what_it_cannot(tmp_path: Path) -> None:
    samples = drawn()
    async with assembly(24, 16, FRAME) as made:
        for first, after in pairwise(EDGES):
            path = ranged(tmp_path / "range.exr", rendered(samples, first, after))
            await made.add(path, SampleRange(first=first, count=after - first, of=SAMPLES))
            with pytest.raises(OutputWrong, match=r"range\.exr: some of the"):
                await made.add(path, SampleRange(first=first, count=after - first, of=SAMPLES))
        await made.write(tmp_path / "merged.exr")
    assert np.allclose(read(tmp_path / "merged.exr")[1], rendered(samples, 0, SAMPLES), rtol=1e-6, atol=1e-9)
