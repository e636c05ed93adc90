"""What a peer says at its start: that it is ready, or why it is no member any more, and what became of its invite."""

import json

import pytest
import trio

from mesh.cli.caller import Caller
from mesh.cli.commands.join import ready, say_ready
from mesh.ports.desk import StatusAnswer, ThrownOut
from sim.desk import FakeDesk

OUT = "this peer was revoked by ada: no member talks to it. It may come back by a new invite, under another --home."


def status(thrown_out: str = "") -> StatusAnswer:
    desk = FakeDesk()
    desk.thrown_out = thrown_out
    return trio.run(desk.status)


def test_a_member_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    say_ready(Caller(), ready(status()))
    printed = capsys.readouterr()
    assert printed.out.startswith("ready: desk (a1a1a1a1) in mesh films, 1 slot")
    assert printed.err == ""


def test_one_that_was_thrown_out_is_not_called_ready(capsys: pytest.CaptureFixture[str]) -> None:
    said = ready(status(OUT))
    assert said["thrown_out"] == OUT
    say_ready(Caller(), said)
    printed = capsys.readouterr()
    assert printed.out.startswith("shut out: desk (a1a1a1a1) in mesh films, renders nothing")
    assert "ready" not in printed.out


def test_an_invite_that_was_not_used_is_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    say_ready(Caller(), ready(status(), unused=True))
    assert "a member of this mesh already: the invite was not used" in capsys.readouterr().err
    program = Caller()
    program.as_json = True
    say_ready(program, ready(status(), unused=True))
    assert json.loads(capsys.readouterr().out)["invite_unused"] is True


def test_an_invite_does_not_bring_back_who_was_thrown_out() -> None:
    with pytest.raises(ThrownOut, match="not used: this peer was revoked by ada"):
        ready(status(OUT), unused=True)
