"""The safety checkers: what must hold at every moment, whatever the faults.

Cheap ones look at each turn and at each effect as it is performed; those that compare whole folds look every few
seconds, when the network heals and at the end. All judge from the world's own knowledge: what disks hold, what
journals were told, and a model of the fold that shares no code with the core's. Each raises `Violation` with the
rule's number.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mesh.core.effects import (
    Append,
    CloseChannel,
    Effect,
    Export,
    PasteBucket,
    Send,
    StartAssembly,
    StartRender,
    Stopped,
    WritePage,
)
from mesh.core.events import ChannelClosed, ChannelOpened, EnginesProbed, Event, MessageHeard, TimerFired
from mesh.core.fold import TaskFold
from mesh.core.status import JobState, TaskState, TaskView
from mesh.core.stock import Stored
from mesh.core.timers import Tick
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.kept import KeptEntries, KeptHead, KeptHold
from mesh.wire.messages import Have
from mesh.wire.records import Entry, Hold, Result, Seal, SealPage, Vouch
from mesh.wire.revocations import Bans
from sim.cancels import Cancels
from sim.epochs import Epochs
from sim.model import Told, all_count, fold_frames, weight
from sim.returns import Returns
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


CLOSED_WITHIN_MS = 2_000
"""A channel to a revoked peer is closed so soon after the news."""

PARTS = 6
"""Looking at whole folds is dear: each regular look takes one part of the hosts."""


class Safety:
    """All safety checkers of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._pictures: dict[BlobId, tuple[JobId, int]] = {}
        self._buckets: dict[BlobId, tuple[JobId, int, Block | None]] = {}
        self.epochs = Epochs(world)
        self.returns = Returns(world)
        self.cancels = Cancels(world)
        self._replayed: int | None = None
        self._bans: dict[int, Bans] = {}
        """What each host's revocations came to at the end of its last turn."""
        self._since_ms: dict[int, int] = {}
        self._written_at: dict[int, int] = {}
        """With which of its fsyncs a host has that on its disk: what follows from it waits until then."""
        self._turns: dict[type[Effect], Callable[[Host, Any], None]] = {
            Append: self._keeps,
            StartRender: self._starts,
            StartAssembly: self._starts,
            Export: self._exports,
            WritePage: self._seals,
        }

    # Every turn.

    def turned(self, host: "Host", event: Event, effects: list[Effect]) -> None:
        """Look at what a turn asked for."""
        books = self._world.books
        if books.any_bans:
            self._not_from_the_revoked(host, event, effects)
        self.epochs.turned(host, event, effects)
        self.returns.turned(host, event, effects)
        if books.of(host).cancels:
            self.cancels.turned(host, effects)
        if self._world.scenario.quota_mb:
            self._within_quota(host)
        for place, effect in enumerate(effects):
            check = self._turns.get(type(effect))
            if check is not None:
                check(host, effect)
                if isinstance(effect, StartRender | StartAssembly):
                    self._needed(host, effect, effects[place:])

    def _not_from_the_revoked(self, host: "Host", event: Event, effects: list[Effect]) -> None:
        """S5: who knows of a revocation opens no channel to whom it shuts out, and hears it no more."""
        known, bans = self._bans.get(host.index), self._world.books.of(host).bans
        if known is not bans:
            self._bans[host.index] = bans
            self._since_ms[host.index] = self._world.now_ms
            written = any(type(effect) is Append for effect in effects)
            self._written_at[host.index] = host.next_write if written else 0
        if not known or not isinstance(event, ChannelOpened | MessageHeard):
            return
        index = self._world.index_of(event.peer)
        if index is None or known.chain(self._world.hosts[index].chain) is None:
            return
        refused = any(isinstance(effect, CloseChannel) and effect.peer == event.peer for effect in effects)
        if effects and not (isinstance(event, ChannelOpened) and refused):
            raise Violation("S5", f"{host.name} heard {type(event).__name__} of the revoked p{index}", event.peer)

    def doors(self) -> None:
        """S5: two seconds after the news was on the disk no channel to a revoked peer is open."""
        for host in self._world.hosts:
            bans = self._world.books.of(host).bans
            if host.writes < self._written_at.get(host.index, 0):
                self._since_ms[host.index] = self._world.now_ms
            since_ms = self._since_ms.get(host.index, self._world.now_ms)
            if not bans or not host.running or host.frozen or self._world.now_ms - since_ms < CLOSED_WITHIN_MS:
                continue
            for other in self._world.hosts:
                if bans.chain(other.chain) is not None and self._world.net.holds(host, other):
                    raise Violation("S5", f"{host.name} has a channel to the revoked {other.name}", other.peer_id)

    def expect_nothing_new(self, host: "Host", deliver: Callable[[], None]) -> None:
        """S9: a message that was heard a moment ago is heard again, and nothing is kept, started or written."""
        self._replayed = host.index
        deliver()
        self._replayed = None

    def _not_replayed(self, host: "Host", what: str, *ids: bytes) -> None:
        if self._replayed == host.index:
            raise Violation("S9", f"{host.name} {what} because of a replayed message", *ids)

    def _keeps(self, host: "Host", effect: Append) -> None:
        for kept in effect.entries:
            match kept:
                case KeptEntries(entries=entries):
                    for entry in entries:
                        self._not_replayed(host, "kept a record", entry.id)
                        self._check_entry(host, entry)
                case KeptHead(head=head):
                    self._not_replayed(host, "kept a job", head.job.id)
                    if not self._belongs(head.job.author):
                        raise Violation("S5", f"{host.name} took a job of a stranger", head.job.id)
                case KeptHold(hold=hold):
                    self._check_hold(host, hold)
                case _:
                    pass

    def _belongs(self, author: PeerId) -> bool:
        return self._world.index_of(author) is not None or self._world.adversary.is_member(author)

    def _check_entry(self, host: "Host", entry: Signed[Entry]) -> None:
        if not self._belongs(entry.author):
            raise Violation("S5", f"{host.name} took a record of a stranger", entry.id)
        self._world.trust.kept(host, entry)
        what = entry.body.what
        if isinstance(what, Result | Vouch) and (what.claim.author, what.claim.body.job) != (
            entry.author,
            entry.body.job,
        ):
            raise Violation("S6", f"{host.name} took a result without its author's claim", entry.id)
        if isinstance(what, Result):
            cloned = (
                host.index in self._world.scenario.clone_of or self._world.scenario.original(host.index) is not None
            )
            if entry.author == host.peer_id and (entry.body.boot == host.boot or not cloned):
                for output in what.outputs:
                    if not host.disk.has(output.blob):
                        raise Violation("S2", f"{host.name} published a result without its bytes", entry.id)

    def _check_hold(self, host: "Host", hold: Signed[Hold]) -> None:
        if hold.author != host.peer_id:
            return
        blob = hold.body.blob
        for needed in (blob, *self._world.trees.get(blob, ())):
            if not host.disk.has(needed) and needed not in self._world.faults.rotted:
                raise Violation("S1", f"{host.name} holds what it does not have", hold.id, blob)
        beside = self._beside(host, hold) if hold.body.replaces else None
        if beside is not None:
            text = f"{host.name} takes another's place although it holds the same"
            raise Violation("S1", text, hold.id, beside.id, blob)

    def _beside(self, host: "Host", hold: Signed[Hold]) -> Signed[Hold] | None:
        """Return another hold of the same blob that a host gave, of which neither replaces the other."""
        about = (host.peer_id, hold.body.job, hold.body.blob)
        for other in self._world.books.of(host).holds.values():
            if (other.author, other.body.job, other.body.blob) != about or other.id == hold.id:
                continue
            if other.id not in hold.body.replaces and hold.id not in other.body.replaces:
                return other
        return None

    def _starts(self, host: "Host", effect: StartRender | StartAssembly) -> None:
        job = JobId(effect.job.id)
        self._not_replayed(host, "started a render", job)
        if self._world.books.of(host).paused:
            raise Violation("pause", f"{host.name} started task {effect.task} although its owner has paused it", job)
        if job in self._world.books.of(host).cancels:
            raise Violation("S11", f"{host.name} started task {effect.task} of a cancelled job", job)

    def _needed(self, host: "Host", effect: StartRender | StartAssembly, after: list[Effect]) -> None:
        """Of a frame that is cut no host renders what all counts at it, nor assembles what has its picture there."""
        job, body = JobId(effect.job.id), effect.job.body
        block = effect.block if isinstance(effect, StartRender) else None
        if body.cut is None or (block is None and isinstance(effect, StartRender)):
            return
        book = self._world.books.of(host)
        appended = [kept for each in after if isinstance(each, Append) for kept in each.entries]
        later = {entry.id: None for kept in appended if isinstance(kept, KeptEntries) for entry in kept.entries}
        struck = book.bans.struck()
        entries = book.entries.get(job, {}).values()
        known = [entry for entry in entries if entry.id not in later and entry.author not in struck]
        if all_count(effect.job, known, effect.task, block, admins=self._world.trust.admins()):
            what = "a bucket" if block is not None else "the assembly"
            raise Violation("waste", f"{host.name} starts {what} of task {effect.task}, which counts", job)

    def _exports(self, host: "Host", effect: Export) -> None:
        self._not_replayed(host, "wrote a file", effect.blob)
        self._world.trust.exports(host, effect)

    def _seals(self, host: "Host", effect: WritePage) -> None:
        self._world.trust.seals(host, effect)

    def _within_quota(self, host: "Host") -> None:
        """S10: no store holds more than its quota."""
        quota_mb, taken = self._world.scenario.quota_mb, host.disk.taken
        if quota_mb and host.index not in self._world.scenario.roomy and taken > quota_mb * 1_000_000:
            raise Violation("S10", f"{host.name} stores {taken} bytes of {quota_mb} million that it may", host.peer_id)

    # Effects as they are performed.

    def evicts(self, host: "Host", stored: Stored) -> None:
        """S1: nothing goes that its host promised to keep, unless that was replaced or the job cancelled unsealed."""
        book = self._world.books.of(host)
        for hold in self._world.books.standing(host):
            promised = (hold.body.blob, *self._world.trees.get(hold.body.blob, ()))
            if stored.blob in promised and not book.lets_go(hold):
                raise Violation("S1", f"{host.name} evicts what it promised to keep", hold.id, stored.blob)

    def sends(self, host: "Host", effect: Send) -> None:
        """S7 and S1: what is offered or held is on the disk when the word leaves."""
        message = effect.message
        if type(message) is Have:
            self._offers(host, message)
        elif type(message) is Holds:
            self._world.books.told(message.holds)
            for hold in message.holds:
                self._check_hold(host, hold)
                if hold.author == host.peer_id and hold.id not in self._world.books.of(host).holds:
                    raise Violation("S1", f"{host.name} sent a hold that is not in its journal", hold.id)

    def _offers(self, host: "Host", have: Have) -> None:
        if have.blob in self._world.faults.rotted:
            return
        stored = host.disk.blobs.get(have.blob)
        whole = stored is not None and stored.complete
        if not whole and (not have.pieces or stored is None or int.from_bytes(have.bits, "little") & ~stored.bits):
            raise Violation("S7", f"{host.name} offers pieces that it has not stored", have.blob)

    def render_starts(self, host: "Host", effect: StartRender) -> None:
        """A slot renders one frame at a time, and only where the whole scene is."""
        for render in host.farm.renders.values():
            if render.writing and render.effect.slot == effect.slot:
                raise Violation("slot", f"{host.name} renders twice in slot {effect.slot}", effect.job.id)
        scene = effect.job.body.scene
        for blob in (scene, *self._world.trees.get(scene, ())):
            if not host.disk.has(blob):
                raise Violation("scene", f"{host.name} renders without the whole scene", effect.job.id, blob)

    def assembly_starts(self, host: "Host", effect: StartAssembly) -> None:
        """A host assembles a frame once at a time, and only one that is cut."""
        cut, frames = effect.job.body.cut, len(effect.job.body.frames)
        if cut is None or effect.task < frames - cut.frames:
            raise Violation("assembly", f"{host.name} assembles task {effect.task}, which has no cells", effect.job.id)
        for op, growing in host.assemblies.growing.items():
            if op == effect.op or (growing.job, growing.effect.task) == (JobId(effect.job.id), effect.task):
                raise Violation("assembly", f"{host.name} assembles task {effect.task} twice", effect.job.id)

    def pastes(self, host: "Host", frame: StartAssembly, effect: PasteBucket) -> None:
        """S7: a bucket that is pasted is on the disk; and it is one of that frame, of those very cells."""
        if not host.disk.has(effect.blob) and effect.blob not in self._world.faults.rotted:
            raise Violation("S7", f"{host.name} pastes a bucket that it does not have", effect.blob, frame.job.id)
        if self._buckets.get(effect.blob) != (JobId(frame.job.id), frame.task, effect.block):
            text = f"{host.name} pastes into task {frame.task} at {effect.block} what is no such bucket"
            raise Violation("assembly", text, effect.blob, frame.job.id)

    def bucket_rendered(self, blob: BlobId, effect: StartRender) -> None:
        """Learn which cells a bucket shows: it is no picture, and nobody's file."""
        self._buckets[blob] = (JobId(effect.job.id), effect.task, effect.block)

    def rendered(self, blob: BlobId, job: JobId, task: int) -> None:
        """Learn which frame a picture shows."""
        self._pictures[blob] = (job, task)

    def export_lands(self, host: "Host", effect: Export) -> None:
        """S3: a delivered file is replaced by nothing; and no file gets another frame's picture."""
        place = (effect.directory, effect.name)
        there = host.disk.files.get(place)
        job, task = self._pictures.get(effect.blob, (None, 0))
        book = self._world.books.of(host)
        made_of = book.entries.get(job, {}).get(book.delivered[place]) if job and place in book.delivered else None
        struck = made_of is not None and made_of.author in book.bans.struck()
        rejected = made_of is not None and self._world.trust.may_replace(host, made_of)
        if there is not None and there != effect.blob and place in book.delivered and not (struck or rejected):
            raise Violation("S3", f"{host.name} replaces the delivered {effect.name}", effect.blob, there)
        if job is None:
            what = "a bucket" if effect.blob in self._buckets else "what is no picture"
            raise Violation("S2", f"{host.name} delivers {what} as {effect.name}", effect.blob)
        body = self._world.books.jobs[job].body
        if body.names.name(body.frames.frame(task)) != effect.name:
            raise Violation("S2", f"{host.name} delivers task {task} as {effect.name}", effect.blob, job)

    def stopped(self, host: "Host", effect: Stopped) -> None:
        """S12: after it stopped, a peer is told this and that, and asks for nothing."""
        del effect
        peer = self._world.hosts[0].peer_id
        events: tuple[Event, ...] = (
            TimerFired(timer=Tick()),
            ChannelClosed(peer=peer, clean=False),
            EnginesProbed(engines=self._world.engines, slots=1, cores=1, memory_mb=1),
        )
        for event in events:
            effects = host.core.handle(host.now(), event)
            if effects:
                raise Violation("S12", f"{host.name} asked for {effects[0]} after it had stopped", host.peer_id)

    # Whole folds.

    def look(self, part: int | None = None) -> None:
        """S3, S4, S6, S8: compare what peers show with the model of their records.

        `part`: only every sixth host, and of its jobs the frames whose records have changed since it was looked at.
        """
        self.epochs.look()
        for host in self._world.hosts:
            if part is not None and host.index % PARTS != part:
                continue
            if host.running and not host.frozen:
                book = self._world.books.of(host)
                if part is None:
                    book.look_again()
                for job in book.heads:
                    self._look_at(host, job, book.changed(job))
                    if part is None:
                        self._look_at_weight(host, job)

    def _look_at(self, host: "Host", job: JobId, frames: list[int]) -> None:
        book = self._world.books.of(host)
        views = host.core.task_views(job, frames)
        if not views:
            return
        entries = book.entries.get(job, {})
        struck = book.bans.struck()
        acting = [entry for entry in book.about(job, frames) if entry.author not in struck]
        record, admins = book.heads[job], self._world.trust.admins()
        told = fold_frames(record.author, record.body, acting, frames, admins=admins)
        seals = [entry for entry in acting if isinstance(entry.body.what, Seal)]
        if not seals or not struck:  # a seal that others signed gives a struck author's records their force back
            self._look_at_cells(host, job, told)
        for view in views:
            expected = told[view.task]
            made = entries.get(view.result) if view.result is not None else None
            if made is not None and made.author in struck and not any(self._seal_says(seal, view) for seal in seals):
                raise Violation("S5", f"{host.name} counts a struck author's task {view.task}", job, made.id)
            if not _agrees(view, expected) and not any(self._seal_says(seal, view) for seal in seals):
                raise Violation(
                    "S4",
                    f"{host.name} shows task {view.task} as {view.state.value} by {_hex(view.result)}, but its records "
                    f"say {'stopped' if expected.stopped else _hex(expected.result)}",
                    job,
                    *([view.result] if view.result else []),
                )

    def _look_at_cells(self, host: "Host", job: JobId, told: dict[int, Told]) -> None:
        """S4 for cells, which nobody is shown: what the ledger says of them is what its records say."""
        ledger = host.core.ledger.jobs[job]
        for task, expected in told.items():
            if task < ledger.frames:
                continue
            folded = ledger.task(task)
            result = folded.counting.id if folded.counting is not None else None
            if (result, folded.state is TaskFold.STOPPED) != (expected.result, expected.stopped):
                text = f"{host.name} folds cell task {task} to {folded.state.value} by {_hex(result)}"
                raise Violation("S4", f"{text}, but its records say {_hex(expected.result)}", job)

    def _look_at_weight(self, host: "Host", job: JobId) -> None:
        """S4: a job has the weight that its records say, where none of them is void."""
        book = self._world.books.of(host)
        told = weight(book.heads[job].body, book.entries.get(job, {}).values())
        ledger = host.core.ledger.jobs.get(job)
        if ledger is not None and not book.bans.struck() and ledger.weight != told:
            raise Violation("S4", f"{host.name} gives a job weight {ledger.weight}, but its records say {told}", job)

    def _seal_says(self, seal: Signed[Entry], view: TaskView) -> bool:
        page = self._page(seal)
        if page is None or view.task >= len(page.tasks):
            return False
        sealed = page.tasks[view.task].result
        return (sealed.id if sealed else None) == view.result

    def _page(self, seal: Signed[Entry]) -> SealPage | None:
        what = seal.body.what
        assert isinstance(what, Seal)
        return self._world.pages.get(what.blob)

    def end(self) -> None:
        """S1 and S3, once all has settled: equal pictures everywhere, and every held output is somewhere whole."""
        self.look()
        unsettled = self.unsettled()
        if unsettled is not None:
            raise unsettled
        for job in self._world.books.jobs:
            self._retrievable(job)

    def unsettled(self) -> Violation | None:
        """S3: return what two peers that show a job sealed do not agree on; None when all have settled."""
        found = (self._disagreement(job) for job in self._world.books.jobs)
        return next((violation for violation in found if violation is not None), None)

    def _disagreement(self, job: JobId) -> Violation | None:
        first: tuple[str, tuple[TaskView, ...]] | None = None
        for host in self._world.hosts:
            if not host.running or host.frozen or not self._world.faults.is_core(host):
                continue  # a remnant is cut off for good, and hears of no other seal
            seen = host.core.job_view(host.now(), job)
            views = host.core.task_views(job)
            if seen is None or seen.state is not JobState.SEALED or not views:
                continue
            if not host.core.ledger.jobs[job].seals:
                continue  # it only follows, and was told that the job is over, not what stands
            if first is None:
                first = (host.name, views)
                continue
            for one, other in zip(first[1], views, strict=True):
                if one.result != other.result:
                    ours, theirs = f"{_hex(one.result)} at {first[0]}", f"{_hex(other.result)} at {host.name}"
                    return Violation("S3", f"task {one.task} is sealed as {ours}, as {theirs}", job)
        return None

    def _retrievable(self, job: JobId) -> None:
        """S1: an output that a peer shows as safe is whole on the disk of somebody who is bound to keep it."""
        kept = self._kept()
        for host in self._world.hosts:
            if not host.running or host.frozen:
                continue
            for view in host.core.task_views(job):
                if view.state is TaskState.SAFE and view.result is not None:
                    self._check_safe(host, job, view, kept)

    def _kept(self) -> dict[BlobId, None]:
        """Return the blobs that are whole on the disk of somebody who holds them, and whose hold nobody replaced; and
        those that their holder may let go, since the job was cancelled.

        Who has promised so must know that it is bound.
        """
        kept: dict[BlobId, None] = {}
        for host in self._world.hosts:
            for hold in self._world.books.standing(host):
                job, blob = hold.body.job, hold.body.blob
                free = self._world.books.of(host).lets_go(hold)
                if host.disk.intact(blob) or free:
                    kept[blob] = None
                if host.works and not free and not host.core.holding.bound(blob):
                    raise Violation("S1", f"{host.name} would drop what it holds", hold.id, blob, job)
        return kept

    def _check_safe(self, host: "Host", job: JobId, view: TaskView, kept: dict[BlobId, None]) -> None:
        entry = self._world.books.of(host).entries.get(job, {}).get(view.result) if view.result else None
        if entry is None or not isinstance(entry.body.what, Result):
            return
        faults, copies = self._world.faults, self._world.books.jobs[job].body.copies
        for output in entry.body.what.outputs:
            spoiled = output.blob in faults.rotted or (copies == 1 and output.blob in faults.wiped)
            if output.blob not in kept and not spoiled:
                raise Violation("S1", f"{host.name} calls task {view.task} safe; no holder has it", job, entry.id)


def _agrees(view: TaskView, told: Told) -> bool:
    if (view.state is TaskState.STOPPED) != told.stopped:
        return False
    counts = view.state in (TaskState.COUNTS, TaskState.SAFE)
    return counts == (told.result is not None) and (not counts or view.result == told.result)


def _hex(identifier: bytes | None) -> str:
    return identifier.hex()[:8] if identifier else "nothing"
