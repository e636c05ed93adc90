"""How a still scales, as pictures for the pages: weak scaling beside what is asked, strong beside what is possible.

It needs matplotlib, which only developers have. The module must not know how anything was measured.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.scaling import Scaled
from sim.scaling_report import CHURN_PERCENT, STRONG_MS, WEAK_LEAST, is_weak

_INK, _PEACE, _CHURN, _ADAPTIVE = "#444444", "#1f6fb2", "#d1622b", "#3a8f4d"
_NAMES = {STRONG_MS[0]: "A still of ten minutes", STRONG_MS[1]: "A still of ten hours"}


def draw(measured: Sequence[Scaled], directory: Path) -> list[Path]:
    """Draw what there are figures for, into PNG files; return them."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    weak = [scaled for scaled in measured if is_weak(scaled)]
    if weak:
        drawn.append(_draw_weak(weak, directory / "stills-weak.png"))
    strong = [scaled for scaled in measured if scaled.still.work_ms in STRONG_MS and not is_weak(scaled)]
    if strong:
        drawn.append(_draw_strong(strong, directory / "stills-strong.png"))
    return drawn


def figure_of(columns: int) -> tuple[Any, list[Any]]:
    """Return a figure of so many plots beside each other, each with a grid and no more frame than it needs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4 * columns, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for each in axes:
        each.grid(visible=True, which="major", color="#dddddd", linewidth=0.7)
        for side in ("top", "right"):
            each.spines[side].set_visible(False)
    return figure, list(axes)


def _by_peers(columns: int) -> tuple[Any, list[Any]]:
    figure, axes = figure_of(columns)
    for each in axes:
        each.set_xscale("log", base=2)
        each.set_xlabel("peers, one slot each")
    return figure, axes


def _draw_weak(weak: Sequence[Scaled], path: Path) -> Path:
    figure, (axes,) = _by_peers(1)
    peers = [scaled.still.peers for scaled in weak]
    possible = [scaled.still.work_ms / scaled.still.peers / scaled.limit_ms for scaled in weak]
    axes.plot(peers, possible, "--", color=_INK, label="no mesh does better: scene, loading, the file")
    axes.plot(peers, [scaled.efficiency for scaled in weak], "o-", color=_PEACE, label="the mesh")
    axes.plot(tuple(WEAK_LEAST), tuple(WEAK_LEAST.values()), "_", color=_CHURN, markersize=16, label="asked")
    axes.set_ylim(0.9, 1.005)
    axes.set_ylabel("part of the ideal (work / slot time)")
    axes.set_title("Weak scaling: ten minutes of work for each peer")
    axes.legend(frameon=False, loc="lower left")
    _ticks(axes, tuple(WEAK_LEAST))
    figure.savefig(path)
    return path


def _draw_strong(strong: Sequence[Scaled], path: Path) -> Path:
    works = sorted({scaled.still.work_ms for scaled in strong})
    figure, all_axes = _by_peers(len(works))
    for axes, work_ms in zip(all_axes, works, strict=True):
        of_work = [scaled for scaled in strong if scaled.still.work_ms == work_ms]
        calm = [scaled for scaled in of_work if not scaled.still.churn_percent and not scaled.still.margin]
        churned = [scaled for scaled in of_work if scaled.still.churn_percent]
        adaptive = [scaled for scaled in of_work if scaled.still.margin]
        peers = [scaled.still.peers for scaled in calm]
        axes.plot(peers, [work_ms / scaled.limit_ms for scaled in calm], "--", color=_INK, label="no mesh does better")
        axes.plot(peers, peers, ":", color=_INK, linewidth=0.8, label="as many times as peers")
        for some, colour, mark, name in (
            (calm, _PEACE, "o-", "the mesh"),
            (churned, _CHURN, "s-", f"with {CHURN_PERCENT} % of the peers lost each hour"),
            (adaptive, _ADAPTIVE, "^-", "adaptive sampling, margins of 8 pixels"),
        ):
            if some:
                speeds = [work_ms / scaled.makespan_ms for scaled in some]
                axes.plot([scaled.still.peers for scaled in some], speeds, mark, color=colour, label=name, markersize=5)
        axes.set_yscale("log", base=2)
        axes.set_ylabel("times faster than one slot that only renders")
        axes.set_title(_NAMES[work_ms])
        axes.legend(frameon=False, loc="upper left")
        _ticks(axes, peers)
        axes.yaxis.set_major_formatter("{x:g}")
    figure.savefig(path)
    return path


def _ticks(axes: Any, peers: Sequence[int]) -> None:
    axes.set_xticks(peers, [str(count) for count in peers])
