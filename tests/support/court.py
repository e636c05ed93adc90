"""A keeper that decides about claims, for tests of leases."""

from mesh.core.dockets import Docket
from mesh.ground.ids import JobId
from mesh.ground.limits import (
    SETTLE_LEAST_MS,
)
from mesh.wire.envelope import Signed
from mesh.wire.grids import Cut
from mesh.wire.messages import (
    Beat,
    ClaimSent,
    Head,
    Heartbeat,
    Verdict,
    Withdraw,
)
from mesh.wire.records import Claim
from tests.support.cast import Actor, Cast
from tests.support.rig import Rig, sent


class Court:
    """A keeper with two claimants, and another keeper."""

    def __init__(self, cast: Cast, *, frames: int = 8, fresh: bool = True, cut: Cut | None = None) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.other = cast.actor("ann"), cast.actor("bob"), cast.actor("other keeper")
        self.stranger = cast.actor("no keeper")
        self.rig.meet(self.ann, self.bob, self.other, self.stranger)
        self.head: Head = cast.head(self.ann, frames=frames, cut=cut)
        self.job: JobId = self.rig.keep(self.head, self.other, by=self.ann, fresh=fresh)

    @property
    def docket(self) -> Docket:
        return self.rig.peer.leases.dockets[self.job]

    def claim(self, actor: Actor, task: int = 0, attempt: int = 1) -> Signed[Claim]:
        claim = self.cast.claim(actor, self.head, task, attempt)
        self.rig.hear(actor, ClaimSent(claims=(claim,)))
        return claim

    def verdicts(self) -> dict[bytes, bool]:
        return {verdict.claim: verdict.yours for _, verdict in sent(self.rig.effects, Verdict)}

    def granted(self, actor: Actor, task: int = 0, *, settle_ms: int = SETTLE_LEAST_MS) -> Signed[Claim]:
        claim = self.claim(actor, task)
        self.rig.wait(settle_ms)
        assert self.verdicts()[claim.id]
        return claim

    def proves(self, actor: Actor, tasks: int) -> None:
        """Take somebody for one whose results of so many tasks count."""
        self.claim(actor)
        self.docket.proven[actor.id] = tasks
        self.rig.hear(actor, Withdraw(job=self.job, claims=tuple(claim.id for claim in self.docket.pending[0].claims)))
        self.rig.clear()

    def beat(self, actor: Actor, claim: Signed[Claim], progress: int = 0) -> None:
        self.rig.hear(actor, Heartbeat(job=self.job, beats=(Beat(claim=claim.id, progress=progress),)))
