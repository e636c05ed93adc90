"""The node: a running peer. It builds the shell around a core and runs it until the core says that it has stopped.

Theory: every part talks to ports and to the driver, none to another but where it was handed a function of it. The core
is told first what the journal and the disk hold; only then are channels taken, and engines probed beside that.

Invariants: whatever fails inside ends the whole node, and reaches the caller as one error with a name; when `run`
returns, no task and no renderer of this node lives. The module must not know which adapters it was given."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

import trio

from mesh.core import effects as ef
from mesh.core.events import Event, Exported, ExportFailed, Started, StopAsked
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.ground.ids import JobId
from mesh.node.asking import Asking, Changes
from mesh.node.assemblies import Assemblies
from mesh.node.beacons import BeaconPost
from mesh.node.bench import Tools
from mesh.node.bootstraps import Bootstraps
from mesh.node.channels import Channels
from mesh.node.choice import Offer, sum_offers
from mesh.node.desk import Inviting, NodeDesk
from mesh.node.doors import Doors
from mesh.node.driver import Alarms, Driver, Turns
from mesh.node.engines import EngineRack
from mesh.node.executor import Executor, Route
from mesh.node.fetching import Fetching
from mesh.node.hearing import Hearing
from mesh.node.identity import Identity
from mesh.node.intake import Intake
from mesh.node.larder import Larder
from mesh.node.logs import Logs
from mesh.node.lookups import Lookups
from mesh.node.outputs import Outputs
from mesh.node.pacing import Pacing
from mesh.node.pages import Pages
from mesh.node.plain import plain_errors
from mesh.node.renders import Renders
from mesh.node.roster import why_cloned, why_out
from mesh.node.rot import Rot
from mesh.node.scrub import Scrub
from mesh.node.stores import Stores
from mesh.node.timings import Write, marks
from mesh.node.transfers import Transfers
from mesh.node.trials import Trials
from mesh.ports.datagrams import Datagrams
from mesh.ports.desk import Desk
from mesh.ports.folders import Folders
from mesh.ports.lan import Lan
from mesh.ports.renderer import Engines, Renderer, StageLimits
from mesh.ports.storage import BlobStore, Journal, Scenes
from mesh.ports.transport import Pieces, Transport
from mesh.ports.world import World
from mesh.wire.beacon import beacon_key
from mesh.wire.envelope import Verifier
from mesh.wire.handshake import DatedDoor
from mesh.wire.kept import Kept, KeptOrder
from mesh.wire.messages import Address

_SEED_BYTES: Final = 32


class Ending(Enum):
    """How a node ended."""

    STOPPED = "stopped"
    LEFT = "left"
    """Its person wants the membership forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything of the world that a node needs, made by whoever composes it."""

    world: World
    store: BlobStore
    scenes: Scenes
    journal: Journal
    transport: Transport
    datagrams: Datagrams
    pieces: Pieces
    renderer: Renderer
    folders: Folders
    door: DatedDoor
    """The transport's: the node tells it of those who were thrown out."""
    verifier: Verifier
    scratch: Path
    """A private directory that was emptied before."""
    home: str
    """The peer's directory, for people to read."""
    slots: int
    """Renders at a time; 0: never."""
    limits: StageLimits
    lan: Lan | None = None
    """Where beacons are sent and heard; None: nowhere."""
    timings: Write | None = None
    """Takes a line whenever a step of a job's way was done; for measurements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a node starts from, and whom it tells what its person should know."""

    kept: tuple[Kept, ...]
    contacts: tuple[Address, ...]
    """Addresses to dial without knowing who answers."""
    bootstraps: Bootstraps = field(default_factory=Bootstraps)
    """Those of them that a person typed, and hears of."""
    alarm: Callable[[str], None] = lambda _why: None
    """Hears, once each, why this peer is no member any more, and that a copy of it runs."""


class Tape(Turns, Protocol):
    """What is told all that a core hears and asks for, from its beginning on."""

    def begin(self, me: Me, seed: bytes) -> Me:
        """Take who the core is, and return who it shall be: the same, with a signer that is watched."""
        ...


class Node:
    """One running peer; `run` is its life."""

    def __init__(
        self,
        parts: Parts,
        who: Identity,
        beginning: Beginning,
        *,
        tape: Tape | None = None,
        make_core: Callable[[Me, bytes], Peer] = Peer,
    ) -> None:
        self._parts = parts
        self._who = who
        self._beginning = beginning
        me, seed = who.me(), parts.world.entropy(_SEED_BYTES)
        self._peer = make_core(me if tape is None else tape.begin(me, seed), seed)
        self._shown = who.credentials(who.renewed)
        self._bans = self._peer.members.bans
        self._told_out = self._told_twin = False
        self._changes = Changes()
        self._mark = marks(parts.world, parts.timings)
        self._directories = first_directories(beginning.kept)
        self._stopped = trio.Event()
        self._ending = Ending.STOPPED
        self._driver = Driver(self._peer, world=parts.world, perform=self._perform, tape=tape)
        self._beacons = BeaconPost(
            lan=parts.lan,
            me=who.peer,
            key=beacon_key(who.mesh, who.secret),
            world=parts.world,
            addresses=parts.transport.addresses,
            hint=self._driver.hint,
        )
        self._asking = Asking(self._driver.tell)
        self._hearing = Hearing(parts.verifier, parts.world)
        self._alarms = Alarms(parts.world, self._driver.tell)
        self._rack = EngineRack(
            renderer=parts.renderer, facts=parts.world.facts(), slots=parts.slots, tell=self._driver.tell
        )

    @property
    def engines(self) -> Engines:
        """What this host can render with, as the last look found it; nothing before the desk opens."""
        return self._rack.found

    async def run(
        self, *, at_desk: Callable[[Desk], Awaitable[None]], on_signal: Callable[[int], None] | None = None
    ) -> Ending:
        """Run until stopped. `at_desk` gets the desk once the node is ready, and may go on for as long as it lives.

        With `on_signal` the first SIGTERM or SIGINT drains, and it is told how many frames are in hand then; a second
        stops at once. Who was about to leave then stays a member. Raises `BugError` with its story when
        the core broke a rule, and the error of the journal when it can be written no more.
        """
        with plain_errors():
            async with trio.open_nursery() as nursery:
                await self._run_in(nursery, at_desk, on_signal)
                nursery.cancel_scope.cancel()
        return self._ending

    async def _run_in(
        self,
        nursery: trio.Nursery,
        at_desk: Callable[[Desk], Awaitable[None]],
        on_signal: Callable[[int], None] | None,
    ) -> None:
        channels = self._channels(nursery)
        self._executor = Executor(
            world=self._parts.world, journal=self._parts.journal, routes=self._routes(nursery, channels)
        )
        self._driver.watch(self._after_turn)
        nursery.start_soon(self._executor.run)
        await self._driver.tell(await self._started())
        rot = Rot(self._driver.tell)
        self._parts.store.watch(rot.found)
        nursery.start_soon(rot.run)
        nursery.start_soon(self._stores.run)
        nursery.start_soon(Scrub(world=self._parts.world, store=self._parts.store).run)
        nursery.start_soon(self._driver.run)
        nursery.start_soon(self._alarms.run)
        nursery.start_soon(channels.accept)
        nursery.start_soon(self._lookups.hear)
        nursery.start_soon(self._beacons.run)
        nursery.start_soon(self._rack.probe)
        if on_signal is not None:
            nursery.start_soon(self._heed_signals, on_signal)
        nursery.start_soon(self._open_desk, at_desk, self._desk(nursery))
        await self._stopped.wait()
        await channels.farewell()

    async def _open_desk(self, at_desk: Callable[[Desk], Awaitable[None]], desk: Desk) -> None:
        """Open the desk once the core knows what this host can do, so that the first submission finds an engine."""
        await self._rack.settled()
        while self._peer.host.engines != self._rack.ids():
            await self._changes.wait()
        await at_desk(desk)

    async def _perform(self, effects: Sequence[ef.Effect]) -> None:
        await self._executor.take(effects)

    async def _started(self) -> Event:
        blobs = await self._parts.world.in_thread(self._parts.store.blobs)
        return Started(
            kept=self._beginning.kept,
            complete=tuple(info.blob for info in blobs if info.complete),
            addresses=self._parts.transport.addresses(),
            contacts=self._beginning.contacts,
            beacon=self._parts.lan is not None,
        )

    def _channels(self, nursery: trio.Nursery) -> Channels:
        self._doors = Doors(
            hearing=self._hearing, shown=lambda: self._shown, expired=self._expired, tell=self._driver.tell
        )
        pacing = Pacing()
        channels = Channels(
            me=self._who.peer,
            nursery=nursery,
            transport=self._parts.transport,
            hearing=self._hearing,
            doors=self._doors,
            world=self._parts.world,
            tell=self._driver.tell,
            heard=self._driver.heard,
            pacing=pacing,
            bootstraps=self._beginning.bootstraps,
        )
        self._lookups = Lookups(
            datagrams=self._parts.datagrams,
            carry=channels.carry,
            hearing=self._hearing,
            world=self._parts.world,
            tell=self._driver.tell,
            pacing=pacing,
        )
        self._trials = Trials(
            nursery=nursery, transport=self._parts.transport, routes=channels.routes, tell=self._driver.tell
        )
        return channels

    def _routes(self, nursery: trio.Nursery, channels: Channels) -> Mapping[type[ef.Effect], Route]:
        """Say who performs each effect."""
        parts, tell = self._parts, self._driver.tell
        self._fetching = Fetching(
            world=parts.world,
            folders=parts.folders,
            asking=self._asking,
            job=lambda job: self._peer.job_view(parts.world.now(), job),
            tasks=self._peer.task_views,
        )
        transfers = Transfers(
            nursery=nursery,
            world=parts.world,
            store=parts.store,
            pieces=parts.pieces,
            routes=channels.routes,
            beckon=channels.beckon,
            tell=tell,
        )
        pages = Pages(
            nursery=nursery,
            world=parts.world,
            store=parts.store,
            scenes=parts.scenes,
            hearing=self._hearing,
            tell=tell,
        )
        stores = self._stores = Stores(
            nursery=nursery, world=parts.world, store=parts.store, scenes=parts.scenes, tell=tell
        )
        outputs = Outputs(
            nursery=nursery,
            world=parts.world,
            store=parts.store,
            renderer=parts.renderer,
            folders=parts.folders,
            scratch=parts.scratch,
            tell=tell,
            exported=self._fetching.exported,
        )
        return {
            ef.Send: channels.send,
            ef.SendDatagram: self._lookups.send,
            ef.Dial: channels.dial,
            ef.Knock: channels.knock,
            ef.SendBeacon: self._beacons.send,
            ef.CloseChannel: channels.close,
            ef.SetTimer: self._alarms.set,
            ef.FetchManifest: transfers.fetch_manifest,
            ef.FetchPieces: transfers.fetch_pieces,
            ef.ReadTree: pages.read_tree,
            ef.WritePage: pages.write_page,
            ef.ReadPage: pages.read_page,
            ef.TakeStock: stores.take_stock,
            ef.Evict: stores.evict,
            ef.CheckOutput: outputs.check,
            ef.CompareOutputs: outputs.compare,
            ef.Export: outputs.export,
            ef.Earned: channels.earned,
            **self._routes_of_renders(nursery),
            **self._routes_of_answers(),
            ef.Stopped: self._on_stopped,
        }

    def _routes_of_renders(self, nursery: trio.Nursery) -> Mapping[type[ef.Effect], Route]:
        tools, scratch, tell, hint = self._tools(), self._parts.scratch, self._driver.tell, self._driver.hint
        renders = Renders(nursery=nursery, tools=tools, scratch=scratch, tell=tell, hint=hint)
        assemblies = self._assemblies = Assemblies(
            tools=tools, bench=renders.bench, tell=tell, hint=hint, scratch=scratch, me=self._who.peer
        )

        def close_stage(effect: ef.CloseStage) -> None:
            renders.close_stage(effect)
            assemblies.close(effect.job)

        return {
            ef.WarmEngine: renders.warm,
            ef.OpenStage: renders.open_stage,
            ef.CloseStage: close_stage,
            ef.StartRender: renders.start,
            ef.KillRender: renders.kill,
            ef.StartAssembly: assemblies.start,
            ef.PasteBucket: assemblies.paste,
            ef.FinishAssembly: assemblies.finish,
            ef.EndAssembly: assemblies.end,
        }

    def _routes_of_answers(self) -> Mapping[type[ef.Effect], Route]:
        return {
            ef.Reply: self._asking.reply,
            ef.AnswerDoor: self._doors.answer,
            ef.TryDials: self._trials.begin,
            ef.ReachFound: self._asking.found,
        }

    def _tools(self) -> Tools:
        parts = self._parts
        return Tools(
            world=parts.world,
            store=parts.store,
            scenes=parts.scenes,
            renderer=parts.renderer,
            rack=self._rack,
            limits=parts.limits,
            mark=self._mark,
        )

    def _desk(self, nursery: trio.Nursery) -> NodeDesk:
        parts = self._parts
        larder = Larder(world=parts.world, store=parts.store, asking=self._asking)
        intake = Intake(
            nursery=nursery,
            world=parts.world,
            scenes=parts.scenes,
            make_room=larder.make_room,
            renderer=parts.renderer,
            rack=self._rack,
            folders=parts.folders,
            scratch=parts.scratch,
            offers=self._offers,
            ask=self._asking.ask,
            mark=self._mark,
        )
        return NodeDesk(
            world=parts.world,
            home=parts.home,
            views=self._peer,
            members=self._peer.views.members,
            revocations=self._peer.revoking.words,
            larder=larder,
            rack=self._rack,
            intake=intake,
            logs=Logs(world=parts.world, store=parts.store, asking=self._asking, changes=self._changes),
            fetching=self._fetching,
            asking=self._asking,
            changes=self._changes,
            inviting=Inviting(
                signer=self._who.signer,
                secret=self._who.secret,
                mesh_name=self._who.mesh_name,
                chain=lambda: self._peer.chain,
                addresses=parts.transport.addresses,
            ),
            bootstraps=self._beginning.bootstraps,
            beacon=self._beacons.row,
            directories=self._directories,
            preview=self._assemblies.preview,
            stop=lambda event: self._ask_to_stop(nursery, event),
        )

    def _after_turn(self, event: Event) -> None:
        """Show a renewal from now on, shut the door on those who were thrown out, and wake who watches."""
        members = self._peer.members
        if members.renewed != self._shown.renewed:
            self._shown = self._who.credentials(members.renewed)
            self._parts.transport.show(self._shown)
            self._parts.datagrams.show(self._shown)
        if members.bans is not self._bans:
            self._bans = self._parts.door.bans = members.bans
            self._parts.transport.judge_again()
            if members.out is not None and not self._told_out:
                self._told_out = True
                self._beginning.alarm(why_out(members.out, self._who.peer, self._peer.views.members()))
        twin = self._peer.host.twin
        if twin is not None and not self._told_twin:
            self._told_twin = True
            self._beginning.alarm(why_cloned(twin))
        self._changes.note(written=isinstance(event, Exported | ExportFailed))

    def _offers(self) -> tuple[Offer, ...]:
        """Return which engines the connected peers have, this one included."""
        view = self._peer.mesh_view(self._parts.world.now())
        return sum_offers((engine, peer.slots) for peer in view.peers if peer.connected for engine in peer.engines)

    def _expired(self) -> bool:
        return self._parts.world.now().wall >= self._peer.members.mine.expires

    def _ask_to_stop(self, nursery: trio.Nursery, event: StopAsked) -> None:
        if event.leave:
            self._ending = Ending.LEFT
        nursery.start_soon(self._driver.tell, event)

    def _on_stopped(self, _effect: ef.Stopped) -> None:
        self._driver.stop()
        self._stopped.set()

    async def _heed_signals(self, on_signal: Callable[[int], None]) -> None:
        """Drain at the first signal, stop at once at the second."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            now = False
            async for _ in received:
                self._ending = Ending.STOPPED  # a host that is shut down while it hands over wants to forget nothing
                if not now:
                    on_signal(len(self._peer.mesh_view(self._parts.world.now()).renders))
                await self._driver.tell(StopAsked(now=now))
                now = True


def first_directories(kept: tuple[Kept, ...]) -> dict[JobId, str]:
    """Return where each job's files were ordered first: for a job of this peer's that is its own output directory."""
    found: dict[JobId, str] = {}
    for entry in kept:
        if isinstance(entry, KeptOrder):
            found.setdefault(entry.job, entry.directory)
    return found
