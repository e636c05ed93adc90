"""Writing a map of buckets: as SVG, or as PNG by what pictures are read and checked with anyway.

Invariants: the file is there whole or not at all; it replaces a map, and no other file.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mesh.cli import maps
from mesh.cli.maps import MARK, Box, Drawing
from mesh.ground.errors import UsageError
from mesh.ports.folders import FolderError

_HEAD_BYTES: Final = 4_096
"""The mark stands within."""


def check(path: Path) -> None:
    """Raise `UsageError` where no map may be written to `path`: another kind of file, or one that is no map."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"--map {path.name}: a map is written as {' or '.join(_WRITERS)}")
    try:
        with path.open("rb") as file:
            is_map = MARK.encode() in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror}") from error
    if not is_map:
        raise UsageError(f"--map {path}: that file is there already and is no map; choose another name")


def write(drawn: Drawing, path: Path) -> None:
    """Write a map by its file's suffix. Raises as `check` does, and `FolderError`."""
    check(path)
    try:
        handle, made = tempfile.mkstemp(prefix=".map-", suffix=path.suffix.lower(), dir=path.parent)
        os.close(handle)
        try:
            _WRITERS[path.suffix.lower()](drawn, Path(made))
            # What `mkstemp` makes is for its owner alone; a map is like any file that a person saves.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(made, 0o666 & ~umask)
            os.replace(made, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(made)
            raise
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror or error}") from error


def _svg(drawn: Drawing, path: Path) -> None:
    path.write_text(maps.svg(drawn), "utf-8")


def _png(drawn: Drawing, path: Path) -> None:
    # Heavy: only who wants a PNG waits for them.
    import numpy as np
    import OpenImageIO

    pixels = np.zeros((drawn.height, drawn.width, 3), np.uint8)
    pixels[:, :] = maps.channels(maps.GROUND)
    for shape in drawn.shapes:
        if isinstance(shape, Box):
            inner = shape.stroke
            pixels[shape.top : shape.bottom, shape.left : shape.right] = maps.channels(shape.edge)
            pixels[shape.top + inner : shape.bottom - inner, shape.left + inner : shape.right - inner] = maps.channels(
                shape.fill
            )
    spec = OpenImageIO.ImageSpec(drawn.width, drawn.height, 3, "uint8")
    spec.attribute("Software", MARK)
    image = OpenImageIO.ImageBuf(spec)
    image.set_pixels(OpenImageIO.ROI(), pixels)
    for shape in drawn.shapes:
        if not isinstance(shape, Box):
            colour = tuple(channel / 255 for channel in maps.channels(shape.colour))
            OpenImageIO.ImageBufAlgo.render_text(
                image, shape.x, shape.y, shape.text, shape.size, "", colour, shape.anchor, "baseline"
            )
    if not image.write(str(path)):
        raise FolderError(f"{path.parent}: {image.geterror()}")


_WRITERS: Final[dict[str, Callable[[Drawing, Path], Any]]] = {".svg": _svg, ".png": _png}
