"""What may happen to whoever coordinates a still, and that it costs little."""

import dataclasses

from mesh.wire.stills import MAX_EPOCH
from sim.coordinator import leading
from sim.named import named
from sim.world import World
from tests.support.ended import ended

STRUCK = ("plug-puller", "still-mute", "still-usurped")
"""Each of these runs below with a look at what it is about, and once more with another seed."""


@ended(*STRUCK, seeds=(2,))
def test_a_still_takes_hardly_longer_whatever_happens_to_its_coordinator(world: World) -> None:
    assert took_hardly_longer(world)


def took_hardly_longer(world: World) -> bool:
    """Say whether a still was done in the time that is asked of it (L3)."""
    took_ms, ideal_ms = world.economy.makespan()
    return took_ms <= 1.5 * ideal_ms


def test_whoever_leads_is_killed_each_time_and_others_go_on() -> None:
    world = World(named(STRUCK[0]), 1)
    killed: list[int] = []
    for act in world.scenario.script:
        world.at(act.at_ms - 1, lambda: killed.extend(_leader(world)))
    world.run()
    assert len(killed) == len(world.scenario.script)
    assert len(set(killed)) > 1
    assert took_hardly_longer(world)


def _leader(world: World) -> list[int]:
    (job,) = world.books.jobs
    leader = leading(world, job)
    return [leader.index] if leader is not None else []


def test_where_nobody_grants_slots_claim_by_themselves() -> None:
    world = World(named(STRUCK[1]), 1)
    (act,) = world.scenario.script
    silent: list[int] = []
    world.at(act.at_ms + 1, lambda: silent.extend(host.index for host in world.hosts if host.mute))
    world.run()
    assert len(silent) == 1, "whoever coordinated grants nothing any more"
    later = [bucket for bucket in world.economy.finished if bucket.at_ms > act.at_ms + 20_000]
    assert len({bucket.host for bucket in later}) == world.scenario.renderers
    assert took_hardly_longer(world)


def test_the_highest_epoch_that_there_can_be_is_followed_and_stops_nobody() -> None:
    world = World(named(STRUCK[2]), 1)
    (act,) = world.scenario.script
    seen: list[int] = []
    world.at(act.at_ms + 1_000, lambda: seen.extend(_numbers(world)))
    world.run()
    assert seen and set(seen) == {MAX_EPOCH}
    assert took_hardly_longer(world)


def _numbers(world: World) -> list[int]:
    (job,) = world.books.jobs
    epochs = [host.core.election.epoch(job) for host in world.hosts if host.works]
    return [epoch.body.number for epoch in epochs if epoch is not None]


@ended("still-short", seeds=(1,))
def test_short_buckets_that_slots_claim_against_grants_are_rendered_once(world: World) -> None:
    twice_ms, all_ms = world.economy.waste()
    assert twice_ms * 100 <= all_ms
    assert len(world.economy.copied) <= world.scenario.renderers, "waste leaves tail copies apart: they must be few"


def test_the_ideal_knows_who_lived_and_who_slept() -> None:
    calm = dataclasses.replace(named("plug-puller"), script=())
    world = World(calm, 1)
    world.begin()
    world.at(31_000, lambda: setattr(world, "finished", True))
    world.go_on()
    capacity = world.capacity
    slots = sum(host.farm.speed_percent * host.slots for host in world.hosts)
    assert capacity.between(20_000, 30_000) == slots * 10_000 // 100
    assert capacity.ideal_ms(20_000, capacity.between(20_000, 30_000)) in range(9_998, 10_002)
