"""The checkers of who returns, and of who is there twice: neither begins anything before it knows better.

A host that was frozen or asleep for longer than the core calls a gap hears the news first: for a moment it claims
nothing and publishes no result. A host that met a process under its own identity begins no frame any more in this life.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.core.effects import Append, Effect, Send, StartAssembly, StartRender
from mesh.core.events import Event, TwinMet
from mesh.ground.limits import GAP_MS, HEARTBEAT_MS, NEWS_AFTER_GAP_MS
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import ClaimSent
from mesh.wire.records import Failed, Result
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


class Returns:
    """Who must hear the news, until when, and who has met its twin."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._hears_until_ms: dict[tuple[int, int], int] = {}
        """By host and life."""
        self._twinned: dict[int, int] = {}
        """In which life a host has met its twin."""

    def thawed(self, host: "Host", away_ms: int) -> None:
        """Note that a host goes on; of a shorter absence than this its core cannot know, which ticks each second."""
        if away_ms > HEARTBEAT_MS + GAP_MS:
            self._hears_until_ms[host.index, host.life] = self._world.now_ms + NEWS_AFTER_GAP_MS

    def turned(self, host: "Host", event: Event, effects: Sequence[Effect]) -> None:
        """Look at what a turn asked for. Raises Violation."""
        if type(event) is TwinMet:
            self._twinned[host.index] = host.life
        if self._twinned and self._twinned.get(host.index) == host.life:
            self._begins_nothing(host, effects)
        if not self._hears_until_ms:
            return
        # Its clock may run slower than the world's by some millionths: a millisecond is more than that makes here.
        if self._world.now_ms < self._hears_until_ms.get((host.index, host.life), 0) - 1:
            self._only_hears(host, effects)

    def _begins_nothing(self, host: "Host", effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StartRender | StartAssembly) or _claims(effect):
                raise Violation("twin", f"{host.name} claims or begins although a copy of it runs", host.peer_id)

    def _only_hears(self, host: "Host", effects: Sequence[Effect]) -> None:
        if host.index in self._world.scenario.hoarders:
            return  # it claims what it likes, and is no peer that heeds rules
        for effect in effects:
            if _claims(effect) or _publishes(host, effect):
                raise Violation("news", f"{host.name} claims or publishes before it heard the news", host.peer_id)


def _claims(effect: Effect) -> bool:
    return isinstance(effect, Send) and isinstance(effect.message, ClaimSent)


def _publishes(host: "Host", effect: Effect) -> bool:
    if not isinstance(effect, Append):
        return False
    kept = [entry for each in effect.entries if isinstance(each, KeptEntries) for entry in each.entries]
    own = [entry.body for entry in kept if entry.author == host.peer_id and entry.body.boot == host.boot]
    return any(isinstance(body.what, Result | Failed) for body in own)
