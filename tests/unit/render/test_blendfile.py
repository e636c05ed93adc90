"""Stored paths are found and changed in any layout; damaged files give NotABlend and nothing else."""

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mesh.render.blender import blendfile
from mesh.render.blender.header import NotABlend
from tests.support.blends import blend, lone

STORED = [
    ("Library", "lib", b"//../lib/props.blend"),
    ("Image", "wood", b"/home/a/wood.png"),
    ("VFont", "Bfont", b"<builtin>"),
]


def write(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "a.blend"
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize(("header", "large"), [(b"BLENDER-v402", False), (b"BLENDER17-01v0500", True)])
def test_paths_are_found(tmp_path: Path, wrap: "type[bytes]", header: bytes, large: bool) -> None:
    found = blendfile.scan(write(tmp_path, wrap(blend(STORED, header=header, large=large))))
    assert [(path.kind, path.user, path.stored) for path in found.paths] == [
        ("Library", "lib", "//../lib/props.blend"),
        ("Image", "wood", "/home/a/wood.png"),
    ]
    assert found.engines == {"Scene": "CYCLES"}


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, zstandard.compress])
def test_paths_are_changed_and_nothing_else(tmp_path: Path, wrap: "type[bytes]") -> None:
    path = write(tmp_path, wrap(blend(STORED)))
    library, image = blendfile.scan(path).paths
    blendfile.rewrite(path, {image.offset: (image.size, "//tex/wood.png"), library.offset: (library.size, "//b.blend")})
    wanted = blend([("Library", "lib", b"//b.blend"), ("Image", "wood", b"//tex/wood.png"), STORED[2]])
    assert Path(path).read_bytes() == wanted
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.blend"]


def test_a_path_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, blend(STORED))
    (library, _) = blendfile.scan(path).paths
    with pytest.raises(NotABlend, match="does not fit"):
        blendfile.rewrite(path, {library.offset: (library.size, "x" * 1024)})


def test_a_path_counts_whatever_its_length_and_every_one_of_a_row(tmp_path: Path) -> None:
    fields = [("char", "name[4]"), ("char", "filepath[12]")]
    body = b"L\0\0\0//a_L.png\0\0\0R\0\0\0/b_R.png\0\0\0\0"
    found = blendfile.scan(write(tmp_path, lone("ImageView", fields, body, size=16)))
    assert [(path.kind, path.stored, path.size) for path in found.paths] == [
        ("ImageView", "//a_L.png", 12),
        ("ImageView", "/b_R.png", 12),
    ]


@pytest.mark.parametrize(
    ("fields", "copies", "said"),
    [
        ([("short", "filepath[8]")], 1, "of another kind"),
        ([("char", "filepath[16]")], 2, "one struct twice"),
        ([("char", "filepath[17]")], 1, "contradicts itself"),
    ],
)
def test_a_path_that_blender_would_read_in_another_way_makes_the_file_unreadable(
    tmp_path: Path, fields: list[tuple[str, str]], copies: int, said: str
) -> None:
    path = write(tmp_path, lone("ImageView", fields, b"/secret.png".ljust(16, b"\0"), copies=copies))
    with pytest.raises(NotABlend, match=said):
        blendfile.scan(path)


@pytest.mark.parametrize(
    ("kind", "name", "body", "now"),
    [
        ("NodesModifierBake", "*directory", bytes(range(1, 9)), bytes(8)),
        ("NodesModifierData", "*simulation_bake_directory", bytes(range(1, 9)), bytes(8)),
        ("NodesModifierData", "*bake_directory", bytes(8), None),
        ("bNode", "idname[64]", b"GeometryNodeImportOBJ".ljust(64, b"\0"), b"MeshnodeNoSuchNode".ljust(64, b"\0")),
        ("bNode", "idname[64]", b"GeometryNodeMeshCube".ljust(64, b"\0"), None),
    ],
)
def test_what_reads_files_while_blender_loads_is_disarmed(
    tmp_path: Path, kind: str, name: str, body: bytes, now: bytes | None
) -> None:
    whole = lone(kind, [("char", name)], body * 2, size=len(body))
    path = write(tmp_path, whole)
    found = blendfile.scan(path)
    blendfile.rewrite(path, found.defused)
    assert Path(path).read_bytes() == (whole if now is None else whole.replace(body * 2, now * 2))
    assert bool(found.defused) is (now is not None)


@given(st.data())
def test_a_truncated_file_is_no_blend(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = blend(STORED)
    end = whole.index(b"DNA1")
    cut = data.draw(st.integers(min_value=0, max_value=end + 40))
    path = write(tmp_path_factory.mktemp("cut"), whole[:cut])
    with pytest.raises(NotABlend):
        blendfile.scan(path)


@given(st.data())
def test_damaged_bytes_give_a_value_or_not_a_blend(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(blend(STORED))
    for _ in range(data.draw(st.integers(min_value=1, max_value=8))):
        whole[data.draw(st.integers(min_value=0, max_value=len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = write(tmp_path_factory.mktemp("damaged"), bytes(whole))
    try:
        found = blendfile.scan(path)
    except NotABlend:
        return
    assert all(stored.size <= len(whole) for stored in found.paths)
