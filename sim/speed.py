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


def hundred(minutes: int = 60) -> Scenario:
    """Return a hundred peers of which 99 render one job after the other: 30 % of them are killed an hour, for a minute.

    Each of six submits a job every ten minutes, which takes a little longer.
    """
    killed = range(1, minutes * MINUTE_MS // _KILL_EACH_MS)
    acts = [(7 * number % 99, number * _KILL_EACH_MS) for number in killed]
    return Scenario(
        name="hundred",
        peers=100,
        renderers=99,
        submitters=(99,),
        jobs=max(1, minutes // JOB_MINUTES),
        frames=_FRAMES_PER_MINUTE * min(minutes, JOB_MINUTES),
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
