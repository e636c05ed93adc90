"""What a keeper tells its followers."""

import pytest

from mesh.core.events import ChannelClosed
from mesh.ground.dice import Dice
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import (
    FOLLOW_PERIOD_MS,
    FOLLOWED_MS,
    SETTLE_LEAST_MS,
    WINDOW_CALM_MS,
    WINDOW_FACTOR,
    WINDOW_PERIOD_MS,
)
from mesh.wire.grids import Block, Cut
from mesh.wire.messages import Available, ClaimSent, Follow, Window
from mesh.wire.records import Cancel
from mesh.wire.stills import MAX_CUT_FRAMES
from tests.support.cast import ENGINE, Actor, Cast, block, cut_into
from tests.support.rig import Rig, sent


class Told:
    """A keeper of ann's job of fifty frames, and its followers."""

    def __init__(self, cast: Cast, *, keeping: bool = True, cut: Cut | None = None) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.head = cast.head(self.ann, frames=50, cut=cut)
        self.job = self.rig.keep(self.head, by=self.ann) if keeping else self.rig.learn(self.head, by=self.ann)
        self.rig.clear()

    def follow(self, actor: Actor, slots: int = 1) -> None:
        self.rig.hear(actor, Follow(job=self.job, slots=slots))

    def told(self) -> Window:
        """What ann is told, who follows anew and renders nothing."""
        self.follow(self.ann, slots=0)
        return self.windows(self.ann)[-1]

    def claim(self, found: Block | None, frame: int, *, assembles: bool = False) -> None:
        claim = self.cast.claim(self.bob, self.head, frame, block=found, assembles=assembles)
        self.rig.hear(self.bob, ClaimSent(claims=(claim,)))

    def windows(self, actor: Actor) -> list[Window]:
        return [window for peer, window in sent(self.rig.effects, Window) if peer == actor.id]


@pytest.fixture
def told(cast: Cast) -> Told:
    return Told(cast)


def test_the_first_window_leaves_at_once(told: Told) -> None:
    told.follow(told.bob)
    (window,) = told.windows(told.bob)
    assert [task.task for task in window.open] == list(range(WINDOW_FACTOR))
    assert (window.slots, window.unclaimed, window.ended) == (1, 50, False)


def test_the_slots_of_all_followers_are_what_each_renders_with_whatever_came(told: Told) -> None:
    """They are counted anew only where a follower, an offer or a role changed."""
    windows, dice = told.rig.peer.windows, Dice(b"slots")
    counted: dict[int, None] = {}
    for _ in range(300):
        actor = (told.ann, told.bob)[dice.below(2)]
        match dice.below(5):
            case 0 | 1:
                slots, paused = dice.below(4), not dice.below(4)
                offer = Available(
                    engines=(ENGINE,), slots=slots, busy=0, cores=4, memory_mb=8_000, draining=False, paused=paused
                )
                told.rig.hear(actor, offer)
            case 2 | 3:
                told.follow(actor, slots=dice.below(4))
            case _ if not dice.below(3):
                told.rig.tell(ChannelClosed(peer=actor.id, clean=True))
                told.rig.meet(actor)
            case _:
                told.rig.wait(FOLLOWED_MS // 3, told.ann, told.bob)
        counted[windows.slots(told.job)] = None
        assert windows.slots(told.job) == sum(windows.followers(told.job).values())
    assert len(counted) > 4


def test_a_window_grows_with_the_slots_of_all_followers(told: Told) -> None:
    for actor in (told.ann, told.bob):
        offer = Available(engines=(ENGINE,), slots=3, busy=0, cores=4, memory_mb=8_000, draining=False)
        told.rig.hear(actor, offer)
    told.follow(told.ann, slots=3)
    told.follow(told.bob, slots=2)
    assert len(told.windows(told.bob)[-1].open) == WINDOW_FACTOR * 5


def test_news_come_at_most_twice_a_second_and_only_when_something_changed(told: Told) -> None:
    told.follow(told.bob)
    told.rig.wait(2 * SECOND_MS, told.ann, told.bob)
    told.rig.clear()
    for task in range(30):
        told.rig.take(told.head, told.cast.result(told.bob, told.head, task), by=told.bob)
        told.rig.wait(100, told.ann, told.bob)
    told.rig.wait(WINDOW_PERIOD_MS, told.ann, told.bob)
    assert 30 * 100 // WINDOW_PERIOD_MS - 1 <= len(told.windows(told.bob)) <= 30 * 100 // WINDOW_PERIOD_MS + 2
    assert told.windows(told.bob)[-1].counting == 30
    told.rig.clear()
    told.rig.wait(4 * SECOND_MS, told.ann, told.bob)
    assert told.windows(told.bob) == []


def plenty(told: Told) -> None:
    """Let bob have slots for a window of 48 tasks, be told, and some time pass."""
    offer = Available(engines=(ENGINE,), slots=12, busy=0, cores=4, memory_mb=8_000, draining=False)
    told.rig.hear(told.bob, offer)
    told.follow(told.bob, slots=12)
    told.rig.take(told.head, told.cast.result(told.bob, told.head, 0), by=told.bob)
    told.rig.wait(WINDOW_CALM_MS, told.bob)
    assert len(told.windows(told.bob)[-1].open) == 12 * WINDOW_FACTOR
    told.rig.wait(WINDOW_CALM_MS, told.bob)
    told.rig.clear()


def test_who_was_told_plenty_hears_later_that_few_of_it_are_taken(told: Told) -> None:
    plenty(told)
    told.rig.take(told.head, told.cast.result(told.bob, told.head, 1), by=told.bob)
    told.rig.wait(WINDOW_PERIOD_MS, told.bob)
    assert [window.counting for window in told.windows(told.bob)] == [2], "the last news are old"
    told.rig.clear()
    told.rig.take(told.head, told.cast.result(told.bob, told.head, 2), by=told.bob)
    told.rig.wait(WINDOW_CALM_MS - 2 * WINDOW_PERIOD_MS, told.bob)
    assert told.windows(told.bob) == []
    told.rig.wait(WINDOW_PERIOD_MS, told.bob)
    assert [window.counting for window in told.windows(told.bob)] == [3]


def test_who_was_told_plenty_hears_soon_that_much_of_it_is_taken(told: Told) -> None:
    plenty(told)
    for tasks in (range(1, 2), range(2, 5)):
        results = [told.cast.result(told.bob, told.head, task) for task in tasks]
        told.rig.take(told.head, *results, by=told.bob)
        told.rig.wait(WINDOW_PERIOD_MS, told.bob)
    assert [window.counting for window in told.windows(told.bob)] == [2, 5]


def test_who_was_told_plenty_hears_soon_that_a_task_is_open_again(told: Told) -> None:
    plenty(told)
    result = told.cast.result(told.bob, told.head, 1)
    told.rig.take(told.head, result, by=told.bob)
    told.rig.wait(WINDOW_PERIOD_MS, told.bob)
    told.rig.take(told.head, told.cast.lost(told.ann, told.head, result), by=told.ann)
    told.rig.wait(WINDOW_PERIOD_MS, told.bob)
    assert [1 in [task.task for task in window.open] for window in told.windows(told.bob)] == [False, True]


def test_what_is_claimed_or_rendered_is_in_no_window(told: Told) -> None:
    told.rig.take(told.head, told.cast.result(told.bob, told.head, 0), by=told.bob)
    told.rig.hear(told.bob, ClaimSent(claims=(told.cast.claim(told.bob, told.head, 1),)))
    told.follow(told.ann)
    (window,) = told.windows(told.ann)
    assert [task.task for task in window.open] == [2, 3, 4, 5]
    assert (window.counting, window.running) == (1, 1)


def test_a_task_that_was_tried_says_which_attempt_was_the_last(told: Told) -> None:
    told.rig.take(told.head, told.cast.failed(told.bob, told.head, 0, attempt=3), by=told.bob)
    told.follow(told.ann)
    assert told.windows(told.ann)[0].open[0].attempt == 3


def test_who_stops_asking_or_breaks_off_is_told_no_more(told: Told) -> None:
    told.follow(told.bob)
    told.follow(told.ann)
    told.rig.tell(ChannelClosed(peer=told.ann.id, clean=False))
    for _ in range(20):
        told.rig.wait(SECOND_MS, told.bob)
    assert 20 * SECOND_MS > 3 * FOLLOW_PERIOD_MS
    told.rig.clear()
    told.rig.take(told.head, told.cast.result(told.bob, told.head, 0), by=told.bob)
    told.rig.wait(2 * SECOND_MS, told.bob)
    assert sent(told.rig.effects, Window) == []


def test_all_followers_hear_of_the_end(told: Told) -> None:
    told.follow(told.bob)
    told.rig.clear()
    told.rig.take(told.head, told.cast.entry(told.ann, told.head, Cancel()), by=told.ann)
    (window,) = told.windows(told.bob)
    assert (window.ended, window.open) == (True, ())


def test_who_keeps_no_job_tells_no_window(cast: Cast) -> None:
    told = Told(cast, keeping=False)
    told.follow(told.bob)
    assert told.windows(told.bob) == []


@pytest.fixture
def still(cast: Cast) -> Told:
    """A job whose last six frames have four by two cells."""
    return Told(cast, cut=cut_into(4, 2, frames=6))


def cells_in(told: bytes) -> list[int]:
    bits = int.from_bytes(told, "little")
    return [cell for cell in range(bits.bit_length()) if bits >> cell & 1]


def cells(window: Window) -> dict[int, list[int]]:
    return {told.task: cells_in(told.bits) for told in window.cells}


def test_the_open_cells_of_the_next_frames_are_told(still: Told) -> None:
    window = still.told()
    assert cells(window) == {frame: list(range(8)) for frame in range(44, 44 + MAX_CUT_FRAMES)}
    assert {told.attempt for told in window.cells} == {0}
    assert window.cells_counting == 0


def test_a_job_that_is_not_cut_tells_no_cells(told: Told) -> None:
    assert told.told().cells == ()


def test_cells_that_are_leased_or_count_are_in_no_window(still: Told) -> None:
    still.rig.take(still.head, still.cast.result(still.bob, still.head, 44, block=block(0, 0, 2, 1)), by=still.bob)
    still.claim(block(2, 0, 2, 2), 44)
    window = still.told()
    assert cells(window)[44] == [4, 5]
    assert (window.cells_counting, window.running, window.counting) == (2, 1, 0)


def test_a_frame_all_of_whose_cells_are_taken_leaves_its_place_to_the_next(still: Told) -> None:
    still.claim(block(0, 0, 4, 2), 44)
    still.rig.take(still.head, still.cast.result(still.bob, still.head, 45), by=still.bob)
    assert list(cells(still.told())) == [46, 47, 48, 49]


def test_cells_that_were_tried_say_the_highest_attempt_of_those_that_are_open(still: Told) -> None:
    for attempt, found in ((3, block(0, 0)), (7, block(1, 0)), (2, block(2, 0))):
        failed = still.cast.failed(still.bob, still.head, 44, attempt, block=found)
        still.rig.take(still.head, failed, by=still.bob)
    assert still.told().cells[0].attempt == 7
    still.rig.take(still.head, still.cast.result(still.bob, still.head, 44, 8, block=block(1, 0)), by=still.bob)
    assert [told.attempt for told in still.told().cells] == [3, 0, 0, 0]


def test_a_frame_waits_for_who_assembles_it_until_somebody_does(cast: Cast) -> None:
    told = Told(cast, cut=cut_into(4, 2, frames=50))
    assert [task.task for task in told.told().open] == [0, 1, 2, 3]
    told.claim(None, 0, assembles=True)
    window = told.told()
    assert [task.task for task in window.open] == [1, 2, 3, 4]
    assert list(cells(window)) == [0, 1, 2, 3], "its cells are open all the same"


def test_who_assembles_renders_nothing(still: Told) -> None:
    still.claim(None, 44, assembles=True)
    assert still.told().running == 0
    still.rig.wait(SETTLE_LEAST_MS)
    assert still.rig.peer.leases.taken(still.job, 44)
    assert still.told().running == 0
    still.claim(block(0, 0), 44)
    assert still.told().running == 1


def test_followers_hear_that_a_bucket_was_taken_counts_or_is_free_again(still: Told) -> None:
    still.follow(still.ann, slots=0)
    still.rig.wait(2 * WINDOW_PERIOD_MS, still.ann, still.bob)
    for change in (
        lambda: still.claim(block(0, 0), 44),
        lambda: still.rig.take(
            still.head, still.cast.result(still.bob, still.head, 44, block=block(1, 0)), by=still.bob
        ),
        lambda: still.rig.tell(ChannelClosed(peer=still.bob.id, clean=True)),
    ):
        still.rig.clear()
        change()
        still.rig.wait(WINDOW_PERIOD_MS, still.ann)
        assert len(still.windows(still.ann)) == 1
    assert cells(still.windows(still.ann)[-1])[44] == [0, 2, 3, 4, 5, 6, 7]
