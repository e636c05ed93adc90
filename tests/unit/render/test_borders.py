"""Pixels as fractions of a frame, and back as Blender rounds them."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.render.blender import borders
from mesh.wire.grids import MAX_SIDE

sizes = st.one_of(st.integers(1, 64), st.integers(1, MAX_SIDE), st.integers(MAX_SIDE - 64, MAX_SIDE))


def blenders(fraction: float, size: int) -> int:
    """Round as Blender's `re->r.border.xmin * winx` does, which is a float, put into an int."""
    return int(np.float32(fraction) * np.float32(size))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[borders.Box, int, int]:
    """Draw pixels of a frame and the frame's size."""
    width, height = draw(sizes), draw(sizes)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (left, top, right, bottom), width, height


@given(drawn=boxes())
@example(drawn=((332, 180, 333, 181), 333, 181))
@example(drawn=((0, 0, 1, 1), 333, 181))
@example(drawn=((MAX_SIDE - 2, 1, MAX_SIDE - 1, 2), MAX_SIDE, MAX_SIDE))
def test_a_border_holds_just_its_pixels(drawn: tuple[borders.Box, int, int]) -> None:
    box, width, height = drawn
    min_x, min_y, max_x, max_y = borders.border(box, width, height)
    assert 0.0 <= min_x < max_x <= 1.0
    assert 0.0 <= min_y < max_y <= 1.0
    left, right = blenders(min_x, width), blenders(max_x, width)
    top, bottom = height - blenders(max_y, height), height - blenders(min_y, height)
    assert (left, top, right, bottom) == box
    assert borders.box((min_x, min_y, max_x, max_y), width, height) == box


@given(fraction=st.floats(0, 1, width=32), size=sizes)
@example(fraction=float(np.float32(0.7)), size=10)
@example(fraction=float(np.float32(0.29)), size=100)
def test_a_border_of_any_scene_is_rounded_as_blender_does(fraction: float, size: int) -> None:
    assert borders.box((fraction, 0.0, 1.0, 1.0), size, 1)[0] == blenders(fraction, size)


def test_a_plain_fraction_is_not_enough() -> None:
    """Why an inner edge lies in the middle of its pixel."""
    assert [edge for edge in range(334) if blenders(edge / 333, 333) != edge] != []


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 5, 4), (0, 0, 4, 5), (2, 0, 2, 4), (0, 3, 4, 2)])
def test_pixels_that_no_frame_has_have_no_border(box: borders.Box) -> None:
    with pytest.raises(ValueError, match="is no part of 4x4 pixels"):
        borders.border(box, 4, 4)
