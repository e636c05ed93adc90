"""Peers with one rule about holds broken each: the real core behind a thin cheat."""

import dataclasses

from mesh.core.effects import Append, Effect
from mesh.core.events import Event, MessageHeard, StopAsked
from mesh.ground.instants import Now
from mesh.wire.copies import HoldAsk
from mesh.wire.envelope import sign
from mesh.wire.kept import KeptHold
from mesh.wire.records import Hold
from sim.cheats import Cheat


class TakesPlaces(Cheat):
    """S1: sends another holder away without bringing a copy: it holds the same already."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Give a second hold of what it holds, in the place of somebody else's."""
        effects = self.inner.handle(now, event)
        kept = [
            entry.hold
            for effect in effects
            if isinstance(effect, Append)
            for entry in effect.entries
            if isinstance(entry, KeptHold)
        ]
        others = [hold for hold in kept if hold.author != self.host.peer_id]
        for other in others:
            body = Hold(job=other.body.job, blob=other.body.blob, nonce=bytes(16), replaces=(other.id,))
            effects.append(Append(entries=(KeptHold(hold=sign(body, self.host.signer)),)))
        return effects


class TakesNothing(Cheat):
    """S1: takes no copy that it is asked to take."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave out what is asked."""
        if isinstance(event, MessageHeard) and isinstance(event.message, HoldAsk):
            return []
        return self.inner.handle(now, event)


class LeavesWithAll(Cheat):
    """S1: leaves as if it only stopped, with all that it holds."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Hand nothing over."""
        if isinstance(event, StopAsked):
            event = dataclasses.replace(event, leave=False)
        return self.inner.handle(now, event)


class TellsFirst(Cheat):
    """S1: tells its holds before they are in its journal."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Write down no hold."""
        effects = self.inner.handle(now, event)
        for place, effect in enumerate(effects):
            if isinstance(effect, Append):
                entries = tuple(entry for entry in effect.entries if not isinstance(entry, KeptHold))
                effects[place] = Append(entries=entries)
        return effects
