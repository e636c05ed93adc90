"""What a pixel costs, and how large the next bucket is."""

import math

import pytest

from mesh.core.costs import Costs
from mesh.ground.ids import JobId, PeerId
from mesh.ground.limits import BUCKET_LEAST_MS, BUCKET_MOST_MS, BUCKETS_PER_SLOT, FIRST_BUCKET_PIXELS
from tests.support.cast import blob

JOB, OTHER = JobId(blob("job")), JobId(blob("another"))
ANN, BOB = PeerId(blob("ann")), PeerId(blob("bob"))


@pytest.fixture
def costs() -> Costs:
    return Costs()


def test_before_anything_is_known_buckets_are_small_and_a_small_picture_is_shared(costs: Costs) -> None:
    assert costs.bucket_pixels(JOB, ANN, 10**9, 10) == FIRST_BUCKET_PIXELS
    assert costs.bucket_pixels(JOB, ANN, 20_000, 10) == 20_000 / (BUCKETS_PER_SLOT * 10)
    assert costs.expected_ms(JOB, ANN, 1_000) is None
    assert costs.within_pixels(JOB, 20_000, 10) == 20_000 / (BUCKETS_PER_SLOT * 10)
    costs.note(JOB, ANN, 1_000, 1_000)
    assert costs.within_pixels(JOB, 20_000, 10) == 0


def test_a_bucket_is_a_fourth_of_what_is_left_for_its_slot(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 1_000)
    for remaining in (400_000, 100_000):
        most = costs.bucket_pixels(JOB, ANN, remaining, 10)
        assert most / 2 < remaining / 40 < most, "a block has between half of the most and all of it"
        assert most == pytest.approx(remaining / 40 * math.sqrt(2))


def test_a_bucket_takes_half_a_second_at_least_and_twenty_at_most(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 1_000)
    assert costs.bucket_pixels(JOB, ANN, 10**9, 1) == BUCKET_MOST_MS
    assert costs.bucket_pixels(JOB, ANN, 10, 1) == 2 * BUCKET_LEAST_MS, "a block of at most so many has at least half"


def test_who_is_faster_gets_more_pixels_for_the_same_time(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 1_000)
    costs.note(JOB, BOB, 4_000, 1_000)
    ann, bob = (costs.bucket_pixels(JOB, peer, 10**9, 1) for peer in (ANN, BOB))
    assert bob == 4 * ann == 4 * BUCKET_MOST_MS
    assert costs.expected_ms(JOB, ANN, 10_000) == 10_000
    assert costs.expected_ms(JOB, BOB, 10_000) == 2_500


def test_of_whom_nothing_is_known_what_all_cost_is_believed(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 2_000)
    assert costs.expected_ms(JOB, BOB, 1_000) == 2_000
    assert costs.bucket_pixels(JOB, BOB, 10**9, 1) == BUCKET_MOST_MS / 2


def test_what_an_engine_does_once_is_in_its_first_bucket_and_forgotten_with_the_second(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 9_000)
    assert costs.expected_ms(JOB, ANN, 1_000) == costs.expected_ms(JOB, BOB, 1_000) == 9_000
    costs.note(JOB, ANN, 1_000, 1_000)
    assert (costs.loading_ms(JOB, ANN), costs.loading_ms(JOB, BOB), costs.loading_ms(OTHER, ANN)) == (9_000, 0, 0)
    assert costs.expected_ms(JOB, ANN, 1_000) == costs.expected_ms(JOB, BOB, 1_000) == 1_000
    costs.note(JOB, BOB, 1_000, 8_000)
    assert costs.expected_ms(JOB, ANN, 1_000) == 1_000
    share = costs.bucket_pixels(JOB, ANN, 400_000, 10)
    assert share == pytest.approx(400_000 / 40 * math.sqrt(2)), "a newcomer's loading makes nobody's smaller"
    costs.note(JOB, BOB, 1_000, 2_000)
    assert costs.expected_ms(JOB, BOB, 1_000) == 2_000


def test_the_latest_buckets_tell_best(costs: Costs) -> None:
    for render_ms in (7_000, 1_000, 2_000):
        costs.note(JOB, ANN, 1_000, render_ms)
    assert costs.expected_ms(JOB, ANN, 1_000) == 1_400
    for _ in range(20):
        costs.note(JOB, ANN, 1_000, 5_000)
    assert costs.expected_ms(JOB, ANN, 1_000) == 5_000


def test_a_bucket_of_no_time_costs_something(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 0)
    assert costs.bucket_pixels(JOB, ANN, 0, 0) == 2 * BUCKET_LEAST_MS * 1_000


def test_jobs_are_apart_and_one_that_is_over_is_forgotten(costs: Costs) -> None:
    costs.note(JOB, ANN, 1_000, 1_000)
    assert costs.expected_ms(OTHER, ANN, 1_000) is None
    costs.forget(OTHER)
    assert costs.expected_ms(JOB, ANN, 1_000) == 1_000
    costs.forget(JOB)
    assert costs.expected_ms(JOB, ANN, 1_000) is None
