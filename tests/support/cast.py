"""People of the core's tests: a mesh's keys, and statements that its members sign.

Signatures are the simulator's stand-ins, checked by nobody here: what reaches the core was verified before.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

from mesh.ground.ids import BlobId, Boot, JobId, MeshId, PeerId, RecordId
from mesh.ground.instants import DAY_MS, HOUR_MS, Instant, Now, WallTime
from mesh.wire.envelope import Signed, Signer, mesh_id, peer_id, sign
from mesh.wire.grids import Block, Cut, Order, Region, counting, ruler, told_bits
from mesh.wire.members import ALL_ROLES, DEFAULT_ROLES, Admission, Role
from mesh.wire.messages import Head
from mesh.wire.records import (
    Cancel,
    Check,
    Claim,
    EngineId,
    Entry,
    Failed,
    FailureKind,
    Hold,
    Job,
    Lost,
    Mark,
    Output,
    OutputNames,
    Picture,
    Reject,
    Result,
    Statement,
    Vouch,
)
from mesh.wire.tasks import FrameRange, Frames
from sim.keys import Keyring

WALL = WallTime(1_790_000_000_000)
NOW = Now(instant=Instant(1_000_000), wall=WALL)
ENGINE = EngineId(name="blender", version="4.2.23", build="test")
PICTURE = Picture(format="PNG", width=64, height=48, color_mode="RGB", depth=8)
NAMES = OutputNames(prefix="shot_", digits=4, suffix=".png")

Chain = tuple[Signed[Admission], ...]


def blob(label: str) -> BlobId:
    """Return the id of a blob that exists by name alone."""
    return BlobId(blake3(label.encode(), derive_key_context="meshnode test blob").digest())


def boot(label: str) -> Boot:
    """Return the boot that `label` names."""
    return Boot(blake3(label.encode(), derive_key_context="meshnode test boot").digest(length=16))


def cut_into(
    columns: int, rows: int, *, frames: int = 1, fixed: bool = False, order: Order = Order.ROWS, margin: int = 0
) -> Cut:
    """Return how frames are cut into so many cells of 32 pixels a side."""
    return Cut(
        width=32 * columns,
        height=32 * rows,
        across=ruler(range(0, 32 * columns + 1, 32)),
        down=ruler(range(0, 32 * rows + 1, 32)),
        margin=margin,
        order=order,
        fixed=fixed,
        frames=frames,
        whole=False,
    )


def shared(shares: int, *, samples: int, size: tuple[int, int] = (64, 48)) -> Cut:
    """Return how a frame is cut into so many shares of its samples; it has a border of its own."""
    return Cut(
        width=size[0],
        height=size[1],
        across=counting(shares),
        down=counting(1),
        margin=0,
        order=Order.ROWS,
        fixed=True,
        frames=1,
        whole=False,
        samples=samples,
        part=Region(left=4, top=2, right=60, bottom=40),
    )


def block(column: int, row: int, columns: int = 1, rows: int = 1) -> Block:
    """Return a block of cells."""
    return Block(column=column, row=row, columns=columns, rows=rows)


def bits_of(cells: Iterable[int]) -> bytes:
    """Return what tells these cells as open."""
    return told_bits(sum(1 << cell for cell in cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One member: its key and its chain."""

    name: str
    signer: Signer
    chain: Chain

    @property
    def id(self) -> PeerId:
        return peer_id(self.signer.key)


class Cast:
    """One mesh and whoever belongs to it."""

    def __init__(self, label: str = "a mesh") -> None:
        self.label = label
        self.keyring = Keyring("stand-in")
        self.root = self.signer("root")
        self.mesh: MeshId = mesh_id(self.root.key)
        self._numbers: dict[tuple[PeerId, Boot], int] = {}
        self._claims = 0

    def signer(self, name: str) -> Signer:
        """Return the key that `name` has in this mesh."""
        return self.keyring.signer(blake3(f"{self.label}/{name}".encode()).digest())

    def admit(
        self,
        issuer: Signer,
        subject: Signer,
        roles: Role = DEFAULT_ROLES,
        *,
        expires: int = WALL + 30 * DAY_MS,
        issued: int = WALL - HOUR_MS,
    ) -> Signed[Admission]:
        """Admit one key in another's name."""
        body = Admission(
            mesh=self.mesh,
            subject=subject.key,
            roles=int(roles),
            issued=WallTime(issued),
            expires=WallTime(expires),
            invite=None,
        )
        return sign(body, issuer)

    def actor(
        self,
        name: str,
        roles: Role = DEFAULT_ROLES,
        *,
        by: Actor | None = None,
        expires: int = WALL + 30 * DAY_MS,
        issued: int = WALL - HOUR_MS,
    ) -> Actor:
        """Return a member admitted by the root, or by another member."""
        signer = self.signer(name)
        issuer = self.root if by is None else by.signer
        before = () if by is None else by.chain
        admission = self.admit(issuer, signer, roles, expires=expires, issued=issued)
        return Actor(name=name, signer=signer, chain=(*before, admission))

    def founder(self) -> Actor:
        """Return the member that may do everything."""
        return self.actor("founder", ALL_ROLES)

    def head(
        self,
        author: Actor,
        *,
        frames: int = 4,
        copies: int = 2,
        tries: int = 3,
        number: int = 1,
        scene: BlobId | None = None,
        last_day: int = WALL + 90 * DAY_MS,
        cut: Cut | None = None,
        check: Check = Check.ONCE,
        judges: tuple[Actor, ...] = (),
    ) -> Head:
        """Return a signed job and its submitter's chain."""
        body = Job(
            number=number,
            name="shot",
            scene=scene or blob("scene"),
            engine=ENGINE,
            frames=Frames(ranges=(FrameRange(first=1, last=frames, step=1),)),
            names=NAMES,
            picture=PICTURE,
            copies=copies,
            tries=tries,
            submitted=WALL,
            last_day=WallTime(last_day),
            cut=cut,
            check=check,
            judges=tuple(judge.id for judge in judges),
        )
        return Head(job=sign(body, author.signer), chain=author.chain)

    def entry(self, author: Actor, head: Head, what: Statement, *, boot_label: str = "") -> Signed[Entry]:
        """Return the next record of an author's stream."""
        life = boot(author.name + boot_label)
        number = self._numbers[author.id, life] = self._numbers.get((author.id, life), 0) + 1
        return sign(Entry(job=JobId(head.job.id), boot=life, number=number, what=what), author.signer)

    def claim(
        self,
        author: Actor,
        head: Head,
        task: int,
        attempt: int = 1,
        *,
        block: Block | None = None,
        assembles: bool = False,
        grant: RecordId | None = None,
    ) -> Signed[Claim]:
        """Return a claim; never the same one twice."""
        self._claims += 1
        body = Claim(
            job=JobId(head.job.id),
            task=task,
            attempt=attempt,
            boot=boot(author.name),
            number=1 + self._claims,
            block=block,
            assembles=assembles,
            grant=grant,
        )
        return sign(body, author.signer)

    def result(
        self,
        author: Actor,
        head: Head,
        task: int,
        attempt: int = 1,
        *,
        picture: BlobId | None = None,
        label: str = "",
        block: Block | None = None,
        assembles: bool = False,
        render_ms: int = 1_000,
        without: bytes | None = None,
    ) -> Signed[Entry]:
        """Return a record that a task, or a block of a frame's cells, is rendered, under the author's own claim."""
        claim = self.claim(author, head, task, attempt, block=block, assembles=assembles)
        where = "" if block is None else f"{block.column} {block.row} {block.columns} {block.rows} "
        found = picture or BlobId(blob(f"{author.name} {task} {attempt} {where}{label}"))
        outputs = (Output(blob=found, size=1_000),)
        what = Result(claim=claim, outputs=outputs, render_ms=render_ms, log=None, without=without)
        return self.entry(author, head, what)

    def vouch(self, author: Actor, head: Head, of: Signed[Entry]) -> Signed[Entry]:
        """Return a record that an author's own render was like a result."""
        what = of.body.what
        assert isinstance(what, Result)
        claim = self.claim(author, head, what.task, what.attempt + 1, block=what.block)
        return self.entry(author, head, Vouch(claim=claim, result=RecordId(of.id), render_ms=1_000))

    def reject(self, author: Actor, head: Head, of: Signed[Entry], reason: str = "it is black") -> Signed[Entry]:
        """Return a record that a result is wrong."""
        what = of.body.what
        assert isinstance(what, Result)
        return self.entry(author, head, Reject(task=what.task, result=RecordId(of.id), reason=reason, block=what.block))

    def failed(
        self,
        author: Actor,
        head: Head,
        task: int,
        attempt: int = 1,
        *,
        block: Block | None = None,
        kind: FailureKind = FailureKind.CRASHED,
    ) -> Signed[Entry]:
        """Return a record that a task, or a block of a frame's cells, could not be rendered."""
        what = Failed(task=task, attempt=attempt, kind=kind, reason="signal 11", log=None, block=block)
        return self.entry(author, head, what)

    def lost(self, author: Actor, head: Head, of: Signed[Entry]) -> Signed[Entry]:
        """Return a record that nobody has a result's output."""
        what = of.body.what
        assert isinstance(what, Result)
        return self.entry(author, head, Lost(task=what.task, result=RecordId(of.id), block=what.block))

    def cancel(self, author: Actor, head: Head) -> Signed[Entry]:
        """Return a record that the job is cancelled."""
        return self.entry(author, head, Cancel())

    def hold(
        self,
        author: Actor,
        head: Head,
        held: BlobId,
        nonce: bytes = bytes(16),
        *,
        replaces: tuple[RecordId, ...] = (),
    ) -> Signed[Hold]:
        """Return an author's promise to keep a blob, in the place of others' or not."""
        return sign(Hold(job=JobId(head.job.id), blob=held, nonce=nonce, replaces=replaces), author.signer)

    def mark(self, author: Actor, head: Head, expires: int = WALL + HOUR_MS) -> Signed[Mark]:
        """Return an author's mark that it keeps a job."""
        return sign(Mark(job=JobId(head.job.id), expires=WallTime(expires)), author.signer)
