"""The mesh set: what a peer that connects is told, and in which order."""

from mesh.ground.instants import SECOND_MS
from tests.support.small_mesh import SmallMesh

JOBS = 9
CANCELLED = 5


def test_a_peer_that_connects_learns_every_job_its_keepers_and_its_cancel() -> None:
    mesh = SmallMesh()
    for name in ("ann", "bob"):
        mesh.add(name, slots=0)
    mesh.run_until(lambda: mesh.connected("ann", "bob"))
    jobs = [mesh.submit("ann", frames=1, directory=f"/out/{number}") for number in range(JOBS)]
    mesh.run(5 * SECOND_MS)
    for job in jobs[:CANCELLED]:
        mesh.cancel("ann", job)
    late = mesh.add("cid", slots=0)
    mesh.run_until(lambda: mesh.connected("ann", "cid"))
    mesh.run(2 * SECOND_MS)
    now = mesh.now.wall
    for job in jobs:
        told = mesh.hosts["ann"].core.meshset.live_marks(job, now)
        assert told
        assert set(told) <= set(late.core.meshset.live_marks(job, now))
    assert [late.core.ledger.jobs[job].ended for job in jobs] == [job in jobs[:CANCELLED] for job in jobs]
