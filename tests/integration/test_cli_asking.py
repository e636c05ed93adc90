"""What throws somebody out, or oneself: what is asked before, of whom, and what is refused without a question."""

import sys

import pytest

from mesh.cli.consent import NotConfirmed
from mesh.ports.desk import NotAllowed
from sim.desk import job_row
from tests.support.desk_server import DeskServer
from tests.support.typed import Keyboard, Typist


@pytest.mark.parametrize(
    "words",
    [
        ["--yes"],
        ["--role", ""],
        ["--role", " "],
        ["--role", "render,,submit"],
        ["--revoke", "e5e5e5", "--yes", "--role", "render"],
        ["--revoke", "e5e5e5", "--yes", "--uses", "10"],
        ["--revoke", "e5e5e5", "--yes", "--expires", "24h"],
    ],
)
def test_an_invite_is_made_or_taken_back_and_its_options_go_with_it(
    words: list[str], typist: Typist, server: DeskServer
) -> None:
    assert typist.type("invite", *words).code == 2
    assert server.desk.calls == []


def test_revoke_asks_before_it_does_anything(
    typist: Typist, server: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("", terminal=False))
    words = ("revoke", "studio", "--strike", "--spare", "bob")
    asked = {"peer": "studio", "strike": True, "spare": ["bob"], "spare_all": False, "dry_run": True}
    printed = typist.type(*words)
    assert printed.code == 2, "nobody can answer"
    assert "add --yes" in printed.err
    assert "thrown out for good" in printed.err
    assert "rendered again" in printed.err
    assert server.desk.calls == [("revoke", asked)]
    printed = typist.type(*words, "--yes")
    assert printed.code == 0
    assert printed.out.startswith("revoked studio (b2b2b2b2)")
    assert server.desk.calls[1:] == [("revoke", asked | {"dry_run": False})]


def test_an_invite_is_revoked_by_its_id(typist: Typist, server: DeskServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("", terminal=False))
    printed = typist.type("invite", "--revoke", "e5e5e5")
    assert printed.code == 2
    assert "thrown out with it: studio" in printed.err
    assert server.desk.calls == [("revoke_invite", "e5e5e5", True)]
    printed = typist.type("invite", "--revoke", "e5e5e5", "--yes")
    assert "and with it studio" in printed.out
    assert server.desk.calls[1:] == [("revoke_invite", "e5e5e5", False)]


@pytest.mark.parametrize("words", [("revoke", "studio"), ("invite", "--revoke", "e5e5e5")])
def test_what_the_peer_refuses_is_not_asked_about(
    words: tuple[str, ...], typist: Typist, server: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    refusal = NotAllowed("this peer was admitted without the role `admin`")
    server.desk.fails["revoke"] = server.desk.fails["revoke_invite"] = refusal
    printed = typist.type(*words)
    assert printed.code == NotAllowed.exit_code
    assert "[y/N]" not in printed.err


@pytest.mark.parametrize("words", [("leave",), ("revoke", "studio"), ("invite", "--revoke", "e5" * 32)])
def test_what_is_done_for_good_is_asked_before(
    words: tuple[str, ...], typist: Typist, server: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done() -> bool:
        return any(
            call == ("leave",) or (str(call[0]).startswith("revoke") and not _is_dry(call))
            for call in server.desk.calls
        )

    monkeypatch.setattr(sys, "stdin", Keyboard("n\nn\n"))
    printed = typist.type(*words)
    assert printed.code == NotConfirmed.exit_code
    assert "nothing was done" in printed.err
    assert typist.type(*words, "--json").json["error"] == "NotConfirmed"
    for stdin in (Keyboard("y\n", terminal=False), Keyboard("")):
        monkeypatch.setattr(sys, "stdin", stdin)
        refused = typist.type(*words, "--json")
        assert refused.code == 2
        assert "--yes" in refused.json["message"]
    assert not done()
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    assert typist.type(*words).code == 0
    assert done()


def _is_dry(call: tuple[object, ...]) -> bool:
    """Say whether a call only asked what would be done."""
    last = call[-1]
    return last["dry_run"] is True if isinstance(last, dict) else last is True


def test_a_job_says_where_frames_may_be_missing(typist: Typist, server: DeskServer) -> None:
    server.let(server.desk.add, job_row())
    assert "may not be shown" not in typist.type("show", "shot", "--frames").out.replace("\n", " ")
    server.desk.whole = False
    assert "may not be shown" in typist.type("show", "shot", "--frames").out.replace("\n", " ")
    assert typist.type("show", "shot", "--json").json["whole"] is False
