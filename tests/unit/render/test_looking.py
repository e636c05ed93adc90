"""A finished picture is what the scene promised, or it is named what else it is."""

import json
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
import trio

from mesh.ports.renderer import Output, OutputTruncated, OutputWrong
from mesh.render.looking import ALIKE_BLOCK_RMSE, ALIKE_RMSE, alike, look
from mesh.render.picture import PictureChecker
from tests.support.timed import timed

WIDTH, HEIGHT = 5, 4

File = tuple[str, str, int]
"""Name, kind of values, channels."""

Promise = tuple[str, str, int]
"""Format, colour mode, depth."""


def made(path: Path, kind: str, channels: int, last: float = 1) -> Path:
    """Write a slope whose last value is `last`."""
    spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, channels, kind)
    values = np.linspace(0, 1, WIDTH * HEIGHT * channels, dtype=np.float32)
    values[-1] = last
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out is not None
    assert out.open(str(path), spec)
    out.write_image(values.reshape(HEIGHT, WIDTH, channels))
    out.close()
    return path


def verdict(path: Path, form: str, mode: str, depth: int) -> str:
    answer = look(str(path), {"width": WIDTH, "height": HEIGHT, "mode": mode, "form": form, "depth": depth})
    json.dumps(answer)
    return str(answer["is"])


@pytest.mark.parametrize(
    ("file", "promised"),
    [
        (("a.png", "uint8", 3), ("PNG", "RGB", 8)),
        (("a.png", "uint16", 4), ("PNG", "RGBA", 16)),
        (("a.png", "uint8", 1), ("PNG", "BW", 8)),
        (("a.tif", "uint16", 3), ("TIFF", "RGB", 16)),
        (("a.exr", "half", 4), ("OPEN_EXR", "RGBA", 16)),
        (("a.exr", "float", 3), ("OPEN_EXR", "RGB", 32)),
        (("a.jpg", "uint8", 3), ("JPEG", "RGB", 8)),
        (("a.webp", "uint8", 3), ("WEBP", "RGB", 8)),
        (("a.tga", "uint8", 4), ("TARGA", "RGBA", 8)),
        (("a.bmp", "uint8", 3), ("BMP", "RGB", 8)),
        (("a.hdr", "float", 3), ("HDR", "RGB", 32)),
    ],
)
def test_what_was_promised_is_good(file: File, promised: Promise, tmp_path: Path) -> None:
    assert verdict(made(tmp_path / file[0], *file[1:]), *promised) == "good"


@pytest.mark.parametrize(
    ("file", "promised"),
    [
        (("a.png", "uint8", 3), ("PNG", "RGB", 16)),
        (("a.png", "uint16", 3), ("PNG", "RGB", 8)),
        (("a.tif", "uint8", 3), ("TIFF", "RGB", 16)),
        (("a.exr", "half", 4), ("OPEN_EXR", "RGBA", 32)),
        (("a.exr", "float", 4), ("OPEN_EXR", "RGBA", 16)),
        (("a.png", "uint8", 4), ("PNG", "RGB", 8)),
        (("a.exr", "half", 3), ("OPEN_EXR", "RGBA", 16)),
    ],
)
def test_another_depth_or_number_of_channels_is_wrong(file: File, promised: Promise, tmp_path: Path) -> None:
    assert verdict(made(tmp_path / file[0], *file[1:]), *promised) == "wrong"


@pytest.mark.parametrize(("kind", "depth"), [("half", 16), ("float", 32)])
@pytest.mark.parametrize(
    ("last", "expected"), [(np.nan, "wrong"), (-np.nan, "wrong"), (np.inf, "good"), (-0.0, "good")]
)
def test_a_value_that_is_no_number_is_wrong(kind: str, depth: int, last: float, expected: str, tmp_path: Path) -> None:
    assert verdict(made(tmp_path / "a.exr", kind, 4, last), "OPEN_EXR", "RGBA", depth) == expected


def test_another_format_under_the_right_name_is_wrong(tmp_path: Path) -> None:
    jpeg = made(tmp_path / "a.jpg", "uint8", 3)
    assert verdict(jpeg.rename(tmp_path / "a.png"), "PNG", "RGB", 8) == "wrong"


def test_bytes_that_are_no_picture_are_good_under_no_name(tmp_path: Path) -> None:
    for name in ("a.png", "a.xyz"):
        path = tmp_path / name
        path.write_bytes(b"no picture" * 99)
        assert verdict(path, "PNG", "RGB", 8) == "truncated"
        assert verdict(path, "A FORMAT OF LATER", "RGB", 8) == ("unknown" if name == "a.xyz" else "truncated")


class _Saying(PictureChecker):
    def __init__(self, answer: dict[str, object]) -> None:
        super().__init__()
        self._answer = answer

    async def _ask(self, picture: Path, output: Output) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        return self._answer


@pytest.mark.parametrize("answer", [{}, {"is": "great"}, {"is": None}, {"is": ["good"]}], ids=str)
def test_a_decoder_that_says_nothing_known_proves_nothing(answer: dict[str, object], tmp_path: Path) -> None:
    output = Output(format="PNG", width=WIDTH, height=HEIGHT, color_mode="RGB", depth=8)
    with pytest.raises((OutputWrong, OutputTruncated)):
        trio.run(_Saying(answer).check, tmp_path / "a.png", output)


SIDE = 64


def painted(path: Path, kind: str, change: float = 0, *, rows: int = SIDE, scale: float = 1) -> Path:
    """Write a slope of three channels of which the first pixels of some rows differ by `change`."""
    values = np.tile(np.linspace(0.1, 0.8, SIDE, dtype=np.float32)[None, :, None], (SIDE, 1, 3)) * np.float32(scale)
    values[:rows, :8] += change
    spec = OpenImageIO.ImageSpec(SIDE, SIDE, 3, kind)
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out is not None
    assert out.open(str(path), spec)
    out.write_image(values)
    out.close()
    return path


@pytest.mark.parametrize("kind", ["uint8", "uint16", "half", "float"])
@pytest.mark.parametrize(
    ("change", "rows", "verdict"),
    [
        (0, SIDE, "alike"),
        (ALIKE_RMSE, 8, "alike"),
        (3 * ALIKE_BLOCK_RMSE, SIDE, "unlike"),
        (0.5, 2, "unlike"),
        (0.02, SIDE, "unlike"),
    ],
    ids=["the same", "noise", "everywhere", "in one place", "a little nearly everywhere"],
)
def test_pictures_are_alike_within_their_engines_noise(
    kind: str, change: float, rows: int, verdict: str, tmp_path: Path
) -> None:
    name = "png" if kind.startswith("uint") else "exr"
    mine = painted(tmp_path / f"mine.{name}", kind)
    theirs = painted(tmp_path / f"theirs.{name}", kind, change, rows=rows)
    assert alike(str(mine), str(theirs))["is"] == verdict
    assert alike(str(theirs), str(mine))["is"] == verdict


def test_light_without_a_most_is_compared_as_eyes_would(tmp_path: Path) -> None:
    """A lamp of 100 whose render scatters by one is no other picture."""
    mine = painted(tmp_path / "mine.exr", "float", scale=1_000)
    assert alike(str(mine), str(painted(tmp_path / "theirs.exr", "float", 1, scale=1_000)))["is"] == "alike"


def test_no_other_size_number_of_channels_or_garbage_is_like_a_picture(tmp_path: Path) -> None:
    mine = painted(tmp_path / "mine.png", "uint8")
    other = made(tmp_path / "other.png", "uint8", 3)
    fewer = made(tmp_path / "fewer.png", "uint8", 1)
    garbage, half = tmp_path / "garbage.png", tmp_path / "half.png"
    garbage.write_bytes(b"no picture")
    half.write_bytes(mine.read_bytes()[:-40])
    assert {alike(str(mine), str(path))["is"] for path in (other, fewer, garbage, half)} == {"unlike"}
    assert alike(str(garbage), str(mine))["is"] == "unknown"
    assert alike(str(garbage), str(garbage))["is"] == "alike", "equal bytes show the same"


@timed
async def test_the_process_that_looks_compares_too(tmp_path: Path) -> None:
    checker = PictureChecker()
    mine, wrong = painted(tmp_path / "mine.png", "uint8"), painted(tmp_path / "wrong.png", "uint8", 0.5)
    garbage = tmp_path / "garbage.png"
    garbage.write_bytes(b"no picture")
    try:
        assert await checker.alike(mine, mine)
        assert not await checker.alike(mine, wrong)
        with pytest.raises(OutputTruncated):
            await checker.alike(garbage, mine)
    finally:
        await checker.aclose()
