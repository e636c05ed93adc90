"""Own holds on their way to those who must hear of them: so many a second, however many there are and whoever comes.

Theory: whoever is reached, or comes to keep a job, hears of all that this peer holds of it, which may be tens of
thousands of holds; and who comes again every moment would have them told each time. So they leave out of one purse, the
rest of them a second later.

Whoever hears of a hold may let go of a copy of his own. So of a copy that is to be here and is not, having rotted, he
hears once it is here again. And who was replaced meanwhile has promised nothing, and may have nothing: it is not told,
but whoever came after it, which lists the same.

Invariants: what is owed stays owed until it was told, or binds no more. The module must not know who should be told.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from mesh.core.directory import Directory
from mesh.core.holders import Holders
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.messages import portions
from mesh.wire.records import Hold

HOLDS_TOLD_PER_SECOND = 4_096
"""To all together: under a megabyte. A job of ten thousand frames on ten hosts is told in a second to whoever comes."""


class Telling:
    """Tell holds that this peer gave."""

    def __init__(
        self, directory: Directory, swarm: Swarm, book: Holders, retains: Callable[[JobId, BlobId], bool]
    ) -> None:
        self._directory = directory
        self._swarm = swarm
        self._book = book
        self._retains = retains
        """Whether promises to keep a blob bind in a job."""
        self._owed: dict[PeerId, dict[RecordId, Signed[Hold]]] = {}
        """Own holds that peers who hold the same, or did, could not be told when they were given."""
        self._due: dict[PeerId, dict[JobId, Iterator[Signed[Hold]]]] = {}
        """What else of each job is still to be told to whom."""
        self._left = HOLDS_TOLD_PER_SECOND

    def owe(self, hold: Signed[Hold]) -> list[PeerId]:
        """Return who ever held the same; note who of them is to be told when it is reached."""
        known = [other.author for other in self._book.known(hold.body.job, hold.body.blob)]
        others = [peer for peer in known if peer != self._directory.me]
        for peer in others:
            if not self._directory.connected(peer):
                self._owed.setdefault(peer, {})[hold.id] = hold
        return others

    def tell(self, turn: Turn, peer: PeerId, job: JobId) -> None:
        """Tell a peer what this one holds of a job."""
        self._due.setdefault(peer, {})[job] = self._mine(job)
        self._go_on(turn, peer)

    def tell_anew(self, turn: Turn, peer: PeerId, jobs: Iterable[JobId]) -> None:
        """Tell a peer that was reached what it is owed, and what this one holds of these jobs."""
        self._due[peer] = {job: self._mine(job) for job in jobs}
        self._go_on(turn, peer)

    def answer(self, turn: Turn, peer: PeerId, holds: Iterable[Signed[Hold]]) -> None:
        """Tell a peer these holds at once; own ones whose copy is not here, as soon as it is."""
        told: list[Signed[Hold]] = []
        for hold in holds:
            if self._is_here(hold):
                told.append(hold)
            else:
                self._owed.setdefault(peer, {})[hold.id] = hold
        _send(turn, peer, told)

    def on_tick(self, turn: Turn) -> None:
        """Go on with what was too much for the second before, and with copies that are here again."""
        self._left = HOLDS_TOLD_PER_SECOND
        for peer in list(self._due):
            if not self._directory.connected(peer):
                self._due.pop(peer)  # who comes back is told anew
        for peer in list(dict.fromkeys((*self._due, *self._owed))):
            if self._directory.connected(peer):
                self._go_on(turn, peer)

    def forget(self, job: JobId) -> None:
        """Owe nobody anything of a job."""
        for due in self._due.values():
            due.pop(job, None)
        for owed in self._owed.values():
            for hold in [hold for hold in owed.values() if hold.body.job == job]:
                owed.pop(hold.id)

    def _go_on(self, turn: Turn, peer: PeerId) -> None:
        told = list(islice(self._next(peer), self._left))
        self._left -= len(told)
        _send(turn, peer, {hold.id: hold for hold in told}.values())
        if peer in self._due and not self._due[peer]:
            self._due.pop(peer)
        if self._due.get(peer):
            self._due[peer] = self._due.pop(peer)  # to the end: in the next second others are the first

    def _next(self, peer: PeerId) -> Iterator[Signed[Hold]]:
        owed = self._owed.get(peer, {})
        for hold in list(owed.values()):
            now = self._book.replacing(hold) or hold
            if not self._retains(hold.body.job, hold.body.blob):
                owed.pop(hold.id)
            elif self._is_here(now):
                owed.pop(hold.id)
                yield now
        if not owed:
            self._owed.pop(peer, None)
        due = self._due.get(peer, {})
        for job, holds in list(due.items()):
            for hold in holds:  # no `yield from`: it would end them with this, where they go on in a second
                yield hold
            due.pop(job)

    def _mine(self, job: JobId) -> Iterator[Signed[Hold]]:
        me = self._directory.me
        for blob in self._book.in_job(me, job):
            hold = self._book.of(job, blob).get(me) if self._retains(job, blob) else None
            if hold is not None and self._is_here(hold):
                yield hold

    def _is_here(self, hold: Signed[Hold]) -> bool:
        return hold.author != self._directory.me or self._swarm.complete(hold.body.blob)


def _send(turn: Turn, peer: PeerId, holds: Iterable[Signed[Hold]]) -> None:
    for portion in portions(Holds, "holds", list(holds)):
        turn.send(peer, Holds(holds=portion))
