"""Convert between pixels of a frame and Blender's render border, as Blender itself rounds.

Theory: a border is four fractions of the frame, kept as 32-bit floats. Blender multiplies them by the frame's size, in
such floats too, and drops what is behind the point. So an inner edge is asked for in the middle of its pixel, where no
rounding can move it, and an outer edge as exactly 0 or 1. Blender counts rows from the bottom, everybody else here from
the top.

This module runs in both halves of the stage and imports nothing of Blender.
"""

import struct

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are outside."""

Border = tuple[float, float, float, float]
"""Blender's `border_min_x`, `border_min_y`, `border_max_x`, `border_max_y`: fractions, y from the bottom."""


def border(box: Box, width: int, height: int) -> Border:
    """Give the border that makes Blender render just the pixels of `box`, of a frame of `width` x `height`."""
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"{box} is no part of {width}x{height} pixels")
    return (
        _fraction(left, width),
        _fraction(height - bottom, height),
        _fraction(right, width),
        _fraction(height - top, height),
    )


def box(edges: Border, width: int, height: int) -> Box:
    """Give the pixels that Blender renders of a frame of `width` x `height` within a border."""
    min_x, min_y, max_x, max_y = edges
    top, bottom = height - _pixel(max_y, height), height - _pixel(min_y, height)
    return _pixel(min_x, width), top, _pixel(max_x, width), bottom


def _fraction(edge: int, size: int) -> float:
    if edge in (0, size):
        return float(edge == size)
    return (edge + 0.5) / size


def _pixel(fraction: float, size: int) -> int:
    # The product of two floats is exact in Python's, so that rounding it once is what the processor does.
    return int(_float32(_float32(fraction) * size))


def _float32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded
