"""What the node asks of a person's own directories: what is in them, and one more file, whole or not at all.

Theory: these are no store. Files here belong to a person, so that nothing is overwritten that nobody said may be, and a
name of a file is data from elsewhere, never a path. All calls are synchronous; the node makes them in threads.

Invariants: a file appears under its name only with all its bytes on disk; a crash leaves a temporary file at most.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from mesh.ground.errors import MeshError


class FolderError(MeshError):
    """A directory of yours cannot be used as asked. The message names it: check that it exists and is writable."""

    exit_code = 60


class FileInTheWay(FolderError):
    """Another file has that name, and nothing of yours is overwritten unasked. Move it, or say `--overwrite`."""

    exit_code = 61


class FolderFull(FolderError):
    """The disk of that directory is full. Free some space; the files that are missing are written again."""

    exit_code = 62


class NameLeavesFolder(FolderError):
    """A file's name would lead out of its directory, so it was not written. The job's submitter has to rename it."""

    exit_code = 63


class Folders(Protocol):
    """A person's directories on this host."""

    def existing(self, directory: str, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of `names` exist in `directory`, in their order; none where there is no such directory."""
        ...

    def usable(self, directory: str) -> str:
        """Return why no file can be written into `directory`, as the end of a sentence; empty where it can.

        A directory that does not exist is usable if it can be made.
        """
        ...

    def write(self, directory: str, name: str, blocks: Iterable[bytes], *, overwrite: bool) -> bool:
        """Write a file: temporary name, fsync, rename; make the directory where there is none.

        An equal file that is there already is as good as written: then return False. Raises `FileInTheWay`,
        `FolderFull`, `NameLeavesFolder`, `FolderError`, and what `blocks` raises.
        """
        ...
