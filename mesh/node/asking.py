"""Asking the core what a person asked: a command goes in as an event, its `Reply` comes back to whoever waits.

Invariants: a reply reaches the one who asked and nobody else; who no longer waits is forgotten. What changed in the
core since somebody looked is told to all who watch, by one event that is renewed."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from mesh.core.effects import Accepted, Declined, Done, Freed, Looked, PeerFound, ReachFound, Reply, Ruled
from mesh.core.events import Event, LookAsked
from mesh.core.status import StoreView
from mesh.core.stock import FreeAsked, StoreAsked
from mesh.ground.ids import JobId

LOOKING_PART: Final = 0.05
"""Of the loop's time that looking at a job may take: one at 10,000 frames takes 0.14 s, and heartbeats go on."""

WATCH_S: Final = 0.5
"""Who watches hears at most twice a second, and of a file that was written at once."""

_Answer: TypeAlias = Accepted | Ruled | Done | Declined | PeerFound | Looked | ReachFound | Freed | StoreView


def pause_s(took_s: float, least_s: float) -> float:
    """Return how long to wait after a look that took `took_s`, before the next one."""
    return max(least_s, took_s / LOOKING_PART - took_s)


class Asking:
    """Commands under way."""

    def __init__(self, tell: Callable[[Event], Awaitable[None]]) -> None:
        self._tell = tell
        self._ops = itertools.count(1)
        self._waiting: dict[int, trio.MemorySendChannel[_Answer]] = {}

    async def ask(self, event: Callable[[int], Event]) -> Accepted | Declined:
        """Tell the core the event that `event` makes of an op, which is about a job, and return the reply."""
        reply = await self._answer(event)
        assert isinstance(reply, Accepted | Declined)
        return reply

    async def rule(self, event: Callable[[int], Event]) -> Ruled | Declined:
        """Do the same with an event by which a person rules on pictures."""
        reply = await self._answer(event)
        assert isinstance(reply, Ruled | Declined)
        return reply

    async def order(self, event: Callable[[int], Event]) -> Done | Declined:
        """Do the same with an event that is about no job."""
        reply = await self._answer(event)
        assert isinstance(reply, Done | Declined)
        return reply

    async def reach(self, event: Callable[[int], Event]) -> ReachFound:
        """Do the same with a question about reach, and return what was found."""
        reply = await self._answer(event)
        assert isinstance(reply, ReachFound)
        return reply

    async def locate(self, event: Callable[[int], Event]) -> PeerFound:
        """Do the same with a question where a peer is, and return what was found."""
        reply = await self._answer(event)
        assert isinstance(reply, PeerFound)
        return reply

    async def look(self, job: JobId) -> bool:
        """Have what others know of a job's frames brought here; tell whether all of it is, after a moment at most."""
        reply = await self._answer(lambda op: LookAsked(op=op, job=job))
        return isinstance(reply, Looked) and reply.whole

    async def free(self, size: int) -> Freed:
        """Have so many bytes of cache deleted, and return how many were."""
        reply = await self._answer(lambda op: FreeAsked(op=op, size=size))
        assert isinstance(reply, Freed)
        return reply

    async def store(self) -> StoreView:
        """Return what the store holds, and for whom."""
        reply = await self._answer(lambda op: StoreAsked(op=op))
        assert isinstance(reply, StoreView)
        return reply

    async def _answer(self, event: Callable[[int], Event]) -> _Answer:
        op = next(self._ops)
        replies_in, replies = trio.open_memory_channel[_Answer](1)
        self._waiting[op] = replies_in
        try:
            await self._tell(event(op))
            return await replies.receive()
        finally:
            self._waiting.pop(op, None)

    async def mention(self, event: Callable[[int], Event]) -> None:
        """Tell the core an event whose answer shows elsewhere."""
        await self._tell(event(next(self._ops)))

    def reply(self, effect: Reply) -> None:
        """Pass a reply on."""
        self._pass_on(effect.op, effect.reply)

    def found(self, effect: ReachFound) -> None:
        """Pass on what was found about reach."""
        self._pass_on(effect.op, effect)

    def _pass_on(self, op: int, answer: _Answer) -> None:
        waiting = self._waiting.pop(op, None)
        if waiting is not None:
            waiting.send_nowait(answer)


class Changes:
    """Wakes all who watch, whenever something may have changed."""

    def __init__(self) -> None:
        self._changed = trio.Event()
        self._written = trio.Event()
        self.seen = Seen()
        """What whoever looks now knows of."""

    def note(self, *, written: bool = False) -> None:
        """Wake everybody who waits now; `written`: a person's file is there, or is known not to come."""
        self.seen = Seen(turns=self.seen.turns + 1, files=self.seen.files + written)
        self._changed.set()
        self._changed = trio.Event()
        if written:
            self._written.set()
            self._written = trio.Event()

    async def wait(self) -> None:
        """Return at the next change after this call."""
        await self._changed.wait()

    async def worth_looking(self, seen: "Seen", took_s: float) -> None:
        """Return when to look again, after a look that took so long and was begun when so much was seen."""
        must_s = pause_s(took_s, 0.0)
        await trio.sleep(must_s)
        with trio.move_on_after(max(0.0, WATCH_S - must_s)):
            while self.seen.files == seen.files:
                await self._written.wait()
        while self.seen == seen:
            await self.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How often the core was told something, and how many of these were files that were written, or could not be."""

    turns: int = 0
    files: int = 0
