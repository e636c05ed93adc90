"""Peers with one thing broken each that only some order of events shows: the search through small worlds finds it."""

import dataclasses

from mesh.core.effects import Append, Effect, Export, FetchPieces, Send, WritePage
from mesh.core.events import Event, MessageHeard, Started
from mesh.ground.instants import Now
from mesh.wire.envelope import Signed
from mesh.wire.kept import Kept, KeptEntries
from mesh.wire.messages import Entries, Verdict
from mesh.wire.records import Entry, Result, SealPage
from sim.cheats import Cheat

_OP = 10**6


class SaysYoursToAll(Cheat):
    """A keeper that lets whoever claims a frame render it."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Turn each `taken` into `yours`."""
        return [_yours(effect) for effect in self.inner.handle(now, event)]


def _yours(effect: Effect) -> Effect:
    if isinstance(effect, Send) and isinstance(effect.message, Verdict):
        return dataclasses.replace(effect, message=dataclasses.replace(effect.message, yours=True))
    return effect


class DeliversAnew(Cheat):
    """S3: writes a picture that came later over the one that it has delivered."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Fetch and write each other result that it hears of a task whose file lies there already."""
        if getattr(event, "op", None) == _OP:
            return []
        effects = self.inner.handle(now, event)
        if isinstance(event, MessageHeard) and isinstance(event.message, Entries):
            for entry in event.message.entries:
                effects += self._anew(entry)
        return effects

    def _anew(self, entry: Signed[Entry]) -> list[Effect]:
        book, what, job = self.host.world.books.of(self.host), entry.body.what, entry.body.job
        if not isinstance(what, Result) or job not in book.heads:
            return []
        body, blob = book.heads[job].body, what.outputs[0].blob
        name = body.names.name(body.frames.frame(what.task))
        again: list[Effect] = []
        for (directory, there), delivered in book.delivered.items():
            if there == name and delivered != entry.id:
                again.append(FetchPieces(op=_OP, peer=entry.author, blob=blob, numbers=(0,)))
                again.append(Export(op=_OP, job=job, blob=blob, directory=directory, name=name, overwrite=True))
        return again


class ForgetsItsOwn(Cheat):
    """S4: knows its own records no more when it starts again."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave them out of what the journal kept."""
        if isinstance(event, Started):
            others = [kept for kept in event.kept if not self._is_its_own(kept)]
            event = dataclasses.replace(event, kept=tuple(others))
        return self.inner.handle(now, event)

    def _is_its_own(self, kept: Kept) -> bool:
        return isinstance(kept, KeptEntries) and kept.entries[0].author == self.host.peer_id


class SealsNothing(Cheat):
    """S3: seals its job without what it delivered."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Leave the results out of the seal's page."""
        effects = self.inner.handle(now, event)
        return [
            dataclasses.replace(effect, page=_empty(effect.page)) if isinstance(effect, WritePage) else effect
            for effect in effects
        ]


def _empty(page: SealPage) -> SealPage:
    tasks = tuple(dataclasses.replace(task, result=None, holds=()) for task in page.tasks)
    return dataclasses.replace(page, tasks=tasks)


class SendsBeforeItWrites(Cheat):
    """S1: lets its word leave before what it rests on is on the disk."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Write to the journal after everything else."""
        effects = self.inner.handle(now, event)
        writes = [effect for effect in effects if isinstance(effect, Append)]
        return [effect for effect in effects if not isinstance(effect, Append)] + list(writes)
