"""The claimant's side: follow a keeper, claim what suits, keep the leases alive.

An idle slot takes, from the window that a keeper told, the task that suits it best by rank, signs a claim and sends it
to that keeper. It is rendered on `yours`, or when nobody has answered for two seconds; on `taken` it is given up.
While slots are busy the next run is claimed ahead. Of several jobs it is that one's turn to which this host gave the
least, and no other is claimed ahead in its place: where nothing of it is, its tasks are for whoever is free first.
Heartbeats go to the closest keeper that answers; a keeper that is new to this is told the running claims in full.

Of frames that are cut it takes buckets, blocks of their open cells. Somebody has to assemble each such frame: that
takes no slot, and whoever can render it may claim it.
"""

import enum
from collections.abc import Callable

from mesh.core.buckets import Buckets
from mesh.core.contacts import Contacting
from mesh.core.costs import Costs
from mesh.core.directory import MUTE_MS, Directory
from mesh.core.events import FrameWritten, RenderFailed
from mesh.core.fairness import Fairness
from mesh.core.following import Following, overdue, whom_to_ask
from mesh.core.hand import Hand, Mine, Stand
from mesh.core.host import HostFacts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import (
    ClaimEnded,
    ClaimLost,
    ClaimWon,
    EpochRaised,
    HeadHeard,
    JobEnded,
    MarkHeard,
    PauseChanged,
    PeerLost,
    PeersNeeded,
    RoomChanged,
    SceneComplete,
    SlotFreed,
)
from mesh.core.placement import next_tasks, run_length, wanted_claims
from mesh.core.timers import FirstClaims, Unanswered
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import Now, later
from mesh.ground.limits import (
    CLOSEST_KEEPER_MS,
    FAILED_HERE_MS,
    FIRST_CLAIMS_MS,
    HEARTBEAT_MS,
    KEEPER_QUIET_MS,
    LEASE_MS,
    SPLIT_LEAST_MS,
    UNFIT_MS,
)
from mesh.wire.envelope import Signed
from mesh.wire.messages import (
    Beat,
    Follow,
    Heartbeat,
    Running,
    Verdict,
    Window,
    Withdraw,
    portions,
)
from mesh.wire.records import UNFIT_KINDS, Claim

_TOLD_AGAIN_TICKS = 4

_MUTE_TICKS = -(-MUTE_MS // HEARTBEAT_MS)
"""Ticks from a question to a keeper until it is known to be mute."""

# Who has a mute keeper beats elsewhere before what that one told the other keepers last, a heartbeat old, ends there.
assert KEEPER_QUIET_MS + (1 + _MUTE_TICKS) * HEARTBEAT_MS < LEASE_MS - HEARTBEAT_MS

_SOUGHT_JOBS = 16
"""Jobs whose keepers are looked for at a time, of those that no keeper here answers for."""


class Took(enum.Enum):
    """What came of a job's turn."""

    SOME = "some"
    ENOUGH = "enough"
    """Nothing, since what is in hand is enough for now."""
    NOTHING = "nothing"
    """Nothing of it is open that this host could claim as a whole frame."""


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
        hand: Hand,
        costs: Costs,
        fairness: Fairness,
        followings: dict[JobId, Following],
        claim_cut: Callable[[Turn, JobId, Following], None],
        scene_complete: Callable[[JobId], bool],
        progress: Callable[[RecordId], int],
        coordinator: Callable[[JobId, Now], PeerId | None],
        decides: Callable[[JobId, Now], bool],
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._contacting = contacting
        self._directory = directory
        self._host = host
        self._hand = hand
        self._claim_cut = claim_cut
        """Claims of frames that are cut."""
        self._scene_complete = scene_complete
        self._progress = progress
        self._costs = costs
        self.fairness = fairness
        self._coordinator = coordinator
        self._decides = decides
        """Whether this peer, as a keeper, decides claims of a job now."""
        self._sought = 0
        """Jobs without a keeper that answers, whose keepers were asked for in this turn."""
        self.mine = hand.mine
        self.following = followings

    def rendered(self, job: JobId) -> bool:
        """Whether nothing of a job is left to be rendered, as far as this peer was told or knows."""
        ledger, following = self._ledger.get(job), self.following.get(job)
        told = following.told if following is not None else None
        if ledger is None or (told is not None and (told.ended or told.counting == ledger.frames)):
            return True
        return ledger.all_count

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
        closest = self._keepers_of(message.job, turn.now)
        if following is None or ledger is None or peer not in closest:
            return
        before = following.keeper
        farther = before in closest and closest.index(peer) > closest.index(before)
        if farther and before is not None and not overdue(following, before, turn.now.instant):
            return
        following.keeper = peer
        following.heard_at = turn.now.instant
        following.learn(message)
        for claim in self._hand.of(message.job):
            if claim.block is not None:
                following.buckets.take(claim.task, claim.block)
        self.claim_more(turn)

    def on_scene_complete(self, turn: Turn, note: SceneComplete) -> None:
        """Claim; where buckets are granted say first that this host is there."""
        following, ledger = self.following.get(note.job), self._ledger.get(note.job)
        if following is not None and ledger is not None and ledger.parts.cut is not None:
            following.asked.clear()
            self._follow(turn, ledger)
        self.claim_more(turn)

    def on_epoch_raised(self, turn: Turn, note: EpochRaised) -> None:
        """Turn to whoever coordinates now."""
        following, ledger = self.following.get(note.job), self._ledger.get(note.job)
        if following is not None and ledger is not None:
            following.asked.clear()
            self._follow(turn, ledger)

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
            if ledger is None or not ledger.needs(mine.claim.body.task, mine.claim.body.block):
                self._lost(turn, mine)
            else:
                self._won(turn, mine)

    def on_slot_freed(self, turn: Turn, note: SlotFreed) -> None:
        """Count the time that the job was given, and claim the next task."""
        self.fairness.on_slot_freed(note)
        self.claim_more(turn)

    def on_claim_ended(self, turn: Turn, note: ClaimEnded) -> None:
        """Forget a claim; tell the keepers where no record will."""
        mine = self.mine.get(note.claim.id)
        if mine is not None and note.gave_up:
            self._withdraw(turn, mine)
        self.mine.pop(note.claim.id, None)

    def on_frame_written(self, _turn: Turn, event: FrameWritten, claim: Signed[Claim]) -> None:
        """Count what a bucket cost."""
        job, block = claim.body.job, claim.body.block
        ledger = self._ledger.get(job)
        if ledger is not None and not ledger.ended and block is not None:
            self._costs.note(job, self._directory.me, ledger.parts.grid.pixels(block).area, event.render_ms)

    def on_render_failed(self, turn: Turn, event: RenderFailed, claim: Signed[Claim]) -> None:
        """Leave the task to others for a while; leave the job where it is this host's fault."""
        following = self.following.get(claim.body.job)
        if following is None:
            return
        parts = following.buckets.parts
        following.failed.update(dict.fromkeys(parts.of(claim.body.task, claim.body.block), turn.now.instant))
        if event.kind in UNFIT_KINDS:
            following.unfit_until = later(turn.now.instant, UNFIT_MS)

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Forget the job's windows; slots give up what they hold."""
        self.following.pop(note.job, None)
        self.fairness.on_job_ended(note)
        for mine in [mine for mine in self.mine.values() if mine.claim.body.job == note.job]:
            if mine.stand is Stand.PENDING:
                self.mine.pop(mine.claim.id)

    def on_slept(self, turn: Turn) -> None:
        """What was told before the gap is old: ask anew, and let go of claims that nobody has answered."""
        for mine in [mine for mine in self.mine.values() if mine.stand is Stand.PENDING]:
            self._withdraw(turn, mine)
        for following in self.following.values():
            following.forget()
            following.told = None
            following.asked.clear()
            following.beaten = None
        self.follow_all(turn)

    def withdraw_pending(self, turn: Turn) -> None:
        """Give up what has not been answered: this host is about to stop, or is paused."""
        for mine in [mine for mine in self.mine.values() if mine.stand is Stand.PENDING]:
            self._withdraw(turn, mine)

    def on_pause_changed(self, turn: Turn, _note: PauseChanged | RoomChanged) -> None:
        """Tell all keepers how many slots they may count on from now on, and let go of what none has answered."""
        if not self._host.takes_frames:
            self.withdraw_pending(turn)
        for following in self.following.values():
            following.asked.clear()
        self.follow_all(turn)
        self.claim_more(turn)

    def claim_more(self, turn: Turn) -> None:
        """Claim as many tasks as this host wants in hand, each time from the job that it gave the least time."""
        if not self._host.takes_frames or self._host.hears(turn.now.instant):
            return
        able = [job for job in self.following if self._claimable(turn, job)]
        self.fairness.enter(able, turn.now.instant)
        for job in able:
            self._forgive(turn, self.following[job])
        left = list(able)
        while (next_one := self.fairness.fairest(left, turn.now.instant)) is not None:
            took = self._claim_frames(turn, next_one, self.following[next_one], alone=len(left) == 1)
            if took is Took.ENOUGH:
                break
            if took is Took.NOTHING:
                left.remove(next_one)
        for job in able:
            self._claim_cut(turn, job, self.following[job])

    def _claimable(self, turn: Turn, job: JobId) -> bool:
        following = self.following[job]
        ledger = self._ledger.get(job)
        return (
            ledger is not None
            and not ledger.ended
            and following.has_something
            and following.keeper is not None
            and following.claims_from <= turn.now.instant
            and self._has_closest(turn, ledger, following)
            and following.unfit_until <= turn.now.instant
            and self._host.can_render(ledger.job)
            and self._scene_complete(job)
        )

    def _has_closest(self, turn: Turn, ledger: JobLedger, following: Following) -> bool:
        """Whether the closest keeper tells what can be claimed, or need not be waited for any more."""
        if turn.now.instant >= following.waits_until:
            return True
        closest = self._keepers.closest(ledger, turn.now)
        return closest is None or closest == following.keeper or self._directory.met(closest)

    def _forgive(self, turn: Turn, following: Following) -> None:
        """Try tasks again that others have had time to try."""
        for failed, failed_at in list(following.failed.items()):
            if turn.now.instant - failed_at >= FAILED_HERE_MS:
                following.failed.pop(failed)

    def _claim_frames(self, turn: Turn, job: JobId, following: Following, *, alone: bool) -> Took:
        """Claim frames to be rendered whole: all that are wanted, or one run where other jobs could have the rest."""
        assert following.told is not None and following.keeper is not None
        if not following.has_frames:
            return Took.NOTHING
        told, slots, in_hand = following.told, self._host.slots, self._hand.wanting_slots
        if in_hand >= slots * (1 + run_length(told.median_ms)):
            return Took.ENOUGH  # as nearly always: how many slots all others have need not be counted
        excluded = dict.fromkeys(claim.task for claim in self._hand.of(job))
        unclaimed = told.unclaimed - following.taken - sum(task in following.window for task in excluded)
        if wanted_claims(slots, told.median_ms, unclaimed, told.slots, in_hand) <= in_hand:
            return Took.ENOUGH  # nor are more wanted where there are more slots than the keeper tells of
        everybody = max(told.slots, slots + self._directory.slots_for(self._ledger.jobs[job].job))
        if following.buckets.parts.cut is not None and not 0 < told.median_ms < SPLIT_LEAST_MS:
            everybody *= 2  # the last ones are better split than claimed ahead
        lacking = wanted_claims(slots, told.median_ms, unclaimed, everybody, in_hand) - in_hand
        run = run_length(told.median_ms)
        if lacking <= 0 or (in_hand > slots and lacking <= run // 2):
            return Took.ENOUGH
        excluded |= dict.fromkeys(following.failed)
        ledger = self._ledger.jobs[job]
        if ledger.twice:
            me = self._directory.me
            excluded |= {task: None for task in following.window if ledger.task(task).waits_for_others(me)}
        count = lacking if alone else min(lacking, run)
        chosen = next_tasks(following.window.values(), job, self._directory.me, excluded, count)
        if not chosen:
            return Took.NOTHING
        for task in chosen:
            following.window.pop(task.task)
        following.taken += len(chosen)
        self._hand.send(turn, following.keeper, [self._hand.claim(job, task.task, task.attempt) for task in chosen])
        return Took.SOME

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
        if ledger.ended or self._host.rests or not self._host.can_render(ledger.job):
            return
        following = self.following.get(ledger.id)
        if following is None:
            following = self.following[ledger.id] = Following(Buckets(ledger.parts))
            following.claims_from = later(turn.now.instant, FIRST_CLAIMS_MS)
            following.waits_until = later(turn.now.instant, CLOSEST_KEEPER_MS)
            turn.wake(FirstClaims(job=ledger.id), FIRST_CLAIMS_MS)
        keepers = self._keepers_of(ledger.id, turn.now)
        if following.keeper is not None and following.keeper not in keepers:
            following.keeper = None
            following.forget()
            following.asked.clear()
        elif following.keeper is not None:
            self._contacting.probe(turn, following.keeper)
        wanted = whom_to_ask(following, self._deciding(turn, ledger.id, keepers), turn.now.instant)
        if wanted is not None or (not keepers and self._sought < _SOUGHT_JOBS):
            self._sought += not keepers
            turn.tell(PeersNeeded(peers=self._keepers.company(ledger, turn.now)))
        if wanted is not None:
            following.asked[wanted] = turn.now.instant
            turn.send(wanted, Follow(job=ledger.id, slots=self._offered(ledger)))

    def _offered(self, ledger: JobLedger) -> int:
        """Return how many slots a keeper may count on; nobody is granted buckets of a scene that is not here yet."""
        cut = ledger.parts.cut
        ready = cut is None or cut.whole or self._scene_complete(ledger.id)
        return self._host.slots if self._host.pause is None and not self._host.full and ready else 0

    def _keepers_of(self, job: JobId, now: Now) -> list[PeerId]:
        """Return a job's keepers, closest first, after the one that coordinates its stills."""
        keepers, first = self._keepers.of(job, now), self._coordinator(job, now)
        return [first, *(peer for peer in keepers if peer != first)] if first in keepers else keepers

    def _deciding(self, turn: Turn, job: JobId, keepers: list[PeerId]) -> list[PeerId]:
        """Leave this peer out of a job's keepers where it knows that it decides nothing yet, as after a restart."""
        if self._directory.me not in keepers or self._decides(job, turn.now):
            return keepers
        return [peer for peer in keepers if peer != self._directory.me]

    def _beat(self, turn: Turn) -> None:
        held: dict[JobId, list[Mine]] = {}
        for mine in self.mine.values():
            ledger = self._ledger.get(mine.claim.body.job)
            if mine.stand is Stand.HELD and ledger is not None and not ledger.ended:
                held.setdefault(ledger.id, []).append(mine)
        for job, claims in held.items():
            keepers = self._keepers_of(job, turn.now)
            if not keepers:
                continue
            following = self.following.get(job)
            if following is None:
                following = self.following[job] = Following(Buckets(self._ledger.jobs[job].parts))
            following.ticks += 1
            if keepers[0] != following.beaten or following.ticks % _TOLD_AGAIN_TICKS == 0:
                following.beaten = keepers[0]
                for held_now in portions(Running, "claims", [mine.claim for mine in claims]):
                    turn.send(keepers[0], Running(claims=held_now))
            beats = [Beat(claim=mine.claim.id, progress=self._progress(mine.claim.id)) for mine in claims]
            for heard in portions(Heartbeat, "beats", beats):
                turn.send(keepers[0], Heartbeat(job=job, beats=heard))
            self._contacting.probe(turn, keepers[0], KEEPER_QUIET_MS)
