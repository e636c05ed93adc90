"""A day in a studio: each scenario that people know shows what it is about, beyond that no rule is broken."""

import dataclasses
from collections.abc import Callable

import pytest

from mesh.core.effects import Append, Effect, KillRender, Send, StartRender
from mesh.core.events import Event, MessageHeard, Rendered, TwinMet
from mesh.core.status import JobState, TaskState
from mesh.ground.instants import SECOND_MS, Now
from mesh.ground.limits import RECLAIM_MS, STALLED_LEAST_MS
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import ClaimSent, Window
from mesh.wire.records import Result
from sim.cheats import Cheat
from sim.host import Core, Host
from sim.named import named
from sim.scenario import Scenario
from sim.studio import artist_leaves
from sim.violation import Violation
from sim.world import World

SEEDS = (1, 2)


class Diary:
    """What every core heard and asked for, and when; the cores are the real ones."""

    def __init__(self) -> None:
        self.turns: list[tuple[int, int, Event, list[Effect]]] = []
        """When in the world, on which host."""

    def core(self, host: Host, seed: bytes) -> Core:
        diary = self

        class Writes(Cheat):
            def handle(self, now: Now, event: Event) -> list[Effect]:
                effects = self.inner.handle(now, event)
                diary.turns.append((host.world.now_ms, host.index, event, effects))
                return effects

        return Writes(host, seed)

    def asked(self, kind: type[Effect], *hosts: int) -> list[tuple[int, int, Effect]]:
        """Return (when, host, effect) of one kind, of some hosts or all."""
        return [
            (at_ms, index, effect)
            for at_ms, index, _, effects in self.turns
            for effect in effects
            if isinstance(effect, kind) and (not hosts or index in hosts)
        ]

    def claims(self, *hosts: int) -> list[tuple[int, int]]:
        """Return (when, host) of every claim that was sent."""
        sent = self.asked(Send, *hosts)
        return [(at_ms, index) for at_ms, index, effect in sent if isinstance(effect.message, ClaimSent)]  # type: ignore[union-attr]


def lived(scenario: Scenario, seed: int, *looks: tuple[int, Callable[[World], None]]) -> tuple[World, Diary]:
    """Run a scenario with looks at fixed times; any broken rule is raised."""
    diary = Diary()
    world = World(scenario, seed, make_core=diary.core)
    for at_ms, look in looks:
        world.at(at_ms, look, world)
    world.run()
    return world, diary


def times(scenario: Scenario, what: str) -> list[int]:
    """Return when a script does something."""
    return [act.at_ms for act in scenario.script if act.what == what]


def results(world: World) -> list[dict[int, bytes | None]]:
    """Return, for each host that keeps records, which result it shows of each task."""
    (job,) = world.books.jobs
    running = [host for host in world.hosts if host.running]
    return [{view.task: view.result for view in host.core.task_views(job)} for host in running]


# Evening and morning.


@pytest.mark.slow
def test_on_an_evening_all_that_is_safe_stays_in_reach_and_no_frame_in_hand_is_lost() -> None:
    """L6. Ten minutes of ten peers take five seconds."""
    scenario = named("evening")
    world, diary = lived(scenario, SEEDS[0])
    left = [peer for act in scenario.script for peer in act.peers]
    assert len(left) * 10 == 8 * scenario.peers
    assert times(scenario, "stop")[-1] - times(scenario, "stop")[0] <= 600 * SECOND_MS
    assert [host.index for host in world.hosts if not host.running] == sorted(left)
    assert world.reach.worst_permille == 1_000
    assert len(world.reach.safe) == scenario.frames
    begun = {(index, effect.op) for _, index, effect in diary.asked(StartRender, *left)}  # type: ignore[union-attr]
    ended = {(index, event.op) for _, index, event, _ in diary.turns if isinstance(event, Rendered)}
    assert begun <= ended, "each frame in hand was finished first"
    assert world.economy.waste()[0] == 0


@pytest.mark.slow
def test_on_an_evening_of_crashes_nearly_all_that_is_safe_stays_in_reach_and_is_all_there_in_the_morning() -> None:
    """L6. The same."""
    world, _ = lived(named("evening-crash"), SEEDS[0])
    assert world.reach.worst_permille >= 990
    assert all(host.running for host in world.hosts)
    assert all(any(host.disk.intact(blob) for host in world.hosts) for blob in world.reach.safe)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evening", "evening-crash"])
def test_what_is_safe_stays_in_reach_although_the_artist_goes_first(name: str) -> None:
    """L6. The same."""
    lived(artist_leaves(named(name)), SEEDS[0])


def test_an_output_that_all_disks_lose_is_found_out_of_reach() -> None:
    """Who looks after L6 sees what it is there for."""
    world = World(dataclasses.replace(named("calm"), reachable_permille=1_000), SEEDS[0])

    def lose_one() -> None:
        blob = next(iter(world.reach.safe))
        for host in world.hosts:
            host.disk.blobs.pop(blob, None)

    world.at(40 * SECOND_MS, lose_one)
    with pytest.raises(Violation, match="nobody who runs has 1") as raised:
        world.run()
    assert raised.value.rule == "L6"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_morning_nearly_all_who_come_at_once_render_within_five_seconds(seed: int) -> None:
    """Twenty-four peers take seconds."""
    scenario = named("morning")
    joiners = range(scenario.peers - scenario.late, scenario.peers)
    world, diary = lived(scenario, seed)
    first: dict[int, int] = {}
    for at_ms, index, _ in diary.asked(StartRender, *joiners):
        first.setdefault(index, at_ms - scenario.late_ms)
    waits = sorted(first.values())
    assert len(waits) == len(joiners)
    assert waits[len(waits) * 95 // 100] <= 5 * SECOND_MS
    assert min(at_ms for at_ms, _, _ in diary.asked(StartRender)) < scenario.late_ms, "two had begun at night"
    everybody = len(world.hosts) - 1
    for host in world.hosts:
        view = host.core.mesh_view(host.now())
        assert sum(peer.connected and not peer.me for peer in view.peers) == everybody


# Machines that go and come.


@pytest.mark.parametrize("seed", SEEDS)
def test_a_laptops_frame_is_others_in_eight_seconds_and_it_hears_the_news_before_it_claims_again(seed: int) -> None:
    scenario = named("laptop")
    (wake_ms,) = times(scenario, "thaw")
    world, diary = lived(scenario, seed)
    (left,) = world.economy.left()
    assert left.taken_after_ms is not None
    assert left.taken_after_ms <= RECLAIM_MS
    again_ms = min(at_ms for at_ms, _ in diary.claims(1) if at_ms >= wake_ms)
    assert again_ms < wake_ms + 5 * SECOND_MS
    news = [
        at_ms
        for at_ms, index, event, _ in diary.turns
        if index == 1 and isinstance(event, MessageHeard) and isinstance(event.message, Window) and at_ms >= wake_ms
    ]
    assert news and news[0] < again_ms
    late = [frame for frame in world.economy.finished if frame.host == 1 and frame.at_ms > wake_ms]
    given_up = [at_ms for at_ms, _, _ in diary.asked(KillRender, 1) if at_ms >= wake_ms]
    assert given_up and given_up[0] < again_ms
    kept = [one for _, _, one in diary.asked(Append, 1) if isinstance(one, Append)]
    entries = [entry for one in kept for each in one.entries if isinstance(each, KeptEntries) for entry in each.entries]
    own = [entry.body for entry in entries if entry.author == world.hosts[1].peer_id]
    made = {(body.job, body.what.task) for body in own if isinstance(body.what, Result)}
    assert (left.job, left.task) not in made
    assert {(frame.job, frame.task) for frame in late} & made, "it renders again"


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_cloned_disk_neither_process_claims_and_who_is_left_goes_on(seed: int) -> None:
    scenario = named("cloned-disk")
    (made_ms,), (gone_ms,), (back_ms,) = (times(scenario, what) for what in ("clone", "kill", "start"))
    world, diary = lived(scenario, seed)
    met = {index: at_ms for at_ms, index, event, _ in reversed(diary.turns) if isinstance(event, TwinMet)}
    assert met.keys() == {2, 6}
    assert max(met.values()) <= made_ms + 2 * SECOND_MS
    assert not [at_ms for at_ms, _ in diary.claims(2, 6) if made_ms + 2 * SECOND_MS < at_ms < back_ms]
    assert not [at_ms for at_ms, _, _ in diary.asked(KillRender, 2) if made_ms < at_ms < gone_ms]
    assert [at_ms for at_ms, index in diary.claims(2) if at_ms > back_ms]
    others = {frame.host for frame in world.economy.finished if made_ms + 5 * SECOND_MS < frame.at_ms < gone_ms}
    assert others == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("seed", SEEDS)
def test_full_disks_stop_no_frame_and_no_file_is_missing_in_the_end(seed: int) -> None:
    scenario = named("full-disks")
    (filled_ms, _), (artists_ms, emptied_ms) = times(scenario, "fill"), times(scenario, "empty")
    files: list[int] = []
    looks = [(at_ms, lambda world: files.append(len(world.hosts[5].disk.files))) for at_ms in (31_000, artists_ms - 1)]
    world, _ = lived(scenario, seed, *looks)
    assert files[0] == files[1], "nothing was written to a full disk"
    (job,) = world.books.jobs
    assert {view.state for view in world.hosts[5].core.task_views(job)} <= {TaskState.COUNTS, TaskState.SAFE}
    full = [frame for frame in world.economy.finished if frame.host in (1, 3)]
    assert not [frame for frame in full if filled_ms + SECOND_MS < frame.at_ms < emptied_ms]
    assert {frame.host for frame in full if frame.at_ms > emptied_ms} == {1, 3}


# Lines.


@pytest.mark.slow
def test_two_sites_that_are_cut_for_an_hour_both_finish_and_settle_on_one_picture() -> None:
    """Six peers for an hour take five seconds."""
    scenario = named("split-studio")
    cut, mend = scenario.script
    states: list[JobState] = []
    apart: list[dict[int, bytes | None]] = []
    files: dict[tuple[str, str], bytes] = {}

    def look(world: World) -> None:
        (job,) = world.books.jobs
        views = [host.core.job_view(host.now(), job) for host in world.hosts]
        states.extend(view.state for view in views if view is not None)
        apart.extend(results(world))
        files.update(world.hosts[5].disk.files)

    world, _ = lived(scenario, SEEDS[0], (mend.at_ms - 1, look))
    assert mend.at_ms - cut.at_ms == 3_600 * SECOND_MS
    assert states == [JobState.SEALED] * scenario.peers, "both sides had sealed"
    assert apart[0] != apart[5], "with pictures of their own"
    assert all(shown == apart[5] for shown in results(world)), "the artist's stand"
    assert world.hosts[5].disk.files == files


@pytest.mark.parametrize("seed", SEEDS)
def test_a_switch_that_flaps_costs_no_frame_and_nobody_is_given_up(seed: int) -> None:
    world, _ = lived(named("flaky-switch"), seed)
    assert len(times(world.scenario, "cut")) > 5
    assert world.economy.waste()[0] == 0
    assert {host.core.mesh_view(host.now()).given_up for host in world.hosts} == {0}
    calm, _ = lived(dataclasses.replace(named("flaky-switch"), script=()), seed)
    late_ms = max(world.economy.exported_ms.values()) - max(calm.economy.exported_ms.values())
    assert late_ms <= 10 * SECOND_MS


# Members who are no help.


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hoarders_leases_end_and_the_others_render_all(seed: int) -> None:
    world, diary = lived(named("hoarder"), seed)
    scenario = world.scenario
    assert 1 not in {frame.host for frame in world.economy.finished}
    assert max(at_ms for at_ms, _ in diary.claims(1)) > STALLED_LEAST_MS, "it tried again"
    ended_ms = max(world.economy.exported_ms.values())
    calm_ms = scenario.frames * scenario.frame_ms // (scenario.renderers - 1) * 2
    assert ended_ms <= 2 * STALLED_LEAST_MS + calm_ms
    assert world.economy.waste()[0] == 0


def test_what_liars_say_is_heard_and_comes_to_nothing() -> None:
    """The checkers of S5, S6 and S9 look at each turn; here it is proven that there was something to see."""
    world, diary = lived(named("liars"), SEEDS[0])
    liars = {world.adversary.stranger.peer_id, world.adversary.liar.peer_id}
    said = [
        claim
        for _, _, event, _ in diary.turns
        if isinstance(event, MessageHeard) and isinstance(event.message, ClaimSent)
        for claim in event.message.claims
        if claim.author in liars
    ]
    assert len(said) > 20
    for host in world.hosts:
        entries = world.books.of(host).entries.values()
        assert not [entry for by_id in entries for entry in by_id.values() if entry.author in liars]


def test_of_what_a_fifth_paint_wrongly_nothing_is_delivered_or_sealed() -> None:
    """The checker of L8 looks at each file and seal; here it is proven that there was something to see."""
    world, _ = lived(named("liars"), SEEDS[1])
    host = world.hosts[world.scenario.submitters[0]]
    entries = [entry for by_id in world.books.of(host).entries.values() for entry in by_id.values()]
    results = [entry.body.what for entry in entries if isinstance(entry.body.what, Result)]
    wrong = [result for result in results if world.blobs[result.outputs[0].blob].wrong]
    assert len(wrong) >= world.scenario.frames // 10
    assert world.trust.wrong_delivered == 0
    assert len(host.disk.files) == world.scenario.frames
    assert not any(world.blobs[blob].wrong for blob in host.disk.files.values())
    twice_ms, all_ms = world.economy.waste()
    assert twice_ms * 50 <= all_ms, "a check is no waste, and each frame has hardly more of them than it needs"
