"""How stills scale: the figures are what the run did, and what is asked is held against them."""

import dataclasses
import json
from pathlib import Path

import pytest

from sim.__main__ import main
from sim.scaling import COSTS, Field, Scaled, Still, limit_ms, measure, scenario_of
from sim.scaling_report import (
    WEAK_LEAST,
    WEAK_MS,
    as_json,
    from_json,
    is_weak,
    least,
    measure_all,
    missed,
    strong,
    strong_table,
    weak,
    weak_table,
)
from sim.stills import cut_of, work_ms

pytestmark = pytest.mark.interpreted

SMALL = Still(peers=4, work_ms=60_000, width=640, height=360)


@pytest.fixture(scope="module")
def small() -> Scaled:
    """A small still, measured."""
    return measure(SMALL, 1)


def test_one_seed_gives_one_figure(small: Scaled) -> None:
    again = measure(SMALL, 1)
    assert dataclasses.replace(again, processor_s=0) == dataclasses.replace(small, processor_s=0)


def test_no_run_is_faster_than_its_limit_and_every_cost_is_counted(small: Scaled) -> None:
    assert small.first_ms < small.last_ms < small.makespan_ms
    assert small.makespan_ms >= small.limit_ms == limit_ms(SMALL)
    assert small.makespan_ms - small.last_ms >= COSTS.finish_ms
    in_slots_ms = SMALL.work_ms + 4 * COSTS.stage_ms + 50 * small.buckets
    assert 0 <= in_slots_ms - small.rendered_ms <= small.buckets, "but for what is rounded off each bucket"
    assert small.efficiency == SMALL.work_ms / (4 * small.makespan_ms)


def test_a_picture_costs_what_was_asked_for_wherever_its_heavy_parts_are() -> None:
    scenario = scenario_of(SMALL, COSTS)
    cut = cut_of(scenario)
    assert cut is not None
    assert abs(work_ms("job0", 0, cut, scenario) - SMALL.work_ms) <= 2


def test_with_churn_the_ideal_knows_who_lived() -> None:
    field = Field(dataclasses.replace(SMALL, churn_percent=20_000), 1)
    field.deliver()
    assert field.deaths > 0
    assert field.lived_ms < 4 * (field.now_ms - 15_000)


def test_a_line_carries_one_thing_at_a_time() -> None:
    slow = dataclasses.replace(COSTS, line_mbit=100)
    assert measure(SMALL, 1, slow).makespan_ms > measure(SMALL, 1).makespan_ms + 2_000, "64 MB take 5 s, not 0.5"


def test_what_is_asked_is_asked_of_weak_scaling_alone(small: Scaled) -> None:
    assert missed([small]) == []
    still = Still(peers=4, work_ms=4 * WEAK_MS)
    bad = dataclasses.replace(small, still=still, lived_ms=round(still.work_ms / (WEAK_LEAST[4] - 0.001)))
    good = dataclasses.replace(small, still=still, lived_ms=round(still.work_ms / (WEAK_LEAST[4] + 0.001)))
    assert missed([bad, good]) == ["weak scaling, 4 peers: 0.979, asked is 0.98"]
    assert least(dataclasses.replace(bad, still=dataclasses.replace(still, churn_percent=30))) is None
    assert [row.split("|")[6].strip() for row in weak_table([bad, good])[2:]] == ["**missed**", "met"]


def test_figures_come_back_from_json_as_they_were(small: Scaled) -> None:
    assert from_json(json.dumps(as_json([small], COSTS))) == [small]


def test_what_was_measured_is_told_at_once_and_not_measured_again(small: Scaled) -> None:
    stills = [dataclasses.replace(SMALL, peers=count) for count in (2, 3)]
    known = dataclasses.replace(small, still=stills[0])
    said: list[Scaled] = []
    found = measure_all(stills, 1, jobs=1, say=said.append, known=[known])
    assert found[0] == known
    assert [scaled.still for scaled in said] == [stills[1]] == [found[1].still]


def test_the_course_is_what_the_tables_tell(small: Scaled) -> None:
    assert [still.peers for still in weak()] == list(WEAK_LEAST)
    assert all(is_weak(dataclasses.replace(small, still=still)) for still in weak())
    assert len(strong()) == 5 * len(WEAK_LEAST)
    assert len(strong_table([small])) == 3


def test_one_command_tells_of_figures_again(small: Scaled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = Still(peers=4, work_ms=4 * WEAK_MS)
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(as_json([dataclasses.replace(small, still=still, lived_ms=10**7)], COSTS)), "utf-8")
    assert main(["stills", "--from", str(file)]) == 1
    assert "MISSED  weak scaling, 4 peers: 0.240, asked is 0.98" in capsys.readouterr().out


def test_a_stopped_command_goes_on_where_it_was(
    small: Scaled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    known = [dataclasses.replace(small, still=still, lived_ms=still.work_ms) for still in weak(quick=True)]
    file.write_text(json.dumps(as_json(known, COSTS)), "utf-8")
    assert main(["stills", "--weak", "--quick", "--go-on", "--json", str(file)]) == 0
    assert capsys.readouterr().err == ""
