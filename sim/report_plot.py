"""The report's figures as pictures; it needs matplotlib, which only developers have.

The module must not know how anything was measured.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sim.hours import BOUNDS
from sim.measures import CHURNS, RECLAIMS, Figures
from sim.scaling_plot import figure_of

_INK, _MESH = "#444444", "#1f6fb2"
_COLOURS: Final = ("#1f6fb2", "#d1622b", "#3a8f4d")


def draw_all(found: Sequence[Figures], directory: Path) -> list[Path]:
    """Draw what there are figures for, into PNG files; return them."""
    good = [figures for figures in found if figures.good]
    return [_makespans(good, directory / "churn-makespan.png"), _reclaims(good, directory / "churn-reclaims.png")]


def _makespans(found: Sequence[Figures], path: Path) -> Path:
    figure, (axes,) = figure_of(1)
    for place, percent in enumerate(CHURNS):
        runs = [each for each in found if each.about == f"churn {percent}" and each.ideal_ms]
        axes.plot([place] * len(runs), [each.makespan_ms / each.ideal_ms for each in runs], "o", color=_MESH, alpha=0.6)
        if percent in BOUNDS:
            axes.plot([place], [BOUNDS[percent] / 100], "_", color=_COLOURS[1], markersize=30)
    axes.axhline(1, color=_INK, linestyle=":", linewidth=0.9)
    axes.set_xticks(range(len(CHURNS)), [f"{percent} %/h" for percent in CHURNS])
    axes.set_xlabel("peers that die; the bars are what may be asked at most")
    axes.set_ylabel("makespan / ideal")
    axes.set_title("One job while peers die")
    figure.savefig(path)
    return path


def _reclaims(found: Sequence[Figures], path: Path) -> Path:
    figure, (axes,) = figure_of(1)
    for name, colour in zip(RECLAIMS, _COLOURS, strict=True):
        times_ms = sorted(ms for each in found if each.about == name for ms in each.reclaims_ms)
        if times_ms:
            parts = [100 * (place + 1) / len(times_ms) for place in range(len(times_ms))]
            axes.step([ms / 1000 for ms in times_ms], parts, where="post", color=colour, label=name)
    axes.set_xlabel("seconds until somebody else has started the frame")
    axes.set_ylabel("frames that were left, %")
    axes.set_title("How soon others take over")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 101)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)
    return path
