"""What this host can do and whether it may start anything: a few facts that several machines read."""

from dataclasses import dataclass

from mesh.ground.instants import Instant
from mesh.wire.messages import Address
from mesh.wire.records import EngineId


@dataclass(slots=True)
class HostFacts:
    """Changed by the peer's own routes alone."""

    engines: tuple[EngineId, ...] = ()
    slots: int = 0
    cores: int = 0
    memory_mb: int = 0
    draining: bool = False
    shut_out: bool = False
    """This peer was thrown out of the mesh: it claims nothing more."""
    twin: Address | None = None
    """Where another process with this peer's identity was met: neither of the two claims anything."""
    hearing_until: Instant | None = None
    """After a gap of the clock: until then nothing is claimed and no result is published."""

    @property
    def rests(self) -> bool:
        """Whether nothing may be claimed here, whatever there is to do."""
        return self.draining or self.shut_out or self.twin is not None or self.slots == 0

    def can_render(self, engine: EngineId) -> bool:
        """Whether this host has a slot and the exact engine."""
        return self.slots > 0 and engine in self.engines

    def hears(self, now: Instant) -> bool:
        """Whether this host still listens for what it missed."""
        return self.hearing_until is not None and now < self.hearing_until
