"""POV-Ray's pictures as buckets, and back again."""

from pathlib import Path

import numpy as np
import OpenImageIO
import pytest

from mesh.render import pasting
from mesh.render.povray import developing
from mesh.render.povray.developing import Spoilt, _write_png

TOLD = "gAMA=0000b18f sRGB=00 sBIT=080808"
OUTPUT = {"format": "PNG", "width": 7, "height": 5, "color_mode": "RGB", "depth": 8}


def read(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    wanted = OpenImageIO.ImageSpec()
    wanted.attribute("oiio:UnassociatedAlpha", 1)
    opened = OpenImageIO.ImageInput.open(str(path), wanted)
    assert opened is not None
    return np.asarray(opened.read_image(0, 0, 0, opened.spec().nchannels, str(opened.spec().format)))


def exr(path: Path, values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", told: str = TOLD) -> str:
    height, width, channels = values.shape
    spec = OpenImageIO.ImageSpec(width, height, channels, "float")
    spec.attribute(developing._ATTRIBUTE, told)
    developing._write(str(path), spec, np.ascontiguousarray(values))
    return str(path)


@pytest.mark.parametrize(("depth", "most"), [(8, 255), (16, 65535)])
@pytest.mark.parametrize(("mode", "channels"), [("BW", 1), ("BWA", 2), ("RGB", 3), ("RGBA", 4)])
def test_every_value_comes_back(depth: int, most: int, mode: str, channels: int, tmp_path: Path) -> None:
    width = 256
    height = (most + 1) // width
    levels = np.arange(most + 1, dtype=np.float64).reshape(height, width)
    values = np.stack([np.roll(levels, channel, axis=1) for channel in range(channels)], axis=2)
    made, whole = tmp_path / "made.png", tmp_path / "whole.exr"
    _write_png(str(made), (values / most).astype(np.float32), depth, TOLD)
    assert (read(made) == values).all()
    developing.cut(str(made), str(whole), [0, 0, width, height], [width, height])
    again = tmp_path / "again.png"
    output = {"format": "PNG", "width": width, "height": height, "color_mode": mode, "depth": depth}
    developing.finish(str(whole), str(again), output)
    assert again.read_bytes() == made.read_bytes()


def test_a_part_is_cut_where_it_lies(tmp_path: Path) -> None:
    values = np.arange(7 * 5 * 3, dtype=np.float32).reshape(5, 7, 3)
    _write_png(str(tmp_path / "a.png"), values / np.float32(255), 8, "")
    developing.cut(str(tmp_path / "a.png"), str(tmp_path / "a.exr"), [2, 1, 6, 4], [7, 5])
    assert (read(tmp_path / "a.exr") * 255 == values[1:4, 2:6]).all()


@pytest.mark.parametrize("change", [{"width": 8}, {"height": 4}, {"color_mode": "RGBA"}, {"color_mode": "BW"}])
def test_what_was_pasted_must_be_what_the_recipe_promised(change: dict[str, object], tmp_path: Path) -> None:
    source = exr(tmp_path / "a.exr", np.zeros((5, 7, 3), np.float32))
    with pytest.raises(Spoilt):
        developing.finish(source, str(tmp_path / "a.png"), {**OUTPUT, **change})
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    "told", ["", "IDAT=00", "tEXt=41", "gAMA=zz", "gAMA=" + "00" * 99, "gAMA", "= = =", "sRGB=00 " * 50]
)
def test_what_a_header_says_is_taken_for_what_it_may_be_only(told: str, tmp_path: Path) -> None:
    values = np.linspace(-1, 2, 7 * 5 * 3, dtype=np.float32).reshape(5, 7, 3)
    values[0, 0, 0], values[0, 0, 1] = np.nan, np.inf
    developing.finish(exr(tmp_path / "a.exr", values, told), str(tmp_path / "a.png"), OUTPUT)
    assert read(tmp_path / "a.png").shape == (5, 7, 3)
    assert b"tEXt" not in (tmp_path / "a.png").read_bytes()


CHROMA = "".join(f"{each:08x}" for each in (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))


def chunks(path: Path) -> list[str]:
    """What a PNG says of itself before its pixels, as it is told in a header."""
    data, at, found = path.read_bytes(), 8, []
    while data[at + 4 : at + 8] != b"IDAT":
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode()
        found.append(f"{name}={data[at + 8 : at + 8 + length].hex()}")
        at += length + 12
    return found[1:]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (TOLD + " cHRM=" + CHROMA, [*TOLD.split(" "), "cHRM=" + CHROMA]),
        ("gAMA=7fffffff sRGB=03 sBIT=010508", ["gAMA=7fffffff", "sRGB=03", "sBIT=010508"]),
        ("gAMA=00", []),
        ("gAMA=00000000", []),
        ("gAMA=80000000", []),
        ("gAMA=0000b18f00", []),
        ("sRGB=04", []),
        ("sRGB=0000", []),
        ("sBIT=08", []),
        ("sBIT=08080808", []),
        ("sBIT=080800", []),
        ("sBIT=080809", []),
        ("cHRM=" + CHROMA[:-2], []),
        ("cHRM=" + CHROMA[:-8] + "80000000", []),
        ("sRGB=00 sRGB=01 sRGB=00 sRGB=00", ["sRGB=00"]),
        ("sRGB=09 sRGB=01", ["sRGB=01"]),
        ("IHDR=00 PLTE=000000 tRNS=0000", []),
        ("tEXt=" + b"Title\0A".hex(), []),
        ("oFFs=" + "00" * 9, ["oFFs=" + "00" * 9]),
        ("oFFs=" + "00" * 8 + "01", []),
    ],
)
def test_what_a_png_says_of_itself_is_what_a_png_may_say(told: str, kept: list[str], tmp_path: Path) -> None:
    developing.finish(exr(tmp_path / "a.exr", np.zeros((5, 7, 3), np.float32), told), str(tmp_path / "a.png"), OUTPUT)
    assert chunks(tmp_path / "a.png") == kept


@pytest.mark.parametrize(
    ("comment", "is_kept"),
    [("Render Date: 2026-11-30\nCompiler: g++\n", True), ("a" * 480, True), ("a" * 481, False), ("a\tb", False)],
)
def test_who_made_a_png_is_told_in_short_plain_text(comment: str, is_kept: bool, tmp_path: Path) -> None:
    made, source, again = (str(tmp_path / name) for name in ("a.png", "a.exr", "b.png"))
    said = [("Software", "POV-Ray 3.7"), ("Comment", comment)]
    _write_png(made, np.zeros((5, 7, 3), np.float32), 8, TOLD, said)
    developing.cut(made, source, [0, 0, 7, 5], [7, 5])
    developing.finish(source, again, OUTPUT)
    kept = [f"tEXt={f'{keyword}{chr(0)}{text}'.encode().hex()}" for keyword, text in said]
    assert chunks(Path(made)) == [*TOLD.split(" "), *kept]
    assert chunks(Path(again)) == [*TOLD.split(" "), *kept[: 1 + is_kept]]


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"no picture", b"\x76\x2f\x31\x01" + b"\0" * 99])
def test_what_is_no_picture_is_spoilt(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(Spoilt):
        developing.cut(str(tmp_path / "a"), str(tmp_path / "b.exr"), [0, 0, 1, 1], [1, 1])
    with pytest.raises(Spoilt):
        developing.finish(str(tmp_path / "a"), str(tmp_path / "b.png"), OUTPUT)


def test_a_picture_that_stops_before_its_end_is_spoilt(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((64, 64, 3), np.float32)
    _write_png(str(tmp_path / "a.png"), values, 16, "")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(Spoilt):
        developing.cut(str(tmp_path / "a.png"), str(tmp_path / "a.exr"), [0, 0, 64, 64], [64, 64])


def test_a_preview_shows_a_files_values_as_they_are(tmp_path: Path) -> None:
    values = np.arange(40 * 30 * 3, dtype=np.float32).reshape(30, 40, 3) % 256
    _write_png(str(tmp_path / "a.png"), values / np.float32(255), 8, "")
    developing.cut(str(tmp_path / "a.png"), str(tmp_path / "a.exr"), [0, 0, 40, 30], [40, 30])
    picture = pasting.Picture(40, 30, (0, 0, 40, 30))
    picture.paste(str(tmp_path / "a.exr"), (0, 0, 40, 30), (0, 0, 40, 30))
    picture.preview(str(tmp_path / "preview.png"))
    assert (read(tmp_path / "preview.png") == values).all()
    # What the header says of itself goes the whole way.
    picture.write(str(tmp_path / "passes.exr"))
    opened = OpenImageIO.ImageInput.open(str(tmp_path / "passes.exr"))
    assert opened is not None
    assert opened.spec().get_int_attribute("meshnodeEncoded") == 1
