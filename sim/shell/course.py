"""What a seed draws for tier B: how many peers, their network and disks, jobs, and what goes wrong when.

As many faults come as there are peers, so that each fails once on average, and all of them in the first part. Then all
is mended, everybody is started again, and all jobs must be finished.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from mesh.ground.dice import Dice

What: TypeAlias = Literal["kill", "power", "fuse", "stop", "still", "cut", "isolate", "full", "pause"]
WHATS: Final[tuple[What, ...]] = get_args(What)

PEERS_LEAST: Final = 20
PEERS_MOST: Final = 50
MANY_EACH: Final = 5
"""In one seed of so many there may be as many peers as that, else a few more than the least: what each says to each
grows with their square."""
FAULTS_FROM_MS: Final = 6_000
FAULTS_MS: Final = 20_000
"""Of virtual time: as long as faults come."""
ENDS_MS: Final = 300_000
"""All must be finished by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One fault: what happens to which host, when, and for how long."""

    at_ms: int
    what: What
    host: int
    other: int
    """At the far end of a line that is cut."""
    lasts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job: who submits it when, and what it is like."""

    at_ms: int
    host: int
    frames: int
    frame_ms: int
    still: bool
    cancelled_after_ms: int
    """0: it is not."""
    fetched_by: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One run of tier B."""

    seed: int
    peers: int
    renderers: int
    late: dict[int, int]
    """Who joins later than the others, and when."""
    latency_ms: int
    jitter_ms: int
    loss_ppm: int
    disk_ms: int
    tasks: tuple[Task, ...]
    acts: tuple[Act, ...]
    taped: tuple[int, ...]
    """Whose tapes are replayed at the end."""
    ends_ms: int = ENDS_MS

    def told(self) -> str:
        """Tell a person."""
        kinds = ", ".join(f"{count} {what}" for what in WHATS if (count := sum(act.what == what for act in self.acts)))
        jobs = ", ".join(f"{task.frames} x {task.frame_ms} ms{' still' if task.still else ''}" for task in self.tasks)
        return (
            f"{self.peers} peers, {self.renderers} render, {len(self.late)} late; {self.latency_ms} ms and "
            f"{self.jitter_ms} ms jitter, {self.loss_ppm} ppm lost, disk {self.disk_ms} ms; jobs: {jobs}; {kinds}"
        )


def draw(seed: int, peers: int | None = None) -> Course:
    """Draw a run."""
    dice = Dice(b"shell" + seed.to_bytes(8, "big"))
    peers = peers or PEERS_LEAST + dice.below(5 if dice.below(MANY_EACH) else PEERS_MOST - PEERS_LEAST + 1)
    renderers = max(2, peers * (40 + dice.below(50)) // 100)
    late = {host: 3_000 + dice.below(20_000) for host in range(2, peers) if dice.below(100) < 20}
    return Course(
        seed=seed,
        peers=peers,
        renderers=renderers,
        late=late,
        latency_ms=1 + dice.below(30),
        jitter_ms=dice.below(20),
        loss_ppm=dice.below(30_000),
        disk_ms=1 + dice.below(40),
        tasks=_tasks(dice.fork(b"tasks"), peers, renderers),
        acts=_acts(dice.fork(b"acts"), peers),
        taped=tuple(dict.fromkeys(dice.below(peers) for _ in range(3))),
    )


def _tasks(dice: Dice, peers: int, renderers: int) -> tuple[Task, ...]:
    tasks: list[Task] = []
    for number in range(2 + dice.below(3)):
        still = number == 1
        frame_ms = 500 + dice.below(3_000)
        tasks.append(
            Task(
                at_ms=4_000 + dice.below(FAULTS_MS // 2),
                host=dice.below(peers),
                frames=1 if still else min(40, 4 + renderers * (5_000 + dice.below(15_000)) // frame_ms // 2),
                frame_ms=8 * frame_ms if still else frame_ms,
                still=still,
                cancelled_after_ms=3_000 + dice.below(8_000) if number == 2 else 0,
                fetched_by=dice.below(peers) if number == 0 else None,
            )
        )
    return tuple(tasks)


def _acts(dice: Dice, peers: int) -> tuple[Act, ...]:
    acts = [
        Act(
            at_ms=FAULTS_FROM_MS + dice.below(FAULTS_MS),
            what=WHATS[dice.below(len(WHATS))],
            host=dice.below(peers),
            other=dice.below(peers),
            lasts_ms=500 + dice.below(9_000),
        )
        for _ in range(peers)
    ]
    return tuple(sorted(acts, key=lambda act: act.at_ms))
