"""A peer that lets its secret slip."""

import dataclasses

from mesh.core.effects import Effect, Send
from mesh.core.events import Event
from mesh.ground.instants import Now
from mesh.wire.messages import Hello
from sim.cheats import Cheat


class TellsItsKey(Cheat):
    """S13: calls itself what it signs with."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Put the key where the name belongs."""
        effects = self.inner.handle(now, event)
        return [self._told(effect) for effect in effects]

    def _told(self, effect: Effect) -> Effect:
        if not isinstance(effect, Send) or not isinstance(effect.message, Hello):
            return effect
        secret: bytes = self.host.signer._secret  # type: ignore[attr-defined]  # noqa: SLF001 (that is what it does wrong)
        return dataclasses.replace(effect, message=dataclasses.replace(effect.message, name=secret.hex()))
