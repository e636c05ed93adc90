"""The whole peer as one pure function of events: it builds the machines and routes to them, and holds no state of any
job.

`handle` runs one event to its end: the machines leave effects and notes in the turn, notes and messages to oneself are
routed until none is left, and the effects are returned in order. A turn is bounded, so that no loop of notes can run
away.
"""

from collections.abc import Callable
from typing import Any

from mesh.core import events as ev
from mesh.core import notes as nt
from mesh.core import timers as tm
from mesh.core.availability import Availability
from mesh.core.backdials import Backdials
from mesh.core.beacons import Beacons
from mesh.core.catalogue import Catalogue
from mesh.core.claims import Claims
from mesh.core.contacts import Contacting, Directory
from mesh.core.delivery import Delivery
from mesh.core.effects import CloseChannel, Effect, Stopped
from mesh.core.holds import Holding
from mesh.core.host import HostFacts
from mesh.core.jobs import Jobs
from mesh.core.keepers import Keepers
from mesh.core.leases import Leases
from mesh.core.ledger import Ledger
from mesh.core.me import Me
from mesh.core.membership import Chain, Door, Members
from mesh.core.meshset import MeshSet
from mesh.core.ops import Ops
from mesh.core.outcomes import Outcomes
from mesh.core.pausing import Pausing
from mesh.core.revoking import Revoking
from mesh.core.scenes import Scenes
from mesh.core.seals import Seals
from mesh.core.slots import Slots
from mesh.core.status import HelperView, JobView, MeshView, TaskView
from mesh.core.swarm import Swarm
from mesh.core.sync import Sync
from mesh.core.turn import Turn
from mesh.core.views import Views
from mesh.core.whereabouts import Whereabouts
from mesh.core.windows import Windows
from mesh.ground.dice import Dice
from mesh.ground.errors import BugError
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import DRAIN_MS, GAP_MS, HEARTBEAT_MS, NEWS_AFTER_GAP_MS, NOTES_PER_JOB, NOTES_PER_TURN
from mesh.wire import kept as kp
from mesh.wire import messages as ms
from mesh.wire.dials import DialledBack, DialMe
from mesh.wire.envelope import peer_id
from mesh.wire.members import Role
from mesh.wire.records import EngineId

Route = Callable[[Turn, Any], object]
Hearing = Callable[[Turn, PeerId, Any], object]


class Peer:
    """Route events, messages, notes and timers to the machines that they are for."""

    def __init__(self, me: Me, seed: bytes) -> None:
        self.id = peer_id(me.signer.key)
        self._me = me
        self._dice = Dice(seed)
        self._last: Instant | None = None
        self._stopping = False
        self._drain_until: Instant | None = None
        """When to stop although this peer's last pictures are not safe yet; None: it still renders."""
        self._stopped = False
        self._build()
        self.event_routes: dict[type, Route] = self._routes_of_events()
        self.message_routes: dict[type, Hearing] = self._routes_of_messages()
        self.note_routes: dict[type, tuple[Route, ...]] = self._routes_of_notes()
        self.timer_routes: dict[type, Route] = self._routes_of_timers()

    def handle(self, now: Now, event: ev.Event) -> list[Effect]:
        """Take one event to its end and return what the world is asked for, in order."""
        if self._stopped:
            return []
        turn = Turn(now, self._dice, self.id)
        if self._last is not None and now.instant - self._last > HEARTBEAT_MS + GAP_MS:
            self.host.hearing_until = later(now.instant, NEWS_AFTER_GAP_MS)
            turn.wake(tm.HearingEnds(), NEWS_AFTER_GAP_MS)
            turn.tell(nt.Slept())
            self._settle(turn)
        self._last = now.instant
        self.event_routes[type(event)](turn, event)
        self._settle(turn)
        if self._stopping:
            self._try_to_stop(turn)
        return turn.effects

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

    def task_views(self, job: JobId) -> tuple[TaskView, ...]:
        """Return every task of a job; none where it is unknown."""
        return self.views.tasks(job) if job in self.ledger.jobs else ()

    def helpers(self, engine: EngineId) -> tuple[HelperView, ...]:
        """Return which connected peers can render with `engine`, and what the others lack."""
        return self.views.helpers(engine)

    def _build(self) -> None:
        me, signer = self.id, self._me.signer
        self.host = HostFacts()
        self.ops = Ops()
        self.directory = Directory(me)
        catalogue = Catalogue()
        self.ledger = Ledger()
        self.members = Members(self._me.mesh, self._me.chain)
        self.contacting = Contacting(self.directory, self.members.barred)
        self.beacons = Beacons(self.directory)
        self.revoking = Revoking(self.members, catalogue, self.directory, self.ledger, self.host, me=self._me)
        self.whereabouts = Whereabouts(self.directory, self.members, self.contacting, signer, self._me.name)
        self.door = Door(self.members, signer, catalogue, self.directory.contacts, self.directory.connected)
        self.meshset = MeshSet(self.ledger, self.members, self.door, self.directory, catalogue, in_use=self._in_use)
        self.keepers = Keepers(self.ledger, self.meshset, self.directory, signer)
        self.sync = Sync(self.ledger, self.members, self.keepers, signer=signer, boot=self._me.boot)
        self.leases = Leases(self.ledger, self.members, self.keepers, self.directory)
        self.windows = Windows(self.ledger, self.keepers, self.leases)
        self.swarm = Swarm(self.directory, self.ops)
        self.scenes = Scenes(self.ledger, self.keepers, self.host, self.swarm, ops=self.ops, me=me)
        self.slots = Slots(self.ledger, self.host, self.ops)
        self._build_for_the_owner()
        self.holding = Holding(self.ledger, self.keepers, self.directory, self.swarm, ops=self.ops, signer=signer)
        self.delivery = Delivery(self.ledger, self.holding, self.swarm, self.ops, me)
        self.seals = Seals(
            self.ledger, self.members, self.keepers, self.holding, self.delivery, swarm=self.swarm, ops=self.ops, me=me
        )
        self.claims = Claims(
            self.ledger,
            self.keepers,
            self.contacting,
            self.directory,
            self.host,
            signer=signer,
            boot=self._me.boot,
            scene_complete=self.scenes.complete,
            progress=self.slots.progress_of,
            in_hand=self.slots.wanting_slots,
        )
        self.outcomes = Outcomes(self.slots, self.claims, self.swarm, self.scenes, self.holding)
        self._build_for_people()

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
            sync=self.sync,
        )

    def _build_for_the_owner(self) -> None:
        self.pausing = Pausing(self.host)
        self.availability = Availability(self.host, lambda: self.slots.busy, self.contacting.announce)
        self.backdials = Backdials(self.directory, self.ops)

    def _routes_of_events(self) -> dict[type, Route]:
        return {
            ev.Started: self._on_started,
            ev.StopAsked: self._on_stop_asked,
            ev.PauseAsked: self.pausing.on_pause_asked,
            ev.ResumeAsked: self.pausing.on_resume_asked,
            ev.ReachAsked: self.backdials.on_reach_asked,
            ev.DialsTried: self.backdials.on_dials_tried,
            ev.EnginesProbed: self._on_engines_probed,
            ev.TimerFired: lambda turn, event: self.timer_routes[type(event.timer)](turn, event.timer),
            ev.ChannelOpened: self._on_channel_opened,
            ev.ChannelClosed: self.contacting.on_channel_closed,
            ev.TwinMet: self._on_twin_met,
            ev.DialFailed: self.contacting.on_dial_failed,
            ev.BeaconHeard: self.beacons.on_beacon_heard,
            ev.MessageHeard: lambda turn, event: self._hear(turn, event.peer, event.message),
            ev.DatagramHeard: self.whereabouts.dht.on_datagram_heard,
            ev.AdmissionAsked: self._on_admission_asked,
            ev.RenewalAsked: self.door.on_renewal_asked,
            ev.JobPlanned: self.jobs.on_job_planned,
            ev.CancelAsked: self.jobs.on_cancel_asked,
            ev.RevokeAsked: self.revoking.on_revoke_asked,
            ev.FetchAsked: self.jobs.on_fetch_asked,
            ev.PeerAsked: self.whereabouts.on_peer_asked,
            ev.BlobAsked: lambda turn, event: self.swarm.want(turn, event.blob, b"person", event.peer),
            ev.BlobStarted: self.swarm.on_blob_started,
            ev.PiecesStored: self.swarm.on_pieces_stored,
            ev.FetchFailed: self.swarm.on_fetch_failed,
            ev.BlobDamaged: self.outcomes.on_blob_damaged,
            ev.TreeRead: self.scenes.on_tree_read,
            ev.PageWritten: self.seals.on_page_written,
            ev.PageRead: self.seals.on_page_read,
            ev.RenderProgressed: lambda _turn, event: self.slots.on_progress(event),
            ev.FrameWritten: self.outcomes.on_frame_written,
            ev.Rendered: self.outcomes.on_rendered,
            ev.RenderFailed: self.outcomes.on_render_failed,
            ev.OutputChecked: self.holding.on_output_checked,
            ev.Exported: self.delivery.on_exported,
            ev.ExportFailed: self.delivery.on_export_failed,
        }

    def _routes_of_messages(self) -> dict[type, Hearing]:
        return {
            ms.Hello: self._on_hello,
            ms.Contacts: self.contacting.on_contacts,
            ms.Available: lambda _turn, peer, message: self.contacting.on_available(peer, message),
            **self.meshset.routes(),
            ms.KeepAsk: self.keepers.on_keep_ask,
            ms.Follow: self.windows.on_follow,
            ms.Window: self.claims.on_window,
            ms.ClaimSent: self.leases.on_claim_sent,
            ms.Verdict: self.claims.on_verdict,
            ms.Withdraw: self.leases.on_withdraw,
            ms.Heartbeat: self.leases.on_heartbeat,
            ms.Running: self.leases.on_running,
            ms.LeasesHeard: self.leases.on_leases_heard,
            ms.LedgerDigest: self.sync.on_ledger_digest,
            ms.StreamDigests: self.sync.on_stream_digests,
            ms.StreamIds: self.sync.on_stream_ids,
            ms.Entries: lambda turn, _peer, message: self.sync.on_entries(turn, message),
            ms.Holds: self.holding.on_holds,
            ms.Seek: self.swarm.on_seek,
            ms.Have: self.swarm.on_have,
            ms.Ping: self.contacting.on_ping,
            ms.Pong: self.contacting.on_pong,
            ms.AdmitAsk: lambda _turn, _peer, _message: None,  # joiners have a channel of their own; members need none
            ms.Admitted: lambda turn, _peer, message: self.door.on_admitted(turn, message),
            ms.Refused: lambda _turn, _peer, _message: None,  # another member is asked in a minute
            ms.RenewAsk: lambda turn, peer, ask: turn.send(peer, self.door.renewed(turn, peer, ask.chain)),
            ms.Revocations: self.revoking.on_revocations,
            DialMe: self.backdials.on_dial_me,
            DialledBack: self.backdials.on_dialled_back,
        }

    def _routes_of_notes(self) -> dict[type, tuple[Route, ...]]:
        return {
            nt.PeerReached: (
                self.meshset.on_peer_reached,
                self.sync.on_peer_reached,
                self.holding.on_peer_reached,
                self.swarm.on_peer_reached,
                self.whereabouts.on_peer_reached,
            ),
            nt.PeerLost: (
                lambda _turn, note: self.windows.on_peer_lost(note),
                self.swarm.on_peer_lost,
                self.claims.on_peer_lost,
            ),
            nt.PeerDead: (self.leases.on_peer_dead, self.keepers.on_peer_dead),
            nt.Barred: (self.contacting.on_barred,),
            nt.ShutOut: (lambda turn, _note: self.slots.on_stop_asked(turn, now=True),),
            nt.JobStruck: (self.holding.on_job_struck, self.delivery.on_job_struck),
            nt.PeerUnreachable: (self.whereabouts.on_peer_unreachable,),
            nt.PointersRead: (self.whereabouts.on_pointers_read,),
            nt.PointerKept: (self.whereabouts.on_pointer_kept,),
            nt.Slept: (self._on_slept,),
            nt.HeadHeard: (self.keepers.on_head_heard, self.scenes.on_head_heard, self.claims.on_head_heard),
            nt.MarkHeard: (
                lambda _turn, note: self.keepers.on_mark_heard(note),
                self.leases.on_mark_heard,
                self.scenes.on_mark_heard,
                self.sync.on_mark_heard,
                self.holding.on_mark_heard,
                self.claims.on_mark_heard,
            ),
            nt.EntryAdded: (self.meshset.on_entry_added, self.holding.on_entry_added, self.seals.on_entry_added),
            nt.TaskChanged: (
                self.leases.on_task_changed,
                self.slots.on_task_changed,
                self.holding.on_task_changed,
                self.delivery.on_task_changed,
            ),
            nt.JobEnded: (
                self.windows.on_job_ended,
                self.leases.on_job_ended,
                self.slots.on_job_ended,
                self.claims.on_job_ended,
                self.scenes.on_job_ended,
                self.holding.on_job_ended,
                self.delivery.on_job_ended,
            ),
            nt.JobForgotten: (self.keepers.on_job_forgotten, self.meshset.on_job_forgotten),
            nt.WindowChanged: (self.windows.on_window_changed,),
            nt.ClaimWon: (self.slots.on_claim_won,),
            nt.ClaimLost: (self.slots.on_claim_lost,),
            nt.SlotFreed: (self.claims.on_slot_freed,),
            nt.ClaimEnded: (self.claims.on_claim_ended,),
            nt.SceneComplete: (
                self.holding.on_scene_complete,
                self.scenes.on_scene_complete,
                lambda turn, _note: self.claims.claim_more(turn),
            ),
            nt.BlobComplete: (
                self.scenes.on_blob_complete,
                self.holding.on_blob_complete,
                self.delivery.on_blob_complete,
                self.seals.on_blob_complete,
            ),
            nt.HoldHeard: (self.holding.on_hold_heard,),
            nt.TasksSafe: (self._on_tasks_safe,),
            nt.TaskDelivered: (self.seals.on_task_delivered,),
            nt.Publish: (self.sync.on_publish,),
            nt.PauseChanged: (self.slots.on_pause_changed, self.claims.on_pause_changed, self.availability.tell),
        }

    def _routes_of_timers(self) -> dict[type, Route]:
        return {
            tm.Tick: self._on_tick,
            tm.SettleEnds: self.leases.on_settle_ends,
            tm.FirstClaims: self.claims.on_first_claims,
            tm.Unanswered: self.claims.on_unanswered,
            tm.WindowDue: self.windows.on_window_due,
            tm.Redial: self.contacting.on_redial,
            tm.KnockAgain: self.contacting.on_knock_again,
            tm.FetchLate: self.swarm.on_fetch_late,
            tm.HearingEnds: self._on_hearing_ends,
            tm.ReachEnds: self.backdials.on_reach_ends,
            tm.AnswerLate: self.whereabouts.dht.on_answer_late,
            tm.RefreshDue: self.whereabouts.dht.on_refresh_due,
        }

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

    def _hear(self, turn: Turn, peer: PeerId, message: ms.Message) -> None:
        if self.members.barred(peer):
            return  # said before its channel closed, heard after
        self.contacting.on_anything(turn, peer)
        self.message_routes[type(message)](turn, peer, message)

    def _in_use(self, job: JobId) -> bool:
        """Whether somebody here ordered a job's files, or this host claimed a task of it."""
        return bool(self.delivery.of(job)) or any(mine.claim.body.job == job for mine in self.claims.mine.values())

    def _on_started(self, turn: Turn, event: ev.Started) -> None:
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
        orders = (kp.KeptOrder, kp.KeptDelivery, kp.KeptDone)
        self.delivery.restore(entry for entry in event.kept if isinstance(entry, orders))
        self.views.addresses = event.addresses
        self.contacting.hello = ms.Hello(
            name=self._me.name,
            program="meshnode",
            addresses=event.addresses[: ms.MAX_ADDRESSES],
            wall=turn.now.wall,
            chain=self.members.my_chain,
        )
        self.contacting.on_started(turn, event, by_kind.get(kp.KeptContact, []))
        self.whereabouts.on_started(turn, event)
        self.beacons.on_started(turn, event)
        self.keepers.on_started(turn)
        self.leases.on_started(turn)
        self.holding.on_started(turn)
        self.seals.restore(turn)
        for order in self.delivery.orders.values():
            if not order.closed:
                self.sync.watch(turn, order.job)
        turn.wake(tm.Tick(), HEARTBEAT_MS)

    def _on_channel_opened(self, turn: Turn, event: ev.ChannelOpened) -> None:
        self.members.meet(event.shown)
        self.contacting.on_channel_opened(turn, event)

    def _on_engines_probed(self, turn: Turn, event: ev.EnginesProbed) -> None:
        self.host.engines = event.engines
        # A claim of who may not render would only keep others from the task: its result counts nowhere.
        self.host.slots = event.slots if self.members.mine.roles & Role.RENDER else 0
        self.host.cores = event.cores
        self.host.memory_mb = event.memory_mb
        self.availability.tell(turn)
        self.scenes.consider_all(turn)
        self.claims.follow_all(turn)

    def _on_stop_asked(self, turn: Turn, event: ev.StopAsked) -> None:
        self.host.draining = True
        self._stopping = True
        self._drain_until = turn.now.instant if event.now else None
        self.availability.tell(turn)
        self.claims.withdraw_pending(turn)
        self.slots.on_stop_asked(turn, now=event.now)

    def _on_twin_met(self, turn: Turn, event: ev.TwinMet) -> None:
        self.host.twin = event.address
        self.contacting.patient = True
        self.claims.withdraw_pending(turn)
        self.slots.on_stop_asked(turn, now=False)

    def _on_admission_asked(self, turn: Turn, event: ev.AdmissionAsked) -> None:
        admission = self.door.on_admission_asked(turn, event)
        if admission is not None:
            self.meshset.add_admission(turn, admission)

    def _on_hello(self, turn: Turn, peer: PeerId, hello: ms.Hello) -> None:
        self.members.take(turn, hello.chain)
        self.contacting.on_hello(turn, peer, hello)

    def _on_tasks_safe(self, turn: Turn, note: nt.TasksSafe) -> None:
        self.windows.safe[note.job] = self.holding.safe_count(note.job)
        self.seals.on_tasks_safe(turn, note)

    def _on_slept(self, turn: Turn, _note: nt.Slept) -> None:
        self.contacting.on_slept(turn)
        self.leases.on_slept(turn)
        self.windows.on_slept()
        self.slots.on_slept(turn)
        self.claims.on_slept(turn)
        self.sync.compare_all(turn)

    def _on_hearing_ends(self, turn: Turn, _timer: tm.HearingEnds) -> None:
        if not self.host.hears(turn.now.instant):
            self.slots.on_hearing_ends(turn)
            self.claims.claim_more(turn)

    def _on_tick(self, turn: Turn, _timer: tm.Tick) -> None:
        turn.wake(tm.Tick(), HEARTBEAT_MS)
        self.pausing.on_tick(turn)
        self.contacting.on_tick(turn)
        self.whereabouts.on_tick(turn)
        self.beacons.on_tick(turn)
        self.door.on_tick(turn)
        self.revoking.on_tick(turn)
        self.meshset.on_tick(turn)
        self.keepers.on_tick(turn)
        self.sync.on_tick(turn)
        self.leases.on_tick(turn)
        self.windows.on_tick(turn)
        self.claims.on_tick(turn)
        self.swarm.on_tick(turn)
        self.scenes.on_tick(turn)
        self.holding.on_tick(turn)
        self.delivery.on_tick(turn)
        self.seals.on_tick(turn)
        self.availability.tell(turn)

    def _try_to_stop(self, turn: Turn) -> None:
        if self._drain_until is None:
            if not self.slots.idle:
                return
            self._drain_until = later(turn.now.instant, DRAIN_MS)
        alone = not self.directory.all_connected()
        if alone or turn.now.instant >= self._drain_until or not self.holding.unsafe_of_mine():
            for peer in self.directory.all_connected():
                turn.do(CloseChannel(peer=peer))
            turn.do(Stopped())
            self._stopped = True
