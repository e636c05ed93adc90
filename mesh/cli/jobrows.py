"""How a job reads in a line: its state, how far it is, and how long it may still take."""

from collections.abc import Sequence
from typing import Final

from mesh.cli import output, words
from mesh.cli.output import Column
from mesh.ports.desk import JobRow

_COLUMNS: Final = (
    Column(title="JOB", gives=True),
    Column(title="ID"),
    Column(title="STATE"),
    Column(title="DONE", right=True),
    Column(title="", right=True),
    Column(title="LEFT", right=True),
    Column(title="FRAMES", gives=True),
    Column(title="FROM", gives=True),
)

_PAINT: Final = {
    "waiting": output.dim,
    "rendering": output.busy,
    "stopped": output.bad,
    "rendered": output.busy,
    "sealed": output.good,
    "cancelled": output.dim,
}


def state(job: JobRow) -> str:
    """Return the job's state, coloured."""
    return _PAINT[job["state"]](job["state"])


def in_buckets(job: JobRow) -> bool:
    """Say whether frames of the job are rendered in buckets, so that parts of them count."""
    return job["pixels"] > 0


def share(job: JobRow) -> str:
    """Return how much of the job is rendered: of its frames, or of the pictures where these grow in buckets."""
    if in_buckets(job):
        return words.percent(job["pixels_counting"], job["pixels"])
    return words.percent(job["counting"], job["tasks"])


def picture(job: JobRow) -> str:
    """Say how much of the picture is rendered, such as `43 % of the picture`, where it grows in buckets."""
    return f"{share(job)} of the picture{'' if job['tasks'] == 1 else 's'}"


def assembling(job: JobRow) -> bool:
    """Say whether all that is left to do is to assemble frames of their buckets."""
    return in_buckets(job) and job["pixels_counting"] == job["pixels"] and job["counting"] < job["tasks"]


def left_ms(job: JobRow) -> int | None:
    """Guess how long the frames that are left take with the slots that render now; None where nothing tells."""
    if job["state"] != "rendering" or not job["running"]:
        return None
    if in_buckets(job):
        stopped = job["stopped"] * (job["pixels"] // job["tasks"])
        left = job["pixels"] - job["pixels_counting"] - stopped
        return left * job["pixel_ns"] // (job["running"] * 1_000_000) if left > 0 and job["pixel_ns"] else None
    open_tasks = job["tasks"] - job["counting"] - job["stopped"]
    if not open_tasks or not job["median_ms"]:
        return None
    # Rounds that the slots take, each as long as a frame.
    return -(-open_tasks // job["running"]) * job["median_ms"]


def job_table(jobs: Sequence[JobRow]) -> list[str]:
    """Lay jobs out as a table."""
    rows = []
    for job in jobs:
        left = left_ms(job)
        rows.append(
            (
                job["name"],
                words.short(job["id"]),
                state(job),
                f"{job['counting']}/{job['tasks']}",
                share(job),
                "–" if left is None else words.rough(left),
                job["frames"],
                job["submitter_name"],
            )
        )
    return output.table(_COLUMNS, rows)
