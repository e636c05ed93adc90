"""What this host can render with: found out by the renderer, told to the core, looked up by whoever opens a stage.

Invariants: an `EngineId` of a job is matched exactly; there is no nearest engine here. The core hears of a probe before
anything is rendered with what it found.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from mesh.core.events import EnginesProbed, Event
from mesh.ports.renderer import Engine, EngineMissing, Engines, Renderer, RendererError
from mesh.ports.world import HostFacts
from mesh.wire.records import EngineId

WARM_S: Final = 60.0
"""How long an engine waits for a scene: it saves half a second and takes 190 MB."""


def engine_id(engine: Engine) -> EngineId:
    """Return the name under which jobs ask for `engine`."""
    return EngineId(name=engine.name, version=engine.version, build=engine.build)


class EngineRack:
    """The engines of this host, as the last probe found them."""

    def __init__(
        self, *, renderer: Renderer, facts: HostFacts, slots: int, tell: Callable[[Event], Awaitable[None]]
    ) -> None:
        self._renderer = renderer
        self._facts = facts
        self._slots = slots
        self._tell = tell
        self.found = Engines()
        self._probing = trio.Lock()
        self._probed = trio.Event()

    async def settled(self) -> None:
        """Wait until the first probe is over."""
        await self._probed.wait()

    async def probe(self) -> Engines:
        """Look for engines anew and tell the core; one look at a time, since a proof takes a whole machine."""
        async with self._probing:
            self.found = await self._renderer.probe()
            await self._tell(
                EnginesProbed(
                    engines=self.ids(),
                    slots=self._slots if self.found.usable else 0,
                    cores=self._facts.cores,
                    memory_mb=self._facts.memory_mb,
                )
            )
            self._probed.set()
            return self.found

    async def warm(self, wanted: EngineId) -> None:
        """Hold an engine that waits for a scene until a stage takes it, for a while at most, where this host renders.

        A host without the engine, or with a broken one, holds none: the stage meets the reason itself, and tells it.
        """
        if self._slots:
            with suppress(RendererError), trio.move_on_after(WARM_S):
                await self._renderer.warm(self.find(wanted))

    def ids(self) -> tuple[EngineId, ...]:
        """Return the names of the engines that the last probe found."""
        return tuple(map(engine_id, self.found.usable))

    def find(self, wanted: EngineId) -> Engine:
        """Return the engine with that very id, or raise `EngineMissing`."""
        for engine in self.found.usable:
            if engine_id(engine) == wanted:
                return engine
        raise EngineMissing(f"{wanted} (build {wanted.build}) is not installed here")
