"""Who asks about single frames is told all of them, wherever he sits, and soon; and that costs little."""

import dataclasses
from collections import Counter

import pytest

from mesh.core.effects import Send
from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS
from sim.host import Host
from sim.named import named
from sim.views import peer_behind
from sim.world import World

AT_MS = 20 * SECOND_MS


def begun() -> World:
    """Run the mesh of onlookers, on whom nobody looks, until most frames are still to be rendered."""
    world = World(dataclasses.replace(named("onlookers"), looks=0), 1)
    world.begin()
    world.at(AT_MS, lambda: setattr(world, "finished", True))
    world.go_on()
    world.finished = False
    return world


def go_on(world: World, for_ms: int) -> None:
    world.at(world.now_ms + for_ms, lambda: setattr(world, "finished", True))
    world.go_on()
    world.finished = False


def bystanders(world: World) -> list[Host]:
    """Return who neither submitted nor keeps the job and knows no result but its own."""
    job = world.people.plans[0].job
    assert job is not None
    found = []
    for host in world.hosts:
        core = peer_behind(host.core)
        if not core.sync.has_all(core.ledger.jobs[job], host.now()):
            found.append(host)
    return found


def shown(host: Host, job: bytes) -> dict[int, PeerId | None]:
    return {view.task: view.holder for view in host.core.task_views(job) if view.result is not None}  # type: ignore[arg-type]


def test_each_peer_shows_every_frame_within_a_moment() -> None:
    world = begun()
    job = world.people.plans[0].job
    assert job is not None
    submitter = world.hosts[world.people.plans[0].submitter]
    before = shown(submitter, job)
    others = bystanders(world)
    assert len(others) >= 6
    assert all(len(shown(host, job)) < len(before) // 2 for host in others)
    for host in others:
        world.onlookers.look(job, host)
    go_on(world, SECOND_MS)
    assert [whole for _, whole in world.onlookers.answers] == [True] * len(others)
    assert max(took_ms for took_ms, _ in world.onlookers.answers) <= SECOND_MS
    for host in others:
        assert shown(host, job).items() >= before.items()


def test_after_a_question_little_more_is_said_than_before() -> None:
    said = []
    for asked in (False, True):
        world = begun()
        job = world.people.plans[0].job
        for host in bystanders(world) if asked else ():
            world.onlookers.look(job, host)
        go_on(world, 2 * SECOND_MS)
        counts = Counter[str]()
        for host in world.hosts:
            host_sends(host, counts)
        go_on(world, 20 * SECOND_MS)
        said.append(sum(counts[name] for name in ("Entries", "StreamIds", "StreamDigests", "LedgerDigest")))
    before, after = said
    assert before > 0
    assert after < before + before // 4


def host_sends(host: Host, counts: Counter[str]) -> None:
    """Count what a host sends from now on, by kind."""
    perform = host._perform[Send]

    def counted(effect: Send) -> None:
        counts[type(effect.message).__name__] += 1
        perform(effect)

    host._perform[Send] = counted


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_is_told_that_all_is_there_who_lacks_some(seed: int) -> None:
    world = World(dataclasses.replace(named("onlookers"), kills=4, isolations=2, loss_ppm=20_000), seed)
    world.run()
    assert sum(whole for _, whole in world.onlookers.answers) > 20
