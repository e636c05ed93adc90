"""Which stills are measured, what their figures are held against, and how they are shown: tables, plots' data, JSON.

Efficiency is the work divided by the slot time that lived, from submission until the file lies on the submitter's disk:
the ideal has no cost but the pixels' own. The module must not know how anything was measured.
"""

import dataclasses
import json
import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

from mesh.ground.instants import HOUR_MS, MINUTE_MS
from sim.scaling import Costs, Scaled, Still, measure

WEAK_LEAST = {4: 0.98, 16: 0.97, 64: 0.96, 256: 0.94}
"""What part of the ideal is asked of so many peers with ten minutes of work each."""

WEAK_MS = 10 * MINUTE_MS
STRONG_MS = (10 * MINUTE_MS, 10 * HOUR_MS)
CHURN_PERCENT = 30
ADAPTIVE_MARGIN = 8
"""Pixels around a bucket that an engine renders where it samples adaptively."""

_QUICK_PEERS = (4, 16)
_QUICK_MS = MINUTE_MS


def weak(*, quick: bool = False) -> list[Still]:
    """Return the stills of weak scaling: as much work for each peer."""
    each_ms = _QUICK_MS if quick else WEAK_MS
    return [Still(peers=peers, work_ms=each_ms * peers) for peers in (_QUICK_PEERS if quick else WEAK_LEAST)]


def strong(*, quick: bool = False) -> list[Still]:
    """Return the stills of strong scaling: the same picture among more and more peers, in peace, with churn, and with
    adaptive sampling.
    """
    peers = _QUICK_PEERS if quick else tuple(WEAK_LEAST)
    each = [(work_ms, churn) for work_ms in STRONG_MS[: 1 if quick else None] for churn in (0, CHURN_PERCENT)]
    stills = [Still(peers=count, work_ms=work_ms, churn_percent=churn) for work_ms, churn in each for count in peers]
    return stills + [Still(peers=count, work_ms=STRONG_MS[0], margin=ADAPTIVE_MARGIN) for count in peers]


def measure_all(
    stills: Sequence[Still],
    seed: int,
    *,
    jobs: int,
    say: Callable[[Scaled], None] = lambda _: None,
    known: Sequence[Scaled] = (),
) -> list[Scaled]:
    """Measure each still but those that are known, the cheapest first, in so many processes; return them in order."""
    found = {scaled.still: scaled for scaled in known}
    order = sorted((still for still in stills if still not in found), key=lambda still: (still.peers, still.work_ms))
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for scaled in pool.imap_unordered(_measure_one, [(still, seed) for still in order]):
            found[scaled.still] = scaled
            say(scaled)
    return [found[still] for still in sorted(stills, key=_order)]


def _measure_one(ordered: tuple[Still, int]) -> Scaled:
    import gc

    gc.disable()  # hardly any garbage is in cycles, and looking for it among millions of objects takes minutes
    return measure(*ordered)


def is_weak(scaled: Scaled) -> bool:
    """Whether a still is one of weak scaling."""
    still = scaled.still
    return still.work_ms in (WEAK_MS * still.peers, _QUICK_MS * still.peers) and not still.churn_percent


def least(scaled: Scaled) -> float | None:
    """Return what is asked of a still's efficiency; None: nothing."""
    still = scaled.still
    if still.work_ms != WEAK_MS * still.peers or still.churn_percent or still.margin:
        return None
    return WEAK_LEAST.get(still.peers)


def weak_table(measured: Sequence[Scaled]) -> list[str]:
    """Return the figures of weak scaling in Markdown."""
    lines = [
        "| peers | work | makespan | of the ideal | asked | | no mesh takes less than | buckets | longest bucket |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scaled in measured:
        asked = least(scaled)
        met = "" if asked is None else "met" if scaled.efficiency >= asked else "**missed**"
        cells = (
            f"{scaled.still.peers}",
            _time(scaled.still.work_ms),
            _seconds(scaled.makespan_ms),
            f"{scaled.efficiency:.3f}",
            "" if asked is None else f"{asked:.2f}",
            met,
            _seconds(scaled.limit_ms),
            f"{scaled.buckets:,}",
            _seconds(scaled.longest_ms),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def strong_table(measured: Sequence[Scaled]) -> list[str]:
    """Return the figures of strong scaling in Markdown."""
    lines = [
        "| still | peers | makespan | no mesh takes less than | ratio | speed-up | rendered twice | deaths |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for scaled in measured:
        cells = (
            _kind(scaled.still),
            f"{scaled.still.peers}",
            _seconds(scaled.makespan_ms),
            _seconds(scaled.limit_ms),
            f"{scaled.makespan_ms / scaled.limit_ms:.2f}",
            f"{scaled.still.work_ms / scaled.makespan_ms:.1f}",
            f"{100 * scaled.twice_ms / max(1, scaled.rendered_ms):.1f} %",
            f"{scaled.deaths}" if scaled.still.churn_percent else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def missed(measured: Sequence[Scaled]) -> list[str]:
    """Return the figures that are not what is asked, in sentences."""
    found: list[str] = []
    for scaled in measured:
        asked = least(scaled)
        if asked is not None and scaled.efficiency < asked:
            found.append(f"weak scaling, {scaled.still.peers} peers: {scaled.efficiency:.3f}, asked is {asked:.2f}")
    return found


def as_json(measured: Sequence[Scaled], costs: Costs) -> dict[str, Any]:
    """Return all figures, and what things were taken to cost."""
    rows = [{**dataclasses.asdict(scaled), "efficiency": scaled.efficiency} for scaled in measured]
    return {"costs": dataclasses.asdict(costs), "stills": rows}


def from_json(text: str) -> list[Scaled]:
    """Return the figures that `as_json` told, in the order in which tables and plots want them."""
    found: list[Scaled] = []
    for row in json.loads(text)["stills"]:
        row.pop("efficiency")
        found.append(Scaled(**{**row, "still": Still(**row["still"])}))
    return sorted(found, key=lambda scaled: _order(scaled.still))


def _order(still: Still) -> tuple[int, int, int, int]:
    return (still.margin, still.work_ms, still.churn_percent, still.peers)


def _kind(still: Still) -> str:
    kind = _time(still.work_ms)
    if still.churn_percent:
        kind += f", {still.churn_percent} %/h churn"
    return f"{kind}, margins of {still.margin} px" if still.margin else kind


def _time(time_ms: int) -> str:
    if time_ms >= HOUR_MS:
        return f"{time_ms / HOUR_MS:.3g} h"
    return f"{time_ms / MINUTE_MS:.3g} min"


def _seconds(time_ms: int) -> str:
    return f"{time_ms / 1_000:.1f} s"
