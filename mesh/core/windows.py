"""A keeper tells its followers what can be claimed: the next open tasks, and how far the job is.

A follower's first news leaves at once, later ones at most twice a second and only when something changed. The window
is a few times as long as the job has slots, so that peers who choose from it by their own ranks seldom collide. Of
frames that are rendered in buckets it tells the open cells.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from mesh.core.dockets import Docket
from mesh.core.keepers import Keepers
from mesh.core.leases import Leases
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import EntryAdded, FollowerCame, JobEnded, PeerLost, WindowChanged
from mesh.core.timers import WindowDue
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Instant, later
from mesh.ground.limits import (
    FOLLOWED_MS,
    SPLIT_LEAST_MS,
    WINDOW_CALM_MS,
    WINDOW_FACTOR,
    WINDOW_PERIOD_MS,
    WINDOW_STALE,
)
from mesh.wire.envelope import Signed
from mesh.wire.grids import told_bits
from mesh.wire.messages import Follow, OpenTask, Window
from mesh.wire.records import Control
from mesh.wire.stills import MAX_CUT_FRAMES, Epoch, OpenCells

_FOLLOWERS = 1_000
"""Peers that one job uses at most."""

_WINDOW_MOST = 2_048


@dataclass(slots=True)
class Audience:
    """The followers of one job: how many slots each has, and until when it follows."""

    followers: dict[PeerId, tuple[int, Instant]] = field(default_factory=dict)
    told_at: Instant | None = None
    told: dict[int, None] = field(default_factory=dict)
    """The open tasks that all were told then."""
    due: bool = False
    slots: int = 0
    """Those of all followers together, when they were last counted."""
    counted: tuple[int, int] | None = None
    """As of when that was; None: before somebody came, went, or named another number."""

    def follow(self, peer: PeerId, slots: int, until: Instant) -> None:
        """Take a follower, or what it says anew."""
        before = self.followers.get(peer)
        if before is None or before[0] != slots:
            self.counted = None
        self.followers[peer] = (slots, until)

    def leave(self, peer: PeerId) -> None:
        """Forget a follower."""
        if self.followers.pop(peer, None) is not None:
            self.counted = None


class Windows:
    """Tell followers of the jobs that this peer arbitrates."""

    def __init__(
        self, ledger: Ledger, keepers: Keepers, leases: Leases, epoch: Callable[[JobId], Signed[Epoch] | None]
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._leases = leases
        self._epoch = epoch
        self._audiences: dict[JobId, Audience] = {}
        self.safe: dict[JobId, int] = {}
        """Tasks known safe, counted by whoever knows holds."""

    def on_follow(self, turn: Turn, peer: PeerId, message: Follow) -> None:
        """Take a follower, and tell it at once if it is new."""
        ledger = self._ledger.get(message.job)
        if ledger is None or not (
            self._keepers.marked(ledger.id, turn.now) or self._keepers.acting(ledger.id, turn.now)
        ):
            return
        if ledger.ended:
            turn.send(peer, self.window(ledger))
            return
        audience = self._audiences.setdefault(message.job, Audience())
        before = audience.followers.get(peer)
        if before is None and len(audience.followers) >= _FOLLOWERS:
            return
        audience.follow(peer, message.slots, later(turn.now.instant, FOLLOWED_MS))
        if ledger.parts.cut is not None and (before is None or before[0] != message.slots):
            turn.tell(FollowerCame(job=message.job))
        if self._leases.ready(ledger.id, turn.now):
            turn.send(peer, self.window(ledger))

    def on_window_changed(self, turn: Turn, note: WindowChanged) -> None:
        """Tell the followers, now or as soon as they may be told again."""
        audience = self._audiences.get(note.job)
        if audience is None or audience.due:
            return
        waited = WINDOW_PERIOD_MS if audience.told_at is None else turn.now.instant - audience.told_at
        audience.due = True
        turn.wake(WindowDue(job=note.job), max(0, WINDOW_PERIOD_MS - waited))

    def on_entry_added(self, turn: Turn, note: EntryAdded) -> None:
        """Tell the followers of what a person changed: they do not hear of it otherwise."""
        if isinstance(note.entry.body.what, Control):
            turn.tell(WindowChanged(job=note.entry.body.job))

    def on_window_due(self, turn: Turn, timer: WindowDue) -> None:
        """Tell the followers."""
        audience = self._audiences.get(timer.job)
        ledger = self._ledger.get(timer.job)
        if audience is None or ledger is None:
            return
        audience.due = False
        if not self._leases.ready(ledger.id, turn.now) and not ledger.ended:
            return
        window = self.window(ledger)
        if self._may_wait(turn, ledger, audience, window):
            audience.due = True
            turn.wake(timer, WINDOW_PERIOD_MS)
            return
        audience.told_at = turn.now.instant
        audience.told = {task.task: None for task in window.open}
        for peer in list(audience.followers):
            turn.send(peer, window)

    def _may_wait(self, turn: Turn, ledger: JobLedger, audience: Audience, window: Window) -> bool:
        """Whether what followers were told is good enough for a while: few tasks of it are taken, and none is open
        again.
        """
        if audience.told_at is None or turn.now.instant - audience.told_at >= WINDOW_CALM_MS:
            return False
        if ledger.ended or ledger.parts.cut is not None or not audience.told:
            return False
        still_open = sum(task.task in audience.told for task in window.open)
        opened = next((task.task for task in window.open if task.task not in audience.told), None)
        taken = len(audience.told) - still_open
        reopened = opened is not None and opened < next(reversed(audience.told))
        return not reopened and taken * WINDOW_STALE < len(audience.told)

    def on_peer_lost(self, note: PeerLost) -> None:
        """Forget a follower; it comes back by itself."""
        for audience in self._audiences.values():
            audience.leave(note.peer)

    def on_job_ended(self, turn: Turn, note: JobEnded) -> None:
        """Tell the followers that it is over, then forget them."""
        audience = self._audiences.pop(note.job, None)
        ledger = self._ledger.get(note.job)
        if audience is not None and ledger is not None:
            window = self.window(ledger)
            for peer in audience.followers:
                turn.send(peer, window)
        self.safe.pop(note.job, None)

    def on_tick(self, turn: Turn) -> None:
        """Forget followers that have stopped asking; a keeper that just became ready tells those that have not."""
        for job, audience in self._audiences.items():
            for peer, (_, until) in list(audience.followers.items()):
                if until < turn.now.instant:
                    audience.leave(peer)
            if audience.told_at is None and audience.followers and self._leases.ready(job, turn.now):
                turn.tell(WindowChanged(job=job))

    def on_slept(self) -> None:
        """Everybody is told anew once this keeper has heard the news."""
        for audience in self._audiences.values():
            audience.told_at = None

    def followers(self, job: JobId) -> dict[PeerId, int]:
        """Return who follows the job here with slots, and with how many: as many as it offers everybody, at most."""
        audience = self._audiences.get(job)
        said = audience.followers.items() if audience is not None else ()
        found = ((peer, self._leases.renders(peer, slots)) for peer, (slots, _) in said)
        return {peer: slots for peer, slots in found if slots}

    def slots(self, job: JobId) -> int:
        """Return the slots of all that follow the job here."""
        audience = self._audiences.get(job)
        if audience is None:
            return 0
        if audience.counted != self._leases.renders_as_of:
            audience.counted = self._leases.renders_as_of
            said = audience.followers.items()
            audience.slots = sum([self._leases.renders(peer, slots) for peer, (slots, _) in said])
        return audience.slots

    def window(self, ledger: JobLedger) -> Window:
        """Return what a follower is told now."""
        slots = self.slots(ledger.id)
        most = min(_WINDOW_MOST, max(WINDOW_FACTOR, WINDOW_FACTOR * slots))
        docket = self._leases.dockets.get(ledger.id)
        attempts = docket.attempts if docket is not None else {}
        splits, is_cut = self._splits(ledger), ledger.parts.cut is not None
        listed = [
            _open_task(
                task,
                self._attempt(ledger, task) if task in attempts or task in ledger.tried else 0,
                is_cut and self._in_buckets(ledger, task, splits=splits),
            )
            for task in self._next(ledger, most)
        ]
        running = _running(docket) if docket is not None else 0
        left = ledger.frames - ledger.counting - ledger.stopped
        return Window(
            job=ledger.id,
            open=tuple(listed),
            slots=slots,
            unclaimed=len(listed) if len(listed) < most else max(len(listed), left - running),
            running=running,
            counting=ledger.counting,
            stopped=ledger.stopped,
            safe=self.safe.get(ledger.id, 0),
            median_ms=ledger.median_ms,
            ended=ledger.ended,
            cells=self.open_cells(ledger),
            cells_counting=ledger.cells_counting,
            epoch=self._epoch(ledger.id),
            weight=ledger.weight,
        )

    def open_cells(self, ledger: JobLedger) -> tuple[OpenCells, ...]:
        """Return which cells can be claimed, of the next few frames that are rendered in buckets."""
        return tuple(islice(self._cells(ledger), MAX_CUT_FRAMES))

    def has_buckets(self, ledger: JobLedger) -> bool:
        """Whether frames of a job are rendered in buckets now."""
        splits = self._splits(ledger)
        return any(self._in_buckets(ledger, frame, splits=splits) for frame in _cut_frames(ledger))

    def _splits(self, ledger: JobLedger) -> bool:
        """Whether frames that may be rendered whole are not: too few are left for the idle slots, or for all once these
        have ended what they render; and a frame takes long enough, where that is known.
        """
        if ledger.parts.cut is None or not ledger.parts.cut.whole or 0 < ledger.median_ms < SPLIT_LEAST_MS:
            return False
        slots, docket = self.followers(ledger.id), self._leases.dockets.get(ledger.id)
        claimed = _claimed(docket) if docket is not None else Counter[PeerId]()
        idle = sum(max(0, count - claimed[peer]) for peer, count in slots.items())
        most = idle or (sum(slots.values()) if ledger.median_ms else 0)
        return len(list(islice(self._unclaimed(ledger), most))) < most

    def _in_buckets(self, ledger: JobLedger, frame: int, *, splits: bool) -> bool:
        """Whether a frame is rendered in buckets: it must be, somebody has begun so, or slots would be idle."""
        cut = ledger.parts.cut
        if cut is None or not ledger.parts.is_cut(frame):
            return False
        docket = self._leases.dockets.get(ledger.id)
        lease = docket.leases.get(frame) if docket is not None else None
        if not cut.whole or ledger.has_buckets(frame) or lease is not None:
            return lease is None or lease.assembles
        begun = docket is not None and docket.buckets[frame] > 0
        return begun or (splits and not self._leases.taken(ledger.id, frame))

    def _next(self, ledger: JobLedger, most: int) -> Iterator[int]:
        """Return the frames to be told of: the next so many, and where others' pictures are to be checked as many that
        nobody has rendered, so that the authors of all that wait have something to do.
        """
        return self._next_twice(ledger, most) if ledger.twice else islice(self._unclaimed(ledger), most)

    def _next_twice(self, ledger: JobLedger, most: int) -> Iterator[int]:
        left = {True: most, False: most}
        for frame in self._unclaimed(ledger):
            waits = bool(ledger.task(frame).waiting)
            if left[waits]:
                left[waits] -= 1
                yield frame
            elif not any(left.values()):
                return

    def _unclaimed(self, ledger: JobLedger) -> Iterator[int]:
        docket = self._leases.dockets.get(ledger.id)
        taken = docket.all_taken() if docket is not None else {}
        return (frame for frame in ledger.open_frames() if frame not in taken)

    def _cells(self, ledger: JobLedger) -> Iterator[OpenCells]:
        """Yield what is open of each frame that is rendered in buckets."""
        splits = self._splits(ledger)
        for frame in _cut_frames(ledger):
            if not self._in_buckets(ledger, frame, splits=splits):
                continue
            docket = self._leases.dockets.get(ledger.id)
            bits = ledger.open_bits(frame) & ~(docket.taken_bits(frame, ledger.parts) if docket is not None else 0)
            if bits:
                own = ledger.parts.cells_of(frame)
                tried = (*ledger.tried, *(docket.attempts if docket is not None else ()))
                again = (task for task in tried if task in own and bits >> task - own.start & 1)
                attempt = max((self._attempt(ledger, task) for task in again), default=0)
                yield OpenCells(task=frame, attempt=attempt, bits=told_bits(bits))

    def _attempt(self, ledger: JobLedger, task: int) -> int:
        return max(ledger.task(task).attempt, self._leases.attempt(ledger.id, task))


@lru_cache(maxsize=2 * _WINDOW_MOST)
def _open_task(task: int, attempt: int, in_buckets: bool) -> OpenTask:
    """Return a window's line: the same hundreds are told twice a second."""
    return OpenTask(task=task, attempt=attempt, in_buckets=in_buckets)


def _cut_frames(ledger: JobLedger) -> Iterator[int]:
    if ledger.parts.cut is None:
        return iter(())
    return (frame for frame in ledger.open_frames() if ledger.parts.is_cut(frame))


def _claimed(docket: Docket) -> Counter[PeerId]:
    """Count what each peer renders, or has claimed and waits for the verdict of."""
    claimed = Counter(lease.holder for lease in docket.by_claim.values() if not lease.assembles)
    waiting = (claim for pending in docket.pending.values() for claim in pending.claims)
    claimed.update(claim.author for claim in waiting if not claim.body.assembles)
    return claimed


def _running(docket: Docket) -> int:
    """Return how many slots claims want that have a lease or wait for the verdict; assembling takes none."""
    waiting = [all(claim.body.assembles for claim in pending.claims) for pending in docket.pending.values()]
    return docket.rendering + waiting.count(False)
