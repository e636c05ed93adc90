"""The comparison is proven before anything is proven by it: one bit, one swapped frame, one lost channel is seen."""

import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from tools.compare import (
    Difference,
    Noise,
    Part,
    Ratios,
    Samples,
    Unreadable,
    acceptable,
    compare,
    describe,
    noise,
    ratios,
    read,
)

ROOT = Path(__file__).resolve().parent.parent.parent
HEADERS = {"Frame": "1", "Scene": "Scene", "Date": "2026/01/02 03:04:05"}


def part(*, headers: Mapping[str, str] = HEADERS, **channels: Samples) -> Part:
    return Part(channels=channels, headers=headers)


def gradient(height: int = 9, width: int = 16, start: float = 0.0) -> Samples:
    return (np.arange(height * width, dtype=np.float32).reshape(height, width) + np.float32(start)) / 7


def write(path: Path, samples: Samples, **attributes: str) -> Path:
    kind = str(samples.dtype).removesuffix("32")
    spec = OpenImageIO.ImageSpec(samples.shape[1], samples.shape[0], samples.shape[2], kind)
    for name, value in attributes.items():
        spec[name] = value
    if path.suffix == ".png":
        spec["oiio:UnassociatedAlpha"] = 1
    return write_as(path, spec, samples)


def write_as(path: Path, spec: Any, samples: Samples) -> Path:
    output: Any = OpenImageIO.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(samples), output.geterror()
    output.close()
    return path


def floats(*values: float) -> Samples:
    return np.array([values], dtype=np.float32)


def test_a_picture_is_the_same_as_itself() -> None:
    picture = [part(R=gradient(), A=gradient(start=3))]
    difference = compare(picture, picture)
    assert difference.none
    assert difference.of == 9 * 16
    assert acceptable(difference, Noise())


def test_one_unit_in_the_last_place_is_seen() -> None:
    changed = gradient()
    changed[4, 5] = np.nextafter(changed[4, 5], np.float32(math.inf))
    difference = compare([part(R=gradient())], [part(R=changed)])
    assert difference.pixels == 1
    assert 0 < difference.largest < 1e-5
    assert not difference.none
    assert not acceptable(difference, Noise())


def test_one_unit_in_the_last_place_survives_a_file(tmp_path: Path) -> None:
    samples = np.stack([gradient(), gradient(start=1), gradient(start=2), gradient(start=3)], axis=-1)
    changed = samples.copy()
    changed[8, 15, 3] = np.nextafter(changed[8, 15, 3], np.float32(0))
    left, right = write(tmp_path / "a.exr", samples), write(tmp_path / "b.exr", changed)
    assert compare(read(left), read(left)).none
    assert compare(read(left), read(right)).pixels == 1


def test_swapped_frames_differ_in_their_pixels() -> None:
    one, two = [part(R=gradient())], [part(R=gradient(start=1))]
    difference = compare(one, two)
    assert not difference.structure
    assert difference.pixels == difference.of
    assert not acceptable(difference, Noise())


def test_a_nan_equals_itself_and_no_other_nan() -> None:
    quiet = np.array([[0x7FC00000]], dtype=np.uint32).view(np.float32)
    payload = np.array([[0x7FC00001]], dtype=np.uint32).view(np.float32)
    assert compare([part(R=quiet)], [part(R=quiet)]).none
    assert compare([part(R=quiet)], [part(R=payload)]).pixels == 1
    assert compare([part(R=quiet)], [part(R=floats(1.0))]).largest == math.inf


def test_a_nans_payload_survives_a_file(tmp_path: Path) -> None:
    samples = np.array([[[0x7FC12345], [0x7F800000]]], dtype=np.uint32).view(np.float32)
    (found,) = read(write(tmp_path / "nan.exr", samples))
    (channel,) = found.channels.values()
    assert channel.view(np.uint32).tolist() == [[0x7FC12345, 0x7F800000]]


def test_zero_is_not_minus_zero() -> None:
    difference = compare([part(R=floats(0.0))], [part(R=floats(-0.0))])
    assert (difference.pixels, difference.largest) == (1, 0.0)
    assert not acceptable(difference, Noise())


def test_infinities_are_equal_to_themselves() -> None:
    assert compare([part(R=floats(math.inf))], [part(R=floats(math.inf))]).none
    assert compare([part(R=floats(math.inf))], [part(R=floats(-math.inf))]).largest == math.inf


def test_integers_are_scaled() -> None:
    dark, light = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    difference = compare([part(R=dark)], [part(R=light)])
    assert (difference.largest, difference.rmse, difference.pixels) == (1.0, 1.0, 4)


def test_integers_do_not_wrap_around() -> None:
    difference = compare([part(R=np.array([[0]], np.uint8))], [part(R=np.array([[1]], np.uint8))])
    assert difference.largest == pytest.approx(1 / 255)


def test_a_pixel_counts_once_however_many_channels_differ() -> None:
    difference = compare([part(R=gradient(), G=gradient())], [part(R=gradient(start=1), G=gradient(start=1))])
    assert difference.pixels == 9 * 16


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([part(R=gradient(), G=gradient())], id="a channel more"),
        pytest.param([part(r=gradient())], id="another name"),
        pytest.param([part(R=gradient().astype(np.float16))], id="another type"),
        pytest.param([part(R=gradient(9, 15))], id="another size"),
        pytest.param([part(R=gradient()), part(R=gradient())], id="a part more"),
    ],
)
def test_another_structure_is_no_match(other: list[Part]) -> None:
    difference = compare([part(R=gradient())], other)
    assert difference.structure
    assert difference.largest == math.inf
    assert not acceptable(difference, Noise(pixels=1000, rmse=1, largest=1))


@pytest.mark.parametrize("name", ["Date", "Time", "RenderTime", "Hostname", "Memory", "File", "cycles.L.render_time"])
def test_headers_of_where_and_when_may_differ(name: str) -> None:
    left, right = part(R=gradient(), headers={name: "a"}), part(R=gradient(), headers={name: "b"})
    assert compare([left], [right]).none


@pytest.mark.parametrize("name", ["Frame", "Scene", "Camera", "cycles.L.samples", "compression", "window", "Datum"])
def test_other_headers_may_not(name: str) -> None:
    left, right = part(R=gradient(), headers={name: "a"}), part(R=gradient(), headers={name: "b"})
    difference = compare([left], [right])
    assert difference.structure == (f"header {name} is a, not b",)
    assert not difference.none
    assert not acceptable(difference, Noise(pixels=1000, rmse=1, largest=1))
    assert compare([left], [part(R=gradient(), headers={})]).structure


def test_the_frames_number_may_be_padded() -> None:
    left, right = part(R=gradient(), headers={"Frame": "1"}), part(R=gradient(), headers={"Frame": "001"})
    assert compare([left], [right]).none
    assert not compare([left], [part(R=gradient(), headers={"Frame": "10"})]).none


def test_the_things_of_a_matte_may_be_named_in_any_order() -> None:
    def manifest(text: str) -> list[Part]:
        return [part(R=gradient(), headers={"cryptomatte/11e9ee6/manifest": text})]

    named = manifest('{"A":"11111111","B":"22222222"}')
    assert compare(named, manifest('{"B":"22222222","A":"11111111"}')).none
    for other in ('{"B":"22222222"}', '{"A":"11111111","B":"22222223"}', "{", "[]"):
        assert compare(named, manifest(other)).structure, other
    assert compare(manifest("{"), manifest("[]")).structure
    assert compare(named, [part(R=gradient(), headers={})]).structure


def test_values_are_counted_in_each_channel_and_pixels_once() -> None:
    changed = gradient()
    changed[2, 3] += 1
    changed[4, 5] += 1
    picture = [part(R=gradient(), G=gradient(), B=gradient())]
    difference = compare(picture, [part(R=changed, G=gradient(), B=changed)])
    assert (difference.pixels, difference.of) == (2, 9 * 16)
    assert (difference.values, difference.values_of) == (4, 3 * 9 * 16)
    assert difference.channels == ("R", "B")


def test_all_values_of_what_cannot_be_compared_differ() -> None:
    difference = compare([part(R=gradient(), G=gradient())], [part(R=gradient())])
    assert (difference.values, difference.values_of) == (2 * 9 * 16, 2 * 9 * 16)


def test_colours_behind_alpha_are_compared_as_they_are_stored(tmp_path: Path) -> None:
    """Else a difference in a nearly transparent pixel would be multiplied away."""
    samples = np.full((2, 2, 4), 200, np.uint8)
    samples[..., 3] = 1
    changed = samples.copy()
    changed[0, 0, 0] = 201
    left, right = write(tmp_path / "a.png", samples), write(tmp_path / "b.png", changed)
    assert read(left)[0].channels["R"].tolist() == [[200, 200], [200, 200]]
    assert compare(read(left), read(right)).pixels == 1


def test_channels_of_mixed_types_are_read_as_they_are(tmp_path: Path) -> None:
    spec = OpenImageIO.ImageSpec(2, 1, 4, "float")
    spec.channelformats = (OpenImageIO.HALF, OpenImageIO.HALF, OpenImageIO.FLOAT, OpenImageIO.HALF)
    spec.channelnames = ("A", "B", "C", "D")
    pixels = np.array([[[0.5, 1.5, 1.1, 3.0], [0.25, 2.5, 2.2, 4.0]]], np.float32)
    (found,) = read(write_as(tmp_path / "mixed.exr", spec, pixels))
    kinds = {name: str(samples.dtype) for name, samples in found.channels.items()}
    assert kinds == {"A": "float16", "B": "float16", "C": "float32", "D": "float16"}
    for place, name in enumerate("ABCD"):
        assert found.channels[name].astype(np.float32).tolist() == pixels[..., place].tolist()


def test_what_is_no_picture_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(b"not a picture")
    with pytest.raises(Unreadable, match=r"a\.exr"):
        read(path)


def test_a_truncated_picture_is_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", np.stack([gradient(200, 200)] * 4, axis=-1))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(Unreadable):
        read(path)


def test_noise_is_the_worst_of_each_measure() -> None:
    pairs = [
        Difference(pixels=5, of=10, rmse=0.1, largest=0.2),
        Difference(pixels=3, of=10, rmse=0.3, largest=0.1),
    ]
    assert noise(pairs) == Noise(pixels=5, rmse=0.3, largest=0.2)
    assert noise([]) == Noise()


@pytest.mark.parametrize(
    ("difference", "within"),
    [
        (Difference(of=100), True),
        (Difference(pixels=15, of=100, rmse=0.15, largest=0.2), True),
        (Difference(pixels=16, of=100, rmse=0.1, largest=0.1), False),
        (Difference(pixels=10, of=100, rmse=0.16, largest=0.1), False),
        (Difference(pixels=10, of=100, rmse=0.1, largest=0.21), False),
    ],
)
def test_scatter_is_bounded_by_the_engines_own(difference: Difference, within: bool) -> None:
    own = Noise(pixels=10, rmse=0.1, largest=0.1)
    assert ratios(difference, own).within is within
    assert acceptable(difference, own) is within


def test_without_noise_any_difference_is_beyond() -> None:
    found = ratios(Difference(pixels=1, of=100, rmse=1e-9, largest=1e-9), Noise())
    assert found == Ratios(pixels=math.inf, rmse=math.inf, largest=math.inf)
    assert not found.within


def test_a_difference_reads_as_a_line() -> None:
    assert describe(Difference(of=7)) == "the same in all 7 pixels"
    text = describe(Difference(structure=("header Frame is 1, not 2",), pixels=1, of=50, rmse=0.5, largest=1.0))
    assert text == "header Frame is 1, not 2; 1 of 50 pixels differ (2.00 %), rmse 0.5, largest 1"


def test_the_command_says_it_by_its_exit_code(tmp_path: Path) -> None:
    """Slow for a unit test: it starts Python, as people do."""
    samples = np.stack([gradient()] * 3, axis=-1)
    same = [write(tmp_path / name, samples, Date=name) for name in ("a.exr", "b.exr")]
    changed = write(tmp_path / "c.exr", samples + np.float32(1))
    broken = tmp_path / "d.exr"
    broken.write_bytes(b"")

    def ask(*paths: Path) -> tuple[int, str]:
        command = [sys.executable, "tools/compare.py", *map(str, paths)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert ask(*same) == (0, "the same in all 144 pixels\n")
    assert ask(same[0], changed)[0] == 1
    assert ask(same[0], broken)[0] == 2
