"""A frame in buckets as people read it: who made how much, in words and in a drawing."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest

from mesh.cli import buckets, mapfiles, maps
from mesh.cli.maps import Box, Label
from mesh.ground.errors import UsageError
from mesh.ports.folders import FolderError
from mesh.ports.stills import BucketRow, BucketsAnswer
from sim import bucketrows
from sim.desk import job_row
from sim.memberrows import ME, OTHER

DESK, STUDIO = (ME, "desk"), (OTHER, "studio")
THIRD = ("00" * 32, "attic")
HOSTILE = ("d4" * 32, "<b>&\x1b[31m\u202ered")


def told(*rows: BucketRow, size: tuple[int, int] = (64, 32)) -> BucketsAnswer:
    return bucketrows.answer(job_row(name="lake", tasks=1), rows, size=size)


def parts() -> BucketsAnswer:
    """A frame of which desk made one bucket whole and all of another but a corner, which studio made."""
    big = bucketrows.bucket_row((0, 0, 16, 16), DESK, ms=400)
    left = BucketRow(**{**bucketrows.bucket_row((16, 0, 24, 16), DESK, ms=900), "bucket": [16, 0, 32, 16]})
    below = BucketRow(**{**left, "region": [24, 8, 32, 16]})
    corner = bucketrows.bucket_row((24, 0, 32, 8), STUDIO, ms=100)
    running = bucketrows.bucket_row((0, 16, 32, 32), THIRD, state="running")
    return told(big, left, below, corner, running, bucketrows.bucket_row((32, 0, 64, 32), state="open"))


def test_a_bucket_in_several_parts_is_one_bucket() -> None:
    found = buckets.makers(parts()["buckets"])
    desk, studio, attic = found[ME], found[OTHER], found[THIRD[0]]
    assert (desk.buckets, desk.pixels, desk.render_ms) == (2, 256 + 128 + 64, 1_300)
    assert (studio.buckets, studio.pixels, studio.running) == (1, 64, 0)
    assert (attic.buckets, attic.running, attic.name) == (0, 1, "attic")
    assert buckets.rendered(parts()) == 512


def test_letters_follow_names_and_stay_when_shares_change() -> None:
    found = buckets.makers(parts()["buckets"])
    assert [maker.letter for maker in found.values()] == ["A", "B", "C"]
    assert [maker.name for maker in found.values()] == ["attic", "desk", "studio"]
    assert [maker.name for maker in buckets.ranked(found.values())] == ["desk", "studio", "attic"]


def test_more_peers_than_letters_have_one_sign() -> None:
    rows = [
        bucketrows.bucket_row((at, 0, at + 1, 1), (f"{at:064x}", f"p{at:03}"), ms=1)
        for at in range(len(buckets.LETTERS) + 2)
    ]
    letters = [maker.letter for maker in buckets.makers(rows).values()]
    assert letters[:2] == ["A", "B"]
    assert letters[-3:] == ["9", "#", "#"]


def test_how_a_frame_was_made_is_said_in_a_line() -> None:
    frame = parts()
    assert buckets.how_made(frame) == "3 buckets by 2 peers, 1.4 s of rendering"
    frame["assembler_name"] = "studio"
    assert buckets.how_made(frame).endswith("1.4 s of rendering, assembled by studio")
    assert buckets.how_made(told(bucketrows.bucket_row((0, 0, 64, 32), state="open"))) == ""
    one = told(bucketrows.bucket_row((0, 0, 64, 32), DESK, ms=50))
    assert buckets.how_made(one) == "1 bucket by 1 peer, 50 ms of rendering"


def boxes(drawn: maps.Drawing) -> list[Box]:
    return [shape for shape in drawn.shapes if isinstance(shape, Box)]


def texts(drawn: maps.Drawing) -> list[str]:
    return [shape.text for shape in drawn.shapes if isinstance(shape, Label)]


def test_a_map_has_every_bucket_and_a_legend() -> None:
    drawn = maps.drawing(parts())
    seen = texts(drawn)
    for text in ("lake, frame 1", "400 ms", "A", "B", "C", "a", "attic", "desk", "studio", "21 %", "1.3 s"):
        assert text in seen, text
    assert any("25 % rendered: 3 buckets by 2 peers" in text for text in seen)
    # The frame's ground, six rectangles, and a colour for each of three peers.
    assert len(boxes(drawn)) == 1 + 6 + 3


def test_a_map_is_brighter_where_a_pixel_took_longer() -> None:
    fast = bucketrows.bucket_row((0, 0, 32, 32), DESK, ms=100)
    slow = bucketrows.bucket_row((32, 0, 48, 16), DESK, ms=900)
    middle = bucketrows.bucket_row((48, 0, 64, 32), DESK, ms=150)
    _, first, second, third, *_ = boxes(maps.drawing(told(fast, slow, middle)))
    assert maps.luminance(first.fill) < maps.luminance(third.fill) < maps.luminance(second.fill)


@pytest.mark.parametrize("ms", [0, 1, 500])
def test_a_map_of_buckets_that_took_alike_is_of_one_brightness(ms: int) -> None:
    rows = [bucketrows.bucket_row((at, 0, at + 32, 32), DESK, ms=ms) for at in (0, 32)]
    _, first, second, *_ = boxes(maps.drawing(told(*rows)))
    assert first.fill == second.fill


def test_a_map_shows_what_failed_and_what_nobody_knows() -> None:
    rows = [
        bucketrows.bucket_row((0, 0, 32, 32), state="stopped"),
        bucketrows.bucket_row((32, 0, 64, 32), state="counts"),
    ]
    seen = texts(maps.drawing(told(*rows)))
    assert "x" in seen
    assert "?" in seen
    assert any("failed too often" in text for text in seen)


@pytest.mark.parametrize("size", [(64, 36), (400, 1_600), (131_072, 3), (1, 131_072), (1_920, 1_080)])
def test_everything_lies_on_the_paper(size: tuple[int, int]) -> None:
    width, height = size
    side = max(1, max(size) // 40)
    drawn = maps.drawing(bucketrows.growing(job_row(tasks=1), [DESK, STUDIO, THIRD], size=(width, height), side=side))
    for shape in drawn.shapes:
        right, bottom = (shape.right, shape.bottom) if isinstance(shape, Box) else (shape.x, shape.y)
        assert 0 <= right <= drawn.width
        assert 0 <= bottom <= drawn.height
    assert drawn.width <= maps.WIDE + 2 * maps.MARGIN


def test_an_svg_is_one_whatever_peers_call_themselves() -> None:
    frame = told(bucketrows.bucket_row((0, 0, 64, 32), HOSTILE, ms=5))
    frame["name"] = frame["assembler_name"] = HOSTILE[1]
    root = ET.fromstring(maps.svg(maps.drawing(frame)))
    written = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("<b>&" in text for text in written)
    assert not any("\x1b" in text or "\u202e" in text for text in written)


def test_a_png_has_the_peers_colours(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    drawn = maps.drawing(parts())
    mapfiles.write(drawn, path)
    image = OpenImageIO.ImageBuf(str(path))
    pixels = np.asarray(image.get_pixels("uint8"))
    assert pixels.shape[:2] == (drawn.height, drawn.width)
    for box in boxes(drawn)[1:]:
        x, y = box.left + box.stroke + 1, box.top + box.stroke + 1
        assert tuple(int(value) for value in pixels[y, x][:3]) == maps.channels(box.fill)
    usual = tmp_path / "usual"
    usual.touch()
    assert path.stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("name", ["map.svg", "map.png", "MAP.PNG"])
def test_a_map_replaces_a_map_and_nothing_else(name: str, tmp_path: Path) -> None:
    path, drawn = tmp_path / name, maps.drawing(parts())
    mapfiles.write(drawn, path)
    before = path.read_bytes()
    mapfiles.write(drawn, path)
    assert path.read_bytes()[:500] == before[:500]
    path.write_bytes(b"\x89PNG a frame that somebody rendered")
    with pytest.raises(UsageError, match="is no map"):
        mapfiles.write(drawn, path)
    assert path.read_bytes().startswith(b"\x89PNG a frame")
    assert [file.name for file in tmp_path.iterdir()] == [name], "nothing is left behind"


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.png.txt"])
def test_another_kind_of_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a map is written as \.svg or \.png"):
        mapfiles.check(tmp_path / name)


@pytest.mark.parametrize("place", ["nowhere/map.png", "directory.png"])
def test_a_place_that_cannot_be_written_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "directory.png").mkdir()
    with pytest.raises(FolderError, match=place.partition("/")[0]):
        mapfiles.write(maps.drawing(parts()), tmp_path / place)
