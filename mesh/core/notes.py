"""News that one machine of the core tells the others, within one turn."""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.ground.ids import BlobId, Boot, JobId, PeerId
from mesh.wire.envelope import Signed
from mesh.wire.lookups import Pointer
from mesh.wire.messages import Address, Head
from mesh.wire.records import Claim, Entry, Hold, Mark, Result, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReached:
    """A channel to a member is open and its hello was said; `restarted`: it had another boot when last heard."""

    peer: PeerId
    boot: Boot
    restarted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLost:
    """There is no channel to a member any more; it may be alive."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerDead:
    """A member's process is surely gone: it left, its host refused, or it has another boot."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerGone:
    """A member of the view is silent to all: its channel is of no use. That proves nothing about its process."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """These members are connected and may not be: a revocation shuts them, or this peer, out."""

    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutOut:
    """This very peer was thrown out of the mesh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStruck:
    """Records of a job have become void, or act again."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersNeeded:
    """A job needs channels with these peers: its keepers, its submitter, who has its files; said again while so."""

    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFound:
    """This node belongs to a part of the mesh that this peer knew nothing of: others may not know of it either."""

    peer: PeerId
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTold:
    """Somebody told of a peer that is unknown here, and that this one does not dial for that."""

    peer: PeerId
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerUnreachable:
    """No address that is known of a member leads to it; `urgent`: a job waits for it."""

    peer: PeerId
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PointersRead:
    """A look-up has ended: what the DHT holds under a key, one true pointer of each author."""

    key: bytes
    pointers: tuple[Signed[Pointer], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointerKept:
    """Another peer keeps this peer's own pointer now, or one with an even higher sequence."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slept:
    """This host's clock jumped: whatever it believed of others is old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadHeard:
    """A job is new to this peer."""

    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkHeard:
    """A keeper's mark is new or renewed."""

    mark: Signed[Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryAdded:
    """A record joined the ledger and is on its way to the disk; `own`: this peer's author."""

    entry: Signed[Entry]
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged:
    """What counts of a task, or whether it is open, has changed."""

    job: JobId
    task: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsChanged:
    """The state of cells of one frame, tasks by their numbers, is another than before; some need no longer be open."""

    job: JobId
    frame: int
    tasks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """The job was sealed or cancelled: no task of it is started any more."""

    job: JobId
    cancelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobForgotten:
    """A job of which only its head was known here has no place any more; told after it was told to have ended."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChanged:
    """Another set of tasks can be claimed."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerCame:
    """Somebody wants news of a job that is rendered in buckets, with other slots than before."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRaised:
    """Another peer than before coordinates a job's stills, or the same one anew."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimWon:
    """A claim of this peer is its lease now."""

    claim: Signed[Claim]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLost:
    """A claim of this peer was told taken."""

    claim: Signed[Claim]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFreed:
    """A slot of this host has room: a task of this job had it for so long, and is written, failed or given up."""

    job: JobId
    taken_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEnded:
    """This peer has done what it claimed; `gave_up`: it has not, and no record of it says so."""

    claim: Signed[Claim]
    gave_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneComplete:
    """The whole scene of a job is on this peer's disk."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobComplete:
    """A blob is whole on this peer's disk."""

    blob: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldHeard:
    """A peer, or this one, holds a blob."""

    hold: Signed[Hold]


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksSafe:
    """More outputs of a job have as many holds as it asks."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDelivered:
    """A task's file is on the submitter's disk."""

    job: JobId
    task: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Write a record under this peer's name."""

    job: JobId
    what: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionDue:
    """A picture of a job that is checked twice is stored: others' are looked at before it is published."""

    claim: Signed[Claim]
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionWanted:
    """A peer begins a task of which others' results wait: it has to know them when its own picture is there."""

    job: JobId
    task: int
    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLacking:
    """A scene needs more bytes than there seems to be room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobsEvicted:
    """These blobs are being deleted from this host's store: nobody is owed them."""

    blobs: tuple[BlobId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomChanged:
    """The host's store has become full, or is so no more: its facts say which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseChanged:
    """The host was paused, or its pause has ended: its facts say which. `now`: what it renders is given up, too."""

    now: bool


Note: TypeAlias = (
    PeerReached
    | PeerLost
    | PeerDead
    | PeerGone
    | Barred
    | ShutOut
    | JobStruck
    | PeersNeeded
    | PartFound
    | NodeTold
    | PeerUnreachable
    | PointersRead
    | PointerKept
    | Slept
    | HeadHeard
    | MarkHeard
    | EntryAdded
    | TaskChanged
    | CellsChanged
    | JobEnded
    | JobForgotten
    | WindowChanged
    | FollowerCame
    | EpochRaised
    | ClaimWon
    | ClaimLost
    | SlotFreed
    | ClaimEnded
    | OpinionDue
    | OpinionWanted
    | SceneComplete
    | BlobComplete
    | HoldHeard
    | TasksSafe
    | TaskDelivered
    | Publish
    | RoomLacking
    | BlobsEvicted
    | RoomChanged
    | PauseChanged
)
