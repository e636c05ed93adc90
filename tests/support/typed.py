"""Typing commands against a made-up desk: a home that says where the API is, and what a command printed."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.main import run
from tests.support.desk_server import TOKEN, DeskServer


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What came of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value that was printed."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def events(self) -> list[Any]:
        """The JSON values that were printed."""
        return [json.loads(line) for line in self.out.splitlines()]


class Keyboard(io.StringIO):
    """Standard input at which somebody types `text`; not a terminal, where it is piped in."""

    def __init__(self, text: str, *, terminal: bool = True) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        """Say whether somebody sits there."""
        return self._terminal


class Typist:
    """Somebody who types commands that mean one home."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str], server: DeskServer | None) -> None:
        self.home = home
        self._capsys = capsys
        if server is not None:
            home.chmod(0o700)
            place = home / "api.json"
            said = {"host": "127.0.0.1", "port": server.port, "token": TOKEN, "process": 1}
            place.write_text(json.dumps(said))
            place.chmod(0o600)

    def type(self, *words: str) -> Printed:
        """Run one command line in this process."""
        self._capsys.readouterr()
        code = run([words[0], "--home", str(self.home), *words[1:]])
        printed = self._capsys.readouterr()
        return Printed(code=code, out=printed.out, err=printed.err)
