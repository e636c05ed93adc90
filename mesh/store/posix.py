"""Every call of the store that only POSIX has, and the one place where an `OSError` becomes an error with a name.

Files are written whole: a temporary name beside the place, fsync, rename, fsync of the directory; so that after a crash
at any instruction a file is the old one or the new one. The module must not know what is in the files.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mesh.ports.storage import DiskFull, HomeInUse, KeyExposed, KeyUnusable, StorageError

PRIVATE_FILE_MODE = 0o600
PRIVATE_DIR_MODE = 0o700
_OTHERS = 0o077
_DESCRIPTORS = Path("/proc/self/fd")

# EFBIG: a limit on file size (ulimit -f) is this user's share of the disk, as a quota is.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Say whether `error` means that there is no more room for this user."""
    return error.errno in _FULL


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into `DiskFull` or `StorageError` about `path`."""
    try:
        yield
    except OSError as error:
        kind = DiskFull if is_full(error) else StorageError
        raise kind(f"{path}: {error.strerror or error}") from error


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; a write that the system cuts short goes on."""
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left = left[written:]
        offset += written


def open_unnamed(folder: Path) -> int | None:
    """Open a new file in `folder` that has no name, so that nothing of it stays when this process dies.

    None where the system or the file system has no such files; `OSError` as when any file is made.
    """
    if not hasattr(os, "O_TMPFILE") or not _DESCRIPTORS.is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, PRIVATE_FILE_MODE)
    except OSError as error:
        # Kernels and file systems without them take the call for one that opens the folder itself.
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None
        raise


def path_of(descriptor: int) -> Path:
    """Return the path under which an open file without a name can be read, and linked."""
    return _DESCRIPTORS / str(descriptor)


def link(source: Path, target: Path) -> None:
    """Give a file another name, where there is no file of that name; `OSError`."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # An open file's path is a symbolic link, and Python follows one only where a directory's descriptor is given.
        os.link(source, target.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Return up to `size` bytes from `offset` on; fewer only at the end of the file."""
    parts = []
    while size and (part := os.pread(descriptor, size, offset)):
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sync_data(descriptor: int) -> None:
    """Return when the file's bytes, and its length, are on disk; its times may not be."""
    os.fdatasync(descriptor)


def sync_directory(path: Path) -> None:
    """Return when the names in the directory are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_durably(old: Path, new: Path) -> None:
    """Rename a file whose bytes are on disk, replacing `new`; return when the name is on disk too."""
    os.replace(old, new)
    sync_directory(new.parent)
    if old.parent != new.parent:
        sync_directory(old.parent)


NO_DIRECTORY = "it is no directory"


def nearest(path: Path) -> Path | None:
    """Return what is there of a path: itself, or the nearest one above it."""
    return next((each for each in (path, *path.parents) if each.exists()), None)


def make_private_directory(path: Path) -> None:
    """Make the directory, with its parents, for this user alone; leave one that is there as it is."""
    with named_errors(path):
        if not path.is_dir():
            if (here := nearest(path)) is not None and not here.is_dir():
                raise StorageError(f"{here}: {NO_DIRECTORY}")
            path.mkdir(mode=PRIVATE_DIR_MODE, parents=True, exist_ok=True)
            sync_directory(path.parent)


def write_private(path: Path, data: bytes) -> None:
    """Replace the file at once and durably by one that only this user can read."""
    temporary = path.with_name(f".{path.name}.new")
    with named_errors(path):
        with suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
        try:
            write_all(descriptor, data, 0)
            os.fsync(descriptor)
        except BaseException:
            temporary.unlink()
            raise
        finally:
            os.close(descriptor)
        rename_durably(temporary, path)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the file's bytes; raise `FileNotFoundError` as it is, and `StorageError` beyond `limit` bytes."""
    if not path.exists():
        raise FileNotFoundError(path)
    with named_errors(path), path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise StorageError(f"{path}: more than {limit} bytes")
    return data


def read_private(path: Path, limit: int) -> bytes:
    """Return a secret file's bytes; raise `KeyExposed` when others may read it, `KeyUnusable` when it is none.

    The mode is asked of the opened file, so that nobody can swap it in between. A link is not followed.
    """
    with named_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise KeyUnusable(f"{path}: there is no such file") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise KeyUnusable(f"{path}: a link; keys are files of their own") from None
            raise
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise KeyUnusable(f"{path}: not a regular file")
            if facts.st_mode & _OTHERS:
                raise KeyExposed(f"{path}: its mode is {stat.S_IMODE(facts.st_mode):04o}; type: chmod 600 '{path}'")
            if facts.st_uid not in (os.geteuid(), 0):
                raise KeyExposed(f"{path}: it belongs to user {facts.st_uid}; type: chown {os.geteuid()} '{path}'")
            data = read_at(descriptor, 0, limit + 1)
        finally:
            os.close(descriptor)
    if len(data) > limit:
        raise KeyUnusable(f"{path}: more than {limit} bytes")
    return data


def refuse_exposed_directory(path: Path) -> None:
    """Raise `KeyExposed` when others may look into the directory of secrets."""
    with named_errors(path):
        mode = path.stat().st_mode
    if mode & _OTHERS:
        raise KeyExposed(f"{path}: its mode is {stat.S_IMODE(mode):04o}; type: chmod 700 '{path}'")


def lock_alone(path: Path) -> int:
    """Take the lock file for this process and write its number into it; return the descriptor that holds the lock.

    The system lets go of the lock when the process ends, however it ends. Raises `HomeInUse`, naming the holder.
    """
    with named_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = read_at(descriptor, 0, 32).decode("ascii", "replace").strip() or "unknown"
                raise HomeInUse(f"{path.parent} is used by process {holder}") from None
            os.ftruncate(descriptor, 0)
            write_all(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def free_bytes(path: Path) -> int:
    """Return how many bytes this user may still write to the disk that holds `path`."""
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


def first_data(descriptor: int, offset: int) -> int | None:
    """Return where, at or after `offset`, a sparse file first has bytes of its own; nothing if it has none."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
