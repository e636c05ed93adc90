"""A seam shows in the figure, an edge of the picture's own that lies on a border does not."""

import numpy as np

from mesh.wire.grids import Region
from tools import seams
from tools.compare import Part

LEFT = Region(left=10, top=5, right=30, bottom=45)
RIGHT = Region(left=30, top=5, right=50, bottom=45)


def part(samples: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", name: str = "L.Combined.R") -> Part:
    return Part(channels={name: samples, "L.Depth.Z": np.zeros_like(samples)}, headers={})


def noise() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(1).normal(0.5, 0.1, (40, 40)).astype(np.float32)


def test_what_is_the_same_has_no_seams() -> None:
    picture = part(noise())
    assert seams.figure(picture, picture, (LEFT, RIGHT), (10, 5)) == 1.0


def test_a_half_that_is_brighter_shows() -> None:
    brighter = noise()
    brighter[:, 20:] += 0.1
    figure = seams.figure(part(brighter), part(noise()), (LEFT, RIGHT), (10, 5))
    assert figure > seams.FIGURE_MOST
    # No bucket begins there.
    assert seams.figure(part(brighter), part(noise()), (LEFT, RIGHT), (11, 5)) < seams.FIGURE_MOST


def test_an_edge_of_the_pictures_own_is_no_seam() -> None:
    edge = noise()
    edge[:, 20:] += 3
    assert seams.figure(part(edge), part(edge), (LEFT, RIGHT), (10, 5)) == 1.0


def test_borders_between_rows_count_too() -> None:
    brighter = noise()
    brighter[20:] += 0.1
    buckets = (Region(left=0, top=0, right=40, bottom=20), Region(left=0, top=20, right=40, bottom=40))
    assert seams.figure(part(brighter, "R"), part(noise(), "R"), buckets, (0, 0)) > seams.FIGURE_MOST


def test_one_bucket_has_no_borders() -> None:
    whole = Region(left=0, top=0, right=40, bottom=40)
    assert seams.figure(part(noise()), part(noise()), (whole,), (0, 0)) == 1.0
