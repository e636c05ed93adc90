"""What a person is told while a job goes on: nothing that is not so, and never silence where something is wrong."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from mesh.cli import following
from mesh.cli.caller import Caller
from mesh.ports.desk import JobCancelled, JobRow, JobStopped, Unwritten
from sim.desk import job_row, task_row

TASKS = 4
FULL = "frame 2 was not written to /out: the disk is full"
IN_THE_WAY = "frame 3 was not written to /out: shot_0003.png is another file already"


def job(**changed: object) -> JobRow:
    return cast("JobRow", {**job_row(tasks=TASKS), **changed})


class Told:
    """A caller whose peer tells these changes of the job, one after the other."""

    as_json = True

    def __init__(self, *rows: JobRow, frames: int = 0) -> None:
        self._rows = rows
        self._frames = [task_row(frame, "counts") for frame in range(1, frames + 1)]

    def client(self) -> "Told":
        return self

    def stream(self, _path: str) -> Iterator[tuple[str, Any]]:
        for row in self._rows:
            yield "change", {"job": row, "frames": self._frames}


def wait(told: Told) -> JobRow:
    return following.until_done(cast("Caller", told), job())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"state": "sealed", "delivered": TASKS}, "All frames are here"),
        ({"state": "sealed", "delivered": 0}, "0 of 4 frames so far"),
        ({"state": "sealed", "delivered": 3, "may_go": True}, "safe on other peers"),
        ({"only_here": True}, "Only here"),
        ({"may_go": True, "scene_holders": 1}, "1 other peer holds its scene"),
        ({"may_go": True, "scene_holders": 2}, "2 other peers hold its scene"),
        ({}, "Leave this machine on"),
    ],
)
def test_whether_a_machine_may_go_is_said_as_it_is(changed: dict[str, object], said: str) -> None:
    assert said in following.going(job(**changed))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, False),
        ({"delivered": TASKS}, True),
        ({"delivered": 3, "stopped": 1}, True),
        ({"delivered": 2, "stopped": 1, "blocked": 1}, True),
        ({"delivered": 2, "blocked": 1}, False),
        ({"state": "sealed", "delivered": 2}, False),
        ({"state": "cancelled"}, True),
    ],
)
def test_a_job_is_over_when_no_frame_can_come_by_itself(changed: dict[str, object], expected: bool) -> None:
    assert following.over(job(**changed)) is expected


def test_waiting_ends_with_what_to_do_where_another_file_is_in_the_way() -> None:
    told = Told(job(delivered=1), job(delivered=3, blocked=1, unwritten=[IN_THE_WAY]))
    with pytest.raises(Unwritten, match="another file already") as caught:
        wait(told)
    assert "fetch 01010101" in str(caught.value.refusals[0]["remedy"])
    assert "--overwrite" in str(caught.value.refusals[0]["remedy"])


def test_a_file_that_cannot_be_written_is_told_once_each_time_it_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    full, well = job(delivered=1, unwritten=[FULL]), job(delivered=2)
    assert wait(Told(full, full, well, full, job(delivered=TASKS)))["delivered"] == TASKS
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events == [{"event": "unwritten", "text": FULL}] * 2


def test_a_frame_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    wait(Told(job(delivered=1), job(delivered=TASKS), frames=2))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["frame"]["frame"] for event in events] == [1, 2]


def test_waiting_for_a_stopped_or_cancelled_job_says_why_it_ends() -> None:
    with pytest.raises(JobStopped, match="1 frame of 4 not rendered: frame 3 crashed"):
        wait(Told(job(delivered=3, stopped=1, state="stopped", problems=["frame 3 crashed"])))
    with pytest.raises(JobCancelled, match="1 of 4"):
        wait(Told(job(delivered=1, state="cancelled")))
