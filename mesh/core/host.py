"""What this host can do and whether it may start anything: a few facts that several machines read."""

from dataclasses import dataclass

from mesh.ground.instants import Instant, WallTime
from mesh.ground.store_limits import STORE_FULL_BYTES, STORE_FULL_PART
from mesh.wire.messages import Address
from mesh.wire.records import EngineId, Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The host's owner wants the machine: since when, and until when at the latest; None: until told otherwise."""

    since: WallTime
    until: WallTime | None


@dataclass(slots=True)
class HostFacts:
    """Changed by the peer's own routes alone, the pause by `Pausing` alone."""

    engines: tuple[EngineId, ...] = ()
    slots: int = 0
    cores: int = 0
    memory_mb: int = 0
    draining: bool = False
    shut_out: bool = False
    """This peer was thrown out of the mesh: it claims nothing more."""
    twin: Address | None = None
    """Where another process with this peer's identity was met: neither of the two claims anything."""
    pause: Pause | None = None
    limit_bytes: int = 0
    """How much this host may store in all, as last looked; changed by `Larder` alone."""
    room_bytes: int | None = None
    """How much more it can store, counting as room what nobody is owed, and not what is on its way; None: nobody has
    looked yet. `Scenes` takes off it what it begins to fetch."""
    hearing_until: Instant | None = None
    """After a gap of the clock: until then nothing is claimed and no result is published."""

    @property
    def rests(self) -> bool:
        """Whether this host follows no job: it cannot render, it ends, or it is not surely a member of its own."""
        return self.slots == 0 or self.draining or self.shut_out or self.twin is not None

    @property
    def takes_frames(self) -> bool:
        """Whether this host may begin anything; one whose owner needs it, or whose store is full, follows its jobs."""
        return not self.rests and self.pause is None and not self.full

    @property
    def full(self) -> bool:
        """Whether there is hardly any room, and nothing that could make way: then nothing more is taken on."""
        least = min(self.limit_bytes // STORE_FULL_PART, STORE_FULL_BYTES)
        return self.room_bytes is not None and self.room_bytes < least

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more could be stored, as far as is known."""
        return self.room_bytes is None or size <= self.room_bytes

    def can_render(self, job: Job) -> bool:
        """Whether this host has a slot, the exact engine, and as much memory as the job asks for."""
        return self.slots > 0 and job.engine in self.engines and self.memory_mb >= job.memory_mb

    def hears(self, now: Instant) -> bool:
        """Whether this host still listens for what it missed."""
        return self.hearing_until is not None and now < self.hearing_until
