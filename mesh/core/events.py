"""What the world tells the core. Every event that answers an effect carries the effect's `op`.

Whatever came from another peer was verified by `wire` before it became an event.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from mesh.core.stock import Evicted, FreeAsked, StockTaken, StoreAsked, StoreMeasured
from mesh.core.timers import Timer
from mesh.ground.ids import BlobId, Boot, JobId, PeerId, PublicKey
from mesh.ground.instants import WallTime
from mesh.ground.share_limits import WEIGHT_DEFAULT
from mesh.wire.dials import Tried
from mesh.wire.envelope import Signed
from mesh.wire.grids import Cut
from mesh.wire.kept import Kept
from mesh.wire.lookups import Lookup
from mesh.wire.members import Admission, Credentials, Invite
from mesh.wire.messages import Address, Message
from mesh.wire.records import Check, EngineId, FailureKind, Output, OutputNames, Picture, SealPage
from mesh.wire.revocations import Ousted
from mesh.wire.tasks import Frames
from mesh.wire.versions import VERSION_HIGHEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """First of all: what the journal holds, in its order, and which blobs are whole on the disk."""

    kept: tuple[Kept, ...]
    complete: tuple[BlobId, ...]
    addresses: tuple[Address, ...]
    """Where this host accepts channels, to be told to others."""
    contacts: tuple[Address, ...]
    """Addresses to dial without knowing who answers: from the invite or the command line."""
    beacon: bool = False
    """Whether there is a LAN on which to show oneself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """Finish the frames in hand, claim no other, then stop; `now`: do not even finish.

    `leave`: for good; so hand over first what this peer has promised to keep.
    """

    now: bool
    leave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAsked:
    """This host's owner wants it back: claim nothing until told otherwise, or until a time by this host's clock.

    `now`: do not even finish the frames in hand. Answered by `Reply`.
    """

    op: int
    until: WallTime | None
    now: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAsked:
    """This host's owner lets it render again. Answered by `Reply`."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachAsked:
    """A person asks who can reach this host, and with `peer` how that one can be reached. Answered by `ReachFound`."""

    op: int
    peer: PeerId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DialsTried:
    """What came of each address that was tried."""

    op: int
    tried: tuple[Tried, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginesProbed:
    """What this host can render with, found out anew; `slots` 0 where it must not render."""

    engines: tuple[EngineId, ...]
    slots: int
    cores: int
    memory_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """The instant of a timer has come; perhaps long ago, where the host slept."""

    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOpened:
    """A member's channel is open, and it is the only one to this peer; `address` is where it was reached, if we
    dialled; `shown` what it proved itself by.
    """

    peer: PeerId
    boot: Boot
    address: Address | None
    shown: Credentials | None = field(default=None, compare=False)
    here: bool = False
    """Both peers are on this machine."""
    channel: int = field(default=0, compare=False)
    """Tells it from others with the same peer, before and after."""
    version: int = VERSION_HIGHEST
    """Of the wire: the highest that both ends speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownHeard:
    """A peer said something of a kind that only newer versions of the wire know."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClosed:
    """The channel is gone; `clean`: the peer said so, under its key."""

    peer: PeerId
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinMet:
    """Another process proved this very peer's identity, with another boot: it runs on a copy of this disk."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class DialFailed:
    """Nobody could be reached; `refused`: a live host answered that no such process listens."""

    peer: PeerId
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconHeard:
    """Somebody who knows the mesh secret said on the LAN that this peer listens at these addresses, likeliest first."""

    peer: PeerId
    wall: WallTime
    """When it was said, by that peer's clock."""
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHeard:
    """A verified message of a member on its channel."""

    peer: PeerId
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramHeard:
    """A datagram of a member, its signatures checked; `address` is where it came from."""

    peer: PeerId
    address: Address
    message: Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionAsked:
    """A joiner, whose handshake proved that it holds this invite's secret and `subject`, asks to be admitted."""

    op: int
    invite: Signed[Invite]
    subject: PublicKey
    inviter: tuple[Signed[Admission], ...] = ()
    """The chain of who signed the invite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalAsked:
    """Somebody whose chain was judged asks for a longer one."""

    op: int
    chain: tuple[Signed[Admission], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlanned:
    """A person's job, inspected and stored: everything of the record that the core does not decide itself."""

    op: int
    name: str
    scene: BlobId
    scene_blobs: tuple[BlobId, ...]
    """The tree and all that it names."""
    engine: EngineId
    frames: Frames
    names: OutputNames
    picture: Picture
    directory: str
    overwrite: bool
    cut: Cut | None = None
    memory_mb: int = 0
    """How much a machine must have to render it; 0: any."""
    check: Check = Check.ONCE
    judges: tuple[PeerId, ...] = ()
    weight: int = WEIGHT_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightAsked:
    """A person gives a job more or less time beside others."""

    op: int
    job: JobId
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked:
    """A person cancels a job."""

    op: int
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectAsked:
    """A person says that pictures are wrong: of these frames, by their numbers, or all that are there where empty."""

    op: int
    job: JobId
    frames: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAsked:
    """A person throws a peer, or all who came through an invite, out of the mesh."""

    op: int
    what: Ousted


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchAsked:
    """A person wants a job's files in a directory of this host."""

    op: int
    job: JobId
    directory: str
    overwrite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAsked:
    """A person asks about single frames of a job: have all its records here, as soon as may be."""

    op: int
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAsked:
    """A person asks where a peer is and what it can do, whether there is a channel to it or not."""

    op: int
    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAsked:
    """A person waits for one blob, such as a log: fetch it from whoever has it."""

    op: int
    blob: BlobId
    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStarted:
    """The manifest of a blob is here; `have` are the pieces that were stored already."""

    op: int
    blob: BlobId
    pieces: int
    have: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PiecesStored:
    """These pieces were verified and stored; `complete`: the blob is whole and on the disk."""

    op: int
    blob: BlobId
    numbers: tuple[int, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailed:
    """The source did not send what was asked; `full`: our own disk is."""

    op: int
    blob: BlobId
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobDamaged:
    """A blob that was whole here has lost a piece, to rot or to somebody's hand: found when it was read."""

    blob: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRead:
    """What a scene's root names; no blobs where it is no tree, None where this host's disk could not tell."""

    op: int
    root: BlobId
    blobs: tuple[BlobId, ...] | None
    sizes: tuple[int, ...] = ()
    """Of each of them in bytes, as far as the tree tells: a blob may be larger than what it says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWritten:
    """The seal's page is a blob on the disk."""

    op: int
    blob: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRead:
    """What a seal's blob says, its signatures checked; None where it says nothing valid."""

    op: int
    blob: BlobId
    page: SealPage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderProgressed:
    """The render got on; `progress` grows with each sample and each step of opening the stage.

    `sample` is the engine's own count of samples done, 0 before the first.
    """

    op: int
    progress: int
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameWritten:
    """The renderer has written the file and can take the next frame; the picture is yet to be checked."""

    op: int
    render_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The picture was checked and is stored, on the disk."""

    op: int
    outputs: tuple[Output, ...]
    log: BlobId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderFailed:
    """No picture. Kinds in `UNFIT_KINDS` are of this host's disk or engine, not of the task."""

    op: int
    kind: FailureKind
    reason: str
    log: BlobId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPasted:
    """A bucket was pasted into an assembly; `problem` says why not, empty where it was.

    `unlike`: it is only of another kind than those that were pasted before it.
    """

    op: int
    blob: BlobId
    problem: str
    unlike: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChecked:
    """An output of somebody else's was looked at; `good` None: it could not be, for want of room or a checker here."""

    op: int
    blob: BlobId
    good: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputsCompared:
    """Whether two pictures are alike; None: one of them could not be looked at, which says nothing of either."""

    op: int
    alike: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The file lies in the person's directory, fsynced."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFailed:
    """The file could not be written; `exists`: another one is in its place and may not be overwritten."""

    op: int
    reason: str
    exists: bool


Event: TypeAlias = (
    Started
    | StopAsked
    | PauseAsked
    | ResumeAsked
    | ReachAsked
    | DialsTried
    | EnginesProbed
    | TimerFired
    | ChannelOpened
    | ChannelClosed
    | TwinMet
    | DialFailed
    | BeaconHeard
    | MessageHeard
    | UnknownHeard
    | DatagramHeard
    | AdmissionAsked
    | RenewalAsked
    | JobPlanned
    | CancelAsked
    | RejectAsked
    | WeightAsked
    | RevokeAsked
    | FetchAsked
    | LookAsked
    | PeerAsked
    | BlobAsked
    | BlobStarted
    | PiecesStored
    | FetchFailed
    | BlobDamaged
    | TreeRead
    | StoreMeasured
    | StockTaken
    | Evicted
    | FreeAsked
    | StoreAsked
    | PageWritten
    | PageRead
    | RenderProgressed
    | FrameWritten
    | Rendered
    | RenderFailed
    | BucketPasted
    | OutputChecked
    | OutputsCompared
    | Exported
    | ExportFailed
)
