"""A whole peer under whatever its members say: it never fails, stays within its bounds, and obeys a cancel."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.core.parts import Parts
from mesh.ground.ids import BlobId, Boot, JobId, MeshId, PeerId, PublicKey, RecordId
from mesh.ground.instants import HOUR_MS, SECOND_MS, WallTime
from mesh.ground.limits import MAX_CONTACTS, PROBES_OPEN
from mesh.wire import kept as kp
from mesh.wire import lookups as lk
from mesh.wire import messages as ms
from mesh.wire import records as rc
from mesh.wire.codec import AtMost, Between, Size
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed, sign
from mesh.wire.gossip import SHORT_BYTES, ShortId
from mesh.wire.grids import Block
from mesh.wire.members import Admission, Chain
from tests.strategies import HOSTS, _fields
from tests.support.cast import ENGINE, NAMES, PICTURE, WALL, Cast, blob, boot, cut_into
from tests.support.rig import Rig

CAST = Cast()
PEOPLE = [CAST.actor(name) for name in ("ann", "bob", "cid")]
HEADS = [
    CAST.head(PEOPLE[0], frames=6),
    CAST.head(PEOPLE[1], frames=3, number=2),
    CAST.head(CAST.actor("me"), frames=4),
    CAST.head(PEOPLE[0], frames=3, number=3, cut=cut_into(4, 2, frames=2)),
]
STILL = HEADS[3]
BLOCKS = [Block(column=0, row=0, columns=4, rows=2), *(Block(column=c, row=0, columns=2, rows=2) for c in (0, 2))]
BLOCKS += [Block(column=column, row=row, columns=1, rows=1) for column in range(4) for row in range(2)]
BUCKETS = [
    CAST.result(author, STILL, task, attempt, block=block)
    for author, attempt in zip(PEOPLE, (1, 2, 1), strict=True)
    for task in (1, 2)
    for block in BLOCKS
]
RESULTS = [CAST.result(author, head, task) for head in HEADS for author in PEOPLE for task in range(3)]
PICTURES = [entry.body.what.outputs[0].blob for entry in (*RESULTS, *BUCKETS) if isinstance(entry.body.what, rc.Result)]
CLAIMS = [entry.body.what.claim for entry in (*RESULTS, *BUCKETS) if isinstance(entry.body.what, rc.Result)]

_POOLS: dict[Any, list[Any]] = {
    JobId: [*(JobId(head.job.id) for head in HEADS), JobId(blob("no job"))],
    PeerId: [*(actor.id for actor in PEOPLE), CAST.actor("me").id, PeerId(blob("nobody"))],
    RecordId: [*(entry.id for entry in RESULTS), *(claim.id for claim in CLAIMS), RecordId(blob("no record"))],
    BlobId: [*PICTURES, *(head.job.body.scene for head in HEADS), blob("no blob")],
    Boot: [boot("ann"), boot("me"), boot("no boot")],
    MeshId: [CAST.mesh],
    PublicKey: [actor.signer.key for actor in PEOPLE],
    WallTime: [WALL, WALL + HOUR_MS, WALL - HOUR_MS, 2**60],
    rc.EngineId: [ENGINE],
    rc.Picture: [PICTURE],
    rc.OutputNames: [NAMES],
    rc.Frames: [head.job.body.frames for head in HEADS],
    ShortId: [head.job.id[:SHORT_BYTES] for head in HEADS] + [blob("no item")[:SHORT_BYTES]],
    ms.Head: HEADS,
    Signed[Admission]: [admission for actor in PEOPLE for admission in actor.chain],
    Signed[rc.Claim]: CLAIMS,
    ms.Address: [ms.Address(host=host, port=7_000) for host in HOSTS],
    Block: [*BLOCKS, *(Block(column=c, row=0, columns=w, rows=h) for c, w, h in ((1, 2, 1), (3, 2, 1), (0, 4, 8)))],
    lk.Endpoint: [lk.Endpoint(ip=bytes((192, 0, 2, 7)), port=7_000), lk.Endpoint(ip=bytes(15) + b"\1", port=7_000)],
}


@cache
def near(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a type that mostly name what the peer under test knows."""
    if kind in _POOLS and get_origin(kind) is not Signed:
        return st.sampled_from(_POOLS[kind])
    if get_origin(kind) is Signed:
        made = st.builds(sign, near(get_args(kind)[0]), st.sampled_from([actor.signer for actor in PEOPLE]))
        return made | st.sampled_from(_POOLS[kind]) if kind in _POOLS else made
    if kind is Chain:
        return st.sampled_from([actor.chain for actor in PEOPLE])
    if kind is ms.Have:
        return st.builds(_have, near(BlobId), st.integers(0, 40))
    base, bound = get_args(kind) if get_origin(kind) is Annotated else (kind, None)
    match bound:
        case Size(exactly=size):
            return st.binary(min_size=size, max_size=size)
        case Between(low=low, high=high):
            return st.integers(low, min(high, low + 8)) | st.sampled_from([low, high])
        case AtMost(length=most) if base is bytes:
            return st.binary(max_size=min(most, 8))
        case AtMost() if base is str:
            return st.sampled_from(["", "a name"])
        case AtMost(length=most):
            return st.lists(near(get_args(base)[0]), max_size=min(most, 4)).map(tuple)
    if base is bool:
        return st.booleans()
    if base is NoneType:
        return st.none()
    if get_origin(base) in (Union, UnionType):
        return st.one_of([near(option) for option in get_args(base)])
    assert not isinstance(base, NewType), base
    return st.builds(base, **{name: near(hint) for name, hint in _fields(base).items()})


def _have(found: BlobId, pieces: int) -> ms.Have:
    return ms.Have(blob=found, pieces=pieces, bits=((1 << pieces) - 1).to_bytes(-(-pieces // 8), "little"))


def parts_of(job: Signed[rc.Job]) -> Parts:
    """Return how a job's tasks are numbered."""
    return Parts.of_job(job.body)


messages = st.sampled_from(ms.MESSAGES).flatmap(near)
datagrams = st.sampled_from(lk.LOOKUPS).flatmap(near)


OTHERS = ["sleep", "break", "come", "command"]


def _blob_of(entry: Signed[rc.Entry]) -> BlobId:
    assert isinstance(entry.body.what, rc.Result)
    return entry.body.what.outputs[0].blob


class Life:
    """A peer that keeps one job, submitted another, and knows a third, or keeps one whose frames are cut; and its
    world, which answers as it likes.
    """

    def __init__(self, *, still: bool = False) -> None:
        here = tuple(_blob_of(entry) for entry in BUCKETS if entry.author != PEOPLE[2].id)
        self.rig = Rig(CAST, "me", actor=CAST.actor("me"), complete=here)
        self.rig.meet(*PEOPLE)
        if still:
            self.rig.keep(STILL, by=PEOPLE[0])
            self.rig.peer.scenes._whole[STILL.job.body.scene] = None
            self.rig.wait(3 * SECOND_MS, *PEOPLE)
        else:
            self.rig.keep(HEADS[0], PEOPLE[1], by=PEOPLE[0])
            self.rig.learn(HEADS[1], *PEOPLE, by=PEOPLE[1])
            self.rig.keep(HEADS[2], by=PEOPLE[0])
        self.rig.peer.scenes._whole.update(dict.fromkeys(head.job.body.scene for head in HEADS))
        self.cancelled: dict[bytes, None] = {}
        self.paused = False
        self.answered: dict[int, None] = {}
        self.pasted: list[ef.PasteBucket] = []
        """Answered: of one assembly there are many, each is answered once."""
        self.growing: dict[int, tuple[Signed[rc.Job], int, dict[int, None]]] = {}
        self.seen = 0
        self.look()

    def open_ops(self) -> list[Any]:
        """Return what the world has not answered yet; a render says several things, and so does an assembly."""
        asked = [effect for effect in self.rig.effects if hasattr(effect, "op")]
        several = (ef.StartRender, ef.StartAssembly, ef.FinishAssembly)
        return [
            effect
            for effect in asked
            if (effect.op not in self.answered or isinstance(effect, several))
            and not any(effect is pasted for pasted in self.pasted)
        ]

    def answer(self, data: st.DataObject) -> None:
        effects = self.open_ops()
        if effects:
            effect = data.draw(st.sampled_from(effects[-20:]))
            if isinstance(effect, ef.PasteBucket):
                self.pasted.append(effect)
            else:
                self.answered[effect.op] = None
            event = self._answer(data, effect)
            if event is not None:
                self.rig.tell(event)

    def _answer(self, data: st.DataObject, effect: Any) -> ev.Event | None:
        good = data.draw(st.booleans())
        match effect:
            case ef.PasteBucket():
                if good:
                    job, task, pasted = self.growing[effect.op]
                    pasted |= dict.fromkeys(parts_of(job).of(task, effect.block))
                problem = "" if good else "it is half a file"
                unlike = not good and data.draw(st.booleans())
                return ev.BucketPasted(op=effect.op, blob=effect.blob, problem=problem, unlike=unlike)
            case ef.StartAssembly() if good:
                return ev.RenderProgressed(op=effect.op, progress=data.draw(st.integers(0, 9)))
            case ef.StartRender() | ef.FinishAssembly() if good:
                if data.draw(st.booleans()):
                    return ev.FrameWritten(op=effect.op, render_ms=data.draw(st.integers(0, 9_000)))
                output = rc.Output(blob=data.draw(near(BlobId)), size=5)
                return ev.Rendered(op=effect.op, outputs=(output,), log=None)
            case ef.StartRender() | ef.StartAssembly() | ef.FinishAssembly():
                kind = data.draw(st.sampled_from(rc.FailureKind))
                return ev.RenderFailed(op=effect.op, kind=kind, reason="x", log=None)
            case ef.FetchManifest() if good:
                return ev.BlobStarted(op=effect.op, blob=effect.blob, pieces=data.draw(st.integers(1, 9)), have=())
            case ef.FetchPieces() if good:
                done = data.draw(st.booleans())
                return ev.PiecesStored(op=effect.op, blob=effect.blob, numbers=effect.numbers, complete=done)
            case ef.FetchManifest() | ef.FetchPieces():
                return ev.FetchFailed(op=effect.op, blob=effect.blob, full=data.draw(st.booleans()))
            case ef.CheckOutput():
                return ev.OutputChecked(op=effect.op, blob=effect.blob, good=good)
            case ef.ReadTree():
                blobs = data.draw(st.sampled_from([(blob("part"),), (), None]))
                return ev.TreeRead(op=effect.op, root=effect.root, blobs=blobs)
            case ef.Export() if good:
                return ev.Exported(op=effect.op)
            case ef.Export():
                return ev.ExportFailed(op=effect.op, reason="no", exists=data.draw(st.booleans()))
            case ef.TryDials():
                return ev.DialsTried(op=effect.op, tried=data.draw(near(ms.DialledBack)).tried)
            case ef.WritePage():
                return ev.PageWritten(op=effect.op, blob=blob("page"))
            case ef.ReadPage():
                return ev.PageRead(op=effect.op, blob=effect.blob, page=data.draw(near(rc.SealPage)) if good else None)
        return None

    def tell_of(self, entry: Signed[rc.Entry]) -> None:
        """Let a result's author tell of it, of its hold, and that it has the picture."""
        assert isinstance(entry.body.what, rc.Result)
        author = next(actor for actor in PEOPLE if actor.id == entry.author)
        head = next(head for head in HEADS if head.job.id == entry.body.job)
        picture = entry.body.what.outputs[0].blob
        self.rig.take(head, entry, by=author)
        self.rig.hear(
            author,
            Holds(holds=(CAST.hold(author, head, picture),)),
            ms.Have(blob=picture, pieces=0, bits=b""),
        )

    def ask(self, peer: PeerId, said: lk.Lookup) -> None:
        """Let a datagram be heard."""
        address = ms.Address(host="192.0.2.7", port=7_000)
        self.rig.tell(ev.DatagramHeard(peer=peer, address=address, message=said))

    def command(self, data: st.DataObject) -> None:
        job = data.draw(near(JobId))
        commands = [
            ev.CancelAsked(op=1, job=job),
            ev.LookAsked(op=1, job=job),
            ev.FetchAsked(op=1, job=job, directory="/out", overwrite=False),
            ev.BlobAsked(op=1, blob=data.draw(near(BlobId)), peer=data.draw(near(PeerId))),
            ev.BlobDamaged(blob=data.draw(near(BlobId))),
            ev.EnginesProbed(engines=(ENGINE,), slots=data.draw(st.integers(0, 3)), cores=1, memory_mb=1),
            ev.PauseAsked(op=1, until=data.draw(near(WallTime) | st.none()), now=data.draw(st.booleans())),
            ev.ResumeAsked(op=1),
            ev.ReachAsked(op=1, peer=data.draw(near(PeerId) | st.none())),
        ]
        self.rig.tell(data.draw(st.sampled_from(commands)))

    def step(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(PEOPLE))
        kind = data.draw(
            st.sampled_from(["say"] * 5 + ["tell"] * 3 + ["answer"] * 5 + ["wait"] * 2 + ["ask"] * 4 + OTHERS)
        )
        match kind:
            case "say":
                self.rig.hear(actor, data.draw(messages))
            case "ask":
                self.ask(actor.id, data.draw(datagrams))
            case "tell":
                for entry in data.draw(st.lists(st.sampled_from(RESULTS) | st.sampled_from(BUCKETS), max_size=4)):
                    self.tell_of(entry)
            case "answer":
                self.answer(data)
            case "wait":
                self.rig.wait(data.draw(st.integers(1, 12 * SECOND_MS)), *PEOPLE)
            case "sleep":
                self.rig.jump(HOUR_MS)
            case "break":
                self.rig.tell(ev.ChannelClosed(peer=actor.id, clean=data.draw(st.booleans())))
                self.rig.tell(ev.DialFailed(peer=actor.id, refused=data.draw(st.booleans())))
            case "come":
                self.rig.meet(actor, life=data.draw(st.sampled_from(["", "again"])))
            case "command":
                self.command(data)
        self.look()

    def look(self) -> None:
        """Check what was asked for since the last look, and the bounds."""
        for effect in self.rig.effects[self.seen :]:
            match effect:
                case ef.Send():
                    assert effect.peer != self.rig.me.id
                    ms.decode(ms.encode(effect.message))
                case ef.SendDatagram():
                    assert effect.peer != self.rig.me.id
                    lk.decode(lk.encode(effect.message))
                case ef.Append():
                    for entry in effect.entries:
                        assert kp.decode(kp.encode(entry)) == entry
                        if isinstance(entry, kp.KeptPause):
                            self.paused = not entry.over
                case ef.StartRender():
                    assert not self.paused, "a paused host started a task"
                    assert effect.job.id not in self.cancelled, "a task of a cancelled job was started"
                    assert 0 <= effect.task < len(effect.job.body.frames)
                    assert effect.block is None or parts_of(effect.job).of(effect.task, effect.block)
                case ef.StartAssembly():
                    assert not self.paused, "a paused host started an assembly"
                    assert effect.job.id not in self.cancelled, "a frame of a cancelled job was assembled"
                    assert parts_of(effect.job).is_cut(effect.task)
                    assert effect.op not in self.growing
                    self.growing[effect.op] = (effect.job, effect.task, {})
                case ef.FinishAssembly():
                    job, task, pasted = self.growing[effect.op]
                    assert sorted(pasted) == list(parts_of(job).cells_of(task)), "a cell was never pasted"
        self.seen = len(self.rig.effects)
        for job, ledger in self.rig.peer.ledger.jobs.items():
            if ledger.cancel is not None:
                self.cancelled[job] = None
        peer = self.rig.peer
        assert len(peer.directory.peers) <= MAX_CONTACTS
        probing = peer.probing
        assert sorted(probing._members) == probing._order == peer.directory.all_connected()
        assert len(probing.probes.open) <= 2 * PROBES_OPEN
        assert probing.doubts == {who: one.doubt for who, one in probing._members.items() if one.doubt is not None}
        assert all(probing.probes.open[one.number] is one for one in probing.probes.own.values())
        assert len(peer.swarm._requests) <= 8
        for job, docket in peer.leases.dockets.items():
            tasks = peer.ledger.jobs[job].parts.tasks
            assert all(0 <= task < tasks for task in (*docket.leases, *docket.pending))
            assert all(docket.by_claim[lease.claim] is lease for lease in docket.leases.values())
            assert all(docket.leases[task] is lease for lease in docket.by_claim.values() for task in lease.tasks)
        peer.mesh_view(self.rig.now)
        for job in peer.ledger.jobs:
            peer.task_views(job)


@given(st.data())
@settings(max_examples=150)
def test_nothing_that_members_say_or_the_world_answers_breaks_a_peer(data: st.DataObject) -> None:
    life = Life(still=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 30))):
        life.step(data)


@given(st.lists(messages, max_size=30), st.booleans())
@settings(max_examples=50)
def test_the_same_events_give_the_same_effects(said: list[ms.Message], still: bool) -> None:
    effects = []
    for _ in range(2):
        life = Life(still=still)
        for number, message in enumerate(said):
            life.rig.hear(PEOPLE[number % 3], message)
            life.rig.wait(200, *PEOPLE)
        effects.append(life.rig.effects)
    assert effects[0] == effects[1]


@given(st.lists(messages, max_size=15), st.booleans())
@settings(max_examples=50)
def test_a_message_heard_twice_changes_no_record(said: list[ms.Message], still: bool) -> None:
    life = Life(still=still)
    for number, message in enumerate(said):
        life.rig.hear(PEOPLE[number % 3], message)
        before = {job: ledger.digest() for job, ledger in life.rig.peer.ledger.jobs.items()}
        life.rig.hear(PEOPLE[number % 3], message)
        assert {job: ledger.digest() for job, ledger in life.rig.peer.ledger.jobs.items()} == before
