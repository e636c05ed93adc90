"""What this peer was told of one job by a keeper, and whom it asks next.

Invariants: what is open here is what the last window said, less what this peer has claimed since. Must not know what is
claimed, nor why.
"""

from dataclasses import dataclass, field

from mesh.core.buckets import Buckets
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.ground.limits import FOLLOW_PERIOD_MS, UNANSWERED_MS
from mesh.wire.messages import OpenTask, Window


@dataclass(slots=True)
class Following:
    """What this peer was told of one job, and by whom."""

    buckets: Buckets
    """What is open of frames that are cut."""
    _window: dict[int, OpenTask] | None = field(default_factory=dict)
    """Frames to be rendered whole; None: all that `told` says, of a job that is not cut."""
    unassembled: dict[int, OpenTask] = field(default_factory=dict)
    told: Window | None = None
    taken: int = 0
    """How much of what it says is open this peer has claimed since."""
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

    waits_for_grant: bool = False
    """Whether a timer will see whether this peer has to claim buckets by itself."""

    @property
    def has_something(self) -> bool:
        """Whether anything is open, as far as was told."""
        return bool(self.has_frames or self.buckets.cells or self.unassembled)

    @property
    def has_frames(self) -> bool:
        """Whether any frame is to be rendered whole, as far as was told."""
        return any(map(self._is_whole, self._told_open())) if self._window is None else bool(self._window)

    @property
    def window(self) -> dict[int, OpenTask]:
        """Frames to be rendered whole."""
        if self._window is None:  # of windows of hundreds, which come twice a second, most replace one never read
            self._window = {task.task: task for task in self._told_open() if self._is_whole(task)}
        return self._window

    def learn(self, told: Window) -> None:
        """Take a keeper's word for what is open."""
        self.told, self.taken, parts = told, 0, self.buckets.parts
        if parts.cut is None:  # as in most jobs
            self._window, self.unassembled = None, {}
        else:
            tasks = {task.task: task for task in told.open if task.task < parts.frames}
            self._window = {n: task for n, task in tasks.items() if not task.in_buckets and parts.may_be_whole(n)}
            self.unassembled = {n: task for n, task in tasks.items() if task.in_buckets and parts.is_cut(n)}
        self.buckets.tell(told.cells)

    def forget(self) -> None:
        """Forget what is open."""
        self._window, self.unassembled = {}, {}
        self.buckets.tell(())

    def _told_open(self) -> tuple[OpenTask, ...]:
        return self.told.open if self.told is not None else ()

    def _is_whole(self, task: OpenTask) -> bool:
        return task.task < self.buckets.parts.frames and not task.in_buckets


def overdue(following: Following, keeper: PeerId, now: Instant) -> bool:
    """Whether `keeper` was asked for its window and has not told it."""
    asked_at = following.asked.get(keeper)
    if asked_at is None or now - asked_at < UNANSWERED_MS:
        return False
    return following.heard_at is None or following.heard_at < asked_at


def whom_to_ask(following: Following, keepers: list[PeerId], now: Instant) -> PeerId | None:
    """Return the closest keeper when it is time to ask it, the next ones one by one while nobody answers."""
    if not keepers:
        return None
    asked_at = following.asked.get(keepers[0])
    if asked_at is None or now - asked_at >= FOLLOW_PERIOD_MS:
        return keepers[0]
    if not overdue(following, keepers[0], now) or now - max(following.asked.values()) < UNANSWERED_MS:
        return None
    others = [peer for peer in keepers[1:] if now - following.asked.get(peer, asked_at) >= FOLLOW_PERIOD_MS]
    return next((peer for peer in keepers[1:] if peer not in following.asked), others[0] if others else None)
