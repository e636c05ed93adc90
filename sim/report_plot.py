"""The report's figures as pictures; it needs matplotlib, which only developers have.

The module must not know how anything was measured.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sim.measures import CHURNS, RECLAIMS, Figures

_INK, _MESH = "#444444", "#1f6fb2"
_COLOURS: Final = ("#1f6fb2", "#d1622b", "#3a8f4d")
_ASKED: Final = {30: 1.25, 100: 2.0}
"""The most that the makespan may be of the ideal, by deaths an hour in per cent."""


def draw_all(found: Sequence[Figures], directory: Path) -> list[Path]:
    """Draw what there are figures for, into PNG files; return them."""
    good = [figures for figures in found if figures.good]
    return [_makespans(good, directory / "churn-makespan.png"), _reclaims(good, directory / "churn-reclaims.png")]


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _makespans(found: Sequence[Figures], path: Path) -> Path:
    figure, axes = _axes()
    for place, percent in enumerate(CHURNS):
        runs = [each for each in found if each.about == f"churn {percent}" and each.ideal_ms]
        axes.plot([place] * len(runs), [each.makespan_ms / each.ideal_ms for each in runs], "o", color=_MESH, alpha=0.6)
        if percent in _ASKED:
            axes.plot([place], [_ASKED[percent]], "_", color=_COLOURS[1], markersize=30)
    axes.axhline(1, color=_INK, linestyle=":", linewidth=0.9)
    axes.set_xticks(range(len(CHURNS)), [f"{percent} %/h" for percent in CHURNS])
    axes.set_xlabel("peers that die; the bars are what may be asked at most")
    axes.set_ylabel("makespan / ideal")
    axes.set_title("One job while peers die")
    figure.savefig(path)
    return path


def _reclaims(found: Sequence[Figures], path: Path) -> Path:
    figure, axes = _axes()
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
