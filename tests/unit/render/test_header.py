"""A .blend file's first bytes: every wrapping and version, and nothing but a value or NotABlend for other bytes."""

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mesh.render.blender.header import NotABlend, parse, read


@pytest.mark.parametrize(
    ("first", "version", "pointer_size", "big_endian", "large"),
    [
        (b"BLENDER-v402RENDH\0\0\0", "4.2", 8, False, False),
        (b"BLENDER_v249REND", "2.49", 4, False, False),
        (b"BLENDER-V280REND", "2.80", 8, True, False),
        (b"BLENDER17-01v0501REND", "5.1", 8, False, True),
    ],
)
def test_versions(first: bytes, version: str, pointer_size: int, big_endian: bool, large: bool) -> None:
    found = parse(first)
    assert (found.version, found.pointer_size, found.big_endian, found.large_blocks) == (
        version,
        pointer_size,
        big_endian,
        large,
    )


def test_an_unknown_block_format_is_refused() -> None:
    with pytest.raises(NotABlend, match="format 2"):
        parse(b"BLENDER17-02v0501REND")


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, zstandard.compress])
def test_wrappings(tmp_path: Path, wrap: "type[bytes]") -> None:
    path = tmp_path / "a.blend"
    path.write_bytes(wrap(b"BLENDER-v403" + bytes(5000)))
    assert read(str(path)).version == "4.3"


@pytest.mark.parametrize("wrap", [gzip.compress, zstandard.compress])
def test_a_damaged_wrapping_is_no_blend(tmp_path: Path, wrap: "type[bytes]") -> None:
    path = tmp_path / "a.blend"
    path.write_bytes(wrap(b"BLENDER-v403" + bytes(5000))[:14])
    with pytest.raises(NotABlend):
        read(str(path))


@given(st.binary(max_size=40))
def test_any_bytes_give_a_value_or_not_a_blend(data: bytes) -> None:
    try:
        parse(data)
    except NotABlend:
        assert not data.startswith(b"BLENDER-v402")
