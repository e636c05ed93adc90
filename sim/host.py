"""One host: a machine, a process on it that runs the core, and the shell that performs the core's effects.

Effects are performed in order. `Append` is a barrier: the entries of all that are queued are written and fsynced in
one go, and only then what follows goes on. A fuse can end the process between any two effects. A frozen process
handles nothing, and all that waited for it at once when it goes on.

Invariants: `life` rises with each end of the process, and whatever was on its way to an earlier life is dropped.
After the core said `Stopped` it is still told a few things, and must ask for nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from mesh.core.effects import (
    Accepted,
    AnswerDoor,
    Append,
    CheckOutput,
    CloseChannel,
    CloseStage,
    CompareOutputs,
    Declined,
    Dial,
    Earned,
    Effect,
    EndAssembly,
    Evict,
    Export,
    FetchManifest,
    FetchPieces,
    FinishAssembly,
    KillRender,
    Knock,
    Looked,
    OpenStage,
    PasteBucket,
    ReachFound,
    ReadPage,
    ReadTree,
    Reply,
    Ruled,
    Send,
    SendBeacon,
    SendDatagram,
    SetTimer,
    StartAssembly,
    StartRender,
    Stopped,
    TakeStock,
    TryDials,
    WarmEngine,
    WritePage,
)
from mesh.core.election import Election
from mesh.core.events import (
    DialsTried,
    EnginesProbed,
    Event,
    PauseAsked,
    ResumeAsked,
    Started,
    StopAsked,
    TimerFired,
    UnknownHeard,
)
from mesh.core.holds import Holding
from mesh.core.ledger import Ledger
from mesh.core.membership import Members
from mesh.core.status import JobView, MeshView, TaskView
from mesh.ground.dice import Dice
from mesh.ground.ids import BOOT_SIZE, Boot, JobId
from mesh.ground.instants import Now
from mesh.wire.envelope import Signed, Signer, peer_id
from mesh.wire.members import Admission
from mesh.wire.messages import Address
from mesh.wire.stills import Grants
from mesh.wire.versions import VERSION_HIGHEST
from sim.assemblies import Assemblies
from sim.clock import HostClock
from sim.disk import Disk
from sim.looks import FIRST_OP
from sim.net import address_of
from sim.render import Farm
from sim.scenario import Scenario
from sim.shelf import Shelf
from sim.versions import Shelved

if TYPE_CHECKING:
    from sim.world import World

MB = 1_000_000

OWNERS_OP = 0
"""Of what a host's owner asks: nobody waits for the answer."""

_PROBE_MS = 150


class Core(Protocol):
    """What the world needs of a peer: the real one, or a test's mutant of it."""

    @property
    def members(self) -> Members: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def election(self) -> Election: ...

    @property
    def holding(self) -> Holding: ...

    def handle(self, now: Now, event: Event) -> list[Effect]: ...

    def mesh_view(self, now: Now) -> MeshView: ...

    def job_view(self, now: Now, job: JobId) -> JobView | None: ...

    def task_views(self, job: JobId, tasks: Iterable[int] | None = None) -> tuple[TaskView, ...]: ...


def _slots(scenario: Scenario, index: int, dice: Dice) -> int:
    """Return how many slots a host has."""
    if index >= scenario.renderers:
        return 0
    return 1 + dice.fork(b"slots").below(scenario.slots) if scenario.mixed_slots else scenario.slots


class Host:
    """One machine of the world and the peer on it."""

    def __init__(self, world: "World", index: int, signer: Signer, chain: tuple[Signed[Admission], ...]) -> None:
        self.world = world
        self.index = index
        self.name = f"p{index}"
        self.signer = signer
        self.chain = chain
        self.peer_id = peer_id(signer.key)
        self.address: Address = address_of(index)
        self.contacts: tuple[Address, ...] = ()
        self._dice = world.dice.fork(b"host" + index.to_bytes(4, "big"))
        scenario = world.scenario
        self.clock = HostClock(
            base_ms=self._dice.below(10**9),
            drift_ppm=self._dice.below(2 * scenario.drift_ppm + 1) - scenario.drift_ppm,
            wall_offset_ms=self._dice.below(2 * scenario.wall_offset_ms + 1) - scenario.wall_offset_ms,
        )
        self.slots = _slots(scenario, index, self._dice)
        self.engines = world.engines_on(index, self._dice)
        quota_bytes = 0 if index in scenario.roomy else scenario.quota_mb * MB
        self.version = self.next_version = world.versions.first(index)
        """Of the wire: what its program speaks, and what the one does that is started next."""
        self._shelved = Shelved(world, self)
        self.disk = Disk(self._shelved, quota_bytes=quota_bytes, wall_ms=lambda: self.now().wall)
        self.shelf = Shelf(world, self)
        self.farm = Farm(world, self, scenario.slowest_percent + self._dice.below(101 - scenario.slowest_percent))
        self.assemblies = Assemblies(world, self)
        self.boot = Boot(b"")
        self.life = 0
        self.powered = True
        self.running = self.frozen = self.asleep = False
        self.wakes_ms = self.slept_ms = self.started_ms = 0
        self.frozen_at_ms = -(10**9)
        """When it was last frozen or fell asleep."""
        self.leaves = False
        """Whether it ends for good once it has stopped."""
        self.mute = False
        """Whether it grants nothing, whatever its core says."""
        self.fuse = 0
        """Effects after which the process dies; 0: none."""
        self._core: Core | None = None
        self._queue: deque[Effect] = deque()
        self._syncing = False
        self.writes = 0
        """How many fsyncs of its journal this host has seen the end of."""
        self._inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._perform = self._performing()

    def _performing(self) -> dict[type, Callable[[Any], None]]:
        """Say who performs each effect."""
        world = self.world
        return {
            Send: self._send,
            SendDatagram: lambda effect: world.net.send_datagram(self, effect),
            Dial: lambda effect: world.net.dial(self, effect.peer, effect.addresses),
            Knock: lambda effect: world.net.knock(self, effect.address),
            SendBeacon: lambda effect: world.net.call(self, effect.wall),
            CloseChannel: lambda effect: world.net.close(self, effect.peer),
            SetTimer: self._set_timer,
            FetchManifest: self.shelf.fetch_manifest,
            FetchPieces: self.shelf.fetch_pieces,
            ReadTree: self.shelf.read_tree,
            TakeStock: self.shelf.take_stock,
            Evict: self.shelf.evict,
            WritePage: self.shelf.write_page,
            ReadPage: self.shelf.read_page,
            CheckOutput: self.shelf.check_output,
            CompareOutputs: self.shelf.compare_outputs,
            Export: self.shelf.export,
            Earned: lambda _: None,
            WarmEngine: lambda _: None,
            OpenStage: lambda _: None,
            CloseStage: lambda effect: self.farm.close(effect.job),
            StartRender: self.farm.start,
            KillRender: lambda effect: self.farm.kill(effect.op),
            StartAssembly: self.assemblies.start,
            PasteBucket: self.assemblies.paste,
            FinishAssembly: self.assemblies.finish,
            EndAssembly: self.assemblies.end,
            Reply: self._reply,
            AnswerDoor: lambda _: None,
            TryDials: lambda effect: world.tell(self, 0, DialsTried(op=effect.op, tried=())),
            ReachFound: lambda _: None,
            Stopped: self._stopped,
        }

    # The process.

    @property
    def works(self) -> bool:
        """Whether its process runs and is not stopped."""
        return self.running and not self.frozen

    @property
    def core(self) -> Core:
        """The running core."""
        assert self._core is not None
        return self._core

    def start(self) -> None:
        """Start the process from what the disk holds; nothing where it runs."""
        if self.running:
            return
        self.powered = self.running = True
        self.version = self.next_version
        self.started_ms = self.world.now_ms
        self.world.capacity.note()
        self.boot = Boot(self._dice.draw(BOOT_SIZE))
        self._core = self.world.make_core(self, self._dice.draw(32))
        kept = self.disk.load()
        self.world.books.started(self, kept)
        self.receive(
            Started(
                kept=kept,
                complete=self.disk.whole(),
                addresses=(self.address,),
                contacts=self.contacts,
                beacon=self.world.scenario.beacons,
            )
        )
        self.shelf.measure(self.life)
        if self.world.scenario.scrub_ms:
            self.world.after(self.world.scenario.scrub_ms, self.shelf.scrub, self.life)
        self.world.tell(
            self,
            _PROBE_MS + self._dice.below(self.world.scenario.probe_ms + 1),
            EnginesProbed(engines=self.engines, slots=self.slots, cores=8, memory_mb=16_384),
        )

    def die(self, *, power: bool) -> None:
        """End the process by SIGKILL, or the whole machine by its plug."""
        if self.running:
            self._end()
            self.world.net.drop(self, visibly=not power, clean=False)
        if power:
            self.powered = False
            self.disk.lose_power(self._dice)

    def _end(self) -> None:
        self.life += 1
        self.running = self.frozen = self.asleep = False
        self.world.capacity.note()
        self.fuse = 0
        self._core = None
        self._queue.clear()
        self._syncing = False
        self._inbox.clear()
        self.farm.die()
        self.assemblies.die()

    def _stopped(self, effect: Stopped) -> None:
        self.world.safety.stopped(self, effect)
        self._end()
        self.world.net.drop(self, visibly=True, clean=True)
        if self.leaves:
            self.wipe()

    def ask_to_stop(self) -> None:
        """Ask the process to finish what it has in hand and end."""
        if self.running:
            self.receive(StopAsked(now=False))

    def upgrade(self) -> None:
        """Put the present program on the disk, and have the one that runs stop in order for it."""
        self.next_version = VERSION_HIGHEST
        self.ask_to_stop()

    def ask_to_leave(self) -> None:
        """Ask the process to end for good: to hand over first what it holds. Then it forgets all."""
        if self.running:
            self.leaves = True
            self.receive(StopAsked(now=False, leave=True))

    def wipe(self) -> None:
        """Lose the disk, and all that was on it."""
        self.disk = Disk(self._shelved)
        self.world.books.wiped(self)

    def ask_to_pause(self, *, now: bool) -> None:
        """Have the host's owner want it back until he says otherwise, `now` or when it has finished its frames."""
        if self.running:
            self.receive(PauseAsked(op=OWNERS_OP, until=None, now=now))

    def ask_to_resume(self) -> None:
        """Have the host's owner let it render again."""
        if self.running:
            self.receive(ResumeAsked(op=OWNERS_OP))

    def freeze(self, *, machine: bool) -> None:
        """Stop the process, or let the whole machine sleep, until `thaw`."""
        self.frozen = True
        self.asleep = machine
        self.frozen_at_ms = self.world.now_ms
        self.world.capacity.note()

    def thaw(self) -> None:
        """Go on: all that waited is handled at once."""
        if not self.frozen:
            return
        if self.asleep:
            self.slept_ms += self.world.now_ms - self.frozen_at_ms
        self.frozen = self.asleep = False
        self.world.capacity.note()
        self.world.safety.returns.thawed(self, self.world.now_ms - self.frozen_at_ms)
        waiting, self._inbox = self._inbox, []
        life = self.life
        for action, arguments in waiting:
            if self.life == life:
                action(*arguments)

    # Turns.

    def receive(self, event: Event) -> None:
        """Let the core handle an event and perform what it asks, now or after the thaw."""
        if not self.running:
            return
        if self.frozen:
            self._inbox.append((self.receive, (event,)))
            return
        world, core = self.world, self._core
        assert core is not None
        effects = core.handle(self.clock.read(world.now_ms), event)
        world.trace.turn(world.now_ms, self.index, event, effects)
        world.books.turned(self, event, effects)
        world.safety.turned(self, event, effects)
        if type(event) is UnknownHeard:
            world.versions.turned(self, event, effects)
        if effects:
            self._queue.extend(effects)
            self._flush()

    def _flush(self) -> None:
        perform = self._perform
        while self._queue and not self._syncing and self.running:
            if self.fuse:
                self.fuse -= 1
                if not self.fuse:
                    self.world.faults.fuse_blew(self)
                    return
            effect = self._queue.popleft()
            if type(effect) is Append:
                self._write(effect)
            else:
                perform[type(effect)](effect)

    def _write(self, first: Append) -> None:
        """Write the entries of every queued `Append` and fsync them together."""
        appends = [first, *(effect for effect in self._queue if isinstance(effect, Append))]
        self._queue = deque(effect for effect in self._queue if not isinstance(effect, Append))
        for append in appends:
            self.disk.write(tuple(filter(self._shelved.knows, append.entries)))
        self._syncing = True
        scenario = self.world.scenario
        takes_ms = scenario.fsync_ms + self._dice.below(scenario.fsync_ms + 1) + self.disk.stall_ms
        self.world.after(takes_ms, self._synced, self.life)

    @property
    def next_write(self) -> int:
        """With which fsync, counted as `writes` is, what a turn asks to keep now is on the disk."""
        return self.writes + (2 if self._syncing else 1)

    def _synced(self, life: int) -> None:
        if self.life != life:
            return
        if self.frozen:
            self._inbox.append((self._synced, (life,)))
            return
        self.disk.sync()
        self._syncing = False
        self.writes += 1
        self._flush()

    def _send(self, effect: Send) -> None:
        world = self.world
        if type(effect.message) is Grants:
            if self.mute:
                return
            world.economy.grants(self, effect.message)
        world.safety.sends(self, effect)
        world.net.send(self, effect.peer, effect.message)

    def _reply(self, effect: Reply) -> None:
        if effect.op >= FIRST_OP:
            assert isinstance(effect.reply, Looked | Declined)
            self.world.onlookers.hear(self, effect.op, effect.reply)
        elif effect.op != OWNERS_OP:
            assert isinstance(effect.reply, Accepted | Ruled | Declined)
            self.world.people.hear(self, effect.op, effect.reply)

    def _set_timer(self, effect: SetTimer) -> None:
        self.world.tell_at(self, max(self.clock.when(effect.at), self.world.now_ms), TimerFired(timer=effect.timer))

    def opens_to(self, other: "Host") -> bool:
        """Tell whether this host's door lets another in, as its shell asks in every handshake."""
        return self.core.members.bans.chain(other.chain) is None

    def now(self) -> Now:
        """Read the host's clocks now, as a person at its keyboard would."""
        return self.clock.read(self.world.now_ms)
