"""What is recorded for ever, and what is signed for the moment.

A task is named by the number of its frame and, where frames are cut, by a block of the frame's cells: a bucket is
claimed, rendered and recorded as one, and is all the tasks of its cells.

Records (the job itself, and the entries of streams) are all that the fold sees; their set only grows. Claims, holds and
keepers' marks are signed messages: others can tell who said them, but no state rests on them for longer than they are
useful.
"""

import dataclasses
import enum
from typing import Annotated, ClassVar, Final, TypeAlias

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, BlobId, Boot, JobId, PeerId, RecordId
from mesh.ground.instants import WallTime
from mesh.ground.share_limits import CONTROLS_SEEN, WEIGHT_DEFAULT, WEIGHT_MOST
from mesh.wire import cbor
from mesh.wire.codec import AtMost, Between, Size, from_value, to_value
from mesh.wire.envelope import Signed
from mesh.wire.grids import MAX_SIDE, Block, Cut
from mesh.wire.members import MAX_CHAIN, Chain
from mesh.wire.tasks import FRAME_LIMIT, MAX_TASKS, Frames
from mesh.wire.tree import name_problem

MAX_COPIES = 16
MAX_REPLACED = 16
"""Holds that one hold may replace: as many holders gone one after the other. Whoever heard of none of sixteen in a row
takes the one before them for a copy still; with more, the holds of sixty-four outputs would not fit one packet."""

MAX_TRIES = 16
MAX_JUDGES = 16
"""Whom one job may name to rule on complaints: a person types them, and every head carries them."""

MAX_OUTPUTS = 16
MAX_ATTEMPT = 2**31
MAX_NAME_BYTES = 255
MAX_REASON_BYTES = 600
MAX_DIGITS = 32
MAX_SUFFIX_BYTES = 32
MAX_MEMORY_MB = 2**31

Task: TypeAlias = Annotated[int, Between(0, MAX_TASKS - 1)]
Attempt: TypeAlias = Annotated[int, Between(1, MAX_ATTEMPT)]
Milliseconds: TypeAlias = Annotated[int, Between(0, 2**53)]
ByteCount: TypeAlias = Annotated[int, Between(0, 2**53)]
Name: TypeAlias = Annotated[str, AtMost(MAX_NAME_BYTES)]
Weight: TypeAlias = Annotated[int, Between(1, WEIGHT_MOST)]

MAX_PAGE_AUTHORS = 2_048
"""Authors of one job's results and holds: a job uses at most a thousand peers, some of them in two boots or keys."""

_PAGE_BYTES_PER_TASK = 14 * 1024
"""A result of sixteen outputs with a vouch and sixteen holds of one of them, each in the place of as many, is under
14 KiB."""

_PAGE_BYTES_PER_AUTHOR = 2 * 1024
"""A chain of four admissions is under 1.2 KiB."""

_ITEMS_PER_SEALED_TASK = 10 + 4 * MAX_COPIES
"""A sealed task's list, its result, its vouch and its holds, as the bound on what is built from bytes counts them."""


_ITEMS_PER_CHAIN = 2 + 4 * MAX_CHAIN
"""A chain's list and its admissions, counted likewise."""


def next_attempt(highest: int) -> int:
    """Return the attempt after the `highest` heard of (0: none).

    Anybody may have announced the last one there is; then it is used again, and the fold's further order decides.
    """
    return min(highest + 1, MAX_ATTEMPT)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineId:
    """One exact renderer: two peers with equal ids render alike."""

    name: Annotated[str, AtMost(32)]
    version: Annotated[str, AtMost(32)]
    build: Annotated[str, AtMost(64)]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutputNames:
    """How the file of a frame is called: prefix, the frame's number with at least `digits` digits, suffix.

    Files are made by these names on other people's disks, so the rule of trees holds for them: one part, that every
    system can hold. Raises `ValueError` for others.
    """

    prefix: Name
    digits: Annotated[int, Between(0, MAX_DIGITS)]
    suffix: Annotated[str, AtMost(MAX_SUFFIX_BYTES)]

    def __post_init__(self) -> None:
        if not 0 <= self.digits <= MAX_DIGITS or len(self.suffix.encode()) > MAX_SUFFIX_BYTES:
            raise ValueError(f"the output name has {self.digits} digits before {self.suffix!a}")
        longest = self.name(-FRAME_LIMIT)
        if "/" in longest:
            raise ValueError(f"the output name {longest!a} leads into another directory")
        if problem := name_problem(longest):
            raise ValueError(f"the output name {longest!a} {problem}")

    def name(self, frame: int) -> str:
        """Return the file name of `frame`."""
        sign = "-" if frame < 0 else ""
        return f"{self.prefix}{sign}{abs(frame):0{self.digits}d}{self.suffix}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What every output must be: sizes in pixels, depth in bits per channel; names as the engine has them."""

    format: Annotated[str, AtMost(32)]
    width: Annotated[int, Between(1, MAX_SIDE)]
    height: Annotated[int, Between(1, MAX_SIDE)]
    color_mode: Annotated[str, AtMost(16)]
    depth: Annotated[int, Between(0, 64)]


class Check(enum.IntEnum):
    """How many peers have to agree before a result counts."""

    ONCE = 1
    """Its author alone: whoever rendered it is believed."""
    TWICE = 2
    """Another author, too, whose own render was like it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a person submitted; its record's id is the job's id."""

    DOMAIN: ClassVar[str] = "job"

    number: Annotated[int, Between(1, 2**53)]
    """Of its submitter, rising."""
    name: Name
    scene: BlobId
    """The root of the scene's tree."""
    engine: EngineId
    frames: Frames
    names: OutputNames
    picture: Picture
    copies: Annotated[int, Between(1, MAX_COPIES)]
    tries: Annotated[int, Between(1, MAX_TRIES)]
    submitted: WallTime
    last_day: WallTime
    """Past it all peers drop and refuse whatever belongs to the job."""
    cut: Cut | None = None
    """How its last frames are cut; None: every frame is rendered whole."""
    memory_mb: Annotated[int, Between(0, MAX_MEMORY_MB)] = 0
    """Who has less memory renders nothing of it; 0: anybody may."""
    check: Annotated[int, Between(Check.ONCE, Check.TWICE)] = Check.ONCE
    """A `Check`: what is checked twice is rendered whole."""
    judges: Annotated[tuple[PeerId, ...], AtMost(MAX_JUDGES)] = ()
    """Peers that may reject its results, beside the submitter and admins."""
    weight: Weight = WEIGHT_DEFAULT
    """How much time each host gives it beside other jobs, until a control says otherwise."""

    def __post_init__(self) -> None:
        if self.cut is not None and self.cut.frames > len(self.frames):
            raise ValueError(f"{self.cut.frames} frames of a job of {len(self.frames)} are cut")
        if self.cut is not None and self.check != Check.ONCE:
            raise ValueError("frames that are checked twice are not cut")
        if self.tasks > MAX_TASKS:
            raise ValueError(f"a job has at most {MAX_TASKS} tasks, not {self.tasks}: frames, and cells of frames")

    @property
    def tasks(self) -> int:
        """How many tasks it has: its frames, and the cells of those that are cut."""
        cells = self.cut.frames * self.cut.across.cells * self.cut.down.cells if self.cut is not None else 0
        return len(self.frames) + cells


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The author takes a task."""

    DOMAIN: ClassVar[str] = "claim"

    job: JobId
    task: Task
    """Of a frame, also where only some of its cells are taken."""
    attempt: Attempt
    """One more than the highest that its author had heard of for the task; for all cells of a bucket."""
    boot: Boot
    number: Annotated[int, Between(1, 2**53)]
    """Of this boot's claims, so that the same task claimed again is another claim."""
    block: Block | None = None
    """The cells that it takes of the frame, each a task; None: the frame's own task."""
    assembles: bool = False
    """The frame is to be made of its buckets."""
    grant: RecordId | None = None
    """The coordinator's, which this takes up."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file that a task made."""

    blob: BlobId
    size: ByteCount


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The task of the embedded claim is rendered; the claim's author and the result's are one."""

    NUMBER: ClassVar[int] = 1

    claim: Signed[Claim]
    outputs: Annotated[tuple[Output, ...], AtMost(MAX_OUTPUTS)]
    render_ms: Milliseconds
    log: BlobId | None
    """What the engine printed; kept by its author alone."""
    without: Annotated[bytes, Size(ID_SIZE)] | None = None
    """Of a frame that was made of its buckets: a hash over those that were rejected before, and are not in it."""

    @property
    def task(self) -> int:
        """The task that was rendered."""
        return self.claim.body.task

    @property
    def attempt(self) -> int:
        """The attempt that the claim announced."""
        return self.claim.body.attempt

    @property
    def block(self) -> Block | None:
        """The cells that were rendered; None: the frame."""
        return self.claim.body.block


class FailureKind(enum.IntEnum):
    """Why a task failed."""

    CRASHED = 1
    HUNG = 2
    OUT_OF_MEMORY = 3
    TRUNCATED = 4
    WRONG_PICTURE = 5
    REPORTED = 6
    SCENE_UNREADABLE = 7
    SCENE_REFUSED = 8
    PATH_LEAVES_TREE = 9
    DISK_FULL = 10
    ENGINE_BROKEN = 11


UNFIT_KINDS: Final = frozenset({FailureKind.DISK_FULL, FailureKind.ENGINE_BROKEN})
"""What a host says of its own disk or engine, and not of the task."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The author tried the task and could not render it."""

    NUMBER: ClassVar[int] = 2

    task: Task
    attempt: Attempt
    kind: Annotated[int, Between(1, 255)]
    reason: Annotated[str, AtMost(MAX_REASON_BYTES)]
    log: BlobId | None
    block: Block | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Nobody whom the author could ask still has the output of this result."""

    NUMBER: ClassVar[int] = 3

    task: Task
    result: RecordId
    block: Block | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The job is to be rendered no further; acts when the submitter or an admin says so."""

    NUMBER: ClassVar[int] = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The job is complete, as the blob says in full."""

    NUMBER: ClassVar[int] = 5

    blob: BlobId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vouch:
    """The author rendered the task of the embedded claim, too, and its own picture is like the one of this result."""

    NUMBER: ClassVar[int] = 6

    claim: Signed[Claim]
    result: RecordId
    render_ms: Milliseconds

    @property
    def task(self) -> int:
        """The task that was rendered."""
        return self.claim.body.task

    @property
    def block(self) -> Block | None:
        """The cells that were rendered; None: the frame."""
        return self.claim.body.block


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """This result is wrong; acts when the submitter, an admin or a judge of the job says so."""

    NUMBER: ClassVar[int] = 7

    task: Task
    result: RecordId
    reason: Annotated[str, AtMost(MAX_REASON_BYTES)]
    block: Block | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The job is to be run otherwise from now on; acts when the submitter or an admin says so.

    Of controls that set the same thing the one stands that comes last: one comes after all that it saw.
    """

    NUMBER: ClassVar[int] = 8

    saw: Annotated[tuple[RecordId, ...], AtMost(CONTROLS_SEEN)]
    """The controls that stood, of each thing that can be set; those that they saw are meant with them."""
    weight: Weight | None = None
    """The new weight; None: it stays."""


Statement: TypeAlias = Result | Failed | Lost | Cancel | Seal | Vouch | Reject | Control


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of a stream: what its author said of a job in one boot, numbered from 1."""

    DOMAIN: ClassVar[str] = "entry"

    job: JobId
    boot: Boot
    number: Annotated[int, Between(1, 2**31)]
    what: Statement


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The author checked this blob, has it on its disk and keeps it until the job's last day, or until it is replaced.

    A hold that another lists counts and binds no more. Who holds a blob already lists nobody's: only who had no hold of
    it brings a copy for the one that may go.
    """

    DOMAIN: ClassVar[str] = "hold"

    job: JobId
    blob: BlobId
    """An output, or a scene's root: then all that its tree names is held too."""
    nonce: Annotated[bytes, Size(16)]
    """So that a hold given again is another hold."""
    replaces: Annotated[tuple[RecordId, ...], AtMost(MAX_REPLACED)] = ()
    """The hold in whose place this one is, all that that one replaced, and the author's own former ones."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The author keeps the job's records and arbitrates its claims, until the mark expires."""

    DOMAIN: ClassVar[str] = "mark"

    job: JobId
    expires: WallTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SealedTask:
    """One task of a seal: its result, and who holds its outputs; neither where the submitter sealed it stopped."""

    result: Signed[Entry] | None
    holds: Annotated[tuple[Signed[Hold], ...], AtMost(MAX_COPIES)]
    vouch: Signed[Entry] | None = None
    """Who agreed, where the job asks for that."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SealPage:
    """The seal's blob: the job's tasks in their order, with the statements that show each of them done and held.

    With the chains of their authors it can be judged by whoever knows the job and the mesh, and nobody else.
    """

    job: JobId
    tasks: Annotated[tuple[SealedTask, ...], AtMost(MAX_TASKS)]
    chains: Annotated[tuple[Chain, ...], AtMost(MAX_PAGE_AUTHORS)]


def encode_page(page: SealPage) -> bytes:
    """Return the bytes of a seal's blob."""
    return cbor.encode(to_value(page))


def page_bytes(tasks: int) -> int:
    """Return the most bytes that the page of a job of `tasks` tasks may have."""
    return tasks * _PAGE_BYTES_PER_TASK + MAX_PAGE_AUTHORS * _PAGE_BYTES_PER_AUTHOR


def decode_page(data: bytes, tasks: int = MAX_TASKS) -> SealPage:
    """Return the page in `data` of a job of at most `tasks` tasks, no signature checked yet; raises `WireError`."""
    items = 3 + tasks * (1 + _ITEMS_PER_SEALED_TASK) + MAX_PAGE_AUTHORS * _ITEMS_PER_CHAIN
    page = from_value(SealPage, cbor.decode(data, page_bytes(tasks), items=items))
    if len(page.tasks) > tasks:
        raise WireError(f"a page of {len(page.tasks)} tasks for a job of at most {tasks}")
    return page
