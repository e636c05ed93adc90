"""`python -m sim report`: one page of figures with the seeds and the command of each, and plots of what plots show."""

import multiprocessing
import textwrap
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path
from typing import Final

from sim.crowd_measures import GONE_PERCENT, Course, Loss, Walk
from sim.hours import TASKS_EACH
from sim.measures import (
    CHURN_FRAME_MS,
    CHURN_PEERS,
    CHURNS,
    COORDINATORS,
    LEAGUE_FRAMES,
    LEAGUE_RENDERERS,
    LEAGUES,
    RECLAIM_SEEDS,
    RECLAIMS,
    Figures,
    measure,
    orders,
)
from sim.percentile import percentile
from sim.report_plot import draw_all
from sim.scenario import Scenario

CROWD_PEERS: Final = 100
_PARTS: Final = (50, 95, 99)
_WIDTH: Final = 120


def report(seeds: range, out: Path, *, minutes: int, jobs: int, say: Callable[[str], None]) -> list[Figures]:
    """Run all that the report asks for in `jobs` processes, write `churn.md` and its plots into `out`.

    Returns what each run of the whole protocol showed; `say` hears a line of each run.
    """
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        found: list[Figures] = []
        for figures in pool.imap(_measured, orders(seeds, minutes)):
            found.append(figures)
            how = "good" if figures.good else "BROKE A RULE"
            say(f"{figures.about}, seed {figures.seed}: {figures.events} events, {how}")
        crowds: list[Loss] = []
        for crowd in pool.imap(_lost, seeds):
            crowds.append(crowd)
            say(f"look-ups of a crowd, seed {crowd.seed}: {crowd.after.success:.2f} % found after the loss")
    out.mkdir(parents=True, exist_ok=True)
    images = draw_all(found, out)
    command = f"python -m sim report --seeds {seeds.start}:{seeds.stop} --minutes {minutes} --out DIR"
    (out / "churn.md").write_text("\n".join(page(found, crowds, seeds, command, images)) + "\n", encoding="utf-8")
    return found


def _measured(order: tuple[Scenario, int, str]) -> Figures:
    return measure(*order)


def _lost(seed: int) -> Loss:
    return Walk(CROWD_PEERS, seed, Course(), lambda _what: None).lose()


def page(
    found: Sequence[Figures], crowds: Sequence[Loss], seeds: range, command: str, images: Sequence[Path]
) -> list[str]:
    """Return the lines of the page."""
    return [
        *("# Churn", ""),
        *_paragraph(
            "What the mesh costs and how soon it goes on when peers come and go, in the",
            "[simulator](../internals/simulator.md): the shipping core and the real encodings in a world of their own.",
            "One command writes this page anew:",
        ),
        *("```", command, "```", ""),
        *_paragraph(
            f"All figures are of the seeds {seeds.start} to {seeds.stop - 1}, {len(found) + len(crowds)} runs.",
            f"Of what takes little to measure each stands for {RECLAIM_SEEDS}, the first of them {RECLAIM_SEEDS}",
            "times as high. Times are virtual.",
        ),
        *_churn(found),
        *_reclaims(found),
        *_takeovers(found),
        *_views(found),
        *_lookups(crowds),
        *_leagues(found),
        *_drawn(found),
        *(line for image in images for line in (f"![{image.stem.replace('-', ' ')}](../images/{image.name})", "")),
        *_MODEL,
    ]


def _paragraph(*texts: str) -> list[str]:
    return [*textwrap.wrap(" ".join(texts), _WIDTH, break_long_words=False, break_on_hyphens=False), ""]


_MODEL: Final = (
    *("## What stands behind it", ""),
    *_paragraph(
        "**Faults** are those of the [table of switches](../internals/simulator.md#faults-and-their-switches), which",
        "names those that there are not, too. In the runs of one job peers die, half of them by SIGKILL and half with",
        "their machines, and are back about a minute later; in the drawn runs everything fails.",
    ),
    *_paragraph(
        "**Ideal** is the time in which the capacity that lived could have done the work, every slot at its own speed",
        "and none ever idle, and the longest frame, which somebody has to do last: a mesh that deals out well stays",
        "below it. It pays for no scene, no loading, no delivery.",
    ),
    *_paragraph(
        "**Bounds**: makespan at most 1.25 times the ideal under 30 %/h, 2 times under 100 %/h; at most 1 % of the",
        "render time twice in peace, 5 % under 30 %/h; a dead peer's tasks claimed again within 1 s, a silent one's",
        "within 8 s (p95).",
    ),
    *_paragraph(
        "**Not simulated**: the shell, real disks and networks, renderers that slow each other down, retransmissions.",
        "Bytes are those of messages and datagrams as encoded, without what encryption, headers and handshakes add,",
        "and without blobs.",
    ),
    *_paragraph(
        "**Elsewhere**: look-ups among 1,000 and 10,000 peers, and what churn costs a still: [scale](scale.md).",
    )[:-1],
)


def _of(found: Sequence[Figures], about: str) -> list[Figures]:
    return [figures for figures in found if figures.about == about and figures.good]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.2f} %"


def _churn(found: Sequence[Figures]) -> list[str]:
    lines = [
        *("## One job while peers die", ""),
        *_paragraph(
            f"{CHURN_PEERS} peers of one slot each, {TASKS_EACH} frames of {CHURN_FRAME_MS // 1000} s for each."
        ),
        "| deaths | runs | peers that died | makespan / ideal, mean and worst | rendered twice |",
        "|---|---|---|---|---|",
    ]
    for percent in CHURNS:
        runs = [figures for figures in _of(found, f"churn {percent}") if figures.ideal_ms]
        ratios = [figures.makespan_ms / figures.ideal_ms for figures in runs]
        twice = _percent(sum(each.twice_ms for each in runs), sum(each.rendered_ms for each in runs))
        shown = f"{sum(ratios) / len(ratios):.3f}, {max(ratios):.3f}" if ratios else "none"
        died = sum(each.failures for each in runs)
        lines.append(f"| {percent} %/h | {len(runs)} | {died} | {shown} | {twice} |")
    return [*lines, ""]


def _times(*cells: str, times_ms: Sequence[int]) -> str:
    return f"| {' | '.join((*cells, *(f'{percentile(times_ms, part):,} ms' for part in _PARTS)))} |"


def _counted_times(name: str, times_ms: Sequence[int]) -> str:
    return _times(name, str(len(times_ms)), times_ms=times_ms)


def _reclaims(found: Sequence[Figures]) -> list[str]:
    return [
        *("## How soon others take over what was left", ""),
        *_paragraph(
            "Four frames among ten renderers, of which five are lost at once: from then until somebody else starts",
            "each of their frames. One that nobody started before the run ended is not counted.",
        ),
        "| scenario | frames | p50 | p95 | p99 |",
        "|---|---|---|---|---|",
        *(
            _counted_times(f"`{name}`", [ms for each in _of(found, name) for ms in each.reclaims_ms])
            for name in RECLAIMS
        ),
        "",
    ]


def _takeovers(found: Sequence[Figures]) -> list[str]:
    runs = [figures for figures in _of(found, COORDINATORS) if figures.ideal_ms]
    ratios = [figures.makespan_ms / figures.ideal_ms for figures in runs]
    return [
        *("## How soon somebody else coordinates", ""),
        *_paragraph(
            f"`{COORDINATORS}`: a still among ten peers, whose coordinator is killed every 30 s and is back 10 s",
            "later. From its death until somebody else leads, looked at ten times a second.",
            f"The still took {max(ratios):.3f} times the ideal at worst." if ratios else "",
        ),
        "| scenario | takeovers | p50 | p95 | p99 |",
        "|---|---|---|---|---|",
        _counted_times(f"`{COORDINATORS}`", [ms for each in runs for ms in each.takeovers_ms]),
        "",
    ]


def _views(found: Sequence[Figures]) -> list[str]:
    took_ms = [each.converged_ms for each in _of(found, "drawn") if each.converged_ms is not None]
    return [
        *("## How soon all know who lives", ""),
        *_paragraph(
            "The drawn scenarios of the next table: from the moment when all lines are mended and those who stay are",
            "started again until each of them has a channel to every other one and to nobody who is gone; in a mesh",
            "that is too large for that, until no part of it is left by itself. Looked at each second.",
        ),
        "| scenario | runs | p50 | p95 | p99 |",
        "|---|---|---|---|---|",
        _counted_times("drawn", took_ms),
        "",
    ]


def _lookups(crowds: Sequence[Loss]) -> list[str]:
    lines = [
        *("## Look-ups in the DHT", ""),
        *_paragraph(
            f"{CROWD_PEERS} peers of the whole core, of whom {GONE_PERCENT} % lose power in one millisecond",
            "([how it is taken](scale.md#how-it-is-taken)): random peers ask where others are that are there,",
            "a thousand times within a minute, in peace and again one minute after the loss.",
            "Asked are 99.9 % and 99 %.",
        ),
        "| | asked | found | p50 | p95 | p99 |",
        "|---|---|---|---|---|---|",
    ]
    for name, reads in (
        ("in peace", [crowd.quiet for crowd in crowds]),
        (f"after {GONE_PERCENT} % vanished", [crowd.after for crowd in crowds]),
    ):
        asked, there = sum(each.asked for each in reads), sum(each.found for each in reads)
        took_ms = [ms for each in reads for ms in each.took_ms]
        lines.append(_times(name, f"{asked:,}", _percent(there, asked), times_ms=took_ms))
    return [*lines, ""]


def _leagues(found: Sequence[Figures]) -> list[str]:
    lines = [
        *("## Liars in league", ""),
        *_paragraph(
            f"A job of {LEAGUE_FRAMES} frames under `--check twice` among {LEAGUE_RENDERERS} renderers, of whom some",
            "return the same wrong pixels and vouch for each other. Alone none gets a frame past the others.",
            "*By chance* is how often two of the first three who render a frame are of the league.",
        ),
        "| in league | runs | frames sealed | of these wrong | by chance |",
        "|---|---|---|---|---|",
    ]
    for count in LEAGUES:
        runs = _of(found, f"league {count}")
        sealed, wrong = sum(each.sealed for each in runs), sum(each.sealed_wrong for each in runs)
        expected = f"{100 * _two_of_three(count, LEAGUE_RENDERERS):.1f} %"
        lines.append(f"| {count} | {len(runs)} | {sealed} | {wrong} ({_percent(wrong, sealed)}) | {expected} |")
    return [*lines, ""]


def _two_of_three(count: int, of: int) -> float:
    """Return how likely two of three different peers, drawn evenly, are among `count` certain ones."""
    return (comb(count, 2) * (of - count) + comb(count, 3)) / comb(of, 3)


def _drawn(found: Sequence[Figures]) -> list[str]:
    lines = [
        *("## Everything at once", ""),
        *_paragraph(
            "Scenarios that each seed draws, every fault among them, from peace to a mesh that is hardly there. How",
            "soon a task that was left is started again says also how long all others were busy or gone.",
        ),
        "| seed | peers | virtual | failures | events | rendered twice | bytes/s and peer | left tasks: p50, p95 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in _of(found, "drawn"):
        rate = each.sent_bytes * 1000 // max(1, each.virtual_ms * each.peers)
        left = ", ".join(f"{percentile(each.reclaims_ms, part):,} ms" for part in (50, 95))
        lines.append(
            f"| {each.seed} | {each.peers} | {each.virtual_ms // 1000} s | {each.failures} | {each.events:,} "
            f"| {_percent(each.twice_ms, each.rendered_ms)} | {rate:,} | {left if each.reclaims_ms else 'none'} |"
        )
    bad = [str(figures.seed) for figures in found if not figures.good]
    return [*lines, "", f"Runs that broke a rule: {', '.join(bad) or 'none'}.", ""]
