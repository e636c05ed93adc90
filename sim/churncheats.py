"""Peers that cheat where a mesh that comes and goes would show it: they render late, or never look for others again."""

from mesh.core.effects import Dial, Effect, KillRender, StartRender
from mesh.core.events import ChannelOpened, Event
from mesh.core.peer import Peer
from mesh.ground.ids import PeerId
from mesh.ground.instants import Now
from sim.cheats import Cheat
from sim.host import Host


class StartsLate(Cheat):
    """L1: leaves its slots idle for a frame's time before each frame, and says all the while that it works."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._waiting: dict[int, StartRender] = {}

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Put every render off."""
        effects = self.inner.handle(now, event)
        for effect in effects:
            if isinstance(effect, StartRender):
                self._waiting[effect.op] = effect
                world = self.host.world
                world.after(world.scenario.frame_ms, self._start, self.host.life, effect.op)
            elif isinstance(effect, KillRender):
                self._waiting.pop(effect.op, None)
        return [effect for effect in effects if not isinstance(effect, StartRender)]

    def _start(self, life: int, op: int) -> None:
        effect = self._waiting.pop(op, None)
        if effect is not None and self.host.life == life:
            self.host.farm.start(effect)


class NeverDialsAgain(Cheat):
    """L5: takes whom it lost once for lost for good."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._met: dict[PeerId, None] = {}

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Dial nobody twice with whom it has had a channel."""
        if isinstance(event, ChannelOpened):
            self._met[event.peer] = None
        effects = self.inner.handle(now, event)
        return [effect for effect in effects if not (isinstance(effect, Dial) and effect.peer in self._met)]


def _goes_on(peer: PeerId) -> None:
    del peer


class BelievesInTheGone(Cheat):
    """L5: takes whoever was there once for there for ever."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.directory.disconnect = _goes_on  # type: ignore[method-assign]
