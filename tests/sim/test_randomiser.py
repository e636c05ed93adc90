"""The randomiser draws every option on and off, enough failures, and nothing that could not be finished."""

import dataclasses
import re

import pytest

from mesh.ground.instants import MINUTE_MS
from sim.named import named
from sim.randomiser import PEERS_LEAST, PEERS_MOST, draw
from sim.scenario import Act, Scenario, Shape
from sim.world import World

DRAWN = [draw(seed, None, 3) for seed in range(300)]

FIXED = {
    # One name, and no checks of what only steady or timed runs promise.
    *("name", "steady", "makespan_percent", "waste_percent", "reachable_permille"),
    # The rates of each kind of death are drawn.
    "churn_percent",
    # Neither of two that share a disk claims any more: what is asked of a mesh would depend on which one is there.
    "clone_of",
    # What jobs are like is drawn for each, in `shapes`.
    *(field.name for field in dataclasses.fields(Shape)),
    # Liars in league have wrong pictures sealed, which is measured and not judged.
    "league",
    # So long as was asked.
    "least_ms",
}

DRAWABLE = {field.name: field.default for field in dataclasses.fields(Scenario) if field.name not in FIXED}


@pytest.mark.parametrize("field", sorted(DRAWABLE))
def test_every_option_takes_several_values(field: str) -> None:
    values = {getattr(scenario, field) for scenario in DRAWN}
    assert len(values) > 1
    if DRAWABLE[field] in (0, ()) and field not in ("shapes", "submitters"):
        assert DRAWABLE[field] in values, "it is off in some"


def test_jobs_take_from_milliseconds_to_minutes_and_are_of_many_kinds() -> None:
    shapes = [shape for scenario in DRAWN for shape in scenario.shapes]
    durations = [shape.frame_ms for shape in shapes]
    assert min(durations) < 50
    assert max(durations) > 2 * MINUTE_MS
    for field in dataclasses.fields(Shape):
        assert len({getattr(shape, field.name) for shape in shapes}) > 1, field.name
    assert {len(set(scenario.shapes)) for scenario in DRAWN} >= {1, 2, 3, 4, 6}


def test_without_a_number_there_are_from_twenty_to_fifty_peers() -> None:
    assert {scenario.peers for scenario in DRAWN} == set(range(PEERS_LEAST, PEERS_MOST + 1))
    assert draw(1, 7, 2).peers == 7


def failures(scenario: Scenario) -> int:
    """Return how often a process or machine fails in the safety phase."""
    kinds = (scenario.kills, scenario.powers, scenario.fuses, scenario.freezes, scenario.sleeps, scenario.stops)
    drawn = sum(-(-kind * scenario.safety_ms // MINUTE_MS) for kind in (*kinds, scenario.moves))
    return drawn + sum(len(act.peers) for act in scenario.script if act.what in ("kill", "power", "stop"))


def test_in_most_seeds_each_peer_fails_at_least_once_on_average() -> None:
    enough = [scenario for scenario in DRAWN if failures(scenario) >= scenario.peers]
    assert len(enough) > len(DRAWN) * 2 // 3
    assert len(enough) < len(DRAWN), "some are calm"


def test_who_was_thrown_out_is_not_counted_on() -> None:
    seen = 0
    for scenario in DRAWN:
        out = {peer for act in scenario.script if act.what in ("revoke", "strike") for peer in act.peers}
        seen += bool(out)
        assert not out & {*scenario.core, *scenario.submitters}
        assert not out or scenario.core
    assert seen


@pytest.mark.parametrize("peers", [1, 2, 3, 5])
def test_small_meshes_are_drawn_too(peers: int) -> None:
    for seed in range(60):
        scenario = draw(seed, peers, 1)
        assert all(peer < peers for peer in (*scenario.core, *scenario.submitters, *scenario.islanders))
        assert 1 <= scenario.renderers <= peers


SMALL = dataclasses.replace(named("calm"), steady=False, safety_ms=40_000, least_ms=40_000, down_ms=6_000)


def ran(**options: object) -> World:
    """Run a small world to its end."""
    changed: dict[str, object] = options
    world = World(dataclasses.replace(SMALL, **changed), 1)  # type: ignore[arg-type]
    world.run()
    return world


def told(world: World, words: str) -> int:
    """Return how often something happened."""
    return sum(words in text for _, _, text in world.trace.happenings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"moves": 6}, "moves to another address"),
        ({"churn_percent": 6_000}, "is killed"),
        ({"lags": 6}, "is on a slow line"),
        ({"slow_disks": 6}, "has a slow disk"),
        ({"remnants": 2, "core": (0, 3, 4, 5)}, " one way"),
    ],
    ids=str,
)
def test_a_switch_brings_its_fault_and_no_rule_is_broken(options: dict[str, object], words: str) -> None:
    assert told(ran(**options), words)


@pytest.mark.parametrize(("options", "both"), [({"isolations": 6}, (1, 5)), ({"clogs": 9}, (1, 1))], ids=str)
def test_so_many_peers_are_cut_off_from_so_many(options: dict[str, object], both: tuple[int, int]) -> None:
    world = ran(**options)
    cuts = [text for _, _, text in world.trace.happenings if re.match(r"cut \d+: ", text)]
    assert cuts
    for text in cuts:
        sides = re.fullmatch(r"cut \d+: \[(.*)\] from \[(.*)\]", text.replace("(", "[").replace(")", "]"))
        assert sides is not None, text
        assert tuple(len([peer for peer in side.split(",") if peer]) for side in sides.groups()) == both


def test_what_comes_back_no_more_leaves_enough_to_finish_with() -> None:
    seen: set[str] = set()
    for scenario in DRAWN:
        gone = {peer: act.what for act in scenario.script if act.what in ("wipe", "leave") for peer in act.peers}
        seen |= {act.what for act in scenario.script}
        assert not {*gone, *scenario.hoarders} & {0, *scenario.submitters}
        assert list(gone.values()).count("wipe") <= 1, "nobody could promise that there is time to copy between two"
        if scenario.quota_mb:
            assert {0, *scenario.submitters} <= {*scenario.roomy}
        if scenario.bridges:
            assert 0 not in scenario.islanders
            assert not {*gone} & {*scenario.bridges, scenario.islanders[0]}
            assert not scenario.core or {0, *scenario.bridges, scenario.islanders[0]} <= {*scenario.core}
    assert {"wipe", "leave", "lose-assembler"} <= seen


def test_two_who_can_agree_have_room_where_disks_are_small() -> None:
    drawn = [scenario for scenario in (draw(seed, 6, 1) for seed in range(450)) if scenario.quota_mb]
    checked = [scenario for scenario in drawn if any(shape.twice for shape in scenario.shapes)]
    assert any({0, *scenario.submitters} & {*scenario.wrong} for scenario in checked)
    for scenario in checked:
        whats = ("wipe", "leave", "revoke", "strike")
        gone = {peer for act in scenario.script if act.what in whats for peer in act.peers}
        unable = {*scenario.wrong, *scenario.hoarders, *scenario.old, *gone}
        roomy = [peer for peer in scenario.roomy if peer < scenario.renderers and peer not in unable]
        assert len(roomy) >= 2, scenario


def test_of_who_can_agree_those_come_back_whose_disks_have_room() -> None:
    world = ran(twice=True, submitters=(2,), wrong=(0,), quota_mb=20, roomy=(0, 2, 4), core=(0, 1, 3))
    assert {2, 4} <= world.faults.core.keys()


def test_who_left_or_lost_its_disk_never_comes_back() -> None:
    acts = (Act(at_ms=12_000, what="wipe", peers=(1,)), Act(at_ms=14_000, what="start", peers=(1,)))
    world = ran(script=acts, core=(0, 3, 4, 5), remnants=2)
    assert not world.hosts[1].running
    assert world.hosts[2].running, "another remnant is there"


def test_a_slow_line_and_far_sites_make_messages_late() -> None:
    world = World(dataclasses.replace(SMALL, sites=2, far_ms=100, latency_ms=3, jitter_ms=0), 1)
    assert world.net.latency_ms(0, 2) == 3
    assert world.net.latency_ms(0, 1) == 103
    world.net.lags[1] = 1_000
    assert world.net.latency_ms(0, 1) == world.net.latency_ms(1, 0) == 1_103


def test_a_peer_that_moves_while_it_is_dialled_is_not_there() -> None:
    world = World(SMALL, 1)

    def move() -> None:
        world.faults.kill(world.hosts[2], power=False)
        world.net.dial(world.hosts[0], world.hosts[2].peer_id, (world.hosts[2].address,))
        world.faults.move(world.hosts[2])

    before = world.hosts[2].address
    world.at(20_000, move)
    world.run()
    assert world.hosts[2].address != before


def test_what_waits_for_a_slow_disk_is_late() -> None:
    def delivered_ms(stall_ms: int) -> int:
        world = World(dataclasses.replace(SMALL, frames=1), 1)
        for host in world.hosts:
            host.disk.stall_ms = stall_ms
        world.run()
        return max(world.economy.exported_ms.values())

    assert delivered_ms(1_500) > delivered_ms(0) + 1_500


def test_who_still_stops_when_all_heals_is_started_again() -> None:
    act = Act(at_ms=39_900, what="stop", peers=(1,))
    world = ran(script=(act,), jobs=1, frames=60, frame_ms=9_000)
    assert world.hosts[1].running
    assert world.hosts[1].life == 1


def test_remnants_go_on_cut_off_one_way_for_good() -> None:
    world = ran(remnants=2, core=(0, 3, 4, 5))
    assert [host.running for host in world.hosts] == [True] * 6
    for remnant in (1, 2):
        reach = {(world.net.reaches(remnant, other), world.net.reaches(other, remnant)) for other in (0, 3, 4, 5)}
        assert reach in ({(True, False)}, {(False, True)})


def test_those_who_come_late_start_together_and_find_the_others() -> None:
    world = World(dataclasses.replace(SMALL, late=3, late_ms=20_000), 1)
    up: list[list[bool]] = []
    for at_ms in (19_999, 20_600):
        world.at(at_ms, lambda: up.append([host.running for host in world.hosts]))
    world.run()
    assert up == [[True] * 3 + [False] * 3, [True] * 6]
    assert {frame.host for frame in world.economy.finished} == set(range(5)), "the late render, too"


def test_jobs_of_several_engines_are_rendered_by_who_has_them() -> None:
    world = ran(engines=3, jobs=3, frames=12, frame_ms=2_000, submit_every_ms=500)
    assert world.hosts[0].engines == world.engines
    assert len({host.engines for host in world.hosts}) > 1
    for frame in world.economy.finished:
        assert world.books.jobs[frame.job].body.engine in world.hosts[frame.host].engines
    assert len({record.body.engine for record in world.books.jobs.values()}) == 3


def test_renderers_have_different_numbers_of_slots() -> None:
    world = World(dataclasses.replace(SMALL, peers=20, renderers=20, slots=3, mixed_slots=True), 1)
    assert {host.slots for host in world.hosts} == {1, 2, 3}


def test_jobs_differ_by_their_shapes() -> None:
    shapes = (Shape(frames=3, frame_ms=500, scene_blobs=1), Shape(frames=1, still_frames=1, still_ms=20_000))
    world = ran(jobs=3, shapes=shapes, submit_every_ms=500)
    jobs = {record.body.name: record.body for record in world.books.jobs.values()}
    assert [len(jobs[f"job{number}"].frames) for number in range(3)] == [3, 1, 3]
    assert [jobs[f"job{number}"].cut is None for number in range(3)] == [True, False, True]
    assert max(frame.took_ms for frame in world.economy.finished if not frame.cells) < 3_000


def test_one_number_is_signed_twice_and_every_peer_keeps_what_it_heard() -> None:
    world = ran(equivocations=60)
    liar = world.adversary.liar.peer_id
    numbers = [
        entry.body.number
        for job in world.books.jobs
        for entry in world.books.of(world.hosts[0]).entries[job].values()
        if entry.author == liar
    ]
    assert len(numbers) > len(set(numbers)), "one peer has both"


def test_chance_alone_stops_no_task() -> None:
    world = ran(crash_permille=600, frames=20, frame_ms=1_000)
    hurt = [len(hosts) for hosts in world.people.plans[0].unlucky.values()]
    tries = max(record.body.tries for record in world.books.jobs.values())
    assert max(hurt) == tries - 1
