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


def left_ms(job: JobRow) -> int | None:
    """Guess how long the frames that are left take with the slots that render now; None where nothing tells."""
    open_tasks = job["tasks"] - job["counting"] - job["stopped"]
    if job["state"] != "rendering" or not open_tasks or not job["running"] or not job["median_ms"]:
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
                words.percent(job["counting"], job["tasks"]),
                "–" if left is None else words.rough(left),
                job["frames"],
                job["submitter_name"],
            )
        )
    return output.table(_COLUMNS, rows)
