"""What a peer writes into its own journal: the entries that it must still know after any crash.

Bytes of a journal are this peer's own, yet they are decoded like anybody's: a disk may return what it likes.
"""

import dataclasses
from typing import Annotated, ClassVar, TypeAlias, get_args

from mesh.ground.errors import NewerError, WireError
from mesh.ground.ids import JobId, RecordId
from mesh.ground.instants import WallTime
from mesh.wire import cbor
from mesh.wire.codec import AtMost, from_value, most_bytes, to_value
from mesh.wire.complaints import Complaint
from mesh.wire.envelope import Signed
from mesh.wire.members import Admission, Chain, Renewed
from mesh.wire.messages import Contact, Head
from mesh.wire.records import Entry, Hold, Mark, Name, Task
from mesh.wire.revocations import Notice

MAX_KEPT_BYTES = 128 * 1024
"""More than any entry's bounds allow, as is asserted below, and far less than the journal takes at once."""

Directory: TypeAlias = Annotated[str, AtMost(4096)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptHead:
    """A job that this peer heard of."""

    NUMBER: ClassVar[int] = 1

    head: Head


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntries:
    """Records of a job."""

    NUMBER: ClassVar[int] = 2

    entries: Annotated[tuple[Signed[Entry], ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptChain:
    """A chain of a peer whose records may come; of several the last is the one that it showed last."""

    NUMBER: ClassVar[int] = 3

    chain: Chain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptHold:
    """A hold that this peer gave, or that another gave of what this one holds too."""

    NUMBER: ClassVar[int] = 4

    hold: Signed[Hold]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptMark:
    """A mark: this peer's own, or another keeper's."""

    NUMBER: ClassVar[int] = 5

    mark: Signed[Mark]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptOrder:
    """The files of a job are wanted in a directory of this host."""

    NUMBER: ClassVar[int] = 6

    job: JobId
    directory: Directory
    overwrite: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptDelivery:
    """The file of a task lies where the order for `directory` wanted it, made from this result."""

    NUMBER: ClassVar[int] = 7

    job: JobId
    task: Task
    result: RecordId
    directory: Directory


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptContact:
    """A peer that this one had a channel with, when, and what it called itself last."""

    NUMBER: ClassVar[int] = 8

    contact: Contact
    heard: WallTime
    name: Name = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptAdmission:
    """An admission by an invite that may still be open."""

    NUMBER: ClassVar[int] = 9

    admission: Signed[Admission]
    until: WallTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptDone:
    """An order of this host was fulfilled or given up."""

    NUMBER: ClassVar[int] = 10

    job: JobId
    directory: Directory


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptRevocation:
    """Somebody was thrown out of the mesh."""

    NUMBER: ClassVar[int] = 11

    notice: Notice


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptRenewal:
    """This peer's own membership was renewed."""

    NUMBER: ClassVar[int] = 12

    renewed: Renewed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptPause:
    """This host's owner paused it; `over`: and that pause has ended. Only the last one counts."""

    NUMBER: ClassVar[int] = 13

    since: WallTime
    until: WallTime | None
    over: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptComplaint:
    """What somebody here, or elsewhere, thinks of a picture: those who may reject it may all be away."""

    NUMBER: ClassVar[int] = 14

    complaint: Signed[Complaint]


Kept: TypeAlias = (
    KeptHead
    | KeptEntries
    | KeptChain
    | KeptHold
    | KeptMark
    | KeptOrder
    | KeptDelivery
    | KeptContact
    | KeptAdmission
    | KeptDone
    | KeptRevocation
    | KeptRenewal
    | KeptPause
    | KeptComplaint
)

KEPT: tuple[type[Kept], ...] = get_args(Kept)
_BY_NUMBER: dict[int, type[Kept]] = {kind.NUMBER: kind for kind in KEPT}
_NEWEST = max(_BY_NUMBER)
assert len(_BY_NUMBER) == len(KEPT), "a number of a journal entry is used twice"
assert all(cbor.LONGEST_TAG + most_bytes(kind) <= MAX_KEPT_BYTES for kind in KEPT), "an entry that could not be read"


def encode(kept: Kept) -> bytes:
    """Return the journal entry of `kept`, which `decode` is sure to take back."""
    return cbor.encode([type(kept).NUMBER, to_value(kept)])


def decode(data: bytes) -> Kept:
    """Return what a journal entry says; raises `WireError`."""
    match cbor.numbered(cbor.decode(data, MAX_KEPT_BYTES)):
        case (number, body) if number in _BY_NUMBER:
            return from_value(_BY_NUMBER[number], body)
        case (number, _) if number > _NEWEST:
            raise NewerError(f"a journal entry of the unknown kind {number}")
    raise WireError("a journal entry of an unknown kind")
