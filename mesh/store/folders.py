"""A person's directories: rendered files are written into them whole, and nothing else is touched.

The module must not know jobs or blobs: bytes come as blocks, names as data.
"""

import errno
import itertools
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mesh.ports.folders import FileInTheWay, FolderError, FolderFull, NameLeavesFolder
from mesh.store import posix
from mesh.wire.tree import name_problem

_TEMPORARY: Final = ".meshnode-"
_FILE_MODE: Final = 0o666
"""Before the person's own mask: a rendered file is theirs to share."""


class DiskFolders:
    """The `Folders` of its port, on this host's file systems; to be made before other threads run."""

    def __init__(self) -> None:
        # There is no way to read the person's mask but to set it and set it back.
        self._mode = _FILE_MODE & ~os.umask(0o022)
        os.umask(_FILE_MODE & ~self._mode)

    def existing(self, directory: str, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of `names` exist in `directory`."""
        try:
            present = {entry.name for entry in os.scandir(directory)}
        except OSError:
            return ()
        return tuple(name for name in names if name in present)

    def usable(self, directory: str) -> str:
        """Return why no file can be written into `directory`, or nothing."""
        path = Path(directory)
        if not path.is_absolute():
            return "is not absolute"
        nearest = next(parent for parent in (path, *path.parents) if parent.exists())
        if not nearest.is_dir():
            return "is a file" if nearest == path else f"lies in {nearest}, which is a file"
        if not os.access(nearest, os.W_OK | os.X_OK):
            return "is not writable" if nearest == path else f"cannot be made: {nearest} is not writable"
        try:
            # Rights are not all: some file systems take no files, whoever asks. This one never has a name.
            tempfile.TemporaryFile(dir=nearest).close()
        except OSError as error:
            return f"takes no files: {nearest}: {error.strerror}"
        return ""

    def write(self, directory: str, name: str, blocks: Iterable[bytes], *, overwrite: bool) -> bool:
        """Write a file whole, or find an equal one; see the port for the errors."""
        if problem := name_problem(name):
            raise NameLeavesFolder(f"{name!a} {problem}")
        if "/" in name:
            raise NameLeavesFolder(f"{name!a} is a path")
        folder = Path(directory)
        target = folder / name
        with _named_errors(target):
            folder.mkdir(parents=True, exist_ok=True)
            with _written(folder, blocks) as temporary:
                temporary.chmod(self._mode)
                if target.exists() and _equal(temporary, target):
                    return False
                if overwrite:
                    _replace(temporary, target)
                else:
                    # Unlike a rename, a link never takes the place of a file that somebody made meanwhile.
                    _link(temporary, target)
            posix.sync_directory(folder)
            return True


@contextmanager
def _written(folder: Path, blocks: Iterable[bytes]) -> Iterator[Path]:
    """Write a file for the time of the body; without a name where that can be, so that a kill leaves nothing."""
    descriptor, named = posix.open_unnamed(folder), None
    if descriptor is None:
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        named = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            yield named or posix.path_of(descriptor)
    finally:
        if named is not None:
            named.unlink(missing_ok=True)


def _replace(temporary: Path, target: Path) -> None:
    if temporary.parent == target.parent:
        temporary.replace(target)
        return
    # What has no name cannot be renamed: it gets one for a moment.
    step = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    posix.link(temporary, step)
    try:
        step.replace(target)
    finally:
        step.unlink(missing_ok=True)


def _link(temporary: Path, target: Path) -> None:
    try:
        posix.link(temporary, target)
    except FileExistsError as error:
        raise FileInTheWay(str(target)) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # A file system without links (exFAT, some network shares): the moment between look and rename stays.
        if target.exists():
            raise FileInTheWay(str(target)) from error
        _replace(temporary, target)


def _equal(one: Path, other: Path) -> bool:
    if not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        return all(a == b for a, b in itertools.zip_longest(_blocks(left.fileno()), _blocks(right.fileno())))


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, 1 << 20):
        yield block


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = FolderFull if posix.is_full(error) else FolderError
        raise kind(f"{path}: {error.strerror or error}") from error
