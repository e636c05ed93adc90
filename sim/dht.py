"""The DHT alone, at the size of a large mesh: the shipping table, look-ups and pointers, without jobs or channels.

Theory: a whole peer at a thousand hosts would mostly keep channels; what is asked here is only whether peers find each
other's pointers, how soon, and at what cost. So each node is the core's own `Whereabouts` and `Dht`, and the network is
datagrams with latency, jitter and loss; the first one between two nodes waits for a handshake, whose bytes count.

A run joins everybody within a minute, lets the mesh rest, measures an idle stretch, reads pointers, lets 30 % vanish at
once, reads again a minute later, and lets as many join at once. One seed gives one table.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.core import notes as nt
from mesh.core.contacts import Contacting, Directory, Known
from mesh.core.effects import PeerFound, Reply, SendDatagram, SetTimer
from mesh.core.events import DatagramHeard, PeerAsked, Started
from mesh.core.membership import Members
from mesh.core.timers import AnswerLate, RefreshDue, Timer
from mesh.core.turn import Turn
from mesh.core.whereabouts import Whereabouts
from mesh.ground.dice import Dice
from mesh.ground.ids import Boot, PeerId, RecordId
from mesh.ground.instants import DAY_MS, MINUTE_MS, SECOND_MS, Instant, Now, WallTime
from mesh.ground.limits import HEARTBEAT_MS
from mesh.wire import lookups
from mesh.wire.envelope import Signer, mesh_id, peer_id, sign
from mesh.wire.members import ALL_ROLES, DEFAULT_ROLES, Admission, Chain
from mesh.wire.messages import Address, Available
from mesh.wire.records import EngineId
from sim.clock import EPOCH_MS
from sim.draws import Draws
from sim.keys import Keyring
from sim.parcels import Checked

PORT = 7_000
OVERHEAD_BYTES = 60
"""Headers of IP and UDP, counter and tag of the cipher."""
HANDSHAKE_BYTES = 1_300
"""What each side says before the first datagram of a pair."""
BY_ONE_INVITE = 50
IN_ONE_RANGE = 100
LOSS_PPM = 5_000
READS = 1_000

_PART = 1_000_000


@dataclass(slots=True, kw_only=True)
class Reads:
    """What look-ups found."""

    asked: int = 0
    found: int = 0
    took_ms: list[int]

    def percentile(self, percent: int) -> int:
        """Return so many per cent of the look-ups' times, in ms."""
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0

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
        members = Members(crowd.mesh, chain)
        self.whereabouts = Whereabouts(self.directory, members, self.contacting, signer, f"p{index}")
        self.dht = self.whereabouts.dht
        self.contacting.available = Available(
            engines=(EngineId(name="blender", version="4.2.23", build="sim"),),
            slots=1,
            busy=0,
            cores=8,
            memory_mb=16_384,
            draining=False,
        )
        self.bytes = 0
        """Sent so far."""
        self.up = False
        self.asked: dict[int, tuple[PeerId, int]] = {}
        """Reads under way: whom for, since when."""

    def start(self) -> None:
        """Join by way of two nodes that are there."""
        self.up = True
        crowd = self.crowd
        others = [node for node in crowd.nodes if node.up and node is not self]
        started = Started(kept=(), complete=(), addresses=(self.address,), contacts=())
        self.turn(lambda turn: self.whereabouts.on_started(turn, started))
        for _ in range(min(2, len(others))):
            other = others[crowd.draws.below(len(others))]
            self.directory.peers[other.id] = Known(addresses=(other.address,), connected=True)
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
        if self.up and isinstance(timer, AnswerLate):
            self.turn(lambda turn: self.dht.on_answer_late(turn, timer))
        elif self.up and isinstance(timer, RefreshDue):
            self.turn(lambda turn: self.dht.on_refresh_due(turn, timer))

    def ask(self, peer: PeerId) -> None:
        """Read somebody's pointer."""
        op = self.crowd.number()
        self.asked[op] = (peer, self.crowd.now_ms)
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
                    peer, since_ms = self.asked.pop(effect.op)
                    self.crowd.read(found.pointer is not None and found.pointer.author == peer, since_ms)
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
        self.reads = Reads(took_ms=[])
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
        source.bytes += len(lookups.encode(effect.message)) + OVERHEAD_BYTES
        target = self._at.get(effect.peer)
        if target is None or target.address not in effect.addresses:
            return
        one_way_ms = self._latency_ms(source, target)
        pair = (min(source.index, target.index), max(source.index, target.index))
        if pair not in self._pairs:
            source.bytes += HANDSHAKE_BYTES
            if not target.up:
                return
            target.bytes += HANDSHAKE_BYTES
            self._pairs.add(pair)
            one_way_ms *= 3
        if self.draws.below(_PART) >= LOSS_PPM:
            self._checked.check(effect.message)
            heard = DatagramHeard(peer=source.id, address=source.address, message=effect.message)
            self.after(one_way_ms, target.hear, heard)

    def _latency_ms(self, one: Node, other: Node) -> int:
        """Return 5 to 60 ms for a pair, always the same, and up to 10 ms of jitter."""
        return 5 + (one.index * 31 + other.index * 31) % 56 + self.draws.below(11)

    def read(self, found: bool, since_ms: int) -> None:
        """Count a read that ended."""
        self.reads.found += found
        self.reads.took_ms.append(self.now_ms - since_ms)

    def ask_many(self, count: int, over_ms: int) -> Reads:
        """Let random nodes that are up read the pointers of others that are, and wait for the last."""
        self.reads = Reads(took_ms=[])
        up = [node for node in self.nodes if node.up]
        began_ms = self.now_ms
        for number in range(count):
            self.run_to(began_ms + over_ms * number // count)
            asker, wanted = (up[self.draws.below(len(up))] for _ in range(2))
            if asker is not wanted:
                self.reads.asked += 1
                asker.ask(wanted.id)
        self.run_to(began_ms + over_ms + MINUTE_MS)
        return self.reads

    def rate(self, for_ms: int) -> float:
        """Let time pass, and return the bytes that a node that is up sent per second."""
        before = [node.bytes for node in self.nodes]
        self.run_to(self.now_ms + for_ms)
        spent = [node.bytes - was for node, was in zip(self.nodes, before, strict=True)]
        up = sum(node.up for node in self.nodes)
        return SECOND_MS * sum(spent) / (for_ms * up)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run shows."""

    peers: int
    quiet: Reads
    after: Reads
    idle: float
    vanished: float
    joined: float
    table: int

    def times(self, rate: float) -> str:
        """Return a rate, and how many times the idle one it is."""
        return f"{rate:,.0f} ({rate / self.idle:.1f} x idle)" if self.idle else f"{rate:,.0f}"

    def lines(self) -> list[str]:
        """Return the table of a run, in Markdown."""
        rows = [
            ("look-ups found in a quiet mesh", f"{self.quiet.success:.2f} % of {self.quiet.asked:,}"),
            ("p50, p95 of them", f"{self.quiet.percentile(50):,} ms, {self.quiet.percentile(95):,} ms"),
            ("found one minute after 30 % vanished", f"{self.after.success:.2f} % of {self.after.asked:,}"),
            ("p50, p95 of them", f"{self.after.percentile(50):,} ms, {self.after.percentile(95):,} ms"),
            ("idle, bytes a second sent per peer", f"{self.idle:,.0f}"),
            ("in the minute after 30 % vanished", self.times(self.vanished)),
            ("in the minute after as many joined", self.times(self.joined)),
            ("peers in a routing table, mean", f"{self.table:,}"),
        ]
        return [f"| {self.peers:,} peers | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def measure(peers: int, seed: int, *, idle_ms: int = 10 * MINUTE_MS, reads: int = READS) -> Measured:
    """Run one mesh of `peers` nodes, and as many more as vanish."""
    gone = peers * 3 // 10
    crowd = Crowd(peers + gone, seed)
    first, later = crowd.nodes[:peers], crowd.nodes[peers:]
    for number, node in enumerate(first):
        crowd.after(MINUTE_MS * number // peers, node.start)
    crowd.run_to(5 * MINUTE_MS)
    idle = crowd.rate(idle_ms)
    quiet = crowd.ask_many(reads, MINUTE_MS)
    crowd.run_to(crowd.now_ms + 2 * MINUTE_MS)
    order = sorted(first, key=lambda _: crowd.draws.below(_PART))
    for node in order[:gone]:
        node.up = False
    vanished = crowd.rate(MINUTE_MS)
    after = crowd.ask_many(reads, MINUTE_MS)
    crowd.run_to(crowd.now_ms + 5 * MINUTE_MS)
    for node in later:
        node.start()
    joined = crowd.rate(MINUTE_MS)
    up = [node for node in crowd.nodes if node.up]
    return Measured(
        peers=peers,
        quiet=quiet,
        after=after,
        idle=idle,
        vanished=vanished,
        joined=joined,
        table=sum(len(node.dht.table) for node in up) // len(up),
    )
