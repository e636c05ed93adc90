"""Small worlds: all that may happen in them breaks no rule, and a peer with one thing broken is found."""

import dataclasses
import heapq

import pytest

from mesh.wire.stills import Leading
from sim.host import Core, Host
from sim.named import named
from sim.small import Explorer
from sim.small_cheats import SendsBeforeItWrites
from sim.small_copy import Body, Shared
from sim.small_moves import Bounds, Move, Node
from sim.small_named import FOUND, SMALL, Found
from sim.small_report import QUICK_STATES, explore_all
from sim.small_rules import Kept
from sim.violation import Violation
from sim.world import World, real_core

pytestmark = pytest.mark.interpreted

SLICE = 1_500
"""States of each world that CI looks at; `python -m sim small` looks at a hundred times more."""


@pytest.mark.parametrize("name", SMALL)
def test_nothing_that_may_happen_breaks_a_rule(name: str) -> None:
    explored = Explorer(SMALL[name]).run(SLICE)
    assert explored.broken is None, "\n".join([str(explored.broken), *explored.path])
    assert explored.complete or explored.states >= SLICE


@pytest.mark.parametrize("found", FOUND, ids=lambda found: f"{found.rule}-{found.mutant.__name__}")
def test_a_mutant_is_found(found: Found) -> None:
    explored = Explorer(SMALL[found.world], found.mutant).run(4 * QUICK_STATES)
    assert isinstance(explored.broken, Violation)
    assert explored.broken.rule == found.rule


def test_of_a_broken_rule_the_shortest_way_to_it_is_told() -> None:
    found = next(found for found in FOUND if found.rule == "lease")
    explored = Explorer(SMALL[found.world], found.mutant).run(QUICK_STATES)
    assert len(explored.path) == explored.depth + 1
    assert "SettleEnds" in explored.path[-1]


def test_what_is_broken_before_anything_is_explored_is_told_too() -> None:
    explored = Explorer(SMALL["pair-late"], SendsBeforeItWrites).run(QUICK_STATES)
    assert isinstance(explored.broken, Violation)
    assert explored.path and not explored.states


def test_a_world_within_bounds_is_explored_to_its_end_and_each_time_alike() -> None:
    small = dataclasses.replace(SMALL["pair"], bounds=Bounds(until_ms=2_000, all_slow=True))
    first, second = Explorer(small).run(QUICK_STATES), Explorer(small).run(QUICK_STATES)
    assert first.complete and first.ends
    counts = [(each.states, each.worlds, each.moves, each.turns, each.hosts) for each in (first, second)]
    assert counts[0] == counts[1]


def test_more_slow_sources_add_states_and_take_none_away() -> None:
    def worlds(bounds: Bounds) -> set[tuple[object, ...]]:
        explorer = Explorer(dataclasses.replace(SMALL["pair"], bounds=bounds))
        waiting, seen = [explorer.first()], set[tuple[object, ...]]()
        while waiting:
            node = waiting.pop()
            hosts = tuple(explorer.world.facts(host).site for host in node.world.hosts)
            if (key := (node.world.now_ms, hosts, node.slow, node.slowed)) not in seen:
                seen.add(key)
                waiting += [explorer.moves.after(node, move) for move in explorer.moves.names(node)]
        return {key[:2] for key in seen}

    none, one = worlds(Bounds(until_ms=2_000)), worlds(Bounds(until_ms=2_000, slow=1))
    every = worlds(Bounds(until_ms=2_000, all_slow=True))
    assert none < one < every


def test_a_job_is_delivered_where_everything_is_prompt() -> None:
    explorer = Explorer(dataclasses.replace(SMALL["trio"], bounds=Bounds(until_ms=6_000)))
    node = explorer.first()
    while (move := explorer.moves.prompt(node)) is not None:
        node = explorer.moves.after(node, move)
    files = explorer.world.facts(node.world.hosts[0]).site.files
    assert [name for (_, name), _ in files] == ["frame_0001.png", "frame_0002.png"]


def test_a_still_is_delivered_although_whoever_leads_it_dies() -> None:
    small = dataclasses.replace(SMALL["handover"], bounds=Bounds(until_ms=12_000, crashes=1))
    explorer = Explorer(small)
    node, leader = explorer.first(), None
    while leader is None:
        node = explorer.moves.after(node, _prompt(explorer, node))
        leader = next((say[1] for say in _on_their_way(explorer, node) if isinstance(say[0], Leading)), None)
    assert leader != 0, "the submitter must live, so that it can be delivered to"
    node = explorer.moves.after(node, ("crash", leader, 0, False))
    epochs = {}
    while (move := explorer.moves.prompt(node)) is not None:
        node = explorer.moves.after(node, move)
        said = [message.epoch for message, _ in _on_their_way(explorer, node) if isinstance(message, Leading)]
        epochs |= {epoch.body.number: None for epoch in said}
    assert explorer.world.facts(node.world.hosts[0]).site.files
    assert list(epochs) == [1, 2]


def _prompt(explorer: Explorer, node: Node) -> Move:
    move = explorer.moves.prompt(node)
    assert move is not None
    return move


def _on_their_way(explorer: Explorer, node: Node) -> list[tuple[object, int]]:
    """Return the messages that wait to be heard, and who said each."""
    queues = [queue for link in node.world.links for queue in link[3:]]
    return [(explorer.world.shared.thing(item[2]), item[1]) for queue in queues for item in queue if item[0] == "hear"]


def test_an_output_that_is_called_safe_must_be_kept_by_somebody() -> None:
    explorer = Explorer(SMALL["pair"])
    world = explorer.first().world
    facts = [explorer.world.facts(host) for host in world.hosts]
    explorer.judge(world)
    explorer.world.facts = lambda state: dataclasses.replace(  # type: ignore[method-assign]
        facts[world.hosts.index(state)], kept=Kept(calls_safe=1, keeps=0)
    )
    with pytest.raises(Violation, match="S1"):
        explorer.judge(world)


def test_a_core_that_was_copied_and_put_back_after_each_event_goes_on_as_before() -> None:
    scenario = dataclasses.replace(named("calm"), peers=3, renderers=3, jobs=1, frames=2, submitters=(0,))
    shared, bodies = Shared(), dict[int, Body]()

    def copied(host: Host, seed: bytes) -> Core:
        core = real_core(host, seed)
        bodies[host.index] = Body((core,), (), shared)
        return core

    plain, other = World(scenario, 1), World(scenario, 1, make_core=copied)
    for world in (plain, other):
        world.begin()
        while world.now_ms < 12_000:
            world.now_ms, _, action, arguments = heapq.heappop(world._heap)
            action(*arguments)
            for body in bodies.values() if world is other else ():
                copy = body.take()
                body.forget()
                body.put(copy)
                assert body.take() == copy
    assert plain.trace.hexdigest() == other.trace.hexdigest()


class _Machine:
    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.by_name: dict[str, list[int]] = {}
        self.other: _Machine | None = None


def test_what_is_reached_twice_is_one_thing_again_when_it_is_put_back() -> None:
    one, two = _Machine(), _Machine()
    one.other, two.other = two, one
    body = Body((one,), (), Shared())
    empty = body.take()
    one.rows.append([1])
    two.by_name["first"] = one.rows[0]
    full = body.take()
    body.put(empty)
    assert (one.rows, two.by_name) == ([], {})
    body.put(full)
    assert two.by_name["first"] is one.rows[0]
    one.rows[0].append(2)
    body.forget()
    body.put(full)
    assert (one.rows, two.by_name, one.other, two.other) == ([[1]], {"first": [1]}, two, one)


def test_what_differs_in_order_alone_is_another_memory() -> None:
    machine = _Machine()
    body = Body((machine,), (), Shared())
    machine.by_name = {"a": [], "b": []}
    one = body.take()
    machine.by_name = {"b": [], "a": []}
    assert body.take() != one
    body.put(one)
    assert list(machine.by_name) == ["a", "b"]


def test_a_core_that_hides_a_container_in_a_function_is_refused() -> None:
    hidden: list[int] = []
    machine = _Machine()
    machine.rows = [lambda: hidden]  # type: ignore[list-item]
    with pytest.raises(AssertionError, match="caught a container"):
        Body((machine,), (), Shared())


def test_the_command_prints_counts_and_says_whether_a_rule_was_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert explore_all(["pair-all"], 100) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("pair-all")
    assert printed[-1].endswith("no rule broken")
