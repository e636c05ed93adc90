"""Headers of EXR files, read as data of strangers."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.render.blender import exrheader


def written(path: Path, compression: str = "zip", height: int = 70) -> Path:
    """Write what the assembly of buckets would."""
    spec = OpenImageIO.ImageSpec(5, height, 2, "float")
    spec.channelnames = ("A.Combined.R", "A.Depth.Z")
    spec.x, spec.y, spec.full_width, spec.full_height = 3, 2, 50, 90
    spec.attribute("compression", compression)
    spec.attribute("cycles.A.samples", "4")
    spec.attribute("a number", 7)
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(np.random.default_rng(1).random((height, 5, 2), np.float32))
    assert out.close()
    return path


@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"])
@pytest.mark.parametrize("height", [1, 32, 70])
def test_a_file_says_what_it_holds(compression: str, height: int, tmp_path: Path) -> None:
    header = exrheader.read(str(written(tmp_path / "a.exr", compression, height)))
    assert (header.width, header.height) == (5, height)
    assert header.channels == {"A.Combined.R", "A.Depth.Z"}
    assert dict(header.texts)["cycles.A.samples"] == "4"
    assert "a number" not in dict(header.texts)


def test_each_shorter_file_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "a.exr", height=1).read_bytes()
    cut = tmp_path / "cut.exr"
    for length in range(len(data)):
        cut.write_bytes(data[:length])
        with pytest.raises(exrheader.NotAnExr):
            exrheader.read(str(cut))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 1_500), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(place: int, value: int, tmp_path: Path) -> None:
    source = tmp_path / "a.exr"
    data = bytearray((source if source.exists() else written(source)).read_bytes())
    data[place % len(data)] = value
    changed = tmp_path / "b.exr"
    changed.write_bytes(data)
    with suppress(exrheader.NotAnExr):
        exrheader.read(str(changed))


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(b"a picture, or so it says")
    with pytest.raises(exrheader.NotAnExr, match="it is no EXR file"):
        exrheader.read(str(tmp_path / "a.exr"))
