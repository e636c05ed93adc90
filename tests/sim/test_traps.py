"""A trap's scenario fails when the rule that answers the trap is taken away.

Those traps stand here whose rule some core can lack; docs/internals/traps.md says what shows each of the others.
"""

import dataclasses
from collections.abc import Callable

import pytest

from mesh.core.keepers import distance
from mesh.core.status import JobState, TaskState
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import SECOND_MS
from mesh.wire.messages import ClaimSent, Message
from sim.host import Core, Host
from sim.named import named
from sim.scenario import Act, Scenario
from sim.trapcheats import (
    BelievesNoKeeper,
    CancelsQuietly,
    DeafToSeals,
    DeliversTheSafe,
    NeverTriesAgain,
    OpensAtOnce,
    StrikesTheSealed,
    WaitsForGrants,
    WaitsForNoGrant,
    WaitsInTurn,
)
from sim.trustcheats import AgreesWithAll, KeepsTheRejected, YieldsToSeals
from sim.violation import Violation
from sim.world import World, real_core

pytestmark = pytest.mark.interpreted

CANCELLED_MS = 2_000
"""A cancel reaches everybody within so long."""


def soon_over(name: str, **options: object) -> Scenario:
    """Return a named scenario that has two minutes to end after all has healed."""
    return dataclasses.replace(named(name), extra_ms=120 * SECOND_MS, **options)  # type: ignore[arg-type]


def cut_for(minutes: int) -> Scenario:
    """Return the studio that is split, but not for as long."""
    mend_ms = (12 + 60 * minutes) * SECOND_MS
    cut, _ = named("split-studio").script
    script = (cut, Act(at_ms=mend_ms, what="mend"))
    return soon_over("split-studio", safety_ms=mend_ms + 8 * SECOND_MS, least_ms=mend_ms + 9 * SECOND_MS, script=script)


BROKEN = [
    pytest.param(cut_for(5), DeafToSeals, "S3", 1, id="2-two-sides-sealed-other-pictures"),
    pytest.param(soon_over("one-of-three-dies"), DeliversTheSafe, "L2", 1, id="7-copies-that-cannot-be-made"),
    pytest.param(soon_over("one-capable"), NeverTriesAgain, "L2", 1, id="8-the-only-one-failed-it-once"),
    pytest.param(soon_over("twice-away"), AgreesWithAll, "L8", 1, id="11-two-differ-and-a-third-decides"),
]
"""What the checkers see: scenario, core, rule, seed."""


@pytest.mark.parametrize(("scenario", "core", "rule", "seed"), BROKEN)
def test_without_its_rule_a_trap_breaks_what_must_hold(
    scenario: Scenario, core: Callable[[Host, bytes], Core], rule: str, seed: int
) -> None:
    World(scenario, seed).run()
    with pytest.raises(Violation) as raised:
        World(scenario, seed, make_core=core).run()
    assert raised.value.rule == rule, raised.value


def ran(
    scenario: Scenario,
    core: Callable[[Host, bytes], Core],
    *looks: tuple[int, Callable[[World], None]],
    seed: int = 1,
) -> World:
    """Run a scenario with looks at fixed times; any broken rule is raised."""
    world = World(scenario, seed, make_core=core)
    for at_ms, look in looks:
        world.at(at_ms, look, world)
    world.run()
    return world


def rejects(world: World) -> None:
    """Let the submitter reject the first frame that it has."""
    (plan,) = world.people.plans
    world.people.reject(plan, world.hosts[plan.submitter], first_delivered(world))


def first_delivered(world: World) -> int:
    """Return the first frame that the submitter has."""
    (plan,) = world.people.plans
    assert plan.job is not None
    return next(view.task for view in world.hosts[plan.submitter].core.task_views(plan.job) if view.delivered)


def test_3_a_delivered_file_is_replaced_by_what_is_rendered_after_its_reject() -> None:
    def replaced(core: Callable[[Host, bytes], Core]) -> bool:
        before: dict[tuple[str, str], bytes] = {}
        submitter = named("calm").submitters[0]
        look = (20 * SECOND_MS - 1, lambda world: before.update(world.hosts[submitter].disk.files))
        scenario = dataclasses.replace(named("calm"), steady=False, repeatable=False)
        world = ran(scenario, core, look, (20 * SECOND_MS, rejects))
        first = min(before)
        changed = [place for place, blob in before.items() if world.hosts[submitter].disk.files[place] != blob]
        assert changed in ([], [first]), "nothing else is"
        return bool(changed)

    assert replaced(real_core)
    assert not replaced(KeepsTheRejected)


def test_3_what_the_submitter_rejected_is_stopped_where_keepers_sealed_it_without_knowing() -> None:
    def states(core: Callable[[Host, bytes], Core]) -> set[TaskState]:
        rejected: list[int] = []
        note = (30 * SECOND_MS - 1, lambda world: rejected.append(first_delivered(world)))
        world = ran(named("rejects-apart"), core, note, (30 * SECOND_MS, rejects))
        (plan,) = world.people.plans
        assert plan.job is not None
        for host in world.hosts:
            view = host.core.job_view(host.now(), plan.job)
            assert view is not None
            assert view.state is JobState.SEALED
        return {host.core.task_views(plan.job, rejected)[0].state for host in world.hosts}

    assert states(real_core) == {TaskState.STOPPED}
    assert TaskState.STOPPED not in states(YieldsToSeals)


def test_3_pictures_of_a_keepers_seal_that_nobody_has_keep_no_others_from_the_submitter() -> None:
    scenario = named("unfetched")
    *_, back = scenario.script

    def meanwhile(core: Callable[[Host, bytes], Core]) -> tuple[int, int, tuple[str, ...]]:
        """Return how many pictures somebody has, how many files are there, and what the submitter is told."""
        seen: list[tuple[int, int, tuple[str, ...]]] = []

        def look(world: World) -> None:
            (plan,) = world.people.plans
            host = world.hosts[plan.submitter]
            assert plan.job is not None
            view = host.core.job_view(host.now(), plan.job)
            assert view is not None
            assert view.state is JobState.SEALED
            disks = [one.disk for one in world.hosts if one.running]
            able = {blob for disk in disks for blob in disk.whole() if world.blobs[blob].picture}
            seen.append((len(able), len(host.disk.files), view.problems))

        world = ran(scenario, core, (back.at_ms - 1, look))
        assert len(world.hosts[scenario.submitters[0]].disk.files) == scenario.frames
        return seen[0]

    able, files, told = meanwhile(real_core)
    assert able == files < scenario.frames - 32
    assert told[0].startswith("nobody who is connected has the picture of frame ")
    assert told[0].endswith(" is back")
    able, files, _ = meanwhile(WaitsInTurn)
    assert files < able


def test_10_what_was_sealed_before_its_author_was_struck_is_not_rendered_again() -> None:
    scenario = named("strike-late")
    (strike,) = scenario.script

    def again(core: Callable[[Host, bytes], Core]) -> list[int]:
        files: dict[tuple[str, str], bytes] = {}
        submitter = scenario.submitters[0]
        before = (strike.at_ms - 1, lambda world: files.update(world.hosts[submitter].disk.files))
        world = ran(scenario, core, before)
        assert len(files) == scenario.frames
        changed = files != world.hosts[submitter].disk.files
        late = [frame.task for frame in world.economy.finished if frame.at_ms > strike.at_ms]
        assert changed == bool(late)
        by_struck = {frame.task for frame in world.economy.finished if frame.host == 1}
        assert by_struck >= set(late)
        return late

    assert again(real_core) == []
    assert again(StrikesTheSealed)


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_17_tasks_that_run_do_not_look_open_to_keepers_that_have_just_started(seed: int) -> None:
    scenario = named("keeper-restart")
    assert ran(scenario, real_core, seed=seed).economy.waste()[0] == 0
    assert ran(scenario, OpensAtOnce, seed=seed).economy.waste()[0] > 0


def test_18_a_lease_lives_at_a_keeper_from_which_its_holder_is_cut() -> None:
    """Six idle peers would take each frame that looks open to the closest keeper, which decides."""
    scenario = dataclasses.replace(named("reclaim-killed"), script=())

    def part(world: World) -> None:
        (job,) = world.books.jobs
        keepers = [host for host in world.hosts if (job, host.peer_id) in world.books.of(world.hosts[0]).keepers]
        closest = min(keepers, key=lambda host: distance(host.peer_id, job))
        holders = tuple(host.index for host in world.hosts if host.farm.renders and host not in keepers)
        assert holders
        world.faults.cut(holders, (closest.index,), both=True)

    def twice_ms(core: Callable[[Host, bytes], Core]) -> int:
        return ran(scenario, core, (14 * SECOND_MS, part)).economy.waste()[0]

    assert twice_ms(real_core) == 0
    assert twice_ms(BelievesNoKeeper) > 0


def test_22_where_the_coordinator_is_mute_slots_claim_by_themselves() -> None:
    scenario = soon_over("still-mute")
    mute_ms = scenario.script[0].at_ms + 45 * SECOND_MS  # what was granted before is rendered by then

    def meanwhile(core: Callable[[Host, bytes], Core]) -> int:
        finished = ran(scenario, core).economy.finished
        return len({bucket.host for bucket in finished if mute_ms < bucket.at_ms < scenario.safety_ms})

    assert meanwhile(real_core) == scenario.renderers
    assert meanwhile(WaitsForGrants) <= 1, "whoever is mute grants to itself"


def test_23_slots_wait_for_their_grants_however_short_buckets_are() -> None:
    def granted(core: Callable[[Host, bytes], Core]) -> float:
        """Return which part of the buckets that are claimed somebody was granted."""
        claims: list[bool] = []
        world = World(named("still-short"), 1, make_core=core)
        sent = world.net.send

        def send(host: Host, peer: PeerId, message: Message) -> None:
            if isinstance(message, ClaimSent):
                claims.extend(claim.body.grant is not None for claim in message.claims if claim.body.block)
            sent(host, peer, message)

        world.net.send = send  # type: ignore[method-assign]
        world.run()
        return sum(claims) / len(claims)

    assert granted(real_core) > 0.5 > granted(WaitsForNoGrant)


def test_34_a_cancel_waits_for_no_comparison() -> None:
    scenario = named("cancel")
    asked_ms = scenario.script[0].at_ms

    def slowest_ms(core: Callable[[Host, bytes], Core]) -> int:
        known: dict[int, int] = {}

        def look(world: World) -> None:
            (job,) = world.books.jobs
            for host in world.hosts:
                if JobId(job) in world.books.of(host).cancels:
                    known.setdefault(host.index, world.now_ms - asked_ms)

        ran(scenario, core, *((asked_ms + after_ms, look) for after_ms in range(0, 30 * SECOND_MS, 50)))
        assert len(known) == scenario.peers
        return max(known.values())

    assert slowest_ms(real_core) <= CANCELLED_MS
    with pytest.raises(Violation, match="has not heard of a cancel"):
        slowest_ms(CancelsQuietly)
