"""The claimant's side of stills: buckets that a coordinator grants, those that nobody grants, and frames to assemble.

Theory: a coordinator keeps every slot one bucket ahead, so that none waits for the network. It may be dead, slow or
mute: a slot that would soon have nothing to do claims by itself, of the first few buckets the one that suits this peer
best, so that peers who do so at the same time seldom collide.

Invariants: at most one bucket for each slot and one ahead of it are in hand. What is granted is claimed like anything
else, and binds nobody before. How claims are answered is not known here.
"""

from collections.abc import Callable

from mesh.core.costs import Costs
from mesh.core.directory import Directory
from mesh.core.election import rank
from mesh.core.fairness import Fairness
from mesh.core.following import Following
from mesh.core.hand import Hand
from mesh.core.host import HostFacts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.slots import InHand
from mesh.core.timers import GrantLate
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import Instant
from mesh.ground.limits import FAILED_HERE_MS, SELF_CLAIM_MS
from mesh.wire.envelope import Signed
from mesh.wire.messages import Withdraw
from mesh.wire.records import Claim
from mesh.wire.stills import Epoch, Grant, Grants

ASSEMBLIES_EACH = 2
"""Frames of one job that a peer assembles at a time: one that grows, and the next one."""

_GRANTED_PER_SLOT = 3
"""A slot renders one bucket and has one ahead; a third may cross with the news of the first one's end."""


class Bucketing:
    """Claim buckets, and frames to be assembled."""

    def __init__(
        self,
        ledger: Ledger,
        keepers: Keepers,
        directory: Directory,
        host: HostFacts,
        hand: Hand,
        *,
        costs: Costs,
        fairness: Fairness,
        followings: dict[JobId, Following],
        running: Callable[[], list[InHand]],
        scene_complete: Callable[[JobId], bool],
        epoch: Callable[[JobId], Signed[Epoch] | None],
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._directory = directory
        self._host = host
        self._hand = hand
        self._costs = costs
        self._fairness = fairness
        self._followings = followings
        self._running = running
        self._scene_complete = scene_complete
        self._epoch = epoch

    def claim_from(self, turn: Turn, job: JobId, following: Following) -> None:
        """Claim frames to assemble; leave buckets to the coordinator, if there is one, for a while."""
        if following.buckets.cells and not following.waits_for_grant:
            following.waits_for_grant = True
            turn.wake(GrantLate(job=job), self._patience_ms(job, turn.now.instant))
        self._claim_assembly(turn, job, following)

    def on_grants(self, turn: Turn, peer: PeerId, message: Grants) -> None:
        """Claim what the coordinator grants; give back what cannot be rendered here."""
        back: dict[JobId, list[RecordId]] = {}
        for grant in message.grants:
            body, identifier = grant.body, RecordId(grant.id)
            if grant.author != peer or body.peer != self._directory.me:
                continue
            if peer not in self._keepers.of(body.job, turn.now):
                continue  # nobody would answer the claim, and it would be rendered
            if self._deposed(grant):
                continue  # who coordinates now grants the same cells to others
            following, ledger = self._followings.get(body.job), self._ledger.get(body.job)
            if following is None or ledger is None or not self._takes(turn.now.instant, ledger, following, body):
                back.setdefault(body.job, []).append(identifier)
                continue
            following.buckets.take(body.task, body.block)
            claim = self._hand.claim(body.job, body.task, body.attempt, block=body.block, grant=identifier)
            self._hand.send(turn, peer, [claim])
        for job, grants in back.items():
            turn.send(peer, Withdraw(job=job, claims=tuple(grants)))

    def _deposed(self, grant: Signed[Grant]) -> bool:
        """Whether this peer follows a higher epoch than a grant is of; of one not heard of yet it may be."""
        followed = self._epoch(grant.body.job)
        return followed is not None and (grant.body.epoch, grant.author) < rank(followed)

    def on_grant_late(self, turn: Turn, timer: GrantLate) -> None:
        """Claim by oneself what nobody has granted in time."""
        following = self._followings.get(timer.job)
        if following is None:
            return
        following.waits_for_grant = False
        ledger = self._ledger.get(timer.job)
        if not following.buckets.cells or following.keeper is None or ledger is None:
            return  # nothing is told any more: this host has slept, say
        if self._able(turn.now.instant, ledger, following) and self._fairness.is_turn(timer.job, turn.now.instant):
            self._claim_buckets(turn, timer.job, following)

    def _able(self, now: Instant, ledger: JobLedger, following: Following) -> bool:
        free = self._host.takes_frames and not self._host.hears(now) and following.unfit_until <= now
        return free and not ledger.ended and self._host.can_render(ledger.job) and self._scene_complete(ledger.id)

    def _takes(self, now: Instant, ledger: JobLedger, following: Following, grant: Grant) -> bool:
        """Whether this host renders what it was granted."""
        room = self._hand.wanting_slots < _GRANTED_PER_SLOT * self._host.slots
        tasks = ledger.parts.of(grant.task, grant.block)
        failed_at = max((following.failed[task] for task in tasks if task in following.failed), default=None)
        tried = failed_at is not None and now - failed_at < FAILED_HERE_MS
        able = room and not tried and self._able(now, ledger, following) and self._fairness.is_turn(ledger.id, now)
        return able and ledger.needs(grant.task, grant.block)

    def _claim_buckets(self, turn: Turn, job: JobId, following: Following) -> None:
        """Claim buckets, one for each slot and one ahead of it, so that no slot waits between two."""
        assert following.told is not None and following.keeper is not None
        buckets, claims, slots = following.buckets, list[Claim](), self._host.slots
        everybody = max(following.told.slots, slots + self._directory.slots_for(self._ledger.jobs[job].job))
        while buckets.cells:
            remaining = buckets.pixels
            pixels = self._costs.bucket_pixels(job, self._directory.me, remaining, everybody)
            ahead = slots if remaining > buckets.size(pixels) * everybody else 0
            if self._hand.wanting_slots + len(claims) >= slots + ahead:
                break
            chosen = buckets.own(job, self._directory.me, pixels, following.failed, everybody)
            if chosen is None:
                break
            buckets.take(chosen.frame, chosen.block)
            claims.append(self._hand.claim(job, chosen.frame, chosen.attempt, block=chosen.block))
        self._hand.send(turn, following.keeper, claims)

    def _claim_assembly(self, turn: Turn, job: JobId, following: Following) -> None:
        """Claim a frame to be assembled, where this peer assembles few of the job's yet."""
        assert following.keeper is not None
        if not following.unassembled:
            return
        mine = [claim.task for claim in self._hand.of(job) if claim.assembles]
        excluded = (*mine, *following.failed)
        able = [task for task in following.unassembled.values() if task.task not in excluded]
        for task in able[: max(0, ASSEMBLIES_EACH - len(mine))]:
            following.unassembled.pop(task.task)
            claim = self._hand.claim(job, task.task, task.attempt, assembles=True)
            self._hand.send(turn, following.keeper, [claim])

    def _patience_ms(self, job: JobId, now: Instant) -> int:
        """Return how long a grant is waited for: until shortly before the first slot here may have nothing to do."""
        running = self._running()
        if len(running) < self._host.slots:
            return SELF_CLAIM_MS
        return min(self._spare_ms(job, each, now) for each in running)

    def _spare_ms(self, job: JobId, each: InHand, now: Instant) -> int:
        body, ledger = each.claim.body, self._ledger.get(each.claim.body.job)
        if body.job != job or body.block is None or ledger is None:
            return SELF_CLAIM_MS
        pixels = ledger.parts.grid.pixels(body.block).area
        expected_ms = self._costs.expected_ms(job, self._directory.me, pixels)
        if expected_ms is None:
            return SELF_CLAIM_MS
        return max(0, expected_ms - min(SELF_CLAIM_MS, expected_ms // 2) - (now - each.started_at))
