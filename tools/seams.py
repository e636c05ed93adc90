"""Tell whether one can see where buckets met: how much neighbours differ across their borders, and elsewhere.

Theory: a picture has edges of its own, and some lie on a border by chance. So the ratio of the mean step across borders
to the mean step elsewhere is held against the same ratio in a picture that was never cut: 1 where nothing is to be
seen, more where there are seams. Works on decoded pictures alone.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mesh.wire.grids import Region
from tools.compare import Part

FIGURE_MOST = 1.05
"""Noise that differs in a few pixels moves the ratio by less."""

Mask = npt.NDArray[np.bool_]


def figure(picture: Part, whole: Part, buckets: Sequence[Region], origin: tuple[int, int]) -> float:
    """Give the ratio of ratios; `origin` is the pixel of the frame that the picture begins with."""
    names = [name for name in picture.channels if is_colour(name)]
    assert names, "no colours in the picture"
    reference = _ratio(whole, names, buckets, origin)
    return _ratio(picture, names, buckets, origin) / reference if reference else 1.0


def is_colour(name: str) -> bool:
    """Say whether a channel is one of a picture, not of a pass beside it."""
    layer, _, letter = name.rpartition(".")
    return letter in ("R", "G", "B", "Y") and (not layer or layer.endswith("Combined"))


def _ratio(picture: Part, names: Sequence[str], buckets: Sequence[Region], origin: tuple[int, int]) -> float:
    across = elsewhere = 0.0
    across_of = elsewhere_of = 0
    for name in names:
        samples = picture.channels[name].astype(np.float64)
        for axis, borders in enumerate(_borders(samples.shape, buckets, origin)):
            steps = np.abs(np.diff(samples, axis=axis))
            across, across_of = across + float(steps[borders].sum()), across_of + int(borders.sum())
            elsewhere, elsewhere_of = elsewhere + float(steps[~borders].sum()), elsewhere_of + int((~borders).sum())
    if not across_of or not elsewhere:
        return 0.0
    return across / across_of / (elsewhere / elsewhere_of)


def _borders(shape: tuple[int, ...], buckets: Sequence[Region], origin: tuple[int, int]) -> tuple[Mask, Mask]:
    """Mark each step from one pixel to the next, down and to the right, that leads from one bucket into another."""
    bucket = np.full(shape, -1)
    left, top = origin
    for number, each in enumerate(buckets):
        bucket[each.top - top : each.bottom - top, each.left - left : each.right - left] = number
    inside = bucket >= 0
    down = (bucket[1:] != bucket[:-1]) & inside[1:] & inside[:-1]
    right = (bucket[:, 1:] != bucket[:, :-1]) & inside[:, 1:] & inside[:, :-1]
    return down, right
