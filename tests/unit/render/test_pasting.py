"""A frame out of its buckets is, bit for bit, what one host would have written; what is no bucket changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from mesh.core.tiling import cut_to, next_block
from mesh.ports.renderer import OutputTruncated, OutputUnwritable, OutputWrong
from mesh.render.assemble import assembly
from mesh.render.pasting import Answer, Picture, answer
from mesh.wire.grids import Grid, Order, Region
from tests.support.timed import timed

FRAME = Region(left=0, top=0, right=37, bottom=23)
NAMES = ("Layer.Combined.R", "Layer.Combined.G", "Layer.Combined.B", "Layer.Depth.Z")
KINDS = ("half", "half", "half", "float")
ODD = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0x00000001, 0x7F800000], np.uint32).view(np.float32)
"""A NaN with a payload, minus infinity, minus zero, the smallest number that there is, infinity."""


def frame(seed: int = 1, channels: int = 4) -> Any:
    """A frame of any values, some of them odd ones; colours are halves."""
    drawn = np.random.default_rng(seed)
    pixels = drawn.normal(0, 100, (FRAME.height, FRAME.width, channels)).astype(np.float32)
    pixels[..., -1].flat[: 5 * len(ODD)] = np.tile(ODD, 5)
    pixels[..., :3] = pixels[..., :3].astype(np.float16)
    return pixels


def write(
    path: Path, pixels: Any, names: tuple[str, ...] = NAMES, kinds: tuple[str, ...] = KINDS, **headers: object
) -> Path:
    spec = OpenImageIO.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], "float")
    spec.channelnames, spec.channelformats = names, tuple(map(OpenImageIO.TypeDesc, kinds))
    spec.attribute("DateTime", "")
    for name, value in headers.items():
        spec.attribute(name, value)
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(pixels)
    assert out.close()
    return path


def read(path: Path) -> tuple[Any, Any]:
    opened = OpenImageIO.ImageInput.open(str(path))
    spec = opened.spec()
    return spec, opened.read_image(0, 0, 0, spec.nchannels, "float").reshape(spec.height, spec.width, spec.nchannels)


def headers(spec: Any) -> dict[str, str]:
    return {each.name: f"{each.type} {each.value}" for each in spec.extra_attribs}


def box(region: Region) -> list[int]:
    return [region.left, region.top, region.right, region.bottom]


def widened(region: Region, margin: int, within: Region) -> Region:
    return Region(
        left=max(within.left, region.left - margin),
        top=max(within.top, region.top - margin),
        right=min(within.right, region.right + margin),
        bottom=min(within.bottom, region.bottom + margin),
    )


def pasted(grid: Grid, whole: Any, margin: int, directory: Path, **headers: object) -> Picture:
    """Cut `whole` into buckets with margins, and paste them again."""
    region = grid.region
    picture, said = answer(None, {"do": "begin", "width": FRAME.width, "height": FRAME.height, "region": box(region)})
    assert said == {"is": "begun"}
    left = (1 << len(grid)) - 1
    while (block := next_block(grid, left, Order.SPIRAL, 150)) is not None:
        left &= ~grid.bits(block)
        taken = grid.pixels(block)
        held = widened(taken, margin, region)
        part = whole[held.top : held.bottom, held.left : held.right].copy()
        inner = np.zeros(part.shape[:2], bool)
        inner[
            taken.top - held.top : taken.bottom - held.top,
            taken.left - held.left : taken.right - held.left,
        ] = True
        part[~inner] = 7
        file = write(directory / "bucket.exr", part, **headers)
        picture, said = answer(picture, {"do": "paste", "path": str(file), "held": box(held), "taken": box(taken)})
        assert said == {"is": "pasted"}
    assert picture is not None
    return picture


@pytest.mark.parametrize("margin", [0, 3, 100])
@pytest.mark.parametrize("region", [FRAME, Region(left=5, top=7, right=30, bottom=8)])
def test_every_bit_of_every_channel_and_every_header_is_there(region: Region, margin: int, tmp_path: Path) -> None:
    whole = frame()
    told = {"Camera": "Kamera", "cryptomatte/542cafa/manifest": '{"Würfel":"a8fce865"}'}
    picture = pasted(cut_to(region, 7, 5), whole, margin, tmp_path, **told, compression="piz")
    merged = tmp_path / "merged.exr"
    assert answer(picture, {"do": "write", "path": str(merged)}) == (None, {"is": "written"})
    spec, pixels = read(merged)
    wanted = whole[region.top : region.bottom, region.left : region.right]
    assert pixels.tobytes() == wanted.tobytes()
    assert (spec.x, spec.y, spec.width, spec.height) == (region.left, region.top, region.width, region.height)
    assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (0, 0, FRAME.width, FRAME.height)
    assert spec.channelnames == NAMES
    assert tuple(map(str, spec.channelformats)) == KINDS
    one, _ = read(write(tmp_path / "one.exr", wanted, **told, compression="zip"))
    assert headers(spec) == headers(one)


@pytest.mark.parametrize(
    "hostile",
    [
        {"compression": "dwab:2000"},
        {"compression": "dwaa", "openexr:dwaCompressionLevel": 2000.0},
        {"compression": "b44"},
        {"compression": "pxr24"},
        {"openexr:lineOrder": "decreasingY"},
    ],
)
def test_no_bucket_says_how_the_others_pixels_are_written(hostile: dict[str, object], tmp_path: Path) -> None:
    whole = frame()
    left, right = (Region(left=at, top=0, right=at + wide, bottom=FRAME.bottom) for at, wide in ((0, 5), (5, 32)))
    picture = Picture(FRAME.width, FRAME.height, (0, 0, FRAME.right, FRAME.bottom))
    for region, told in ((left, hostile), (right, {})):
        file = write(tmp_path / "bucket.exr", whole[:, region.left : region.right], **told)
        held = (region.left, region.top, region.right, region.bottom)
        picture.paste(str(file), held, held)
    picture.write(str(tmp_path / "merged.exr"))
    spec, pixels = read(tmp_path / "merged.exr")
    assert spec.get_string_attribute("compression") == "zip"
    assert spec.get_string_attribute("openexr:lineOrder") == "increasingY"
    assert pixels[:, right.left :].tobytes() == whole[:, right.left :].tobytes()


def bad(path: Path, what: str) -> Path:
    """A file that is no bucket of `FRAME` with `NAMES` and `KINDS`."""
    match what:
        case "empty":
            path.write_bytes(b"")
        case "noise":
            path.write_bytes(bytes(range(256)) * 40)
        case "cut off":
            write(path, frame())
            path.write_bytes(path.read_bytes()[:-2_000])
        case "a PNG":
            spec = OpenImageIO.ImageSpec(FRAME.width, FRAME.height, 4, "uint8")
            out = OpenImageIO.ImageOutput.create("png")
            assert out.open(str(path), spec)
            assert out.write_image(np.zeros((FRAME.height, FRAME.width, 4), np.uint8))
            out.close()
        case "smaller":
            write(path, frame()[1:])
        case "another channel":
            write(path, frame(), names=(*NAMES[:3], "Layer.Mist.Z"))
        case "another kind":
            write(path, frame(), kinds=("half",) * 4)
        case "whole numbers":
            spec = OpenImageIO.ImageSpec(FRAME.width, FRAME.height, 4, "uint")
            out = OpenImageIO.ImageOutput.create("openexr")
            assert out.open(str(path), spec)
            assert out.write_image(np.ones((FRAME.height, FRAME.width, 4), np.uint32))
            out.close()
        case "two parts":
            spec = OpenImageIO.ImageSpec(FRAME.width, FRAME.height, 4, "float")
            out = OpenImageIO.ImageOutput.create("openexr")
            assert out.open(str(path), [spec, spec])
            assert out.write_image(frame())
            assert out.open(str(path), spec, "AppendSubimage")
            assert out.write_image(frame())
            out.close()
    return path


WHOLE = {"held": box(FRAME), "taken": box(FRAME)}


@pytest.mark.parametrize(
    ("what", "kind", "why"),
    [
        ("nothing", "truncated", "No such file"),
        ("empty", "truncated", "empty"),
        ("noise", "truncated", ""),
        ("cut off", "truncated", ""),
        ("a PNG", "wrong", "the format png instead of openexr"),
        ("smaller", "wrong", "37x22 pixels instead of 37x23"),
        ("another channel", "unlike", "not those of the other buckets"),
        ("another kind", "unlike", "not those of the other buckets"),
        ("whole numbers", "wrong", "values of the kind uint"),
        ("two parts", "wrong", "not one flat picture"),
    ],
)
def test_what_is_no_bucket_is_refused_by_name_and_changes_nothing(
    what: str, kind: str, why: str, tmp_path: Path
) -> None:
    whole = frame()
    picture, _ = answer(None, {"do": "begin", "width": FRAME.width, "height": FRAME.height, "region": box(FRAME)})
    good = {"do": "paste", "path": str(write(tmp_path / "good.exr", whole)), **WHOLE}
    assert answer(picture, good)[1] == {"is": "pasted"}
    path = bad(tmp_path / "bad.exr", what)
    picture, said = answer(picture, {"do": "paste", "path": str(path), **WHOLE})
    assert said["is"] == kind, said
    assert why in said["text"]
    merged = tmp_path / "merged.exr"
    answer(picture, {"do": "write", "path": str(merged)})
    assert read(merged)[1].tobytes() == whole.tobytes()


def test_nothing_is_written_where_nothing_was_pasted(tmp_path: Path) -> None:
    merged = tmp_path / "merged.exr"
    said: Answer
    picture, said = answer(None, {"do": "write", "path": str(merged)})
    assert (picture, said["is"]) == (None, "wrong")
    picture, _ = answer(None, {"do": "begin", "width": 3, "height": 3, "region": [0, 0, 3, 3]})
    assert answer(picture, {"do": "write", "path": str(merged)})[1] == {"is": "wrong", "text": "no bucket was pasted"}
    assert not merged.exists()


@timed
async def test_a_process_of_its_own_pastes_and_names_what_it_cannot(tmp_path: Path) -> None:
    whole = frame()
    top = Region(left=0, top=0, right=FRAME.right, bottom=10)
    rest = Region(left=0, top=10, right=FRAME.right, bottom=FRAME.bottom)
    async with assembly(FRAME.width, FRAME.height, FRAME) as made:
        await made.paste(write(tmp_path / "top.exr", whole[:10]), held=top, taken=top)
        with pytest.raises(OutputWrong, match=r"small\.exr: it is 37x3 pixels instead of 37x13"):
            await made.paste(write(tmp_path / "small.exr", whole[:3]), held=rest, taken=rest)
        other = write(tmp_path / "other.exr", whole[10:], kinds=("half",) * 4)
        with pytest.raises(OutputWrong, match=r"other\.exr: its channels are not those") as unlike:
            await made.paste(other, held=rest, taken=rest)
        assert unlike.value.unlike_others
        with pytest.raises(OutputTruncated, match=r"gone\.exr: No such file"):
            await made.paste(tmp_path / "gone.exr", held=rest, taken=rest)
        await made.paste(write(tmp_path / "rest.exr", whole[10:]), held=rest, taken=rest)
        with pytest.raises(OutputUnwritable, match=r"nowhere"):
            await made.write(tmp_path / "nowhere" / "merged.exr")
        await made.write(tmp_path / "merged.exr")
    assert read(tmp_path / "merged.exr")[1].tobytes() == whole.tobytes()


def test_a_preview_shows_what_is_there_in_the_colours_of_a_screen(tmp_path: Path) -> None:
    pixels = np.zeros((FRAME.height, FRAME.width, 4), np.float32)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 0.0, 0.5, 40.0
    bucket = write(tmp_path / "bucket.exr", pixels[:, :20])
    box = [0, 0, 20, FRAME.height]
    picture, _ = answer(None, {"do": "begin", "width": FRAME.width, "height": FRAME.height, "region": [0, 0, 37, 23]})
    picture, said = answer(picture, {"do": "paste", "path": str(bucket), "held": box, "taken": box})
    assert said == {"is": "pasted"}
    _, said = answer(picture, {"do": "preview", "path": str(tmp_path / "preview.png")})
    assert said == {"is": "previewed"}
    shown = OpenImageIO.ImageBuf(str(tmp_path / "preview.png")).get_pixels(OpenImageIO.UINT8)
    assert shown.shape == (FRAME.height, FRAME.width, 3)
    assert (shown[:, :20] == (0, 188, 255)).all()
    assert set(shown[:, 20:].ravel()) == {38, 44}


def test_a_preview_of_a_large_frame_is_small(tmp_path: Path) -> None:
    picture = Picture(4_100, 900, (100, 200, 2_200, 700))
    bucket = write(tmp_path / "bucket.exr", np.ones((500, 2_100, 4), np.float32))
    picture.paste(str(bucket), (100, 200, 2_200, 700), (100, 200, 2_200, 700))
    picture.preview(str(tmp_path / "preview.png"))
    shown = OpenImageIO.ImageBuf(str(tmp_path / "preview.png")).get_pixels(OpenImageIO.UINT8)
    assert shown.shape == (180, 820, 3)
    assert (shown[40:140, 20:440] == 255).all()
    assert (shown[:40] < 50).all() and (shown[:, 440:] < 50).all()


def test_a_preview_of_nothing_is_refused() -> None:
    picture, _ = answer(None, {"do": "begin", "width": 8, "height": 8, "region": [0, 0, 8, 8]})
    assert answer(picture, {"do": "preview", "path": "/nowhere.png"})[1]["is"] == "wrong"
