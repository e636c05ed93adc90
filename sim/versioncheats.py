"""Peers that cheat where two versions of the wire meet: they take all for the newest, or bear nothing newer."""

import dataclasses

from mesh.core.effects import CloseChannel, Effect
from mesh.core.events import ChannelOpened, Event, UnknownHeard
from mesh.ground.instants import Now
from mesh.wire.versions import VERSION_HIGHEST
from sim.cheats import Cheat


class SpeaksTheNewest(Cheat):
    """Wire: says to everybody what only the present version reads."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Take each channel for one of the present version."""
        if isinstance(event, ChannelOpened):
            event = dataclasses.replace(event, version=VERSION_HIGHEST)
        return self.inner.handle(now, event)


class HangsUp(Cheat):
    """Wire: ends the channel on which it hears a kind of message that it does not know."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """End it, and say nothing more of it."""
        effects = self.inner.handle(now, event)
        return [*effects, CloseChannel(peer=event.peer, channel=0)] if isinstance(event, UnknownHeard) else effects
