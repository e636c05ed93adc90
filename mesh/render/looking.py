"""Look at pictures in a process of its own, since their bytes come from a renderer that may have been taken over.

Started as `python -I looking.py -- FD`. For each request, a path and what the picture shall be, it answers with what
the picture is; of two paths, whether the pictures are alike. It decodes strips of rows, so that its memory does not
grow with the picture, and reads nothing before the size is known to be the right one. Nothing of `mesh` is imported,
so that it starts fast and can be limited hard.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import OpenImageIO

_STRIP_ROWS = 64
_CHANNELS = {"BW": 1, "RGB": 3, "RGBA": 4}
_EXACT_FORMATS = ("PNG", "TIFF")
"""Formats whose files hold just the channels that the colour mode names."""

_READERS = {
    "PNG": "png",
    "JPEG": "jpeg",
    "TIFF": "tiff",
    "BMP": "bmp",
    "TARGA": "targa",
    "TARGA_RAW": "targa",
    "HDR": "hdr",
    "WEBP": "webp",
    "OPEN_EXR": "openexr",
    "OPEN_EXR_MULTILAYER": "openexr",
}
"""Who reads a format; a file of another one is none of it, whatever its name says."""

_DEPTHS = {
    ("PNG", 8): "uint8",
    ("PNG", 16): "uint16",
    ("TIFF", 8): "uint8",
    ("TIFF", 16): "uint16",
    ("OPEN_EXR", 16): "half",
    ("OPEN_EXR", 32): "float",
}
"""What a value of a colour is, where a format leaves the choice; the other channels of an EXR may differ."""

ALIKE_RMSE = 1 / 500
"""What two renders of one frame by one exact engine may differ by, of 1, in each channel: twelve times what the worst
two processors did (Cycles with AVX2 and its older kernel, 1.6e-4), and a seventh of what two builds do (0.014)."""

ALIKE_BLOCK_RMSE = 1 / 20
"""The same in any block of `_BLOCK` by `_BLOCK` pixels, so that nobody changes a small part: no pixel of the same two
renders differed by more than 0.038."""

_BLOCK = 16

_HALF_MAGNITUDE, _HALF_INFINITY = np.uint16(0x7FFF), np.uint16(0x7C00)

_COLOURS = frozenset(("R", "G", "B", "A", "Y", "V"))

Answer = dict[str, Any]


def look(path: str, wanted: Mapping[str, Any]) -> Answer:
    """Decode a picture and hold it against its wanted `width`, `height`, `mode`, `form` and `depth`.

    Width and height 0 mean any. The answer's `is` is `good`, `truncated`, `wrong` or `unknown`.
    """
    if os.path.getsize(path) == 0:
        return {"is": "truncated", "text": "the file is empty"}
    OpenImageIO.geterror()
    opened = OpenImageIO.ImageInput.open(path)
    if opened is None:
        error = str(OpenImageIO.geterror())
        if "could not find a format reader" in error.lower() and wanted["form"] not in _READERS:
            return {"is": "unknown", "text": error}
        return {"is": "truncated", "text": error or "it cannot be opened"}
    try:
        return _not_the_format(opened, wanted["form"], wanted["depth"]) or _look_into(opened, wanted)
    finally:
        opened.close()


def alike(path: str, other: str) -> Answer:
    """Hold two pictures against each other; the answer's `is` is `alike`, `unlike` or `unknown`, where none can say."""
    with open(path, "rb") as one, open(other, "rb") as two:
        while (block := one.read(1 << 20)) == two.read(1 << 20):
            if not block:
                return {"is": "alike"}
    OpenImageIO.geterror()
    mine, theirs = OpenImageIO.ImageInput.open(path), OpenImageIO.ImageInput.open(other)
    try:
        if mine is None:
            return {"is": "unknown", "text": str(OpenImageIO.geterror())}
        if theirs is None:
            return {"is": "unlike", "text": "it cannot be opened"}
        text = _difference(mine, theirs)
        return {"is": "unlike", "text": text} if text else {"is": "alike"}
    finally:
        for opened in (mine, theirs):
            if opened is not None:
                opened.close()


def _difference(mine: Any, theirs: Any) -> str:
    """Say how two pictures differ by more than their engine's own noise; nothing where they do not."""
    part = 0
    while mine.seek_subimage(part, 0):
        if not theirs.seek_subimage(part, 0):
            return "it has fewer parts"
        spec, other = mine.spec(), theirs.spec()
        here, there = ((each.x, each.y, each.width, each.height, tuple(each.channelnames)) for each in (spec, other))
        if here != there or bool(spec.tile_width) or bool(other.tile_width):
            return "it is of another size, has other channels, or is tiled"
        if text := _channels_differ(mine, theirs, spec, part):
            return text
        part += 1
    return "it has more parts" if theirs.seek_subimage(part, 0) else ""


def _channels_differ(mine: Any, theirs: Any, spec: Any, part: int) -> str:
    squares, light = np.zeros(spec.nchannels), str(spec.format) in ("half", "float", "double")
    for row in range(spec.y, spec.y + spec.height, _STRIP_ROWS):
        end = min(row + _STRIP_ROWS, spec.y + spec.height)
        one, two = (each.read_scanlines(part, 0, row, end, 0, 0, spec.nchannels, "float") for each in (mine, theirs))
        if one is None or two is None:
            return "one of them stops before its end"
        strip = _values(one, light) - _values(two, light)
        strip = strip.reshape(end - row, spec.width, spec.nchannels)
        np.square(strip, out=strip)
        squares += strip.sum(axis=(0, 1), dtype=np.float64)
        rows, columns = range(0, end - row, _BLOCK), range(0, spec.width, _BLOCK)
        blocks = np.add.reduceat(np.add.reduceat(strip, rows, axis=0), columns, axis=1)
        high, wide = (np.diff((*starts, stop)) for starts, stop in ((rows, end - row), (columns, spec.width)))
        worst = float(np.sqrt((blocks / np.outer(high, wide)[:, :, None]).max()))
        if worst > ALIKE_BLOCK_RMSE:
            return f"in one place it differs by {worst:.3f}"
    rmse = float(np.sqrt(squares.max() / (spec.width * spec.height)))
    return f"it differs by {rmse:.4f}" if rmse > ALIKE_RMSE else ""


def _values(pixels: Any, light: bool) -> Any:
    """Return values between -1 and 1: of light, which has no most, those above 1 closer and closer together."""
    return np.nan_to_num(pixels / (1 + np.abs(pixels)), nan=1.0) if light else pixels


def _not_the_format(opened: Any, form: str, depth: int) -> Answer | None:
    """Say what is wrong with a picture's format and with the kind of its values."""
    reader, found = _READERS.get(form), opened.format_name()
    if reader is not None and found != reader:
        return {"is": "wrong", "text": f"it is a file of the format {found} instead of {reader}"}
    kind, spec = _DEPTHS.get((form, depth)), opened.spec()
    kinds = [str(each) for each in spec.channelformats] or [str(spec.format)] * spec.nchannels
    others = {each for name, each in zip(spec.channelnames, kinds, strict=True) if name in _COLOURS} - {kind}
    if kind is not None and others:
        return {"is": "wrong", "text": f"its colours are {', '.join(sorted(others))} instead of {kind}"}
    return None


def _look_into(opened: Any, request: Mapping[str, Any]) -> Answer:
    width, height, mode, form = (request[key] for key in ("width", "height", "mode", "form"))
    constant, part = True, 0
    names: list[str] = []
    while opened.seek_subimage(part, 0):
        spec = opened.spec()
        if (
            width
            and (spec.width, spec.height) != (width, height)
            and (spec.full_width, spec.full_height) != (width, height)
        ):
            return {"is": "wrong", "text": f"it is {spec.width}x{spec.height} pixels instead of {width}x{height}"}
        names += spec.channelnames
        problem, same = _strips(opened, spec, part)
        if problem:
            return problem
        constant = constant and same
        part += 1
    wanted = _CHANNELS.get(mode, 0)
    if form in _EXACT_FORMATS and wanted and len(names) != wanted:
        return {"is": "wrong", "text": f"it has {len(names)} channels instead of {wanted}"}
    if form == "OPEN_EXR" and len(names) < wanted:
        return {"is": "wrong", "text": f"it has {len(names)} channels, less than {wanted}"}
    return {"is": "good", "width": width, "height": height, "channels": names, "constant": constant}


def _strips(opened: Any, spec: Any, part: int) -> tuple[Answer | None, bool]:
    """Read a part's pixels; give what is wrong, and whether all pixels are the same."""
    first, same, kind = None, True, str(spec.format)
    step = spec.tile_height if spec.tile_width else _STRIP_ROWS
    for row in range(spec.y, spec.y + spec.height, step):
        end = min(row + step, spec.y + spec.height)
        if spec.tile_width:
            pixels = opened.read_tiles(part, 0, spec.x, spec.x + spec.width, row, end, 0, 1, 0, spec.nchannels, kind)
        else:
            pixels = opened.read_scanlines(part, 0, row, end, 0, 0, spec.nchannels, kind)
        if pixels is None or opened.has_error:
            return {"is": "truncated", "text": str(opened.geterror()) or "it stops before its end"}, False
        if _has_nan(pixels):
            return {"is": "wrong", "text": "it holds values that are no numbers"}, False
        flat = pixels.reshape(-1, spec.nchannels)
        first = flat[0] if first is None else first
        same = same and bool((flat == first).all())
    return None, same


def _has_nan(pixels: Any) -> bool:
    """Tell whether a value is no number; of halves by their bits, since numpy makes floats of them one by one."""
    if pixels.dtype == np.float16:
        return bool(((pixels.view(np.uint16) & _HALF_MAGNITUDE) > _HALF_INFINITY).any())
    return pixels.dtype.kind == "f" and bool(np.isnan(pixels).any())


def main() -> None:
    """Answer requests until the channel ends."""
    OpenImageIO.attribute("openexr:core", 1)  # the newer of its two readers takes a fifth less time
    channel = socket.socket(fileno=int(sys.argv[sys.argv.index("--") + 1]))
    with channel.makefile("rb") as lines:
        for line in lines:
            request = json.loads(line)
            try:
                other = request.get("other")
                answer = look(request["path"], request) if other is None else alike(request["path"], other)
            except OSError as error:
                answer = {"is": "truncated", "text": str(error.strerror)}
            channel.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
