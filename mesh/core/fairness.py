"""Whose turn it is: the time that this host gave each job, by the job's weight.

Theory: start-time fair queueing, each host for itself. A job's *time* grows by what it took of this host's slots,
divided by its weight; an idle slot goes to the job whose time is least. Claims in hand count for what such a task
takes, so that several slots that are free at once are shared out as well, and nothing is claimed ahead twice in a row.

A job that comes late begins where the others are, or it would have the whole host until it had caught up with what
was given before there was any of it. One that had nothing open for a while may have fallen behind by a little, no more.

Invariants: times only grow, and so does the level, the least time of those that could be rendered. Nothing here is
written down: after a restart all jobs begin alike. Must not know who else renders what, nor who submitted a job: jobs
of equal weight are equal, whosever they are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mesh.core.following import Following
from mesh.core.hand import Hand
from mesh.core.ledger import Ledger
from mesh.core.notes import JobEnded, SlotFreed
from mesh.core.placement import rank
from mesh.core.slots import InHand
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Instant
from mesh.ground.share_limits import FAIR_LAG_MS, FAIR_LEAD_MS, UNKNOWN_TASK_MS, WEIGHT_DEFAULT

_US = 1_000
"""Times are kept in microseconds of a job of the usual weight, so that short tasks of a heavy job are not lost."""


@dataclass(slots=True, kw_only=True)
class Given:
    """What one job had of this host."""

    time_us: int
    order: bytes
    """Which of two jobs goes first that had as much: another one at each peer, so that all jobs begin at once."""
    taken_ms: int = 0
    tasks: int = 0


class Fairness:
    """Count what each job is given, and say whose turn it is."""

    def __init__(
        self,
        ledger: Ledger,
        me: PeerId,
        hand: Hand,
        *,
        followings: dict[JobId, Following],
        running: Callable[[], list[InHand]],
    ) -> None:
        self._ledger = ledger
        self._me = me
        self._hand = hand
        self._followings = followings
        self._running = running
        self._given: dict[JobId, Given] = {}
        self._able: tuple[JobId, ...] = ()
        """Jobs that could be rendered here when that was last looked at."""
        self._level_us = 0

    def on_slot_freed(self, note: SlotFreed) -> None:
        """Count what a task took of its slot, whatever became of it."""
        ledger = self._ledger.get(note.job)
        if ledger is None or ledger.ended:
            return
        given = self._of(note.job)
        given.time_us += self._time_us(note.job, note.taken_ms)
        given.taken_ms += note.taken_ms
        given.tasks += 1

    def on_job_ended(self, note: JobEnded) -> None:
        """Forget it."""
        self._given.pop(note.job, None)
        self._able = tuple(job for job in self._able if job != note.job)

    def weight(self, job: JobId) -> int:
        """Return a job's weight as its keeper tells it, who hears of changes first."""
        following = self._followings.get(job)
        told = following.told if following is not None else None
        return told.weight if told is not None else self._ledger.jobs[job].weight

    def enter(self, able: Iterable[JobId], now: Instant) -> None:
        """Note which jobs could be rendered now; put new ones beside the others, and let none of them be far behind."""
        self._able = tuple(able)
        new = [job for job in self._able if job not in self._given]
        if new and len(new) < len(self._able):  # what these have in hand is theirs: a new one need not make up for it
            promised_ms = self._promised_ms(now)
            least_us = min(self._with(job, promised_ms) for job in self._able if job in self._given)
            for job in new:
                self._of(job).time_us = max(self._level_us, least_us)
        so_far_ms: dict[JobId, int] = {}
        for each in self._running():
            job = each.claim.body.job
            so_far_ms[job] = so_far_ms.get(job, 0) + now - each.started_at
        times_us: list[int] = []
        for job in self._able:
            time_us = self._with(job, so_far_ms)
            behind_us = max(0, self._level_us - FAIR_LAG_MS * _US - time_us)
            self._given[job].time_us += behind_us
            times_us.append(time_us + behind_us)
        self._level_us = max(self._level_us, min(times_us, default=0))

    def fairest(self, jobs: Sequence[JobId], now: Instant) -> JobId | None:
        """Return whose turn it is of these jobs, which have entered; None where there are none."""
        if len(jobs) < 2:
            return jobs[0] if jobs else None
        promised_ms = self._promised_ms(now)
        return min(jobs, key=lambda job: (self._with(job, promised_ms), self._given[job].order))

    def is_turn(self, job: JobId, now: Instant) -> bool:
        """Whether a job may have one task more, others being able to use the slot: it may lead them by a little."""
        others = [other for other in self._able if other != job and other in self._given]
        if not others:
            return True
        promised_ms = self._promised_ms(now)
        least_us = min(self._with(other, promised_ms) for other in others)
        return self._with(job, promised_ms) <= least_us + FAIR_LEAD_MS * _US

    def _of(self, job: JobId) -> Given:
        found = self._given.get(job)
        if found is None:
            found = self._given[job] = Given(time_us=self._level_us, order=rank(job, 0, self._me))
        return found

    def _with(self, job: JobId, more_ms: Mapping[JobId, int]) -> int:
        return self._of(job).time_us + self._time_us(job, more_ms.get(job, 0))

    def _time_us(self, job: JobId, taken_ms: int) -> int:
        return taken_ms * _US * WEIGHT_DEFAULT // self.weight(job)

    def _promised_ms(self, now: Instant) -> Counter[JobId]:
        """Return how long what is in hand of each job is taken to keep slots, those that render since they began."""
        promised_ms = Counter[JobId]()
        so_far_ms = {each.claim.id: now - each.started_at for each in self._running()}
        longest_ms = Counter[JobId]()
        for each in self._running():
            job = each.claim.body.job
            longest_ms[job] = max(longest_ms[job], so_far_ms[each.claim.id])
        for claim in self._hand.wanting:
            job = claim.body.job
            known_ms = self.expected_ms(job) or max(longest_ms[job], UNKNOWN_TASK_MS)
            promised_ms[job] += max(known_ms, so_far_ms.get(claim.id, 0))
        return promised_ms

    def expected_ms(self, job: JobId) -> int:
        """Return how long a task of a job takes a slot here, as far as is known; 0: nobody has rendered any."""
        given, following = self._given.get(job), self._followings.get(job)
        if given is not None and given.tasks:
            return given.taken_ms // given.tasks
        told = following.told if following is not None else None
        return told.median_ms if told is not None else 0
