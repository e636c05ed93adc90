"""Peers that lack one rule each that answers a trap: what the rule is there for happens to them."""

import dataclasses

from mesh.core.effects import Effect, Export, Send, SetTimer
from mesh.core.events import Event, MessageHeard, TimerFired
from mesh.core.ledger import JobLedger
from mesh.core.peer import Peer
from mesh.core.status import TaskState
from mesh.core.timers import GrantLate
from mesh.ground.ids import BlobId, PeerId
from mesh.ground.instants import Now, later
from mesh.wire.messages import Entries, LeasesHeard, News
from mesh.wire.records import Seal
from sim.cheats import Cheat
from sim.host import Host


class DeafToSeals(Cheat):
    """Trap 2: takes nobody else's seal."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave seals out of what it hears."""
        if isinstance(event, MessageHeard) and isinstance(event.message, Entries):
            kept = tuple(entry for entry in event.message.entries if not isinstance(entry.body.what, Seal))
            event = dataclasses.replace(event, message=dataclasses.replace(event.message, entries=kept))
        return self.inner.handle(now, event)


class DeliversTheSafe(Cheat):
    """Trap 7: writes no file before its frame is safe."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Drop the export of what has too few holds."""
        return [effect for effect in self.inner.handle(now, event) if not self._early(effect)]

    def _early(self, effect: Effect) -> bool:
        if not isinstance(effect, Export):
            return False
        names = self.host.world.books.jobs[effect.job].body
        views = self.inner.task_views(effect.job)
        return any(
            names.names.name(names.frames.frame(view.task)) == effect.name and view.state is not TaskState.SAFE
            for view in views
        )


class WaitsInTurn(Cheat):
    """Trap 3: lets what nobody has keep its place in a job's files."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.delivery.in_vain = self._in_vain  # type: ignore[method-assign]

    def _in_vain(self, blob: BlobId, now: Now) -> bool:  # noqa: ARG002
        return False


class NeverTriesAgain(Cheat):
    """Trap 8: leaves what it failed to others for ever."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Take each failure for one of this moment."""
        if isinstance(self.inner, Peer):
            for following in self.inner.claims.following.values():
                following.failed = dict.fromkeys(following.failed, now.instant)
        return self.inner.handle(now, event)


class StrikesTheSealed(Cheat):
    """Trap 10: voids a struck author's records also in jobs that somebody else has sealed."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self._strike = self.inner.ledger.strike
        self.inner.ledger.strike = self._void  # type: ignore[method-assign]

    def _void(self, authors: list[PeerId]) -> list[tuple[JobLedger, tuple[int, ...]]]:
        for job in self.inner.ledger.jobs.values():
            job.seals.clear()
        return self._strike(authors)


class OpensAtOnce(Cheat):
    """Trap 17: as a keeper that has just started, does not wait for the leases that live."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Decide from the first moment."""
        effects = self.inner.handle(now, event)
        if isinstance(self.inner, Peer):
            for docket in self.inner.leases.dockets.values():
                docket.ready_at = min(docket.ready_at, now.instant)
        return effects


class BelievesNoKeeper(Cheat):
    """Trap 18: as a keeper, takes no other's word for what it hears."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave out what other keepers hear."""
        if isinstance(event, MessageHeard) and isinstance(event.message, LeasesHeard):
            return []
        return self.inner.handle(now, event)


class WaitsForGrants(Cheat):
    """Trap 22: claims no bucket by itself."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Wait for ever for whoever coordinates."""
        if isinstance(event, TimerFired) and isinstance(event.timer, GrantLate):
            return []
        return self.inner.handle(now, event)


class WaitsForNoGrant(Cheat):
    """Trap 23: claims buckets by itself at once, beside what is granted."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Have the timer that waits for a grant at once."""
        return [
            dataclasses.replace(effect, at=later(now.instant, 1))
            if isinstance(effect, SetTimer) and isinstance(effect.timer, GrantLate)
            else effect
            for effect in self.inner.handle(now, event)
        ]


class CancelsQuietly(Cheat):
    """Trap 34: pushes no cancel, and leaves it to those who compare."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Drop each cancel that nobody asked for."""
        return [effect for effect in self.inner.handle(now, event) if not _tells_cancel(effect)]


def _tells_cancel(effect: Effect) -> bool:
    return isinstance(effect, Send) and isinstance(effect.message, News) and bool(effect.message.cancels)
