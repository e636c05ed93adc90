"""What the core asks of the world, performed in order. `Append` is a barrier: nothing after it leaves before its fsync.

An effect that takes time has an `op`; exactly one event returns it, unless the peer stops first.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.core.status import StoreView
from mesh.core.stock import Stored
from mesh.core.timers import Timer
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import Instant, WallTime
from mesh.wire.dials import Tried
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.kept import Kept
from mesh.wire.lookups import Lookup, Pointer
from mesh.wire.messages import Address, Admitted, Message, Refused
from mesh.wire.records import Job, SealPage


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Write to the journal and fsync before any later effect is performed."""

    entries: tuple[Kept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send on the peer's channel; dropped where there is none."""

    peer: PeerId
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDatagram:
    """Send one datagram to a peer at these addresses, best first, channel or not; it may be lost without a word."""

    peer: PeerId
    addresses: tuple[Address, ...]
    message: Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """Open a channel; `ChannelOpened` or `DialFailed` follows, and nothing where one is open."""

    peer: PeerId
    addresses: tuple[Address, ...]
    others: int = 0
    """So many of the last ones only others tell of: that nothing listens there says nothing of the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """Dial an address without knowing who answers: `ChannelOpened` follows if a member does that has no channel yet."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBeacon:
    """Say on the LAN where this peer listens, sealed for the mesh; `wall` is higher each time."""

    wall: WallTime


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseChannel:
    """Close this channel of the peer's, cleanly; no `ChannelClosed` follows. A newer one stays, still unheard of."""

    peer: PeerId
    channel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Wake the core at `at`."""

    timer: Timer
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchManifest:
    """Ask a source for a blob's manifest and start the blob: `BlobStarted` or `FetchFailed`."""

    op: int
    peer: PeerId
    blob: BlobId
    page_bytes: int = 0
    """Where it is wanted as the page of a seal, the most that such a page may have: there is room kept for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPieces:
    """Ask a source for pieces, verify and store them: `PiecesStored` or `FetchFailed`."""

    op: int
    peer: PeerId
    blob: BlobId
    numbers: tuple[int, ...]
    page_bytes: int = 0
    """As in `FetchManifest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTree:
    """Read which blobs a scene's root names: `TreeRead`."""

    op: int
    root: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeStock:
    """Say what the store holds, and what the trees of these roots name: `StockTaken`."""

    op: int
    roots: tuple[BlobId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """Delete blobs, but none that was used since the stock was taken: `Evicted`."""

    op: int
    blobs: tuple[Stored, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePage:
    """Store a seal's page as a blob: `PageWritten`."""

    op: int
    page: SealPage


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPage:
    """Read and check the page of a seal of a job of `tasks` tasks: `PageRead`."""

    op: int
    blob: BlobId
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmEngine:
    """Start the job's engine, so that its stage opens fast once the scene is here; nothing answers."""

    job: Signed[Job]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStage:
    """Check the scene out and load it; nothing answers: a failure shows when a frame is rendered."""

    job: Signed[Job]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStage:
    """End the job's stages and remove its checked-out tree, and what shows how a frame of it grows."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRender:
    """Render one frame, or a block of its cells, in a stage of the job, opened if need be, in slot `slot`.

    Answers: `RenderProgressed` any number of times, then `FrameWritten` and later `Rendered` or `RenderFailed`, or at
    once `RenderFailed`.
    """

    op: int
    slot: int
    job: Signed[Job]
    task: int
    block: Block | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAssembly:
    """Begin a frame that is made of buckets: nothing answers before it is told to be finished, or fails."""

    op: int
    job: Signed[Job]
    task: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteBucket:
    """Paste a bucket, which is on the disk, into an assembly: `BucketPasted`."""

    op: int
    blob: BlobId
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishAssembly:
    """Have the frame's file made of all that was pasted; answers as a render does."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAssembly:
    """Give an assembly up; nothing answers any more."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRender:
    """End a render in hand; nothing answers any more."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutput:
    """Look whether a blob is a picture as the job wants it: `OutputChecked`."""

    op: int
    job: Signed[Job]
    blob: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOutputs:
    """Look whether two blobs show the same picture, within what the job's engine repeats exactly: `OutputsCompared`."""

    op: int
    job: Signed[Job]
    mine: BlobId
    theirs: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write a blob into a person's directory under a temporary name, fsync, rename: `Exported` or `ExportFailed`.

    A file that is there already and equal is as good as written.
    """

    op: int
    job: JobId
    blob: BlobId
    directory: str
    name: str
    overwrite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A command was taken; the job it is about, if it is about one."""

    job: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """The peer rendered what counts and is safe now: what it costs this host is worth it."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """So many frames of a job were rejected; or `complained`: whoever may reject them was told."""

    job: JobId
    frames: int
    complained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that is about no job was obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A command was not taken; the sentence says why and what to do."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFound:
    """What the DHT has of a peer; None: nothing."""

    pointer: Signed[Pointer] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A job was looked at; `whole`: all records are here that somebody had who has all, as of a moment ago."""

    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """So much cache was deleted, in bytes: perhaps less than was asked, where the rest is bound."""

    blobs: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer a person's command or question."""

    op: int
    reply: Accepted | Ruled | Done | Declined | PeerFound | Looked | Freed | StoreView


@dataclass(frozen=True, slots=True, kw_only=True)
class TryDials:
    """Dial a peer only to see whether that works, then let go: `DialsTried`.

    At the addresses given; with none at those of its own channel and hello, at most `MAX_ADDRESSES` of them, and of a
    host that is not at the other end of the channel no more is told than whether the peer was met there.
    """

    op: int
    peer: PeerId
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a peer that was asked to dial back says; its clock is ahead of ours by so much, less where negative."""

    peer: PeerId
    ahead_ms: int
    tried: tuple[Tried, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachFound:
    """Answer a person's question about reach: what came of our own dials, who answered what, and who did not."""

    op: int
    mine: tuple[Tried, ...]
    reports: tuple[Report, ...]
    silent: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDoor:
    """Answer whoever asked for admission or renewal."""

    op: int
    answer: Admitted | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Nothing is left to do; end."""


Effect: TypeAlias = (
    Append
    | Send
    | SendDatagram
    | Dial
    | Knock
    | SendBeacon
    | CloseChannel
    | SetTimer
    | FetchManifest
    | FetchPieces
    | ReadTree
    | TakeStock
    | Evict
    | WritePage
    | ReadPage
    | WarmEngine
    | OpenStage
    | CloseStage
    | StartRender
    | StartAssembly
    | PasteBucket
    | FinishAssembly
    | EndAssembly
    | KillRender
    | CheckOutput
    | CompareOutputs
    | Export
    | Earned
    | Reply
    | AnswerDoor
    | TryDials
    | ReachFound
    | Stopped
)
