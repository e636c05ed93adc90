"""Fetching watches files being written, and says the truth about those that do not come."""

import dataclasses
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel
import trio.testing

from mesh.core.effects import Accepted, Declined, Export, Reply
from mesh.core.events import Event, Exported, ExportFailed, FetchAsked
from mesh.core.status import JobState, JobView, TaskView
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, JobId
from mesh.node.asking import LOOKING_PART, Asking
from mesh.node.fetching import PATIENCE_S, Fetching
from mesh.ports.desk import FetchAnswer, NobodyHasIt
from mesh.ports.folders import FolderError
from mesh.store.folders import DiskFolders
from tests.support.small_mesh import SmallMesh
from tests.support.worlds import VirtualWorld, virtual

FRAMES = 2


def rendered_job() -> tuple[JobView, tuple[TaskView, ...]]:
    """Let one peer render a job in memory, and return what it sees of it."""
    mesh = SmallMesh()
    mesh.add("ann")
    job = mesh.submit("ann", frames=FRAMES)
    mesh.run_until(lambda: mesh.hosts["ann"].job(job).state is JobState.SEALED)
    return mesh.hosts["ann"].job(job), mesh.hosts["ann"].tasks(job)


async def fetch(
    directory: str,
    become: Callable[[Export], Exported | ExportFailed | None],
    look: Callable[[], None] = lambda: None,
    *,
    known_after_s: float = 0,
    written_for: JobId | None = None,
) -> FetchAnswer:
    """Fetch a job whose files become what the test says, each asked for again every second, as the core does.

    Before `known_after_s` nobody who knows what is rendered is connected. The files are of the job `written_for`.
    """
    job, tasks = rendered_job()
    known_from_s = trio.current_time() + known_after_s

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        assert isinstance(event, FetchAsked)
        asking.reply(Reply(op=event.op, reply=Accepted(job=job.job)))

    def known() -> bool:
        return trio.current_time() >= known_from_s

    def tasks_of(_job: JobId) -> tuple[TaskView, ...]:
        look()
        return tasks if known() else ()

    def job_of(_job: JobId) -> JobView:
        return dataclasses.replace(job, known=known())

    asking = Asking(tell)
    fetching = Fetching(world=VirtualWorld(), folders=DiskFolders(), asking=asking, job=job_of, tasks=tasks_of)

    async def export() -> None:
        while True:
            await trio.sleep(1)
            for task in tasks:
                name = job.record.names.name(task.frame)
                effect = Export(
                    op=1,
                    job=written_for or job.job,
                    blob=BlobId(bytes(32)),
                    directory=directory,
                    name=name,
                    overwrite=False,
                )
                answer = become(effect)
                if answer is not None:
                    fetching.exported(effect, answer, written=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(export)
        answer = await fetching.fetch(job, directory, overwrite=False, report=lambda _: None)
        nursery.cancel_scope.cancel()
    assert not isinstance(answer, Declined)
    return answer


async def failure(
    directory: str,
    become: Callable[[Export], Exported | ExportFailed | None],
    *,
    known_after_s: float = 0,
    written_for: JobId | None = None,
) -> MeshError:
    with pytest.RaisesGroup(pytest.RaisesExc(MeshError)) as caught:
        await fetch(directory, become, known_after_s=known_after_s, written_for=written_for)
    (error,) = caught.value.exceptions
    assert isinstance(error, MeshError)
    return error


@virtual
async def test_written_files_are_counted() -> None:
    answer = await fetch("/tmp", lambda effect: Exported(op=effect.op))
    assert (answer["written"], answer["unfinished"]) == (FRAMES, 0)


@virtual
async def test_looking_at_a_long_job_leaves_the_loop_to_others() -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    look_s, late_s, began_s = 0.2, 20.0, trio.current_time()
    looks: list[float] = []

    def look() -> None:
        looks.append(trio.current_time())
        clock.jump(look_s)

    def become(effect: Export) -> Exported | None:
        return Exported(op=effect.op) if trio.current_time() - began_s > late_s else None

    assert (await fetch("/tmp", become, look))["written"] == FRAMES
    assert 2 < len(looks) <= 1 + (trio.current_time() - began_s) * LOOKING_PART / look_s


@virtual
async def test_what_cannot_be_written_is_not_said_to_be_had_by_nobody() -> None:
    began_s = trio.current_time()
    error = await failure("/tmp", lambda effect: ExportFailed(op=effect.op, reason="/tmp: disk gone", exists=False))
    assert isinstance(error, FolderError)
    assert "disk gone" in str(error)
    assert trio.current_time() - began_s >= PATIENCE_S, "the disk may come back meanwhile"


@virtual
async def test_nothing_is_believed_unrendered_before_somebody_who_knows_is_there() -> None:
    answer = await fetch("/tmp", lambda effect: Exported(op=effect.op), known_after_s=PATIENCE_S / 2)
    assert (answer["written"], answer["unfinished"]) == (FRAMES, 0)
    error = await failure("/tmp", lambda _: None, known_after_s=2 * PATIENCE_S)
    assert isinstance(error, NobodyHasIt)
    assert "no peer that knows" in str(error)


@virtual
async def test_the_same_name_of_another_job_says_nothing() -> None:
    error = await failure("/tmp", lambda effect: Exported(op=effect.op), written_for=JobId(bytes(32)))
    assert isinstance(error, NobodyHasIt)


@virtual
async def test_what_nobody_has_is_said_so() -> None:
    assert isinstance(await failure("/tmp", lambda _: None), NobodyHasIt)
