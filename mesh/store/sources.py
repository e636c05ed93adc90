"""Reading a person's own files on their way into the store: regular files only, and errors that name them.

The module must not write anything, nor follow what is in the files.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.ports.storage import SourceUnreadable
from mesh.store import posix


def size_of(path: Path) -> int:
    """Return the file's size in bytes as it is now; raise `SourceUnreadable`."""
    with opened(path) as (_, facts):
        return facts.st_size


def read_whole(path: Path, limit: int) -> bytes:
    """Return the file's bytes, at most `limit + 1` of them; raise `SourceUnreadable`."""
    with opened(path) as (descriptor, _), _named_errors(path):
        return posix.read_at(descriptor, 0, limit + 1)


def read_part(path: Path, descriptor: int, offset: int, size: int) -> bytes:
    """Return exactly `size` bytes from `offset` on; raise `SourceUnreadable` when the file has become shorter."""
    with _named_errors(path):
        part = posix.read_at(descriptor, offset, size)
    if len(part) != size:
        raise SourceUnreadable(f"{path}: it became shorter while it was read")
    return part


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Yield the descriptor and facts of a regular file; a pipe or device is refused and not waited for."""
    with _named_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise SourceUnreadable(f"{path}: not a regular file")
        yield descriptor, facts
    finally:
        os.close(descriptor)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnreadable(f"{path}: {error.strerror or error}") from error
