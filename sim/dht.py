"""The DHT alone: the shipping table, look-ups and pointers of many nodes, without jobs or channels.

Theory: `crowd` hosts whole peers and says what a mesh costs. Who attacks the DHT attacks less than that, so that here
each node is the core's own `Whereabouts` and `Dht`, and the network is datagrams with latency, jitter and loss; the
first one between two nodes waits for a handshake. One seed gives one run.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.core import notes as nt
from mesh.core.contacts import Contacting
from mesh.core.dht.dht import Dht
from mesh.core.directory import Directory, Known
from mesh.core.effects import PeerFound, Reply, SendDatagram, SetTimer
from mesh.core.events import DatagramHeard, PeerAsked, Started
from mesh.core.membership import Members
from mesh.core.timers import AnswersLate, BucketDue, RefreshDue, Timer
from mesh.core.turn import Turn
from mesh.core.whereabouts import Whereabouts
from mesh.ground.dice import Dice
from mesh.ground.ids import Boot, PeerId, RecordId
from mesh.ground.instants import DAY_MS, Instant, Now, WallTime
from mesh.ground.limits import HEARTBEAT_MS
from mesh.wire.envelope import Signer, mesh_id, peer_id, sign
from mesh.wire.members import ALL_ROLES, DEFAULT_ROLES, Admission, Chain
from mesh.wire.messages import Address, Available
from mesh.wire.records import EngineId
from sim.clock import EPOCH_MS
from sim.draws import Draws
from sim.keys import Keyring
from sim.parcels import Checked

PORT = 7_000
BY_ONE_INVITE = 50
IN_ONE_RANGE = 100
LOSS_PPM = 5_000

_PART = 1_000_000


@dataclass(slots=True, kw_only=True)
class Reads:
    """What look-ups found."""

    asked: int = 0
    found: int = 0

    @property
    def success(self) -> float:
        """Return the part that found the pointer, in per cent."""
        return 100 * self.found / self.asked if self.asked else 0.0


class Node:
    """One peer's part in the DHT: the core's own machines, and a world of datagrams and timers."""

    def __init__(self, crowd: "Crowd", index: int, signer: Signer, chain: Chain) -> None:
        self.crowd = crowd
        self.index = index
        self.id = peer_id(signer.key)
        block, place = divmod(index, IN_ONE_RANGE)
        self.address = Address(host=f"10.{block >> 8}.{block & 255}.{1 + place}", port=PORT)
        self.dice = crowd.dice.fork(b"node" + index.to_bytes(4, "big"))
        self.directory = Directory(self.id)
        self.contacting = Contacting(self.directory)
        self.dht = Dht(self.directory, Members(crowd.mesh, chain))
        self.whereabouts = Whereabouts(self.dht, self.directory, self.contacting, signer, f"p{index}")
        self.contacting.available = Available(
            engines=(EngineId(name="blender", version="4.2.23", build="sim"),),
            slots=1,
            busy=0,
            cores=8,
            memory_mb=16_384,
            draining=False,
        )
        self.up = False
        self.asked: dict[int, PeerId] = {}
        """Reads under way, and whom for."""

    def start(self) -> None:
        """Join by way of two nodes that are there."""
        self.up = True
        crowd = self.crowd
        others = [node for node in crowd.nodes if node.up and node is not self]
        started = Started(kept=(), complete=(), addresses=(self.address,), contacts=())
        self.turn(lambda turn: self.whereabouts.on_started(turn, started))
        for _ in range(min(2, len(others))):
            other = others[crowd.draws.below(len(others))]
            self.directory.peers[other.id] = Known(addresses=(other.address,))
            self.directory.connect(other.id)
            met = nt.PeerReached(peer=other.id, boot=Boot(bytes(16)), restarted=False)
            self.turn(partial(self._meet, met))
        crowd.after(crowd.draws.below(HEARTBEAT_MS), self.tick)

    def _meet(self, met: nt.PeerReached, turn: Turn) -> None:
        self.whereabouts.on_peer_reached(turn, met)

    def tick(self) -> None:
        """Pass a second."""
        if self.up:
            self.turn(self.whereabouts.on_tick)
            self.crowd.after(HEARTBEAT_MS, self.tick)

    def hear(self, event: DatagramHeard) -> None:
        """Hear a datagram."""
        if self.up:
            self.turn(lambda turn: self.dht.on_datagram_heard(turn, event))

    def fire(self, timer: Timer) -> None:
        """Let a timer act."""
        if self.up and isinstance(timer, AnswersLate):
            self.turn(lambda turn: self.dht.on_answers_late(turn, timer))
        elif self.up and isinstance(timer, BucketDue):
            self.turn(lambda turn: self.dht.on_bucket_due(turn, timer))
        elif self.up and isinstance(timer, RefreshDue):
            self.turn(lambda turn: self.dht.on_refresh_due(turn, timer))

    def ask(self, peer: PeerId) -> None:
        """Read somebody's pointer."""
        op = self.crowd.number()
        self.asked[op] = peer
        self.turn(lambda turn: self.whereabouts.on_peer_asked(turn, PeerAsked(op=op, peer=peer)))

    def turn(self, act: Callable[[Turn], None]) -> None:
        """Run one turn of the core's machines and perform what they ask."""
        now_ms = self.crowd.now_ms
        turn = Turn(Now(instant=Instant(now_ms), wall=WallTime(EPOCH_MS + now_ms)), self.dice, self.id)
        act(turn)
        while turn.notes:
            match turn.notes.popleft():
                case nt.PointersRead() as read:
                    self.whereabouts.on_pointers_read(turn, read)
                case nt.PointerKept() as kept:
                    self.whereabouts.on_pointer_kept(turn, kept)
                case _:
                    pass
        for effect in turn.effects:
            match effect:
                case SendDatagram():
                    self.crowd.send(self, effect)
                case SetTimer():
                    self.crowd.after(effect.at - now_ms, self.fire, effect.timer)
                case Reply(reply=PeerFound() as found):
                    peer = self.asked.pop(effect.op)
                    self.crowd.read(found.pointer is not None and found.pointer.author == peer)
                case _:
                    pass


class Crowd:
    """All nodes and the network between them."""

    def __init__(self, peers: int, seed: int) -> None:
        self.now_ms = 0
        self.dice = Dice(b"dht" + seed.to_bytes(8, "big"))
        self.draws = Draws(self.dice.fork(b"net"))
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0
        self._pairs: set[tuple[int, int]] = set()
        self.reads = Reads()
        self.keyring = keyring = Keyring("stand-in")
        self._checked = Checked(keyring.verifier)
        root = keyring.signer(self.dice.draw(32))
        self.mesh = mesh_id(root.key)
        self._founder = keyring.signer(self.dice.draw(32))
        self._first = self._admission(root, self._founder, None)
        self.nodes: list[Node] = []
        self._at: dict[PeerId, Node] = {}
        for index in range(peers):
            signer = keyring.signer(self.dice.draw(32))
            self.admit(signer, index // BY_ONE_INVITE)

    def admit(self, signer: Signer, invite: int, kind: type[Node] = Node) -> Node:
        """Let one more in by a numbered invite; it does not run yet."""
        name = RecordId(self.dice.fork(b"invite").draw(28) + invite.to_bytes(4, "big"))
        chain = (self._first, self._admission(self._founder, signer, name))
        node = kind(self, len(self.nodes), signer, chain)
        self.nodes.append(node)
        self._at[node.id] = node
        return node

    def _admission(self, issuer: Signer, subject: Signer, invite: RecordId | None) -> Any:
        body = Admission(
            mesh=self.mesh,
            subject=subject.key,
            roles=int(ALL_ROLES if invite is None else DEFAULT_ROLES),
            issued=WallTime(EPOCH_MS),
            expires=WallTime(EPOCH_MS + 30 * DAY_MS),
            invite=invite,
        )
        return sign(body, issuer)

    def number(self) -> int:
        """Return a number that nothing else has."""
        self._planned += 1
        return self._planned

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action."""
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self.number(), action, arguments))

    def run_to(self, until_ms: int) -> None:
        """Let time pass."""
        while self._heap and self._heap[0][0] <= until_ms:
            self.now_ms, _, action, arguments = heapq.heappop(self._heap)
            action(*arguments)
        self.now_ms = until_ms

    def send(self, source: Node, effect: SendDatagram) -> None:
        """Carry a datagram, unless it is lost or nobody is there."""
        target = self._at.get(effect.peer)
        if target is None or target.address not in effect.addresses:
            return
        one_way_ms = self._latency_ms(source, target)
        pair = (min(source.index, target.index), max(source.index, target.index))
        if pair not in self._pairs:
            if not target.up:
                return
            self._pairs.add(pair)
            one_way_ms *= 3
        if self.draws.below(_PART) >= LOSS_PPM:
            self._checked.check(effect.message)
            heard = DatagramHeard(peer=source.id, address=source.address, message=effect.message)
            self.after(one_way_ms, target.hear, heard)

    def _latency_ms(self, one: Node, other: Node) -> int:
        """Return 5 to 60 ms for a pair, always the same, and up to 10 ms of jitter."""
        return 5 + (one.index * 31 + other.index * 31) % 56 + self.draws.below(11)

    def read(self, found: bool) -> None:
        """Count a read that ended."""
        self.reads.found += found
