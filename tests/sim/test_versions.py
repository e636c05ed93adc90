"""Two versions of the wire in one simulated mesh: both work together, and an update loses nothing."""

from dataclasses import replace
from itertools import pairwise

import pytest

from mesh.core.effects import StartRender
from mesh.core.status import JobState
from mesh.ground.errors import UsageError, WireError
from mesh.wire import messages
from mesh.wire.envelope import sign
from mesh.wire.kept import KeptHead
from mesh.wire.messages import Head, Ping
from mesh.wire.versions import VERSION_HIGHEST
from sim.named import named
from sim.parcels import LATER
from sim.previous.codec import VERSION as OLD
from sim.previous.codec import previous
from sim.run import run
from sim.scenario import Act
from sim.versions import Shelved
from sim.violation import Violation
from sim.world import World
from tests.sim.test_studio import Diary, lived
from tests.support.cast import Cast

SEEDS = (1, 2)
TWO_VERSIONS = ("rolling-upgrade", "mixed-versions")
"""What is shown below, with each of the seeds."""
FORGOTTEN = 4
"""The host that is never updated in `rolling-upgrade`."""


class Watch:
    """Which hosts speak which version, and which know of the second job, second by second."""

    def __init__(self) -> None:
        self.versions: list[tuple[int, ...]] = []
        self.knew: list[tuple[bool, ...]] = []

    def look(self, world: World) -> None:
        self.versions.append(tuple(host.version for host in world.hosts))
        job = world.people.plans[1].job
        self.knew.append(tuple(job in world.books.of(host).heads for host in world.hosts))


def starts(world: World, diary: Diary, number: int) -> list[tuple[int, int]]:
    """Return (when, host) of every render of a job that began."""
    job = world.people.plans[number].job
    asked = diary.asked(StartRender)
    return [(at_ms, index) for at_ms, index, effect in asked if effect.job.id == job]  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_machine_after_the_other_is_updated_while_both_versions_work_on_one_job(seed: int) -> None:
    scenario, watch = named(TWO_VERSIONS[0]), Watch()
    looks = [(at_ms, watch.look) for at_ms in range(1_000, scenario.safety_ms, 1_000)]
    world, diary = lived(scenario, seed, *looks)
    counts = [row.count(VERSION_HIGHEST) for row in watch.versions]
    assert (counts[0], counts[-1]) == (0, scenario.peers - 1)
    assert all(later - before <= 1 for before, later in pairwise(counts)), "one after the other"
    mixed = [place for place, count in enumerate(counts) if 0 < count < scenario.peers]
    by_version = {
        watch.versions[at_ms // 1_000 - 1][index]
        for at_ms, index in starts(world, diary, 0)
        if mixed[0] < at_ms // 1_000 - 1 < mixed[-1]
    }
    assert by_version == {OLD, VERSION_HIGHEST}, "both rendered the plain job while there were both"
    assert all(
        not knew or version == VERSION_HIGHEST
        for knows, row in zip(watch.knew, watch.versions, strict=True)
        for knew, version in zip(knows, row, strict=True)
    ), "no old one ever knew of what it cannot read"
    renderers = {index for _, index in starts(world, diary, 1)}
    assert len(renderers) >= 2
    assert FORGOTTEN not in renderers
    for host in world.hosts:
        shown = [host.core.job_view(host.now(), plan.job) for plan in world.people.plans if plan.job is not None]
        sealed = [view is not None and view.state is JobState.SEALED for view in shown]
        assert sealed[0] or host.index != world.people.plans[0].submitter
        assert (shown[1] is None) == (host.index == FORGOTTEN)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mesh_that_is_never_updated_whole_finishes_all_jobs(seed: int) -> None:
    world, diary = lived(named(TWO_VERSIONS[1]), seed)
    old = {host.index for host in world.hosts if host.version == OLD}
    assert old == set(world.scenario.old)
    assert not old & {index for _, index in starts(world, diary, 0)}
    for number in (1, 2):
        assert {index in old for _, index in starts(world, diary, number)} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO_VERSIONS)
def test_real_bytes_of_both_versions_make_the_same_run(name: str) -> None:
    by_reference, as_bytes = (run(named(name), 2, wire=wire) for wire in ("reference", "bytes"))
    assert by_reference.good
    assert by_reference.trace == as_bytes.trace


def test_what_is_said_past_an_old_peer_is_caught_in_either_form() -> None:
    """The two ways of looking at it, each by itself: what a message needs, and what the frozen wire reads."""
    world = World(named("mixed-versions"), 1, wire="bytes")
    one, other = world.hosts[0], world.hosts[1].peer_id
    hello = messages.Hello(name="p0", program="", addresses=(), wall=one.now().wall, chain=(), speaks=VERSION_HIGHEST)
    for version, said in ((OLD, Ping(number=1)), (VERSION_HIGHEST, hello)):
        world.versions.says(one, other, said, version)
        packet = messages.encode(said)
        assert world.versions.packet(one, other, packet, version) == packet
    with pytest.raises(Violation, match="wire: p0 says a Hello that needs version 2 on a channel of version 1"):
        world.versions.says(one, other, hello, OLD)
    with pytest.raises(Violation, match="wire: p0 says what version 1 does not read"):
        world.versions.packet(one, other, messages.encode(hello), OLD)


def test_an_old_program_writes_down_nothing_that_it_would_not_read_again() -> None:
    world = World(named("mixed-versions"), 1)
    cast = Cast()
    ann = cast.actor("ann")
    plain = KeptHead(head=cast.head(ann))
    large = KeptHead(head=Head(job=sign(replace(plain.head.job.body, memory_mb=1), ann.signer), chain=ann.chain))
    new, old = (Shelved(world, world.hosts[index]) for index in (0, 1))
    assert [new.knows(entry) for entry in (plain, large)] == [True, True]
    assert [old.knows(entry) for entry in (plain, large)] == [True, False]


def test_the_old_program_knows_no_later_kind() -> None:
    with pytest.raises(WireError):
        previous().message(LATER)


def test_an_act_has_a_name() -> None:
    assert Act(at_ms=1, what="upgrade", peers=(1,)).what == "upgrade"
    with pytest.raises(UsageError):
        Act(at_ms=1, what="downgrade")
