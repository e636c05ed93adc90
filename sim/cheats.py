"""Peers with one thing broken each: the real core behind a thin cheat that changes what it hears, asks for or shows."""

import dataclasses
from collections.abc import Iterable

from mesh.core.effects import (
    Append,
    CloseChannel,
    Effect,
    Export,
    Send,
    StartRender,
)
from mesh.core.events import ChannelOpened, Event, Exported, MessageHeard, PauseAsked, Rendered, StopAsked
from mesh.core.ledger import JobLedger
from mesh.core.membership import Members
from mesh.core.peer import Peer
from mesh.core.status import TaskState, TaskView
from mesh.ground.ids import ID_SIZE, BlobId, JobId, PeerId
from mesh.ground.instants import Now
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptDelivery, KeptEntries, KeptHold
from mesh.wire.messages import Entries, Have, Ping, Window
from mesh.wire.records import Claim, Entry, Hold, Output, Result
from mesh.wire.stills import Grants, Leading
from sim.host import Host
from sim.infront import InFront
from sim.world import real_core

_UNKNOWN = BlobId(bytes(ID_SIZE))
_LEFT_OUT = "frame_0004"


class Cheat(InFront):
    """The real core, unchanged: what every mutant starts from."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, real_core(host, seed))


class Adds(Cheat):
    """Adds an effect beside the first render that it starts."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Add what `beside` says to each render that starts."""
        effects = self.inner.handle(now, event)
        started = [effect for effect in effects if isinstance(effect, StartRender)]
        return [*effects, *(extra for effect in started for extra in self.beside(effect))]

    def beside(self, effect: StartRender) -> list[Effect]:
        """Return what this mutant asks for beside a render."""
        del effect
        return []

    def result(self, effect: StartRender, claimant: Signer) -> Append:
        """Make this peer's result, under a claim of `claimant`, with an output that does not exist."""
        host, job = self.host, JobId(effect.job.id)
        claim = sign(Claim(job=job, task=effect.task, attempt=1, boot=host.boot, number=10**6), claimant)
        outputs = (Output(blob=_UNKNOWN, size=1),)
        what = Result(claim=claim, outputs=outputs, render_ms=1, log=None)
        return _kept(sign(Entry(job=job, boot=host.boot, number=10**6, what=what), host.signer))


def _kept(entry: Signed[Entry]) -> Append:
    return Append(entries=(KeptEntries(entries=(entry,)),))


class HoldsNothing(Adds):
    """S1: promises to keep what it does not have."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Hold an unknown blob."""
        hold = sign(Hold(job=JobId(effect.job.id), blob=_UNKNOWN, nonce=bytes(16)), self.host.signer)
        return [Append(entries=(KeptHold(hold=hold),))]


class PublishesNothing(Adds):
    """S2: publishes a result without its bytes."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Publish an unknown blob."""
        return [self.result(effect, self.host.signer)]


class TakesStrangers(Adds):
    """S5: takes records of those who do not belong."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Keep a stranger's record."""
        stranger = self.host.world.adversary.stranger.signer
        append = self.result(effect, stranger)
        (kept,) = append.entries
        assert isinstance(kept, KeptEntries)
        return [_kept(sign(kept.entries[0].body, stranger))]


class BorrowsClaims(Adds):
    """S6: answers a claim that is not its own."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Publish a result under somebody else's claim."""
        return [self.result(effect, self.host.world.adversary.liar.signer)]


class OffersNothing(Adds):
    """S7: offers pieces that it has not stored."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Offer an unknown blob to everybody."""
        del effect
        offer = Have(blob=_UNKNOWN, pieces=1, bits=b"\x01")
        others = [host for host in self.host.world.hosts if host is not self.host]
        return [Send(peer=host.peer_id, message=offer) for host in others]


class RendersInOneSlot(Adds):
    """Starts a second render in a slot that is taken."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Start the same frame once more."""
        return [dataclasses.replace(effect, op=effect.op + 10**6)]


class Rewrites(Cheat):
    """S3: writes another picture over a delivered file."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._exports: list[Export] = []

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Write the second picture over the first file."""
        effects = self.inner.handle(now, event)
        self._exports += [effect for effect in effects if isinstance(effect, Export)]
        delivered = any(
            isinstance(kept, KeptDelivery) and kept.task == 0
            for effect in effects
            if isinstance(effect, Append)
            for kept in effect.entries
        )
        if isinstance(event, Exported) and delivered and len(self._exports) > 1:
            first = next(export for export in self._exports if export.name == "frame_0001.png")
            other = next(export for export in self._exports if export is not first)
            effects.append(dataclasses.replace(first, op=10**6, blob=other.blob, overwrite=True))
        return effects


class ShowsAnother(Cheat):
    """S4: shows a result of its own choice."""

    def task_views(self, job: JobId, tasks: Iterable[int] | None = None) -> tuple[TaskView, ...]:
        """Show the first task as open whatever its records say."""
        views = self.inner.task_views(job, tasks)
        return tuple(
            dataclasses.replace(view, state=TaskState.OPEN, result=None)
            if view.task == 0 and view.state in (TaskState.COUNTS, TaskState.SAFE)
            else view
            for view in views
        )


class KeepsTalking(Cheat):
    """S5: goes on with those of whom it knows that they were thrown out."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Close no channel that it should."""
        effects = self.inner.handle(now, event)
        return [effect for effect in effects if not isinstance(effect, CloseChannel)]


class OpensToAll(Cheat):
    """S5: has no door, and answers whoever was thrown out."""

    @property
    def members(self) -> Members:
        """Know of no revocation where the door asks."""
        return Members(self.inner.members.mesh, self.inner.members.my_chain)

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Answer every ping, whoever asks."""
        effects = self.inner.handle(now, event)
        if isinstance(event, ChannelOpened):
            effects = [effect for effect in effects if not isinstance(effect, CloseChannel)]
            effects.append(Send(peer=event.peer, message=Ping(number=0)))
        return effects


def _strikes_nobody(authors: list[PeerId]) -> list[tuple[JobLedger, tuple[int, ...]]]:
    del authors
    return []


class CountsTheStruck(Cheat):
    """S5: lets the records of a struck author act."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.ledger.strike = _strikes_nobody  # type: ignore[method-assign]


def _binds_nothing(job: JobId, blob: BlobId) -> bool:
    del job, blob
    return False


class EvictsTheBound(Cheat):
    """S1: takes what it promised to keep for cache."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.holding.binds = _binds_nothing  # type: ignore[method-assign]


class IgnoresItsQuota(Cheat):
    """S10: stores whatever comes."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        host.disk.quota_bytes = 0


class LooksAtItsOwn(Cheat):
    """S14: tells whoever asks about single frames that all of them are here."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.looks.fresh = _always  # type: ignore[method-assign]


def _always(job: JobId, now: Now) -> bool:
    del job, now
    return True


class KeepsTwice(Cheat):
    """S9: keeps what it has already."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Keep every record that is heard, new or not."""
        effects = self.inner.handle(now, event)
        if isinstance(event, MessageHeard) and isinstance(event.message, Entries):
            known = [entry for entry in event.message.entries if self.host.world.index_of(entry.author) is not None]
            effects += [_kept(entry) for entry in known]
        return effects


class IgnoresCancels(Cheat):
    """S11: goes on rendering what was cancelled."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._started: StartRender | None = None

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Start its last render again once the job's cancel is known."""
        effects = self.inner.handle(now, event)
        self._started = next((effect for effect in effects if isinstance(effect, StartRender)), self._started)
        started = self._started
        if started is not None and JobId(started.job.id) in self.host.world.books.of(self.host).cancels:
            self._started = None
            effects.append(dataclasses.replace(started, op=started.op + 10**6))
        return effects


class DeafToEpochs(Cheat):
    """S8: hears of no coordinator but itself."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave out what others say of who leads."""
        if isinstance(event, MessageHeard) and isinstance(event.message, Leading):
            return []
        if isinstance(event, MessageHeard) and isinstance(event.message, Window):
            event = dataclasses.replace(event, message=dataclasses.replace(event.message, epoch=None))
        return self.inner.handle(now, event)


class GrantsUnasked(Cheat):
    """S8: passes grants on as its own, whoever leads."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Grant to the first host what it was granted itself."""
        effects = self.inner.handle(now, event)
        if isinstance(event, MessageHeard) and isinstance(event.message, Grants):
            grants = tuple(sign(grant.body, self.host.signer) for grant in event.message.grants)
            effects.append(Send(peer=event.peer, message=Grants(grants=grants)))
        return effects


class IgnoresPauses(Cheat):
    """A paused peer starts nothing: this one starts its last render again."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._started: StartRender | None = None

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Start its last render again when its owner pauses it."""
        effects = self.inner.handle(now, event)
        self._started = next((effect for effect in effects if isinstance(effect, StartRender)), self._started)
        if isinstance(event, PauseAsked) and self._started is not None:
            effects.append(dataclasses.replace(self._started, op=self._started.op + 10**6))
        return effects


class GoesOnAfterStop(Cheat):
    """S12: still asks for something after it stopped."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._stopping = False

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Go on pinging the first host."""
        effects = self.inner.handle(now, event)
        if self._stopping and not effects:
            peer = self.host.world.hosts[0].peer_id
            effects = [Send(peer=peer, message=Ping(number=0))]
        self._stopping = self._stopping or isinstance(event, StopAsked)
        return effects


class NeverRenders(Cheat):
    """L2: claims, and does nothing about it."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Drop every render."""
        return [effect for effect in self.inner.handle(now, event) if not isinstance(effect, StartRender)]


class WritesAllButOne(Cheat):
    """L2: never writes one of the files that a person waits for; its keepers seal nevertheless."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Drop the export of every job's fourth frame."""
        effects = self.inner.handle(now, event)
        return [effect for effect in effects if not (isinstance(effect, Export) and effect.name.startswith(_LEFT_OUT))]


class RendersTwice(Cheat):
    """L4: renders again what it has just rendered."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._renders: dict[int, StartRender] = {}

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Start each finished frame once more, in a slot of its own."""
        effects = self.inner.handle(now, event)
        self._renders.update({effect.op: effect for effect in effects if isinstance(effect, StartRender)})
        if isinstance(event, Rendered) and event.op in self._renders:
            again = self._renders.pop(event.op)
            effects.append(dataclasses.replace(again, op=again.op + 10**6, slot=again.op + 1000))
        return effects
