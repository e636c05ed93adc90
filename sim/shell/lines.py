"""The lines between hosts: how long they take, which are cut, and who carries what along them.

Theory: a host is its name on the network. Whatever goes along a *lane* arrives in its order: a lane is one direction of
one channel. Where a line is cut, a lane waits, as a connection does that sends again and again; single datagrams are
lost. A host whose machine stands still hears and says nothing, and everything at once when it goes on.

Invariants: what is due at one instant arrives in the order in which it was sent. The module must not know what is
carried.
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable

import trio

from mesh.ground.dice import Dice
from sim.draws import Draws

MILLION = 1_000_000


class Lane:
    """What is under way in one direction of one channel, in its order."""

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.under_way: deque[tuple[float, Callable[[], None]]] = deque()


class Lines:
    """All lines of a mesh; `run` is their life."""

    def __init__(self, dice: Dice, *, latency_ms: int, jitter_ms: int, loss_ppm: int) -> None:
        self._dice = dice
        self._draws = Draws(dice.fork(b"lines"))
        self._latency_ms = latency_ms
        self._jitter_ms = jitter_ms
        self.loss_ppm = loss_ppm
        self._base_ms: dict[tuple[str, str], int] = {}
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._still: Counter[str] = Counter()
        self._heap: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._stuck: dict[Lane, None] = {}
        self._sooner = trio.Event()

    def open(self, source: str, target: str) -> bool:
        """Whether what one host says reaches the other now."""
        return not (self._cuts[source, target] or self._still[source] or self._still[target])

    def delay_s(self, source: str, target: str) -> float:
        """Draw how long something takes from one host to another."""
        pair = (min(source, target), max(source, target))
        if pair not in self._base_ms:
            self._base_ms[pair] = 1 + self._dice.fork(f"{pair}".encode()).below(self._latency_ms)
        return (self._base_ms[pair] + self._draws.below(self._jitter_ms + 1)) / 1000

    def loses(self) -> bool:
        """Draw whether a datagram is lost."""
        return self._draws.below(MILLION) < self.loss_ppm

    def cut(self, source: str, target: str) -> None:
        """Let nothing through in one direction, until it is mended as often as it was cut."""
        self._cuts[source, target] += 1

    def mend(self, source: str, target: str) -> None:
        """Take one cut back."""
        self._cuts[source, target] -= 1
        self._go_on()

    def hold(self, host: str) -> None:
        """Let a host hear and say nothing."""
        self._still[host] += 1

    def release(self, host: str) -> None:
        """Let it hear and say all that waited."""
        self._still[host] -= 1
        self._go_on()

    def carry(self, lane: Lane, act: Callable[[], None]) -> None:
        """Have something happen at the far end, after all that went along the lane before."""
        due_s = trio.current_time() + self.delay_s(lane.source, lane.target)
        if lane.under_way:
            lane.under_way.append((max(due_s, lane.under_way[-1][0]), act))
        else:
            lane.under_way.append((due_s, act))
            self._plan(due_s, lane)

    def throw(self, source: str, target: str, act: Callable[[], None]) -> None:
        """Do the same with a single datagram, or lose it."""
        if self.open(source, target) and not self.loses():
            self.carry(Lane(source, target), act)

    async def run(self) -> None:
        """Carry, for ever."""
        while True:
            self._sooner = trio.Event()
            if not self._heap:
                await self._sooner.wait()
                continue
            due_s = self._heap[0][0]
            if due_s > trio.current_time():
                with trio.move_on_at(due_s):
                    await self._sooner.wait()
                continue
            self._arrive(heapq.heappop(self._heap)[2])

    def _plan(self, due_s: float, lane: Lane) -> None:
        if not self._heap or due_s < self._heap[0][0]:
            self._sooner.set()
        heapq.heappush(self._heap, (due_s, next(self._order), lane))

    def _arrive(self, lane: Lane) -> None:
        if not self.open(lane.source, lane.target):
            self._stuck[lane] = None
            return
        _, act = lane.under_way.popleft()
        if lane.under_way:
            self._plan(lane.under_way[0][0], lane)
        act()

    def _go_on(self) -> None:
        """Plan what was stuck on lines that are open again."""
        for lane in tuple(self._stuck):
            if self.open(lane.source, lane.target):
                del self._stuck[lane]
                self._plan(trio.current_time(), lane)
