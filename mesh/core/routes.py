"""Who takes what: the tables of routes, from each type of event, message, note and timer to a machine's method.

The order of machines in a note's row is the order in which they hear it. The module holds no state, and must not know
what any machine does.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mesh.core import events as ev
from mesh.core import notes as nt
from mesh.core import stock
from mesh.core import timers as tm
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.wire import messages as ms
from mesh.wire.carrying import Carried
from mesh.wire.complaints import Complaints
from mesh.wire.copies import HoldAsk, Holds
from mesh.wire.dials import DialledBack, DialMe, Parting
from mesh.wire.stills import Grants, Leading

if TYPE_CHECKING:
    from mesh.core.peer import Peer

Route = Callable[[Turn, Any], object]
Hearing = Callable[[Turn, PeerId, Any], object]


def of_events(peer: "Peer") -> dict[type, Route]:
    """Return who takes each event."""
    return {
        ev.Started: peer.on_started,
        ev.StopAsked: peer.on_stop_asked,
        ev.PauseAsked: peer.pausing.on_pause_asked,
        ev.ResumeAsked: peer.pausing.on_resume_asked,
        ev.ReachAsked: peer.backdials.on_reach_asked,
        ev.DialsTried: peer.backdials.on_dials_tried,
        ev.EnginesProbed: peer.on_engines_probed,
        ev.TimerFired: peer.on_timer_fired,
        ev.ChannelOpened: peer.on_channel_opened,
        ev.ChannelClosed: peer.contacting.on_channel_closed,
        ev.TwinMet: peer.on_twin_met,
        ev.DialFailed: peer.contacting.on_dial_failed,
        ev.BeaconHeard: peer.beacons.on_beacon_heard,
        ev.MessageHeard: peer.on_message_heard,
        ev.UnknownHeard: peer.on_unknown_heard,
        ev.DatagramHeard: peer.on_datagram_heard,
        ev.AdmissionAsked: peer.on_admission_asked,
        ev.RenewalAsked: peer.door.on_renewal_asked,
        ev.JobPlanned: peer.jobs.on_job_planned,
        ev.CancelAsked: peer.jobs.on_cancel_asked,
        ev.RejectAsked: peer.rulings.on_reject_asked,
        ev.WeightAsked: peer.jobs.on_weight_asked,
        ev.RevokeAsked: peer.revoking.on_revoke_asked,
        ev.FetchAsked: peer.jobs.on_fetch_asked,
        ev.LookAsked: peer.looks.on_look_asked,
        ev.PeerAsked: peer.whereabouts.on_peer_asked,
        ev.BlobAsked: lambda turn, event: peer.swarm.want(turn, event.blob, b"person", event.peer),
        ev.BlobStarted: peer.swarm.on_blob_started,
        ev.PiecesStored: peer.swarm.on_pieces_stored,
        ev.FetchFailed: peer.swarm.on_fetch_failed,
        ev.BlobDamaged: peer.outcomes.on_blob_damaged,
        ev.TreeRead: peer.scenes.on_tree_read,
        stock.StoreMeasured: peer.larder.on_store_measured,
        stock.StockTaken: peer.larder.on_stock_taken,
        stock.Evicted: peer.larder.on_evicted,
        stock.FreeAsked: peer.larder.on_free_asked,
        stock.StoreAsked: peer.larder.on_store_asked,
        ev.PageWritten: peer.seals.on_page_written,
        ev.PageRead: peer.seals.on_page_read,
        ev.RenderProgressed: peer.outcomes.on_progress,
        ev.FrameWritten: peer.outcomes.on_frame_written,
        ev.Rendered: peer.outcomes.on_rendered,
        ev.RenderFailed: peer.outcomes.on_render_failed,
        ev.BucketPasted: peer.assembling.on_bucket_pasted,
        ev.OutputChecked: peer.holding.on_output_checked,
        ev.OutputsCompared: peer.vouching.on_outputs_compared,
        ev.Exported: peer.delivery.on_exported,
        ev.ExportFailed: peer.delivery.on_export_failed,
    }


def of_messages(peer: "Peer") -> dict[type, Hearing]:
    """Return who takes each message of a member."""
    return {
        ms.Hello: peer.on_hello,
        ms.Contacts: peer.contacting.on_contacts,
        ms.Available: lambda _turn, who, message: peer.contacting.on_available(who, message),
        **peer.meshset.routes(),
        ms.KeepAsk: peer.keepers.on_keep_ask,
        ms.Follow: peer.windows.on_follow,
        ms.Window: peer.on_window,
        ms.ClaimSent: peer.leases.on_claim_sent,
        ms.Verdict: peer.claims.on_verdict,
        ms.Withdraw: peer.leases.on_withdraw,
        ms.Heartbeat: peer.leases.on_heartbeat,
        ms.Running: peer.leases.on_running,
        ms.LeasesHeard: peer.leases.on_leases_heard,
        Leading: peer.election.on_leading,
        Grants: peer.bucketing.on_grants,
        ms.LedgerDigest: peer.sync.on_ledger_digest,
        ms.StreamDigests: peer.on_stream_digests,
        ms.StreamIds: peer.sync.on_stream_ids,
        ms.Entries: peer.on_entries,
        Complaints: peer.rulings.on_complaints,
        Holds: peer.holding.on_holds,
        HoldAsk: peer.holding.on_hold_ask,
        ms.Seek: peer.swarm.on_seek,
        ms.Have: peer.swarm.on_have,
        ms.Ping: peer.contacting.on_ping,
        ms.Pong: peer.contacting.on_pong,
        ms.AdmitAsk: lambda _turn, _who, _message: None,  # joiners have a channel of their own; members need none
        ms.Admitted: lambda turn, _who, message: peer.door.on_admitted(turn, message),
        ms.Refused: lambda _turn, _who, _message: None,  # another member is asked in a minute
        ms.RenewAsk: lambda turn, who, ask: turn.send(who, peer.door.renewed(turn, who, ask.chain)),
        ms.Revocations: peer.revoking.on_revocations,
        DialMe: peer.backdials.on_dial_me,
        DialledBack: peer.backdials.on_dialled_back,
        Parting: peer.contacting.on_parting,
        Carried: lambda _turn, _who, _message: None,  # what it holds, the shell tells as a datagram
    }


def of_notes(peer: "Peer") -> dict[type, tuple[Route, ...]]:
    """Return who hears each note, in this order."""
    return {**_of_notes_about_peers(peer), **_of_notes_about_jobs(peer), **_of_notes_about_blobs(peer)}


def _of_notes_about_peers(peer: "Peer") -> dict[type, tuple[Route, ...]]:
    return {
        nt.PeerReached: (
            peer.meshset.on_peer_reached,
            peer.sync.on_peer_reached,
            peer.keepers.on_peer_reached,
            peer.holding.on_peer_reached,
            peer.repair.on_peer_reached,
            peer.rulings.on_peer_reached,
            peer.swarm.on_peer_reached,
            peer.whereabouts.on_peer_reached,
            peer.probing.on_peer_reached,
        ),
        nt.PeerLost: (
            lambda _turn, note: peer.windows.on_peer_lost(note),
            peer.swarm.on_peer_lost,
            peer.claims.on_peer_lost,
            peer.probing.on_peer_lost,
        ),
        nt.PeerGone: (peer.contacting.on_peer_gone, peer.dht.on_peer_gone),
        nt.PeerDead: (
            peer.leases.on_peer_dead,
            peer.keepers.on_peer_dead,
            peer.election.on_peer_dead,
            peer.assembling.on_peer_dead,
            peer.repair.on_peer_dead,
            peer.dht.on_peer_gone,
        ),
        nt.Barred: (peer.contacting.on_barred,),
        nt.ShutOut: (lambda turn, _note: peer.slots.on_stop_asked(turn, now=True),),
        nt.JobStruck: (peer.holding.on_job_struck, peer.delivery.on_job_struck),
        nt.PeersNeeded: (peer.contacting.on_peers_needed,),
        nt.PartFound: (peer.whereabouts.on_part_found,),
        nt.NodeTold: (peer.dht.on_node_told,),
        nt.PeerUnreachable: (peer.whereabouts.on_peer_unreachable,),
        nt.PointersRead: (peer.whereabouts.on_pointers_read,),
        nt.PointerKept: (peer.whereabouts.on_pointer_kept,),
        nt.Slept: (peer.on_slept,),
        nt.PauseChanged: (
            peer.slots.on_pause_changed,
            peer.assembling.on_pause_changed,
            peer.claims.on_pause_changed,
            peer.availability.tell,
        ),
    }


def _of_notes_about_jobs(peer: "Peer") -> dict[type, tuple[Route, ...]]:
    return {
        nt.HeadHeard: (peer.keepers.on_head_heard, peer.scenes.on_head_heard, peer.claims.on_head_heard),
        nt.MarkHeard: (
            peer.keepers.on_mark_heard,
            peer.leases.on_mark_heard,
            peer.scenes.on_mark_heard,
            peer.sync.on_mark_heard,
            peer.holding.on_mark_heard,
            peer.claims.on_mark_heard,
        ),
        nt.EntryAdded: (
            peer.meshset.on_entry_added,
            peer.stills.on_entry_added,
            peer.holding.on_entry_added,
            peer.delivery.on_entry_added,
            peer.leases.on_entry_added,
            peer.rulings.on_entry_added,
            peer.windows.on_entry_added,
            peer.seals.on_entry_added,
        ),
        nt.TaskChanged: (
            peer.leases.on_task_changed,
            peer.slots.on_task_changed,
            peer.vouching.on_task_changed,
            peer.assembling.on_task_changed,
            peer.holding.on_task_changed,
            peer.delivery.on_task_changed,
        ),
        nt.CellsChanged: (
            peer.leases.on_cells_changed,
            peer.slots.on_cells_changed,
            peer.assembling.on_cells_changed,
        ),
        nt.JobEnded: (
            peer.windows.on_job_ended,
            peer.leases.on_job_ended,
            peer.election.on_job_ended,
            peer.stills.on_job_ended,
            peer.slots.on_job_ended,
            peer.vouching.on_job_ended,
            peer.assembling.on_job_ended,
            peer.claims.on_job_ended,
            peer.scenes.on_job_ended,
            peer.holding.on_job_ended,
            peer.repair.on_job_ended,
            peer.delivery.on_job_ended,
            peer.rulings.on_job_ended,
        ),
        nt.JobForgotten: (
            peer.keepers.on_job_forgotten,
            peer.meshset.on_job_forgotten,
            peer.holding.on_job_forgotten,
            peer.looks.on_job_forgotten,
            peer.sync.on_job_forgotten,
        ),
        nt.WindowChanged: (
            peer.election.on_window_changed,
            peer.windows.on_window_changed,
            peer.stills.on_window_changed,
        ),
        nt.FollowerCame: (peer.stills.on_follower_came,),
        nt.EpochRaised: (peer.stills.on_epoch_raised, peer.claims.on_epoch_raised),
        nt.ClaimWon: (peer.slots.on_claim_won, peer.assembling.on_claim_won, peer.sync.on_claim_won),
        nt.ClaimLost: (peer.slots.on_claim_lost, peer.assembling.on_claim_lost),
        nt.SlotFreed: (peer.claims.on_slot_freed,),
        nt.ClaimEnded: (peer.claims.on_claim_ended,),
        nt.OpinionDue: (peer.vouching.on_opinion_due,),
        nt.OpinionWanted: (peer.sync.on_opinion_wanted,),
    }


def _of_notes_about_blobs(peer: "Peer") -> dict[type, tuple[Route, ...]]:
    return {
        nt.SceneComplete: (
            peer.holding.on_scene_complete,
            peer.scenes.on_scene_complete,
            peer.claims.on_scene_complete,
        ),
        nt.BlobComplete: (
            peer.scenes.on_blob_complete,
            peer.holding.on_blob_complete,
            peer.assembling.on_blob_complete,
            peer.vouching.on_blob_complete,
            peer.delivery.on_blob_complete,
            peer.seals.on_blob_complete,
        ),
        nt.RoomLacking: (peer.larder.on_room_lacking,),
        nt.BlobsEvicted: (peer.outcomes.on_blobs_evicted,),
        nt.RoomChanged: (peer.claims.on_pause_changed,),
        nt.HoldHeard: (peer.holding.on_hold_heard, peer.repair.on_hold_heard),
        nt.TasksSafe: (peer.on_tasks_safe,),
        nt.TaskDelivered: (peer.seals.on_task_delivered,),
        nt.Publish: (peer.sync.on_publish,),
    }


def of_timers(peer: "Peer") -> dict[type, Route]:
    """Return who acts when each timer fires."""
    return {
        tm.Tick: peer.on_tick,
        tm.SettleEnds: peer.leases.on_settle_ends,
        tm.FirstClaims: peer.claims.on_first_claims,
        tm.Unanswered: peer.claims.on_unanswered,
        tm.ElectionDue: peer.election.on_election_due,
        tm.GrantLate: peer.bucketing.on_grant_late,
        tm.WindowDue: peer.windows.on_window_due,
        tm.Redial: peer.contacting.on_redial,
        tm.KnockAgain: peer.contacting.on_knock_again,
        tm.FetchLate: peer.swarm.on_fetch_late,
        tm.HearingEnds: peer.on_hearing_ends,
        tm.LookDue: peer.looks.on_look_due,
        tm.ReachEnds: peer.backdials.on_reach_ends,
        tm.AnswersLate: peer.dht.on_answers_late,
        tm.RefreshDue: peer.dht.on_refresh_due,
        tm.BucketDue: peer.dht.on_bucket_due,
        tm.ProbeDue: peer.probing.on_probe_due,
        tm.ProbeLate: peer.probing.on_probe_late,
        tm.TidingsDue: peer.probing.on_tidings_due,
    }
