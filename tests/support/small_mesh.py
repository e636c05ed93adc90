"""A few real peers in memory, over a network that loses nothing and takes a millisecond.

It is far simpler than the simulator: no fault comes unless a test asks for it by name, so a test reads as its story.
Messages and journal entries travel as their real bytes, so whatever the core makes must be within the bounds of the
wire. After each turn the mesh holds the peer to one rule that no test need repeat: no record, hold or mark of its own
leaves a host before its journal has it.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.status import JobView, TaskView
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import HOUR_MS, Instant, Now, WallTime
from mesh.wire import kept as kp
from mesh.wire import messages as ms
from mesh.wire.envelope import check, statements
from mesh.wire.members import DEFAULT_ROLES, Role
from mesh.wire.records import Entry, FailureKind, Hold, Mark, Output, SealPage, encode_page
from mesh.wire.tasks import FrameRange, Frames
from tests.support.cast import ENGINE, NAMES, PICTURE, WALL, Actor, Cast, blob, boot

LATENCY_MS = 1
RENDER_MS = 1_000
DIAL_GIVEN_UP_MS = 3_000
DIRECTORY = "/home/ann/render"
MONOTONIC = 5_000_000


@dataclass(slots=True)
class Host:
    """One machine: what its disk holds, and the peer on it while it runs."""

    mesh: "SmallMesh"
    actor: Actor
    slots: int
    address: ms.Address
    peer: Peer | None = None
    lives: int = 0
    frozen: bool = False
    fuse: int | None = None
    """Effects that are performed before the process dies; None: it does not."""
    render_ms: int | None = RENDER_MS
    """None: renders end when the test says so."""
    journal: list[bytes] = field(default_factory=list)
    blobs: dict[BlobId, None] = field(default_factory=dict)
    files: dict[tuple[str, str], BlobId] = field(default_factory=dict)
    written: list[tuple[str, str]] = field(default_factory=list)
    """Every write of a file, so that one which is written twice shows."""
    replies: dict[int, ef.Accepted | ef.Declined] = field(default_factory=dict)
    answers: dict[int, ms.Admitted | ms.Refused] = field(default_factory=dict)
    rendering: dict[int, ef.StartRender] = field(default_factory=dict)
    started: list[tuple[JobId, int]] = field(default_factory=list)
    """Every render that was begun."""
    closed_stages: list[JobId] = field(default_factory=list)
    failing: dict[int, FailureKind] = field(default_factory=dict)
    """Tasks that this host cannot render."""
    waiting: list[Callable[[], None]] = field(default_factory=list)

    @property
    def id(self) -> PeerId:
        return self.actor.id

    @property
    def running(self) -> bool:
        return self.peer is not None

    @property
    def core(self) -> Peer:
        assert self.peer is not None, f"{self.actor.name} is not running"
        return self.peer

    def kept(self) -> tuple[kp.Kept, ...]:
        """Read the journal."""
        return tuple(kp.decode(entry) for entry in self.journal)

    def job(self, job: JobId) -> JobView:
        """Return the peer's view of a job that it knows."""
        view = self.core.job_view(self.mesh.now, job)
        assert view is not None
        return view

    def tasks(self, job: JobId) -> tuple[TaskView, ...]:
        """Return the peer's view of a job's tasks."""
        return self.core.task_views(job)


class SmallMesh:
    """Peers, the channels between them, and the clock."""

    def __init__(self) -> None:
        self.cast = Cast()
        self.now_ms = 0
        self.hosts: dict[str, Host] = {}
        self.trees: dict[BlobId, tuple[BlobId, ...]] = {}
        self.pages: dict[BlobId, SealPage] = {}
        self.bad: dict[BlobId, None] = {}
        """Blobs that are no pictures."""
        self.said: list[tuple[str, str, ms.Message]] = []
        """Every message that was heard: from, to, what."""
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        self._channels: dict[tuple[str, str], int] = {}
        self._channel = 0
        self._closing: dict[int, str] = {}
        """Channels that one end closed in order, and who is at the other."""
        self._cuts: dict[tuple[str, str], None] = {}
        self._op = 0

    # Making it.

    def add(self, name: str, *, roles: Role = DEFAULT_ROLES, slots: int = 1, start: bool = True) -> Host:
        """Add a member with a machine."""
        address = ms.Address(host=f"10.0.0.{1 + len(self.hosts)}", port=7_000 + len(self.hosts))
        host = Host(mesh=self, actor=self.cast.actor(name, roles), slots=slots, address=address)
        self.hosts[name] = host
        if start:
            self.start(name)
        return host

    def start(self, name: str) -> None:
        """Start the process of a host from what its disk holds."""
        host = self.hosts[name]
        assert host.peer is None
        host.lives += 1
        life = boot(f"{name}/{host.lives}")
        me = Me(signer=host.actor.signer, chain=host.actor.chain, mesh=self.cast.mesh, boot=life, name=name)
        host.peer = Peer(me, life)
        contacts = tuple(other.address for other in self.hosts.values() if other is not host)
        self.tell(
            host,
            ev.Started(kept=host.kept(), complete=tuple(host.blobs), addresses=(host.address,), contacts=contacts),
        )
        self.tell(host, ev.EnginesProbed(engines=(ENGINE,), slots=host.slots, cores=8, memory_mb=16_384))

    # What tests do to it.

    @property
    def now(self) -> Now:
        """What every clock shows."""
        return Now(instant=Instant(MONOTONIC + self.now_ms), wall=WallTime(WALL + self.now_ms))

    def kill(self, name: str) -> None:
        """Kill a process: its host refuses dials, its channels break at once."""
        host = self.hosts[name]
        self._end(host)
        for pair in [pair for pair in self._channels if name in pair]:
            self._close(pair, but=name, clean=False)

    def freeze(self, name: str) -> None:
        """Stop a process: nothing is heard of it until it is woken."""
        self.hosts[name].frozen = True

    def wake(self, name: str) -> None:
        """Let a stopped process go on: what waited for it comes at once."""
        host = self.hosts[name]
        host.frozen = False
        waiting, host.waiting = host.waiting, []
        for action in waiting:
            action()

    def cut(self, one: str, other: str) -> None:
        """Let nothing more through between two hosts; their channels stay as they are, and dials end in silence."""
        self._cuts[one, other] = self._cuts[other, one] = None

    def heal(self) -> None:
        """Take away every cut."""
        self._cuts.clear()

    def submit(self, name: str, *, frames: int = 4, scene: str = "scene", directory: str = DIRECTORY) -> JobId:
        """Submit a job at a host; its record is signed when this returns."""
        host = self.hosts[name]
        parts = tuple(blob(f"{scene}/{number}") for number in range(2))
        root = blob(scene)
        self.trees[root] = parts
        host.blobs.update(dict.fromkeys((root, *parts)))
        self._op += 1
        event = ev.JobPlanned(
            op=self._op,
            name=scene,
            scene=root,
            scene_blobs=(root, *parts),
            engine=ENGINE,
            frames=Frames(ranges=(FrameRange(first=1, last=frames, step=1),)),
            names=NAMES,
            picture=PICTURE,
            directory=directory,
            overwrite=False,
        )
        return self._accepted(host, event)

    def cancel(self, name: str, job: JobId) -> None:
        """Cancel a job at a host that may."""
        self._op += 1
        self._accepted(self.hosts[name], ev.CancelAsked(op=self._op, job=job))

    def fetch(self, name: str, job: JobId, directory: str) -> None:
        """Ask a host for a job's files."""
        self._op += 1
        self._accepted(self.hosts[name], ev.FetchAsked(op=self._op, job=job, directory=directory, overwrite=False))

    def stop(self, name: str, *, now: bool = False) -> None:
        """Ask a peer to end in order."""
        self.tell(self.hosts[name], ev.StopAsked(now=now))

    def finish(self, name: str, op: int) -> BlobId:
        """End a render whose host waits for the test, well; return its picture."""
        host = self.hosts[name]
        effect = host.rendering.pop(op)
        self.tell(host, ev.FrameWritten(op=op, render_ms=RENDER_MS))
        picture = blob(f"{name}/{host.lives} rendered {effect.task} of {effect.job.id.hex()}, {op}")
        host.blobs[picture] = None
        self.tell(host, ev.Rendered(op=op, outputs=(Output(blob=picture, size=1_000),), log=None))
        return picture

    def run(self, for_ms: int) -> None:
        """Let time pass."""
        self.run_until(lambda: False, for_ms, required=False)

    def run_until(self, done: Callable[[], bool], within_ms: int = HOUR_MS, *, required: bool = True) -> None:
        """Let time pass until `done`."""
        until = self.now_ms + within_ms
        while not done():
            if not self._heap or self._heap[0][0] > until:
                self.now_ms = until
                assert not required or done(), f"not done within {within_ms} ms"
                return
            self.now_ms, _, action = heapq.heappop(self._heap)
            action()

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Plan an act."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now_ms + max(0, delay_ms), self._planned, action))

    def connected(self, one: str, other: str) -> bool:
        """Tell whether there is a channel."""
        return _pair(one, other) in self._channels

    def named(self, peer: PeerId) -> Host:
        """Return the host of a peer."""
        return next(host for host in self.hosts.values() if host.id == peer)

    # The shell of each host.

    def tell(self, host: Host, event: ev.Event) -> None:
        """Let a peer handle an event, and perform what it asks."""
        if host.frozen:
            host.waiting.append(lambda: self.tell(host, event))
        elif host.peer is not None:
            self._perform(host, host.peer.handle(self.now, event))

    def _tell_later(self, host: Host, delay_ms: int, event: ev.Event) -> None:
        life = host.lives

        def act() -> None:
            if host.lives == life:
                self.tell(host, event)

        self.after(delay_ms, act)

    def _perform(self, host: Host, effects: list[ef.Effect]) -> None:
        for effect in effects:
            if host.fuse is not None:
                host.fuse -= 1
                if host.fuse < 0:
                    host.fuse = None
                    self.kill(host.actor.name)
                    return
            match effect:
                case ef.Append():
                    host.journal.extend(kp.encode(entry) for entry in effect.entries)
                case ef.Send():
                    self._send(host, effect)
                case ef.SetTimer():
                    delay_ms = effect.at - self.now.instant
                    self._tell_later(host, delay_ms, ev.TimerFired(timer=effect.timer))
                case ef.Dial() | ef.Knock() | ef.CloseChannel():
                    self._reach(host, effect)
                case ef.StartRender() | ef.KillRender() | ef.CloseStage():
                    self._render(host, effect)
                case ef.Stopped():
                    self._end(host)
                case _:
                    self._store(host, effect)

    def _send(self, host: Host, effect: ef.Send) -> None:
        self._owned(host, effect.message)
        target = self.named(effect.peer)
        pair = _pair(host.actor.name, target.actor.name)
        channel = self._channels.get(pair)
        if channel is None or (host.actor.name, target.actor.name) in self._cuts:
            return
        packet = ms.encode(effect.message)

        def arrive() -> None:
            if self._channels.get(pair) != channel and self._closing.get(channel) != target.actor.name:
                return
            message = ms.decode(packet)
            check(message, self.cast.keyring.verifier)
            self.said.append((host.actor.name, target.actor.name, message))
            self.tell(target, ev.MessageHeard(peer=host.id, message=message))

        self.after(LATENCY_MS, arrive)

    def _owned(self, host: Host, message: ms.Message) -> None:
        """Hold the host to its journal: what it says in its own name for good is on its disk."""
        own = [
            signed
            for signed in statements(message)
            if signed.author == host.id and isinstance(signed.body, Entry | Hold | Mark)
        ]
        if own:
            written = {signed.id for entry in host.kept() for signed in statements(entry)}
            assert all(signed.id in written for signed in own), f"{message} left before it was on the disk"

    def _reach(self, host: Host, effect: ef.Dial | ef.Knock | ef.CloseChannel) -> None:
        name = host.actor.name
        if isinstance(effect, ef.CloseChannel):
            pair = _pair(name, self.named(effect.peer).actor.name)
            if pair in self._channels:
                # What was said before the close arrives all the same.
                self._closing[self._channels[pair]] = self.named(effect.peer).actor.name
                self._close(pair, but=name, clean=True)
            return
        if isinstance(effect, ef.Dial):
            target = self.named(effect.peer)
            addresses = effect.addresses
        else:
            target = next(other for other in self.hosts.values() if other.address == effect.address)
            addresses = (effect.address,)
        other = target.actor.name
        if _pair(name, other) in self._channels or target is host:
            return
        if target.running and not target.frozen and (name, other) not in self._cuts:
            self._channel += 1
            self._channels[_pair(name, other)] = self._channel
            address = addresses[0] if target.address in addresses else None
            for end, far, where in ((host, target, address), (target, host, None)):
                life = boot(f"{far.actor.name}/{far.lives}")
                self._tell_later(end, LATENCY_MS, ev.ChannelOpened(peer=far.id, boot=life, address=where))
        elif isinstance(effect, ef.Dial):
            refused = not target.running and (name, other) not in self._cuts
            waits_ms = LATENCY_MS if refused else DIAL_GIVEN_UP_MS
            self._tell_later(host, waits_ms, ev.DialFailed(peer=effect.peer, refused=refused))

    def _close(self, pair: tuple[str, str], *, but: str, clean: bool) -> None:
        del self._channels[pair]
        (far,) = (name for name in pair if name != but)
        host = self.hosts[far]
        self._tell_later(host, LATENCY_MS, ev.ChannelClosed(peer=self.hosts[but].id, clean=clean))

    def _render(self, host: Host, effect: ef.StartRender | ef.KillRender | ef.CloseStage) -> None:
        match effect:
            case ef.StartRender():
                job = JobId(effect.job.id)
                host.started.append((job, effect.task))
                host.rendering[effect.op] = effect
                if effect.task in host.failing:
                    self.after(10, lambda: self._fail(host, effect.op))
                elif host.render_ms is not None:
                    life, name = host.lives, host.actor.name

                    def end() -> None:
                        if host.lives == life and host.running and effect.op in host.rendering:
                            self.finish(name, effect.op)

                    self.after(host.render_ms, end)
            case ef.KillRender():
                host.rendering.pop(effect.op, None)
            case ef.CloseStage():
                host.closed_stages.append(effect.job)

    def _fail(self, host: Host, op: int) -> None:
        effect = host.rendering.pop(op, None)
        if effect is not None:
            kind = host.failing[effect.task]
            self.tell(host, ev.RenderFailed(op=op, kind=kind, reason="it crashed", log=None))

    def _store(self, host: Host, effect: Any) -> None:
        match effect:
            case ef.FetchManifest() | ef.FetchPieces():
                self._fetch(host, effect)
            case ef.ReadTree():
                blobs = self.trees.get(effect.root, ()) if effect.root in host.blobs else None
                self._tell_later(host, 0, ev.TreeRead(op=effect.op, root=effect.root, blobs=blobs))
            case ef.WritePage():
                page = BlobId(blake3(encode_page(effect.page)).digest())
                self.pages[page] = effect.page
                host.blobs[page] = None
                self._tell_later(host, 0, ev.PageWritten(op=effect.op, blob=page))
            case ef.ReadPage():
                found = self.pages.get(effect.blob) if effect.blob in host.blobs else None
                self._tell_later(host, 0, ev.PageRead(op=effect.op, blob=effect.blob, page=found))
            case ef.CheckOutput():
                good = effect.blob not in self.bad
                self._tell_later(host, 0, ev.OutputChecked(op=effect.op, blob=effect.blob, good=good))
            case ef.Export():
                place = (effect.directory, effect.name)
                if host.files.get(place, effect.blob) != effect.blob and not effect.overwrite:
                    self._tell_later(host, 0, ev.ExportFailed(op=effect.op, reason="it is there", exists=True))
                    return
                if host.files.get(place) != effect.blob:
                    host.files[place] = effect.blob
                    host.written.append(place)
                self._tell_later(host, 0, ev.Exported(op=effect.op))
            case ef.Reply():
                host.replies[effect.op] = effect.reply
            case ef.AnswerDoor():
                host.answers[effect.op] = effect.answer
            case _:
                pass  # stages are opened ahead: nothing answers

    def _fetch(self, host: Host, effect: ef.FetchManifest | ef.FetchPieces) -> None:
        source = self.named(effect.peer)
        name, other = host.actor.name, source.actor.name

        def arrive() -> None:
            reached = source.running and not source.frozen and (name, other) not in self._cuts
            event: ev.Event
            if not reached or effect.blob not in source.blobs:
                event = ev.FetchFailed(op=effect.op, blob=effect.blob, full=False)
            elif isinstance(effect, ef.FetchManifest):
                event = ev.BlobStarted(op=effect.op, blob=effect.blob, pieces=1, have=())
            else:
                host.blobs[effect.blob] = None
                event = ev.PiecesStored(op=effect.op, blob=effect.blob, numbers=effect.numbers, complete=True)
            self.tell(host, event)

        life = host.lives
        self.after(LATENCY_MS, lambda: arrive() if host.lives == life else None)

    def _accepted(self, host: Host, event: ev.JobPlanned | ev.CancelAsked | ev.FetchAsked) -> JobId:
        self.tell(host, event)
        reply = host.replies[event.op]
        assert isinstance(reply, ef.Accepted), reply
        return reply.job

    def _end(self, host: Host) -> None:
        host.peer = None
        host.lives += 1
        host.frozen = False
        host.waiting.clear()
        host.rendering.clear()


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
