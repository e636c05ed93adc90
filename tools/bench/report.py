"""What a bench tells of its samples: medians, percentiles, ratios to a baseline, and whether its figures are met.

Theory: a figure that was promised is held against samples of the same run, and nothing else decides the exit code. What
the machine itself costs at that moment is measured beside it, so that a bad figure on a busy machine can be told from
a bad figure. Percentiles are those of the nearest rank: each is a sample that was really taken.

The module must not know what was measured.
"""

import argparse
import json
import math
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISSED = 1
"""The exit code of a bench that misses a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Samples of one thing, what they may be at most, and the samples of what they are compared with, if anything."""

    name: str
    unit: str
    samples: tuple[float, ...]
    median_most: float | None = None
    p95_most: float | None = None
    largest_most: float | None = None
    baseline: tuple[float, ...] = ()
    """Of the same unit, taken in the same run."""

    @property
    def ratio(self) -> float | None:
        """The median's ratio to the baseline's, where there is one."""
        if not self.baseline or not self.samples:
            return None
        below = statistics.median(self.baseline)
        return statistics.median(self.samples) / below if below else None

    def misses(self) -> list[str]:
        """Return what is beyond its bound, in sentences; where nothing was measured, a bound is missed."""
        bounds = [("median", self.median_most), ("p95", self.p95_most), ("maximum", self.largest_most)]
        if not self.samples:
            return [f"{self.name}: nothing was measured"] if any(most is not None for _, most in bounds) else []
        values = (statistics.median(self.samples), percentile(self.samples, 95), max(self.samples))
        return [
            f"{self.name}: {what} {written(value, self.unit)} is over {written(most, self.unit)}"
            for (what, most), value in zip(bounds, values, strict=True)
            if most is not None and value > most
        ]


def percentile(samples: Sequence[float], percent: int) -> float:
    """Return the sample of the nearest rank: at least `percent` of all samples are not above it."""
    assert samples
    assert 0 < percent <= 100
    return sorted(samples)[math.ceil(percent * len(samples) / 100) - 1]


def written(value: float, unit: str) -> str:
    """Write a value with its unit, as short as its size allows."""
    if unit == "x":
        return f"{value:.3f} x"
    if unit == "ms":
        return f"{value:.0f} ms"
    return f"{value:g} {unit}".strip()


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processors, system, Python, and how busy the machine is now."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def parser(text: str) -> argparse.ArgumentParser:
    """Return a command line with what all benches take."""
    made = argparse.ArgumentParser(description=text)
    made.add_argument("--quick", action="store_true", help="a short look; its figures prove nothing")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all samples there, too")
    return made


def run(title: str, measure: Callable[[], Sequence[Figure]], to: Path | None) -> int:
    """Measure, print the table, write the JSON file, and return the exit code.

    Being told to end is an interruption here, so that all that was started and made is taken away on the way out.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    before, begun = machine(), time.monotonic()
    figures = measure()
    spent_s = time.monotonic() - begun
    after = machine()["load"]
    misses = [miss for figure in figures for miss in figure.misses()]
    print(f"\n{title}\n" + "\n".join(table(figures)))
    print(f"\n{before['processor']}, {before['cores']} cores, {before['system']}, Python {before['python']}")
    print(f"load average {before['load']} before, {after} after; measured for {spent_s:.0f} s")
    for miss in misses:
        print(f"MISSED  {miss}")
    if to is not None:
        value = {"title": title, "machine": {**before, "load_after": after}, "seconds": round(spent_s, 1)}
        value |= {"figures": [as_json(figure) for figure in figures], "missed": misses}
        to.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    return MISSED if misses else 0


def table(figures: Sequence[Figure]) -> list[str]:
    """Return the lines of a table with one row for each figure."""
    heads = ("", "n", "median", "p95", "max", "at most", "ratio")
    rows = [heads, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(cells))
        for cells in (tuple(zip(row, widths, strict=True)) for row in rows)
    ]


def as_json(figure: Figure) -> dict[str, Any]:
    """Return a figure with all its samples."""
    bounds = {"median": figure.median_most, "p95": figure.p95_most, "max": figure.largest_most}
    return {
        "name": figure.name,
        "unit": figure.unit,
        "samples": list(figure.samples),
        "at_most": {name: most for name, most in bounds.items() if most is not None},
        "baseline": list(figure.baseline),
        "ratio": figure.ratio,
    }


def say(text: str) -> None:
    """Tell whoever waits how far the bench is."""
    print(text, file=sys.stderr, flush=True)


def _row(figure: Figure) -> tuple[str, ...]:
    if not figure.samples:
        return (figure.name, "0", "-", "-", "-", _bounds(figure), "-")
    values = (statistics.median(figure.samples), percentile(figure.samples, 95), max(figure.samples))
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    shown = (written(value, figure.unit) for value in values)
    return (figure.name, str(len(figure.samples)), *shown, _bounds(figure), ratio)


def _bounds(figure: Figure) -> str:
    bounds = (("median", figure.median_most), ("p95", figure.p95_most), ("max", figure.largest_most))
    return ", ".join(f"{name} {written(most, figure.unit)}" for name, most in bounds if most is not None) or "-"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
