"""Those who lie: strangers who get their statements forwarded, members who break the rules, and replayed messages.

What they say reaches a host as a verified message on some member's channel, as if that member had passed it on: the
signatures are good, and it is the core that must see through it. Forged signatures never get that far; the network's
own check ends their channel.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core.events import MessageHeard
from mesh.ground.ids import BOOT_SIZE, ID_SIZE, BlobId, Boot, JobId, PeerId, RecordId
from mesh.ground.instants import DAY_MS, MINUTE_MS, WallTime
from mesh.wire.envelope import Signed, Signer, mesh_id, peer_id, sign
from mesh.wire.lookups import (
    DHT_ID_BYTES,
    MAX_NODES,
    Endpoint,
    Lookup,
    Node,
    NodePong,
    NodesFound,
    Pointer,
    PointersFound,
    PointerStored,
)
from mesh.wire.members import ALL_ROLES, Admission
from mesh.wire.messages import Beat, ClaimSent, Entries, Head, Heartbeat, Message, News
from mesh.wire.records import Cancel, Claim, Entry, Failed, Lost, Mark, Output, Reject, Result, Statement
from sim.clock import EPOCH_MS

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

_FIRST_MS = 5_000
_REMEMBERED = 400
_REMEMBER_ONE_IN = 16
_ANSWERS = frozenset((NodePong, NodesFound, PointersFound, PointerStored))
_NOWHERE = struct.Struct(f">{ID_SIZE}s3sH")
"""What is drawn for a node that is not there: its id, and where it is said to be."""


class Identity:
    """Somebody who can sign, and the chain that this one shows."""

    def __init__(self, signer: Signer, chain: tuple[Signed[Admission], ...]) -> None:
        self.signer = signer
        self.chain = chain
        self.peer_id = peer_id(signer.key)
        self.number = 0


class Adversary:
    """All lies of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._dice = world.dice.fork(b"adversary")
        self.stranger = self._make_stranger()
        self.liar = Identity(*world.member(self._dice.draw(32)))
        self._boot = Boot(self._dice.draw(BOOT_SIZE))
        self._heard: deque[tuple[int, PeerId, Message]] = deque(maxlen=_REMEMBERED)
        self._seen = 0

    def is_member(self, author: PeerId) -> bool:
        """Tell whether an author without a host belongs to the mesh all the same."""
        return author == self.liar.peer_id

    def _make_stranger(self) -> Identity:
        """Make the founder of another mesh."""
        signer = self._world.keyring.signer(self._dice.draw(32))
        body = Admission(
            mesh=mesh_id(signer.key),
            subject=signer.key,
            roles=int(ALL_ROLES),
            issued=WallTime(EPOCH_MS - DAY_MS),
            expires=WallTime(EPOCH_MS + DAY_MS),
            invite=None,
        )
        return Identity(signer, (sign(body, signer),))

    def plan_all(self) -> None:
        """Plan when lies are told."""
        scenario = self._world.scenario
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (scenario.strangers, self._stranger_speaks),
            (scenario.liars, self._liar_speaks),
            (scenario.replays, self._replay),
            (scenario.equivocations, self._equivocate),
        )
        for per_minute, act in kinds:
            for _ in range(-(-per_minute * scenario.safety_ms // MINUTE_MS)):
                at_ms = _FIRST_MS + self._dice.below(max(1, scenario.safety_ms - _FIRST_MS))
                self._world.at(at_ms, act)

    def _pair(self) -> "tuple[Host, Host] | None":
        """Draw who hears, and on whose channel."""
        up = [host for host in self._world.hosts if host.running and not host.frozen]
        if len(up) < 2:
            return None
        hearer = up.pop(self._dice.below(len(up)))
        return hearer, up[self._dice.below(len(up))]

    def _say(self, messages: list[Message]) -> None:
        pair = self._pair()
        if pair is not None:
            hearer, through = pair
            for message in messages:
                if hearer.running:
                    self._world.checked.check(message)
                    hearer.receive(MessageHeard(peer=through.peer_id, message=message))

    # Strangers and liars.

    def _stranger_speaks(self) -> None:
        drawn = self._draw_job()
        if drawn is not None:
            self._say([*self._lies(self.stranger, *drawn, their_own_claim=True), *self._heads(*drawn)])

    def _liar_speaks(self) -> None:
        drawn = self._draw_job()
        if drawn is not None:
            self._say(self._lies(self.liar, *drawn, their_own_claim=False))

    def _equivocate(self) -> None:
        """Sign two statements of which none may act under one number, and tell each to somebody else."""
        drawn = self._draw_job()
        if drawn is None:
            return
        job, task = drawn
        for _ in range(2):
            entry = self._entry(self.liar, job, Lost(task=task, result=RecordId(self._dice.draw(ID_SIZE))))
            self._say([Entries(job=job, entries=(entry,), chains=(self.liar.chain,))])
            self.liar.number -= 1
        self.liar.number += 1

    def _draw_job(self) -> tuple[JobId, int] | None:
        jobs = list(self._world.books.jobs)
        if not jobs:
            return None
        job = jobs[self._dice.below(len(jobs))]
        return job, self._dice.below(len(self._world.books.jobs[job].body.frames))

    def _claim(self, author: Identity, job: JobId, task: int, attempt: int) -> Signed[Claim]:
        author.number += 1
        body = Claim(job=job, task=task, attempt=attempt, boot=self._boot, number=author.number)
        return sign(body, author.signer)

    def _entry(self, author: Identity, job: JobId, what: Statement) -> Signed[Entry]:
        author.number += 1
        return sign(Entry(job=job, boot=self._boot, number=author.number, what=what), author.signer)

    def _lies(self, author: Identity, job: JobId, task: int, *, their_own_claim: bool) -> list[Message]:
        """Make statements of which none may act: results under no claim of their author's, others' jobs cancelled,
        others' pictures rejected.

        A stranger's would be well formed, were it not a stranger's.
        """
        claimant = author if their_own_claim else self.stranger
        outputs = (Output(blob=BlobId(self._dice.draw(ID_SIZE)), size=1),)
        claim = self._claim(claimant, job, task, 1)
        what: list[Statement] = [Result(claim=claim, outputs=outputs, render_ms=1, log=None), Cancel()]
        what.append(Reject(task=task, result=self._some_result(job, task), reason="a lie"))
        if their_own_claim:
            what += [
                Failed(task=task, attempt=1, kind=1, reason="a stranger's", log=None),
                Lost(task=task, result=RecordId(self._dice.draw(ID_SIZE))),
            ]
        entries = tuple(self._entry(author, job, one) for one in what)
        cancels = tuple(entry for entry in entries if isinstance(entry.body.what, Cancel))
        marks: tuple[Signed[Mark], ...] = ()
        if their_own_claim:
            expires = WallTime(EPOCH_MS + self._world.now_ms + MINUTE_MS)
            marks = (sign(Mark(job=job, expires=expires), author.signer),)
        return [
            Entries(job=job, entries=entries, chains=(author.chain,)),
            News(heads=(), marks=marks, cancels=cancels, admissions=()),
            ClaimSent(claims=(claim,)),
            Heartbeat(job=job, beats=(Beat(claim=claim.id, progress=1),)),
        ]

    def _some_result(self, job: JobId, task: int) -> RecordId:
        """Return a result of a task that somebody knows; where there is none, an id of nothing."""
        for host in self._world.hosts:
            for entry in self._world.books.of(host).about(job, [task]):
                if isinstance(entry.body.what, Result) and entry.body.what.task == task:
                    return RecordId(entry.id)
        return RecordId(self._dice.draw(ID_SIZE))

    def _heads(self, job: JobId, task: int) -> list[Message]:
        """A stranger submits a job, under its own chain."""
        del task
        record = sign(self._world.books.jobs[job].body, self.stranger.signer)
        head = Head(job=record, chain=self.stranger.chain)
        return [News(heads=(head,), marks=(), cancels=(), admissions=self.stranger.chain)]

    # The DHT.

    def poisoned(self, said: Lookup) -> Lookup | None:
        """Return what is heard instead of an answer where the DHT is poisoned; None: nothing that could be read."""
        if not self._world.scenario.poisoned_dht or type(said) not in _ANSWERS:
            return said
        if self._dice.below(4) == 0:
            return None
        match said:
            case NodePong():
                return NodePong(number=said.number, chain=self.stranger.chain)
            case NodesFound():
                return NodesFound(number=said.number, nodes=self._nowhere())
            case PointersFound():
                nowhere = self._nowhere()
                lie = Pointer(
                    key=self._dice.draw(DHT_ID_BYTES),
                    sequence=2**62,
                    expires=WallTime(EPOCH_MS + self._world.now_ms + MINUTE_MS),
                    endpoints=nowhere[0].endpoints,
                    name="liar",
                    slots=1_024,
                    busy=0,
                    cores=1,
                    memory_mb=1,
                    draining=False,
                    engines=(),
                )
                return PointersFound(number=said.number, pointers=(sign(lie, self.liar.signer),), nodes=nowhere)
            case PointerStored():
                return PointerStored(number=said.number, sequence=2**62)
            case _:
                return said

    def _nowhere(self) -> tuple[Node, ...]:
        """Return as many nodes as may be told, none of which is there."""
        drawn = self._dice.draw(MAX_NODES * _NOWHERE.size)
        return tuple(
            Node(peer=PeerId(peer), endpoints=(Endpoint(ip=b"\x0a" + ip, port=port or 1),))
            for peer, ip, port in _NOWHERE.iter_unpack(drawn)
        )

    # Replays.

    def overhear(self, host: "Host", peer: PeerId, message: Message) -> None:
        """Remember some of what is said, to say it again."""
        if self._world.scenario.replays:
            self._seen += 1
            if self._seen % _REMEMBER_ONE_IN == 0:
                self._heard.append((host.index, peer, message))

    def _replay(self) -> None:
        """Let an old message be heard again by whom it was for, then once more at once: that changes nothing."""
        if not self._heard:
            return
        index, peer, message = self._heard[self._dice.below(len(self._heard))]
        host = self._world.hosts[index]
        if not host.running or host.frozen:
            return
        event = MessageHeard(peer=peer, message=message)
        host.receive(event)
        if host.running:
            self._world.safety.expect_nothing_new(host, lambda: host.receive(event))
