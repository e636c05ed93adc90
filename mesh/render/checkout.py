"""Write a scene's tree to the disk, read-only, in a directory of its own, read its recipe, and take it away again.

Names come from other peers: they are data, and each is checked before it becomes a path. The tree is written beside
its place and renamed when it is whole, so a half-written one is never rendered from. Must not know whose bytes.
"""

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mesh.ports.renderer import RECIPE_NAME, CheckoutFile, OutputUnwritable, PathLeavesTree, SceneUnreadable
from mesh.wire.tree import name_problem

_READ_ONLY = 0o444
_PRIVATE = 0o700


def check_out(directory: Path, files: Iterable[CheckoutFile]) -> None:
    """Write files under a new directory. Raises PathLeavesTree, OutputUnwritable; then nothing of it is left."""
    partial = directory.with_name(f".{directory.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=_PRIVATE, parents=True)
        for file in files:
            _write(partial, file)
        discard(directory)
        partial.rename(directory)
    except OSError as error:
        text = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror)
        raise OutputUnwritable(f"the scene cannot be checked out to {directory}: {text}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def discard(directory: Path) -> None:
    """Remove a tree; does nothing when there is none."""
    shutil.rmtree(directory, ignore_errors=True)


def read_recipe(tree: Path, most_bytes: int) -> bytes:
    """Give the recipe of a tree, whatever it says. Raises SceneUnreadable where there is none, or a longer one."""
    try:
        with open(tree / RECIPE_NAME, "rb") as stream:
            data = stream.read(most_bytes + 1)
    except OSError as error:
        raise SceneUnreadable(f"the scene's recipe cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise SceneUnreadable("the scene's recipe is too long")
    return data


def _write(root: Path, file: CheckoutFile) -> None:
    if problem := name_problem(file.name):
        raise PathLeavesTree(f"the file name {file.name!a} {problem}")
    path = root.joinpath(*file.name.split("/"))
    path.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    written = 0
    # "x" refuses a name that is there already, whatever the file system takes for the same name.
    with open(path, "xb") as out:
        for block in file.blocks:
            written += out.write(block)
    if written != file.size:
        raise PathLeavesTree(f"the file {file.name!a} has {written} bytes instead of {file.size}")
    path.chmod(_READ_ONLY)
