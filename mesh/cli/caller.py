"""Who typed the command: which peer's directory is meant, whether answers are for a program, how to reach the peer.

Every command shares the options defined here, and gets its `Caller` from the context that `main` made.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from mesh.cli import compose, printable
from mesh.cli.client import Client, PeerEnded
from mesh.ground.errors import NotRunningError
from mesh.ports.desk import Progress

_F = TypeVar("_F", bound=Callable[..., Any])

POLL_S = 0.05


class Caller:
    """The person, or script, behind one command."""

    def __init__(self) -> None:
        self.home_option: str | None = None
        self.as_json = False

    @property
    def home(self) -> Path:
        """The peer's directory: `--home`, else `MESHNODE_HOME`, else the platform's place."""
        return compose.home_directory(self.home_option)

    def client(self, plain: Callable[[str], str] | None = printable.line) -> Client:
        """Return the way to the running peer, whose texts come `plain` unless the answer is for a program.

        Raises `NotRunningError`, saying what to type, where there is none.
        """
        try:
            return Client(compose.endpoint(self.home), None if self.as_json else plain)
        except NotRunningError as error:
            raise NotRunningError(f"no peer is running in {self.home}") from error

    def wait_for_end(self) -> None:
        """Wait until the peer has ended and let go of its directory."""
        while compose.in_use(self.home):
            time.sleep(POLL_S)


class Work:
    """Something that takes time at the peer: iterate for its progress, then read `answer`."""

    def __init__(self, events: Iterator[tuple[str, Any]]) -> None:
        self._events = events
        self._answers: list[Any] = []

    def __iter__(self) -> Iterator[Progress]:
        """Yield progress until the answer is here."""
        for name, value in self._events:
            if name == "progress":
                yield value
            elif name == "answer":
                self._answers.append(value)
        if not self._answers:
            raise PeerEnded("the peer ended before it had answered")

    @property
    def answer(self) -> Any:
        """What came of it."""
        return self._answers[0]


def job_path(job: str, below: str = "") -> str:
    """Return the API's path of a job, whatever a person typed for it."""
    return f"/jobs/{in_path(job)}{below}"


def in_path(name: str) -> str:
    """Return a name as it stands in a path of the API; a letter that no encoding has names nothing."""
    return quote(name, safe="", errors="replace")


def is_terminal() -> bool:
    """Say whether notices go to a person's eyes, where a line may be drawn anew."""
    return sys.stderr.isatty()


pass_caller = click.make_pass_decorator(Caller)


def _set_home(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Caller).home_option = value


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Caller).as_json = True


def home_option(command: _F) -> _F:
    """Let a command take `--home`."""
    text = "The peer's directory. [env: MESHNODE_HOME]"
    return click.option("--home", metavar="DIR", expose_value=False, callback=_set_home, help=text)(command)


def json_option(command: _F) -> _F:
    """Let a command take `--json`."""
    text = "Print JSON, one value on a line."
    return click.option("--json", is_flag=True, expose_value=False, callback=_set_json, help=text)(command)
