"""What may happen next in a small world: the states of its hosts, what is on the way between them, and who is slow.

Theory: all that happens comes from *sources*: the channel from one host to another, a host's disk, its work with blobs
and files, its renders, its timers. Each gives what it has in order. A source that is prompt gives it as soon as it can,
all of them in one fixed order, so that alone they make one single run; time passes when none has anything left. A
source that is slow gives what it has at any later moment, or never: that is all the choice there is, besides faults.
With every source slow there is every interleaving; with a few, all in which no others race, over far longer spans.

A channel delays at will and never reorders; what it loses is its end. Of a host that dies what it sent arrives, or is
cut short at any place, and then its end is heard. Two hosts have a new channel when one dials.

Invariants: a world is a tuple of numbers, and what happens next depends on nothing else.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from sim.small_world import Act, Outcome, SmallWorld
from sim.trace import describe

Link: TypeAlias = tuple[Any, ...]
"""Of two hosts: is the line cut; does the first, and does the second, hold a channel; what is on its way to the second,
and to the first."""

Move: TypeAlias = tuple[Any, ...]
"""What happens: whose it is, and what; or that a source becomes slow."""

Source: TypeAlias = tuple[int, ...]
"""Of which kind it is, and whose; a channel's two hosts are who sends and who hears."""

WHOLE: Link = (False, False, False, (), ())

DISK, WORK, RENDER, TIMER, CHANNEL = range(5)
_KINDS = ("disk", "work", "renders", "timers")
_PROMPT_ORDER = (DISK, WORK, CHANNEL, TIMER, RENDER)


class World(NamedTuple):
    """All hosts and all that is on the way, at one moment."""

    now_ms: int
    hosts: tuple[int, ...]
    links: tuple[Link, ...]


class Node(NamedTuple):
    """A world, which sources are slow in it, and what may still go wrong."""

    world: World
    slow: int
    slowed: int
    """How many more may become slow."""
    crashes: int
    cuts: int
    asks: int


class Broken(Exception):
    """A rule was broken by a move."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far an exploration goes."""

    until_ms: int
    slow: int = 0
    """Sources that may become slow, each at any moment."""
    slow_already: tuple[Source, ...] = ()
    """Sources that are slow from the beginning."""
    all_slow: bool = False
    crashes: int = 0
    """Hosts that lose power, each at any moment, and come back at any later one, or not."""
    cuts: int = 0
    """Lines that break, each at any moment, and are mended at any later one, or not."""
    cancel: bool = False
    """Whether the submitter cancels, at any moment, or not."""


class Moves:
    """The rules of what may happen next."""

    def __init__(self, small: SmallWorld, bounds: Bounds) -> None:
        self._small = small
        self._bounds = bounds
        self._peers = len(small.hosts)
        peers = range(self._peers)
        self._pairs = [(one, other) for one in peers for other in peers if one < other]
        self._link = {pair: at for at, pair in enumerate(self._pairs)}
        self.sources: list[Source] = [(kind, host) for kind in range(CHANNEL) for host in peers]
        self.sources += [(CHANNEL, one, other) for one in peers for other in peers if one != other]
        self._order = sorted(range(len(self.sources)), key=lambda at: (_PROMPT_ORDER.index(self.sources[at][0]), at))
        slow = self.sources if bounds.all_slow else bounds.slow_already
        self.slow = sum(1 << self.sources.index(source) for source in slow)
        """Which sources are slow from the beginning."""

    def describe(self, source: int) -> str:
        """Return a source's name."""
        kind, *hosts = self.sources[source]
        return f"p{hosts[0]}'s {_KINDS[kind]}" if kind < CHANNEL else f"the channel from p{hosts[0]} to p{hosts[1]}"

    def tell(self, node: Node, move: Move) -> str:
        """Return a line for people about a move."""
        match move:
            case ("act", source, ("hear", host, number)):
                to = self.sources[source][2]
                names: dict[bytes, str] = {each.peer_id: each.name for each in self._small.hosts}
                return f"p{to} hears p{host}: {describe(self._small.shared.thing(number), names)}"
            case ("act", source, ("timer",)):
                host = self.sources[source][1]
                due = self._small.facts(node.world.hosts[host]).site.timers[0]
                return f"p{host}'s timer of {due[0]} ms: {describe(self._small.shared.thing(due[1]), {})}"
            case ("act", source, ("work", found)):
                host = self.sources[source][1]
                work = self._small.facts(node.world.hosts[host]).site.works[0]
                return f"p{host} ends {describe(self._small.shared.thing(work), {})}{'' if found else ', in vain'}"
            case ("act", source, act):
                return f"{self.describe(source)}: {' '.join(map(str, act))}"
            case ("slow", source):
                return f"{self.describe(source)} becomes slow"
            case ("crash", host, survive, landed):
                return f"p{host} loses power; {survive} unsynced entries survive{', files landed' if landed else ''}"
            case _:
                return " ".join(map(str, move))

    # What may happen.

    def names(self, node: Node) -> list[Move]:
        """Return what may happen next."""
        world, prompt = node.world, None
        found: list[Move] = []
        for source in self._order:
            act = self._next(world, source)
            if act is None:
                continue
            if node.slow >> source & 1:
                found.append(("act", source, act))
            elif prompt is None:
                prompt = source
                found.append(("act", source, act))
                if node.slowed:
                    found.append(("slow", source))
        if prompt is None:
            later = self._later(world)
            if later is not None:
                found.append(("wait", later))
        self._add_faults(node, found)
        return found

    def prompt(self, node: Node) -> Move | None:
        """Return what happens next where whatever is slow gives nothing."""
        for source in self._order:
            act = None if node.slow >> source & 1 else self._next(node.world, source)
            if act is not None:
                return ("act", source, act)
        later = self._later(node.world)
        return ("wait", later) if later is not None else None

    def _add_faults(self, node: Node, found: list[Move]) -> None:
        world = node.world
        for host in range(self._peers):
            site = self._small.facts(world.hosts[host]).site
            if not site.up:
                found.append(("start", host))
            elif node.crashes:
                landing = (False, True) if site.works else (False,)
                found += [
                    ("crash", host, survive, landed) for survive in range(len(site.written) + 1) for landed in landing
                ]
        for at, link in enumerate(world.links):
            if link[0]:
                found.append(("mend", at))
            elif node.cuts and link[1] and link[2]:
                found.append(("cut", at))
            for to, queue in ((1, link[3]), (0, link[4])):
                if len(queue) > 1 and queue[-1][0] == "closed" and (len(queue) > 2 or queue[0][0] != "opened"):
                    found.append(("short", at, to))
        if node.asks and self._small.facts(world.hosts[self._small.submitter]).site.up:
            found.append(("cancel",))

    def _next(self, world: World, source: int) -> Act | None:
        """Return what a source has to give next."""
        kind, host, *to = self.sources[source]
        if kind == CHANNEL:
            return self._arriving(world, host, to[0])
        facts = self._small.facts(world.hosts[host])
        site = facts.site
        if not site.up:
            return None
        if kind == DISK:
            return ("sync",) if site.written else None
        if kind == RENDER:
            return ("render",) if _is_past(facts.rendered_ms, world.now_ms) else None
        if kind == TIMER:
            return ("timer",) if _is_past(facts.first_due_ms, world.now_ms) else None
        if site.dials:
            return ("dial", site.dials[0])
        if site.works:
            return ("work", facts.fetches is None or self._has(world, host, *facts.fetches))
        return None

    def _has(self, world: World, host: int, other: int, blob: bytes) -> bool:
        site = self._small.facts(world.hosts[other]).site
        return site.up and blob in site.blobs and not self._between(world, host, other)[0]

    def _between(self, world: World, one: int, other: int) -> Link:
        return world.links[self._link[min(one, other), max(one, other)]]

    def _arriving(self, world: World, sender: int, to: int) -> Act | None:
        """Return what a host hears next of another; nothing is heard by who does not run."""
        link = self._between(world, sender, to)
        queue = link[3] if sender < to else link[4]
        return queue[0] if queue else None

    def _later(self, world: World) -> int | None:
        facts = [self._small.facts(host) for host in world.hosts]
        dues = [due for each in facts for due in (each.first_due_ms, each.rendered_ms)]
        later = min((due for due in dues if due is not None and due > world.now_ms), default=None)
        return later if later is not None and later <= self._bounds.until_ms else None

    # What it leads to.

    def after(self, node: Node, move: Move) -> Node:
        """Return what a move leads to. Raises `Broken`."""
        world = node.world
        match move:
            case ("act", source, act):
                return node._replace(world=self._give(world, source, act))
            case ("slow", source):
                return node._replace(slow=node.slow | 1 << source, slowed=node.slowed - 1)
            case ("wait", later):
                return node._replace(world=world._replace(now_ms=later))
            case ("start", host):
                return node._replace(world=self.does(world, host, ("start",)))
            case ("crash", host, survive, landed):
                world = self.does(world, host, ("crash", survive, landed))
                for other in range(self._peers):
                    if other != host:
                        world = self._hang_up(world, host, other, clean=False)
                return node._replace(world=world, crashes=node.crashes - 1)
            case ("cut", at):
                one, other = self._pairs[at]
                world = self._cut(world, one, other)
                return node._replace(world=world, cuts=node.cuts - 1)
            case ("mend", at):
                return node._replace(world=_with(world, at, (False, *world.links[at][1:])))
            case ("short", at, to):
                link = list(world.links[at])
                queue = link[4 - to]
                link[4 - to] = (*(item for item in queue[:1] if item[0] == "opened"), queue[-1])
                return node._replace(world=_with(world, at, tuple(link)))
            case _:
                return node._replace(world=self.does(world, self._small.submitter, ("cancel",)), asks=0)

    def _give(self, world: World, source: int, act: Act) -> World:
        kind, host, *to = self.sources[source]
        if kind != CHANNEL:
            return self._dial(world, host, act[1]) if act[0] == "dial" else self.does(world, host, act)
        at, hearer = self._link[min(host, to[0]), max(host, to[0])], int(host < to[0])
        link: list[Any] = list(world.links[at])
        link[4 - hearer] = link[4 - hearer][1:]
        if act[0] == "closed":
            link[1 + hearer] = False
        return self.does(_with(world, at, tuple(link)), to[0], act)

    def does(self, world: World, host: int, act: Act) -> World:
        """Let a host do something, and put on the way what leaves it. Raises `Broken`."""
        outcome: Outcome = self._small.act(world.hosts[host], act, world.now_ms)
        if outcome.broken is not None:
            raise Broken(outcome.broken)
        hosts = (*world.hosts[:host], outcome.state, *world.hosts[host + 1 :])
        world = world._replace(hosts=hosts)
        for what, other, message in outcome.outs:
            if what == "close":
                world = self._hang_up(world, host, other, clean=True)
            else:
                world = self._send(world, host, other, ("hear", host, message))
        return world

    def _send(self, world: World, host: int, other: int, item: Act) -> World:
        at, forth = self._link[min(host, other), max(host, other)], host < other
        link = world.links[at]
        if link[0] or not (link[1] and link[2]) or _closing(link):
            return world
        if forth:
            return _with(world, at, (*link[:3], (*link[3], item), link[4]))
        return _with(world, at, (*link[:4], (*link[4], item)))

    def _hang_up(self, world: World, host: int, other: int, *, clean: bool) -> World:
        """End a host's end of its channel: it hears nothing more of it, and the other end of it hears so."""
        at, forth = self._link[min(host, other), max(host, other)], host < other
        link = list(world.links[at])
        mine, theirs, hears, told = (1, 2, 4, 3) if forth else (2, 1, 3, 4)
        if link[mine]:
            link[mine], link[hears] = False, ()
            if link[theirs]:
                link[told] = (*link[told], ("closed", host, clean))
        return _with(world, at, tuple(link))

    def _cut(self, world: World, one: int, other: int) -> World:
        """Break a line: what is on its way may still arrive, and then both hear the end."""
        at = self._link[one, other]
        link = list(world.links[at])
        link[0] = True
        if not _closing(tuple(link)):
            link[3] = (*link[3], ("closed", one, False))
            link[4] = (*link[4], ("closed", other, False))
        return _with(world, at, tuple(link))

    def _dial(self, world: World, host: int, other: int) -> World:
        at = self._link[min(host, other), max(host, other)]
        link = world.links[at]
        peer = self._small.facts(world.hosts[other]).site
        if link[0] or not peer.up:
            return self.does(world, host, ("failed", other, not link[0]))
        world = self.does(world, host, ("dialled", other))
        if link[1] and link[2] and not _closing(link):
            return world
        for end, across, open_here in (
            (host, other, link[1 + (host > other)]),
            (other, host, link[1 + (other > host)]),
        ):
            if open_here:
                world = _with(world, at, (False, False, False, (), ()))
                world = self.does(world, end, ("closed", across, False))
        return self.open(world, host, other)

    def open(self, world: World, host: int, other: int) -> World:
        """Let two hosts have a channel that the first of them dialled."""
        lives = [self._small.facts(each).site.life for each in world.hosts]
        at = self._link[min(host, other), max(host, other)]
        to_other, to_host = ("opened", host, lives[host], False), ("opened", other, lives[other], True)
        forth, back = (to_other, to_host) if host < other else (to_host, to_other)
        return _with(world, at, (False, True, True, (forth,), (back,)))


def _with(world: World, at: int, link: Any) -> World:
    return world._replace(links=(*world.links[:at], link, *world.links[at + 1 :]))


def _is_past(due_ms: int | None, now_ms: int) -> bool:
    return due_ms is not None and due_ms <= now_ms


def _closing(link: Link) -> bool:
    return any(queue and queue[-1][0] == "closed" for queue in (link[3], link[4]))
