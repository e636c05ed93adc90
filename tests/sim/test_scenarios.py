"""The named scenarios pass, and show what each is there for."""

import dataclasses
from collections import Counter
from collections.abc import Iterable

import pytest

from mesh.core.fold import result_of
from mesh.core.peer import Peer
from mesh.ground.ids import JobId
from mesh.ground.limits import RECLAIM_MS
from sim.hours import FAIR_HOUR, HOURS
from sim.named import NAMED, named
from sim.scenario import Act, Scenario
from sim.sharing import SHARING
from sim.studio import STUDIO
from sim.violation import Violation
from sim.world import World
from tests.sim.test_coordinators import STRUCK
from tests.sim.test_versions import TWO_VERSIONS
from tests.support.ended import SEEDS, ended

_LOOK_MS = 50
KILLED_MS = 1_000
"""A dead peer's frames are claimed again within so long."""
GONE_MS = 10_000


_LOOKED: dict[tuple[str, int], None] = {}


def looked(*names: str, seeds: Iterable[int] = SEEDS) -> pytest.MarkDecorator:
    """Give a test scenarios and seeds that it runs itself, to look on meanwhile: no rule may be broken there."""
    runs = [(name, seed) for name in names for seed in seeds]
    _LOOKED.update(dict.fromkeys(runs))
    return pytest.mark.parametrize(("name", "seed"), runs)


@ended("small-disks")
def test_small_disks_lose_much_and_all_is_finished(world: World) -> None:
    hosts = world.hosts
    assert sum(host.shelf.evicted for host in hosts) > 50
    assert all(host.disk.taken <= host.disk.quota_bytes for host in hosts if host.disk.quota_bytes)


TAKEN_OVER_MS = {
    "reclaim-killed": KILLED_MS,
    "reclaim-revoked": KILLED_MS,
    "reclaim-powerless": RECLAIM_MS,
    "reclaim-frozen": RECLAIM_MS,
    "pause-now": KILLED_MS,
}


@ended(*TAKEN_OVER_MS)
def test_what_a_lost_peer_had_in_hand_is_taken_over_in_time(world: World) -> None:
    left = world.economy.left()
    assert left
    for frame in left:
        assert frame.taken_after_ms is not None
        assert frame.taken_after_ms <= TAKEN_OVER_MS[world.scenario.name]


@looked("moved")
def test_peers_that_come_back_at_new_addresses_find_each_other_again(name: str, seed: int) -> None:
    world = World(named(name), seed)
    joined: dict[int, bool] = {}

    def look() -> None:
        for host in world.hosts:
            others = {other.peer_id for other in world.hosts} - {host.peer_id}
            view = host.core.mesh_view(host.now())
            joined[host.index] = {peer.peer for peer in view.peers if peer.connected and not peer.me} == others

    came_back_ms = max(act.at_ms for act in world.scenario.script)
    world.at(came_back_ms + 25_000, look)
    world.run()
    assert joined == dict.fromkeys(range(world.scenario.peers), True)


@looked("powerless")
def test_a_powerless_peer_is_known_to_be_gone_by_all_in_ten_seconds_and_nobody_else_ever(name: str, seed: int) -> None:
    scenario = named(name)
    world = World(scenario, seed)
    (power,) = scenario.script
    (lost,) = power.peers
    others = [host for host in world.hosts if host.index != lost]
    connected: list[set[bool]] = []

    def look() -> None:
        rows = [row for host in others for row in host.core.mesh_view(host.now()).peers]
        connected.append({row.connected for row in rows if row.peer == world.hosts[lost].peer_id})

    world.at(power.at_ms - 1, look)
    world.at(power.at_ms + GONE_MS, look)
    world.run()
    assert connected == [{True}, {False}]
    assert [host.core.mesh_view(host.now()).given_up for host in others] == [1] * len(others)


@ended("calm", "bad-lines", "one-keeper-deaf", "moved", seeds=SEEDS[:1])
def test_nobody_is_given_up_who_can_be_heard_by_somebody(world: World) -> None:
    assert {host.core.mesh_view(host.now()).given_up for host in world.hosts} == {0}


@ended("poisoned-dht")
def test_with_every_answer_of_the_dht_a_lie_the_lies_reach_nobodys_table(world: World) -> None:
    members = {host.peer_id for host in world.hosts}
    for host in world.hosts:
        core = host.core
        assert isinstance(core, Peer)
        known = core.whereabouts.dht.table.neighbours()
        assert {near.peer for near in known} <= members
        assert all(pointer.author in members for _, kept in core.whereabouts.dht.shelf for pointer in kept)


@ended("calm", "two-peers", "alone", seeds=SEEDS[:1])
def test_nothing_is_rendered_twice_where_nothing_disturbs(world: World) -> None:
    twice_ms, all_ms = world.economy.waste()
    assert twice_ms == 0
    assert all_ms > 0


@looked("all-restart", "blackout")
def test_no_safe_frame_is_rendered_again_after_everybody_died(name: str, seed: int) -> None:
    safe: dict[tuple[JobId, int], None] = {}
    scenario = named(name)
    world = World(scenario, seed)

    def look() -> None:
        for host in world.hosts:
            for job in world.books.jobs:
                views = host.core.task_views(job) if host.running else ()
                safe.update({(job, view.task): None for view in views if view.state.value == "safe"})

    died_ms = scenario.script[0].at_ms
    world.at(died_ms - 1, look)
    world.run()
    assert safe
    again = [frame for frame in world.economy.finished if frame.at_ms > died_ms and (frame.job, frame.task) in safe]
    assert not again


@ended("wiped", "leavers")
def test_whoever_is_lost_with_time_between_every_output_has_all_its_copies_in_the_end(world: World) -> None:
    (job,) = world.books.jobs
    left = [host for host in world.hosts if host.running]
    copies = world.books.jobs[job].body.copies
    assert len(left) == copies
    entries = {name: entry for host in left for name, entry in host.core.ledger.jobs[job].entries.items()}
    for host in left:
        kept = {hold.body.blob for hold in world.books.standing(host) if host.disk.intact(hold.body.blob)}
        results = [entries[task.result] for task in host.core.task_views(job) if task.result is not None]
        assert len(results) == world.scenario.frames
        assert {output.blob for entry in results for output in result_of(entry).outputs} <= kept


def test_what_was_sealed_is_kept_although_its_job_is_cancelled_afterwards() -> None:
    cancel = Act(at_ms=70_000, what="cancel")
    calm = dataclasses.replace(named("calm"), steady=False, safety_ms=90_000, least_ms=90_000, script=(cancel,))
    world = World(calm, SEEDS[0])
    world.run()
    (job,) = world.books.jobs
    scene = world.books.jobs[job].body.scene
    for host in world.hosts:
        assert host.core.ledger.jobs[job].cancel is not None
        promised = [hold.body.blob for hold in world.books.standing(host)]
        assert all(host.core.holding.bound(blob) == (blob != scene) for blob in promised)


@looked("frozen", "laptop", "cut-submitter", "split", seeds=SEEDS[:1])
def test_no_delivered_file_changes_when_somebody_returns(name: str, seed: int) -> None:
    """The checker of S3 looks at each file; here it is proven that files were delivered before the return."""
    world = World(named(name), seed)
    submitter = world.hosts[5]
    before: dict[tuple[str, str], bytes] = {}
    returned_ms = named(name).script[-1].at_ms
    world.at(returned_ms, lambda: before.update(submitter.disk.files))
    world.run()
    assert before
    assert before.items() <= submitter.disk.files.items()


@looked("all-paused", seeds=SEEDS[:1])
def test_while_all_are_paused_a_job_waits_and_says_so_and_then_goes_on(name: str, seed: int) -> None:
    """Also past the restart of two of them, whose pause is in their journals."""
    scenario = named(name)
    world = World(scenario, seed)
    seen: list[tuple[str, tuple[str, ...]]] = []

    def look() -> None:
        for host in world.hosts:
            for job in world.books.jobs:
                view = host.core.job_view(host.now(), job)
                assert view is not None
                seen.append((view.state.value, view.problems))

    paused, _, _, resumed = scenario.script
    quiet_ms = paused.at_ms + 2 * scenario.frame_ms
    world.at(resumed.at_ms - 1, look)
    world.run()
    assert len(seen) == len(world.hosts)
    assert {state for state, _ in seen} == {"waiting"}
    assert all("paused by its owner" in problems[0] for _, problems in seen)
    ends = [frame.at_ms for frame in world.economy.finished]
    assert min(ends) < paused.at_ms
    assert max(ends) > resumed.at_ms
    assert not [at_ms for at_ms in ends if quiet_ms < at_ms < resumed.at_ms]


@ended("pause", seeds=SEEDS[:1])
def test_a_paused_peer_ends_its_frame_and_one_that_is_resumed_renders_again(world: World) -> None:
    pause, resume = named("pause").script
    late = {frame.host for frame in world.economy.finished if frame.at_ms > pause.at_ms + 2 * named("pause").frame_ms}
    assert 2 not in late
    assert 1 in {frame.host for frame in world.economy.finished if frame.at_ms > resume.at_ms}
    assert world.economy.waste()[0] == 0


@ended("cancel", seeds=SEEDS[:1])
def test_everybody_who_hears_of_a_cancel_keeps_it(world: World) -> None:
    (job,) = world.books.jobs
    for host in world.hosts:
        assert job in world.books.of(host).cancels


@ended("split", seeds=SEEDS[1:])
def test_a_split_renders_on_both_sides_and_settles_on_one_picture(world: World) -> None:
    cut, mend = named("split").script
    during = {frame.host for frame in world.economy.finished if cut.at_ms + 40_000 < frame.at_ms < mend.at_ms}
    assert during & {0, 1}
    assert during & {2, 3, 4}


def test_without_a_beacon_or_a_third_two_islands_never_meet() -> None:
    """What the scenarios of islands show is theirs to show."""
    scenario = dataclasses.replace(named("islands-beacon"), beacons=False, extra_ms=30_000)
    with pytest.raises(Violation, match="does not know"):
        World(scenario, SEEDS[0]).run()


@ended("fetch", seeds=SEEDS[:1])
def test_people_may_ask_for_files_anywhere(world: World) -> None:
    (plan,) = world.people.plans
    assert plan.fetchers
    for fetcher, directory in plan.fetchers.items():
        written = [place for place in world.hosts[fetcher].disk.files if place[0] == directory]
        assert len(written) == plan.scenario.frames


@looked("submitter-gone", "two-peers-one-goes")
def test_a_submitter_that_was_told_it_may_go_is_not_missed(name: str, seed: int) -> None:
    scenario = named(name)
    world = World(scenario, seed)
    (submitter,) = scenario.submitters
    told: list[bool] = []

    def look() -> None:
        host = world.hosts[submitter]
        for job in world.books.jobs:
            view = host.core.job_view(host.now(), job)
            told.append(view is not None and view.may_go)

    world.at(scenario.script[0].at_ms - 1, look)
    world.run()
    assert told == [True]
    assert not world.hosts[submitter].running
    (job,) = world.books.jobs
    files = {view.state.value for host in world.hosts if host.running for view in host.core.task_views(job)}
    assert files <= {"counts", "safe"}


def hears_of_the_job(scenario: Scenario, seed: int, until_ms: int) -> list[int]:
    """Return how long after the first host each one has the scenario's job in its journal."""
    world = World(scenario, seed)
    heard_ms: dict[int, int] = {}

    def look() -> None:
        for host in world.hosts:
            if world.books.of(host).heads:
                heard_ms.setdefault(host.index, world.now_ms)

    for at_ms in range(scenario.submit_at_ms, until_ms, _LOOK_MS):
        world.at(at_ms, look)
    world.run()
    assert len(heard_ms) == scenario.peers
    first_ms = min(heard_ms.values())
    return sorted(at_ms - first_ms for at_ms in heard_ms.values())


@pytest.mark.slow
@looked("told-on", seeds=SEEDS[:1])
def test_a_job_is_known_to_sixty_peers_within_a_second(name: str, seed: int) -> None:
    """Sixty peers with channels to each other take twenty seconds of processor time."""
    scenario = named(name)
    assert hears_of_the_job(scenario, seed, scenario.safety_ms)[-1] <= 1_000


def test_who_missed_the_offers_finds_the_job_by_comparing() -> None:
    """Half of all messages are lost, so that an epidemic dies out: most hear at once, and the others soon."""
    scenario = dataclasses.replace(named("told-on"), peers=20, submitters=(19,), loss_ppm=500_000)
    after_ms = hears_of_the_job(scenario, SEEDS[0], scenario.least_ms)
    assert after_ms[-1] > 1_000, "somebody missed the offers"
    assert after_ms[-1] <= 20_000


def channels(world: World) -> list[int]:
    """Return with how many others each host has a channel."""
    return [
        sum(peer.connected and not peer.me for peer in host.core.mesh_view(host.now()).peers) for host in world.hosts
    ]


@pytest.mark.slow
@ended("large", seeds=SEEDS[:1])
def test_in_a_large_mesh_a_job_is_rendered_though_most_peers_never_meet(world: World) -> None:
    """Forty peers for half a minute take seconds."""
    assert sum(channels(world)) < 0.8 * len(world.hosts) * (len(world.hosts) - 1)
    assert len({frame.host for frame in world.economy.finished}) > world.scenario.renderers // 2


@pytest.mark.slow
@looked("large-split", seeds=SEEDS[:1])
def test_two_parts_of_a_large_mesh_find_each_other_and_all_learn_of_all_jobs(name: str, seed: int) -> None:
    """The same; which jobs each knows is looked at a minute after the cut is mended, as for views of a hundred."""
    world = World(named(name), seed)
    known: list[int] = []
    healed_ms = max(act.at_ms for act in world.scenario.script)
    world.at(
        healed_ms + 50_000, lambda: known.extend(len(host.core.mesh_view(host.now()).jobs) for host in world.hosts)
    )
    world.run()
    assert known == [world.scenario.jobs] * len(world.hosts)


@ended("revoke")
def test_who_is_thrown_out_in_the_middle_of_a_frame_renders_no_more(world: World) -> None:
    (revoke,) = named("revoke").script
    late = [frame for frame in world.economy.finished if frame.host == 1 and frame.at_ms > revoke.at_ms + KILLED_MS]
    assert not late, "it was told, before its channels closed"


@ended("revoke-away")
def test_everybody_knows_who_was_revoked_also_who_was_away(world: World) -> None:
    revoked = world.hosts[1]
    for host in world.hosts:
        knows = world.books.of(host).bans.chain(revoked.chain) is not None
        assert knows == (host is not revoked), "nobody opens a channel to tell it"


@looked("strike")
def test_what_a_struck_peer_rendered_is_rendered_again_and_its_files_are_replaced(name: str, seed: int) -> None:
    scenario = named(name)
    world = World(scenario, seed)
    (strike,) = scenario.script
    submitter, struck = world.hosts[5], world.hosts[1]
    before: dict[tuple[str, str], bytes] = {}
    world.at(strike.at_ms - 1, lambda: before.update(submitter.disk.files))
    world.run()
    by_struck = {frame.task for frame in world.economy.finished if frame.host == 1 and frame.at_ms < strike.at_ms}
    assert by_struck
    (job,) = world.books.jobs
    views = submitter.core.task_views(job)
    assert all(view.holder != struck.peer_id and view.result is not None for view in views)
    changed = {name for (_, name), blob in before.items() if submitter.disk.files[("/home/p5/job0-1", name)] != blob}
    names = world.books.jobs[job].body
    assert changed <= {names.names.name(names.frames.frame(task)) for task in by_struck}
    assert changed


def of_each_frame(world: World) -> list[int]:
    """Return how often each frame that was assembled was finished."""
    return list(Counter(frame.task for frame in world.economy.assembled).values())


@ended("still", "stills", seeds=SEEDS[:1])
def test_of_a_still_each_cell_is_rendered_once_where_nothing_disturbs(world: World) -> None:
    """Once, or twice where it is of a tail copy."""
    economy = world.economy
    rendered = Counter((frame.task, cell) for frame in economy.finished for cell in frame.cells)
    (job,) = world.books.jobs.values()
    cut = job.body.cut
    assert cut is not None
    copied = {(task, cell) for _, task, block in economy.copied if block for cell in cut.grid.cells(block)}
    assert {about for about, times in rendered.items() if times > 1} <= copied
    assert max(rendered.values()) <= 2
    assert len(copied) < len(rendered) / 10, "only the last"
    assert len(rendered) == world.scenario.still_frames * len(cut.grid)
    assert economy.pasted_again <= len(copied)
    assert of_each_frame(world) == [1] * world.scenario.still_frames


@pytest.mark.parametrize("seed", SEEDS)
def test_no_slot_is_long_idle_while_a_still_has_open_cells(seed: int) -> None:
    """Cells bound how small the last buckets can be: here a hundredth of what a slot renders in all."""
    world = World(dataclasses.replace(named("still"), spread_percent=0, slowest_percent=100), seed)
    world.run()
    finished = world.economy.finished
    first_ms = min(bucket.at_ms - bucket.took_ms for bucket in finished)
    makespan_ms = max(bucket.at_ms for bucket in finished) - first_ms
    worked_ms = sum(bucket.took_ms for bucket in finished)
    assert worked_ms > 0.85 * makespan_ms * world.scenario.renderers


@ended("still-churn")
def test_a_frame_is_assembled_although_whoever_does_it_is_killed(world: World) -> None:
    assert len({host for _, host, _, _ in world.economy.assemblies}) > 1
    assert of_each_frame(world)


@ended("still-lost", "still-lost-small")
def test_buckets_that_died_with_their_authors_are_rendered_again(world: World) -> None:
    lost_ms = world.scenario.script[0].at_ms
    before = {(frame.task, cell) for frame in world.economy.finished if frame.at_ms <= lost_ms for cell in frame.cells}
    after = {(frame.task, cell) for frame in world.economy.finished if frame.at_ms > lost_ms for cell in frame.cells}
    assert before & after
    assert len(of_each_frame(world)) == 1


# All the others, for the rules alone.


HUGE = ("large", "large-split", "calm-many", "crowd", "told-on")
"""They take seconds, and one seed: many peers choose from one window, and nearly none may choose the same task."""
LONG = tuple(scenario.name for scenario in (*HOURS, FAIR_HOUR))
"""An hour of a hundred peers takes minutes: tests/sim/test_churn.py has smaller ones."""
SHARED = tuple(scenario.name for scenario in SHARING)
"""Ten minutes of twenty slots: tests/sim/test_sharing.py runs them, and sees to it that shares are judged."""
SHOWN = (*(scenario.name for scenario in STUDIO if scenario.name != "liars"), *TWO_VERSIONS, *STRUCK)
"""Each of these runs where it is shown what it is about: once is enough."""
OTHERS = [
    (name, seed)
    for name in NAMED
    if name not in (*SHOWN, *LONG, *SHARED)
    for seed in (SEEDS[:1] if name in HUGE else SEEDS)
    if (name, seed) not in _LOOKED
]


@pytest.mark.parametrize("world", OTHERS, indirect=True, ids=lambda run: f"{run[0]}-{run[1]}")
def test_no_rule_is_broken(world: World) -> None:
    assert world.finished
