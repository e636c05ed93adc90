"""The root of all errors that a person or a caller may meet, and their exit codes.

The docstring of a public error is what the user reads: it says what happened in general and what to do. The message of
an instance says which thing it happened to. An assertion is for our own bugs and is no part of this tree, except as
`BugError`, which carries the story to whoever must read it.
"""

from typing import ClassVar


class MeshError(Exception):
    """Something went wrong that the mesh has a name for."""

    exit_code: ClassVar[int] = 1

    @property
    def advice(self) -> str:
        """What the user should do, from the class's own docstring."""
        return " ".join((type(self).__doc__ or "").split())


class UsageError(MeshError):
    """The command line, a setting or an invite cannot be understood. Correct it and try again."""

    exit_code = 2


class NotRunningError(MeshError):
    """No peer is running for this home directory. Start one: `meshnode join`."""

    exit_code = 3


class WireError(MeshError):
    """Bytes from elsewhere are not what the protocol allows. They were ignored; nothing is to be done."""

    exit_code = 4


class NewerError(WireError):
    """Bytes from elsewhere say what only a newer version of the program knows. They were ignored: update this one."""


class UnknownKind(NewerError):
    """A message is of a kind that only a newer version may know. It was passed over; nothing is to be done."""


class BugError(MeshError):
    """The program broke one of its own rules and stopped itself. Please report the story that it printed."""

    exit_code = 70

    def __init__(self, story: str) -> None:
        super().__init__(story)
        self.story = story
