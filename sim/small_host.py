"""One host of a small world: a core and the least shell that it needs, whose whole state is one value.

A host does one act at a time and then stands still: a message is heard, a timer fires, a write is synced, a piece of
work ends, the process dies or starts. What it asks for is performed at once, in order, up to the first `Append`: what
comes after waits until that is synced, however late. Work under way is remembered by the effect that asked for it, so
that a state names it without naming when it will end.

Invariants: what an act does depends on the host's state, the act and the time alone, so that it is worked out once for
each. The module must not know which acts are possible when: that is the world's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from blake3 import blake3

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.core import timers as tm
from mesh.ground.ids import BOOT_SIZE, BlobId, Boot
from mesh.ground.instants import Instant, Now, WallTime
from mesh.wire.envelope import Signed, Signer, peer_id
from mesh.wire.kept import Kept
from mesh.wire.members import Admission
from mesh.wire.messages import Address
from mesh.wire.records import Output
from sim.assemblies import Growing
from sim.clock import EPOCH_MS
from sim.disk import BlobFacts, Disk
from sim.host import Core
from sim.net import address_of
from sim.parcels import parcels_for
from sim.render import PICTURE_BYTES, Render
from sim.trace import canonical

if TYPE_CHECKING:
    from sim.small_world import SmallWorld

RENDER_MS = 1_000
"""What a render takes, and making a frame of its buckets."""

LATE_FOR_EVER = (
    tm.ProbeDue,
    tm.ProbeLate,
    tm.TidingsDue,
    tm.AnswersLate,
    tm.RefreshDue,
    tm.BucketDue,
    tm.KnockAgain,
    tm.ReachEnds,
)
"""Timers that do not fire within the bounds: those of datagrams, which are all lost, and of addresses by hand."""

_CONTEXT = "meshnode sim small"

Out: TypeAlias = tuple[str, int, Any]
"""What leaves a host: `send` and a message, or `close` and None; to which host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All of a host but its core's memory; effects, timers and journal entries by their numbers."""

    life: int = 0
    up: bool = False
    journal: tuple[int, ...] = ()
    written: tuple[int, ...] = ()
    """Journal entries that are not yet synced."""
    waiting: tuple[int, ...] = ()
    """Effects that wait for that."""
    timers: tuple[tuple[int, int], ...] = ()
    """When they are due, and which."""
    works: tuple[int, ...] = ()
    """What the shell is doing with blobs and files, by the effects that asked for it, oldest first."""
    renders: tuple[tuple[int, int, bool], ...] = ()
    """Renders and finished assemblies that are under way, when they began, and whether their file is written."""
    growing: tuple[tuple[int, tuple[tuple[int, BlobId], ...], bool], ...] = ()
    """Assemblies: what was pasted, and whether that is all."""
    dials: tuple[int, ...] = ()
    blobs: tuple[BlobId, ...] = ()
    files: tuple[tuple[tuple[str, str], BlobId], ...] = ()


def boot_of(index: int, life: int) -> Boot:
    """Return the nonce of a life of a host."""
    return Boot(blake3(bytes((index, life)), derive_key_context=_CONTEXT).digest(length=BOOT_SIZE))


class _Farm:
    """The renders that a checker looks at."""

    def __init__(self) -> None:
        self.renders: dict[int, Render] = {}


class _Assemblies:
    """The assemblies that a checker looks at."""

    def __init__(self) -> None:
        self.growing: dict[int, Growing] = {}


class SmallHost:
    """One host, as far as cores and checkers know hosts."""

    def __init__(self, world: "SmallWorld", index: int, signer: Signer, chain: tuple[Signed[Admission], ...]) -> None:
        self.world = world
        self.index = index
        self.name = f"p{index}"
        self.signer = signer
        self.chain = chain
        self.peer_id = peer_id(signer.key)
        self.address: Address = address_of(index)
        self.slots = world.scenario.slots if index < world.scenario.renderers else 0
        self.life = 0
        self.running = False
        self.frozen = False
        self.disk = Disk(parcels_for("reference"))
        self.farm = _Farm()
        self.assemblies = _Assemblies()
        self.core: Core
        self.outs: list[Out] = []
        self._queue: list[ef.Effect] = []
        self._journal: tuple[int, ...] = ()
        self._written: tuple[int, ...] = ()
        self._syncing = False
        self._timers: list[tuple[int, int]] = []
        self._works: list[ef.Effect] = []
        self._dials: dict[int, None] = {}
        self._perform: dict[type, Callable[[Any], None]] = {
            ef.Send: self._send,
            ef.CloseChannel: lambda effect: self._out("close", effect.peer, None),
            ef.Dial: self._dial,
            ef.SetTimer: self._set_timer,
            ef.StartRender: self._start_render,
            ef.KillRender: self._kill,
            ef.StartAssembly: self._start_assembly,
            ef.PasteBucket: self._paste,
            ef.FinishAssembly: self._finish,
            ef.EndAssembly: self._end_assembly,
            **dict.fromkeys(_WORKS, self._works_at),
            **dict.fromkeys(_IGNORED, lambda _: None),
            ef.Reply: world.answered,
        }

    @property
    def boot(self) -> Boot:
        """This life's nonce."""
        return boot_of(self.index, self.life)

    def now(self) -> Now:
        """Read the world's clock: all are right."""
        return Now(instant=Instant(self.world.now_ms), wall=WallTime(EPOCH_MS + self.world.now_ms))

    # State in and out.

    def load(self, site: Site) -> None:
        """Be as `site` says; the core's memory is the world's to put back."""
        thing = self.world.shared.thing
        self.life, self.running = site.life, site.up
        self._journal, self._written = site.journal, site.written
        self._syncing = bool(site.written)
        self._queue = [thing(number) for number in site.waiting]
        self._timers = list(site.timers)
        self._works = [thing(number) for number in site.works]
        self.farm.renders = {}
        for number, started_ms, written in site.renders:
            effect = thing(number)
            self.farm.renders[effect.op] = Render(effect=effect, started_ms=started_ms, writing=not written)
        self.assemblies.growing = {}
        for number, cells, finishing in site.growing:
            effect = thing(number)
            growing = Growing(effect=effect, started_ms=0, free_ms=0, cells=dict(cells), finishing=finishing)
            self.assemblies.growing[effect.op] = growing
        self._dials = dict.fromkeys(site.dials)
        self.disk.blobs.clear()
        for blob in site.blobs:
            self.disk.ingest(self.world.blobs[blob])
        self.disk.files = dict(site.files)
        self.outs = []

    def save(self) -> Site:
        """Return how the host is now."""
        number = self.world.shared.number
        return Site(
            life=self.life,
            up=self.running,
            journal=self._journal,
            written=self._written,
            waiting=tuple(map(number, self._queue)),
            timers=tuple(self._timers),
            works=tuple(map(number, self._works)),
            renders=tuple(
                (number(each.effect), each.started_ms, not each.writing) for each in self.farm.renders.values()
            ),
            growing=tuple(
                (number(each.effect), tuple(each.cells.items()), each.finishing)
                for each in self.assemblies.growing.values()
            ),
            dials=tuple(self._dials),
            blobs=tuple(self.disk.blobs),
            files=tuple(self.disk.files.items()),
        )

    def kept(self) -> tuple[Kept, ...]:
        """Return what the journal was told, synced, written, or still waiting for a write before it."""
        waiting = (entry for effect in self._queue if isinstance(effect, ef.Append) for entry in effect.entries)
        return (*map(self.world.shared.thing, self._journal + self._written), *waiting)

    def synced_entries(self) -> tuple[Kept, ...]:
        """Return what the journal has whatever happens."""
        return tuple(map(self.world.shared.thing, self._journal))

    # Acts.

    def receive(self, event: ev.Event) -> None:
        """Let the core handle an event, and perform what it asks."""
        effects = self.core.handle(self.now(), event)
        self.world.turned(self, event, effects)
        self._queue.extend(effects)
        self._flush()

    def synced(self) -> None:
        """Go on after the disk has what was written."""
        self._journal += self._written
        self._written, self._syncing = (), False
        self._flush()

    def fire(self) -> None:
        """Fire the timer that is due first."""
        _, timer = self._timers.pop(0)
        self.receive(ev.TimerFired(timer=self.world.shared.thing(timer)))

    def dialled(self, index: int) -> None:
        """Have a dial no more; what came of it is told apart."""
        self._dials.pop(index, None)

    def work(self, *, found: bool) -> None:
        """End the oldest work; `found`: whoever is asked for a blob has it and answers."""
        effect = self._works.pop(0)
        self.receive(self._outcome(effect, found))

    def render(self) -> None:
        """Bring the oldest render one step on: its file is written, and then looked at and stored."""
        op, render = next(iter(self.farm.renders.items()))
        if render.writing:
            render.writing = False
            self.receive(ev.FrameWritten(op=op, render_ms=RENDER_MS))
            return
        del self.farm.renders[op]
        assembled = self.assemblies.growing.pop(op, None)
        facts = self._file(render) if assembled is None else self._assembled(assembled)
        self.world.blobs[facts.blob] = facts
        self.disk.ingest(facts)
        if facts.picture:
            self.world.safety.rendered(facts.blob, render.job, render.effect.task)
        else:
            self.world.safety.bucket_rendered(facts.blob, render.effect)
        self.receive(ev.Rendered(op=op, outputs=(Output(blob=facts.blob, size=facts.size),), log=None))

    def crash(self, survive: int, *, landed: bool) -> None:
        """Lose power: so many entries that were not synced survive; files on their way have landed or not."""
        for work in self._works:
            if landed and isinstance(work, ef.Export):
                self._rename(work)
        self._journal += self._written[:survive]
        self._written, self._syncing, self.running = (), False, False
        self.life += 1
        self._queue, self._timers, self._works, self._dials = [], [], [], {}
        self.farm.renders.clear()
        self.assemblies.growing.clear()

    def start(self) -> None:
        """Start the process from what the disk holds."""
        self.running = True
        self.receive(ev.Started(kept=self.kept(), complete=self.disk.whole(), addresses=(self.address,), contacts=()))
        self.receive(ev.EnginesProbed(engines=self.world.engines, slots=self.slots, cores=8, memory_mb=16_384))

    # What the core asks for.

    def _flush(self) -> None:
        while self._queue and not self._syncing:
            effect = self._queue.pop(0)
            if isinstance(effect, ef.Append):
                self._write(effect)
            else:
                self._perform[type(effect)](effect)

    def _write(self, first: ef.Append) -> None:
        """Write what every queued `Append` says at one go, as the shell does."""
        number = self.world.shared.number
        appends = [first, *(effect for effect in self._queue if isinstance(effect, ef.Append))]
        self._queue = [effect for effect in self._queue if not isinstance(effect, ef.Append)]
        self._written += tuple(number(entry) for append in appends for entry in append.entries)
        self._syncing = bool(self._written)

    def _out(self, what: str, peer: bytes, message: Any) -> None:
        index = self.world.index_of(peer)
        if index is not None:
            self.outs.append((what, index, message))

    def _send(self, effect: ef.Send) -> None:
        self.world.sends(self, effect)
        self._out("send", effect.peer, self.world.shared.number(effect.message))

    def _dial(self, effect: ef.Dial) -> None:
        index = self.world.index_of(effect.peer)
        if index is not None:
            self._dials[index] = None

    def _set_timer(self, effect: ef.SetTimer) -> None:
        if isinstance(effect.timer, LATE_FOR_EVER):
            return
        step_ms = self.world.step_ms
        due_ms = max(-(-effect.at // step_ms) * step_ms, self.world.now_ms)
        number = self.world.shared.number(effect.timer)
        at = len(self._timers)
        while at and self._timers[at - 1][0] > due_ms:
            at -= 1
        self._timers.insert(at, (due_ms, number))

    def _works_at(self, effect: ef.Effect) -> None:
        self._works.append(effect)

    def _start_render(self, effect: ef.StartRender) -> None:
        self.world.safety.render_starts(self.world.seen(self), effect)
        self.farm.renders[effect.op] = Render(effect=effect, started_ms=self.world.now_ms)

    def _kill(self, effect: ef.KillRender) -> None:
        self.farm.renders.pop(effect.op, None)

    def _start_assembly(self, effect: ef.StartAssembly) -> None:
        self.world.safety.assembly_starts(self.world.seen(self), effect)
        self.assemblies.growing[effect.op] = Growing(effect=effect, started_ms=0, free_ms=0)

    def _paste(self, effect: ef.PasteBucket) -> None:
        self.world.safety.pastes(self.world.seen(self), self.assemblies.growing[effect.op].effect, effect)
        self._works.append(effect)

    def _finish(self, effect: ef.FinishAssembly) -> None:
        growing = self.assemblies.growing[effect.op]
        self.world.finishes(self, growing)
        growing.finishing = True
        started: Any = growing.effect
        self.farm.renders[effect.op] = Render(effect=started, started_ms=self.world.now_ms)

    def _end_assembly(self, effect: ef.EndAssembly) -> None:
        self.assemblies.growing.pop(effect.op, None)
        self.farm.renders.pop(effect.op, None)
        self._works = [work for work in self._works if not (isinstance(work, ef.PasteBucket) and work.op == effect.op)]

    # What comes of work.

    def _outcome(self, effect: ef.Effect, found: bool) -> ev.Event:
        match effect:
            case ef.FetchManifest(op=op, blob=blob) if found:
                return ev.BlobStarted(op=op, blob=blob, pieces=1, have=())
            case ef.FetchPieces(op=op, blob=blob, numbers=numbers) if found:
                self.disk.ingest(self.world.blobs[blob])
                return ev.PiecesStored(op=op, blob=blob, numbers=numbers, complete=True)
            case ef.FetchManifest(op=op, blob=blob) | ef.FetchPieces(op=op, blob=blob):
                return ev.FetchFailed(op=op, blob=blob, full=False)
            case ef.ReadTree(op=op, root=root):
                return ev.TreeRead(op=op, root=root, blobs=() if self.disk.has(root) else None)
            case ef.WritePage(op=op, page=page):
                blob = BlobId(blake3(canonical(page).encode(), derive_key_context=_CONTEXT).digest())
                self.world.pages[blob] = page
                self._ingest(BlobFacts(blob=blob, pieces=1, size=1_000))
                return ev.PageWritten(op=op, blob=blob)
            case ef.ReadPage(op=op, blob=blob):
                return ev.PageRead(op=op, blob=blob, page=self.world.pages.get(blob) if self.disk.has(blob) else None)
            case ef.CheckOutput(op=op, blob=blob):
                good = self.disk.has(blob) and self.world.blobs[blob].picture
                return ev.OutputChecked(op=op, blob=blob, good=good)
            case ef.PasteBucket(op=op, blob=blob, block=block):
                growing = self.assemblies.growing[op]
                cut = growing.effect.job.body.cut
                assert cut is not None, "a frame that is not cut is assembled"
                growing.cells |= dict.fromkeys(cut.grid.cells(block), blob)
                return ev.BucketPasted(op=op, blob=blob, problem="")
            case ef.TryDials(op=op):
                return ev.DialsTried(op=op, tried=())
            case _:
                assert isinstance(effect, ef.Export), effect
                return self._exported(effect)

    def _exported(self, effect: ef.Export) -> ev.Event:
        there = self.disk.files.get((effect.directory, effect.name))
        if not self.disk.has(effect.blob):
            return ev.ExportFailed(op=effect.op, reason="the blob is not whole", exists=False)
        if there is not None and there != effect.blob and not effect.overwrite:
            return ev.ExportFailed(op=effect.op, reason="another file is there", exists=True)
        self._rename(effect)
        return ev.Exported(op=effect.op)

    def _rename(self, effect: ef.Export) -> None:
        place = (effect.directory, effect.name)
        there = self.disk.files.get(place)
        if self.disk.has(effect.blob) and (there in (None, effect.blob) or effect.overwrite):
            self.world.safety.export_lands(self.world.seen(self), effect)
            self.disk.files[place] = effect.blob

    def _ingest(self, facts: BlobFacts) -> None:
        self.world.blobs[facts.blob] = facts
        self.disk.ingest(facts)

    def _file(self, render: Render) -> BlobFacts:
        """Return what a render leaves, of its own: engines do not repeat themselves."""
        effect = render.effect
        named = render.job + effect.task.to_bytes(4, "big") + repr(effect.block).encode()
        named += self.boot + effect.op.to_bytes(8, "big")
        blob = BlobId(blake3(named, derive_key_context=_CONTEXT).digest())
        whole = effect.block is None
        return BlobFacts(blob=blob, pieces=1, size=PICTURE_BYTES, picture=whole, bucket=not whole)

    def _assembled(self, growing: Growing) -> BlobFacts:
        named = growing.job + growing.effect.task.to_bytes(4, "big")
        made_of = b"".join(blob for _, blob in sorted(growing.cells.items()))
        blob = BlobId(blake3(named + made_of, derive_key_context=_CONTEXT).digest())
        return BlobFacts(blob=blob, pieces=1, size=PICTURE_BYTES, picture=True)


_WORKS: tuple[type, ...] = (
    ef.FetchManifest,
    ef.FetchPieces,
    ef.ReadTree,
    ef.WritePage,
    ef.ReadPage,
    ef.CheckOutput,
    ef.Export,
    ef.TryDials,
)

_IGNORED: tuple[type, ...] = (
    ef.SendDatagram,
    ef.SendBeacon,
    ef.Knock,
    ef.WarmEngine,
    ef.OpenStage,
    ef.CloseStage,
    ef.Earned,
    ef.AnswerDoor,
    ef.ReachFound,
)
