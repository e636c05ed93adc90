"""Asking before something is done for good: yes alone goes on, and nobody is asked where nobody can answer."""

import sys

import pytest

from mesh.cli.consent import NotConfirmed, confirm
from mesh.ground.errors import UsageError
from tests.support.typed import Keyboard


@pytest.mark.parametrize("typed", ["y\n", "yes\n", " Y \n", "what?\ny\n"])
def test_yes_goes_on(typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    confirm("Leave?")
    printed = capsys.readouterr()
    assert printed.out == "", "answers alone go there"
    assert printed.err == "Leave? [y/N]: " * typed.count("\n")


@pytest.mark.parametrize("typed", ["n\n", "\n", "NO\n", "what?\nn\n"])
def test_no_is_an_error_of_its_own(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    with pytest.raises(NotConfirmed, match="nothing was done"):
        confirm("Leave?")


@pytest.mark.parametrize("stdin", [Keyboard(""), Keyboard("y\n", terminal=False)])
def test_where_nobody_can_answer_it_names_the_option(stdin: Keyboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(UsageError, match="add --yes"):
        confirm("Leave?")
