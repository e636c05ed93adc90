"""The driver: one task that owns the core, hears events one at a time and passes their effects on.

Theory: everything that happens to a peer becomes an event in one bounded queue. One task takes them in order, reads
both clocks, calls the core, and hands the effects to whoever performs them. The core is never entered from anywhere
else, so that it needs no locks and a recorded tape of (now, event) replays to the same effects. A channel waits until
what it heard was handled before it hears more, so that all of them take turns, however much one of them has to say.

Invariants: whoever tells an event waits while the queue is full, so that a flood slows the flooder down and memory
stays bounded; nobody who performs effects ever waits for this queue, so that the two cannot wait for each other. After
`Stopped` no event is handled. A broken rule inside the core ends the peer with its story: the last events and where it
broke.

The module must not know what events or effects mean, except that timers fire and that stopping stops.
"""

import heapq
import itertools
import math
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

import trio

from mesh.core.effects import Effect, SetTimer
from mesh.core.events import Event, TimerFired
from mesh.core.timers import Timer
from mesh.ground.errors import BugError
from mesh.ground.instants import Instant, Now
from mesh.ports.world import World

EVENTS_MAX: Final = 256
"""Events that wait for the core; a turn takes well under a millisecond, so that this is a tenth of a second's work."""

STORY_EVENTS: Final = 40
"""Events told when a rule is broken: those of the last second or two, mostly."""

_STORY_LINE_MAX: Final = 400

NAP_S: Final = 1.0
"""The longest sleep between looks at the clock: the loop's own one stands still while the machine sleeps."""

Over: TypeAlias = Callable[[int], None]
"""Told when an event's turn is over: how many nanoseconds of a processor it took."""


class Core(Protocol):
    """What the driver needs of a core."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Return what follows from `event`."""
        ...


class Turns(Protocol):
    """What a driver tells of its turns to whoever records them; none of it may wait or raise."""

    def heard(self, now: Now, event: Event) -> None:
        """Take what the core is about to hear."""
        ...

    def asked(self, effects: Sequence[Effect]) -> None:
        """Take what it asked for."""
        ...

    def broke(self, error: Exception) -> None:
        """Take by what error the core ended instead."""
        ...


class Driver:
    """The only caller of the core's `handle`."""

    def __init__(
        self,
        core: Core,
        *,
        world: World,
        perform: Callable[[Sequence[Effect]], Awaitable[None]],
        tape: Turns | None = None,
    ) -> None:
        self._core = core
        self._world = world
        self._perform = perform
        self._tape = tape
        self._inbox, self._events = trio.open_memory_channel[tuple[Event, Over | None]](EVENTS_MAX)
        self._recent: deque[tuple[Now, Event]] = deque(maxlen=STORY_EVENTS)
        self._watchers: list[Callable[[Event], None]] = []
        self._stopped = False

    async def tell(self, event: Event, over: Over | None = None) -> None:
        """Queue `event`, waiting while the queue is full; tell `over`, which must be quick, when its turn has ended."""
        await self._inbox.send((event, over))

    async def heard(self, event: Event) -> int:
        """Do the same, wait until its turn is over, and return how many nanoseconds of a processor that took."""
        spent: list[int] = []
        done = trio.Event()

        def over(spent_ns: int) -> None:
            spent.append(spent_ns)
            done.set()

        await self.tell(event, over)
        await done.wait()
        return spent[0]

    def hint(self, event: Event) -> bool:
        """Queue an event that may as well be lost, without waiting; return whether it was queued."""
        try:
            self._inbox.send_nowait((event, None))
        except trio.WouldBlock:
            return False
        return True

    def watch(self, changed: Callable[[Event], None]) -> None:
        """Call `changed` with the event after every turn; it must be quick."""
        self._watchers.append(changed)

    def stop(self) -> None:
        """Handle no further event."""
        self._stopped = True

    async def run(self) -> None:
        """Handle events until stopped; raise `BugError` when the core breaks a rule of its own."""
        async for event, over in self._events:
            if self._stopped:
                return
            begun_ns = self._world.spent_ns()
            effects = self._turn(event)
            if over is not None:
                over(self._world.spent_ns() - begun_ns)
            await self._perform(effects)
            for changed in self._watchers:
                changed(event)

    def _turn(self, event: Event) -> list[Effect]:
        now = self._world.now()
        self._recent.append((now, event))
        if self._tape is not None:
            self._tape.heard(now, event)
        try:
            effects = self._core.handle(now, event)
        except Exception as error:
            if self._tape is not None:
                self._tape.broke(error)
            raise BugError(self._story()) from error
        if self._tape is not None:
            self._tape.asked(effects)
        return effects

    def _story(self) -> str:
        """Tell the last events, oldest first, and where the rule broke."""
        lines = [f"{now.instant} {event!r}"[:_STORY_LINE_MAX] for now, event in self._recent]
        return "\n".join(["the last events:", *lines, "", traceback.format_exc()])


class Alarms:
    """The core's timers: a heap, and one task that sleeps until the next."""

    def __init__(self, world: World, tell: Callable[[Event], Awaitable[None]]) -> None:
        self._world = world
        self._tell = tell
        self._heap: list[tuple[Instant, int, Timer]] = []
        self._order = itertools.count()
        self._sooner = trio.Event()

    def set(self, effect: SetTimer) -> None:
        """Fire the effect's timer at its instant, or at once if that has passed."""
        if not self._heap or effect.at < self._heap[0][0]:
            self._sooner.set()
        heapq.heappush(self._heap, (effect.at, next(self._order), effect.timer))

    async def run(self) -> None:
        """Fire timers, in the order of their instants, for ever."""
        while True:
            self._sooner = trio.Event()
            left_ms = self._heap[0][0] - self._world.now().instant if self._heap else math.inf
            if left_ms <= 0:
                _, _, timer = heapq.heappop(self._heap)
                await self._tell(TimerFired(timer=timer))
                continue
            with trio.move_on_after(min(left_ms / 1000, NAP_S)):
                await self._sooner.wait()
