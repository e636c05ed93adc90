"""Peers that cheat where a day in a studio would show it: they sleep, are copied, leave, or wait for a hoarder."""

import dataclasses

from mesh.core.dockets import Docket
from mesh.core.effects import Effect, Send, SetTimer
from mesh.core.events import Event, TwinMet
from mesh.core.peer import Peer
from mesh.ground.ids import BlobId
from mesh.ground.instants import Instant, Now
from mesh.ground.limits import GAP_MS
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.records import Claim
from sim.cheats import Cheat
from sim.host import Host

_EVICTS_AFTER_MS = 5_000


class Evicts(Cheat):
    """L6: deletes what it has promised to keep."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Delete each output a few seconds after it said that it holds it."""
        effects = self.inner.handle(now, event)
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Holds):
                for hold in effect.message.holds:
                    if self.host.world.blobs[hold.body.blob].picture:
                        self.host.world.after(_EVICTS_AFTER_MS, self._evict, hold.body.blob)
        return effects

    def _evict(self, blob: BlobId) -> None:
        self.host.disk.blobs.pop(blob, None)


class NoticesNoGap(Cheat):
    """Takes no notice of its sleep: its clock stands still meanwhile."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._last: Instant | None = None
        self._slept_ms = 0

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Let the core think that its last turn was a moment ago, and have its timers when they are due."""
        if self._last is not None and now.instant - self._last > GAP_MS:
            self._slept_ms += now.instant - self._last - 1
        self._last = now.instant
        effects = self.inner.handle(Now(instant=Instant(now.instant - self._slept_ms), wall=now.wall), event)
        return [
            dataclasses.replace(effect, at=Instant(effect.at + self._slept_ms))
            if isinstance(effect, SetTimer)
            else effect
            for effect in effects
        ]


class IgnoresItsTwin(Cheat):
    """Goes on although a copy of it runs."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Hear nothing of its twin."""
        return [] if isinstance(event, TwinMet) else self.inner.handle(now, event)


class WaitsForEver(Cheat):
    """L2: as a keeper, ends no lease for want of progress."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Take each lease for one that gets on."""
        if isinstance(self.inner, Peer):
            for docket in self.inner.leases.dockets.values():
                for lease in docket.by_claim.values():
                    lease.progressed_at = now.instant
        return self.inner.handle(now, event)


def _nobody(docket: Docket, claim: Signed[Claim]) -> bool:
    del docket, claim
    return False


class RefusesWhatItGranted(Cheat):
    """As a coordinator, gives nobody the bucket that it granted, and grants it again."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.leases._may_hold_more = _nobody  # type: ignore[method-assign]  # noqa: SLF001

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Forget who was refused."""
        if isinstance(self.inner, Peer):
            for docket in self.inner.leases.dockets.values():
                docket.deaf.clear()
        return self.inner.handle(now, event)


class ForgivesIdlers(Cheat):
    """L2: as a keeper, gives to whom a lease has stalled like to anybody."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Forget whose leases have stalled."""
        if isinstance(self.inner, Peer):
            for docket in self.inner.leases.dockets.values():
                docket.idlers.clear()
        return self.inner.handle(now, event)
