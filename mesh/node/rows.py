"""From the core's frozen views to the plain rows that people's programs read. Pure functions, one for each row."""

from collections.abc import Mapping, Sequence
from typing import Final

from mesh.core.dht.endpoints import addresses_of
from mesh.core.effects import ReachFound
from mesh.core.host import Pause
from mesh.core.status import (
    BucketView,
    FailureView,
    HelperView,
    JobView,
    MeshView,
    PeerView,
    RenderView,
    ShareView,
    StillView,
    TaskState,
    TaskView,
)
from mesh.ground.ids import PeerId, short
from mesh.ports import desk, owner, stills
from mesh.ports.renderer import Refusal
from mesh.ports.roster import PeerRow, PointerRow
from mesh.ports.stores import StoreRow
from mesh.ports.submission import PictureRow
from mesh.wire.dials import Outcome, Tried
from mesh.wire.grids import Region
from mesh.wire.lookups import Pointer
from mesh.wire.members import Role
from mesh.wire.records import Check, EngineId, Picture
from mesh.wire.tasks import Frames

Names = Mapping[PeerId, str]
"""What people call each peer."""

_BUCKET_STATES: Final[Mapping[TaskState, stills.BucketStateName]] = {
    TaskState.OPEN: "open",
    TaskState.RUNNING: "running",
    TaskState.COUNTS: "counts",
    TaskState.SAFE: "counts",
    TaskState.STOPPED: "stopped",
}
_OUTCOMES: Final[Mapping[int, owner.OutcomeName]] = {
    Outcome.REACHED: "reached",
    Outcome.REFUSED: "refused",
    Outcome.SILENT: "silent",
    Outcome.NO_WAY: "no way",
}


def peer_name(names: Names, peer: PeerId | None) -> str:
    """Return what people call a peer, or the beginning of its id."""
    return (names.get(peer) or short(peer)) if peer is not None else ""


def role_names(roles: Role) -> list[str]:
    """Return the names of `roles`, in the order in which they are documented."""
    return [role.name.lower() for role in Role if role & roles and role.name]


def engine_text(engine: EngineId) -> str:
    """Return an engine as people write it: name, version and the beginning of the build."""
    return f"{engine.name} {engine.version} ({engine.build[:12]})" if engine.build else str(engine)


def frames_text(frames: Frames) -> str:
    """Return a job's frames as people write them: `1-240`, `1,5,10-20`, `1-9 step 2`."""
    parts = []
    for piece in frames.ranges:
        if piece.first == piece.last:
            parts.append(f"{piece.first}")
        else:
            parts.append(f"{piece.first}-{piece.last}" + (f" step {piece.step}" if piece.step > 1 else ""))
    return ",".join(parts)


def no_such_frame(job: JobView, frame: int) -> str:
    """Say that a job has no frame of that number."""
    return f"{job.record.name} has no frame {frame}, but {frames_text(job.record.frames)}"


def not_in_buckets(job: JobView, frame: int | None) -> str:
    """Say why a frame of a job has no buckets; None: the job itself."""
    if frame is not None and frame not in job.record.frames:
        return no_such_frame(job, frame)
    what = job.record.name if job.record.cut is None else f"frame {frame} of {job.record.name}"
    return f"{what} is not rendered in buckets, but whole; `meshnode submit --still` makes a job of buckets"


def peer_row(view: PeerView) -> PeerRow:
    """Return one peer."""
    return {
        "id": view.peer.hex(),
        "name": view.name,
        "me": view.me,
        "connected": view.connected,
        "addresses": [str(address) for address in view.addresses],
        "engines": [engine_text(engine) for engine in view.engines],
        "slots": view.slots,
        "busy": view.busy,
        "draining": view.draining,
        "paused": view.paused,
        "revoked": view.revoked,
        "round_trip_ms": view.round_trip_ms,
        "wire": view.speaks,
    }


def pause_row(pause: Pause | None) -> owner.PauseRow | None:
    """Return this host's pause, if there is one."""
    return None if pause is None else {"since_at_ms": pause.since, "until_at_ms": pause.until}


def tried_rows(tried: Sequence[Tried]) -> list[owner.TriedRow]:
    """Return what came of some dials; an outcome that only a newer peer knows is no way to here."""
    return [{"address": str(one.address), "outcome": _OUTCOMES.get(one.outcome, "no way")} for one in tried]


def reach_row(found: ReachFound, peer: PeerView | None, names: Names) -> owner.ReachAnswer:
    """Return what was found about reach."""
    return {
        "peer": peer.peer.hex() if peer is not None else "",
        "peer_name": peer_name(names, peer.peer) if peer is not None else "",
        "connected": peer is not None and peer.connected,
        "tried": tried_rows(found.mine),
        "reports": [
            {
                "id": report.peer.hex(),
                "name": peer_name(names, report.peer),
                "ahead_ms": report.ahead_ms,
                "tried": tried_rows(report.tried),
            }
            for report in found.reports
        ],
        "silent": [peer_name(names, one) for one in found.silent],
    }


def pointer_row(pointer: Pointer) -> PointerRow:
    """Return what a peer says of itself in the DHT."""
    return {
        "name": pointer.name,
        "addresses": [str(address) for address in addresses_of(pointer.endpoints)],
        "slots": pointer.slots,
        "busy": pointer.busy,
        "cores": pointer.cores,
        "memory_mb": pointer.memory_mb,
        "draining": pointer.draining,
        "expires_at_ms": pointer.expires,
    }


def render_row(view: RenderView) -> stills.RenderRow:
    """Return one frame that this host renders."""
    return {
        "job": view.job.hex(),
        "frame": view.frame,
        "region": region_row(view.region),
        "slot": view.slot,
        "sample": view.sample,
    }


def job_row(view: JobView, names: Names, directory: str, preview: str = "") -> desk.JobRow:
    """Return one job in short."""
    return {
        "id": view.job.hex(),
        "name": view.record.name,
        "state": view.state.value,
        "mine": view.mine,
        "submitter": view.submitter.hex(),
        "submitter_name": peer_name(names, view.submitter),
        "submitted_at_ms": view.record.submitted,
        "last_day_at_ms": view.record.last_day,
        "engine": engine_text(view.record.engine),
        "frames": frames_text(view.record.frames),
        "tasks": view.tasks,
        "counting": view.counting,
        "running": view.running,
        "safe": view.safe,
        "stopped": view.stopped,
        "cells": view.cells,
        "cells_counting": view.cells_counting,
        "coordinator": peer_name(names, view.coordinator) if view.coordinator is not None else "",
        "pixels": view.pixels,
        "pixels_counting": view.pixels_counting,
        "pixel_ns": view.pixel_ns,
        "delivered": view.delivered,
        "copies": view.record.copies,
        "durable": view.durable,
        "scene_holders": view.scene_holders,
        "may_go": view.may_go,
        "only_here": view.only_here,
        "keeping": view.keeping,
        "weight": view.weight,
        "median_ms": view.median_ms,
        "directory": directory,
        "preview": preview,
        "problems": list(view.problems),
        "unwritten": list(view.unwritten),
        "blocked": view.blocked,
        "check": "twice" if view.record.check == Check.TWICE else "once",
        "judges": [peer_name(names, judge) for judge in view.record.judges],
        "waiting": view.waiting,
        "complaints": [
            {
                "peer": said.peer.hex(),
                "peer_name": peer_name(names, said.peer),
                "frame": said.frame,
                "reason": said.reason,
            }
            for said in view.complaints
        ],
    }


def task_row(view: TaskView, job: JobView, names: Names) -> desk.TaskRow:
    """Return one frame."""
    return {
        "frame": view.frame,
        "file": job.record.names.name(view.frame),
        "state": view.state.value,
        "delivered": view.delivered,
        "holder": view.holder.hex() if view.holder is not None else "",
        "holder_name": peer_name(names, view.holder),
        "attempt": view.attempt,
        "render_ms": view.render_ms,
        "holds": view.holds,
        "has_log": view.log is not None,
        "failures": [_failure_row(failure, names) for failure in view.failures],
        "waiting": [peer_name(names, peer) for peer in view.waiting],
        "voucher_name": peer_name(names, view.voucher),
    }


def buckets_answer(view: StillView, job: JobView, names: Names) -> stills.BucketsAnswer:
    """Return how one frame grows."""
    cut = job.record.cut
    assert cut is not None, "a frame that is not cut has no buckets"
    return {
        "job": job.job.hex(),
        "name": job.record.name,
        "frame": view.frame,
        "state": view.state.value,
        "shares": cut.across.cells if cut.samples else 0,
        "width": cut.across.cells if cut.samples else cut.width,
        "height": 1 if cut.samples else cut.height,
        "region": region_row(view.region),
        "assembler": view.assembler.hex() if view.assembler is not None else "",
        "assembler_name": peer_name(names, view.assembler),
        "known": view.known,
        "buckets": [_bucket_row(bucket, view.frame, names) for bucket in view.buckets],
    }


def _bucket_row(view: BucketView, frame: int, names: Names) -> stills.BucketRow:
    return {
        "frame": frame,
        "region": region_row(view.region),
        "bucket": region_row(view.whole),
        "state": _BUCKET_STATES[view.state],
        "peer": view.holder.hex() if view.holder is not None else "",
        "peer_name": peer_name(names, view.holder),
        "attempt": view.attempt,
        "render_ms": view.render_ms,
    }


def share_rows(views: Sequence[ShareView], names: Names) -> list[stills.ShareRow]:
    """Return who rendered how much in buckets."""
    return [
        {
            "peer": view.peer.hex(),
            "peer_name": peer_name(names, view.peer),
            "buckets": view.buckets,
            "pixels": view.pixels,
            "render_ms": view.render_ms,
        }
        for view in views
    ]


def region_row(region: Region | None) -> list[int]:
    """Return a rectangle's left, top, right and bottom in pixels, nothing for a whole frame."""
    return [region.left, region.top, region.right, region.bottom] if region is not None else []


def rendered(view: TaskView) -> bool:
    """Say whether a frame has a result that counts."""
    return view.state in (TaskState.COUNTS, TaskState.SAFE)


def _failure_row(view: FailureView, names: Names) -> desk.FailureRow:
    return {
        "peer": view.peer.hex(),
        "peer_name": peer_name(names, view.peer),
        "kind": view.kind,
        "reason": view.reason,
        "has_log": view.log is not None,
    }


def helper_rows(views: Sequence[HelperView]) -> list[desk.HelperRow]:
    """Return who can help with a job, and what the others lack."""
    return [{"id": view.peer.hex(), "name": view.name or short(view.peer), "lacks": view.lacks} for view in views]


def picture_row(picture: Picture) -> PictureRow:
    """Return what every finished frame must be."""
    return {
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "color_mode": picture.color_mode,
        "depth": picture.depth,
    }


def refusal_row(refusal: Refusal) -> desk.RefusalRow:
    """Return one reason of the renderer's."""
    return {"code": refusal.code, "subject": refusal.subject, "text": refusal.text, "remedy": refusal.remedy}


def store_row(view: MeshView, quota_bytes: int) -> StoreRow:
    """Say how this host's store stands."""
    names = {job.job: job.record.name for job in view.jobs}
    return {
        "quota_bytes": quota_bytes,
        "full": view.full,
        "no_room": [
            {"job": each.job.hex(), "job_name": names.get(each.job, ""), "lacking_bytes": each.size}
            for each in view.no_room
        ],
    }
