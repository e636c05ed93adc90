"""Tell how far two pictures are from each other, to the last bit: `python tools/compare.py A B`.

Theory: an engine that repeats itself must give the same picture wherever a frame is rendered, so there the question has
two answers only: every bit of every channel, or not. An engine that scatters is measured against itself first: the
worst of some pairs of references bounds what a delivered frame may differ by.

Bits are compared, not values: a NaN equals itself if its payload does, and 0.0 is not -0.0. Integers are scaled to
0..1 before distances are taken. Of the headers only what tells where and when a picture was made may differ.

Everything but `read` and `main` is pure and works on decoded pictures.
"""

import argparse
import itertools
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO

Samples = npt.NDArray[Any]

MAY_DIFFER = re.compile(
    r"Date|Time|RenderTime|Hostname|Memory|File|cycles\..*\.(render|total|synchronization)_time|"
    # POV-Ray's EXR.
    r"creation|"
    # These are the reader's own, not the file's.
    r"DateTime|oiio:.*"
)
"""Headers that say where and when a picture was made."""

_DATE_LINE = re.compile(r"Render Date: .*\n")
"""In the comment of POV-Ray's PNG."""

_MANIFEST = re.compile(r"cryptomatte/[0-9a-f]+/manifest")

PIXELS_FACTOR = RMSE_FACTOR = 1.5
LARGEST_FACTOR = 2.0
"""How much further from a reference than the references from each other a frame of a scattering engine may be."""


class Unreadable(Exception):
    """A picture cannot be decoded; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a picture: its channels by name, each an array of (height, width) as the file stores it."""

    channels: Mapping[str, Samples]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How two pictures differ: `structure` lists what makes their pixels incomparable or their headers tell apart."""

    structure: tuple[str, ...] = ()
    pixels: int = 0
    """Pixels of which any channel differs in any bit."""
    of: int = 0
    values: int = 0
    """Samples that differ in any bit; a pixel has as many as there are channels."""
    values_of: int = 0
    channels: tuple[str, ...] = ()
    """Names of the channels with such samples."""
    rmse: float = 0.0
    largest: float = 0.0
    """Distances over all samples; infinite where just one side is no finite number."""

    @property
    def none(self) -> bool:
        """Whether the pictures are the same in every bit that counts."""
        return not self.structure and self.pixels == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How far an engine's pictures of one frame are from each other; all zero for one that repeats itself."""

    pixels: int = 0
    rmse: float = 0.0
    largest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """A difference as multiples of an engine's own noise: 0 where there is none, infinite where only one has some."""

    pixels: float
    rmse: float
    largest: float

    @property
    def within(self) -> bool:
        """Whether the difference may be the engine's own scatter."""
        return self.pixels <= PIXELS_FACTOR and self.rmse <= RMSE_FACTOR and self.largest <= LARGEST_FACTOR


def compare(left: Sequence[Part], right: Sequence[Part]) -> Difference:
    """Measure how two pictures differ."""
    structure = list(_structure(left, right))
    comparable = len(left) == len(right) and all(
        _shapes(one) == _shapes(other) for one, other in zip(left, right, strict=False)
    )
    if not comparable:
        return _incomparable(left, structure)
    pixels = of = values = samples = 0
    squares = largest = 0.0
    channels: list[str] = []
    for one, other in zip(left, right, strict=True):
        differs: npt.NDArray[np.bool_] | None = None
        for name, mine in one.channels.items():
            unequal = _bits(mine) != _bits(other.channels[name])
            differs = unequal if differs is None else differs | unequal
            distances = _distances(mine, other.channels[name], unequal)
            squares += float(np.square(distances).sum())
            largest = max(largest, float(distances.max(initial=0.0)))
            samples += distances.size
            if count := int(unequal.sum()):
                values += count
                channels.append(name)
        if differs is not None:
            pixels, of = pixels + int(differs.sum()), of + differs.size
    rmse = math.sqrt(squares / samples) if samples else 0.0
    return Difference(
        structure=tuple(structure),
        pixels=pixels,
        of=of,
        values=values,
        values_of=samples,
        channels=tuple(channels),
        rmse=rmse,
        largest=largest,
    )


def noise(pairs: Iterable[Difference]) -> Noise:
    """Take the worst of some pairs of references, each measure by itself."""
    worst = Noise()
    for pair in pairs:
        worst = Noise(
            pixels=max(worst.pixels, pair.pixels),
            rmse=max(worst.rmse, pair.rmse),
            largest=max(worst.largest, pair.largest),
        )
    return worst


def ratios(difference: Difference, own: Noise) -> Ratios:
    """Hold a difference against an engine's own noise."""
    return Ratios(
        pixels=_ratio(difference.pixels, own.pixels),
        rmse=_ratio(difference.rmse, own.rmse),
        largest=_ratio(difference.largest, own.largest),
    )


def acceptable(difference: Difference, own: Noise) -> bool:
    """Say whether a picture is no different from what its engine alone gives: with no noise, in every bit."""
    return not difference.structure and ratios(difference, own).within


def read(path: Path) -> tuple[Part, ...]:
    """Decode a picture as its file stores it: no colour, alpha or type is converted. Raises Unreadable."""
    wanted = OpenImageIO.ImageSpec()
    # Else alpha would be multiplied into the colours, and small differences lost where it is small.
    wanted["oiio:UnassociatedAlpha"] = 1
    OpenImageIO.geterror()
    opened = OpenImageIO.ImageInput.open(str(path), wanted)
    if opened is None:
        raise Unreadable(f"{path}: {OpenImageIO.geterror()}")
    try:
        parts: list[Part] = []
        while opened.seek_subimage(len(parts), 0):
            parts.append(_read_part(opened, len(parts), path))
        return tuple(parts)
    finally:
        opened.close()


def _read_part(opened: Any, number: int, path: Path) -> Part:
    spec = opened.spec()
    kinds = list(spec.channelformats) or [spec.format] * spec.nchannels
    channels: dict[str, Samples] = {}
    place = 0
    # Channels of one kind at once: for each call the whole file is decoded again, and some have over a hundred.
    for kind, alike in itertools.groupby(kinds):
        names = spec.channelnames[place : place + len(list(alike))]
        samples = opened.read_image(number, 0, place, place + len(names), kind)
        if samples is None or opened.has_error:
            raise Unreadable(f"{path}: {opened.geterror() or 'it stops before its end'}")
        samples = samples.reshape(spec.height, spec.width, len(names))
        channels |= {name: samples[..., index] for index, name in enumerate(names)}
        place += len(names)
    headers = {attribute.name: str(attribute.value) for attribute in spec.extra_attribs}
    # A window that is cropped or shifted shows other pixels, though there be as many.
    headers["window"] = f"{spec.x},{spec.y} of {spec.full_x},{spec.full_y} {spec.full_width}x{spec.full_height}"
    return Part(channels=channels, headers=headers)


def _incomparable(left: Sequence[Part], structure: Sequence[str]) -> Difference:
    """Give the difference of pictures whose pixels cannot be told apart one by one: all of them."""
    sizes = [[samples.size for samples in part.channels.values()] for part in left]
    pixels, values = sum(each[0] for each in sizes if each), sum(map(sum, sizes))
    return Difference(
        structure=tuple(structure),
        pixels=pixels,
        of=pixels,
        values=values,
        values_of=values,
        rmse=math.inf,
        largest=math.inf,
    )


def _structure(left: Sequence[Part], right: Sequence[Part]) -> Iterable[str]:
    if len(left) != len(right):
        yield f"{len(left)} parts, not {len(right)}"
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        where = f"part {number}: " if len(left) > 1 else ""
        mine, theirs = _shapes(one), _shapes(other)
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                yield f"{where}channel {name} is {mine.get(name, 'absent')}, not {theirs.get(name, 'absent')}"
        for name in sorted(one.headers.keys() | other.headers.keys()):
            here, there = one.headers.get(name, "absent"), other.headers.get(name, "absent")
            if not _same_header(name, here, there):
                yield f"{where}header {name} is {here}, not {there}"


def _same_header(name: str, here: str, there: str) -> bool:
    if here == there or MAY_DIFFER.fullmatch(name):
        return True
    if _MANIFEST.fullmatch(name):
        # Which thing comes first depends on what else the process had rendered; its id does not.
        return _things(here) == _things(there) is not None
    if name == "Comment":
        return _DATE_LINE.sub("", here) == _DATE_LINE.sub("", there)
    # Blender pads it to the length of the scene's last frame, which a reference of a part of the scene has to change.
    return name == "Frame" and here.isdecimal() and there.isdecimal() and int(here) == int(there)


def _things(manifest: str) -> dict[str, str] | None:
    try:
        found = json.loads(manifest)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _shapes(part: Part) -> dict[str, str]:
    return {
        name: f"{samples.dtype} {'x'.join(map(str, reversed(samples.shape)))}"
        for name, samples in part.channels.items()
    }


def _bits(samples: Samples) -> Samples:
    """See floating-point numbers as the bits that they are."""
    return np.ascontiguousarray(samples).view(f"u{samples.dtype.itemsize}")


def _distances(mine: Samples, other: Samples, unequal: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Give the distance of each pair of samples, 0 where all bits are equal."""
    scale = float(np.iinfo(mine.dtype).max) if mine.dtype.kind in "ui" else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        distances = np.abs(mine.astype(np.float64) - other.astype(np.float64)) / scale
    distances[~np.isfinite(distances)] = math.inf
    distances[~unequal] = 0.0
    return distances


def _ratio(value: float, own: float) -> float:
    if value == 0:
        return 0.0
    return value / own if own else math.inf


def describe(difference: Difference) -> str:
    """Put a difference into a line for people."""
    if difference.none:
        return f"the same in all {difference.of} pixels"
    measured = (
        f"{difference.pixels} of {difference.of} pixels differ "
        f"({100 * difference.pixels / max(1, difference.of):.2f} %), "
        f"rmse {difference.rmse:.3g}, largest {difference.largest:.3g}"
    )
    return "; ".join([*difference.structure, measured])


def main(arguments: Sequence[str]) -> int:
    """Compare two pictures; the exit code is 0 when they are the same, 1 when not, 2 when one cannot be read."""
    parser = argparse.ArgumentParser(description="Tell how far two pictures are from each other, to the last bit.")
    parser.add_argument("left", type=Path)
    parser.add_argument("right", type=Path)
    options = parser.parse_args(arguments)
    try:
        difference = compare(read(options.left), read(options.right))
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(describe(difference))
    return 0 if difference.none else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
