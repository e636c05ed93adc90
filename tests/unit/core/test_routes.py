"""Whatever can reach the core, or one machine another, has somebody who takes it."""

from typing import Any, get_args

import pytest

from mesh.core.effects import Effect
from mesh.core.events import Event, StopAsked, TimerFired
from mesh.core.me import Me
from mesh.core.notes import Note
from mesh.core.peer import Peer
from mesh.core.timers import Tick, Timer
from mesh.wire.messages import MESSAGES
from tests.support.cast import Cast, boot
from tests.support.small_mesh import SmallMesh


def lone_peer() -> Peer:
    cast = Cast()
    ann = cast.actor("ann")
    return Peer(Me(signer=ann.signer, chain=ann.chain, mesh=cast.mesh, boot=boot("ann"), name="ann"), b"seed")


def routed(routes: str) -> set[type]:
    return set(getattr(lone_peer(), routes))


@pytest.mark.parametrize(
    ("routes", "kinds"),
    [
        ("event_routes", get_args(Event)),
        ("message_routes", MESSAGES),
        ("note_routes", get_args(Note)),
        ("timer_routes", get_args(Timer)),
    ],
)
def test_every_type_has_a_route_and_no_route_lacks_its_type(routes: str, kinds: tuple[type, ...]) -> None:
    assert routed(routes) == set(kinds)


def test_no_note_is_told_to_nobody() -> None:
    assert all(takers for takers in lone_peer().note_routes.values())


@pytest.mark.parametrize("union", [Event, Effect, Note, Timer])
def test_what_passes_between_floors_is_frozen_and_slotted(union: Any) -> None:
    for kind in get_args(union):
        assert kind.__dataclass_params__.frozen, kind
        assert "__slots__" in vars(kind), kind
        assert kind.__doc__, kind


def test_a_peer_that_was_asked_to_stop_at_once_ends_and_asks_for_nothing_more(mesh: SmallMesh) -> None:
    ann = mesh.add("ann")
    core = ann.core
    mesh.stop("ann", now=True)
    assert not ann.running
    for event in (TimerFired(timer=Tick()), StopAsked(now=False)):
        assert core.handle(mesh.now, event) == []
