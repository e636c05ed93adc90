"""Failure detection at the size of a small mesh: who is there is not given up, and who is not is soon known by all."""

from __future__ import annotations

from mesh.ground.instants import MINUTE_MS, SECOND_MS
from sim.probes import Crowd, Weather, measure


def test_lost_and_late_datagrams_give_nobody_up_and_every_death_is_known_in_ten_seconds() -> None:
    found = measure(24, 3, hours=0.2, deaths=12)
    assert found.false_deaths == 0
    assert len(found.known_ms) == 12
    assert found.known_ms[0] > SECOND_MS
    assert found.known_ms[-1] <= 10 * SECOND_MS
    assert found.idle < 300, "bytes a second and peer: the whole of an idle peer may take 3,000 among 100"


def test_a_crowd_that_hears_nothing_gives_up_all() -> None:
    """What the others show is theirs to show."""
    crowd = Crowd(6, 1, Weather(loss_ppm=1_000_000))
    crowd.run_to(MINUTE_MS)
    assert crowd.false_deaths >= 6 * 5


def test_one_seed_gives_one_table() -> None:
    one, other = (measure(8, 5, hours=0.02, deaths=2).lines() for _ in range(2))
    assert one == other
