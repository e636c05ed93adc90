"""What the tests of commands share: a made-up desk behind the real API, and somebody who types at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk_server import DeskServer, running_desk
from tests.support.typed import Typist


@pytest.fixture
def server() -> Iterator[DeskServer]:
    """A running desk."""
    with running_desk() as running:
        yield running


@pytest.fixture
def typist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> Typist:
    """Somebody at a terminal of eighty columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return Typist(tmp_path, capsys, server)
