"""The benches do their sums rightly: what they call a median, a wait or a reclaim is one. Nothing is timed here."""

import json
from pathlib import Path

import pytest

from mesh.ground.instants import Instant, Now, WallTime
from mesh.node.timings import Step, marks
from tools.bench import flood, latency, load, overhead, peers, report
from tools.bench.peers import Marked
from tools.bench.report import Figure


def marked(*steps: tuple[int, str, int], job: str = "a") -> list[Marked]:
    return [Marked(at_ms=at_ms, step=step, job=job, frame=frame) for at_ms, step, frame in steps]


def test_a_percentile_is_a_sample_of_the_nearest_rank() -> None:
    assert [report.percentile([30.0, 10.0, 20.0], percent) for percent in (1, 33, 34, 95, 100)] == [10, 10, 20, 30, 30]
    assert report.percentile(range(1, 101), 95) == 95


def test_each_bound_is_held_against_its_own_value() -> None:
    samples = (1.0, 2.0, 50.0)
    good = Figure(name="it", unit="ms", samples=samples, median_most=2, p95_most=50, largest_most=50)
    assert good.misses() == []
    bad = Figure(name="it", unit="ms", samples=samples, median_most=1.9, p95_most=49, largest_most=49)
    assert [miss.split()[1] for miss in bad.misses()] == ["median", "p95", "maximum"]


def test_a_bound_on_nothing_is_missed() -> None:
    assert Figure(name="it", unit="ms", samples=(), largest_most=1).misses() == ["it: nothing was measured"]
    assert Figure(name="it", unit="ms", samples=()).misses() == []


def test_a_ratio_is_of_medians() -> None:
    figure = Figure(name="it", unit="ms", samples=(4.0, 6.0, 90.0), baseline=(1.0, 3.0, 20.0))
    assert figure.ratio == 2.0
    assert Figure(name="it", unit="ms", samples=(4.0,)).ratio is None


def test_a_bench_that_misses_a_figure_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = Figure(name="good", unit="ms", samples=(1.0,), median_most=1)
    bad = Figure(name="bad", unit="x", samples=(1.06,), median_most=1.05)
    assert report.run("Title", lambda: [good], None) == 0
    assert report.run("Title", lambda: [good, bad], tmp_path / "out.json") == report.MISSED
    printed = capsys.readouterr().out
    assert "MISSED  bad: median 1.060 x is over 1.050 x" in printed
    assert "load average" in printed
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["figures"][1]["samples"] == [1.06]
    assert written["missed"] == ["bad: median 1.060 x is over 1.050 x"]


def test_the_columns_of_a_table_are_aligned() -> None:
    lines = report.table(
        [Figure(name="a", unit="ms", samples=(1.0,)), Figure(name="a longer name", unit="x", samples=())]
    )
    assert len({len(line) for line in lines}) == 1


class Clock:
    """A world of which only the clock is asked."""

    def __init__(self) -> None:
        self.at_ms = 0

    def now(self) -> Now:
        self.at_ms += 1
        return Now(instant=Instant(self.at_ms), wall=WallTime(0))


def test_what_a_peer_marks_is_what_a_bench_reads() -> None:
    lines: list[str] = []
    mark = marks(Clock(), lines.append)  # type: ignore[arg-type]
    mark(Step.ASKED)
    mark(Step.WRITTEN, b"\x0a\xff", 7)
    assert peers.read_marks("".join(lines)) == [
        Marked(at_ms=1, step="asked"),
        Marked(at_ms=2, step="written", job="0aff", frame=7),
    ]


def test_a_mark_that_is_being_written_is_left_for_later() -> None:
    line = json.dumps({"at_ms": 5, "step": "asked"})
    assert peers.read_marks(f"{line}\n{line[:9]}") == [Marked(at_ms=5, step="asked")]
    assert peers.read_marks(line) == []


def test_the_opening_counts_only_where_it_delays_a_frame_that_was_claimed() -> None:
    opening = marked((0, "opening", 0), (100, "opened", 0), (60, "claimed", 1), (105, "called", 1))
    assert latency.overlap_ms(opening, 60, 105) == 40
    assert latency.call_wait_ms(10, opening) == 105 - 10 - 40
    before = marked((0, "opening", 0), (50, "opened", 0), (60, "claimed", 1), (65, "called", 1))
    assert latency.call_wait_ms(10, before) == 55


def test_overlapping_openings_are_not_counted_twice() -> None:
    twice = marked((0, "opening", 0), (10, "opening", 0), (30, "opened", 0), (40, "opened", 0))
    assert latency.overlap_ms(twice, 0, 100) == 30


def test_a_wait_between_frames_is_from_a_file_to_the_next_call() -> None:
    steps = marked(
        (0, "called", 1),
        (10, "written", 1),
        (13, "called", 2),
        (14, "sampled", 2),
        (30, "written", 2),
        (37, "called", 3),
    )
    assert latency.next_waits_ms(steps) == [3, 7]


def test_a_frame_begun_twice_is_a_reclaim_and_one_of_another_job_is_not() -> None:
    steps = [*marked((0, "claimed", 1), (5, "claimed", 2)), *marked((3, "claimed", 1), job="b")]
    assert load.again(steps, "claimed") == []
    assert load.again([*steps, *marked((9, "claimed", 2))], "claimed") == ["a frame 2: claimed 2 times"]


def test_the_busy_part_leaves_idle_and_waiting_time_out() -> None:
    assert load.busy_part("cpu 10 0 10 100 0 0 0", "cpu 30 0 20 150 20 0 0") == pytest.approx(0.3)


def test_ratios_are_of_neighbours() -> None:
    sides = overhead.Sides(meshed=[110.0, 240.0], alone=[100.0, 200.0], frames_meshed=[90.0], frames_alone=[100.0])
    assert sides.ratios() == pytest.approx((1.1, 1.2))
    assert sides.frame_ratios() == pytest.approx((0.9,))


def test_the_pace_of_frames_is_from_the_first_file_to_the_last() -> None:
    assert overhead.span_ms(marked((5, "called", 1), (20, "written", 1), (50, "written", 2))) == 30


def test_two_sides_that_wrote_other_files_are_not_compared(tmp_path: Path) -> None:
    for side, size in (("one", 1000), ("same", 1009), ("bigger", 1100)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "frame_0001.exr").write_bytes(bytes(size))
    (tmp_path / "none").mkdir()
    overhead.same_files(tmp_path / "one", tmp_path / "same")
    for other in ("bigger", "none"):
        with pytest.raises(peers.BenchFailed):
            overhead.same_files(tmp_path / "one", tmp_path / other)


def test_every_step_is_explained() -> None:
    page = (Path(report.__file__).parents[2] / "docs" / "reference" / "benchmarks.md").read_text("utf-8")
    assert [step.value for step in Step if f"| `{step.value}` |" not in page] == []


def looked(at_s: float, frames: int, rendered_s: float, beside_s: float, others_s: float) -> flood.Look:
    honest_s = rendered_s + 3 * beside_s
    return flood.Look(
        at_s=at_s,
        frames=frames,
        beside_s=(beside_s, beside_s, beside_s),
        honest_s=honest_s,
        flooder_s=others_s,
        machine_s=honest_s + 2 * others_s,
    )


def test_of_a_flood_only_what_it_takes_from_the_honest_counts() -> None:
    quiet = flood.between(looked(0, 0, 0, 0, 0), looked(10, 100, 17, 1, 0), cores=2)
    assert (quiet.processor_ms, quiet.free_ms, quiet.beside) == (200, 200, (5, 5, 5))
    # The flooder and a stranger take four seconds each: half as much is rendered, and none of it is dearer.
    beside = flood.between(looked(0, 0, 0, 0, 0), looked(10, 50, 8.5, 0.5, 4), cores=2)
    assert (beside.processor_ms, beside.free_ms) == (200, 240)
    flooded = flood.between(looked(0, 0, 0, 0, 0), looked(10, 100, 17, 2, 0), cores=2)
    assert flooded.processor_ms == 230
    assert flood.lost(flooded, [quiet, quiet]) == 5
    rows = {row.name: row for row in flood.figures({"nobody": [quiet], "one": [flooded], "all": [flooded]})}
    assert rows["one of three flooded: processor time of a frame"].samples == (1.15,)
    assert len(rows["one of three flooded: processor time of a frame"].misses()) == 1
    assert rows["all three flooded: processor time of a frame"].misses() == []
    assert rows["all three flooded: of a peer's machine"].misses() == []
