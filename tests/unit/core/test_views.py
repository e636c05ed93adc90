"""What people see: made when asked, and nothing of it changes anything."""

import pytest

from mesh.core.status import JobState, TaskState
from mesh.ground.ids import JobId
from mesh.ground.instants import MINUTE_MS
from mesh.wire.messages import Available, Follow, Window
from mesh.wire.records import Cancel, EngineId
from tests.support.cast import ENGINE, Cast, blob
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
