"""Look at pictures in a process of its own, since their bytes come from a renderer that may have been taken over.

Started as `python -I looking.py -- FD`. For each request, a path and what the picture shall be, it answers with what
the picture is. It decodes strips of rows, so that its memory does not grow with the picture, and reads nothing before
the size is known to be the right one. Nothing of `mesh` is imported, so that it starts fast and can be limited hard.
"""

import json
import os
import socket
import sys
from typing import Any

import numpy as np
import OpenImageIO

_STRIP_ROWS = 64
_CHANNELS = {"BW": 1, "RGB": 3, "RGBA": 4}
_EXACT_FORMATS = ("PNG", "TIFF")
"""Formats whose files hold just the channels that the colour mode names."""

Answer = dict[str, Any]


def look(path: str, width: int, height: int, mode: str, form: str) -> Answer:
    """Decode a picture; width and height 0 mean any. The answer's `is` is `good`, `truncated`, `wrong` or `unknown`."""
    if os.path.getsize(path) == 0:
        return {"is": "truncated", "text": "the file is empty"}
    OpenImageIO.geterror()
    opened = OpenImageIO.ImageInput.open(path)
    if opened is None:
        error = str(OpenImageIO.geterror())
        if "Could not find a format reader" in error or "not installed" in error:
            return {"is": "unknown", "text": error}
        return {"is": "truncated", "text": error or "it cannot be opened"}
    try:
        return _look_into(opened, width, height, mode, form)
    finally:
        opened.close()


def _look_into(opened: Any, width: int, height: int, mode: str, form: str) -> Answer:
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
    first, same = None, True
    step = spec.tile_height if spec.tile_width else _STRIP_ROWS
    for row in range(spec.y, spec.y + spec.height, step):
        end = min(row + step, spec.y + spec.height)
        if spec.tile_width:
            pixels = opened.read_tiles(part, 0, spec.x, spec.x + spec.width, row, end, 0, 1, 0, spec.nchannels, "float")
        else:
            pixels = opened.read_scanlines(part, 0, row, end, 0, 0, spec.nchannels, "float")
        if pixels is None or opened.has_error:
            return {"is": "truncated", "text": str(opened.geterror()) or "it stops before its end"}, False
        if np.isnan(pixels).any():
            return {"is": "wrong", "text": "it holds values that are no numbers"}, False
        flat = pixels.reshape(-1, spec.nchannels)
        first = flat[0] if first is None else first
        same = same and bool((flat == first).all())
    return None, same


def main() -> None:
    """Answer requests until the channel ends."""
    channel = socket.socket(fileno=int(sys.argv[sys.argv.index("--") + 1]))
    with channel.makefile("rb") as lines:
        for line in lines:
            request = json.loads(line)
            try:
                answer = look(request["path"], *(request[key] for key in ("width", "height", "mode", "form")))
            except OSError as error:
                answer = {"is": "truncated", "text": str(error.strerror)}
            channel.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
