"""What the report measures is what happened, measuring changes nothing, and its page has a row for each figure."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest

from sim.crowd_measures import Loss, Reads, Traffic
from sim.measures import (
    CHURNS,
    COORDINATORS,
    LEAGUES,
    RECLAIMS,
    Figures,
    leagued,
    measure,
    orders,
)
from sim.named import named
from sim.percentile import percentile
from sim.report import page
from sim.report_plot import draw_all
from sim.run import run
from sim.scenario import Act

PEACE = Traffic(sent=1.0, received=1.0, sent_by_old=1.0)
CROWD = Loss(
    seed=1,
    idle=PEACE,
    quiet=Reads(asked=4, found=4, took_ms=[30, 40, 50, 60]),
    vanished=PEACE,
    after=Reads(asked=2, found=1, took_ms=[70, 80]),
)
SMALL = dataclasses.replace(
    named("calm"), frames=12, steady=False, script=(Act(at_ms=15_000, what="kill", peers=(1,)),)
)


@pytest.fixture(scope="module")
def figures() -> Figures:
    """The figures of a small run in which a renderer dies."""
    return measure(SMALL, 1, "small")


def test_measuring_changes_nothing(figures: Figures) -> None:
    assert figures.trace == run(SMALL, 1).trace


def test_a_death_is_counted_and_what_it_left_was_taken_over(figures: Figures) -> None:
    assert figures.good
    assert figures.failures == 1
    assert figures.reclaims_ms
    assert min(figures.reclaims_ms) < 8_000
    assert figures.twice_ms == 0 < figures.rendered_ms


def test_the_makespan_is_near_the_ideal(figures: Figures) -> None:
    assert 70 < 100 * figures.makespan_ms // figures.ideal_ms < 130, "of few frames the longest counts twice"


def test_bytes_are_counted(figures: Figures) -> None:
    assert figures.sent_bytes > 10_000


def test_nobody_asks_for_the_makespan_of_what_was_cancelled() -> None:
    cancelled = measure(named("cancel"), 1, "cancelled")
    assert (cancelled.makespan_ms, cancelled.ideal_ms) == (0, 0)


def test_takeovers_of_a_still_are_seen() -> None:
    short = dataclasses.replace(named(COORDINATORS), makespan_percent=0, still_ms=9 * 30_000, script=(_KILL,))
    found = measure(short, 1, "short")
    assert len(found.takeovers_ms) == 1
    assert 0 < found.takeovers_ms[0] < 8_000


_KILL = Act(at_ms=12_000, what="kill-coordinator")


def test_percentiles_are_values_that_were_measured() -> None:
    assert [percentile(range(1, 101), part) for part in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([7], 50) == percentile([7], 99) == 7
    assert percentile([], 50) == 0


def test_the_page_has_a_row_for_each_figure_and_names_what_failed(figures: Figures, tmp_path: Path) -> None:
    about = ["drawn", *(f"churn {percent}" for percent in CHURNS), *RECLAIMS, COORDINATORS, "league 3"]
    found = [dataclasses.replace(figures, about=each, seed=31) for each in about]
    found.append(dataclasses.replace(figures, about="drawn", seed=32, good=False))
    images = draw_all(found, tmp_path)
    assert all(image.read_bytes().startswith(b"\x89PNG") for image in images)
    text = page(found, [CROWD, CROWD], range(31, 33), "the command", images)
    for row in (
        "| 3 | 1 | 12 | 0 (0.00 %) | 18.3 %",
        "| 30 %/h | 1 | 1 |",
        "| drawn | 1 | 1,000 ms",
        "| `reclaim-killed` | ",
        f"| `{COORDINATORS}` | ",
        "| 31 | 6 | ",
        "| in peace | 8 | 100.00 % | 40 ms | 60 ms | 60 ms |",
        "| after 30 % vanished | 4 | 50.00 % | 70 ms | 80 ms | 80 ms |",
    ):
        assert [line for line in text if line.startswith(row)], row
    assert "Runs that broke a rule: 32." in text
    assert "the command" in text
    assert not [line for line in text if line.startswith("| 32 ")]


def test_every_run_of_a_report_has_one_of_its_seeds() -> None:
    runs = orders(range(4, 6), 1)
    many = (*RECLAIMS, *(f"league {count}" for count in LEAGUES))
    assert {seed for _, seed, about in runs if about not in many} == {4, 5}
    assert {seed for _, seed, about in runs if about in many} == set(range(40, 60))
    assert len(runs) == 2 * (1 + len(CHURNS) + 1) + 20 * len(many)


def test_liars_in_league_get_some_pictures_sealed_and_are_counted() -> None:
    found = measure(dataclasses.replace(leagued(5), frames=20), 1, "league 5")
    assert found.good
    assert found.sealed == 20
    assert 0 < found.sealed_wrong < 20


def test_no_line_of_the_page_is_broken_early(figures: Figures) -> None:
    text = page([figures], [CROWD], range(1, 2), "the command", [])
    for line, after in pairwise(text):
        if line and after and not line.startswith(("|", "`", "#", "!", "the command")):
            assert len(line) + 1 + len(after.split()[0]) > 120
