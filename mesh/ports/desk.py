"""What people's programs ask of a running peer, and what it answers: the desk.

Theory: the node implements `Desk`; the local API puts it on HTTP; every command of `meshnode`, and anybody's script, is
a client of that. So all answers are plain JSON values, described here field by field, and all failures are `MeshError`s
whose class, message and advice travel as text.

Conventions: ids are lower-case hexadecimal; times are milliseconds since 1970 UTC where a name ends in `_at_ms`, and
durations where it ends in `_ms`; sizes are bytes; paths are absolute and this host's. Fields are only ever added.
A job is named by its id, by any unique beginning of its id, or by its name where just one job has that name.

This module must stay light, since every command imports it: nothing from outside the standard library.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Literal, Protocol, TypeAlias, TypedDict

from mesh.ground.errors import MeshError
from mesh.ports.enginerows import EnginesAnswer
from mesh.ports.logs import LogAnswer
from mesh.ports.owner import BeaconRow, PauseAnswer, PauseRow, ReachAnswer
from mesh.ports.roster import (
    InviteAnswer,
    MembersAnswer,
    PeerAnswer,
    PeerRow,
    RevokeAnswer,
    RevokeInviteAnswer,
    RevokeRequest,
)
from mesh.ports.stills import BucketsAnswer, RenderRow, ShareRow
from mesh.ports.stores import FreeAnswer, StoreAnswer, StoreRow
from mesh.ports.submission import PictureRow, SubmitRequest
from mesh.ports.trust import ComplaintRow, RejectAnswer


class DeskError(MeshError):
    """The peer could not do what was asked. The message says why."""

    exit_code = 10


class NotFound(DeskError):
    """There is no such thing here. `meshnode jobs` lists the jobs, `show JOB` one job's frames, `members` the peers."""

    exit_code = 11


class Ambiguous(DeskError):
    """Several jobs or members answer to that name. Give more of the id: `meshnode jobs` and `members` show it."""

    exit_code = 12


class Refused(DeskError):
    """Nothing was sent: something has to be put right first. Each reason stands beside what to do about it."""

    exit_code = 13

    def __init__(self, refusals: "Iterable[RefusalRow]") -> None:
        self.refusals = tuple(refusals)
        super().__init__("; ".join(refusal["text"] for refusal in self.refusals) or "refused")


class Unwritten(Refused):
    """Not every frame was written: something is in the way. Each reason stands beside what to do about it."""


class NotAllowed(DeskError):
    """This peer's membership does not include that. Ask for an invite with the role that the message names."""

    exit_code = 14


class Draining(DeskError):
    """The peer is about to stop and takes nothing new. Start it again: `meshnode join`."""

    exit_code = 15


class UnknownPeer(DeskError):
    """This peer knows no other of that name. `meshnode status` lists those that it knows, with their ids."""

    exit_code = 46


class NobodyHasIt(DeskError):
    """No peer that has what was asked for answered in time. Try again when more are connected: `meshnode status`."""

    exit_code = 16


class JobStopped(DeskError):
    """What is left of the job are frames that failed too often. `meshnode logs JOB` shows what the engine printed."""

    exit_code = 18


class JobOver(DeskError):
    """The job is over: nothing of it is left to render. `meshnode jobs` shows which ones are not."""

    exit_code = 49


class JobCancelled(DeskError):
    """The job was cancelled. Frames that were delivered before stay where they are."""

    exit_code = 19


class ThrownOut(DeskError):
    """This peer is no member any more: a revocation shuts it out. The message says whose, and how it may come back."""

    exit_code = 9


class RefusalRow(TypedDict):
    """Why something is not done: a stable code, the thing that it is about, a sentence, and what to do."""

    code: str
    subject: str
    text: str
    remedy: str


JobStateName: TypeAlias = Literal["waiting", "rendering", "stopped", "rendered", "sealed", "cancelled"]
TaskStateName: TypeAlias = Literal["open", "running", "counts", "safe", "stopped"]


class JobRow(TypedDict):
    """One job in short; `frames` reads like `1-240`, `directory` is empty where this peer does not deliver files.

    Where frames are rendered in buckets, `cells` are the parts of all such frames that can count, and `pixels` those of
    all frames together; `pixel_ns` is what a pixel took a slot on average; all are 0 for other jobs. `coordinator`
    grants the buckets, and `preview` is where a picture of what there is grows on this host. Of a job that is checked
    `twice`, `waiting` frames are rendered and wait for a second opinion.
    """

    id: str
    name: str
    state: JobStateName
    mine: bool
    submitter: str
    submitter_name: str
    submitted_at_ms: int
    last_day_at_ms: int
    engine: str
    frames: str
    tasks: int
    counting: int
    running: int
    safe: int
    stopped: int
    cells: int
    cells_counting: int
    coordinator: str
    pixels: int
    pixels_counting: int
    pixel_ns: int
    delivered: int
    copies: int
    durable: bool
    scene_holders: int
    may_go: bool
    only_here: bool
    keeping: bool
    weight: int
    median_ms: int
    directory: str
    preview: str
    problems: list[str]
    unwritten: list[str]
    blocked: int
    check: str
    judges: list[str]
    waiting: int
    complaints: list[ComplaintRow]


class FailureRow(TypedDict):
    """One failed attempt at a frame."""

    peer: str
    peer_name: str
    kind: str
    reason: str
    has_log: bool


class TaskRow(TypedDict):
    """One frame of a job; `holder` renders it or rendered what counts, and is empty where nobody does or did.

    `waiting` are those whose pictures wait for somebody who agrees, `voucher_name` agreed with what counts.
    """

    frame: int
    file: str
    state: TaskStateName
    delivered: bool
    holder: str
    holder_name: str
    attempt: int
    render_ms: int
    holds: int
    has_log: bool
    failures: list[FailureRow]
    waiting: list[str]
    voucher_name: str


class HelperRow(TypedDict):
    """Whether a peer can help with a job; `lacks` is empty where it can, and else says in a few words why not."""

    id: str
    name: str
    lacks: str


class JobAnswer(TypedDict):
    """One job in full; `frames` are in the job's own order, `shares` tell of buckets alone.

    `whole`: what is told of frames is all that somebody knew a moment ago who has the job's records. Else nobody who
    has them answered in time, and of what others rendered some may be missing.
    """

    job: JobRow
    picture: PictureRow
    scene: str
    helpers: list[HelperRow]
    shares: list[ShareRow]
    frames: list[TaskRow]
    whole: bool


class JobsAnswer(TypedDict):
    """Every job that this peer knows of, newest first; `paused` None where this host may render."""

    jobs: list[JobRow]
    paused: PauseRow | None


class BootstrapRow(TypedDict):
    """An address that a person gave with `--peer`: `state` is `untried`, `reached` or `unreached`.

    `error` names why nobody of this mesh was found there at the last try, as in the list of errors, and `problem` says
    it in words; both are empty otherwise. It is tried for ever.
    """

    address: str
    state: str
    error: str
    problem: str


class StatusAnswer(TypedDict):
    """What this peer is and sees."""

    version: str
    id: str
    name: str
    mesh: str
    mesh_name: str
    home: str
    roles: list[str]
    membership_expires_at_ms: int
    now_at_ms: int
    draining: bool
    handing_over: int
    """Frames that others have yet to take before this peer leaves."""
    paused: PauseRow | None
    addresses: list[str]
    bootstraps: list[BootstrapRow]
    beacon: BeaconRow
    stored_bytes: int
    free_bytes: int
    store: StoreRow
    peers: list[PeerRow]
    jobs: list[JobRow]
    renders: list[RenderRow]
    cloned: str
    """What to do about another process that runs with this peer's identity; empty while none was met."""
    thrown_out: str
    """Why this peer is no member any more, and what to do; empty while it is one."""
    given_up: int
    """Peers that this one declared gone for their silence, since it started."""


class SubmitAnswer(TypedDict):
    """What was submitted, or would be: `job` is None after a dry run.

    `saved_by` and `saved_at_ms` tell which program saved the scene file, such as `blender 4.2`, and when. `files` and
    `scene_bytes` count what peers need of this host; `first_file` and `last_file` are the names of the first and last
    frame; `existing` names files that will be written over.
    """

    job: JobRow | None
    name: str
    scene: str
    saved_by: str
    saved_at_ms: int
    engine: str
    frames: str
    tasks: int
    picture: PictureRow
    directory: str
    first_file: str
    last_file: str
    buckets: str
    """How frames are cut into buckets, in words; empty where each is rendered whole."""
    files: int
    scene_bytes: int
    existing: list[str]
    helpers: list[HelperRow]
    warnings: list[str]


class FetchAnswer(TypedDict):
    """What lies in the directory now: files written, equal files that were there already, frames not rendered yet."""

    job: str
    directory: str
    written: int
    already: int
    unfinished: int


class ChangedAnswer(TypedDict):
    """The job that was cancelled, or given another weight."""

    job: JobRow


class Progress(TypedDict):
    """How far something is that takes time; `total` 0 where it is not known. `unit` is `bytes`, `files` or empty."""

    phase: str
    text: str
    done: int
    total: int
    unit: str


class JobChange(TypedDict):
    """What changed of a job: its row, and the frames that changed since the change before; none in the first one."""

    job: JobRow
    frames: list[TaskRow]


Report: TypeAlias = Callable[[Progress], None]
"""Takes progress as it comes; called in the event loop's thread, it never waits and never raises."""


class Desk(Protocol):
    """A running peer, as people's programs see it.

    Any method may raise `DeskError`, and other `MeshError`s of what it needs: the store's, the renderer's. Cancelling a
    call abandons the asking, not what was already begun.
    """

    async def status(self) -> StatusAnswer:
        """Tell what this peer is and sees."""

    async def peer(self, peer: str) -> PeerAnswer:
        """Tell where a peer is and what it can do, looked up in the DHT. Raises NotFound, Ambiguous."""
        ...

    async def jobs(self) -> JobsAnswer:
        """List every job that this peer knows of, newest first."""

    async def job(self, job: str) -> JobAnswer:
        """Tell everything of one job. Raises NotFound, Ambiguous."""

    async def buckets(self, job: str, frame: int | None) -> BucketsAnswer:
        """Tell who renders which part of a frame; without one, of the first that is not there yet, else of the last.

        Raises NotFound, also for a frame that is not rendered in buckets; Ambiguous.
        """
        ...

    async def engines(self) -> EnginesAnswer:
        """Look anew what this peer can render with, so that one just installed is used from now on."""

    async def submit(self, request: SubmitRequest, report: Report) -> SubmitAnswer:
        """Inspect, store and announce a scene, or with `dry_run` only say what would be done.

        Every reason against it is found before anything is sent and raised at once, as Refused: missing files, what
        the mesh cannot render truly, output files that exist. Raises UsageError for frames that cannot be read,
        NotAllowed without the role `submit`, Draining, and the renderer's errors.
        """

    async def cancel(self, job: str) -> ChangedAnswer:
        """End a job for good; frames that were delivered stay. Raises NotFound, Ambiguous, NotAllowed."""

    async def reject(self, job: str, frames: str, reason: str) -> RejectAnswer:
        """Say that the pictures of these frames are wrong, of all that there are where `frames` is empty.

        Who submitted the job, judges it or is an admin rejects them; anybody else complains. Raises NotFound,
        Ambiguous, UsageError, JobCancelled, JobOver, NoPicture.
        """

    async def weigh(self, job: str, weight: int) -> ChangedAnswer:
        """Give a job more or less time beside others. Raises NotFound, Ambiguous, NotAllowed, JobOver, UsageError."""

    async def fetch(self, job: str, directory: str, overwrite: bool, report: Report) -> FetchAnswer:
        """Write every frame that is rendered by now into a directory of this host, and return when all are there.

        A file that is gone or damaged comes back, where the job itself wants it too. Raises Unwritten naming each
        other file in the way, unless `overwrite`; JobCancelled; NobodyHasIt when nobody has them; FolderError.
        """

    async def log(self, job: str, frame: int | None) -> LogAnswer:
        """Give what the engine printed for a frame; without one, of every failed attempt and of the newest frame.

        Raises NotFound, Ambiguous.
        """

    async def invite(self, roles: list[str], life_ms: int, uses: int) -> InviteAnswer:
        """Sign an invite; no roles means the default ones. Raises NotAllowed without the role `invite`, UsageError."""

    async def members(self) -> MembersAnswer:
        """List everybody who was ever admitted, as far as this peer knows."""

    async def revoke(self, request: RevokeRequest) -> RevokeAnswer:
        """Throw a peer out for good, and with it whom it let in; with `dry_run` only say who that is.

        Raises NotFound, Ambiguous, NotAllowed without the role `admin`, ThrownOut, UsageError.
        """

    async def revoke_invite(self, invite: str, dry_run: bool) -> RevokeInviteAnswer:
        """Take an invite back, and throw out all who came by it; with `dry_run` only say who that is.

        Raises what `revoke` raises.
        """

    async def pause(self, until_at_ms: int | None, now: bool) -> PauseAnswer:
        """Render nothing on this host until resumed, or until then; with `now` give up even the frames in hand.

        Raises UsageError for a time that has passed, Draining.
        """

    async def resume(self) -> PauseAnswer:
        """Let this host render again."""

    async def reach(self, peer: str | None) -> ReachAnswer:
        """Have a few peers dial this one, or `peer` alone, which is dialled from here as well; takes some seconds.

        `peer` is a name that just one has, an id, or a unique beginning of one. Raises UnknownPeer, Ambiguous.
        """

    async def store(self) -> StoreAnswer:
        """Tell what this peer's store holds, and for which jobs."""
        ...

    async def free(self, size: int) -> FreeAnswer:
        """Delete so many bytes of cache, least recently used first; less where the rest is bound. Raises UsageError."""
        ...

    async def leave(self) -> None:
        """Drain, then forget the membership and end; returns as soon as draining has begun."""

    async def stop(self, now: bool) -> None:
        """Finish the frames in hand, or with `now` not even those, then end; returns as soon as that has begun."""

    def watch_status(self) -> AsyncIterator[StatusAnswer]:
        """Yield the status now, and whenever it changed, at most twice a second. The caller closes it."""

    def watch_job(self, job: str) -> AsyncIterator[JobChange]:
        """Yield a job now, and whenever it changed, at most twice a second, but a file that is written at once; ends
        when the job can change no more.

        Raises NotFound, Ambiguous. The caller closes it.
        """
