"""A person's directories: whole files, nothing of theirs overwritten unasked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ports.folders import FileInTheWay, FolderError, NameLeavesFolder
from mesh.store import posix
from mesh.store.folders import DiskFolders


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the file system has files without a name; those of macOS, and older ones over a network, have none."""
    if request.param == "named":
        monkeypatch.setattr(posix, "open_unnamed", lambda _folder: None)


def written(directory: Path, name: str, data: bytes, *, overwrite: bool = False) -> bool:
    return DiskFolders().write(str(directory), name, [data[:3], data[3:]], overwrite=overwrite)


@pytest.mark.usefixtures("kind")
def test_a_file_appears_whole_in_a_directory_that_is_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    assert written(target, "x.png", b"picture")
    assert (target / "x.png").read_bytes() == b"picture"
    assert [path.name for path in target.iterdir()] == ["x.png"]
    mask = os.umask(0)
    os.umask(mask)
    assert (target / "x.png").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.usefixtures("kind")
def test_an_equal_file_is_as_good_as_written_and_another_is_left_alone(tmp_path: Path) -> None:
    assert written(tmp_path, "x.png", b"picture")
    assert not written(tmp_path, "x.png", b"picture")
    assert not written(tmp_path, "x.png", b"picture", overwrite=True)
    for other in (b"pictura", b"picture and more", b""):
        with pytest.raises(FileInTheWay):
            written(tmp_path, "x.png", other)
    assert (tmp_path / "x.png").read_bytes() == b"picture"
    assert written(tmp_path, "x.png", b"pictura", overwrite=True)
    assert (tmp_path / "x.png").read_bytes() == b"pictura"
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("name", ["../x.png", "/etc/x", "a/b.png", "..", "", "nul.png", "a\0b"])
def test_a_name_is_data_and_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(NameLeavesFolder):
        written(tmp_path, name, b"picture")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("kind")
def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise FolderError("the source")

    with pytest.raises(FolderError, match="the source"):
        DiskFolders().write(str(tmp_path), "x.png", broken(), overwrite=False)
    assert list(tmp_path.iterdir()) == []


_HALF = """
import sys
from mesh.store.folders import DiskFolders

def half():
    yield b"half of a picture"
    print("half", flush=True)
    sys.stdin.read()

DiskFolders().write(sys.argv[1], "x.png", half(), overwrite=False)
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="only Linux has files without a name")
def test_a_process_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HALF, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.kill()
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_named_in_the_order_asked(tmp_path: Path) -> None:
    for name in ("3", "1"):
        (tmp_path / name).touch()
    assert DiskFolders().existing(str(tmp_path), ["1", "2", "3"]) == ("1", "3")
    assert DiskFolders().existing(str(tmp_path / "none"), ["1"]) == ()


def test_a_directory_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    folders = DiskFolders()
    (tmp_path / "file").touch()
    assert folders.usable(str(tmp_path)) == ""
    assert folders.usable(str(tmp_path / "new" / "newer")) == ""
    assert folders.usable("here") == "is not absolute"
    assert folders.usable(str(tmp_path / "file")) == "is a file"
    assert "is a file" in folders.usable(str(tmp_path / "file" / "below"))
    if Path("/proc/self").exists():
        assert "takes no files" in folders.usable("/proc/frames") or "not writable" in folders.usable("/proc/frames")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"], "looking leaves nothing behind"
    with pytest.raises(FolderError):
        written(tmp_path / "file", "x.png", b"picture")
