"""How fast the real core runs in the simulator: events a second, and what a virtual hour of a hundred peers costs.

Theory: an event is what the world's heap holds and `World.events` counts: a message or datagram that arrives, a timer,
an answer of a disk or renderer, and the few acts of the world itself. Nearly each is one turn of a whole core. Time is
that of the processor, since machines are shared; everything is in it: core, codecs, network, disks, checkers, trace.

Invariants: the run is an ordinary one, with every checker on. The module must not know how anything is shown.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.core.effects import Effect
from mesh.core.events import DatagramHeard, Event, MessageHeard, TimerFired
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS, Now
from sim.host import Core, Host
from sim.infront import InFront
from sim.parcels import Wire
from sim.run import uncollected
from sim.scenario import Act, Scenario
from sim.world import World, real_core

JOB_MINUTES: Final = 10
"""What a job of the hundred takes, so that the next one is there before it ends."""

_FRAMES_PER_MINUTE = 195
"""What 99 slots of a mean speed of 80 % render of frames of 25 s, and a little more."""

_KILL_EACH_MS = 2 * MINUTE_MS
"""Of each hundred peers one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the core's turns cost that one kind of event began."""

    name: str
    turns: int
    processor_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one run took; `processor_s` is all of it, `kinds` what of it the core's turns are, where they were timed."""

    wire: Wire
    seed: int
    peers: int
    events: int
    turns: int
    virtual_ms: int
    processor_s: float
    kinds: tuple[Kind, ...]
    trace: str

    @property
    def events_per_s(self) -> float:
        """How many events a second of the processor handles."""
        return self.events / self.processor_s

    @property
    def hour_s(self) -> float:
        """What a virtual hour takes."""
        return self.processor_s * HOUR_MS / self.virtual_ms


def busy(peers: int = 100, minutes: int = 60) -> Scenario:
    """Return so many peers, of which one submits and all others render one job after the other.

    A new job comes every ten minutes, and takes a little longer. 30 % of all are killed an hour, each for a minute.
    """
    last, each_ms = peers - 1, 100 * _KILL_EACH_MS // peers
    killed = range(1, minutes * MINUTE_MS // each_ms)
    acts = [(7 * number % last, number * each_ms) for number in killed]
    return Scenario(
        name="busy",
        peers=peers,
        renderers=last,
        submitters=(last,),
        jobs=max(1, minutes // JOB_MINUTES),
        frames=_FRAMES_PER_MINUTE * peers * min(minutes, JOB_MINUTES) // 100,
        frame_ms=25 * SECOND_MS,
        submit_at_ms=15 * SECOND_MS,
        submit_every_ms=JOB_MINUTES * MINUTE_MS,
        safety_ms=minutes * MINUTE_MS,
        least_ms=minutes * MINUTE_MS,
        script=tuple(
            act
            for peer, at_ms in acts
            for act in (
                Act(at_ms=at_ms, what="kill", peers=(peer,)),
                Act(at_ms=at_ms + MINUTE_MS, what="start", peers=(peer,)),
            )
        ),
    )


class _Timed(InFront):
    """The peer that the project ships, with a clock at each turn."""

    def __init__(self, host: Host, inner: Core, spent_s: defaultdict[str, float], turns: Counter[str]) -> None:
        super().__init__(host, inner)
        self._spent_s, self._turns = spent_s, turns

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Take one event to its end and note what that took."""
        began_s = time.process_time()
        effects = super().handle(now, event)
        name = _name_of(event)
        self._spent_s[name] += time.process_time() - began_s
        self._turns[name] += 1
        return effects


def measure(scenario: Scenario, wire: Wire, seed: int, *, timed: bool = False) -> Speed:
    """Run a scenario once; `timed`: tell kinds of turns apart, for which two clocks are read at each.

    Raises `Violation` where a rule is broken.
    """
    spent_s, turns = defaultdict[str, float](float), Counter[str]()

    def make_timed(host: Host, core_seed: bytes) -> Core:
        return _Timed(host, real_core(host, core_seed), spent_s, turns)

    make_core: Callable[[Host, bytes], Core] = make_timed if timed else real_core
    began_s = time.process_time()
    world = World(scenario, seed, wire=wire, make_core=make_core)
    with uncollected():
        world.run()
    return Speed(
        wire=wire,
        seed=seed,
        peers=world.scenario.peers,
        events=world.events,
        turns=world.trace.turns,
        virtual_ms=world.now_ms,
        processor_s=time.process_time() - began_s,
        kinds=tuple(
            Kind(name=name, turns=turns[name], processor_s=spent)
            for name, spent in sorted(spent_s.items(), key=lambda one: -one[1])
        ),
        trace=world.trace.hexdigest(),
    )


def _name_of(event: Event) -> str:
    """Return what tells kinds of events apart: of messages and timers, what they say."""
    match event:
        case MessageHeard() | DatagramHeard():
            return f"{type(event).__name__} {type(event.message).__name__}"
        case TimerFired():
            return f"TimerFired {type(event.timer).__name__}"
        case _:
            return type(event).__name__
