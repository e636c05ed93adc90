"""Which task an idle slot takes, and how many it wants in hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.placement import next_tasks, rank, run_length, wanted_claims
from mesh.ground.ids import JobId, PeerId
from mesh.ground.limits import RUN_MOST, WINDOW_FACTOR
from mesh.wire.messages import OpenTask
from tests.support.cast import blob

JOB = JobId(blob("job"))


def peer(number: int) -> PeerId:
    return PeerId(blob(f"peer {number}"))


def window(size: int) -> list[OpenTask]:
    return [OpenTask(task=task, attempt=0) for task in range(size)]


def test_a_rank_is_the_same_for_everybody_who_asks_and_differs_by_peer() -> None:
    assert rank(JOB, 3, peer(1)) == rank(JOB, 3, peer(1))
    assert len({rank(JOB, 3, peer(number)) for number in range(100)}) == 100


def test_the_tasks_that_suit_best_are_taken_without_those_excluded() -> None:
    best = next_tasks(window(40), JOB, peer(1), (), 3)
    assert [rank(JOB, task.task, peer(1)) for task in best] == sorted(rank(JOB, task, peer(1)) for task in range(40))[
        :3
    ]
    others = next_tasks(window(40), JOB, peer(1), [task.task for task in best], 3)
    assert not {task.task for task in best} & {task.task for task in others}


def test_of_a_hundred_peers_that_cannot_ask_each_other_most_choose_alone() -> None:
    chosen = Counter(next_tasks(window(WINDOW_FACTOR * 100), JOB, peer(number), (), 1)[0].task for number in range(100))
    alone = sum(count == 1 for count in chosen.values())
    # With W places for n peers each is alone with chance (1 - 1/W)**(n-1): 78 of 100 in the mean at W = 400.
    assert alone >= 65


@pytest.mark.parametrize(("median_ms", "run"), [(0, 1), (1, RUN_MOST), (100, 5), (499, 2), (500, 1), (60_000, 1)])
def test_short_tasks_go_in_runs_so_that_a_slot_claims_twice_a_second(median_ms: int, run: int) -> None:
    assert run_length(median_ms) == run


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        # slots, median, unclaimed, slots of the mesh, in hand
        ((1, 10_000, 100, 10, 0), 2),  # one in hand, one ahead
        ((4, 10_000, 100, 10, 4), 8),
        ((1, 10_000, 9, 10, 1), 1),  # fewer open tasks than slots: nothing ahead
        ((1, 10_000, 0, 10, 1), 1),
        ((1, 10_000, 3, 3, 0), 1),  # three peers, three frames: one each
        ((1, 10_000, 4, 3, 0), 2),
        ((1, 10_000, 3, 3, 1), 2),
        ((2, 50, 1_000, 2, 0), 22),  # frame runs of ten
        ((1, 50, 30, 10, 1), 2),  # short tasks, but few are left for each
        ((8, 10_000, 5, 0, 0), 8),  # a keeper that counts no slots yet
    ],
)
def test_claims_wanted_in_hand(case: tuple[int, int, int, int, int], wanted: int) -> None:
    assert wanted_claims(*case) == wanted


@given(st.integers(1, 8), st.integers(0, 2_000), st.integers(0, 500), st.integers(0, 60), st.integers(0, 20))
def test_the_more_slots_the_mesh_has_the_fewer_claims_are_wanted(
    slots: int, median_ms: int, unclaimed: int, mesh_slots: int, in_hand: int
) -> None:
    wanted = [wanted_claims(slots, median_ms, unclaimed, mesh_slots + more, in_hand) for more in range(40)]
    assert wanted == sorted(wanted, reverse=True)


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 50))
def test_of_tasks_that_were_tried_and_others_the_best_by_rank_come_first(attempts: list[int], count: int) -> None:
    tasks = [OpenTask(task=task, attempt=attempt) for task, attempt in enumerate(attempts)]
    ordered = sorted(tasks, key=lambda task: (task.attempt == 0, rank(JOB, task.task, peer(1))))
    assert next_tasks(tasks, JOB, peer(1), (), count) == ordered[:count]
