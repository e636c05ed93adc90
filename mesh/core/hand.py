"""What this peer has claimed, in one hand: frames, buckets and assemblies, answered or not.

Invariants: every claim is signed with a number of its own. What to claim, and what becomes of it, is not known here.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from mesh.core.timers import Unanswered
from mesh.core.turn import Turn
from mesh.ground.ids import Boot, JobId, PeerId, RecordId
from mesh.ground.limits import UNANSWERED_MS
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.grids import Block
from mesh.wire.messages import ClaimSent, portions
from mesh.wire.records import Claim, next_attempt


class Stand(enum.Enum):
    """Where a claim of this peer stands."""

    PENDING = "pending"
    HELD = "held"


@dataclass(slots=True, kw_only=True)
class Mine:
    """One claim of this peer."""

    claim: Signed[Claim]
    keeper: PeerId
    stand: Stand = Stand.PENDING


class Hand:
    """The claims of this peer."""

    def __init__(self, signer: Signer, boot: Boot, wanting_slots: Callable[[], list[Signed[Claim]]]) -> None:
        self._signer = signer
        self._boot = boot
        self._wanting_slots = wanting_slots
        self._number = 0
        self.mine: dict[RecordId, Mine] = {}

    def of(self, job: JobId) -> list[Claim]:
        """Return what is claimed of a job."""
        return [mine.claim.body for mine in self.mine.values() if mine.claim.body.job == job]

    @property
    def wanting(self) -> list[Signed[Claim]]:
        """The claims that want a slot, answered or not."""
        pending = (mine.claim for mine in self.mine.values() if mine.stand is Stand.PENDING)
        return [*self._wanting_slots(), *(claim for claim in pending if not claim.body.assembles)]

    @property
    def wanting_slots(self) -> int:
        """How many claims want a slot, answered or not."""
        return len(self.wanting)

    def claim(
        self,
        job: JobId,
        task: int,
        attempt: int,
        *,
        block: Block | None = None,
        assembles: bool = False,
        grant: RecordId | None = None,
    ) -> Claim:
        """Return a claim of a task, or of a block of its cells, of which `attempt` is the highest heard of."""
        self._number += 1
        return Claim(
            job=job,
            task=task,
            attempt=next_attempt(attempt),
            boot=self._boot,
            number=self._number,
            block=block,
            assembles=assembles,
            grant=grant,
        )

    def send(self, turn: Turn, keeper: PeerId, bodies: list[Claim]) -> None:
        """Sign claims and send them to whom decides."""
        claims = [sign(body, self._signer) for body in bodies]
        for claim in claims:
            self.mine[claim.id] = Mine(claim=claim, keeper=keeper)
            turn.wake(Unanswered(claim=claim.id), UNANSWERED_MS)
        for portion in portions(ClaimSent, "claims", claims):
            turn.send(keeper, ClaimSent(claims=portion))
