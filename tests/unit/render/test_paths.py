"""Stored paths lead into the tree, or nowhere."""

from pathlib import Path

import pytest

from mesh.render.blender import blendfile, paths
from tests.support.blends import blend, lone


@pytest.mark.parametrize(
    ("stored", "resolved"),
    [
        ("//tex/a.png", "/p/shot/tex/a.png"),
        ("//../a.png", "/p/a.png"),
        ("//..\\tex\\a.png", "/p/tex/a.png"),
        ("/abs/a.png", "/abs/a.png"),
        ("a.png", "/p/shot/a.png"),
        ("C:\\tex\\a.png", "/tex/a.png"),
        ("//../../../../etc/passwd", "/etc/passwd"),
    ],
)
def test_resolve(stored: str, resolved: str) -> None:
    assert paths.resolve(stored, "/p/shot/s.blend") == resolved


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a//b", ".", "a\\b", "a\0"])
def test_a_name_that_is_not_plainly_inside_is_refused(name: str) -> None:
    with pytest.raises(paths.LeavesTree):
        paths.inside("/tree", name)


def tree_of(tmp_path: Path, main: list[tuple[str, str, bytes]], library: list[tuple[str, str, bytes]]) -> str:
    (tmp_path / "shot").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "shot" / "s.blend").write_bytes(blend(main))
    (tmp_path / "lib" / "l.blend").write_bytes(blend(library, header=b"BLENDER-v403"))
    return str(tmp_path)


def stored_in(tree: str, name: str) -> list[str]:
    return [each.stored for each in blendfile.scan(f"{tree}/{name}").paths]


def test_what_leads_to_its_place_is_left_alone(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, [("Library", "l", b"//../lib/l.blend"), ("Image", "i", b"//tex/i.png")], [])
    before = (tmp_path / "shot" / "s.blend").stat().st_ino
    settled = paths.settle(tree, "shot/s.blend", [("shot/s.blend", "//tex/i.png", "shot/tex/i.png")])
    assert (tmp_path / "shot" / "s.blend").stat().st_ino == before
    assert settled.outside == {}
    assert settled.version == (4, 3)
    assert settled.engines == {"Scene": "CYCLES"}


def test_mapped_paths_are_rewritten_in_nested_libraries_too(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, [("Library", "l", b"/prod/l.blend")], [("Image", "i", b"/prod/i.png")])
    links = [("shot/s.blend", "/prod/l.blend", "lib/l.blend"), ("lib/l.blend", "/prod/i.png", "tex/i.png")]
    paths.settle(tree, "shot/s.blend", links)
    assert stored_in(tree, "shot/s.blend") == ["//../lib/l.blend"]
    assert stored_in(tree, "lib/l.blend") == ["//../tex/i.png"]
    assert paths.settle(tree, "shot/s.blend", links).outside == {}


@pytest.mark.parametrize("stored", [b"/etc/passwd", b"//../../../secret.png", b"secret.png/../../../x"])
def test_an_unmapped_path_that_leaves_is_cut_off(tmp_path: Path, stored: bytes) -> None:
    tree = tree_of(tmp_path, [("Image", "i", stored)], [])
    settled = paths.settle(tree, "shot/s.blend", [])
    assert list(settled.outside.values()) == [stored.decode()]
    (now,) = stored_in(tree, "shot/s.blend")
    assert paths.resolve(now, f"{tree}/shot/s.blend").startswith(f"{tree}/{paths.OUTSIDE}/")


@pytest.mark.parametrize("kind", ["ImageView", "CacheFileLayer"])
def test_a_path_that_nobody_sees_after_loading_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    tree = tree_of(tmp_path, [], [])
    view = lone(kind, [("char", "filepath[64]")], b"/prod/a_L.png".ljust(64, b"\0"))
    (tmp_path / "shot" / "s.blend").write_bytes(view)
    with pytest.raises(paths.LeavesTree, match=r"s\.blend reads /prod/a_L\.png"):
        paths.settle(tree, "shot/s.blend", [])
    paths.settle(tree, "shot/s.blend", [("shot/s.blend", "/prod/a_L.png", "shot/a_L.png")])
    assert stored_in(tree, "shot/s.blend") == ["//a_L.png"]


def test_what_reads_files_while_blender_loads_is_disarmed_in_the_tree(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, [], [])
    (tmp_path / "shot" / "s.blend").write_bytes(lone("NodesModifierBake", [("char", "*directory")], bytes([7] * 8)))
    paths.settle(tree, "shot/s.blend", [])
    assert blendfile.scan(f"{tree}/shot/s.blend").defused == {}


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, [("Image", "i", b"/a.png")], [])
    with pytest.raises(paths.LeavesTree):
        paths.settle(tree, "shot/s.blend", [("shot/s.blend", "/a.png", "../../a.png")])


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, [], [])
    (tmp_path / "shot" / "t.blend").symlink_to(tmp_path / "lib" / "l.blend")
    with pytest.raises(paths.LeavesTree):
        paths.settle(tree, "shot/t.blend", [])


def test_libraries_that_link_each_other_end(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        [("Library", "l", b"//../lib/l.blend")],
        [("Library", "s", b"//../shot/s.blend"), ("Library", "x", b"//x.blend")],
    )
    found = {Path(path).name: scan is not None for path, scan in paths.closure(f"{tree}/shot/s.blend")}
    assert found == {"s.blend": True, "l.blend": True, "x.blend": False}
