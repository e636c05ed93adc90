"""One error instead of a group of them, for a person to read.

Theory: whatever runs in nurseries fails in groups, most of them of one. Callers of the node, and people, want the one
that says most: a bug's story before anything else, then the first error that has a name.

Invariants: cancellation passes untouched; the whole group stays the cause.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from mesh.ground.errors import BugError, MeshError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise, in place of a group that the body raised, its most telling error."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise most_telling(group) from group


def most_telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error of `group` that a person should read; the group itself where it holds a cancellation."""
    leaves = list(_leaves(group))
    if any(isinstance(leaf, trio.Cancelled) for leaf in leaves):
        return group
    for kind in (BugError, MeshError, Exception):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
