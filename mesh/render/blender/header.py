"""Read the first bytes of a .blend file: which Blender saved it, and how its blocks are laid out.

Theory: a .blend file starts with `BLENDER`, pointer size, byte order and version (`BLENDER-v402`); from 5.0 on with
`BLENDER`, the header's size, a format number and the version (`BLENDER17-01v0501`). All of it may be wrapped in gzip
(before 3.0) or zstd. Older Blenders crash on files of newer ones, so this is read before any engine is started.

This module runs in both halves and must not know `bpy` or `mesh`. Whatever the bytes, it gives a value or `NotABlend`.
"""

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from typing import BinaryIO, cast

_OLD_BYTES = 12
_NEW_BYTES = 17
"""Header sizes before Blender 5.0 and since."""

FIRST_BYTES = _NEW_BYTES
"""What has to be read of a file before anything can be said of it."""

ZSTD_WINDOW_MAX_BYTES = 8 * 1024 * 1024
"""Blender compresses in frames of 1 MiB; a larger window is somebody else's idea of our memory."""

_OLD = re.compile(rb"BLENDER([-_])([vV])([0-9])([0-9]{2})")
_NEW = re.compile(rb"BLENDER17-([0-9]{2})v([0-9]{2})([0-9]{2})")
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class NotABlend(Exception):
    """The bytes are not those of a .blend file that can be read."""


@dataclass(frozen=True)
class Header:
    """Tell which Blender saved a file and how its blocks are encoded; `size` in bytes."""

    major: int
    minor: int
    size: int
    pointer_size: int
    big_endian: bool
    large_blocks: bool

    @property
    def version(self) -> str:
        """Give the version as people write it, such as `4.2`."""
        return f"{self.major}.{self.minor}"


def may_be_blend(first: bytes) -> bool:
    """Say whether a file that begins so may be a .blend file: it has the magic, or is packed as they may be."""
    return first.startswith((b"BLENDER", _GZIP, _ZSTD))


def parse(first: bytes) -> Header:
    """Read the uncompressed first bytes of a file. Raises NotABlend."""
    if match := _NEW.match(first):
        number, major, minor = (int(group) for group in match.groups())
        if number > 1:
            raise NotABlend(f"its block format {number} is unknown")
        return Header(
            major=major,
            minor=minor,
            size=_NEW_BYTES,
            pointer_size=8,
            big_endian=False,
            large_blocks=number == 1,
        )
    if match := _OLD.match(first):
        pointer, order, major_digit, minor_digits = match.groups()
        return Header(
            major=int(major_digit),
            minor=int(minor_digits),
            size=_OLD_BYTES,
            pointer_size=8 if pointer == b"-" else 4,
            big_endian=order == b"V",
            large_blocks=False,
        )
    raise NotABlend("it does not begin like a .blend file")


def read_header_bytes(stream: BinaryIO) -> bytes:
    """Read exactly a header's bytes, whichever of the two sizes it has."""
    first = stream.read(_OLD_BYTES)
    return first + stream.read(_NEW_BYTES - _OLD_BYTES) if first[7:9] == b"17" else first


def open_blend(path: str) -> BinaryIO:
    """Open a file for reading its uncompressed bytes; only an uncompressed file can seek. Raises NotABlend, OSError."""
    raw = open(path, "rb")  # noqa: SIM115 - the caller closes what it gets
    first = raw.read(4)
    raw.seek(0)
    if first[:2] == _GZIP:
        raw.close()
        return cast("BinaryIO", gzip.GzipFile(path, "rb"))
    if first == _ZSTD:
        try:
            import zstandard
        except ImportError:
            raw.close()
            raise NotABlend(
                "it is compressed with zstd, and Blender's Python lacks `zstandard` (Debian: python3-zstandard)"
            ) from None
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX_BYTES)
        return cast("BinaryIO", io.BufferedReader(decompressor.stream_reader(raw, read_across_frames=True), 1 << 20))
    return raw


def read_errors() -> tuple[type[Exception], ...]:
    """Name what reading damaged compressed bytes may raise."""
    errors: tuple[type[Exception], ...] = (EOFError, zlib.error, OSError)
    try:
        import zstandard
    except ImportError:
        return errors
    return (*errors, zstandard.ZstdError)


def read(path: str) -> Header:
    """Read a file's header. Raises NotABlend, and OSError when the file cannot be opened."""
    with open_blend(path) as stream:
        try:
            first = read_header_bytes(stream)
        except read_errors() as error:
            raise NotABlend(f"its compressed bytes are damaged: {error}") from error
    return parse(first)
