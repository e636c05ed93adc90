"""Who coordinates a job's stills: an epoch and its author, the highest that was heard.

Theory: the coordinator is the keeper closest to the job that answers, and it only makes the mesh fast: it holds no
state that another could not work out, and what it grants binds nobody before it is claimed. So it may change at any
moment, and two may believe that they are it: everybody follows the highest epoch (number, then author) that it has
heard. A keeper raises the number by one when the one before is dead or has been silent, and never displaces one that
lives.

Invariants: the epoch that is followed only rises. Only keepers lead. What a coordinator does is not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.core.directory import Directory
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import EpochRaised, JobEnded, PeerDead, WindowChanged
from mesh.core.timers import ElectionDue
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import FIRST_CLAIMS_MS, LEASE_MS
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.messages import Window
from mesh.wire.stills import MAX_EPOCH, Epoch, Leading

_FIRST_MS = FIRST_CLAIMS_MS // 2
"""Each keeper of a new job hears of the others in that time, so that mostly one of them leads."""

_NEXT_MS = 300
"""So much longer than one that is closer to the job a keeper waits: who has just started decides nothing yet."""


@dataclass(slots=True, kw_only=True)
class Reign:
    """The highest epoch heard of one job."""

    epoch: Signed[Epoch]
    heard_at: Instant
    """When its author was last heard to lead."""
    died_at: Instant | None = None
    """When its author's process has surely ended since."""

    @property
    def over_at(self) -> Instant:
        """When another may lead."""
        return self.died_at if self.died_at is not None else later(self.heard_at, LEASE_MS)


class Election:
    """Follow the highest epoch, and raise it where this peer is next."""

    def __init__(
        self,
        ledger: Ledger,
        keepers: Keepers,
        directory: Directory,
        signer: Signer,
        *,
        ready: Callable[[JobId, Now], bool],
        has_buckets: Callable[[JobLedger], bool],
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._directory = directory
        self._signer = signer
        self._ready = ready
        """Whether this peer, as a keeper, decides claims of a job now."""
        self._has_buckets = has_buckets
        """Whether frames of a job are rendered in buckets now."""
        self._reigns: dict[JobId, Reign] = {}

    def epoch(self, job: JobId) -> Signed[Epoch] | None:
        """Return the highest epoch heard of a job."""
        reign = self._reigns.get(job)
        return reign.epoch if reign is not None else None

    def coordinator(self, job: JobId, now: Now) -> PeerId | None:
        """Return who coordinates a job, as far as this peer heard; None: nobody that is known to live."""
        reign = self._reigns.get(job)
        if reign is None or reign.died_at is not None or not self._directory.answers(reign.epoch.author, now.instant):
            return None
        return reign.epoch.author

    def leads(self, job: JobId, now: Now) -> bool:
        """Whether this peer coordinates a job now."""
        reign = self._reigns.get(job)
        return reign is not None and reign.epoch.author == self._directory.me and self._ready(job, now)

    def on_leading(self, turn: Turn, peer: PeerId, message: Leading) -> None:
        """Follow a higher epoch; tell whoever follows a lower one."""
        epoch = message.epoch
        job = epoch.body.job
        ledger = self._ledger.get(job)
        if ledger is None or ledger.parts.cut is None or ledger.ended:
            return
        reign = self._reigns.get(job)
        if reign is not None and rank(epoch) < rank(reign.epoch):
            turn.send(peer, Leading(epoch=reign.epoch))
        elif reign is not None and epoch.id == reign.epoch.id:
            if peer == epoch.author:
                reign.heard_at, reign.died_at = turn.now.instant, None
        elif self._keepers.keeps(epoch.author, job, turn.now):
            self._follow(turn, job, epoch)

    def on_window(self, turn: Turn, peer: PeerId, message: Window) -> None:
        """Follow the epoch that a keeper follows."""
        if message.epoch is not None and message.epoch.body.job == message.job:
            self.on_leading(turn, peer, Leading(epoch=message.epoch))

    def on_window_changed(self, turn: Turn, note: WindowChanged) -> None:
        """See soon to a job that nobody leads yet."""
        ledger = self._ledger.get(note.job)
        if note.job not in self._reigns and ledger is not None and self._may_lead(turn.now, ledger):
            turn.wake(ElectionDue(job=note.job), _FIRST_MS)

    def on_election_due(self, turn: Turn, timer: ElectionDue) -> None:
        """Lead a job that nobody leads yet, or any more."""
        ledger = self._ledger.get(timer.job)
        if ledger is not None and self._may_lead(turn.now, ledger):
            self._consider(turn, ledger)

    def _may_lead(self, now: Now, ledger: JobLedger) -> bool:
        if ledger.parts.cut is None:
            return False
        return not ledger.ended and self._ready(ledger.id, now) and self._has_buckets(ledger)

    def on_tick(self, turn: Turn) -> None:
        """Lead on, or take over from whoever is silent."""
        for job, ledger in self._ledger.jobs.items():
            if self._may_lead(turn.now, ledger):
                self._consider(turn, ledger)
            if self.leads(job, turn.now):  # also while there is nothing to grant: silence means death
                self._tell(turn, ledger)

    def on_peer_dead(self, turn: Turn, note: PeerDead) -> None:
        """Take over at once where the coordinator has died and this peer is next."""
        for job, reign in self._reigns.items():
            ledger = self._ledger.get(job)
            if reign.epoch.author != note.peer or ledger is None:
                continue
            reign.died_at = turn.now.instant
            if self._may_lead(turn.now, ledger):
                self._consider(turn, ledger)

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Nothing is left to grant."""
        self._reigns.pop(note.job, None)

    def on_slept(self, turn: Turn) -> None:
        """What was silent while this host slept may have been heard by others."""
        for reign in self._reigns.values():
            reign.heard_at = turn.now.instant

    def _lives(self, reign: Reign, now: Now) -> bool:
        if reign.epoch.author == self._directory.me:
            return True
        return now.instant < reign.over_at

    def _consider(self, turn: Turn, ledger: JobLedger) -> None:
        """Take over where nobody who lives leads and this peer is the closest keeper that answers, or closer ones have
        had time to.
        """
        reign = self._reigns.get(ledger.id)
        if reign is not None and self._lives(reign, turn.now):
            return
        before = reign.epoch.author if reign is not None else None
        able = [peer for peer in self._keepers.of(ledger.id, turn.now) if peer != before]
        if self._directory.me not in able:
            return
        closer = able.index(self._directory.me)
        if closer and reign is None:
            return
        wait_ms = later(reign.over_at, closer * _NEXT_MS) - turn.now.instant if reign is not None else 0
        if wait_ms > 0:
            turn.wake(ElectionDue(job=ledger.id), wait_ms)
            return
        number = min(MAX_EPOCH, reign.epoch.body.number + 1) if reign is not None else 1
        epoch = sign(Epoch(job=ledger.id, number=number), self._signer)
        if reign is None or rank(epoch) > rank(reign.epoch):
            self._follow(turn, ledger.id, epoch)
            self._tell(turn, ledger)

    def _follow(self, turn: Turn, job: JobId, epoch: Signed[Epoch]) -> None:
        self._reigns[job] = Reign(epoch=epoch, heard_at=turn.now.instant)
        turn.tell(EpochRaised(job=job))

    def _tell(self, turn: Turn, ledger: JobLedger) -> None:
        reign = self._reigns[ledger.id]
        for peer in self._keepers.of(ledger.id, turn.now):
            if peer != self._directory.me:
                turn.send(peer, Leading(epoch=reign.epoch))


def rank(epoch: Signed[Epoch]) -> tuple[int, PeerId]:
    """Return what epochs are ordered by."""
    return (epoch.body.number, epoch.author)
