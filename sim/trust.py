"""What may be believed of pictures: the checker of L8, and who may have a delivered file replaced.

The world knows what every picture shows. Where a job is checked twice and no liars are in league, no wrong one is
sealed, and none is delivered. Whoever vouches has rendered the same himself, and saw what it agrees with.
"""

from typing import TYPE_CHECKING

from mesh.core.effects import Export, WritePage
from mesh.ground.ids import JobId, PeerId
from mesh.wire.envelope import Signed
from mesh.wire.records import Check, Entry, Reject, Result, Seal, SealPage, Vouch
from sim.disk import BlobFacts
from sim.render import Render
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


class Trust:
    """Who rendered what, and what it shows."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._made: dict[tuple[PeerId, JobId, int], dict[bytes, None]] = {}
        """What each peer's own pictures of a frame show."""
        self.wrong_delivered = 0

    def rendered(self, host: "Host", render: Render, facts: BlobFacts) -> None:
        """Learn what a peer's own picture shows."""
        self._made.setdefault((host.peer_id, render.job, render.effect.task), {})[facts.look] = None

    def kept(self, host: "Host", entry: Signed[Entry]) -> None:
        """L8: nobody vouches for what is not like a picture of his own."""
        what = entry.body.what
        if not isinstance(what, Vouch) or (entry.author, entry.body.boot) != (host.peer_id, host.boot):
            return
        made = self._made.get((host.peer_id, entry.body.job, what.task), {})
        about = self._world.books.of(host).entries[entry.body.job].get(what.result)
        result = about.body.what if about is not None else None
        if not isinstance(result, Result) or self._world.blobs[result.outputs[0].blob].look not in made:
            text = f"{host.name} vouches for task {what.task}, of which it has rendered nothing like that"
            raise Violation("L8", text, entry.id, entry.body.job)

    def seals(self, host: "Host", effect: WritePage) -> None:
        """L8: no wrong picture is sealed where two had to agree."""
        for task, result in enumerate(self.wrong_in(effect)):
            if result is not None and not self._world.scenario.league:
                raise Violation("L8", f"{host.name} seals wrong pixels of task {task}", result.id, effect.page.job)

    def wrong_in(self, effect: WritePage) -> list[Signed[Entry] | None]:
        """Return the wrong pictures of a page whose job is checked twice, by task."""
        if self._world.books.jobs[effect.page.job].body.check != Check.TWICE:
            return []
        return [task.result if self._is_wrong(task.result) else None for task in effect.page.tasks]

    def pages(self) -> list[SealPage]:
        """Return the pages of the seals that stand, as the submitters see it."""
        found: list[SealPage] = []
        for plan in self._world.people.plans:
            host = self._world.hosts[plan.submitter]
            ledger = host.core.ledger.get(plan.job) if host.running and plan.job is not None else None
            if ledger is not None and ledger.sealed is not None:
                found.append(ledger.sealed[1])
        return found

    def wrong_of(self, page: SealPage) -> int:
        """Count the wrong pictures that a page names."""
        return sum(self._is_wrong(task.result) for task in page.tasks)

    def exports(self, host: "Host", effect: Export) -> None:
        """L8: nor is one delivered."""
        facts = self._world.blobs.get(effect.blob)
        if facts is None or not facts.wrong:
            return
        self.wrong_delivered += 1
        if self._world.books.jobs[effect.job].body.check == Check.TWICE and not self._world.scenario.league:
            raise Violation("L8", f"{host.name} delivers wrong pixels as {effect.name}", effect.blob, effect.job)

    def admins(self) -> tuple[PeerId, ...]:
        """Return who may reject results of any job: the first host alone is an admin."""
        return (self._world.hosts[0].peer_id,)

    def may_replace(self, host: "Host", made_of: Signed[Entry]) -> bool:
        """S3: whether a file may be made anew: somebody who may has rejected it, and its submitter has sealed nothing.

        Or it has sealed another picture of that frame, which comes late to whoever heard of the reject in time.
        """
        job, entries = made_of.body.job, self._world.books.of(host).entries.get(made_of.body.job, {})
        head = self._world.books.jobs[job]
        judges = (head.author, *head.body.judges, *self.admins())
        said = [(entry.author, entry.body.what) for entry in entries.values()]
        seals = [what.blob for author, what in said if isinstance(what, Seal) and author == head.author]
        pages = [self._world.pages[blob] for blob in seals]
        if any(page.tasks[_task(made_of)].result in (None, made_of) for page in pages):
            return False
        return any(isinstance(what, Reject) and what.task == _task(made_of) and by in judges for by, what in said)

    def _is_wrong(self, result: Signed[Entry] | None) -> bool:
        what = result.body.what if result is not None else None
        return isinstance(what, Result) and self._world.blobs[what.outputs[0].blob].wrong


def _task(result: Signed[Entry]) -> int:
    what = result.body.what
    assert isinstance(what, Result)
    return what.task
