"""Small worlds, exhaustively: all that may happen among two or three peers within stated bounds, over the real core.

The search is breadth first, so that the first violation has a shortest path to it. A state is visited once, however it
is reached. It is a world, and beside it what the bounds still allow: which sources are slow, and which faults may come.
Every act of a host is judged by the checkers where it is worked out, and every world by what holds between hosts.
"""

import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from sim.scenario import Scenario
from sim.small_moves import WHOLE, Bounds, Broken, Move, Moves, Node, World
from sim.small_world import MakeCore, SmallWorld
from sim.violation import Violation
from sim.world import real_core

_SAY_EVERY = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """One small world: who is there, what they do, from when on everything is explored, and how far."""

    scenario: Scenario
    bounds: Bounds
    seed: int = 1
    """Of keys, and so of all ids."""
    step_ms: int = 500
    """Timers fire at multiples of this, as a busy host's do: late, and few moments are different."""
    submit_ms: int = 1_000
    """The job is submitted then."""
    begin_ms: int = 1_000
    """Before this what is slow from the beginning gives nothing once the job is known, and nothing goes wrong."""


@dataclass(slots=True, kw_only=True)
class Explored:
    """What an exploration came to."""

    states: int = 0
    """Worlds, each counted once for every set of slow sources and faults to come that it was met with."""
    worlds: int = 0
    moves: int = 0
    depth: int = 0
    """Everything within so many moves was explored."""
    ends: int = 0
    """States in which nothing more may happen within the bounds."""
    hosts: int = 0
    """States of single hosts."""
    turns: int = 0
    """Acts of single hosts that a core had to work out; all others were known from before."""
    complete: bool = False
    """Whether nothing within the bounds was left out."""
    took_s: float = 0
    broken: Exception | None = None
    path: list[str] = field(default_factory=list)
    """The moves that led to what was broken."""


class Explorer:
    """Explore one small world."""

    def __init__(self, small: Small, make_core: MakeCore = real_core) -> None:
        self.small = small
        self.world = SmallWorld(small.scenario, seed=small.seed, step_ms=small.step_ms, make_core=make_core)
        self.moves = Moves(self.world, small.bounds)

    def first(self) -> Node:
        """Return the state from which everything is explored."""
        peers = len(self.world.hosts)
        world = World(
            now_ms=0,
            hosts=tuple(self.world.new_host(index) for index in range(peers)),
            links=(WHOLE,) * (peers * (peers - 1) // 2),
        )
        node = Node(world=world, slow=0, slowed=0, crashes=0, cuts=0, asks=0)
        for host in range(peers):
            node = self.moves.after(node, ("start", host))
        for host in range(peers):
            for other in range(host):
                node = node._replace(world=self.moves.open(node.world, host, other))
        node = self._pass(node, self.small.submit_ms)
        node = node._replace(world=self.moves.does(node.world, self.world.submitter, ("submit",)))
        node = self._pass(node, self.small.submit_ms)
        node = self._pass(node._replace(slow=self.moves.slow), self.small.begin_ms)
        bounds = self.small.bounds
        return node._replace(slowed=bounds.slow, crashes=bounds.crashes, cuts=bounds.cuts, asks=int(bounds.cancel))

    def _pass(self, node: Node, until_ms: int) -> Node:
        """Let everything happen until a time in the one order that prompt sources give; slow ones give nothing."""
        while True:
            move = self.moves.prompt(node)
            if move is None or (move[0] == "wait" and move[1] > until_ms):
                return node
            node = self.moves.after(node, move)

    def run(self, most: int, say: Callable[[Explored], None] = lambda _: None) -> Explored:
        """Explore until nothing is left, `most` states were met, or a rule was broken."""
        began_s, explored = time.process_time(), Explored()
        try:
            first = self.first()
        except Broken as broken:
            explored.broken, explored.path = broken.error, ["before anything was explored"]
            return explored
        seen = _Seen(first)
        while seen.waiting and len(seen.nodes) < most and explored.broken is None:
            at = seen.waiting.popleft()
            explored.depth = seen.depths[at]
            moves = self.moves.names(seen.nodes[at])
            explored.ends += not moves
            for move in moves:
                explored.moves += 1
                try:
                    after = self.moves.after(seen.nodes[at], move)
                    self.judge(after.world)
                except (Broken, Violation) as error:
                    explored.broken = error.error if isinstance(error, Broken) else error
                    explored.path = self._path(seen, at, move)
                    break
                if seen.add(after, at) and len(seen.nodes) % _SAY_EVERY == 0:
                    say(self._counted(explored, seen, began_s))
        explored.complete = not seen.waiting and explored.broken is None
        return self._counted(explored, seen, began_s)

    def _counted(self, explored: Explored, seen: "_Seen", began_s: float) -> Explored:
        explored.states, explored.worlds = len(seen.nodes), len(seen.worlds)
        explored.hosts, explored.turns = self.world.states, self.world.turns
        explored.took_s = time.process_time() - began_s
        return explored

    def judge(self, world: World) -> None:
        """S1: what anybody calls safe is whole at somebody who is bound to keep it. Raises Violation."""
        calls_safe = keeps = 0
        for host in world.hosts:
            kept = self.world.facts(host).kept
            calls_safe |= kept.calls_safe
            keeps |= kept.keeps
        if calls_safe & ~keeps:
            raise Violation("S1", "an output is called safe that nobody who holds it has")

    def _path(self, seen: "_Seen", at: int, last: Move) -> list[str]:
        """Return the moves that lead to a violation, the shortest way there."""
        chain = [seen.nodes[each] for each in seen.way_to(at)]
        told = []
        for before, after in pairwise(chain):
            made = next(move for move in self.moves.names(before) if self._leads(before, move, after))
            told.append(self._tell(before, made))
        return [*told, self._tell(chain[-1], last)]

    def _leads(self, node: Node, move: Move, after: Node) -> bool:
        try:
            return self.moves.after(node, move) == after
        except Broken:
            return False

    def _tell(self, node: Node, move: Move) -> str:
        return f"{node.world.now_ms:6} ms  {self.moves.tell(node, move)}"


class _Seen:
    """All states that were met, in the order in which they were, and by which way each was met first."""

    def __init__(self, first: Node) -> None:
        self.nodes = [first]
        self.worlds = {first.world: None}
        self.depths = array("i", [0])
        self.waiting = deque([0])
        self._known = {first: None}
        self._parents = array("q", [-1])

    def add(self, node: Node, parent: int) -> bool:
        """Take a state; tell whether it is new."""
        if node in self._known:
            return False
        self._known[node] = None
        self.waiting.append(len(self.nodes))
        self.nodes.append(node)
        self._parents.append(parent)
        self.depths.append(self.depths[parent] + 1)
        self.worlds[node.world] = None
        return True

    def way_to(self, at: int) -> list[int]:
        """Return the states on the shortest way to one."""
        chain = [at]
        while self._parents[chain[-1]] >= 0:
            chain.append(self._parents[chain[-1]])
        return chain[::-1]
