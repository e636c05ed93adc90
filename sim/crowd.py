"""A crowd: the shipping core of thousands of peers in one process, in a world that is as little as that needs.

Theory: what is asked of a crowd is whether peers find each other, how soon, and at what cost. So each node is a whole
`mesh.core.peer.Peer`, while its host is next to nothing: the journal takes everything at once, clocks are right, scenes
are one small blob. Nobody renders; where there are slots, what is claimed is rendered and never ends. Time is one heap,
as in `world`; what travels is by reference, and its length is that of its real encoding.

Invariants: one seed gives one run, in any process. Nothing iterates a set. The module must not know what is measured.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from mesh.core import effects as ef
from mesh.core.events import (
    BlobStarted,
    EnginesProbed,
    Event,
    JobPlanned,
    PeerAsked,
    PiecesStored,
    Started,
    TimerFired,
    TreeRead,
)
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.ground.dice import Dice
from mesh.ground.ids import BOOT_SIZE, BlobId, Boot, JobId, PeerId, RecordId
from mesh.ground.instants import DAY_MS, Instant, Now, WallTime
from mesh.wire.envelope import Signed, Signer, mesh_id, peer_id, sign
from mesh.wire.lookups import Pointer
from mesh.wire.members import ALL_ROLES, DEFAULT_ROLES, Admission, Chain
from mesh.wire.messages import Address
from mesh.wire.records import EngineId, OutputNames, Picture
from mesh.wire.tasks import FrameRange, Frames
from sim.clock import EPOCH_MS
from sim.crowd_costs import Sizes, credentials, measured
from sim.crowd_net import Channel, CrowdNet, Pair, address_of
from sim.draws import Draws
from sim.keys import Keyring
from sim.parcels import Checked

BY_ONE_INVITE = 50
ADDRESSES_IN_AN_INVITE = 3
_PROBE_MS = 150
_FETCH_MS = 50
_ADMISSION_MS = 30 * DAY_MS

Kind = type | str

_OF_RENDERERS = (ef.WarmEngine, ef.OpenStage, ef.CloseStage, ef.StartRender, ef.KillRender)


class Node:
    """One peer, and the host that it hardly needs."""

    __slots__ = (
        "_crowd",
        "_peer",
        "address",
        "calls",
        "chain",
        "channels",
        "id",
        "index",
        "pairs",
        "pairs_most",
        "received",
        "sent",
        "shown",
        "side",
        "signer",
        "up",
    )

    def __init__(self, crowd: "Crowd", index: int, signer: Signer, chain: Chain) -> None:
        self._crowd = crowd
        self.index = index
        self.id = peer_id(signer.key)
        self.signer = signer
        self.chain = chain
        draws = crowd.dice.fork(b"node" + index.to_bytes(4, "big"))
        self.shown = credentials(crowd.mesh, signer, chain, draws.draw(32), Boot(draws.draw(BOOT_SIZE)))
        self.address = address_of(index)
        self.side = 0
        """Where a cut puts it."""
        self.up = False
        self.channels: dict[PeerId, Channel] = {}
        self.pairs: dict[PeerId, Pair] = {}
        self.pairs_most = 0
        """So many may there be before idle ones are looked for."""
        self.calls: deque[int] = deque()
        """When each call in vain will be given up."""
        self.sent = self.received = 0
        """Bytes."""
        self._peer: Peer | None = None

    @property
    def peer(self) -> Peer:
        """The core, which runs."""
        assert self._peer is not None
        return self._peer

    def start(self, contacts: tuple[Address, ...]) -> None:
        """Begin, knowing these addresses."""
        me = Me(
            signer=self.signer, chain=self.chain, mesh=self._crowd.mesh, boot=self.shown.boot, name=f"p{self.index}"
        )
        self._peer = Peer(me, self._crowd.dice.fork(b"core" + self.index.to_bytes(4, "big")).draw(32))
        self.up = True
        self.hear(Started(kept=(), complete=(), addresses=(self.address,), contacts=contacts))
        probed = EnginesProbed(engines=self._crowd.engines, slots=self._crowd.slots, cores=8, memory_mb=16_384)
        self._crowd.after(_PROBE_MS, self.hear, probed)

    def vanish(self) -> None:
        """Lose power."""
        self.up = False
        self._peer = None
        self.channels.clear()
        self.pairs.clear()

    def hear(self, event: Event) -> None:
        """Let the core handle an event, and perform what it asks."""
        if self._peer is None:
            return
        for effect in self._peer.handle(self._crowd.now, event):
            self._crowd.perform[type(effect)](self, effect)


class Crowd:
    """All nodes, the time, and what was counted."""

    def __init__(self, peers: int, seed: int, *, slots: int = 0) -> None:
        self.now_ms = 0
        self.slots = slots
        """Of each node."""
        self.now = _now(0)
        self.dice = Dice(b"crowd" + seed.to_bytes(8, "big"))
        self.draws = Draws(self.dice.fork(b"draws"))
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0
        self.events = 0
        self.sizes = Sizes()
        self.kinds: dict[Kind, list[int]] = {}
        """How often each kind of thing was sent, and its bytes."""
        self.engines = (EngineId(name="blender", version="4.2.23", build="sim"),)
        self._keyring = Keyring("stand-in")
        self.checked = Checked(self._keyring.verifier)
        self._root = self._keyring.signer(self.dice.draw(32))
        self._founder = self._keyring.signer(self.dice.draw(32))
        self.mesh = mesh_id(self._root.key)
        self._first = self._admission(self._root, self._founder, None)
        self.costs = measured(
            self.mesh, lambda: self._member(0), self._keyring.verifier, WallTime(EPOCH_MS), self.dice.fork(b"costs")
        )
        self.net = CrowdNet(self, Draws(self.dice.fork(b"net")))
        self.nodes = [Node(self, index, *self._member(index)) for index in range(peers)]
        for node in self.nodes:
            node.side = self.draws.below(2)
            self.net.place(node)
        self._invites: dict[int, tuple[Node, ...]] = {}
        """Whom those who came by an invite may dial."""
        self.jobs: list[JobId] = []
        self._asked: dict[int, Callable[[Signed[Pointer] | None], None]] = {}
        self.perform = self._performing()

    def _member(self, index: int) -> tuple[Signer, Chain]:
        """Make a peer and have the founder admit it, by the invite of those who come with it."""
        signer = self._keyring.signer(self.dice.draw(32))
        invite = RecordId(self.dice.fork(b"invite").draw(28) + (index // BY_ONE_INVITE).to_bytes(4, "big"))
        return signer, (self._first, self._admission(self._founder, signer, invite))

    def _admission(self, issuer: Signer, subject: Signer, invite: RecordId | None) -> Signed[Admission]:
        body = Admission(
            mesh=self.mesh,
            subject=subject.key,
            roles=int(ALL_ROLES if invite is None else DEFAULT_ROLES),
            issued=WallTime(EPOCH_MS),
            expires=WallTime(EPOCH_MS + _ADMISSION_MS),
            invite=invite,
        )
        return sign(body, issuer)

    def _performing(self) -> dict[type, Callable[[Node, Any], None]]:
        net = self.net
        return {
            ef.Send: net.send,
            ef.SendDatagram: net.send_datagram,
            ef.Dial: net.dial,
            ef.Knock: net.knock,
            ef.CloseChannel: lambda node, effect: net.close(node, effect.peer),
            ef.SetTimer: self._set_timer,
            ef.Append: lambda _node, _effect: None,
            ef.Reply: self._replied,
            ef.FetchManifest: self._fetch_manifest,
            ef.FetchPieces: self._fetch_pieces,
            ef.ReadTree: self._read_tree,
            **dict.fromkeys(_OF_RENDERERS, _nothing),
        }

    # Time.

    def at(self, time_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action."""
        self._planned += 1
        heapq.heappush(self._heap, (time_ms, self._planned, action, arguments))

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action in so many milliseconds."""
        self.at(self.now_ms + delay_ms, action, *arguments)

    def run_to(self, until_ms: int) -> None:
        """Let time pass."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            time_ms, _, action, arguments = heapq.heappop(heap)
            if time_ms != self.now_ms:
                self.now_ms = time_ms
                self.now = _now(time_ms)
            self.events += 1
            action(*arguments)
        self.now_ms = until_ms
        self.now = _now(until_ms)

    def run_for(self, span_ms: int) -> None:
        """Let so much time pass."""
        self.run_to(self.now_ms + span_ms)

    def count(self, node: Node, kind: Kind, size: int) -> None:
        """Count bytes that a node sends."""
        node.sent += size
        counted = self.kinds.get(kind)
        if counted is None:
            self.kinds[kind] = [1, size]
        else:
            counted[0] += 1
            counted[1] += size

    # What people do.

    def up(self) -> list[Node]:
        """Return the nodes that run."""
        return [node for node in self.nodes if node.up]

    def start(self, node: Node) -> None:
        """Let a node join by what its invite says: where some are who were up when it was made.

        Who is left with an invite of somebody who has gone is given another one.
        """
        block = node.index // BY_ONE_INVITE
        known = self._invites.get(block, ())
        if len(known) < ADDRESSES_IN_AN_INVITE or not all(other.up for other in known):
            there = self.up()
            drawn = (there[self.draws.below(len(there))] for _ in range(ADDRESSES_IN_AN_INVITE if there else 0))
            known = self._invites[block] = tuple({other.index: other for other in drawn}.values())
        node.start(tuple(other.address for other in known))

    def submit(self, node: Node) -> None:
        """Let somebody submit a job; `jobs` has it once it was taken."""
        number = self._planned + len(self.jobs)
        scene = BlobId(self.dice.fork(b"scene").draw(24) + number.to_bytes(8, "big"))
        node.hear(
            JobPlanned(
                op=0,
                name=f"shot {node.index}",
                scene=scene,
                scene_blobs=(scene,),
                engine=self.engines[0],
                frames=Frames(ranges=(FrameRange(first=1, last=240, step=1),)),
                names=OutputNames(prefix="shot_", digits=4, suffix=".exr"),
                picture=Picture(format="OPEN_EXR", width=1920, height=1080, color_mode="RGBA", depth=16),
                directory=f"/home/p{node.index}",
                overwrite=False,
            )
        )

    def ask(self, node: Node, peer: PeerId, answered: Callable[[Signed[Pointer] | None], None]) -> None:
        """Let somebody ask where a peer is."""
        self._planned += 1
        self._asked[self._planned] = answered
        node.hear(PeerAsked(op=self._planned, peer=peer))

    # What cores ask for.

    def _set_timer(self, node: Node, effect: ef.SetTimer) -> None:
        self.at(max(effect.at, self.now_ms), node.hear, TimerFired(timer=effect.timer))

    def _replied(self, _node: Node, effect: ef.Reply) -> None:
        if isinstance(effect.reply, ef.PeerFound):
            self._asked.pop(effect.op)(effect.reply.pointer)
        else:
            assert isinstance(effect.reply, ef.Accepted) and effect.reply.job is not None, effect
            self.jobs.append(effect.reply.job)

    def _fetch_manifest(self, node: Node, effect: ef.FetchManifest) -> None:
        self.after(_FETCH_MS, node.hear, BlobStarted(op=effect.op, blob=effect.blob, pieces=1, have=()))

    def _fetch_pieces(self, node: Node, effect: ef.FetchPieces) -> None:
        stored = PiecesStored(op=effect.op, blob=effect.blob, numbers=effect.numbers, complete=True)
        self.after(_FETCH_MS, node.hear, stored)

    def _read_tree(self, node: Node, effect: ef.ReadTree) -> None:
        self.after(1, node.hear, TreeRead(op=effect.op, root=effect.root, blobs=()))


def _nothing(_node: Node, _effect: Any) -> None:
    """Do what a renderer does of whom nothing is ever heard."""


def _now(now_ms: int) -> Now:
    return Now(instant=Instant(now_ms), wall=WallTime(EPOCH_MS + now_ms))
