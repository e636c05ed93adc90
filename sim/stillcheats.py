"""Peers that cheat where frames are rendered in buckets."""

import dataclasses

from mesh.core.effects import (
    Effect,
    Export,
    FinishAssembly,
    PasteBucket,
    Send,
    StartAssembly,
    StartRender,
)
from mesh.core.events import Event, Rendered
from mesh.core.fold import NOTHING, TaskFold
from mesh.ground.ids import ID_SIZE, BlobId, JobId, PeerId
from mesh.ground.instants import Now
from mesh.wire.envelope import sign
from mesh.wire.grids import Block
from mesh.wire.stills import Grant, Grants
from sim.cheats import Cheat, NeverRenders
from sim.host import Host

_UNKNOWN = BlobId(bytes(ID_SIZE))


class NeedsAll(NeverRenders):
    """L7: renders only while it sees everybody."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Drop renders while somebody is out of reach."""
        seen = sum(peer.connected for peer in self.inner.mesh_view(now).peers)
        if seen < len(self.host.world.hosts) - 1:
            return super().handle(now, event)
        return self.inner.handle(now, event)


class StopsCells(Cheat):
    """S4: takes the first cell of a job, which counts, for one that is stopped."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Forget what counts for it."""
        effects = self.inner.handle(now, event)
        for ledger in self.inner.ledger.jobs.values():
            if ledger.frames < ledger.parts.tasks and ledger.task(ledger.frames).counting is not None:
                stopped = dataclasses.replace(NOTHING, state=TaskFold.STOPPED)
                ledger._folded[ledger.frames] = stopped  # noqa: SLF001 (it is what it breaks)
        return effects


class DeliversBuckets(Cheat):
    """S2: takes a bucket for the picture."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._job = JobId(bytes(ID_SIZE))

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Write each bucket that it rendered into a person's directory."""
        effects = self.inner.handle(now, event)
        self._job = next((JobId(each.job.id) for each in effects if isinstance(each, StartRender)), self._job)
        if isinstance(event, Rendered) and self.host.world.blobs[event.outputs[0].blob].bucket:
            blob, at = event.outputs[0].blob, "/home/cheat"
            name = "frame_0001.png"
            effects.append(Export(op=10**6, job=self._job, blob=blob, directory=at, name=name, overwrite=True))
        return effects


class FinishesAtOnce(Cheat):
    """Finishes frames of which cells were never pasted."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Finish each assembly that it starts."""
        effects = self.inner.handle(now, event)
        return [*effects, *(FinishAssembly(op=each.op) for each in effects if isinstance(each, StartAssembly))]


class PastesNothing(Cheat):
    """S7: pastes a bucket that it does not have."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Paste an unknown blob as the first cell of each assembly that it starts."""
        effects = self.inner.handle(now, event)
        block = Block(column=0, row=0, columns=1, rows=1)
        started = [each for each in effects if isinstance(each, StartAssembly)]
        return [*effects, *(PasteBucket(op=each.op, blob=_UNKNOWN, block=block) for each in started)]


class CopiesAll(Cheat):
    """L4: grants what one peer renders to the next one, too."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._granted: list[Grant] = []
        self._copied: dict[tuple[PeerId, int, Block], None] = {}
        """What a peer was granted already: granting it the same again and again is another rule's to catch."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Add to each peer's grants those that others were granted before."""
        effects = self.inner.handle(now, event)
        for effect in [each for each in effects if isinstance(each, Send) and isinstance(each.message, Grants)]:
            assert isinstance(effect.message, Grants)
            others = [grant for grant in self._granted if self._is_new(effect.peer, grant)][-16:]
            self._copied.update(((effect.peer, grant.task, grant.block), None) for grant in others)
            copies = tuple(sign(dataclasses.replace(grant, peer=effect.peer), self.host.signer) for grant in others)
            self._granted += [grant.body for grant in effect.message.grants]
            if copies:
                effects.append(Send(peer=effect.peer, message=Grants(grants=copies)))
        return effects

    def _is_new(self, peer: PeerId, grant: Grant) -> bool:
        return grant.peer != peer and (peer, grant.task, grant.block) not in self._copied


class AssemblesTwice(Cheat):
    """Assembles one frame twice at a time."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Start each assembly once more."""
        effects = self.inner.handle(now, event)
        started = [each for each in effects if isinstance(each, StartAssembly)]
        return [*effects, *(dataclasses.replace(each, op=each.op + 10**6) for each in started)]


class AssemblesTheCancelled(Cheat):
    """S11: goes on assembling what was cancelled."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        self._started: StartAssembly | None = None

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Start its last assembly again once the job's cancel is known."""
        effects = self.inner.handle(now, event)
        self._started = next((effect for effect in effects if isinstance(effect, StartAssembly)), self._started)
        started = self._started
        if started is not None and JobId(started.job.id) in self.host.world.books.of(self.host).cancels:
            self._started = None
            effects.append(dataclasses.replace(started, op=started.op + 10**6))
        return effects
