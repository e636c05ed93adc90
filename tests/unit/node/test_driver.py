"""The driver and its alarms: one event at a time, timers in order, a story when a rule breaks."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from mesh.core.effects import Effect, SetTimer
from mesh.core.events import Event, StopAsked, TimerFired
from mesh.core.timers import HearingEnds, Tick, Timer
from mesh.ground.errors import BugError
from mesh.ground.instants import Instant, Now
from mesh.node.driver import EVENTS_MAX, Alarms, Driver
from tests.support.worlds import VirtualWorld, virtual

ASKED = StopAsked(now=False)


class Recorder:
    """A core that notes what it hears and answers each event by one effect."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def handle(self, now: Now, event: Event) -> list[Effect]:
        self.heard.append(event)
        assert event != StopAsked(now=True), "a rule of the core"
        return [SetTimer(timer=Tick(), at=now.instant)]


class Turns:
    """A tape that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Event | str] = []

    def heard(self, _now: Now, event: Event) -> None:
        self.told.append(event)

    def asked(self, effects: Sequence[Effect]) -> None:
        self.told += [type(effect).__name__ for effect in effects]

    def broke(self, error: Exception) -> None:
        self.told.append(f"{error}".partition("\n")[0])


async def ignore(_effects: Sequence[Effect]) -> None:
    await trio.lowlevel.checkpoint()


@virtual
async def test_events_are_handled_in_order_and_their_effects_passed_on() -> None:
    core, performed, tape = Recorder(), [], Turns()

    async def perform(effects: Sequence[Effect]) -> None:
        performed.extend(effects)
        if len(performed) == 3:
            driver.stop()

    driver = Driver(core, world=VirtualWorld(), perform=perform, tape=tape)
    turns = []
    driver.watch(lambda event: turns.append((len(core.heard), event)))
    for event in (ASKED, TimerFired(timer=Tick()), ASKED, ASKED):
        await driver.tell(event)
    await driver.run()
    assert core.heard == [ASKED, TimerFired(timer=Tick()), ASKED]
    assert turns == list(enumerate(core.heard, 1))
    assert tape.told == [told for event in core.heard for told in (event, "SetTimer")]
    assert len(performed) == 3


@virtual
async def test_whoever_tells_waits_while_the_queue_is_full_and_hints_are_dropped() -> None:
    driver = Driver(Recorder(), world=VirtualWorld(), perform=ignore)
    for _ in range(EVENTS_MAX):
        assert driver.hint(ASKED)
    assert not driver.hint(ASKED)
    with trio.move_on_after(1) as patience:
        await driver.tell(ASKED)
    assert patience.cancelled_caught


@virtual
async def test_whoever_waits_for_the_end_of_a_turn_hears_what_it_took() -> None:
    world, core = VirtualWorld(), Recorder()
    world.work_ns = 250
    driver = Driver(core, world=world, perform=ignore)
    spent: list[int] = []

    async def tell(times: int) -> None:
        for _ in range(times):
            spent.append(await driver.heard(ASKED))
            assert len(core.heard) >= len(spent), "it was handled before the next one was queued"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell, 100)
        await trio.testing.wait_all_tasks_blocked()
        assert spent == []
        nursery.start_soon(driver.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert spent == [250] * 100


@virtual
async def test_a_broken_rule_ends_the_driver_with_its_story() -> None:
    tape = Turns()
    driver = Driver(Recorder(), world=VirtualWorld(), perform=ignore, tape=tape)
    await driver.tell(TimerFired(timer=HearingEnds()))
    await driver.tell(StopAsked(now=True))
    with pytest.raises(BugError) as caught:
        await driver.run()
    assert "HearingEnds" in caught.value.story
    assert "a rule of the core" in caught.value.story
    assert tape.told == [TimerFired(timer=HearingEnds()), "SetTimer", StopAsked(now=True), "a rule of the core"]


@virtual
async def test_timers_fire_in_the_order_of_their_instants() -> None:
    world = VirtualWorld()
    fired: list[tuple[int, Timer]] = []
    done = trio.Event()

    async def tell(event: Event) -> None:
        assert isinstance(event, TimerFired)
        fired.append((world.now().instant, event.timer))
        if len(fired) == 3:
            done.set()

    alarms = Alarms(world, tell)
    start = world.now().instant
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        alarms.set(SetTimer(timer=Tick(), at=Instant(start + 5_000)))
        alarms.set(SetTimer(timer=HearingEnds(), at=Instant(start + 100)))
        alarms.set(SetTimer(timer=HearingEnds(), at=Instant(start - 7)))
        await done.wait()
        nursery.cancel_scope.cancel()
    assert [timer for _, timer in fired] == [HearingEnds(), HearingEnds(), Tick()]
    assert [at - start for at, _ in fired] == [0, 100, 5_000]


@virtual
async def test_a_timer_fires_soon_after_the_host_slept_over_it() -> None:
    world = VirtualWorld()
    fired = trio.Event()

    async def tell(_event: Event) -> None:
        fired.set()

    alarms = Alarms(world, tell)
    alarms.set(SetTimer(timer=Tick(), at=Instant(world.now().instant + 3_600_000)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        await trio.testing.wait_all_tasks_blocked()
        world.sleep_ms(3_600_000)
        before_s = trio.current_time()
        await fired.wait()
        assert trio.current_time() - before_s <= 1.0
        nursery.cancel_scope.cancel()
