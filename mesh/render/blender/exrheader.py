"""Read what the header of an EXR file says: its channels, its size, and the texts that renderers leave in it.

A file of passes was pasted from buckets of other hosts, so its header is read as data of strangers, within bounds. This
module runs in both halves of the stage and imports nothing of Blender. Layout: OpenEXR's "File Layout" page.
"""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

HEADER_MAX_BYTES = 64 * 1024 * 1024
"""Cryptomatte names each object in the header: some hundred bytes for each of half a million."""

_MAGIC = 20000630
_LONG_NAMES = 0x400
_VERSION = 2
_NAME_MAX_BYTES = 255
_SIDE_MAX = 2**17
_ROWS_PER_CHUNK = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256)
"""By the number of the compression: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB."""


class NotAnExr(Exception):
    """A file is no EXR of one flat part in scan lines; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Be what the header says; sizes in pixels. `texts` are the attributes of type string."""

    width: int
    height: int
    channels: frozenset[str]
    texts: tuple[tuple[str, str], ...]


def read(path: str) -> Header:
    """Read the header of a file, and see that all its rows are there. Raises NotAnExr, OSError."""
    with open(path, "rb") as stream:
        data = stream.read(HEADER_MAX_BYTES)
        try:
            header, end, rows_per_chunk = _parse(data)
            _find_rows(stream, end, -(-header.height // rows_per_chunk))
        except (struct.error, ValueError, KeyError, IndexError) as error:
            raise NotAnExr(f"its header is damaged: {error!r}") from error
    return header


def _parse(data: bytes) -> tuple[Header, int, int]:
    """Give what a header says, where it ends, and how many rows are packed together."""
    magic, version = struct.unpack_from("<II", data, 0)
    if magic != _MAGIC:
        raise NotAnExr("it is no EXR file")
    if version & ~_LONG_NAMES != _VERSION:
        raise NotAnExr("it has tiles, several parts or depths")
    place, found, texts = 8, {}, []
    while data[place] != 0:
        name, place = _word(data, place)
        kind, place = _word(data, place)
        (size,) = struct.unpack_from("<i", data, place)
        place += 4
        if not 0 <= size <= len(data) - place:
            raise NotAnExr("its header stops before its end")
        value = found[name] = data[place : place + size]
        place += size
        if kind == "string":
            texts.append((name, value.decode("utf-8", "replace")))
    left, top, right, bottom = struct.unpack("<4i", found["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (0 < width <= _SIDE_MAX and 0 < height <= _SIDE_MAX):
        raise NotAnExr(f"it is {width}x{height} pixels")
    header = Header(width=width, height=height, channels=_channels(found["channels"]), texts=tuple(texts))
    return header, place + 1, _ROWS_PER_CHUNK[found["compression"][0]]


def _find_rows(stream: BinaryIO, place: int, chunks: int) -> None:
    """Raise NotAnExr unless each chunk of rows is within the file: Blender reads one that was cut off, and goes on."""
    stream.seek(place)
    offsets = struct.unpack(f"<{chunks}Q", stream.read(8 * chunks))
    end = stream.seek(0, os.SEEK_END)
    for offset in offsets:
        if not place < offset < end:
            raise NotAnExr("it stops before its end")
        stream.seek(offset)
        _, size = struct.unpack("<ii", stream.read(8))
        if not 0 <= size <= end - offset - 8:
            raise NotAnExr("it stops before its end")


def _channels(value: bytes) -> frozenset[str]:
    names, place = set(), 0
    while value[place] != 0:
        name, place = _word(value, place)
        names.add(name)
        place += 16
    return frozenset(names)


def _word(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(b"\0", place, place + _NAME_MAX_BYTES + 1)
    return data[place:end].decode("utf-8", "replace"), end + 1
