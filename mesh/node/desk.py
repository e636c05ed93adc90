"""The desk of a running peer: commands become events, the core's views become rows.

Theory: nothing here holds state of the mesh. Each answer is made anew from the core's frozen views; each command is one
event whose reply is awaited. What takes time and needs no decision, such as reading a scene or inviting, happens beside
the core.

Invariants: a job is named by its id, by a unique beginning of it, or by its name where just one has that. The module
must not know how programs reach it."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import trio

import mesh
from mesh.core.effects import Declined, Done
from mesh.core.events import (
    CancelAsked,
    Event,
    LookAsked,
    PauseAsked,
    PeerAsked,
    ReachAsked,
    RejectAsked,
    ResumeAsked,
    RevokeAsked,
    StopAsked,
    WeightAsked,
)
from mesh.core.status import (
    HelperView,
    JobState,
    JobView,
    MemberView,
    MeshView,
    ShareView,
    StillView,
    TaskView,
)
from mesh.ground.errors import UsageError
from mesh.ground.ids import JobId
from mesh.ground.instants import Now, WallTime, wall_later
from mesh.ground.limits import INVITE_MOST_MS
from mesh.node import naming, roster, rows
from mesh.node.asking import Asking, Changes
from mesh.node.bootstraps import Bootstraps
from mesh.node.declining import check_weight, declined
from mesh.node.engines import EngineRack
from mesh.node.fetching import Fetching
from mesh.node.intake import Intake, Submitted, answer
from mesh.node.larder import Larder
from mesh.node.logs import Logs
from mesh.ports import desk, owner
from mesh.ports.desk import (
    Ambiguous,
    Draining,
    NotAllowed,
    NotFound,
    Report,
    ThrownOut,
)
from mesh.ports.enginerows import EnginesAnswer, engines_answer
from mesh.ports.logs import LogAnswer
from mesh.ports.roster import (
    InviteAnswer,
    MemberRow,
    MembersAnswer,
    PeerAnswer,
    RevokeAnswer,
    RevokeInviteAnswer,
    RevokeRequest,
)
from mesh.ports.stills import BucketsAnswer
from mesh.ports.stores import FreeAnswer, StoreAnswer
from mesh.ports.submission import SubmitRequest
from mesh.ports.trust import RejectAnswer
from mesh.ports.world import World
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.invites import InviteToken, write
from mesh.wire.members import MAX_USES, Chain, Invite
from mesh.wire.messages import Address
from mesh.wire.records import EngineId
from mesh.wire.revocations import InviteRevoked, Ousted, Revocation
from mesh.wire.signing import Ed25519Signer
from mesh.wire.tasks import parse_frames

_SEED_BYTES: Final = 32
_TIME_MOST_MS: Final = 2**53
"""Beyond it JSON's numbers are no longer exact; some 285,000 years."""
_LOOK_EACH_S: Final = 2.0
"""Who watches a job here has it compared so often with what others have of it."""
_OVER: Final = frozenset({JobState.SEALED, JobState.CANCELLED})


class Views(Protocol):
    """What the desk reads of the core."""

    def mesh_view(self, now: Now) -> MeshView: ...

    def job_view(self, now: Now, job: JobId) -> JobView | None: ...

    def task_views(self, job: JobId) -> tuple[TaskView, ...]: ...

    def still_view(self, now: Now, job: JobId, frame: int | None) -> StillView | None: ...

    def share_views(self, job: JobId) -> tuple[ShareView, ...]: ...

    def helpers(self, engine: EngineId, memory_mb: int) -> tuple[HelperView, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inviting:
    """What an invite is made of."""

    signer: Signer
    secret: bytes
    mesh_name: str
    chain: Callable[[], Chain]
    addresses: Callable[[], tuple[Address, ...]]


class NodeDesk:
    """The `Desk` of its port."""

    def __init__(
        self,
        *,
        world: World,
        home: str,
        views: Views,
        members: Callable[[], tuple[MemberView, ...]],
        revocations: Callable[[], tuple[Signed[Revocation], ...]],
        larder: Larder,
        rack: EngineRack,
        intake: Intake,
        logs: Logs,
        fetching: Fetching,
        asking: Asking,
        changes: Changes,
        inviting: Inviting,
        bootstraps: Bootstraps,
        beacon: Callable[[], owner.BeaconRow],
        directories: dict[JobId, str],
        preview: Callable[[JobId], str],
        stop: Callable[[StopAsked], None],
    ) -> None:
        self._world = world
        self._home = home
        self._views = views
        self._members = members
        self._revocations = revocations
        self._larder = larder
        self._rack = rack
        self._intake = intake
        self._logs = logs
        self._fetching = fetching
        self._asking = asking
        self._changes = changes
        self._inviting = inviting
        self._bootstraps = bootstraps
        self._beacon = beacon
        self._directories = directories
        self._preview = preview
        self._stop = stop

    async def status(self) -> desk.StatusAnswer:
        """Tell what this peer is and sees."""
        usage = await self._larder.usage()
        view = self._view()
        names = _names(view)
        return {
            "version": mesh.__version__,
            "id": view.peer.hex(),
            "name": view.name,
            "mesh": view.mesh.hex(),
            "mesh_name": self._inviting.mesh_name,
            "home": self._home,
            "roles": list(view.roles),
            "membership_expires_at_ms": view.membership_expires,
            "now_at_ms": view.wall,
            "draining": view.draining,
            "handing_over": view.handing_over,
            "paused": rows.pause_row(view.pause),
            "addresses": [str(address) for address in self._inviting.addresses()],
            "bootstraps": self._bootstraps.rows(),
            "beacon": self._beacon(),
            "stored_bytes": usage.stored,
            "free_bytes": usage.free,
            "store": rows.store_row(view, usage.quota),
            "peers": [rows.peer_row(peer) for peer in view.peers],
            "renders": [rows.render_row(render) for render in view.renders],
            "cloned": roster.why_cloned(view.twin) if view.twin is not None else "",
            "thrown_out": self._thrown_out(view),
            "given_up": view.given_up,
            "jobs": [self._job_row(job, names) for job in _newest_first(view)],
        }

    async def peer(self, peer: str) -> PeerAnswer:
        """Tell of one peer what this one sees, and what the DHT has."""
        wanted = naming.anybody(self._view(), peer)
        found = await self._asking.locate(lambda op: PeerAsked(op=op, peer=wanted))
        seen = next((one for one in self._view().peers if one.peer == wanted), None)
        return {
            "id": wanted.hex(),
            "seen": rows.peer_row(seen) if seen is not None else None,
            "told": rows.pointer_row(found.pointer.body) if found.pointer is not None else None,
        }

    async def jobs(self) -> desk.JobsAnswer:
        """List every job that this peer knows of, newest first."""
        view = self._view()
        listed = [self._job_row(job, _names(view)) for job in _newest_first(view)]
        return {"jobs": listed, "paused": rows.pause_row(view.pause)}

    async def job(self, job: str) -> desk.JobAnswer:
        """Tell everything of one job."""
        whole = await self._asking.look(self._find(self._view(), job).job)
        view = self._view()
        found, names = self._find(view, job), _names(view)
        tasks = self._views.task_views(found.job)
        return {
            "job": self._job_row(found, names),
            "picture": rows.picture_row(found.record.picture),
            "scene": found.record.scene.hex(),
            "helpers": rows.helper_rows(self._views.helpers(found.record.engine, found.record.memory_mb)),
            "shares": rows.share_rows(self._views.share_views(found.job), names),
            "frames": [rows.task_row(task, found, names) for task in tasks],
            "whole": whole,
        }

    async def buckets(self, job: str, frame: int | None) -> BucketsAnswer:
        """Tell who renders which part of a frame."""
        await self._asking.look(self._find(self._view(), job).job)
        view = self._view()
        found = self._find(view, job)
        if (still := self._views.still_view(self._world.now(), found.job, frame)) is None:
            raise NotFound(rows.not_in_buckets(found, frame))
        return rows.buckets_answer(still, found, _names(view))

    async def engines(self) -> EnginesAnswer:
        """Look anew what this peer can render with."""
        return engines_answer(await self._rack.probe())

    async def submit(self, request: SubmitRequest, report: Report) -> desk.SubmitAnswer:
        """Inspect, store and announce a scene, or with `dry_run` only say what would be done."""
        view = self._view()
        if out := self._thrown_out(view):
            raise ThrownOut(out)
        if "submit" not in view.roles:
            raise NotAllowed("this peer was admitted without the role `submit`")
        if view.draining:
            raise Draining("this peer is about to stop")
        judges = tuple(naming.anybody(view, name) for name in request["judges"])
        submitted = await self._intake.submit(request, report, judges)
        if isinstance(submitted, Declined):
            raise declined(submitted)
        helpers = self._views.helpers(submitted.plan.engine, submitted.plan.memory_mb)
        return answer(submitted, self._submitted_row(submitted), helpers)

    async def cancel(self, job: str) -> desk.ChangedAnswer:
        """End a job for good."""
        return await self._changed(job, lambda op, found: CancelAsked(op=op, job=found))

    async def weigh(self, job: str, weight: int) -> desk.ChangedAnswer:
        """Give a job more or less time beside others."""
        check_weight(weight)
        return await self._changed(job, lambda op, found: WeightAsked(op=op, job=found, weight=weight))

    async def _changed(self, job: str, event: Callable[[int, JobId], Event]) -> desk.ChangedAnswer:
        found = self._find(self._view(), job)
        reply = await self._asking.ask(lambda op: event(op, found.job))
        if isinstance(reply, Declined):
            raise declined(reply)
        view = self._view()
        return {"job": self._job_row(self._find(view, found.job.hex()), _names(view))}

    async def reject(self, job: str, frames: str, reason: str) -> RejectAnswer:
        """Say that pictures are wrong, or complain about them."""
        found = self._find(self._view(), job)
        numbers = tuple(parse_frames(frames)) if frames else ()
        reply = await self._asking.rule(lambda op: RejectAsked(op=op, job=found.job, frames=numbers, reason=reason))
        if isinstance(reply, Declined):
            raise declined(reply)
        name = found.record.name
        return {"job": found.job.hex(), "name": name, "frames": reply.frames, "complained": reply.complained}

    async def fetch(self, job: str, directory: str, overwrite: bool, report: Report) -> desk.FetchAnswer:
        """Write every frame that is rendered by now into a directory of this host."""
        found = self._find(self._view(), job)
        fetched = await self._fetching.fetch(found, directory, overwrite=overwrite, report=report)
        if isinstance(fetched, Declined):
            raise declined(fetched)
        return fetched

    async def log(self, job: str, frame: int | None) -> LogAnswer:
        """Give what the engine printed."""
        await self._asking.look(self._find(self._view(), job).job)
        view = self._view()
        found = self._find(view, job)
        tasks = self._views.task_views(found.job)
        if frame is not None and all(task.frame != frame for task in tasks):
            raise NotFound(rows.no_such_frame(found, frame))
        still = self._views.still_view(self._world.now(), found.job, frame) if frame is not None else None
        return await self._logs.read(found, tasks, frame, _names(view), still=still)

    async def invite(self, roles: list[str], life_ms: int, uses: int) -> InviteAnswer:
        """Sign an invite."""
        view = self._view()
        if out := self._thrown_out(view):
            raise ThrownOut(out)
        if "invite" not in view.roles:
            raise NotAllowed("this peer was admitted without the role `invite`")
        wanted = roster.invited_roles(roles, view.roles)
        if not 1 <= uses <= MAX_USES:
            raise UsageError(f"an invite has 1 to {MAX_USES} uses, not {uses}")
        if not 0 < life_ms <= INVITE_MOST_MS:
            raise UsageError("an invite lives for up to a year")
        seed = self._world.entropy(_SEED_BYTES)
        expires = wall_later(view.wall, life_ms)
        key = Ed25519Signer(seed).key
        invite = Invite(mesh=view.mesh, key=key, roles=int(wanted), uses=uses, expires=expires)
        token = InviteToken(
            invite=sign(invite, self._inviting.signer),
            inviter=self._inviting.chain(),
            seed=seed,
            secret=self._inviting.secret,
            addresses=roster.invited_to(self._inviting.addresses()),
            mesh_name=self._inviting.mesh_name,
        )
        return {
            "token": write(token),
            "id": token.invite.id.hex(),
            "mesh_name": token.mesh_name,
            "roles": rows.role_names(wanted),
            "uses": uses,
            "expires_at_ms": expires,
            "addresses": [str(address) for address in token.addresses],
        }

    async def members(self) -> MembersAnswer:
        """List everybody who was ever admitted."""
        return {"mesh_name": self._inviting.mesh_name, "members": self._member_rows(self._members())}

    async def revoke(self, request: RevokeRequest) -> RevokeAnswer:
        """Throw a peer out, and with it whom it let in."""
        view = self._view()
        roster.check_may_revoke(view.roles, self._thrown_out(view))
        ousting = roster.plan(self._members(), self._revocations(), request, view.peer)
        if not request["dry_run"]:
            await self._asked_to_revoke(ousting.what)
        rows_of = self._member_rows
        return {
            "member": rows_of([ousting.member])[0],
            "along": rows_of(ousting.along),
            "spared": rows_of(ousting.spared),
            "strike": request["strike"],
        }

    async def revoke_invite(self, invite: str, dry_run: bool) -> RevokeInviteAnswer:
        """Take an invite back, and throw out all who came by it."""
        view, members = self._view(), self._members()
        roster.check_may_revoke(view.roles, self._thrown_out(view))
        found = roster.invite_of(members, invite)
        along = roster.came_by(members, found)
        if not dry_run:
            await self._asked_to_revoke(InviteRevoked(invite=found))
        return {"invite": found.hex(), "along": self._member_rows(along)}

    async def pause(self, until_at_ms: int | None, now: bool) -> owner.PauseAnswer:
        """Render nothing on this host until resumed, or until then."""
        if until_at_ms is not None and not self._view().wall < until_at_ms <= _TIME_MOST_MS:
            raise UsageError("a pause ends at a time that is still to come")
        until = None if until_at_ms is None else WallTime(until_at_ms)
        return self._paused(await self._asking.order(lambda op: PauseAsked(op=op, until=until, now=now)))

    async def resume(self) -> owner.PauseAnswer:
        """Let this host render again."""
        return self._paused(await self._asking.order(lambda op: ResumeAsked(op=op)))

    async def reach(self, peer: str | None) -> owner.ReachAnswer:
        """Have a few peers dial this one, or `peer` alone, which is dialled from here as well."""
        asked = None if peer is None else naming.find_peer(self._view(), peer)
        whom = None if asked is None else asked.peer
        found = await self._asking.reach(lambda op: ReachAsked(op=op, peer=whom))
        return rows.reach_row(found, asked, _names(self._view()))

    async def store(self) -> StoreAnswer:
        """Tell what the store holds, and for which jobs."""
        return await self._larder.answer(self._view)

    async def free(self, size: int) -> FreeAnswer:
        """Delete so many bytes of cache."""
        return await self._larder.free(size)

    async def leave(self) -> None:
        """Drain, hand over what this peer holds, then forget the membership and end."""
        self._stop(StopAsked(now=False, leave=True))

    async def stop(self, now: bool) -> None:
        """Finish the frames in hand, or with `now` not even those, then end."""
        self._stop(StopAsked(now=now))

    async def watch_status(self) -> AsyncIterator[desk.StatusAnswer]:
        """Yield the status now, and whenever it changed."""
        last: desk.StatusAnswer | None = None
        while True:
            began_s, seen = trio.current_time(), self._changes.seen
            status = await self.status()
            took_s = trio.current_time() - began_s
            if last is None or {**status, "now_at_ms": 0} != {**last, "now_at_ms": 0}:
                last = status
                yield status
            await self._changes.worth_looking(seen, took_s)

    async def watch_job(self, job: str) -> AsyncIterator[desk.JobChange]:
        """Yield a job now, and whenever it changed; ends when the job can change no more."""
        watched = self._find(self._view(), job).job
        key, looked_s = watched.hex(), trio.current_time()
        await self._asking.look(watched)
        before: dict[int, desk.TaskRow] = {}
        last: desk.JobRow | None = None
        while True:
            began_s, seen = trio.current_time(), self._changes.seen
            view = self._view()
            found, names = self._find(view, key), _names(view)
            tasks = self._views.task_views(found.job)
            now = {task.frame: rows.task_row(task, found, names) for task in tasks}
            row = self._job_row(found, names)
            changed = [task for frame, task in now.items() if before.get(frame) != task] if last else []
            took_s = trio.current_time() - began_s
            if last != row or changed:
                yield {"job": row, "frames": changed}
            if found.state in _OVER and not _still_delivers(found):
                return
            before, last = now, row
            if trio.current_time() - looked_s > _LOOK_EACH_S:
                looked_s = trio.current_time()
                await self._asking.mention(lambda op: LookAsked(op=op, job=watched))
            await self._changes.worth_looking(seen, took_s)

    async def _asked_to_revoke(self, what: Ousted) -> None:
        reply = await self._asking.ask(lambda op: RevokeAsked(op=op, what=what))
        if isinstance(reply, Declined):
            raise declined(reply)

    def _thrown_out(self, view: MeshView) -> str:
        return roster.why_out(view.out, view.peer, self._members()) if view.out is not None else ""

    def _member_rows(self, members: Sequence[MemberView]) -> list[MemberRow]:
        names, now = roster.names_of(self._members()), self._world.now().wall
        return [roster.member_row(member, names, now) for member in members]

    def _view(self) -> MeshView:
        return self._views.mesh_view(self._world.now())

    def _paused(self, reply: Done | Declined) -> owner.PauseAnswer:
        if isinstance(reply, Declined):
            raise declined(reply)
        view = self._view()
        return {"paused": rows.pause_row(view.pause), "in_hand": len(view.renders)}

    def _find(self, view: MeshView, named: str) -> JobView:
        by_name = [job for job in view.jobs if named and job.record.name == named]
        by_id = [job for job in view.jobs if named and job.job.hex().startswith(named.lower())]
        exact = [job for job in by_id if job.job.hex() == named.lower()]
        for found in (exact, by_id + [job for job in by_name if job not in by_id]):
            if len(found) == 1:
                return found[0]
            if found:
                raise Ambiguous(f"{named!r} is {len(found)} jobs: {', '.join(job.job.hex()[:12] for job in found[:8])}")
        raise NotFound(f"no job is called {named!r}")

    def _job_row(self, job: JobView, names: rows.Names) -> desk.JobRow:
        return rows.job_row(job, names, self._directories.get(job.job, ""), self._preview(job.job))

    def _submitted_row(self, submitted: Submitted) -> desk.JobRow | None:
        if submitted.job is None:
            return None
        self._directories[submitted.job] = submitted.plan.directory
        view = self._view()
        return self._job_row(self._find(view, submitted.job.hex()), _names(view))


def _names(view: MeshView) -> rows.Names:
    return {peer.peer: peer.name for peer in view.peers if peer.name}


def _newest_first(view: MeshView) -> list[JobView]:
    return sorted(view.jobs, key=lambda job: (-job.record.submitted, job.job))


def _still_delivers(job: JobView) -> bool:
    """Say whether files of a sealed job are still on their way to this host."""
    return job.mine and job.state is JobState.SEALED and job.delivered < job.tasks - job.stopped
