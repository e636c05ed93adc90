"""What a keeper tells its followers."""

import pytest

from mesh.core.events import ChannelClosed
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import FOLLOW_PERIOD_MS, WINDOW_FACTOR, WINDOW_PERIOD_MS
from mesh.wire.messages import ClaimSent, Follow, Window
from mesh.wire.records import Cancel
from tests.support.cast import Actor, Cast
from tests.support.rig import Rig, sent


class Told:
    """A keeper of ann's job of fifty frames, and its followers."""

    def __init__(self, cast: Cast, *, keeping: bool = True) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.head = cast.head(self.ann, frames=50)
        self.job = self.rig.keep(self.head, by=self.ann) if keeping else self.rig.learn(self.head, by=self.ann)
        self.rig.clear()

    def follow(self, actor: Actor, slots: int = 1) -> None:
        self.rig.hear(actor, Follow(job=self.job, slots=slots))

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


def test_a_window_grows_with_the_slots_of_all_followers(told: Told) -> None:
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
