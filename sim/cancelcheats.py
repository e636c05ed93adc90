"""A peer to which a cancel means little."""

from mesh.core.effects import Effect, KillRender
from mesh.core.events import Event
from mesh.ground.instants import Now
from sim.cheats import Cheat


class FinishesTheCancelled(Cheat):
    """L11: ends no render, whatever became of its job."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Let every render go on."""
        return [effect for effect in self.inner.handle(now, event) if not isinstance(effect, KillRender)]
