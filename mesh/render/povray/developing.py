"""Turn POV-Ray's pictures into buckets, and pasted buckets into the file that POV-Ray would have written.

Theory: POV-Ray computes in floats, but no file of its own holds them: its EXR has halves, from which its PNG cannot
be made again. So a bucket holds what the scene's own format holds: the very values of the PNG's pixels, as floats from
0 to 1 that give back each of them, or the EXR's halves. Pasting copies them, and finishing writes them as they were.
What depends on the whole picture (an error-diffusing dither) cannot be cut, which the inspection says.

What a PNG says of itself (gamma, how many bits are meant, which POV-Ray made it) travels in the EXR's header. This
module runs beside POV-Ray, or without it, and imports nothing of `mesh`; its pictures are bytes of others.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import OpenImageIO

SIDE_MAX = 1 << 17

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_CHUNKS_MAX = 64
_CHUNK_MAX_BYTES = 1 << 16
_TOLD = {"gAMA": 4, "sRGB": 1, "sBIT": 4, "cHRM": 32, "oFFs": 9}
"""Chunks that say how a PNG's values are meant and where it lies, with the most bytes that each may have."""

_TEXTS = ("Software", "Comment")
_SAID = (*_TEXTS, "software", "creation", "ImageDescription")
"""What POV-Ray's PNG, and its EXR, tells of who made it, by the names that OpenImageIO has for it."""

_SAYABLE = re.compile(r"[\n -~]{1,480}")

_SRGB_INTENT_MAX = 3
_UINT_MAX = (1 << 31) - 1
"""The largest number of four bytes that a PNG may hold."""

_ATTRIBUTE = "povrayPng"
_CHANNELS = {"BW": 1, "BWA": 2, "RGB": 3, "RGBA": 4}
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_UP = 2
_BAND_BYTES = 1 << 20


class Spoilt(Exception):
    """A picture is not what it should be."""


def cut(source: str, target: str, crop: list[int], size: list[int]) -> None:
    """Write a part (left, top, right, bottom) of a whole picture as an EXR of floats. Raises Spoilt."""
    left, top, right, bottom = crop
    opened = _opened(source, "png", "openexr")
    try:
        spec = opened.spec()
        if [spec.width, spec.height] != size:
            raise Spoilt(f"it has {spec.width}x{spec.height} pixels instead of {size[0]}x{size[1]}")
        kind, is_png = str(spec.format), opened.format_name() == "png"
        rows = opened.read_scanlines(0, 0, top, bottom, 0, 0, spec.nchannels, kind)
        if rows is None or opened.has_error:
            raise Spoilt(str(opened.geterror()) or "it stops before its end")
    finally:
        opened.close()
    part = np.asarray(rows).reshape(bottom - top, spec.width, spec.nchannels)[:, left:right]
    if part.dtype.kind == "u":
        part = part.astype(np.float32) / np.float32(np.iinfo(part.dtype).max)
    made = OpenImageIO.ImageSpec(right - left, bottom - top, spec.nchannels, "float")
    made.channelnames = spec.channelnames
    made.attribute("compression", "zip")
    _copy_said(spec, made)
    if is_png:
        made.attribute(_ATTRIBUTE, _told(source))
        # The values are those of a file for eyes, not light: a preview shows them as they are.
        made.attribute("meshnodeEncoded", 1)
    _write(target, made, np.ascontiguousarray(part, np.float32))


def finish(source: str, target: str, output: dict[str, Any]) -> None:
    """Write the file of a frame from all its buckets, pasted; `output` says what it must be. Raises Spoilt."""
    opened = _opened(source, "openexr")
    try:
        spec = opened.spec()
        if (spec.width, spec.height) != (output["width"], output["height"]):
            raise Spoilt(f"it has {spec.width}x{spec.height} pixels instead of {output['width']}x{output['height']}")
        if spec.nchannels != _CHANNELS[output["color_mode"]]:
            raise Spoilt(f"it has {spec.nchannels} channels instead of {_CHANNELS[output['color_mode']]}")
        pixels = opened.read_image(0, 0, 0, spec.nchannels, "float")
        if pixels is None or opened.has_error:
            raise Spoilt(str(opened.geterror()) or "it stops before its end")
    finally:
        opened.close()
    pixels = np.asarray(pixels).reshape(spec.height, spec.width, spec.nchannels)
    if output["format"] == "PNG":
        told = spec.get_string_attribute(_ATTRIBUTE)
        _write_png(target, pixels, output["depth"], told, _said(spec, _TEXTS))
        return
    made = OpenImageIO.ImageSpec(spec.width, spec.height, spec.nchannels, "half")
    made.channelnames = spec.channelnames
    made.attribute("compression", "zip")
    _copy_said(spec, made)
    _write(target, made, pixels)


def _copy_said(source: Any, target: Any) -> None:
    for name, text in _said(source, _SAID):
        target.attribute(name, text)


def _said(spec: Any, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give what a header tells under some names, as far as it is plain text and short."""
    for name in names:
        if _SAYABLE.fullmatch(text := spec.get_string_attribute(name)):
            yield name, text


def _opened(path: str, *formats: str) -> Any:
    OpenImageIO.geterror()
    wanted = OpenImageIO.ImageSpec()
    # As they are in the file: not multiplied by alpha.
    wanted.attribute("oiio:UnassociatedAlpha", 1)
    opened = OpenImageIO.ImageInput.open(path, wanted)
    if opened is None:
        raise Spoilt(str(OpenImageIO.geterror()) or "it cannot be opened")
    spec = opened.spec()
    if opened.format_name() not in formats:
        problem = f"it is a file of the format {opened.format_name()}"
    elif spec.depth != 1 or spec.deep or not 0 < spec.width <= SIDE_MAX or not 0 < spec.height <= SIDE_MAX:
        problem = "it is not one flat picture"
    elif not 1 <= spec.nchannels <= max(_COLOUR_TYPES):
        problem = f"it has {spec.nchannels} channels"
    else:
        return opened
    opened.close()
    raise Spoilt(problem)


def _write(target: str, spec: Any, pixels: Any) -> None:
    out = OpenImageIO.ImageOutput.create("openexr")
    assert out is not None, "OpenImageIO was built without OpenEXR"
    written = out.open(target, spec) and out.write_image(pixels)
    error = str(out.geterror())
    if not (out.close() and written):
        raise OSError(error or "the picture cannot be written")


def _told(source: str) -> str:
    """Give what a PNG says of itself, as one word for each chunk: its name and its bytes in hexadecimal digits."""
    with open(source, "rb") as stream:
        return " ".join(f"{name}={data.hex()}" for name, data in _header_chunks(stream))


def _header_chunks(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    if stream.read(len(_SIGNATURE)) != _SIGNATURE:
        raise Spoilt("it is no PNG")
    for _ in range(_HEADER_CHUNKS_MAX):
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            return
        length, name = int.from_bytes(head[:4], "big"), head[4:].decode("latin-1")
        if length > _CHUNK_MAX_BYTES:
            return
        data = stream.read(length + 4)[:length]
        if length <= _TOLD.get(name, 0):
            yield name, data


def _write_png(target: str, pixels: Any, depth: int, told: str = "", texts: Iterable[tuple[str, str]] = ()) -> None:
    """Write a PNG whose values are those that the floats stand for; what it says of itself is checked again."""
    height, width, channels = pixels.shape
    most = (1 << depth) - 1
    values = np.rint(np.clip(np.nan_to_num(pixels), 0.0, 1.0) * np.float64(most)).astype(">u2" if depth > 8 else "u1")
    rows = np.ascontiguousarray(values).view("u1").reshape(height, -1)
    # Each row as its difference from the one above: the filter that takes one subtraction and packs well.
    rows[1:] -= rows[:-1].copy()
    filtered = np.concatenate([np.full((height, 1), _UP, np.uint8), rows], axis=1)
    with open(target, "xb") as out:
        out.write(_SIGNATURE)
        _chunk(out, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0))
        for name, data in _believed(told, channels, depth).items():
            _chunk(out, name.encode(), data)
        for keyword, text in texts:
            _chunk(out, b"tEXt", f"{keyword}\0{text}".encode())
        packing = zlib.compressobj(6)
        packed = packing.compress(filtered.tobytes()) + packing.flush()
        for start in range(0, len(packed), _BAND_BYTES):
            _chunk(out, b"IDAT", packed[start : start + _BAND_BYTES])
        _chunk(out, b"IEND", b"")


def _believed(told: str, channels: int, depth: int) -> dict[str, bytes]:
    """Give what a header says of a PNG, as far as a PNG may say it: each name once, with what it may be."""
    found: dict[str, bytes] = {}
    for word in told.split(" ")[: len(_TOLD)]:
        name, _, digits = word.partition("=")
        try:
            data = bytes.fromhex(digits)
        except ValueError:
            continue
        if name not in found and _is_allowed(name, data, channels, depth):
            found[name] = data
    return found


def _is_allowed(name: str, data: bytes, channels: int, depth: int) -> bool:
    """Say whether a chunk is as long as it must be, and its numbers are some that it may have."""
    match name:
        case "gAMA":
            return len(data) == 4 and 0 < int.from_bytes(data, "big") <= _UINT_MAX
        case "sRGB":
            return len(data) == 1 and data[0] <= _SRGB_INTENT_MAX
        case "sBIT":
            return len(data) == channels and all(0 < bits <= depth for bits in data)
        case "oFFs":
            return data == bytes(9)
        case "cHRM":
            return len(data) == 32 and all(number <= _UINT_MAX for number in struct.unpack(">8I", data))
        case _:
            return False


def _chunk(out: BinaryIO, name: bytes, data: bytes) -> None:
    out.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
