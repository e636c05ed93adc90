"""Copies on their way here: what this peer fetches to hold it, and checks before it promises anything.

Invariants: an output is held only once its bytes are whole on the disk and the shell has looked at them as at a picture
of that job. What was found bad is not fetched again. Of what one peer is the reason for, little is sought at a time.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.core.effects import CheckOutput
from mesh.core.events import OutputChecked
from mesh.core.ledger import Ledger
from mesh.core.ops import Ops
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import LOST_AFTER_MS
from mesh.wire.envelope import Signed
from mesh.wire.records import Hold

_WANTED_PER_PEER = 64
"""Outputs that are sought to be held because of one author, or of one who asked: many times what is fetched at once,
and whoever claims thousands that nobody has makes nobody ask all peers for all of them."""

_LOOK_AGAIN_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output that this peer is to hold and has not checked yet."""

    job: JobId
    because_of: PeerId
    """Its author, or who asked for the copy."""
    task: int | None = None
    """The frame that it counts for; None: it is wanted whatever counts."""
    replaced: Signed[Hold] | None = None
    """The hold in whose place it is taken."""


class Copies:
    """Fetch and check what this peer is to hold."""

    def __init__(self, ledger: Ledger, swarm: Swarm, ops: Ops) -> None:
        self._ledger = ledger
        self._swarm = swarm
        self._ops = ops
        self._wanted: dict[BlobId, Wanted] = {}
        self._wanted_of: dict[tuple[JobId, int], BlobId] = {}
        self._because_of: Counter[PeerId] = Counter()
        """How many of each peer's."""
        self._checking: dict[int, tuple[BlobId, Wanted]] = {}
        self._bad: dict[BlobId, None] = {}
        self._look_again_at: dict[BlobId, Instant] = {}
        """Outputs that could not be looked at here, and when to try again."""

    def may_take(self, blob: BlobId, because_of: PeerId, now: Now) -> bool:
        """Whether a copy may be fetched now: it is not on its way, was not found bad, and its peer has few others."""
        if blob in self._wanted or blob in self._bad or self._because_of[because_of] >= _WANTED_PER_PEER:
            return False
        if self._look_again_at.get(blob, now.instant) > now.instant:
            return False
        self._look_again_at.pop(blob, None)
        return True

    def take(self, turn: Turn, blob: BlobId, wanted: Wanted, *sources: PeerId) -> None:
        """Fetch a copy, or check the one that is here."""
        self.unwant(blob)
        self._wanted[blob] = wanted
        if wanted.task is not None:
            self._wanted_of[wanted.job, wanted.task] = blob
        self._because_of[wanted.because_of] += 1
        if self._swarm.complete(blob):
            self.check(turn, blob)
        else:
            self._swarm.want(turn, blob, b"hold" + wanted.job, *sources)

    def check(self, turn: Turn, blob: BlobId) -> None:
        """Have an output that is here looked at, if it is wanted."""
        wanted = self.unwant(blob)
        ledger = self._ledger.get(wanted.job) if wanted else None
        if wanted is None or ledger is None or blob in self._bad:
            return
        op = self._ops.next()
        self._checking[op] = (blob, wanted)
        turn.do(CheckOutput(op=op, job=ledger.head.job, blob=blob))

    def checked(self, turn: Turn, event: OutputChecked) -> Wanted | None:
        """Return what is to be held now: what was wanted, if it is good."""
        _, wanted = self._checking.pop(event.op, (None, None))
        if wanted is None or event.good:
            return wanted
        if event.good is None:
            self._look_again_at[event.blob] = later(turn.now.instant, _LOOK_AGAIN_MS)
        else:
            self._bad[event.blob] = None
        return None

    def checking(self) -> list[BlobId]:
        """Return what is being looked at."""
        return [blob for blob, _ in self._checking.values()]

    def of_task(self, job: JobId, task: int) -> BlobId | None:
        """Return what is wanted for a frame."""
        return self._wanted_of.get((job, task))

    def of_job(self, job: JobId) -> Iterator[tuple[BlobId, Wanted]]:
        """Yield what is wanted of a job; it may be let be meanwhile."""
        return ((blob, wanted) for blob, wanted in list(self._wanted.items()) if wanted.job == job)

    def in_vain(self, now: Now) -> list[tuple[BlobId, Wanted]]:
        """Return what is wanted whatever counts, and for long nobody has answered for."""
        found = ((blob, wanted) for blob, wanted in self._wanted.items() if wanted.task is None)
        return [(blob, wanted) for blob, wanted in found if self._swarm.in_vain(blob, LOST_AFTER_MS, now)]

    def let_be(self, blob: BlobId, job: JobId) -> None:
        """Fetch a copy no more."""
        self.unwant(blob)
        self._swarm.drop(blob, b"hold" + job)

    def unwant(self, blob: BlobId) -> Wanted | None:
        """Forget that a copy is wanted; what comes is kept all the same."""
        wanted = self._wanted.pop(blob, None)
        if wanted is not None:
            if wanted.task is not None and self._wanted_of.get((wanted.job, wanted.task)) == blob:
                del self._wanted_of[wanted.job, wanted.task]
            self._because_of[wanted.because_of] -= 1
            self._because_of += Counter()  # forgets those that have none
        return wanted
