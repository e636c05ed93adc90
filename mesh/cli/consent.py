"""Asking before something is done that cannot be undone.

Theory: only a person at a terminal can be asked. Where there is none, a script would hang or be answered by whatever it
happens to be fed; so it is told to say `--yes` itself, and nothing is done.

The module must not know what is asked.
"""

import sys
from typing import Final

from mesh.cli import output
from mesh.ground.errors import MeshError, UsageError

_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"", "n", "no"})


class NotConfirmed(MeshError):
    """Nothing was done: the question was not answered with yes. Type the command again, or add `--yes` to it."""

    exit_code = 48


def confirm(question: str) -> None:
    """Ask, and return when the answer is yes; raise `NotConfirmed` for no, `UsageError` where nobody can be asked."""
    if sys.stdin is None or not sys.stdin.isatty():  # None: it was closed
        raise UsageError("nothing was done: it must be confirmed, and no terminal is here to ask at; add --yes")
    while True:
        output.ask(f"{question} [y/N]: ")
        line = sys.stdin.readline()
        if not line:
            output.notice("")
            raise UsageError("nothing was done: it must be confirmed, and the input ended without an answer; add --yes")
        answer = line.strip().lower()
        if answer in _YES:
            return
        if answer in _NO:
            raise NotConfirmed("nothing was done")
