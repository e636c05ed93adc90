"""Whether a host renders again after its pause, or what else keeps it from that."""

from typing import Any

import pytest
import trio

from mesh.cli.commands.resume import why_idle
from mesh.ports.desk import StatusAnswer
from sim.desk import FakeDesk


def status(me: dict[str, Any], changed: dict[str, Any]) -> StatusAnswer:
    desk = FakeDesk()
    desk.peers[0].update(me)  # type: ignore[typeddict-item]
    return StatusAnswer(**{**trio.run(desk.status), **changed})  # type: ignore[typeddict-item]


def test_a_host_that_may_render_does() -> None:
    assert why_idle(status({}, {})) == ""


@pytest.mark.parametrize(
    ("me", "changed", "why"),
    [
        ({}, {"thrown_out": "this peer was revoked by ada"}, "revoked by ada"),
        ({}, {"cloned": "a copy of its disk runs"}, "copy of its disk"),
        ({}, {"draining": True}, "about to stop"),
        ({}, {"roles": ["submit"]}, "role `render`"),
        ({"slots": 0}, {}, "--no-render"),
        ({"engines": [], "slots": 0}, {}, "engine install"),
    ],
)
def test_what_else_keeps_it_from_rendering_is_said(me: dict[str, Any], changed: dict[str, Any], why: str) -> None:
    assert why in why_idle(status(me, changed))
