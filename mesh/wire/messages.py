"""What peers say on control channels.

A packet is [number, fields]. Numbers are only ever appended; a retired one stays reserved. Every list is bounded so
that the longest message fits a control packet; who has more to say says it in several messages.
"""

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, TypeAlias, TypeVar, get_args

from mesh.ground.errors import UnknownKind, WireError
from mesh.ground.ids import BlobId, Boot, JobId, PeerId, RecordId
from mesh.ground.instants import WallTime
from mesh.ground.share_limits import WEIGHT_DEFAULT
from mesh.wire import addresses, cbor
from mesh.wire.carrying import Carried
from mesh.wire.codec import AtMost, Between, Size, from_value, most_bytes, most_items, to_value
from mesh.wire.complaints import Complaints
from mesh.wire.copies import HoldAsk, Holds
from mesh.wire.dials import DialledBack, DialMe, Parting
from mesh.wire.envelope import Signed
from mesh.wire.gossip import Chains, Offer, SetDigests, SetKeys, Want
from mesh.wire.grids import Block
from mesh.wire.members import Admission, Chain, Renewed
from mesh.wire.records import Attempt, Claim, EngineId, Entry, Job, Mark, Name, Task, Weight
from mesh.wire.revocations import Notice
from mesh.wire.stills import MAX_CUT_FRAMES, Epoch, Grants, Leading, OpenCells

T = TypeVar("T")

# Whoever reads messages reads addresses: they have a module of their own only so that `dials` can be below this one.
MAX_ADDRESSES = addresses.MAX_ADDRESSES
Address: TypeAlias = addresses.Address
Port: TypeAlias = addresses.Port

MAX_MESSAGE_BYTES = 64 * 1024
MAX_BITS_BYTES = 16 * 1024

Count: TypeAlias = Annotated[int, Between(0, 2**31)]
Digest: TypeAlias = Annotated[bytes, Size(16)]
Bits: TypeAlias = Annotated[bytes, AtMost(MAX_BITS_BYTES)]
"""One bit a piece, the lowest bit of the first byte first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A peer and where it was last reached."""

    peer: PeerId
    addresses: Annotated[tuple[Address, ...], AtMost(MAX_ADDRESSES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First on every channel: who speaks, for people's eyes, and where it listens."""

    NUMBER: ClassVar[int] = 1

    name: Name
    program: Annotated[str, AtMost(32)]
    addresses: Annotated[tuple[Address, ...], AtMost(MAX_ADDRESSES)]
    wall: WallTime
    chain: Chain
    """Nothing where the handshake has shown it."""
    knows: Annotated[int, Between(0, 2**16)] = 0
    """How many peers it has channels with: who knows many need not be told of others."""
    speaks: Annotated[int, Between(1, 255)] = 1
    """The highest version of the wire that the sender speaks; the channel's may be lower."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """Members that the sender has a channel with, so that the receiver may open its own."""

    NUMBER: ClassVar[int] = 2

    contacts: Annotated[tuple[Contact, ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """What the sender can render with now; on connecting, on change (`busy` seldom), and now and then all the same."""

    NUMBER: ClassVar[int] = 3

    engines: Annotated[tuple[EngineId, ...], AtMost(32)]
    slots: Annotated[int, Between(0, 1024)]
    busy: Annotated[int, Between(0, 1024)]
    cores: Annotated[int, Between(0, 2**16)]
    memory_mb: Annotated[int, Between(0, 2**31)]
    draining: bool
    paused: bool = False
    """The host's owner wants it for himself: it claims nothing, and does all else."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A live job in the mesh set: its record, and the chain that lets its submitter submit."""

    job: Signed[Job]
    chain: Chain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Part of the mesh set: what the receiver asked for, or must have at once, such as a cancel."""

    NUMBER: ClassVar[int] = 4

    heads: Annotated[tuple[Head, ...], AtMost(4)]
    marks: Annotated[tuple[Signed[Mark], ...], AtMost(96)]
    cancels: Annotated[tuple[Signed[Entry], ...], AtMost(8)]
    admissions: Annotated[tuple[Signed[Admission], ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeepAsk:
    """The submitter or a keeper asks the receiver to keep the job."""

    NUMBER: ClassVar[int] = 5

    job: JobId
    fresh: bool
    """The submitter's word that nobody can have claimed a task yet, so that the keeper need not wait for old leases."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """The sender wants news of the job from this keeper, for this many slots; 0: it only watches. Repeated to stay."""

    NUMBER: ClassVar[int] = 6

    job: JobId
    slots: Annotated[int, Between(0, 1024)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenTask:
    """A frame that can be claimed, and the highest attempt heard of (0: none); `in_buckets`: to be assembled."""

    task: Task
    attempt: Annotated[int, Between(0, 2**31)]
    in_buckets: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The next open tasks in the job's order, and how far the job is; a keeper to its followers."""

    NUMBER: ClassVar[int] = 7

    job: JobId
    open: Annotated[tuple[OpenTask, ...], AtMost(4096)]
    slots: Annotated[int, Between(0, 2**20)]
    """Slots of all the job's peers."""
    unclaimed: Count
    """Open tasks in all, those beyond the window included."""
    running: Count
    counting: Count
    stopped: Count
    safe: Count
    median_ms: Annotated[int, Between(0, 2**53)]
    """Median render time of the job's tasks so far; 0: none yet."""
    ended: bool
    """Sealed or cancelled: nothing is left to claim."""
    cells: Annotated[tuple[OpenCells, ...], AtMost(MAX_CUT_FRAMES)] = ()
    """Of the next frames that are rendered in buckets; such frames among the open ones wait for who assembles them."""
    cells_counting: Count = 0
    epoch: Signed[Epoch] | None = None
    weight: Weight = WEIGHT_DEFAULT
    """How much time each host is to give the job beside others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSent:
    """The sender claims these tasks: one, or a frame run."""

    NUMBER: ClassVar[int] = 8

    claims: Annotated[tuple[Signed[Claim], ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The keeper's answer to a claim: yours, or taken."""

    NUMBER: ClassVar[int] = 9

    claim: RecordId
    yours: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """The sender gives up these claims."""

    NUMBER: ClassVar[int] = 10

    job: JobId
    claims: Annotated[tuple[RecordId, ...], AtMost(1024)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One running claim and a number that grows while its render gets on."""

    claim: RecordId
    progress: Annotated[int, Between(0, 2**53)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The sender still works on these claims; each second, to the closest keeper."""

    NUMBER: ClassVar[int] = 11

    job: JobId
    beats: Annotated[tuple[Beat, ...], AtMost(1024)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Claims that the sender works on, in full, to a keeper that may not know them; no answer is asked."""

    NUMBER: ClassVar[int] = 12

    claims: Annotated[tuple[Signed[Claim], ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHeard:
    """A lease that the sending keeper hears itself, of a frame or of a block of its cells."""

    claim: RecordId
    holder: PeerId
    task: Task
    attempt: Attempt
    progress: Annotated[int, Between(0, 2**53)]
    block: Block | None = None
    assembles: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeasesHeard:
    """Keepers tell each other each second which claims they heard."""

    NUMBER: ClassVar[int] = 13

    job: JobId
    leases: Annotated[tuple[LeaseHeard, ...], AtMost(512)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDigest:
    """How many records of the job the sender has, and a hash over their ids."""

    NUMBER: ClassVar[int] = 14

    job: JobId
    count: Count
    digest: Digest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamDigest:
    """The same of one stream."""

    author: PeerId
    boot: Boot
    count: Count
    digest: Digest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamDigests:
    """All streams that the sender has of the job, where digests differ; `asked`: the receiver answers with its own."""

    NUMBER: ClassVar[int] = 15

    job: JobId
    streams: Annotated[tuple[StreamDigest, ...], AtMost(512)]
    asked: bool


ShortRecord: TypeAlias = Annotated[bytes, Size(16)]
"""The beginning of a record's id; of eight bytes an author could make two that are equal, and hide one by the other."""

MAX_IDS = 2_048
"""Of one message, half of what it may hold."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamIds:
    """The first bytes of each record's id that the sender has of one stream; answered with what is missing.

    A long stream is told in parts: one has all from `low` to `high`, themselves included, in the order of the ids.
    """

    NUMBER: ClassVar[int] = 16

    job: JobId
    author: PeerId
    boot: Boot
    ids: Annotated[tuple[ShortRecord, ...], AtMost(MAX_IDS)]
    low: ShortRecord
    high: ShortRecord


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Records of one job and the chains of their authors."""

    NUMBER: ClassVar[int] = 17

    job: JobId
    entries: Annotated[tuple[Signed[Entry], ...], AtMost(32)]
    chains: Annotated[tuple[Chain, ...], AtMost(16)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seek:
    """The sender wants these blobs and news of who has which pieces of them; repeated to stay."""

    NUMBER: ClassVar[int] = 20

    blobs: Annotated[tuple[BlobId, ...], AtMost(512)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Have:
    """Which pieces of the blob the sender has, of how many; `pieces` 0: all of them."""

    NUMBER: ClassVar[int] = 21

    blob: BlobId
    pieces: Annotated[int, Between(0, 8 * MAX_BITS_BYTES)]
    bits: Bits

    def __post_init__(self) -> None:
        if len(self.bits) != -(-self.pieces // 8):
            raise ValueError(f"{len(self.bits)} bytes of bits for {self.pieces} pieces")
        if self.pieces % 8 and self.bits[-1] >> self.pieces % 8:
            raise ValueError("bits beyond the last piece")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Answer with the same number."""

    NUMBER: ClassVar[int] = 22

    number: Count


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to a ping."""

    NUMBER: ClassVar[int] = 23

    number: Count


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdmitAsk:
    """On a joiner's channel: admit the key that the handshake showed."""

    NUMBER: ClassVar[int] = 24

    name: Name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The chain of the new or renewed member, its renewal if it has one, and whom it may dial."""

    NUMBER: ClassVar[int] = 25

    chain: Chain
    contacts: Annotated[tuple[Contact, ...], AtMost(64)]
    renewed: Renewed | None = None


class RefusalCode(enum.IntEnum):
    """Why somebody was not admitted or renewed."""

    EXPIRED = 1
    USED_UP = 2
    CHAIN_TOO_LONG = 3
    MAY_NOT_INVITE = 4
    INVITE_REVOKED = 5
    PEER_REVOKED = 6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The sender does not admit or renew the receiver."""

    NUMBER: ClassVar[int] = 26

    code: Annotated[int, Between(1, 255)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenewAsk:
    """The sender asks for a longer admission; the receiver may do so if its own chain lets it invite."""

    NUMBER: ClassVar[int] = 27

    chain: Chain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """Part of the mesh set: who was thrown out. What is new goes to each connected peer at once."""

    NUMBER: ClassVar[int] = 28

    notices: Annotated[tuple[Notice, ...], AtMost(8)]


Message: TypeAlias = (
    Hello
    | Contacts
    | Available
    | News
    | KeepAsk
    | Follow
    | Window
    | ClaimSent
    | Verdict
    | Withdraw
    | Heartbeat
    | Running
    | LeasesHeard
    | LedgerDigest
    | StreamDigests
    | StreamIds
    | Entries
    | Holds
    | Seek
    | Have
    | Ping
    | Pong
    | AdmitAsk
    | Admitted
    | Refused
    | RenewAsk
    | Revocations
    | DialMe
    | DialledBack
    | Offer
    | Want
    | SetDigests
    | SetKeys
    | Chains
    | Parting
    | Carried
    | Leading
    | Grants
    | HoldAsk
    | Complaints
)

MESSAGES: tuple[type[Message], ...] = get_args(Message)
BY_NUMBER: dict[int, type[Message]] = {kind.NUMBER: kind for kind in MESSAGES}
NEWEST, MAX_NUMBER = max(BY_NUMBER), 2**16
assert len(BY_NUMBER) == len(MESSAGES), "a message number is used twice"
assert all(cbor.LONGEST_TAG + most_bytes(kind) <= MAX_MESSAGE_BYTES for kind in MESSAGES), "a message without a packet"


def encode(message: Message) -> bytes:
    """Return the packet of `message`: whatever is within the bounds of its fields fits one."""
    return cbor.encode([type(message).NUMBER, to_value(message)])


def portions(kind: type[Message], field: str, items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Yield `items` in their order, in tuples that the `field` of a message of this `kind` may hold."""
    most = most_items(kind, field)
    for at in range(0, len(items), most):
        yield tuple(items[at : at + most])


def decode(data: bytes) -> Message:
    """Return the message in a packet, its signatures not yet checked; raises `WireError`, of which `UnknownKind`."""
    match cbor.numbered(cbor.decode(data, MAX_MESSAGE_BYTES)):
        case (number, body) if number in BY_NUMBER:
            return from_value(BY_NUMBER[number], body)
        case (number, _) if NEWEST < number <= MAX_NUMBER:
            raise UnknownKind(f"a message of the unknown kind {number}")
    raise WireError("a message of a number that there is not")
