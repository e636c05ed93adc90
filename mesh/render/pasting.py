"""Paste buckets into one picture, in a process of its own, since their bytes come from renderers on other hosts.

Started as `python -I pasting.py -- FD`. It is told the frame's size and region once, then file after file: which pixels
of the frame a bucket's file holds, its margin included, and which of them to take. At the end it writes one EXR with
every channel, name, type and header of the buckets, without loss however they were packed. Asked for a preview, it
writes a small picture for eyes alone. It answers each request with what happened. Nothing of `mesh` is imported, so
that it starts fast and can be limited hard.

A bucket may also hold some samples of the whole picture. Then values are added, weighted by how many samples they are
of, as doubles. Not every value is an average of its samples: whoever wrote the file says in a header which are those of
the first sample alone, and which are quotients, of which dividend and divisor are averages.

Invariants: values are copied bit for bit: halves pass through floats, which hold each of them. A file is looked at
before it is decoded: one that has other channels or another size than it should is refused, and nothing of it stays.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import numpy as np
import OpenImageIO

_LAYOUT = ("oiio:*", "openexr:*", "compression", "name", "textureformat", "wrapmodes")
"""Headers that say how a file is written, not what is in it: no bucket has a say in that. The writer minds no case."""

_LOSSLESS = "zip"

_PREVIEW_SIDE = 1_024
"""A preview's longer side is at most so many pixels: it is made in a few hundredths of a second."""

_PREVIEW_PACKED = 1
"""How hard a preview is packed, 0 to 9: the writer's 6 took longer than all the rest of it, for a fifth less."""

_EMPTY = (38, 44)
"""Greys of what is not rendered yet, in a checkered pattern, as 8-bit values."""

_ENCODED = "meshnodeEncoded"
"""A header that says that values are a file's, for eyes, and no light."""

_RULES = "Note"
"""The header that says which values are no averages; the only one that Blender lets others write."""

_RULES_BEGIN = "meshnode "

_CHECK = 8
_LINEAR_END, _LINEAR_SLOPE = 0.0031308, 12.92
"""Of the transfer function of sRGB (IEC 61966-2-1)."""

Answer = dict[str, Any]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the frame; the last two are outside."""


class Refused(Exception):
    """A bucket or picture is not what it should be: `kind` is `truncated`, `wrong`, `unlike` or `unwritable`.

    What is unlike the buckets before it may be right, and they wrong: whoever asked may know.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Picture:
    """A picture that grows bucket by bucket."""

    def __init__(self, width: int, height: int, region: Box) -> None:
        self._size = width, height
        self._region = region
        self._spec: Any = None
        self._pixels: Any = None
        self._pasted: Any = None
        """Which pixels are there."""
        self._sums: _Sums | None = None
        """In place of pixels, where samples are added."""

    def paste(self, path: str, held: Box, taken: Box) -> None:
        """Take the pixels of `taken` from a file that holds those of `held`."""
        spec, pixels = self._read(path, held)
        if self._spec is None:
            self._begin(spec)
            self._pixels = np.zeros((*self._pasted.shape, spec.nchannels), np.float32)
        elif self._sums is not None:
            raise Refused("wrong", "samples are added to this picture")
        (left, top, right, bottom), (held_left, held_top, *_) = taken, held
        into = self._pixels[top - self._region[1] : bottom - self._region[1]]
        part = pixels[top - held_top : bottom - held_top]
        across = slice(left - self._region[0], right - self._region[0])
        into[:, across] = part[:, left - held_left : right - held_left]
        self._pasted[top - self._region[1] : bottom - self._region[1], across] = True

    def add(self, path: str, first: int, count: int, of: int) -> None:
        """Take a file that holds `count` samples of each pixel of the region, from `first` on, of so many."""
        spec, pixels = self._read(path, self._region)
        if self._spec is not None and self._sums is None:
            raise Refused("wrong", "buckets are pasted into this picture")
        rules = _rules(spec)
        sums = self._sums or _Sums(pixels.shape, of, rules, spec.channelnames)
        if rules != sums.rules:
            raise Refused("unlike", "its values are averaged otherwise than those of the other buckets")
        sums.add(pixels, first, count, of)
        if self._spec is None:
            self._begin(spec)
            self._pasted[:] = True
        self._sums = sums

    def _read(self, path: str, held: Box) -> tuple[Any, Any]:
        """Return what a file says of itself and its values, once it is known to be what it should."""
        opened = _opened(path)
        try:
            spec = opened.spec()
            self._check(spec, held, last=not opened.seek_subimage(1, 0))
            opened.seek_subimage(0, 0)
            pixels = opened.read_image(0, 0, 0, spec.nchannels, "float")
            if pixels is None or opened.has_error:
                raise Refused("truncated", str(opened.geterror()) or "it stops before its end")
        finally:
            opened.close()
        return spec, pixels.reshape(spec.height, spec.width, spec.nchannels)

    def _begin(self, spec: Any) -> None:
        left, top, right, bottom = self._region
        self._spec = spec
        self._pasted = np.zeros((bottom - top, right - left), bool)

    def preview(self, path: str) -> None:
        """Write the colours that were pasted as a small PNG; what is not there yet is grey."""
        if self._spec is None:
            raise Refused("wrong", "no bucket was pasted")
        step = -(-max(self._size) // _PREVIEW_SIDE)
        rows, columns = np.indices([-(-side // step) for side in reversed(self._size)])
        greys = np.where((rows // _CHECK + columns // _CHECK) % 2, *_EMPTY).astype(np.uint8)
        shown = np.repeat(greys[..., None], 3, axis=2)
        left, top, right, bottom = self._region
        part = (slice(-(-top // step), -(-bottom // step)), slice(-(-left // step), -(-right // step)))
        start = (part[0].start * step - top, part[1].start * step - left)
        pasted = self._pasted[start[0] :: step, start[1] :: step]
        values = self._pixels if self._sums is None else self._sums.values
        colours = values[start[0] :: step, start[1] :: step][..., _colours(self._spec.channelnames)]
        if self._sums is not None:
            colours = colours / self._sums.done
        encoded = self._spec.get_int_attribute(_ENCODED) != 0
        shown[part][pasted] = _as_bytes(colours[pasted]) if encoded else _for_eyes(colours[pasted])
        out = OpenImageIO.ImageOutput.create("png")
        assert out is not None, "OpenImageIO was built without PNG"
        spec = OpenImageIO.ImageSpec(shown.shape[1], shown.shape[0], 3, "uint8")
        spec.attribute("png:compressionLevel", _PREVIEW_PACKED)
        written = out.open(path, spec) and out.write_image(shown)
        error = str(out.geterror())
        if not (out.close() and written):
            raise Refused("unwritable", error or "it cannot be written")

    def write(self, path: str) -> None:
        """Write what was pasted, as one file."""
        if self._spec is None:
            raise Refused("wrong", "no bucket was pasted")
        pixels = self._pixels if self._sums is None else self._sums.averages()
        left, top, right, bottom = self._region
        spec = OpenImageIO.ImageSpec(right - left, bottom - top, self._spec.nchannels, "float")
        spec.channelnames, spec.channelformats = self._spec.channelnames, tuple(_kinds(self._spec))
        spec.x, spec.y, spec.full_x, spec.full_y = left, top, 0, 0
        spec.full_width, spec.full_height = self._size
        for each in self._spec.extra_attribs:
            if any(fnmatch(each.name.lower(), layout) for layout in _LAYOUT):
                continue
            if self._sums is None or each.name != _RULES:
                spec.attribute(each.name, each.type, each.value)
            if self._sums is not None and any(fnmatch(each.name, count) for count in self._sums.rules["counts"]):
                spec.attribute(each.name, str(self._sums.done))
        spec.attribute("compression", _LOSSLESS)
        if spec.get_string_attribute("DateTime") == "":
            spec.attribute("DateTime", "")  # the writer would make one up
        out = OpenImageIO.ImageOutput.create("openexr")
        assert out is not None, "OpenImageIO was built without OpenEXR"
        written = out.open(path, spec) and out.write_image(pixels)
        error = str(out.geterror())
        if not (out.close() and written):
            raise Refused("unwritable", error or "it cannot be written")

    def _check(self, spec: Any, held: Box, *, last: bool) -> None:
        width, height = held[2] - held[0], held[3] - held[1]
        if (spec.width, spec.height) != (width, height):
            raise Refused("wrong", f"it is {spec.width}x{spec.height} pixels instead of {width}x{height}")
        if not last or spec.depth != 1 or spec.deep:
            raise Refused("wrong", "it is not one flat picture")
        if others := set(_kinds(spec)) - {"half", "float"}:
            raise Refused("wrong", f"it has values of the kind {', '.join(sorted(others))}")
        if self._spec is not None and _channels(spec) != _channels(self._spec):
            raise Refused("unlike", "its channels are not those of the other buckets")


class _Sums:
    """Values of samples, added up."""

    def __init__(self, shape: tuple[int, ...], of: int, rules: Answer, names: list[str]) -> None:
        self.values = np.zeros(shape, np.float64)
        self.rules = rules
        self._of = of
        self._ranges: list[tuple[int, int]] = []
        self._firsts = [place for place, name in enumerate(names) if _pass(name) in rules["first"]]
        self._quotients = _quotients(names, rules["quotients"])

    @property
    def done(self) -> int:
        """How many samples are there."""
        return sum(after - first for first, after in self._ranges)

    def add(self, pixels: Any, first: int, count: int, of: int) -> None:
        """Add so many samples of the whole picture."""
        if of != self._of or not 0 <= first < first + count <= of:
            raise Refused("wrong", f"{count} samples from {first} of {of} are no part of {self._of}")
        if any(first < there_after and there < first + count for there, there_after in self._ranges):
            raise Refused("wrong", f"some of the {count} samples from {first} are there already")
        divisors = dict(pair for triple in self._quotients for pair in triple)
        for place in range(pixels.shape[2]):
            if place in self._firsts:
                if first == 0:
                    self.values[..., place] = pixels[..., place]
                continue
            one = pixels[..., place].astype(np.float64)
            if place in divisors:
                one *= pixels[..., divisors[place]]
            one *= count
            self.values[..., place] += one
        self._ranges.append((first, first + count))

    def averages(self) -> Any:
        """Return the values of the whole picture, as floats."""
        if self.done != self._of:
            raise Refused("wrong", f"{self._of - self.done} of {self._of} samples are not there")
        made = np.empty(self.values.shape, np.float32)
        for place in range(made.shape[2]):
            made[..., place] = self.values[..., place] / (1 if place in self._firsts else self._of)
        for triple in self._quotients:
            self._divide(made, triple)
        return made

    def _divide(self, made: Any, triple: list[tuple[int, int]]) -> None:
        """Write the quotients of one pass; as Cycles does, what has no divisor is the mean of what has one."""
        places, divisors = ([pair[side] for pair in triple] for side in (0, 1))
        below = self.values[..., divisors]
        there = below != 0
        with np.errstate(invalid="ignore", over="ignore"):
            found = np.divide(self.values[..., places], below, out=np.zeros_like(below), where=there)
            mean = found.sum(axis=2) / np.maximum(there.sum(axis=2), 1)
            made[..., places] = np.where(there, found, mean[..., None])


def _rules(spec: Any) -> Answer:
    """Return which passes hold the first sample and which are quotients of which, and headers that count samples."""
    text = spec.get_string_attribute(_RULES)
    if not text.startswith(_RULES_BEGIN):
        return {"first": [], "quotients": {}, "counts": []}
    try:
        told = json.loads(text.removeprefix(_RULES_BEGIN))
        rules: Answer = {key: [str(each) for each in told[key]] for key in ("first", "counts")}
        return rules | {"quotients": dict(told["quotients"])}
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("wrong", f"it does not say how its values are averaged: {error!r}") from error


def _quotients(names: list[str], rules: Mapping[str, object]) -> list[list[tuple[int, int]]]:
    """Return where the channels of each pass of quotients are, each with where its divisor is."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, name in enumerate(names):
        layer, channel = name.rpartition(".")[0].rpartition(".")[0], name.rpartition(".")[2]
        divisor = rules.get(_pass(name))
        if divisor is None:
            continue
        below = f"{layer}.{divisor}.{channel}"
        if below not in names or _pass(below) in rules:
            raise Refused("wrong", f"it lacks {below}, by which {name} is divided")
        found.setdefault(f"{layer}.{_pass(name)}", []).append((place, names.index(below)))
    return list(found.values())


def _pass(name: str) -> str:
    """Return the pass that a channel is part of: `Layer.Pass.Letter`."""
    return name.rpartition(".")[0].rpartition(".")[2]


def _opened(path: str) -> Any:
    OpenImageIO.geterror()
    if os.path.getsize(path) == 0:
        raise Refused("truncated", "the file is empty")
    opened = OpenImageIO.ImageInput.open(path)
    if opened is None:
        raise Refused("truncated", str(OpenImageIO.geterror()) or "it cannot be opened")
    if opened.format_name() != "openexr":
        name = opened.format_name()
        opened.close()
        raise Refused("wrong", f"it is a file of the format {name} instead of openexr")
    return opened


def _colours(names: list[str]) -> list[int]:
    """Return where red, green and blue of the picture itself are; where there are none, the first channel thrice."""
    for end in ("Combined.R", "R"):
        for place, name in enumerate(names):
            others = [name[:-1] + letter for letter in "GB"]
            if name.endswith(end) and all(other in names for other in others):
                return [place, *map(names.index, others)]
    return [0, 0, 0]


def _as_bytes(values: Any) -> Any:
    return (np.clip(np.nan_to_num(values), 0.0, 1.0) * 255 + 0.5).astype(np.uint8)


def _for_eyes(linear: Any) -> Any:
    """Return 8-bit sRGB of linear light."""
    light = np.clip(np.nan_to_num(linear), 0.0, 1.0)
    curve = 1.055 * np.maximum(light, _LINEAR_END) ** (1 / 2.4) - 0.055
    return (np.where(light <= _LINEAR_END, light * _LINEAR_SLOPE, curve) * 255 + 0.5).astype(np.uint8)


def _kinds(spec: Any) -> list[str]:
    """Return the kind of each channel's values."""
    return [str(each) for each in spec.channelformats] or [str(spec.format)] * spec.nchannels


def _channels(spec: Any) -> list[tuple[str, str]]:
    return list(zip(spec.channelnames, _kinds(spec), strict=True))


def _box(value: Any) -> Box:
    left, top, right, bottom = value
    return left, top, right, bottom


def answer(picture: Picture | None, request: Mapping[str, Any]) -> tuple[Picture | None, Answer]:
    """Do what is asked; return the picture in hand and what happened."""
    try:
        match request["do"]:
            case "begin":
                return Picture(request["width"], request["height"], _box(request["region"])), {"is": "begun"}
            case "paste" if picture is not None:
                picture.paste(request["path"], _box(request["held"]), _box(request["taken"]))
                return picture, {"is": "pasted"}
            case "add" if picture is not None:
                picture.add(request["path"], request["first"], request["count"], request["of"])
                return picture, {"is": "added"}
            case "preview" if picture is not None:
                picture.preview(request["path"])
                return picture, {"is": "previewed"}
            case "write" if picture is not None:
                picture.write(request["path"])
                return None, {"is": "written"}
    except Refused as refused:
        return picture, {"is": refused.kind, "text": str(refused)}
    except OSError as error:
        return picture, {"is": "truncated", "text": str(error.strerror)}
    return picture, {"is": "wrong", "text": "nothing was begun"}


def main() -> None:
    """Answer requests until the channel ends."""
    OpenImageIO.attribute("openexr:core", 1)
    channel = socket.socket(fileno=int(sys.argv[sys.argv.index("--") + 1]))
    picture: Picture | None = None
    with channel.makefile("rb") as lines:
        for line in lines:
            picture, said = answer(picture, json.loads(line))
            channel.sendall(json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    main()
