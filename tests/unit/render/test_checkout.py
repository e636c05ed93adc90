"""A tree on the disk: read-only, whole or not there, and never outside its directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ports.renderer import RECIPE_NAME, CheckoutFile, OutputUnwritable, PathLeavesTree, SceneUnreadable
from mesh.render.checkout import check_out, discard, read_recipe


def file(name: str, data: bytes, size: int | None = None) -> CheckoutFile:
    return CheckoutFile(name=name, size=len(data) if size is None else size, blocks=[data[:3], data[3:]])


def test_files_lie_read_only_under_their_names(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    check_out(tree, [file("a/b.blend", b"scene bytes"), file("t.png", b"")])
    assert (tree / "a" / "b.blend").read_bytes() == b"scene bytes"
    assert (tree / "a" / "b.blend").stat().st_mode & 0o222 == 0
    assert tree.stat().st_mode & 0o077 == 0
    discard(tree)
    discard(tree)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "con", "a\\..\\x"])
def test_a_name_that_leaves_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathLeavesTree):
        check_out(tmp_path / "tree", [file("good", b"1"), file(name, b"2")])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathLeavesTree):
        check_out(tmp_path / "tree", [file("a", b"123", size=4)])
    assert list(tmp_path.iterdir()) == []


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputUnwritable):
        check_out(tmp_path / "tree", [file("a", b"1"), file("a", b"2")])


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Rotten(Exception):
        pass

    def blocks() -> Iterator[bytes]:
        yield b"1"
        raise Rotten

    with pytest.raises(Rotten):
        check_out(tmp_path / "tree", [CheckoutFile(name="a", size=9, blocks=blocks())])
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_is_read_as_far_as_it_may_be_long(tmp_path: Path) -> None:
    with pytest.raises(SceneUnreadable, match="cannot be read: No such file"):
        read_recipe(tmp_path, 3)
    check_out(tmp_path / "tree", [file(RECIPE_NAME, b"{ }")])
    assert read_recipe(tmp_path / "tree", 3) == b"{ }"
    with pytest.raises(SceneUnreadable, match="too long"):
        read_recipe(tmp_path / "tree", 2)
