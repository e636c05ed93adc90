"""The claimant's side: follow a keeper, claim what suits, keep the leases alive.

An idle slot takes, from the window that a keeper told, the task that suits it best by rank, signs a claim and sends it
to that keeper. It is rendered on `yours`, or when nobody has answered for two seconds; on `taken` it is given up.
While slots are busy the next run is claimed ahead. Heartbeats go to the closest keeper that answers; a keeper that is
new to this is told the running claims in full.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.core.contacts import Contacting
from mesh.core.directory import Directory
from mesh.core.events import FrameWritten, RenderFailed
from mesh.core.host import HostFacts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import (
    ClaimEnded,
    ClaimLost,
    ClaimWon,
    HeadHeard,
    JobEnded,
    MarkHeard,
    PauseChanged,
    PeerLost,
    PeersNeeded,
    SlotFreed,
)
from mesh.core.placement import fairest, next_tasks, run_length, wanted_claims
from mesh.core.timers import FirstClaims, Unanswered
from mesh.core.turn import Turn
from mesh.ground.ids import Boot, JobId, PeerId, RecordId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import (
    CLOSEST_KEEPER_MS,
    FAILED_HERE_MS,
    FIRST_CLAIMS_MS,
    FOLLOW_PERIOD_MS,
    UNANSWERED_MS,
    UNFIT_MS,
)
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.messages import (
    Beat,
    ClaimSent,
    Follow,
    Heartbeat,
    OpenTask,
    Running,
    Verdict,
    Window,
    Withdraw,
    portions,
)
from mesh.wire.records import Claim, next_attempt

_TOLD_AGAIN_TICKS = 4

_SOUGHT_JOBS = 16
"""Jobs whose keepers are looked for at a time, of those that no keeper here answers for."""


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


@dataclass(slots=True)
class Following:
    """What this peer was told of one job, and by whom."""

    window: dict[int, OpenTask] = field(default_factory=dict)
    told: Window | None = None
    keeper: PeerId | None = None
    asked: dict[PeerId, Instant] = field(default_factory=dict)
    """When each keeper was last asked."""
    heard_at: Instant | None = None
    """When a keeper last told its window."""
    beaten: PeerId | None = None
    ticks: int = 0
    claims_from: Instant = Instant(0)
    """When the first task may be claimed; before that the closest keeper may not be known."""
    waits_until: Instant = Instant(0)
    """Until then claims wait for a channel to the closest keeper: in a large mesh it has to be found first."""
    unfit_until: Instant = Instant(0)
    failed: dict[int, Instant] = field(default_factory=dict)
    """When this peer failed a task, so that others may try it first."""


class Claims:
    """Have as many tasks in hand as this host's slots need, and no more."""

    def __init__(
        self,
        ledger: Ledger,
        keepers: Keepers,
        contacting: Contacting,
        directory: Directory,
        host: HostFacts,
        *,
        signer: Signer,
        boot: Boot,
        scene_complete: Callable[[JobId], bool],
        progress: Callable[[RecordId], int],
        in_hand: Callable[[], int],
        decides: Callable[[JobId, Now], bool],
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._contacting = contacting
        self._directory = directory
        self._host = host
        self._signer = signer
        self._boot = boot
        self._scene_complete = scene_complete
        self._progress = progress
        self._in_hand = in_hand
        self._decides = decides
        """Whether this peer, as a keeper, decides claims of a job now."""
        self._number = 0
        self._sought = 0
        """Jobs without a keeper that answers, whose keepers were asked for in this turn."""
        self._given_ms: dict[JobId, int] = {}
        self.mine: dict[RecordId, Mine] = {}
        self.following: dict[JobId, Following] = {}

    def follow_all(self, turn: Turn) -> None:
        """Ask the keepers of all jobs that this peer could help with for news, where it is time."""
        self._sought = 0
        for ledger in self._ledger.jobs.values():
            self._follow(turn, ledger)

    def on_head_heard(self, turn: Turn, note: HeadHeard) -> None:
        """Follow a new job."""
        self._follow(turn, self._ledger.jobs[JobId(note.head.job.id)])

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """Follow a job's new keeper."""
        self._follow(turn, self._ledger.jobs[note.mark.body.job])

    def on_tick(self, turn: Turn) -> None:
        """Follow, keep the leases alive, claim."""
        self.follow_all(turn)
        self._beat(turn)
        self.claim_more(turn)

    def on_window(self, turn: Turn, peer: PeerId, message: Window) -> None:
        """Learn what can be claimed."""
        following = self.following.get(message.job)
        ledger = self._ledger.get(message.job)
        closest = self._keepers.of(message.job, turn.now)
        if following is None or ledger is None or peer not in closest:
            return
        before = following.keeper
        farther = before in closest and closest.index(peer) > closest.index(before)
        if farther and before is not None and not _overdue(following, before, turn.now.instant):
            return
        following.told = message
        following.keeper = peer
        following.heard_at = turn.now.instant
        following.window = {task.task: task for task in message.open if task.task < ledger.tasks}
        self.claim_more(turn)

    def on_peer_lost(self, turn: Turn, note: PeerLost) -> None:
        """Ask another keeper at once where it was this one that told what can be claimed."""
        for job, following in self.following.items():
            ledger = self._ledger.get(job)
            if following.keeper == note.peer and ledger is not None:
                self._follow(turn, ledger)

    def on_verdict(self, turn: Turn, peer: PeerId, message: Verdict) -> None:
        """Render, or give up."""
        mine = self.mine.get(message.claim)
        if mine is None or mine.keeper != peer:
            return
        if message.yours:
            self._won(turn, mine)
        else:
            self._lost(turn, mine)

    def on_first_claims(self, turn: Turn, _timer: FirstClaims) -> None:
        """Claim of a job that was new a moment ago."""
        self.claim_more(turn)

    def on_unanswered(self, turn: Turn, timer: Unanswered) -> None:
        """Render all the same: keepers may be gone, and the frame must be rendered."""
        mine = self.mine.get(timer.claim)
        if mine is not None and mine.stand is Stand.PENDING:
            ledger = self._ledger.get(mine.claim.body.job)
            if ledger is None or not ledger.is_open(mine.claim.body.task):
                self._lost(turn, mine)
            else:
                self._won(turn, mine)

    def on_slot_freed(self, turn: Turn, _note: SlotFreed) -> None:
        """Claim the next task."""
        self.claim_more(turn)

    def on_claim_ended(self, turn: Turn, note: ClaimEnded) -> None:
        """Forget a claim; tell the keepers where no record will."""
        mine = self.mine.get(note.claim.id)
        if mine is not None and note.gave_up:
            self._withdraw(turn, mine)
        self.mine.pop(note.claim.id, None)

    def on_frame_written(self, _turn: Turn, event: FrameWritten, job: JobId) -> None:
        """Count the time that the job was given."""
        self._given_ms[job] = self._given_ms.get(job, 0) + event.render_ms

    def on_render_failed(self, turn: Turn, event: RenderFailed, claim: Signed[Claim]) -> None:
        """Leave the task to others for a while; leave the job where it is this host's fault."""
        following = self.following.setdefault(claim.body.job, Following())
        following.failed[claim.body.task] = turn.now.instant
        if event.unfit:
            following.unfit_until = later(turn.now.instant, UNFIT_MS)

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Forget the job's windows; slots give up what they hold."""
        self.following.pop(note.job, None)
        for mine in [mine for mine in self.mine.values() if mine.claim.body.job == note.job]:
            if mine.stand is Stand.PENDING:
                self.mine.pop(mine.claim.id)

    def on_slept(self, turn: Turn) -> None:
        """What was told before the gap is old: ask anew, and let go of claims that nobody has answered."""
        for mine in [mine for mine in self.mine.values() if mine.stand is Stand.PENDING]:
            self._withdraw(turn, mine)
        for following in self.following.values():
            following.window = {}
            following.told = None
            following.asked.clear()
            following.beaten = None
        self.follow_all(turn)

    def withdraw_pending(self, turn: Turn) -> None:
        """Give up what has not been answered: this host is about to stop, or is paused."""
        for mine in [mine for mine in self.mine.values() if mine.stand is Stand.PENDING]:
            self._withdraw(turn, mine)

    def on_pause_changed(self, turn: Turn, _note: PauseChanged) -> None:
        """Tell all keepers how many slots they may count on from now on, and let go of what none has answered."""
        if self._host.pause is not None:
            self.withdraw_pending(turn)
        for following in self.following.values():
            following.asked.clear()
        self.follow_all(turn)
        self.claim_more(turn)

    def claim_more(self, turn: Turn) -> None:
        """Claim as many tasks as this host wants in hand, from the job that it gave the least time."""
        if not self._host.takes_frames or self._host.hears(turn.now.instant):
            return
        skipped: dict[JobId, None] = {}
        while True:
            able = [job for job in self.following if job not in skipped and self._claimable(turn, job)]
            job = fairest(able, self._given_ms)
            if job is None:
                return
            skipped[job] = None
            self._claim_from(turn, job, self.following[job])

    def _claimable(self, turn: Turn, job: JobId) -> bool:
        following = self.following[job]
        ledger = self._ledger.get(job)
        return (
            ledger is not None
            and not ledger.ended
            and bool(following.window)
            and following.keeper is not None
            and following.claims_from <= turn.now.instant
            and self._has_closest(turn, ledger, following)
            and following.unfit_until <= turn.now.instant
            and self._host.can_render(ledger.job.engine)
            and self._scene_complete(job)
        )

    def _has_closest(self, turn: Turn, ledger: JobLedger, following: Following) -> bool:
        """Whether the closest keeper tells what can be claimed, or need not be waited for any more."""
        if turn.now.instant >= following.waits_until:
            return True
        closest = self._keepers.closest(ledger, turn.now)
        return closest is None or closest == following.keeper or self._directory.met(closest)

    def _claim_from(self, turn: Turn, job: JobId, following: Following) -> None:
        assert following.told is not None
        assert following.keeper is not None
        told, slots = following.told, self._host.slots
        in_hand = self._in_hand() + sum(mine.stand is Stand.PENDING for mine in self.mine.values())
        everybody = max(told.slots, slots + self._directory.slots_for(self._ledger.jobs[job].job.engine))
        excluded = {mine.claim.body.task: None for mine in self.mine.values() if mine.claim.body.job == job}
        unclaimed = told.unclaimed - sum(task in following.window for task in excluded)
        lacking = wanted_claims(slots, told.median_ms, unclaimed, everybody, in_hand) - in_hand
        if lacking <= 0 or (in_hand > slots and lacking <= run_length(told.median_ms) // 2):
            return
        for failed, failed_at in following.failed.items():
            if turn.now.instant - failed_at < FAILED_HERE_MS:
                excluded[failed] = None
        chosen = next_tasks(following.window.values(), job, self._directory.me, excluded, lacking)
        claims: list[Signed[Claim]] = []
        for task in chosen:
            following.window.pop(task.task)
            claims.append(self._sign(job, task))
            self.mine[claims[-1].id] = Mine(claim=claims[-1], keeper=following.keeper)
            turn.wake(Unanswered(claim=claims[-1].id), UNANSWERED_MS)
        for portion in portions(ClaimSent, "claims", claims):
            turn.send(following.keeper, ClaimSent(claims=portion))

    def _sign(self, job: JobId, task: OpenTask) -> Signed[Claim]:
        self._number += 1
        body = Claim(job=job, task=task.task, attempt=next_attempt(task.attempt), boot=self._boot, number=self._number)
        return sign(body, self._signer)

    def _won(self, turn: Turn, mine: Mine) -> None:
        if mine.stand is Stand.PENDING:
            mine.stand = Stand.HELD
            turn.tell(ClaimWon(claim=mine.claim))

    def _lost(self, turn: Turn, mine: Mine) -> None:
        if mine.stand is Stand.HELD:
            self._withdraw(turn, mine)
            turn.tell(ClaimLost(claim=mine.claim))
        self.mine.pop(mine.claim.id, None)
        self.claim_more(turn)

    def _withdraw(self, turn: Turn, mine: Mine) -> None:
        """Give up a claim at whoever may have a lease of it: a held one was told to every keeper met since."""
        self.mine.pop(mine.claim.id, None)
        job = mine.claim.body.job
        told = [mine.keeper]
        if mine.stand is Stand.HELD:
            told += self._keepers.of(job, turn.now)
        for keeper in dict.fromkeys(told):
            turn.send(keeper, Withdraw(job=job, claims=(mine.claim.id,)))

    def _follow(self, turn: Turn, ledger: JobLedger) -> None:
        if ledger.ended or self._host.rests or not self._host.can_render(ledger.job.engine):
            return
        following = self.following.get(ledger.id)
        if following is None:
            following = self.following[ledger.id] = Following()
            following.claims_from = later(turn.now.instant, FIRST_CLAIMS_MS)
            following.waits_until = later(turn.now.instant, CLOSEST_KEEPER_MS)
            turn.wake(FirstClaims(job=ledger.id), FIRST_CLAIMS_MS)
        keepers = self._keepers.of(ledger.id, turn.now)
        if following.keeper is not None and following.keeper not in keepers:
            following.keeper = None
            following.window = {}
            following.asked.clear()
        elif following.keeper is not None:
            self._contacting.probe(turn, following.keeper)
        wanted = _whom_to_ask(following, self._deciding(turn, ledger.id, keepers), turn.now.instant)
        if wanted is not None or (not keepers and self._sought < _SOUGHT_JOBS):
            self._sought += not keepers
            turn.tell(PeersNeeded(peers=self._keepers.company(ledger, turn.now)))
        if wanted is not None:
            following.asked[wanted] = turn.now.instant
            slots = self._host.slots if self._host.pause is None else 0
            turn.send(wanted, Follow(job=ledger.id, slots=slots))

    def _deciding(self, turn: Turn, job: JobId, keepers: list[PeerId]) -> list[PeerId]:
        """Leave this peer out of a job's keepers where it knows that it decides nothing yet, as after a restart."""
        if self._directory.me not in keepers or self._decides(job, turn.now):
            return keepers
        return [peer for peer in keepers if peer != self._directory.me]

    def _beat(self, turn: Turn) -> None:
        held: dict[JobId, list[Mine]] = {}
        for mine in self.mine.values():
            if mine.stand is Stand.HELD:
                held.setdefault(mine.claim.body.job, []).append(mine)
        for job, claims in held.items():
            keepers = self._keepers.of(job, turn.now)
            if not keepers:
                continue
            following = self.following.setdefault(job, Following())
            following.ticks += 1
            if keepers[0] != following.beaten or following.ticks % _TOLD_AGAIN_TICKS == 0:
                following.beaten = keepers[0]
                for held_now in portions(Running, "claims", [mine.claim for mine in claims]):
                    turn.send(keepers[0], Running(claims=held_now))
            beats = [Beat(claim=mine.claim.id, progress=self._progress(mine.claim.id)) for mine in claims]
            for heard in portions(Heartbeat, "beats", beats):
                turn.send(keepers[0], Heartbeat(job=job, beats=heard))
            self._contacting.ask(turn, keepers[0])


def _overdue(following: Following, keeper: PeerId, now: Instant) -> bool:
    """Whether `keeper` was asked for its window and has not told it."""
    asked_at = following.asked.get(keeper)
    if asked_at is None or now - asked_at < UNANSWERED_MS:
        return False
    return following.heard_at is None or following.heard_at < asked_at


def _whom_to_ask(following: Following, keepers: list[PeerId], now: Instant) -> PeerId | None:
    """Return the closest keeper when it is time to ask it, the next ones one by one while nobody answers."""
    if not keepers:
        return None
    asked_at = following.asked.get(keepers[0])
    if asked_at is None or now - asked_at >= FOLLOW_PERIOD_MS:
        return keepers[0]
    if not _overdue(following, keepers[0], now) or now - max(following.asked.values()) < UNANSWERED_MS:
        return None
    others = [peer for peer in keepers[1:] if now - following.asked.get(peer, asked_at) >= FOLLOW_PERIOD_MS]
    return next((peer for peer in keepers[1:] if peer not in following.asked), others[0] if others else None)
