"""The frozen view that people's programs see; made on request, never state."""

import enum
from dataclasses import dataclass

from mesh.core.host import Pause
from mesh.ground.ids import BlobId, JobId, MeshId, PeerId, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.envelope import Signed
from mesh.wire.grids import Region
from mesh.wire.members import Admission, Role
from mesh.wire.messages import Address
from mesh.wire.records import EngineId, Job
from mesh.wire.revocations import Revocation


class JobState(enum.Enum):
    """What a person would say of a job."""

    WAITING = "waiting"
    """Nobody renders: nobody can, or nobody has the scene yet."""
    RENDERING = "rendering"
    STOPPED = "stopped"
    """All that is left are tasks that failed too often."""
    RENDERED = "rendered"
    """Every task counts; files are on their way."""
    SEALED = "sealed"
    CANCELLED = "cancelled"


class TaskState(enum.Enum):
    """What a person would say of a task."""

    OPEN = "open"
    RUNNING = "running"
    COUNTS = "counts"
    SAFE = "safe"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """One peer as this one sees it."""

    peer: PeerId
    name: str
    connected: bool
    me: bool
    addresses: tuple[Address, ...]
    engines: tuple[EngineId, ...]
    slots: int
    busy: int
    draining: bool
    paused: bool
    revoked: bool
    """A revocation shuts it out."""
    round_trip_ms: int | None
    speaks: int
    """The highest version of the wire that it speaks, as far as is known; 0: it was never met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperView:
    """Whether a peer can help with a job, and what it lacks; `lacks` empty: it can."""

    peer: PeerId
    name: str
    lacks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job as this peer sees it."""

    job: JobId
    record: Job
    submitter: PeerId
    mine: bool
    state: JobState
    tasks: int
    counting: int
    running: int
    """Frames that are rendered now, without those that a peer has only claimed ahead."""
    safe: int
    stopped: int
    waiting: int
    """Frames that are rendered and wait for a second opinion."""
    cells: int
    """Of all frames that are rendered in buckets."""
    cells_counting: int
    coordinator: PeerId | None
    """Who grants its buckets, as far as this peer heard."""
    pixels: int
    """Of all frames together, where some are rendered in buckets; 0: none is."""
    pixels_counting: int
    pixel_ns: int
    """What a pixel of a bucket takes one slot, in nanoseconds; 0: nothing tells it here."""
    delivered: int
    durable: bool
    """The job's record is on as many disks as it should be."""
    scene_holders: int
    """Other peers known to hold the whole scene."""
    may_go: bool
    """This host may be switched off and nothing is lost."""
    only_here: bool
    """No other peer could take the job over: there is none."""
    keeping: bool
    weight: int
    """How much time each host gives it beside others, as far as this peer heard."""
    median_ms: int
    problems: tuple[str, ...]
    """What a person should know: failures, files that could not be written."""
    unwritten: tuple[str, ...]
    """Of these, the files that could not be written where the job's own order wants them."""
    blocked: int
    """Frames that will not be written there before the person acts: another file is in each one's place."""
    complaints: tuple["ComplaintView", ...]
    """What others say of its pictures that nobody has ruled on."""
    known: bool
    """This peer has part in the job, or is connected to one that has: what it shows is not long out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureView:
    """One failed attempt."""

    peer: PeerId
    kind: str
    reason: str
    log: BlobId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintView:
    """What somebody who may not reject it says of a frame's picture."""

    peer: PeerId
    frame: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task of a job, as a keeper of the job or its submitter sees it."""

    task: int
    frame: int
    state: TaskState
    delivered: bool
    holder: PeerId | None
    """Who renders it, or rendered what counts."""
    attempt: int
    render_ms: int
    holds: int
    result: RecordId | None
    log: BlobId | None
    failures: tuple[FailureView, ...]
    waiting: tuple[PeerId, ...] = ()
    """Whose pictures of it wait for somebody who agrees; of several no two are alike."""
    voucher: PeerId | None = None
    """Who agreed with what counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketView:
    """A rectangle of one frame: what counts of a bucket's result, or what is rendered, or what is open."""

    region: Region
    whole: Region
    """All pixels of the bucket; other results may count for some of them."""
    state: TaskState
    holder: PeerId | None
    """Who renders it, or rendered what counts; None as well where this peer does not know."""
    attempt: int
    render_ms: int
    """Of the whole bucket."""
    log: BlobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StillView:
    """One frame that is rendered in buckets."""

    frame: int
    state: TaskState
    region: Region
    """What is rendered of it."""
    assembler: PeerId | None
    """Who pastes its buckets together, or did; None where nobody does, or the frame was rendered whole."""
    known: bool
    """This peer has the job's records; else it only heard from a keeper how much there is, and not who did it."""
    buckets: tuple[BucketView, ...]
    """Rectangles without overlap that make up the region, from the top down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareView:
    """What one peer rendered of a job's frames in buckets, as far as it counts."""

    peer: PeerId
    buckets: int
    pixels: int
    render_ms: int
    """Of these buckets, all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One who was admitted, whether it still may enter or not."""

    peer: PeerId
    name: str
    """Empty where it was not met since this peer started."""
    me: bool
    connected: bool
    chain: tuple[Signed[Admission], ...]
    roles: Role
    expires: WallTime
    revoked: Signed[Revocation] | None
    """What shuts it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderView:
    """One frame, or bucket of one, that this host renders now."""

    job: JobId
    frame: int
    region: Region | None
    """The bucket's pixels without its margin; None: the whole frame."""
    slot: int
    sample: int
    """Samples that the engine says are done; 0: it is still loading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundView:
    """What a job binds of this host's store; sizes in bytes. What several jobs bind counts for the first of them."""

    job: JobId | None
    """None: no job does, it is being fetched or written at this moment."""
    blobs: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """What this host's store holds, and for whom; sizes in bytes."""

    stored: int
    free: int
    bound: tuple[BoundView, ...]
    cache_blobs: int
    cache: int
    """What nobody is owed: it goes, least recently used first, when room is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRoomView:
    """A scene that has no room here."""

    job: JobId
    size: int
    """What of it is not here, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshView:
    """All that this peer knows, in short."""

    peer: PeerId
    mesh: MeshId
    name: str
    wall: WallTime
    peers: tuple[PeerView, ...]
    jobs: tuple[JobView, ...]
    renders: tuple[RenderView, ...]
    """What this host itself renders."""
    roles: tuple[str, ...]
    membership_expires: WallTime
    draining: bool
    handing_over: int
    """Outputs that others have yet to take before this peer leaves."""
    twin: Address | None
    """Where another process runs with this peer's identity."""
    out: Signed[Revocation] | None
    """What shuts this peer out of the mesh."""
    pause: Pause | None
    """This host's own."""
    full: bool
    """What this host stores is bound, and there is hardly any room: it claims, keeps and takes copies of nothing."""
    no_room: tuple[SceneRoomView, ...]
    """Scenes that this peer would fetch if there were room."""
    given_up: int
    """Peers that this one declared gone for their silence, since it started."""
