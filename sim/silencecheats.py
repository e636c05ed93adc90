"""A peer to which a cancel means little, and one that waits for whoever does not answer."""

from mesh.core.effects import Effect, KillRender, SetTimer
from mesh.core.events import Event
from mesh.core.timers import Unanswered
from mesh.ground.instants import Now
from sim.cheats import Cheat


class FinishesTheCancelled(Cheat):
    """L11: ends no render, whatever became of its job."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Let every render go on."""
        return [effect for effect in self.inner.handle(now, event) if not isinstance(effect, KillRender)]


class WaitsForAnAnswer(Cheat):
    """L9: renders nothing that no keeper has given it, however long that says nothing."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave out the timers that end the wait."""
        effects = self.inner.handle(now, event)
        return [each for each in effects if not (isinstance(each, SetTimer) and isinstance(each.timer, Unanswered))]
