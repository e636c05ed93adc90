"""Failure detection alone: the shipping machine of each peer over lossy datagrams, for thousands of peer-hours.

Theory: a whole peer would spend its time on channels and jobs; what is asked here is only how often a peer that is
there is given up, and how soon all know of one that is not. So each node is the core's own `Probing`, and the network
is datagrams with latency, jitter and loss. Channels are worse than they ever are: they carry nothing, so that nobody
is saved by an answer on one. Calendars differ by seconds. Who was given up although it was there is met again a while
later, as its channel would be dialled again. One seed gives one table.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.core.contacts import Contacting
from mesh.core.directory import Directory, Known
from mesh.core.effects import SendDatagram, SetTimer
from mesh.core.events import DatagramHeard
from mesh.core.notes import PeerGone
from mesh.core.probing import Probing
from mesh.core.timers import ProbeDue, ProbeLate, TidingsDue, Timer
from mesh.core.turn import Turn
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS, Instant, Now, WallTime
from mesh.wire import lookups
from mesh.wire.messages import Address
from mesh.wire.probes import PROBE_MESSAGES
from sim.clock import EPOCH_MS
from sim.crowd_costs import SEALED_BYTES
from sim.draws import Draws

PORT = 7_000
CALENDARS_MS = 2_000
"""Calendars differ from the true one by at most so much."""
MET_AGAIN_MS = 5_000
NEAR_MS = 1
APART_MS = 20
"""One way between two nodes, always the same, before jitter: from the first to both together."""
WARM_UP_MS = 2 * MINUTE_MS
KNOWN_MOST_MS = MINUTE_MS
"""A death that not all know by then is not known to all."""

_PART = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad the network is."""

    loss_ppm: int = 20_000
    jitter_ms: int = 100


class Node:
    """One peer's part in failure detection: the core's own machine, and a world of datagrams and timers."""

    def __init__(self, crowd: "Crowd", index: int) -> None:
        self.crowd = crowd
        self.index = index
        self.id = PeerId(crowd.dice.fork(b"id" + index.to_bytes(4, "big")).draw(32))
        self.address = Address(host=f"10.0.{index >> 8}.{index & 255}", port=PORT)
        self.ahead_ms = crowd.draws.below(2 * CALENDARS_MS + 1) - CALENDARS_MS
        self.life = 0
        self.up = False
        self.probing = Probing(Directory(self.id), Contacting(Directory(self.id)))

    def start(self) -> None:
        """Begin a life, knowing all others that are there."""
        self.life += 1
        self.up = True
        self.dice = self.crowd.dice.fork(b"life" + self.index.to_bytes(4, "big") + self.life.to_bytes(4, "big"))
        self.directory = Directory(self.id)
        self.probing = Probing(self.directory, Contacting(self.directory))
        self.turn(self.probing.on_started)
        for other in self.crowd.nodes:
            if other is not self and other.up:
                self.meet(other)
                other.meet(self)

    def meet(self, other: "Node") -> None:
        """Have a channel with another node, on which nothing is ever said."""
        self.directory.peers[other.id] = Known(addresses=(other.address,))
        self.directory.connect(other.id)
        self.probing.watch(other.id)

    def hear(self, event: DatagramHeard) -> None:
        """Hear a datagram."""
        if self.up:
            message = event.message
            assert isinstance(message, PROBE_MESSAGES)
            self.turn(self.probing.on_datagram_heard, event, message)

    def fire(self, life: int, timer: Timer) -> None:
        """Let a timer act, if the process that set it still runs."""
        if not self.up or life != self.life:
            return
        if isinstance(timer, ProbeLate):
            if timer.number in self.probing.probes.open:  # mostly it was answered: no turn for that
                self.turn(self.probing.on_probe_late, timer)
        elif isinstance(timer, ProbeDue):
            self.turn(self.probing.on_probe_due, timer)
        else:
            assert isinstance(timer, TidingsDue)
            self.turn(self.probing.on_tidings_due, timer)

    def turn(self, act: Callable[..., None], *arguments: Any) -> None:
        """Run one turn of the core's machine and perform what it asks."""
        crowd = self.crowd
        now_ms = crowd.now_ms
        wall = WallTime(EPOCH_MS + now_ms + self.ahead_ms)
        turn = Turn(Now(instant=Instant(now_ms), wall=wall), self.dice, self.id)
        act(turn, *arguments)
        for note in turn.notes:
            assert isinstance(note, PeerGone)
            self.directory.disconnect(note.peer)
            crowd.given_up(self, note.peer)
        for effect in turn.effects:
            if isinstance(effect, SendDatagram):
                crowd.send(self, effect)
            elif isinstance(effect, SetTimer):
                crowd.after(effect.at - now_ms, self.fire, self.life, effect.timer)


class Crowd:
    """All nodes and the network between them."""

    def __init__(self, peers: int, seed: int, weather: Weather = Weather()) -> None:
        self.now_ms = 0
        self.weather = weather
        self.dice = Dice(b"probes" + seed.to_bytes(8, "big"))
        self.draws = Draws(self.dice.fork(b"net"))
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0
        self.false_deaths = 0
        self.known_ms: dict[int, int] = {}
        """When each node gave up the one that is down, by index."""
        self.bytes: int | None = None
        """Sent since they were first counted; None: nobody counts."""
        self.nodes = [Node(self, index) for index in range(peers)]
        self._at = {node.id: node for node in self.nodes}
        for node in self.nodes:
            node.start()

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._planned, action, arguments))

    def run_to(self, until_ms: int, *, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or as much of it as is needed."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_ms:
            self.now_ms, _, action, arguments = pop(heap)
            action(*arguments)
            if done():
                return
        self.now_ms = until_ms

    def send(self, source: Node, effect: SendDatagram) -> None:
        """Carry a datagram, unless it is lost or nobody is there."""
        if self.bytes is not None:
            self.bytes += len(lookups.encode(effect.message)) + SEALED_BYTES
        target = self._at[effect.peer]
        below = self.draws.below
        if target.up and target.address in effect.addresses and below(_PART) >= self.weather.loss_ppm:
            apart_ms = NEAR_MS + (source.index * 31 + target.index * 31) % APART_MS
            heard = DatagramHeard(peer=source.id, address=source.address, message=effect.message)
            self.after(apart_ms + below(self.weather.jitter_ms + 1), target.hear, heard)

    def given_up(self, node: Node, peer: PeerId) -> None:
        """Note that a node gave another up."""
        other = self._at[peer]
        if other.up:
            self.false_deaths += 1
            self.after(MET_AGAIN_MS, self._meet_again, node, other)
        else:
            self.known_ms.setdefault(node.index, self.now_ms)

    def _meet_again(self, node: Node, other: Node) -> None:
        if node.up and other.up:
            node.meet(other)

    def death(self) -> int | None:
        """Let one node die; return after how long all others have given it up, in ms, and start it again.

        None where that takes too long.
        """
        victim = self.nodes[self.draws.below(len(self.nodes))]
        victim.up = False
        self.known_ms.clear()
        died_ms, others = self.now_ms, len(self.nodes) - 1
        self.run_to(died_ms + KNOWN_MOST_MS, done=lambda: len(self.known_ms) == others)
        took_ms = self.now_ms - died_ms if len(self.known_ms) == others else None
        self.run_to(self.now_ms + MET_AGAIN_MS + self.draws.below(MINUTE_MS))
        victim.start()
        self.run_to(self.now_ms + MINUTE_MS)
        return took_ms

    def rate(self, for_ms: int) -> float:
        """Let time pass, and return the bytes that a node sent per second."""
        self.bytes = 0
        self.run_to(self.now_ms + for_ms)
        spent, self.bytes = self.bytes, None
        return SECOND_MS * spent / (for_ms * len(self.nodes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaths:
    """What one run shows."""

    peers: int
    hours: float
    """Of the whole crowd, those in which nodes died included."""
    false_deaths: int
    took_ms: tuple[int | None, ...]
    idle: float

    @property
    def known_ms(self) -> list[int]:
        """Return how long each true death took to be known to all, shortest first."""
        return sorted(KNOWN_MOST_MS if took is None else took for took in self.took_ms)

    def lines(self) -> list[str]:
        """Return the table of a run, in Markdown."""
        known = self.known_ms
        rows = [
            ("false deaths", f"{self.false_deaths} in {self.peers * self.hours:,.0f} peer-hours"),
            ("true deaths", f"{len(known)}"),
            ("known to all after: median, 95 of 100, longest", _seconds(known)),
            ("bytes a second sent per peer", f"{self.idle:,.0f}"),
        ]
        return [f"| {self.peers:,} peers | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _seconds(known: list[int]) -> str:
    chosen = (known[len(known) // 2], known[len(known) * 95 // 100], known[-1]) if known else ()
    return ", ".join(f"{each_ms / SECOND_MS:.1f} s" for each_ms in chosen)


def measure(peers: int, seed: int, *, hours: float, deaths: int, weather: Weather = Weather()) -> Deaths:
    """Let a crowd be for so many hours, then let so many of it die, one after the other."""
    crowd = Crowd(peers, seed, weather)
    crowd.run_to(WARM_UP_MS)
    idle = crowd.rate(MINUTE_MS)
    crowd.run_to(crowd.now_ms + int(hours * HOUR_MS))
    took_ms = tuple(crowd.death() for _ in range(deaths))
    hours = crowd.now_ms / HOUR_MS
    return Deaths(peers=peers, hours=hours, false_deaths=crowd.false_deaths, took_ms=took_ms, idle=idle)
