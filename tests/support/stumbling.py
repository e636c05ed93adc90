"""A core with a bug of its own, for tests of what is told of one."""

from mesh.core.effects import Effect
from mesh.core.events import Event, TimerFired
from mesh.ground.instants import Now
from sim.cheats import Cheat
from sim.host import Host

_STUMBLES_AT = 9


class Stumbles(Cheat):
    """Raises at its ninth timer."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._timers = 0

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Let the core handle an event, up to then."""
        self._timers += isinstance(event, TimerFired)
        assert self._timers < _STUMBLES_AT, "the ninth timer"
        return super().handle(now, event)
