"""The walk of a measured crowd: it gathers, rests, is asked, loses a third, wins as many, is cut in two and heals.

Theory: every figure comes from one run, in the order in which a mesh would meet it, so that none of them is that of a
mesh made for it. Between two parts the mesh rests, so that one part's echo is not counted as the next one's cost.

Invariants: what is measured is what the world counted and what cores answered. The module must not know what is good.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.wire.envelope import Signed
from mesh.wire.lookups import Pointer
from sim.crowd import Crowd, Node
from sim.crowd_reach import Reach
from sim.percentile import percentile

GONE_PERCENT = 30
_PART = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long the parts of a run take, and how much is asked in them."""

    jobs: int = 16
    """Live jobs in the mesh set."""
    joins_per_second: int = 50
    """While it gathers."""
    settle_ms: int = 5 * MINUTE_MS
    idle_ms: int = 5 * MINUTE_MS
    reads: int = 1_000
    reads_ms: int = MINUTE_MS
    """Over which these are spread; as long again the last ones have to end."""
    rest_ms: int = 3 * MINUTE_MS
    cut_ms: int = 3 * MINUTE_MS
    heal_ms: int = 10 * MINUTE_MS
    """How long two halves are watched at most."""


SHORT = Course(
    joins_per_second=200,
    settle_ms=2 * MINUTE_MS,
    idle_ms=MINUTE_MS,
    reads_ms=MINUTE_MS // 2,
    rest_ms=MINUTE_MS // 2,
    cut_ms=MINUTE_MS,
    heal_ms=5 * MINUTE_MS,
)
"""For crowds of thousands, of whom each virtual minute takes five real ones and more."""

LARGE = 2_000
"""A crowd of more is watched for less long."""

QUICK = Course(jobs=2, settle_ms=MINUTE_MS, idle_ms=MINUTE_MS, reads=100, rest_ms=MINUTE_MS, cut_ms=MINUTE_MS)
"""A short look, whose figures prove nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes per second and peer over a while, and how they came about."""

    sent: float
    received: float
    sent_by_old: float
    """Of those alone that were up before."""
    kinds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """How often each kind was sent, and its bytes, per second and peer."""


@dataclass(slots=True, kw_only=True)
class Reads:
    """What look-ups found."""

    asked: int = 0
    found: int = 0
    took_ms: list[int] = field(default_factory=list)

    def percentile(self, percent: int) -> int:
        """Return so many per cent of the look-ups' times, in ms."""
        return percentile(self.took_ms, percent)

    @property
    def success(self) -> float:
        """Return the part that found the pointer, in per cent."""
        return 100 * self.found / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """How two halves became one."""

    whole_before: int
    """Peers that were whole before the cut."""
    most_ms: int | None
    """When 99 % of so many were again, after healing; None: not while it was watched."""
    all_ms: int | None
    """When so many were."""
    strangers: int
    """Peers that lack a way to one of their nearest in the end."""
    unknown_heads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one run shows until a while after peers have vanished."""

    seed: int
    idle: Traffic
    quiet: Reads
    vanished: Traffic
    after: Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run shows."""

    peers: int
    seed: int
    idle: Traffic
    quiet: Reads
    vanished: Traffic
    after: Reads
    joined: Traffic
    healing: Healing
    channels: float
    """Mean of a peer, at the end."""
    neighbours: float
    """In its routing table."""


class Walk:
    """One run."""

    def __init__(self, peers: int, seed: int, course: Course, say: Callable[[str], None]) -> None:
        self.peers = peers
        self.seed = seed
        self.course = course
        self._say = say
        self.crowd = Crowd(peers + peers * GONE_PERCENT // 100, seed)

    def lose(self) -> Loss:
        """Go through the first parts: gather, rest, be asked, lose a third, be asked again."""
        crowd, course = self.crowd, self.course
        self.gather()
        idle = self.traffic("rests", course.idle_ms)
        quiet = self.read("quiet")
        crowd.run_for(course.rest_ms)
        for node in self._drawn(crowd.up(), self.peers * GONE_PERCENT // 100):
            node.vanish()
        vanished = self.traffic("a minute after the loss", MINUTE_MS)
        return Loss(seed=self.seed, idle=idle, quiet=quiet, vanished=vanished, after=self.read("after the loss"))

    def measure(self) -> Measured:
        """Go through all parts."""
        crowd, course = self.crowd, self.course
        loss = self.lose()
        crowd.run_for(course.rest_ms)
        for node in crowd.nodes[self.peers :]:
            crowd.after(crowd.draws.below(SECOND_MS), crowd.start, node)
        joined = self.traffic("a minute after the joining", MINUTE_MS)
        crowd.run_for(course.rest_ms)
        healing = self.part_and_heal()
        up = crowd.up()
        return Measured(
            peers=self.peers,
            seed=self.seed,
            idle=loss.idle,
            quiet=loss.quiet,
            vanished=loss.vanished,
            after=loss.after,
            joined=joined,
            healing=healing,
            channels=sum(len(node.channels) for node in up) / len(up),
            neighbours=sum(len(node.peer.whereabouts.dht.table) for node in up) / len(up),
        )

    def gather(self) -> None:
        """Let everybody join, and some submit."""
        crowd, course = self.crowd, self.course
        join_ms = max(MINUTE_MS, SECOND_MS * self.peers // course.joins_per_second)
        for number, node in enumerate(crowd.nodes[: self.peers]):
            crowd.after(join_ms * number // self.peers, crowd.start, node)
        crowd.run_for(join_ms + course.settle_ms // 2)
        self._say("all have joined")
        for node in self._drawn(crowd.up(), course.jobs):
            crowd.submit(node)
        crowd.run_for(course.settle_ms - course.settle_ms // 2)
        self._say("settled")

    def traffic(self, name: str, for_ms: int) -> Traffic:
        """Let time pass, and return what was sent in it."""
        crowd = self.crowd
        before = [(node.sent, node.received, node.up) for node in crowd.nodes]
        kinds = {kind: tuple(counted) for kind, counted in crowd.kinds.items()}
        crowd.run_for(for_ms)
        spent = [
            (node.sent - sent, node.received - received, was_up)
            for node, (sent, received, was_up) in zip(crowd.nodes, before, strict=True)
            if node.up
        ]
        seconds = for_ms / SECOND_MS
        up, old = len(spent), sum(was_up for _, _, was_up in spent)
        by_kind = {}
        for kind, (times, size) in crowd.kinds.items():
            times_before, size_before = kinds.get(kind, (0, 0))
            if times > times_before:
                name_of = kind if isinstance(kind, str) else kind.__name__
                by_kind[name_of] = ((times - times_before) / seconds / up, (size - size_before) / seconds / up)
        sent_by_all = sum(sent for sent, _, _ in spent) / seconds / up
        self._say(f"{name}: {sent_by_all:.0f} B/s sent by each")
        return Traffic(
            sent=sent_by_all,
            received=sum(received for _, received, _ in spent) / seconds / up,
            sent_by_old=sum(sent for sent, _, was_up in spent if was_up) / seconds / old,
            kinds=by_kind,
        )

    def read(self, name: str) -> Reads:
        """Let random peers that are up read the pointers of others that are, and wait for the last."""
        crowd, count, reads_ms = self.crowd, self.course.reads, self.course.reads_ms
        reads = Reads()
        up = crowd.up()
        began_ms = crowd.now_ms
        for number in range(count):
            crowd.run_to(began_ms + reads_ms * number // count)
            asker, wanted = (up[crowd.draws.below(len(up))] for _ in range(2))
            if asker is not wanted:
                self._ask(reads, asker, wanted.id)
        crowd.run_to(began_ms + 2 * reads_ms)
        self._say(f"look-ups, {name}: {reads.found} of {reads.asked}, p50 {reads.percentile(50)} ms")
        return reads

    def part_and_heal(self) -> Healing:
        """Cut the mesh in two, submit on each side, heal, and see when it is one again."""
        crowd, course = self.crowd, self.course
        reach = Reach(crowd)
        up = crowd.up()
        whole_before = len(up) - len(reach.lacking())
        crowd.net.cut = True
        crowd.run_for(course.cut_ms // 2)
        for side in range(2):
            crowd.submit(next(node for node in up if node.side == side))
        crowd.run_for(course.cut_ms - course.cut_ms // 2)
        self._say("parted")
        crowd.net.mend()
        healed_ms = crowd.now_ms
        most_ms: int | None = None
        lacking = reach.lacking()
        while crowd.now_ms - healed_ms < course.heal_ms:
            crowd.run_for(SECOND_MS)
            lacking = reach.lacking(lacking)
            if len(up) - len(lacking) >= whole_before:
                lacking = reach.lacking()  # who was whole a while ago may have lost somebody since
            whole = len(up) - len(lacking)
            if most_ms is None and 100 * whole >= 99 * whole_before:
                most_ms = crowd.now_ms - healed_ms
            if whole >= whole_before:
                break
        else:
            healed_ms = -1
        self._say("healed")
        return Healing(
            whole_before=whole_before,
            most_ms=most_ms,
            all_ms=crowd.now_ms - healed_ms if healed_ms >= 0 else None,
            strangers=reach.strangers(),
            unknown_heads=reach.unknown_heads(),
        )

    def _ask(self, reads: Reads, asker: Node, wanted: PeerId) -> None:
        reads.asked += 1
        since_ms = self.crowd.now_ms

        def answered(pointer: Signed[Pointer] | None) -> None:
            reads.found += pointer is not None and pointer.author == wanted
            reads.took_ms.append(self.crowd.now_ms - since_ms)

        self.crowd.ask(asker, wanted, answered)

    def _drawn(self, nodes: list[Node], count: int) -> list[Node]:
        return sorted(nodes, key=lambda _: self.crowd.draws.below(_PART))[:count]


def course_for(peers: int) -> Course:
    """Return how long a crowd of that size is watched."""
    return SHORT if peers > LARGE else Course()


def measure(peers: int, seed: int, course: Course, say: Callable[[str], None] = lambda _what: None) -> Measured:
    """Run one crowd of `peers`, and as many more as vanish; `say` hears of each part that is done."""
    return Walk(peers, seed, course, say).measure()
