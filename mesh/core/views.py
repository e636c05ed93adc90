"""What people see of the core: frozen views, made when somebody asks. Nothing here changes anything."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from mesh.core import stillviews
from mesh.core.claims import Claims
from mesh.core.delivery import Delivery, Order
from mesh.core.directory import Directory
from mesh.core.dockets import Docket
from mesh.core.fold import TaskFold, result_of
from mesh.core.holds import Holding
from mesh.core.host import HostFacts
from mesh.core.jobs import Jobs
from mesh.core.keepers import Keepers
from mesh.core.leases import Leases
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.looks import Looks
from mesh.core.membership import Members
from mesh.core.probing import Probing
from mesh.core.repair import Repair
from mesh.core.rulings import Rulings
from mesh.core.scenes import Scenes
from mesh.core.slots import InHand, Slots
from mesh.core.status import (
    ComplaintView,
    FailureView,
    HelperView,
    JobState,
    JobView,
    MemberView,
    MeshView,
    PeerView,
    RenderView,
    SceneRoomView,
    ShareView,
    StillView,
    TaskState,
    TaskView,
)
from mesh.core.sync import Sync
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Now
from mesh.ground.limits import HEARD_MS
from mesh.wire.complaints import Complaint
from mesh.wire.envelope import Signed
from mesh.wire.members import Role
from mesh.wire.messages import Address, Window
from mesh.wire.records import EngineId, Entry, Failed, FailureKind, Job
from mesh.wire.versions import VERSION_HIGHEST, VERSION_LOWEST, since

_PROBLEMS = 8
_PAUSED = "its owner has paused it"


class Views:
    """Read the machines."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        members: Members,
        directory: Directory,
        host: HostFacts,
        *,
        keepers: Keepers,
        leases: Leases,
        claims: Claims,
        slots: Slots,
        holding: Holding,
        delivery: Delivery,
        jobs: Jobs,
        scenes: Scenes,
        sync: Sync,
        looks: Looks,
        probing: Probing,
        repair: Repair,
        rulings: Rulings,
        coordinator: Callable[[JobId, Now], PeerId | None],
    ) -> None:
        self._name = name
        self._ledger = ledger
        self._members = members
        self._directory = directory
        self._host = host
        self._keepers = keepers
        self._leases = leases
        self._claims = claims
        self._slots = slots
        self._holding = holding
        self._delivery = delivery
        self._jobs = jobs
        self._scenes = scenes
        self._sync = sync
        self._looks = looks
        self._probing = probing
        self._repair = repair
        self._rulings = rulings
        self._coordinator = coordinator
        self.addresses: tuple[Address, ...] = ()

    def mesh(self, now: Now) -> MeshView:
        """Return all that this peer knows, in short."""
        mine = self._members.mine
        return MeshView(
            peer=mine.peer,
            mesh=self._members.mesh,
            name=self._name,
            wall=now.wall,
            peers=(self._me(), *(self._peer(peer) for peer in sorted(self._directory.peers))),
            jobs=tuple(self.job(now, job) for job in self._ledger.jobs),
            renders=tuple(self._render(task) for task in self._slots.in_hand()),
            roles=tuple(role.name.lower() for role in Role if role & mine.roles and role.name),
            membership_expires=mine.expires,
            draining=self._host.draining,
            handing_over=self._repair.handing_over,
            twin=self._host.twin,
            out=self._members.out,
            pause=self._host.pause,
            full=self._host.full,
            no_room=tuple(SceneRoomView(job=job, size=size) for job, size in self._scenes.without_room()),
            given_up=self._probing.given_up,
        )

    def members(self) -> tuple[MemberView, ...]:
        """Return everybody who was ever admitted, as far as this peer knows, lowest id first."""
        return tuple(
            MemberView(
                peer=peer,
                name=self._name_or_none(peer),
                me=peer == self._directory.me,
                connected=self._directory.connected(peer),
                chain=chain,
                roles=membership.roles,
                expires=membership.expires,
                revoked=self._members.ousted_by(peer),
            )
            for peer, chain, membership in self._members.everybody()
        )

    def job(self, now: Now, job: JobId) -> JobView:
        """Return one job; raises `KeyError` where it is unknown."""
        ledger = self._ledger.jobs[job]
        whole = self._sync.has_all(ledger, now)
        heard = self._claims.following[job].told if job in self._claims.following else None
        told = None if whole else heard
        docket = self._leases.dockets.get(job)
        own = self._delivery.own(job)
        sealed = ledger.sealed
        counting = ledger.counting if told is None else max(ledger.counting, told.counting)
        if sealed is not None:
            counting = sum(task.result is not None for task in sealed[1].tasks)
        running = self._rendering(docket, heard)
        waits = not (running or ledger.ended or counting == ledger.frames)
        stopped = ledger.stopped if told is None else max(ledger.stopped, told.stopped)
        safe = self._holding.safe_count(job)
        over = told is not None and told.ended
        return JobView(
            job=job,
            record=ledger.job,
            submitter=ledger.submitter,
            mine=ledger.submitter == self._directory.me,
            state=_state(ledger, counting, running, stopped, over=over),
            tasks=ledger.frames,
            counting=counting,
            running=0 if ledger.ended else running,
            safe=safe if told is None else max(safe, told.safe),
            stopped=stopped,
            waiting=0 if ledger.ended else ledger.waiting,
            cells=ledger.parts.tasks - ledger.frames,
            cells_counting=max(ledger.cells_counting, told.cells_counting if told is not None else 0),
            coordinator=self._coordinator(job, now),
            pixels=ledger.frames * ledger.growth.frame_pixels,
            pixels_counting=_pixels_counting(ledger, counting, told.cells_counting if told is not None else 0),
            pixel_ns=ledger.growth.pixel_ns,
            delivered=self._delivery.delivered(job),
            durable=self._jobs.durable(ledger, now),
            scene_holders=len(self._jobs.scene_holders(ledger)),
            may_go=self._jobs.may_go(ledger, now),
            only_here=not self._directory.heard_within(now.wall, HEARD_MS, ledger.version),
            keeping=self._keepers.marked(job, now),
            weight=ledger.weight if told is None else told.weight,
            median_ms=ledger.median_ms or (heard.median_ms if heard else 0),
            problems=self._problems(now, ledger, waits=waits),
            unwritten=self._unwritten(own) if own is not None else (),
            blocked=len(own.in_the_way) if own is not None else 0,
            complaints=tuple(self._complaint(ledger, each.author, each.body) for each in self._rulings.of(job)),
            known=whole or bool(self._keepers.parties(ledger, now)),
        )

    def tasks(self, job: JobId, tasks: Iterable[int] | None = None) -> tuple[TaskView, ...]:
        """Return every frame of a job, or those with these numbers; raises `KeyError` where the job is unknown."""
        ledger = self._ledger.jobs[job]
        own = self._delivery.own(job)
        delivered = own.delivered if own is not None else {}
        wanted = range(ledger.frames) if tasks is None else tasks
        return tuple(self._task(ledger, task, delivered=task in delivered) for task in wanted)

    def still(self, now: Now, job: JobId, frame: int | None) -> StillView | None:
        """Return how a frame grows from buckets, by its number; without one, that which grows now or the last one.

        None where the frame is not cut, or no such frame is there. Raises `KeyError` where the job is unknown.
        """
        ledger = self._ledger.jobs[job]
        numbers = list(ledger.job.frames)
        task = stillviews.growing(ledger) if frame is None else numbers.index(frame) if frame in numbers else None
        if task is None or not ledger.parts.is_cut(task):
            return None
        docket = self._leases.dockets.get(job)
        held: dict[int, stillviews.Held] = {}
        for mine in self._slots.in_hand():
            body = mine.claim.body
            if (body.job, body.task) == (job, task) and body.block is not None:
                each = stillviews.Held(holder=self._directory.me, block=body.block, attempt=body.attempt)
                held |= dict.fromkeys(ledger.parts.of(task, body.block), each)
        held |= stillviews.held_in(docket, task) if docket is not None else {}
        return StillView(
            frame=numbers[task],
            state=self._task(ledger, task, delivered=False).state,
            region=ledger.parts.grid.region,
            assembler=stillviews.assembler_of(ledger, docket, task),
            known=self._sync.has_all(ledger, now) or self._looks.fresh(job, now),
            buckets=stillviews.buckets(ledger, task, held),
        )

    def shares(self, job: JobId) -> tuple[ShareView, ...]:
        """Return who rendered how much of a job's frames in buckets; raises `KeyError` where it is unknown."""
        return stillviews.shares(self._ledger.jobs[job])

    def helpers(self, engine: EngineId, memory_mb: int = 0) -> tuple[HelperView, ...]:
        """Return which connected peers can render with an engine and so much memory, and what the others lack."""
        lacks = (
            _lacks(engine, self._host.engines, self._host.slots)
            or _short(self._host.memory_mb, memory_mb)
            or _paused(self._host.pause is not None)
        )
        needs = since(Job, "memory_mb") if memory_mb else VERSION_LOWEST
        mine = HelperView(peer=self._directory.me, name=self._name, lacks=lacks)
        others = []
        for peer in self._directory.all_connected():
            known = self._directory.peers[peer]
            offer = known.available
            if offer is None:
                lacks = "it has not said yet what it can do"
            else:
                lacks = (
                    _lacks(engine, offer.engines, offer.slots)
                    or _short(offer.memory_mb, memory_mb)
                    or _behind(known.version, needs)
                    or _paused(offer.paused)
                )
            others.append(HelperView(peer=peer, name=known.name, lacks=lacks))
        return (mine, *others)

    def _rendering(self, docket: Docket | None, told: Window | None) -> int:
        """Count the frames that are rendered now: peers claim ahead, beyond their slots, so that these never wait."""
        if docket is None:
            return min(told.running, told.slots) if told else self._slots.busy
        claimed = Counter(lease.holder for lease in docket.by_claim.values())
        return sum(min(many, self._slots_of(peer)) for peer, many in claimed.items())

    def _slots_of(self, peer: PeerId) -> int:
        if peer == self._directory.me:
            return self._host.slots
        known = self._directory.peers.get(peer)
        return known.available.slots if known and known.available else 1

    def _render(self, task: InHand) -> RenderView:
        body = task.claim.body
        ledger = self._ledger.jobs[body.job]
        frame = ledger.job.frames.frame(body.task)
        cut, region = ledger.parts.cut, None
        if cut is not None and body.block is not None:
            region = cut.part or cut.grid.pixels(body.block)
        return RenderView(job=body.job, frame=frame, region=region, slot=task.slot, sample=task.sample)

    def _me(self) -> PeerView:
        return PeerView(
            peer=self._directory.me,
            name=self._name,
            connected=True,
            me=True,
            addresses=self.addresses,
            engines=self._host.engines,
            slots=self._host.slots,
            busy=self._slots.busy,
            draining=self._host.draining,
            paused=self._host.pause is not None,
            revoked=self._members.out is not None,
            round_trip_ms=None,
            speaks=VERSION_HIGHEST,
        )

    def _peer(self, peer: PeerId) -> PeerView:
        known = self._directory.peers[peer]
        offer = known.available
        return PeerView(
            peer=peer,
            name=known.name,
            connected=known.connected,
            me=False,
            addresses=known.addresses,
            engines=offer.engines if offer else (),
            slots=offer.slots if offer else 0,
            busy=offer.busy if offer else 0,
            draining=offer.draining if offer else False,
            paused=offer.paused if offer else False,
            revoked=bool(self._members.bans) and self._members.ousted_by(peer) is not None,
            round_trip_ms=known.round_trip_ms,
            speaks=max(known.speaks, known.version) if known.boot is not None or known.speaks else 0,
        )

    def _all_paused(self, job: Job) -> str:
        """Say so where every peer that could render a job is paused; else nothing."""
        able = [helper for helper in self.helpers(job.engine, job.memory_mb) if helper.lacks in ("", _PAUSED)]
        if not able or any(not helper.lacks for helper in able):
            return ""
        names = ", ".join(self._name_of(helper.peer) for helper in able[:_PROBLEMS])
        return f"nobody renders: each peer that could is paused by its owner ({names}); `meshnode resume` there ends it"

    def _problems(self, now: Now, ledger: JobLedger, *, waits: bool) -> tuple[str, ...]:
        found: list[str] = []
        if waits and (paused := self._all_paused(ledger.job)):
            found.append(paused)
        for order in self._delivery.of(ledger.id):
            found += self._unwritten(order)
            found += self._missing(order, now)
            found += self._replaced(ledger, order)
        for entry in ledger.failures():
            failed = entry.body.what
            assert isinstance(failed, Failed)
            who, frame = self._name_of(entry.author), ledger.job.frames.frame(failed.task)
            what = f"frame {frame}" if failed.block is None else f"a bucket of frame {frame}"
            found.append(f"{what} failed on {who}: {_kind(failed)}: {failed.reason}")
        return tuple(found[:_PROBLEMS])

    def _complaint(self, ledger: JobLedger, author: PeerId, said: Complaint) -> ComplaintView:
        return ComplaintView(peer=author, frame=ledger.job.frames.frame(said.task), reason=said.reason)

    def _unwritten(self, order: Order) -> tuple[str, ...]:
        frames = self._ledger.jobs[order.job].job.frames
        return tuple(
            f"frame {frames.frame(task)} was not written to {order.directory}: {reason}"
            for task, reason in sorted(order.problems.items())[:_PROBLEMS]
        )

    def _missing(self, order: Order, now: Now) -> Iterator[str]:
        """Say which pictures cannot be fetched, and who would have to come back for it."""
        frames = self._ledger.jobs[order.job].job.frames
        for task, sources in islice(self._delivery.missing(order, now), _PROBLEMS):
            away = [self._name_of(peer) for peer in sources[:_PROBLEMS] if not self._directory.connected(peer)]
            hope = f"it comes once {' or '.join(away)} is back" if away else "those who had it have it no more"
            yield f"nobody who is connected has the picture of frame {frames.frame(task)}: {hope}"

    def _replaced(self, ledger: JobLedger, order: Order) -> Iterator[str]:
        """Say which files are there no more, or are made of another picture than the one first written."""
        for task, result in sorted(order.rejected.items()):
            entry = ledger.entries.get(result)
            reason = ledger.opinions.reason(entry) if entry is not None else ""
            name = ledger.job.names.name(ledger.job.frames.frame(task))
            what = "was replaced, as its picture was rejected" if task in order.done else "was rejected"
            yield f"{name} in {order.directory} {what}{f': {reason}' if reason else ''}"

    def _name_of(self, peer: PeerId) -> str:
        return self._name_or_none(peer) or peer.hex()[:8]

    def _name_or_none(self, peer: PeerId) -> str:
        if peer == self._directory.me:
            return self._name
        known = self._directory.peers.get(peer)
        return known.name if known is not None else ""

    def _task(self, ledger: JobLedger, task: int, *, delivered: bool) -> TaskView:
        folded = ledger.task(task)
        docket = self._leases.dockets.get(ledger.id)
        lease = docket.leases.get(task) if docket else None
        counting = ledger.standing(task)
        result = result_of(counting) if counting else None
        voucher = ledger.opinions.vouch(counting) if counting is not None else None
        safe = self._holding.is_safe(ledger.id, task)
        if counting is not None:
            state = TaskState.SAFE if safe else TaskState.COUNTS
        elif folded.state is TaskFold.STOPPED or ledger.sealed is not None:
            state = TaskState.STOPPED
        else:
            state = TaskState.RUNNING if lease else TaskState.OPEN
        return TaskView(
            task=task,
            frame=ledger.job.frames.frame(task),
            state=state,
            delivered=delivered,
            holder=counting.author if counting else (lease.holder if lease else None),
            attempt=result.attempt if result else (lease.attempt if lease else folded.attempt),
            render_ms=result.render_ms if result else 0,
            holds=len(self._holding.holders(ledger.id, result.outputs[0].blob)) if result else 0,
            result=counting.id if counting else None,
            log=result.log if result else None,
            failures=tuple(_failure(entry) for entry in folded.failures),
            waiting=tuple(dict.fromkeys(entry.author for entry in folded.waiting)),
            voucher=voucher.author if voucher is not None else None,
        )


def _state(ledger: JobLedger, counting: int, running: int, stopped: int, *, over: bool) -> JobState:
    """Return a job's state; `over`: a keeper says so to this peer, which only follows."""
    if ledger.cancel is not None or ledger.struck_out:
        return JobState.CANCELLED
    if ledger.seals:
        return JobState.SEALED
    if counting == ledger.frames:
        return JobState.SEALED if over else JobState.RENDERED
    if stopped and counting + stopped == ledger.frames:
        return JobState.STOPPED
    return JobState.RENDERING if running else JobState.WAITING


def _pixels_counting(ledger: JobLedger, counting: int, cells_told: int) -> int:
    """Return how many pixels of all frames are rendered; as far as a keeper only told how many cells, about so many."""
    frame, parts = ledger.growth.frame_pixels, ledger.parts
    if not frame:
        return 0
    told = (parts.frames - parts.first_cut) * frame * cells_told // max(1, parts.tasks - parts.frames)
    return min(parts.frames * frame, max(ledger.pixels_counting, counting * frame, told))


def _failure(entry: Signed[Entry]) -> FailureView:
    failed = entry.body.what
    assert isinstance(failed, Failed)
    return FailureView(peer=entry.author, kind=_kind(failed), reason=failed.reason, log=failed.log)


def _kind(failed: Failed) -> str:
    try:
        return FailureKind(failed.kind).name.lower().replace("_", " ")
    except ValueError:
        return f"failure {failed.kind}"


def _lacks(engine: EngineId, engines: tuple[EngineId, ...], slots: int) -> str:
    if slots == 0:
        return "it does not render"
    if engine in engines:
        return ""
    same = [other.version for other in engines if other.name == engine.name]
    if engine.version in same:
        return f"it has another build of {engine}"
    return f"it has {engine.name} {', '.join(same)}, not {engine.version}" if same else f"it has no {engine.name}"


def _short(memory_mb: int, wanted_mb: int) -> str:
    return f"it has {memory_mb:,} MB of memory, not {wanted_mb:,}" if memory_mb < wanted_mb else ""


def _behind(version: int, needs: int) -> str:
    return f"it speaks version {version} of the wire, and the job needs {needs}: update it" if version < needs else ""


def _paused(paused: bool) -> str:
    return _PAUSED if paused else ""
