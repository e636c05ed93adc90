"""The installed program and its includes are told from any later ones."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.ports.renderer import EngineBroken
from mesh.render.povray import program

LONG_AGO_NS = 1_600_000_000 * 10**9


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A program with includes, all of them old."""
    includes = tmp_path / "share" / "povray-3.7" / "include"
    for path in (tmp_path / "bin" / "povray", includes / "colors.inc", includes / "sub" / "woods.inc"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
    (includes / "lost.ttf").symlink_to("/nowhere")
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS), follow_symlinks=False)
    return tmp_path / "bin" / "povray"


def older(path: Path) -> None:
    """Set a directory's time back, as what packs and unpacks does."""
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def edit(includes: Path) -> None:
    (includes / "colors.inc").write_bytes(b"new")


def edit_below(includes: Path) -> None:
    (includes / "sub" / "woods.inc").write_bytes(b"new")


def add(includes: Path) -> None:
    (includes / "sub" / "more.inc").write_bytes(b"")
    older(includes / "sub" / "more.inc")
    older(includes / "sub")


def remove(includes: Path) -> None:
    (includes / "sub" / "woods.inc").unlink()
    older(includes / "sub")


@pytest.mark.parametrize("change", [edit, edit_below, add, remove])
def test_includes_that_change_make_another_identity(change: Callable[[Path], None], installed: Path) -> None:
    before, build = program.identity(installed), program.build(installed)
    assert program.identity(installed) == before
    includes = program.includes(installed)
    assert includes is not None
    change(includes)
    assert program.identity(installed) != before
    assert program.build(installed) != build


def test_a_program_without_includes_has_an_identity_too(installed: Path) -> None:
    (installed.parent.parent / "share").rename(installed.parent.parent / "elsewhere")
    before = program.identity(installed)
    installed.write_bytes(b"new")
    assert program.identity(installed) != before
    installed.unlink()
    with pytest.raises(EngineBroken):
        program.identity(installed)
