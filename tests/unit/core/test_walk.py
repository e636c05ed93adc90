"""From a submitted job to its seal, through two to five whole peers, and through what befalls them on the way."""

from collections import Counter

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.core.status import JobState, TaskState
from mesh.ground.ids import JobId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import LEASE_MS, RECLAIM_MS
from mesh.wire import kept as kp
from mesh.wire.messages import Heartbeat
from mesh.wire.records import FailureKind, Result
from tests.support.small_mesh import DIRECTORY, RENDER_MS, SmallMesh


def state(mesh: SmallMesh, name: str, job: JobId) -> JobState:
    return mesh.hosts[name].job(job).state


def until_sealed(mesh: SmallMesh, job: JobId, *names: str) -> None:
    mesh.run_until(lambda: all(state(mesh, name, job) is JobState.SEALED for name in names), 5 * MINUTE_MS)


def renders(mesh: SmallMesh, job: JobId) -> Counter[int]:
    return Counter(task for host in mesh.hosts.values() for of, task in host.started if of == job)


def someone_rendering(mesh: SmallMesh, *but: str) -> str:
    mesh.run_until(lambda: any(host.rendering for name, host in mesh.hosts.items() if name not in but), MINUTE_MS)
    return next(name for name, host in mesh.hosts.items() if host.rendering and name not in but)


def test_a_job_is_claimed_rendered_held_delivered_and_sealed(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=9)
    until_sealed(mesh, job, "ann", "bob", "cid")
    ann = mesh.hosts["ann"]
    assert renders(mesh, job) == dict.fromkeys(range(9), 1)
    assert all(host.started for host in mesh.hosts.values())
    assert sorted(name for _, name in ann.files) == [f"shot_{frame:04d}.png" for frame in range(1, 10)]
    assert len(ann.written) == 9
    view = ann.job(job)
    assert (view.counting, view.delivered, view.stopped, view.problems) == (9, 9, 0, ())
    assert {task.state for task in ann.tasks(job)} <= {TaskState.COUNTS, TaskState.SAFE}
    assert all(job in host.closed_stages for host in mesh.hosts.values())


def test_a_frame_that_is_only_claimed_ahead_does_not_count_as_rendered_now(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=24)
    seen: list[int] = []
    claimed: list[int] = []

    def look() -> bool:
        for host in (each for each in mesh.hosts.values() if job in each.core.ledger.jobs):
            seen.append(host.job(job).running)
            claimed.append(sum(task.state is TaskState.RUNNING for task in host.tasks(job)))
        return state(mesh, "ann", job) is JobState.SEALED

    mesh.run_until(look, 5 * MINUTE_MS)
    assert max(claimed) > 3, "slots that work claim ahead"
    assert max(seen) == 3, "three slots render three frames"


def test_all_peers_agree_on_what_stands(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=6)
    until_sealed(mesh, job, "ann", "bob", "cid")
    mesh.run(MINUTE_MS)
    assert len({host.core.ledger.jobs[job].digest() for host in mesh.hosts.values()}) == 1
    assert len({tuple(task.result for task in host.tasks(job)) for host in mesh.hosts.values()}) == 1


def test_one_peer_alone_renders_its_own_job(mesh: SmallMesh) -> None:
    mesh.add("ann")
    job = mesh.submit("ann", frames=3)
    assert mesh.hosts["ann"].job(job).only_here
    until_sealed(mesh, job, "ann")
    assert len(mesh.hosts["ann"].files) == 3


def test_two_peers_of_which_one_only_submits(mesh: SmallMesh) -> None:
    mesh.add("ann", slots=0)
    mesh.add("bob")
    mesh.run_until(lambda: mesh.connected("ann", "bob"))
    job = mesh.submit("ann", frames=3)
    until_sealed(mesh, job, "ann", "bob")
    assert mesh.hosts["ann"].started == []
    assert len(mesh.hosts["ann"].files) == 3


def test_five_peers_share_the_frames_and_none_is_rendered_twice(mesh: SmallMesh) -> None:
    for number in range(5):
        mesh.add(f"p{number}", slots=2)
    mesh.run(3_000)
    job = mesh.submit("p0", frames=40)
    until_sealed(mesh, job, "p0")
    assert renders(mesh, job) == dict.fromkeys(range(40), 1)
    shares = [len(host.started) for host in mesh.hosts.values()]
    assert min(shares) >= 4, shares


def test_the_submitter_is_told_when_it_may_go(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.render_ms = None
    job = mesh.submit("ann")
    assert not mesh.hosts["ann"].job(job).may_go
    mesh.run_until(lambda: mesh.hosts["ann"].job(job).may_go, 10 * SECOND_MS)
    assert mesh.hosts["ann"].job(job).scene_holders == 2


def test_a_submitter_that_may_go_is_killed_and_another_delivers_all(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=6)
    mesh.run_until(lambda: mesh.hosts["ann"].job(job).may_go, 10 * SECOND_MS)
    mesh.kill("ann")
    mesh.fetch("bob", job, "/home/bob/fetched")
    mesh.run_until(lambda: len(mesh.hosts["bob"].files) == 6, MINUTE_MS)
    assert state(mesh, "bob", job) is JobState.RENDERED  # two peers cannot hold three copies
    mesh.start("ann")
    until_sealed(mesh, job, "ann", "bob", "cid")
    assert len(mesh.hosts["ann"].files) == 6


def test_a_fetch_brings_back_what_was_delivered_and_is_gone(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=6)
    until_sealed(mesh, job, "ann", "bob", "cid")
    ann = mesh.hosts["ann"]
    delivered = dict(ann.files)
    lost = sorted(delivered)[2]
    for restart in (False, True):
        del ann.files[lost]
        if restart:
            mesh.kill("ann")
            mesh.start("ann")
        assert lost not in ann.files, "nobody asked"
        mesh.fetch("ann", job, DIRECTORY)
        mesh.run_until(lambda: ann.files == delivered, MINUTE_MS)
        assert ann.job(job).delivered == 6, "what was delivered stays delivered"
        mesh.run(MINUTE_MS)
    assert sorted(ann.written) == sorted([*delivered, lost, lost]), "no other file was written again"
    assert state(mesh, "ann", job) is JobState.SEALED


def test_a_cancelled_jobs_files_are_not_fetched(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=6)
    mesh.cancel("ann", job)
    mesh.tell(mesh.hosts["ann"], ev.FetchAsked(op=99, job=job, directory="/elsewhere", overwrite=False))
    reply = mesh.hosts["ann"].replies[99]
    assert isinstance(reply, ef.Declined)
    assert reply.code == "cancelled"


def test_a_killed_renderers_frame_is_claimed_again_within_a_second(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.render_ms = None
    mesh.submit("ann", frames=3)
    victim = someone_rendering(mesh, "ann")
    mesh.run_until(lambda: all(host.rendering for host in mesh.hosts.values()))
    (effect,) = mesh.hosts[victim].rendering.values()
    mesh.kill(victim)
    killed_at = mesh.now_ms
    for name, host in mesh.hosts.items():
        if name != victim:
            mesh.finish(name, next(iter(host.rendering)))
    mesh.run_until(
        lambda: any(started[1] == effect.task for host in mesh.hosts.values() for started in host.started[1:]), 5_000
    )
    assert mesh.now_ms - killed_at <= SECOND_MS


def test_a_cut_off_renderers_frame_has_another_peer_within_eight_seconds(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.render_ms = None
    mesh.submit("ann", frames=3)
    mesh.run_until(lambda: all(host.rendering for host in mesh.hosts.values()))
    (effect,) = mesh.hosts["cid"].rendering.values()
    mesh.cut("cid", "ann")
    mesh.cut("cid", "bob")
    cut_at = mesh.now_ms
    for name in ("ann", "bob"):
        mesh.finish(name, next(iter(mesh.hosts[name].rendering)))
    mesh.run_until(
        lambda: any(started[1] == effect.task for name in ("ann", "bob") for started in mesh.hosts[name].started[1:]),
        20_000,
    )
    assert LEASE_MS <= mesh.now_ms - cut_at <= RECLAIM_MS


def test_no_lease_ends_while_its_holder_is_heard(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.render_ms = None
    job = mesh.submit("ann", frames=3)
    mesh.run_until(lambda: all(host.rendering for host in mesh.hosts.values()))
    mesh.run(100 * SECOND_MS)
    assert renders(mesh, job) == dict.fromkeys(range(3), 1)
    assert any(isinstance(message, Heartbeat) for _, _, message in mesh.said)


def test_a_frozen_peer_that_wakes_up_changes_no_delivered_file(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    mesh.hosts["cid"].render_ms = None
    job = mesh.submit("ann", frames=6)
    mesh.run_until(lambda: bool(mesh.hosts["cid"].rendering))
    (op,) = mesh.hosts["cid"].rendering
    mesh.freeze("cid")
    ann = mesh.hosts["ann"]
    mesh.run_until(lambda: len(ann.files) == 6, 2 * MINUTE_MS)
    files = dict(ann.files)
    mesh.run_until(lambda: state(mesh, "ann", job) is JobState.SEALED, MINUTE_MS)
    mesh.finish("cid", op)
    mesh.wake("cid")
    mesh.run(MINUTE_MS)
    assert ann.files == files
    assert len(ann.written) == 6
    assert state(mesh, "cid", job) is JobState.SEALED
    results = [entry for entry in ann.core.ledger.jobs[job].entries.values() if isinstance(entry.body.what, Result)]
    assert len(results) == 6


def test_all_keepers_but_the_submitter_die_and_the_job_goes_on(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=9)
    mesh.run_until(lambda: len(mesh.hosts["ann"].files) >= 2)
    mesh.kill("bob")
    mesh.kill("cid")
    until_sealed(mesh, job, "ann")
    assert len(mesh.hosts["ann"].files) == 9


def test_the_closest_keeper_dies_and_another_goes_on(mesh: SmallMesh) -> None:
    for number in range(4):
        mesh.add(f"p{number}")
    mesh.run(3_000)
    job = mesh.submit("p0", frames=16)
    mesh.run_until(lambda: mesh.hosts["p0"].job(job).counting >= 4)
    closest = mesh.named(mesh.hosts["p0"].core.keepers.of(job, mesh.now)[0])
    if closest is mesh.hosts["p0"]:
        closest = mesh.named(mesh.hosts["p0"].core.keepers.of(job, mesh.now)[1])
    mesh.kill(closest.actor.name)
    began = mesh.now_ms
    until_sealed(mesh, job, "p0")
    assert mesh.now_ms - began < 16 * RENDER_MS + 20 * SECOND_MS
    assert len(mesh.hosts["p0"].files) == 16


def test_every_peer_is_killed_and_started_again_and_no_safe_frame_is_rendered_again(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=12)
    mesh.run_until(lambda: mesh.hosts["ann"].job(job).safe >= 4)
    safe = [task.task for task in mesh.hosts["ann"].tasks(job) if task.state is TaskState.SAFE]
    for name in ("ann", "bob", "cid"):
        mesh.kill(name)
    before = renders(mesh, job)
    for name in ("ann", "bob", "cid"):
        mesh.start(name)
    until_sealed(mesh, job, "ann", "bob", "cid")
    assert len(mesh.hosts["ann"].files) == 12
    assert len(mesh.hosts["ann"].written) == 12
    assert all(renders(mesh, job)[task] == before[task] for task in safe)


def test_a_peer_that_starts_again_has_what_it_kept(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=5)
    until_sealed(mesh, job, "ann")
    tasks, counting = mesh.hosts["ann"].tasks(job), mesh.hosts["ann"].job(job).counting
    for name in ("bob", "cid", "ann"):
        mesh.kill(name)
    mesh.start("ann")
    mesh.run(SECOND_MS)
    view = mesh.hosts["ann"].job(job)
    assert (view.state, view.counting, view.delivered) == (JobState.SEALED, counting, 5)
    assert [task.result for task in mesh.hosts["ann"].tasks(job)] == [task.result for task in tasks]


def test_files_ordered_twice_into_one_directory_stay_the_submitters_own_order(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=3)
    until_sealed(mesh, job, "ann")
    mesh.fetch("ann", job, DIRECTORY)
    mesh.run(5 * SECOND_MS)
    mesh.kill("ann")
    mesh.start("ann")
    mesh.run(5 * SECOND_MS)
    assert mesh.hosts["ann"].job(job).delivered == 3
    assert len(mesh.hosts["ann"].written) == 3


def test_a_cancel_stops_every_render_and_no_task_starts_after_it(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.render_ms = None
    job = mesh.submit("ann", frames=12)
    mesh.run_until(lambda: all(host.rendering for host in mesh.hosts.values()))
    before = renders(mesh, job)
    mesh.cancel("ann", job)
    mesh.run(2 * SECOND_MS)
    assert not any(host.rendering for host in mesh.hosts.values())
    assert {state(mesh, name, job) for name in mesh.hosts} == {JobState.CANCELLED}
    mesh.run(MINUTE_MS)
    assert renders(mesh, job) == before


def test_a_cancel_is_known_again_after_a_restart_whoever_heard_it(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=12)
    mesh.run(2 * SECOND_MS)
    mesh.cancel("ann", job)
    mesh.run(SECOND_MS)
    for name in ("ann", "bob", "cid"):
        mesh.kill(name)
    before = renders(mesh, job)
    mesh.start("cid")
    mesh.run(2 * MINUTE_MS)
    assert state(mesh, "cid", job) is JobState.CANCELLED
    assert renders(mesh, job) == before


def test_a_peer_that_leaves_in_order_finishes_its_frame_first(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    mesh.hosts["cid"].render_ms = None
    job = mesh.submit("ann", frames=6)
    mesh.run_until(lambda: bool(mesh.hosts["cid"].rendering))
    mesh.stop("cid")
    mesh.run(3 * SECOND_MS)
    assert mesh.hosts["cid"].running
    (op,) = mesh.hosts["cid"].rendering
    mesh.finish("cid", op)
    mesh.run_until(lambda: not mesh.hosts["cid"].running, 20 * SECOND_MS)
    until_sealed(mesh, job, "ann")
    authors = {task.holder for task in mesh.hosts["ann"].tasks(job)}
    assert mesh.hosts["cid"].id in authors
    assert renders(mesh, job) == dict.fromkeys(range(6), 1)


def test_a_task_that_fails_everywhere_stops_with_its_reasons_and_the_others_go_on(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.failing[2] = FailureKind.CRASHED
    job = mesh.submit("ann", frames=5)
    mesh.run_until(lambda: state(mesh, "ann", job) is JobState.STOPPED, 2 * MINUTE_MS)
    task = mesh.hosts["ann"].tasks(job)[2]
    assert task.state is TaskState.STOPPED
    assert {failure.peer for failure in task.failures} == {host.id for host in mesh.hosts.values()}
    assert len(mesh.hosts["ann"].files) == 4
    assert "frame 3 failed" in mesh.hosts["ann"].job(job).problems[0]


def test_a_frame_that_fails_on_one_peer_is_rendered_by_another(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    mesh.hosts["ann"].failing.update(dict.fromkeys(range(6), FailureKind.OUT_OF_MEMORY))
    job = mesh.submit("ann", frames=6)
    until_sealed(mesh, job, "ann")
    assert len(mesh.hosts["ann"].files) == 6


def test_a_peer_that_comes_late_takes_part(mesh: SmallMesh) -> None:
    for name in ("ann", "bob"):
        mesh.add(name)
    mesh.run(SECOND_MS)
    job = mesh.submit("ann", frames=30)
    mesh.run(3 * SECOND_MS)
    began = mesh.now_ms
    late = mesh.add("cid")
    mesh.run_until(lambda: bool(late.started), 10 * SECOND_MS)
    assert mesh.now_ms - began <= 5 * SECOND_MS
    until_sealed(mesh, job, "ann")
    assert len(late.started) >= 3


def test_the_journal_of_a_job_is_enough_and_holds_each_record_once(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=6)
    until_sealed(mesh, job, "ann", "bob", "cid")
    mesh.run(MINUTE_MS)
    for host in mesh.hosts.values():
        kept = [entry.id for item in host.kept() if isinstance(item, kp.KeptEntries) for entry in item.entries]
        assert len(kept) == len(set(kept))
        assert set(kept) == set(host.core.ledger.jobs[job].entries)
