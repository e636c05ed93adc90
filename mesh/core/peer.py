"""The whole peer as one pure function of events: it builds the machines and routes to them, and holds no state of any
job.

`handle` runs one event to its end: the machines leave effects and notes in the turn, notes and messages to oneself are
routed until none is left, and the effects are returned in order. A turn is bounded, so that no loop of notes can run
away.
"""

from collections.abc import Callable, Iterable
from typing import Any

from mesh.core import events as ev
from mesh.core import notes as nt
from mesh.core import routes
from mesh.core import timers as tm
from mesh.core.assembling import Assembling
from mesh.core.availability import Availability
from mesh.core.backdials import Backdials
from mesh.core.beacons import Beacons
from mesh.core.bonds import Bonds
from mesh.core.bucketing import Bucketing
from mesh.core.catalogue import Catalogue
from mesh.core.claims import Claims
from mesh.core.contacts import Contacting
from mesh.core.costs import Costs
from mesh.core.delivery import Delivery
from mesh.core.dht.dht import Dht
from mesh.core.directory import Directory
from mesh.core.effects import Effect
from mesh.core.election import Election
from mesh.core.fairness import Fairness
from mesh.core.following import Following
from mesh.core.hand import Hand
from mesh.core.holds import Holding
from mesh.core.host import HostFacts
from mesh.core.jobs import Jobs
from mesh.core.keepers import Keepers
from mesh.core.larder import Larder
from mesh.core.leases import Leases
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.looks import Looks
from mesh.core.me import Me
from mesh.core.membership import Chain, Door, Members
from mesh.core.meshset import MeshSet
from mesh.core.ops import Ops
from mesh.core.outcomes import Outcomes
from mesh.core.pausing import Pausing
from mesh.core.probing import Probing
from mesh.core.repair import Repair
from mesh.core.revoking import Revoking
from mesh.core.rulings import Rulings
from mesh.core.scenes import Scenes
from mesh.core.seals import Seals
from mesh.core.slots import Slots
from mesh.core.speech import spoken
from mesh.core.status import HelperView, JobView, MeshView, ShareView, StillView, TaskView
from mesh.core.stills import Stills
from mesh.core.stopping import Stopping
from mesh.core.swarm import Swarm
from mesh.core.sync import Sync
from mesh.core.turn import Turn
from mesh.core.view import View
from mesh.core.views import Views
from mesh.core.vouching import Vouching
from mesh.core.whereabouts import Whereabouts
from mesh.core.windows import Windows
from mesh.ground.dice import Dice
from mesh.ground.errors import BugError
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import GAP_MS, HEARTBEAT_MS, NEWS_AFTER_GAP_MS, NOTES_PER_JOB, NOTES_PER_TURN
from mesh.wire import kept as kp
from mesh.wire import messages as ms
from mesh.wire.envelope import peer_id
from mesh.wire.members import Role
from mesh.wire.probes import PROBE_MESSAGES
from mesh.wire.records import EngineId
from mesh.wire.versions import VERSION_HIGHEST


class Peer:
    """Route events, messages, notes and timers to the machines that they are for."""

    def __init__(self, me: Me, seed: bytes) -> None:
        self.id = peer_id(me.signer.key)
        self._me = me
        self._dice = Dice(seed)
        self._last: Instant | None = None
        self._build()
        self._ticks = self._of_ticks()
        self.event_routes: dict[type, routes.Route] = routes.of_events(self)
        self.message_routes: dict[type, routes.Hearing] = routes.of_messages(self)
        self.note_routes: dict[type, tuple[routes.Route, ...]] = routes.of_notes(self)
        self.timer_routes: dict[type, routes.Route] = routes.of_timers(self)

    def handle(self, now: Now, event: ev.Event) -> list[Effect]:
        """Take one event to its end and return what the world is asked for, in order."""
        if self.stopping.over:
            return []
        turn = Turn(now, self._dice, self.id)
        if self._last is not None and now.instant - self._last > HEARTBEAT_MS + GAP_MS:
            self.host.hearing_until = later(now.instant, NEWS_AFTER_GAP_MS)
            turn.wake(tm.HearingEnds(), NEWS_AFTER_GAP_MS)
            turn.tell(nt.Slept())
            self._settle(turn)
        self._last = now.instant
        self.event_routes[type(event)](turn, event)
        if turn.notes or turn.heard:
            self._settle(turn)
        if self.stopping.asked:
            self.stopping.settle(turn)
        return spoken(turn.effects, self.directory) if self.directory.mixed else turn.effects

    @property
    def chain(self) -> Chain:
        """This peer's own chain, as last renewed."""
        return self.members.my_chain

    def mesh_view(self, now: Now) -> MeshView:
        """Return all that this peer knows, in short."""
        return self.views.mesh(now)

    def job_view(self, now: Now, job: JobId) -> JobView | None:
        """Return one job, or None where it is unknown."""
        return self.views.job(now, job) if job in self.ledger.jobs else None

    def task_views(self, job: JobId, tasks: Iterable[int] | None = None) -> tuple[TaskView, ...]:
        """Return every frame of a job, or those with these numbers; none where it is unknown."""
        return self.views.tasks(job, tasks) if job in self.ledger.jobs else ()

    def still_view(self, now: Now, job: JobId, frame: int | None) -> StillView | None:
        """Return how a frame grows from buckets, or None where none such is known; without a number, the next one."""
        return self.views.still(now, job, frame) if job in self.ledger.jobs else None

    def share_views(self, job: JobId) -> tuple[ShareView, ...]:
        """Return who rendered how much of a job in buckets; nobody where it is unknown."""
        return self.views.shares(job) if job in self.ledger.jobs else ()

    def helpers(self, engine: EngineId, memory_mb: int = 0) -> tuple[HelperView, ...]:
        """Return which connected peers can render with `engine` and so much memory, and what the others lack."""
        return self.views.helpers(engine, memory_mb)

    def _build(self) -> None:
        me, signer = self.id, self._me.signer
        self.host = HostFacts()
        self.ops = Ops()
        self.directory = Directory(me)
        catalogue = Catalogue()
        self.ledger = Ledger()
        self.members = Members(self._me.mesh, self._me.chain)
        self.dht = Dht(self.directory, self.members)
        self.view = View(self.directory, self.dht.table.answering, self._me.everybody)
        self.contacting = Contacting(self.directory, self.members.barred, self.view)
        self.probing = Probing(self.directory, self.contacting, self.members.barred)
        self.beacons = Beacons(self.directory)
        self.revoking = Revoking(self.members, catalogue, self.directory, self.ledger, self.host, me=self._me)
        self.whereabouts = Whereabouts(self.dht, self.directory, self.contacting, signer, self._me.name)
        self.door = Door(self.members, signer, catalogue, self.directory.contacts, self.directory.connected)
        self.meshset = MeshSet(self.ledger, self.members, self.door, self.directory, catalogue, in_use=self._in_use)
        self.keepers = Keepers(
            self.ledger, self.meshset, self.directory, signer, self.dht.table.answering, full=lambda: self.host.full
        )
        self.sync = Sync(
            self.ledger, self.members, self.keepers,
            signer=signer, boot=self._me.boot, assembles=self._assembles, hears=self.host.hears,
        )  # fmt: skip
        self.looks = Looks(self.ledger, self.keepers, self.directory, self.sync)
        self.leases = Leases(self.ledger, self.members, self.keepers, self.directory)
        self.election = Election(
            self.ledger,
            self.keepers,
            self.directory,
            signer,
            ready=self.leases.ready,
            has_buckets=self._has_buckets,
        )
        self.windows = Windows(self.ledger, self.keepers, self.leases, self.election.epoch)
        self.swarm = Swarm(self.directory, self.ops)
        self.slots = Slots(self.ledger, self.host, self.ops)
        self.hand = Hand(signer, self._me.boot, self.slots.wanting_slots)
        self.scenes = Scenes(
            self.ledger, self.keepers, self.host, self.swarm, self.hand, ops=self.ops, me=me, rendered=self._is_rendered
        )
        self.assembling = Assembling(self.ledger, self.swarm, self.host, self.ops, me)
        self.vouching = Vouching(self.ledger, self.swarm, self.ops, me, self.host)
        self._build_for_the_owner()
        self._build_for_copies()
        self.delivery = Delivery(self.ledger, self.holding, self.swarm, self.ops, me)
        self.seals = Seals(
            self.ledger, self.members, self.keepers, self.holding, self.delivery, swarm=self.swarm, ops=self.ops, me=me
        )
        self._build_for_claims()
        self.outcomes = Outcomes(
            self.slots, self.assembling, self.claims, self.swarm, scenes=self.scenes, holding=self.holding
        )
        bonds = Bonds(
            self.ledger,
            self.directory,
            self.swarm,
            self.scenes,
            self.holding,
            slots=self.slots,
            assembling=self.assembling,
            vouching=self.vouching,
            delivery=self.delivery,
            seals=self.seals,
        )
        self.larder = Larder(bonds, self.host, self.swarm, self.scenes, ops=self.ops)
        self._build_for_people()

    def _build_for_copies(self) -> None:
        self.holding = Holding(
            self.ledger,
            self.members,
            self.keepers,
            self.directory,
            self.host,
            swarm=self.swarm,
            ops=self.ops,
            signer=self._me.signer,
        )
        self.repair = Repair(
            self.ledger, self.holding, self.keepers, self.directory, self.meshset.show, swarm=self.swarm
        )

    def _build_for_claims(self) -> None:
        hand, costs = self.hand, Costs()
        followings: dict[JobId, Following] = {}
        fairness = Fairness(self.ledger, self.id, hand, followings=followings, running=self.slots.in_hand)
        self.stills = Stills(
            self.ledger, self.election, self.leases, self.windows, self.directory, costs=costs, signer=self._me.signer
        )
        self.bucketing = Bucketing(
            self.ledger,
            self.keepers,
            self.directory,
            self.host,
            hand,
            costs=costs,
            fairness=fairness,
            followings=followings,
            running=self.slots.in_hand,
            scene_complete=self.scenes.complete,
            epoch=self.election.epoch,
        )
        self.claims = Claims(
            self.ledger,
            self.keepers,
            self.contacting,
            self.directory,
            self.host,
            hand=hand,
            costs=costs,
            fairness=fairness,
            followings=followings,
            claim_cut=self.bucketing.claim_from,
            scene_complete=self.scenes.complete,
            progress=self._progress_of,
            coordinator=self.election.coordinator,
            decides=self.leases.ready,
        )

    def _build_for_people(self) -> None:
        self.jobs = Jobs(
            self.ledger,
            self.members,
            self.meshset,
            self.directory,
            self.delivery,
            scenes=self.scenes,
            swarm=self.swarm,
            sync=self.sync,
            holding=self.holding,
            keepers=self.keepers,
            signer=self._me.signer,
        )
        self.rulings = Rulings(
            self.ledger,
            self.members,
            self.keepers,
            self.directory,
            delivery=self.delivery,
            sync=self.sync,
            signer=self._me.signer,
        )
        self.views = Views(
            self._me.name,
            self.ledger,
            self.members,
            self.directory,
            self.host,
            keepers=self.keepers,
            leases=self.leases,
            claims=self.claims,
            slots=self.slots,
            holding=self.holding,
            delivery=self.delivery,
            jobs=self.jobs,
            scenes=self.scenes,
            sync=self.sync,
            looks=self.looks,
            probing=self.probing,
            repair=self.repair,
            rulings=self.rulings,
            coordinator=self.election.coordinator,
        )

    def _build_for_the_owner(self) -> None:
        self.pausing = Pausing(self.host)
        self.stopping = Stopping(
            self.host,
            self.directory,
            lambda: self.slots.idle and self.assembling.idle and self.vouching.idle,
            lambda: bool(self.holding.unsafe_of_mine()),
            lambda: self.repair.handing_over,
        )
        self.availability = Availability(self.host, lambda: self.slots.busy, self.contacting.announce)
        self.backdials = Backdials(self.directory, self.ops)

    def _of_ticks(self) -> tuple[Callable[[Turn], None], ...]:
        """Return what each machine does every second, in this order."""
        peers = (self.pausing, self.contacting, self.whereabouts, self.beacons, self.door, self.revoking, self.meshset)
        jobs = (self.keepers, self.sync, self.leases, self.election, self.windows, self.stills, self.claims)
        blobs = (self.swarm, self.scenes, self.assembling, self.vouching, self.holding, self.repair)
        return tuple([machine.on_tick for machine in (*peers, *jobs, *blobs, self.delivery, self.seals)])

    def _settle(self, turn: Turn) -> None:
        most = NOTES_PER_TURN + NOTES_PER_JOB * len(self.ledger.jobs)
        for _ in range(most):
            if turn.notes:
                note = turn.notes.popleft()
                for route in self.note_routes[type(note)]:
                    route(turn, note)
            elif turn.heard:
                message = turn.heard.popleft()
                self.message_routes[type(message)](turn, self.id, message)
            else:
                return
        raise BugError(f"a turn of over {most} notes; the next were {list(turn.notes)[:4]}")

    def on_message_heard(self, turn: Turn, event: ev.MessageHeard) -> None:
        peer, message = event.peer, event.message
        if self.members.barred(peer):
            return  # said before its channel closed, heard after
        self.contacting.on_anything(turn, peer)
        self.message_routes[type(message)](turn, peer, message)

    def on_timer_fired(self, turn: Turn, event: ev.TimerFired) -> None:
        self.timer_routes[type(event.timer)](turn, event.timer)

    def on_unknown_heard(self, turn: Turn, event: ev.UnknownHeard) -> None:
        """Pass over what only newer versions know: its sender lives, and means no harm."""
        if not self.members.barred(event.peer):
            self.contacting.on_anything(turn, event.peer)

    def _in_use(self, job: JobId) -> bool:
        """Whether somebody here ordered a job's files, or this host claimed a task of it, or promised to keep some."""
        return bool(self.delivery.of(job)) or bool(self.hand.of(job)) or bool(self.holding.book.in_job(self.id, job))

    def _is_rendered(self, job: JobId) -> bool:
        return self.claims.rendered(job)

    def _assembles(self, job: JobId) -> bool:
        return any(growing.claim.body.job == job for growing in self.assembling.growing())

    def _has_buckets(self, ledger: JobLedger) -> bool:
        return self.windows.has_buckets(ledger)

    def _progress_of(self, claim: RecordId) -> int:
        assembled = self.assembling.progress_of(claim)
        return self.slots.progress_of(claim) if assembled is None else assembled

    def on_started(self, turn: Turn, event: ev.Started) -> None:
        by_kind: dict[type, list[Any]] = {}
        for entry in event.kept:
            by_kind.setdefault(type(entry), []).append(entry)
        self.members.restore(by_kind.get(kp.KeptChain, []), by_kind.get(kp.KeptRenewal, []))
        self.revoking.restore(by_kind.get(kp.KeptRevocation, []))
        self.door.restore(by_kind.get(kp.KeptAdmission, []))
        self.pausing.restore(by_kind.get(kp.KeptPause, []))
        self.swarm.restore(event.complete)
        self.meshset.restore(by_kind.get(kp.KeptHead, []), by_kind.get(kp.KeptMark, []), turn.now.wall)
        self.sync.restore(entry for kept in by_kind.get(kp.KeptEntries, []) for entry in kept.entries)
        self.holding.restore(entry.hold for entry in by_kind.get(kp.KeptHold, []))
        self.rulings.restore(entry.complaint for entry in by_kind.get(kp.KeptComplaint, []))
        self.delivery.restore(
            entry for entry in event.kept if isinstance(entry, kp.KeptOrder | kp.KeptDelivery | kp.KeptDone)
        )
        self.views.addresses = event.addresses
        self.contacting.hello = ms.Hello(
            name=self._me.name,
            program="meshnode",
            addresses=event.addresses[: ms.MAX_ADDRESSES],
            wall=turn.now.wall,
            chain=self.members.my_chain,
            speaks=VERSION_HIGHEST,
        )
        self.contacting.on_started(turn, event, by_kind.get(kp.KeptContact, []))
        self.whereabouts.on_started(turn, event)
        self.beacons.on_started(turn, event)
        self.probing.on_started(turn)
        self.keepers.on_started(turn)
        self.leases.on_started(turn)
        self.holding.on_started(turn)
        self.vouching.on_started(turn)
        self.seals.restore(turn)
        for order in self.delivery.orders.values():
            if not order.closed:
                self.sync.watch(turn, order.job)
        turn.wake(tm.Tick(), HEARTBEAT_MS)

    def on_datagram_heard(self, turn: Turn, event: ev.DatagramHeard) -> None:
        if isinstance(event.message, PROBE_MESSAGES):
            self.probing.on_datagram_heard(turn, event, event.message)
        else:
            self.whereabouts.dht.on_datagram_heard(turn, event)

    def on_channel_opened(self, turn: Turn, event: ev.ChannelOpened) -> None:
        self.members.meet(event.shown)
        self.contacting.on_channel_opened(turn, event)

    def on_engines_probed(self, turn: Turn, event: ev.EnginesProbed) -> None:
        self.host.engines = event.engines
        # A claim of who may not render would only keep others from the task: its result counts nowhere.
        self.host.slots = event.slots if self.members.mine.roles & Role.RENDER else 0
        self.host.cores = event.cores
        self.host.memory_mb = event.memory_mb
        self.availability.tell(turn)
        self.scenes.consider_all(turn)
        self.claims.follow_all(turn)

    def on_stop_asked(self, turn: Turn, event: ev.StopAsked) -> None:
        self.stopping.on_stop_asked(turn, event)
        self.availability.tell(turn)
        if event.leave:
            self.repair.hand_over(turn)
        self.claims.withdraw_pending(turn)
        self.slots.on_stop_asked(turn, now=event.now)
        self.assembling.give_up(turn, all_of_it=event.now)
        self.vouching.on_stop_asked(turn)

    def on_twin_met(self, turn: Turn, event: ev.TwinMet) -> None:
        self.host.twin = event.address
        self.contacting.patient = True
        self.claims.withdraw_pending(turn)
        self.slots.on_stop_asked(turn, now=False)
        self.assembling.give_up(turn, all_of_it=False)

    def on_admission_asked(self, turn: Turn, event: ev.AdmissionAsked) -> None:
        admission = self.door.on_admission_asked(turn, event)
        if admission is not None:
            self.meshset.add_admission(turn, admission)

    def on_hello(self, turn: Turn, peer: PeerId, hello: ms.Hello) -> None:
        chain = hello.chain or self.members.chain(peer)
        if chain:
            self.members.take(turn, chain)
        self.contacting.on_hello(turn, peer, hello)

    def on_window(self, turn: Turn, peer: PeerId, window: ms.Window) -> None:
        self.election.on_window(turn, peer, window)
        self.claims.on_window(turn, peer, window)

    def on_stream_digests(self, turn: Turn, peer: PeerId, message: ms.StreamDigests) -> None:
        self.sync.on_stream_digests(turn, peer, message)
        self.looks.on_stream_digests(turn, peer, message)

    def on_entries(self, turn: Turn, _peer: PeerId, message: ms.Entries) -> None:
        self.sync.on_entries(turn, message)
        self.looks.on_entries(turn, message)

    def on_tasks_safe(self, turn: Turn, note: nt.TasksSafe) -> None:
        if not self.ledger.jobs[note.job].ended:
            self.windows.safe[note.job] = self.holding.safe_count(note.job)
        self.seals.on_tasks_safe(turn, note)

    def on_slept(self, turn: Turn, _note: nt.Slept) -> None:
        self.contacting.on_slept(turn)
        self.probing.on_slept(turn)
        self.leases.on_slept(turn)
        self.election.on_slept(turn)
        self.windows.on_slept()
        self.slots.on_slept(turn)
        self.claims.on_slept(turn)
        self.repair.on_slept()
        self.sync.compare_all(turn)

    def on_hearing_ends(self, turn: Turn, _timer: tm.HearingEnds) -> None:
        if not self.host.hears(turn.now.instant):
            self.sync.compare_all(turn)
            self.slots.on_hearing_ends(turn)
            self.assembling.on_hearing_ends(turn)
            self.claims.claim_more(turn)

    def on_tick(self, turn: Turn, _timer: tm.Tick) -> None:
        turn.wake(tm.Tick(), HEARTBEAT_MS)
        for on_tick in self._ticks:
            on_tick(turn)
        self.availability.tell(turn)
