"""What is known of the mesh now: the news, folded. Pure but for being changed by `hear`; time comes with the news.

Invariants: a job's frames keep the order in which the peer told them; a change that comes before its job was told in
full says nothing; what was known stays when the peer is lost, since it is what a person still wants to see.
"""

from dataclasses import dataclass, field
from typing import Final

from mesh.cli.progress import Rate
from mesh.cli.top.news import (
    JobChanged,
    JobRefused,
    JobTold,
    LogRefused,
    LogTold,
    News,
    PeerLost,
    StatusTold,
    StillRefused,
    StillTold,
)
from mesh.ports.desk import JobAnswer, JobRow, StatusAnswer, TaskRow
from mesh.ports.logs import LogAnswer
from mesh.ports.stills import BucketsAnswer
from mesh.ports.submission import PictureRow

FOLLOWED_JOBS_MOST: Final = 4
"""Rendering jobs that are followed so that each peer's frame can be named: each costs the peer up to a twentieth of its
loop, and more are not on a screen."""

FOLLOWED_FRAMES_MOST: Final = 2_000
"""Longer jobs are followed only while a person looks at them."""


RATE_AFTER: Final = 10
"""Frames that must have been seen to come before they tell the rate: two that came together say little."""


class KnownJob:
    """One job in full."""

    def __init__(self, answer: JobAnswer) -> None:
        self.row: JobRow = answer["job"]
        self.picture: PictureRow = answer["picture"]
        self.helpers = answer["helpers"]
        self.frames: list[TaskRow] = list(answer["frames"])
        self.places = {task["frame"]: place for place, task in enumerate(self.frames)}
        """Frame number to its place in `frames`."""
        self.running = {task["frame"] for task in self.frames if task["state"] == "running"}

    def change(self, row: JobRow, frames: list[TaskRow]) -> None:
        """Take what changed."""
        self.row = row
        for task in frames:
            place = self.places.get(task["frame"])
            if place is None:
                continue
            self.frames[place] = task
            (self.running.add if task["state"] == "running" else self.running.discard)(task["frame"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log as it came: an answer, or why there is none."""

    job: str
    frame: int | None
    answer: LogAnswer | None
    why: str = ""


@dataclass(slots=True, kw_only=True)
class Board:
    """All that a screen may show."""

    status: StatusAnswer | None = None
    lost: PeerLost | None = None
    returned: bool = False
    """The peer was lost and is back; whoever has said so sets it back."""
    returns: int = 0
    """How often that happened: what was asked of the lost peer is asked again."""
    jobs: dict[str, KnownJob] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    log: Log | None = None
    still: BucketsAnswer | None = None
    """The frame in buckets that was told last."""
    stills_told: int = 0
    """How often one was told, or refused: whoever waits for an answer sees that it came."""
    _rates: dict[str, Rate] = field(default_factory=dict)
    _began: dict[str, int] = field(default_factory=dict)
    """By job, the frames that counted when it was first seen to render."""

    def hear(self, news: News) -> None:
        """Take in one piece of news."""
        match news:
            case StatusTold(status=status):
                self._status(status)
            case PeerLost():
                # The first loss stays: from then on what is shown is old.
                self.lost = self.lost or news
            case JobTold(answer=answer):
                self.jobs[answer["job"]["id"]] = KnownJob(answer)
                self.refused.pop(answer["job"]["id"], None)
            case JobChanged(change=change):
                if (known := self.jobs.get(change["job"]["id"])) is not None:
                    known.change(change["job"], change["frames"])
            case JobRefused(job=job, why=why):
                self.refused[job] = why
            case LogTold(job=job, frame=frame, answer=answer):
                self.log = Log(job=job, frame=frame, answer=answer)
            case LogRefused(job=job, frame=frame, why=why):
                self.log = Log(job=job, frame=frame, answer=None, why=why)
            case StillTold(answer=answer):
                self.still = answer
                self.stills_told += 1
            case StillRefused():
                self.stills_told += 1

    def _status(self, status: StatusAnswer) -> None:
        if self.lost is not None:
            self.lost, self.returned = None, True
            self.returns += 1
        self.status = status
        here = {row["id"] for row in status["jobs"]}
        self._rates = {job: rate for job, rate in self._rates.items() if job in here}
        self._began = {job: began for job, began in self._began.items() if job in here}
        self.jobs = {job: known for job, known in self.jobs.items() if job in here}
        for row in status["jobs"]:
            if row["state"] == "rendering":
                self._began.setdefault(row["id"], row["counting"])
                self._rates.setdefault(row["id"], Rate()).see(row["counting"], status["now_at_ms"] / 1000)
            if (known := self.jobs.get(row["id"])) is not None:
                known.row = row

    def job_row(self, job: str) -> JobRow | None:
        """Return a job's row, None where there is no such job."""
        rows = self.status["jobs"] if self.status is not None else []
        return next((row for row in rows if row["id"] == job), None)

    def per_hour(self, row: JobRow) -> float:
        """Return how many frames an hour a job makes: as seen, or until then by its frames' times; 0 where unknown."""
        if row["state"] != "rendering" or (row["pixels"] and row["tasks"] == 1):
            return 0.0  # of a single picture the time left says it better
        came = row["counting"] - self._began.get(row["id"], row["counting"])
        if came >= RATE_AFTER and (seen := self._rates[row["id"]].per_second()):
            return seen * 3_600
        # What buckets took tells of frames that grow from them; their median does not.
        grown_ms = row["pixels"] // row["tasks"] * row["pixel_ns"] / 1_000_000
        frame_ms = grown_ms if row["pixels"] else row["median_ms"]
        return row["running"] * 3_600_000 / frame_ms if frame_ms else 0.0

    def still_of(self, job: str, frame: int) -> BucketsAnswer | None:
        """Return who renders which part of a frame, where that was told last."""
        told = self.still
        return told if told is not None and (told["job"], told["frame"]) == (job, frame) and told["known"] else None

    def rendered_by(self) -> dict[str, list[tuple[str, int]]]:
        """Return by peer what it renders now: job and frame, as far as jobs are followed."""
        found: dict[str, list[tuple[str, int]]] = {}
        if self.status is not None:
            names = {row["id"]: row["name"] for row in self.status["jobs"]}
            # This host's own renders are known at once and without following anything.
            found[self.status["id"]] = [(names.get(r["job"], ""), r["frame"]) for r in self.status["renders"]]
        own = self.status["id"] if self.status is not None else ""
        for known in self.jobs.values():
            for frame in sorted(known.running):
                holder = known.frames[known.places[frame]]["holder"]
                if holder and holder != own:
                    found.setdefault(holder, []).append((known.row["name"], frame))
        return found

    def wanted(self, looked_at: str | None) -> list[str]:
        """Return the jobs to be followed: the one that a person looks at, and a few short ones that render."""
        rows = self.status["jobs"] if self.status is not None else []
        rendering = [r["id"] for r in rows if r["state"] == "rendering" and r["tasks"] <= FOLLOWED_FRAMES_MOST]
        wanted = rendering[:FOLLOWED_JOBS_MOST]
        if looked_at is not None and looked_at not in wanted and any(row["id"] == looked_at for row in rows):
            wanted.insert(0, looked_at)
        return wanted
