"""What people see: made when asked, and nothing of it changes anything."""

import pytest

from mesh.core.status import JobState, TaskState
from mesh.ground.ids import JobId
from mesh.ground.instants import MINUTE_MS
from mesh.wire.messages import Available, ClaimSent, Follow, Head, Running, Window
from mesh.wire.records import Cancel, EngineId
from tests.support.cast import ENGINE, Cast, blob, block, cut_into
from tests.support.rig import Rig, sent
from tests.support.small_mesh import SmallMesh


def test_looking_changes_nothing(mesh: SmallMesh) -> None:
    for name in ("ann", "bob"):
        mesh.add(name)
    mesh.run(2_000)
    job = mesh.submit("ann")
    other = SmallMesh()
    for name in ("ann", "bob"):
        other.add(name)
    other.run(2_000)
    other.submit("ann")
    for _ in range(40):
        mesh.run(200)
        other.run(200)
        mesh.hosts["ann"].core.mesh_view(mesh.now)
        mesh.hosts["ann"].tasks(job)
    assert [(a, b, type(c)) for a, b, c in mesh.said] == [(a, b, type(c)) for a, b, c in other.said]


@pytest.mark.parametrize(
    ("engine", "slots", "lacks"),
    [
        (ENGINE, 1, ""),
        (ENGINE, 0, "it does not render"),
        (EngineId(name="blender", version="4.2.23", build="another"), 1, "it has another build of blender 4.2.23"),
        (EngineId(name="blender", version="5.0.0", build="x"), 1, "it has blender 5.0.0, not 4.2.23"),
        (EngineId(name="povray", version="3.7", build="x"), 1, "it has no blender"),
    ],
)
def test_what_a_peer_lacks_for_an_engine_is_said_in_words(cast: Cast, engine: EngineId, slots: int, lacks: str) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    rig.hear(ann, Available(engines=(engine,), slots=slots, busy=0, cores=1, memory_mb=1, draining=False))
    assert [helper.lacks for helper in rig.peer.helpers(ENGINE) if helper.peer == ann.id] == [lacks]


def test_a_job_that_is_unknown_has_no_view(cast: Cast) -> None:
    rig = Rig(cast)
    assert rig.peer.job_view(rig.now, JobId(blob("no job"))) is None
    assert rig.peer.task_views(JobId(blob("no job"))) == ()


def test_a_peer_that_only_follows_sees_its_keepers_numbers(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    head = cast.head(ann, frames=50)
    job = rig.learn(head, ann, by=ann)
    assert sent(rig.effects, Follow)
    window = Window(
        job=job, open=(), slots=5, unclaimed=0, running=3, counting=20, stopped=1, safe=9, median_ms=70, ended=False
    )
    rig.hear(ann, window)
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert (view.counting, view.running, view.stopped, view.safe, view.median_ms) == (20, 3, 1, 9, 70)
    assert view.state is JobState.RENDERING


@pytest.mark.parametrize(("ended", "state"), [(False, JobState.RENDERED), (True, JobState.SEALED)])
def test_a_peer_that_only_follows_sees_that_the_job_is_over(cast: Cast, *, ended: bool, state: JobState) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    head = cast.head(ann, frames=50)
    job = rig.learn(head, ann, by=ann)
    window = Window(
        job=job, open=(), slots=5, unclaimed=0, running=0, counting=50, stopped=0, safe=50, median_ms=70, ended=ended
    )
    rig.hear(ann, window)
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert view.state is state


def test_a_jobs_state_follows_its_records(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast, slots=0)
    rig.meet(ann, bob)
    head = cast.head(ann, frames=2, tries=1)
    job = rig.keep(head, by=ann)

    def state() -> JobState:
        view = rig.peer.job_view(rig.now, job)
        assert view is not None
        return view.state

    assert state() is JobState.WAITING
    rig.take(head, cast.failed(bob, head, 0), by=bob)
    rig.take(head, cast.result(bob, head, 1), by=bob)
    assert state() is JobState.STOPPED
    assert [task.state for task in rig.peer.task_views(job)] == [TaskState.STOPPED, TaskState.COUNTS]
    assert [failure.kind for failure in rig.peer.task_views(job)[0].failures] == ["crashed"]
    rig.take(head, cast.result(ann, head, 0), by=ann)
    assert state() is JobState.RENDERED
    rig.take(head, cast.entry(ann, head, Cancel()), by=ann)
    assert state() is JobState.CANCELLED
    rig.wait(MINUTE_MS, ann, bob)
    assert state() is JobState.CANCELLED


def still(cast: Cast) -> tuple[Rig, Head, JobId]:
    """A keeper of ann's job of two frames, the second of four by two cells; bob has four slots."""
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast, slots=0)
    rig.meet(ann, bob)
    rig.hear(bob, Available(engines=(ENGINE,), slots=4, busy=1, cores=4, memory_mb=1, draining=False))
    head = cast.head(ann, frames=2, cut=cut_into(4, 2))
    return rig, head, rig.keep(head, by=ann)


def test_a_bucket_is_one_render_however_many_cells_it_has(cast: Cast) -> None:
    rig, head, job = still(cast)
    bob = cast.actor("bob")
    rig.hear(bob, ClaimSent(claims=(cast.claim(bob, head, 1, block=block(0, 0, 2, 2)),)))
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert (view.running, view.state) == (1, JobState.RENDERING)


def test_a_frame_that_is_assembled_is_on_its_way(cast: Cast) -> None:
    rig, head, job = still(cast)
    bob = cast.actor("bob")
    rig.hear(bob, Running(claims=(cast.claim(bob, head, 1, assembles=True),)))
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert (view.tasks, view.state) == (2, JobState.RENDERING)
    assert [(task.state, task.holder) for task in rig.peer.task_views(job)] == [
        (TaskState.OPEN, None),
        (TaskState.RUNNING, bob.id),
    ]


def test_what_is_done_of_frames_in_buckets_is_told_in_cells(cast: Cast) -> None:
    rig, head, job = still(cast)
    bob = cast.actor("bob")
    rig.take(head, cast.result(bob, head, 1, block=block(0, 0, 2, 2)), by=bob)
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert (view.cells, view.cells_counting, view.counting) == (8, 4, 0)


def test_a_bucket_that_failed_is_named_after_its_frame(cast: Cast) -> None:
    rig, head, job = still(cast)
    bob = cast.actor("bob")
    rig.take(head, cast.failed(bob, head, 1, block=block(0, 0, 2, 2)), by=bob)
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert view.problems == ("a bucket of frame 2 failed on bob: crashed: signal 11",)
