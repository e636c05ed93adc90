"""The executor: performs the core's effects, in their order, with one fsync for as many as possible.

Theory: effects queue up while the disk is busy. Each round takes all that wait: those before the first `Append` are
performed at once, then the entries of *every* `Append` of the round go to the journal in one fsync, then the rest is
performed in order. No effect leaves before an `Append` that was asked before it, which is all that the core relies on;
that entries of a later `Append` reach the disk a little sooner than they must harms nobody.

Invariants: performing never waits (what takes time is started as a task and answers by an event), so that a slow peer,
disk or renderer delays nobody else. At most `EFFECTS_MAX` effects wait; the driver waits beyond that.

The module must not know what any effect but `Append` does: that is in the routes it was given.
"""

import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, get_args

import trio

from mesh.core.effects import Append, Effect
from mesh.ground.errors import BugError
from mesh.ports.storage import Journal
from mesh.ports.world import World
from mesh.wire import kept

EFFECTS_MAX: Final = 4_096
"""Effects that wait for the disk: what the busiest keeper's core asks for in some seconds."""

STORY_MAX: Final = 2_000
"""Characters of an effect in a bug's story."""

Route: TypeAlias = Callable[[Any], None]
"""Performs, or starts to perform, one effect; it never waits."""


class Executor:
    """Performs effects by their routes."""

    def __init__(self, *, world: World, journal: Journal, routes: Mapping[type[Effect], Route]) -> None:
        unrouted = {kind for kind in get_args(Effect) if kind is not Append} ^ set(routes)
        assert not unrouted, f"effects without a route, or routes without an effect: {unrouted}"
        self._world = world
        self._journal = journal
        self._routes = routes
        self._waiting: deque[Effect] = deque()
        self._work = trio.Event()
        self._room = trio.Event()

    async def take(self, effects: Sequence[Effect]) -> None:
        """Queue `effects` to be performed, waiting while too many others are."""
        self._waiting.extend(effects)
        self._work.set()
        while len(self._waiting) > EFFECTS_MAX:
            self._room = trio.Event()
            await self._room.wait()

    async def run(self) -> None:
        """Perform effects for ever; raise what the journal raises, since nothing may be said that is not kept."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            await self._round()

    async def _round(self) -> None:
        """Perform all that waits now."""
        self._perform_up_to_append()
        if not self._waiting:
            return
        effects = tuple(self._waiting)
        entries = [kept.encode(entry) for effect in effects if isinstance(effect, Append) for entry in effect.entries]
        await self._world.in_thread(lambda: self._journal.append(entries))
        for _ in effects:
            effect = self._waiting.popleft()
            if not isinstance(effect, Append):
                self._do(effect)
        self._room.set()
        if self._waiting:
            self._work.set()

    def _perform_up_to_append(self) -> None:
        while self._waiting and not isinstance(self._waiting[0], Append):
            self._do(self._waiting.popleft())
        self._room.set()

    def _do(self, effect: Effect) -> None:
        try:
            self._routes[type(effect)](effect)
        except Exception as error:
            # A route starts something and waits for nothing, so that whatever it raises is a fault of ours.
            raise BugError(f"performing {effect!r}"[:STORY_MAX] + f"\n{traceback.format_exc()}") from error
