"""What a crowd's figures are held against, and how they are shown: a table, kinds of traffic, JSON.

The module must not know how anything was measured.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.ground.instants import SECOND_MS
from sim.crowd_measures import Healing, Measured, Reads, Traffic

STORM_MOST = 5
"""Times the idle traffic that a storm may cost."""

FOUND_QUIET_LEAST = 99.9
FOUND_AFTER_LEAST = 99.0
READ_P50_MOST_MS = 1_500
_KINDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is asked of a mesh of up to so many peers."""

    peers: int
    idle: int
    """Bytes a second and peer."""
    heal_ms: int


BOUNDS = (
    Bounds(peers=100, idle=3_000, heal_ms=60 * SECOND_MS),
    Bounds(peers=1_000, idle=10_000, heal_ms=120 * SECOND_MS),
    Bounds(peers=10_000, idle=20_000, heal_ms=300 * SECOND_MS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, what it may be, and whether it is."""

    name: str
    value: str
    allowed: str = ""
    met: bool = True


def bounds_for(peers: int) -> Bounds:
    """Return what is asked of a mesh of so many peers."""
    return next((bounds for bounds in BOUNDS if peers <= bounds.peers), BOUNDS[-1])


def rows(measured: Measured) -> list[Row]:
    """Return every figure of a run."""
    return [
        *_rows_of_idle(measured),
        *_rows_of_reads("in a quiet mesh", measured.quiet, FOUND_QUIET_LEAST),
        *_rows_of_storm("in the minute after 30 % vanished at once", measured.vanished, measured.idle),
        *_rows_of_reads("one minute after 30 % vanished", measured.after, FOUND_AFTER_LEAST),
        *_rows_of_storm("in the minute after as many joined at once", measured.joined, measured.idle),
        *_rows_of_healing(measured.peers, measured.healing),
        Row(name="channels of a peer, mean", value=f"{measured.channels:.0f}"),
        Row(name="peers in a routing table, mean", value=f"{measured.neighbours:.0f}"),
    ]


def table(measured: Measured) -> list[str]:
    """Return the figures of a run in Markdown."""
    lines = [f"| {measured.peers:,} peers, seed {measured.seed} | | asked | |", "|---|---|---|---|"]
    for row in rows(measured):
        met = ("met" if row.met else "**missed**") if row.allowed else ""
        lines.append(f"| {row.name} | {row.value} | {row.allowed} | {met} |")
    return lines


def missed(measured: Measured) -> list[str]:
    """Return the figures that are not what is asked, in sentences."""
    return [f"{row.name}: {row.value}, asked is {row.allowed}" for row in rows(measured) if not row.met]


def kinds(measured: Measured) -> list[str]:
    """Return which traffic dominates, in Markdown: bytes a second and peer of each kind, headers included."""
    parts = (measured.idle, measured.vanished, measured.joined)
    most: dict[str, float] = {}
    for part in parts:
        for kind, (_, size) in part.kinds.items():
            most[kind] = max(most.get(kind, 0.0), size)
    shown = sorted(most, key=lambda kind: (-most[kind], kind))
    lines = ["| bytes a second and peer | idle | after the loss | after the joining |", "|---|---|---|---|"]
    for kind in shown[:_KINDS]:
        sizes = (part.kinds.get(kind, (0.0, 0.0))[1] for part in parts)
        lines.append(f"| {kind} | " + " | ".join(f"{size:,.1f}" for size in sizes) + " |")
    rest = (sum(part.kinds.get(kind, (0.0, 0.0))[1] for kind in shown[_KINDS:]) for part in parts)
    lines.append("| all others | " + " | ".join(f"{size:,.1f}" for size in rest) + " |")
    return lines


def as_json(measured: Measured) -> dict[str, object]:
    """Return all of a run, for a file."""
    return {
        "measured": dataclasses.asdict(measured),
        "rows": [dataclasses.asdict(row) for row in rows(measured)],
        "missed": missed(measured),
    }


def _rows_of_idle(measured: Measured) -> Iterator[Row]:
    idle, most = measured.idle, bounds_for(measured.peers).idle
    yield Row(
        name="idle, bytes a second sent per peer",
        value=f"{idle.sent:,.0f}",
        allowed=f"at most {most:,}",
        met=idle.sent <= most,
    )
    yield Row(
        name="idle, bytes a second received per peer",
        value=f"{idle.received:,.0f}",
        allowed=f"at most {most:,}",
        met=idle.received <= most,
    )


def _rows_of_storm(when: str, storm: Traffic, idle: Traffic) -> Iterator[Row]:
    times = storm.sent / idle.sent if idle.sent else 0.0
    times_old = storm.sent_by_old / idle.sent if idle.sent else 0.0
    yield Row(
        name=f"sent {when}, mean of all",
        value=f"{storm.sent:,.0f} ({times:.1f} x idle)",
        allowed=f"at most {STORM_MOST} x idle",
        met=times <= STORM_MOST,
    )
    if storm.sent_by_old != storm.sent:
        yield Row(
            name=f"sent {when}, mean of those that were there",
            value=f"{storm.sent_by_old:,.0f} ({times_old:.1f} x idle)",
            allowed=f"at most {STORM_MOST} x idle",
            met=times_old <= STORM_MOST,
        )


def _rows_of_reads(when: str, reads: Reads, least: float) -> Iterator[Row]:
    yield Row(
        name=f"look-ups that found, {when}",
        value=f"{reads.success:.2f} % of {reads.asked:,}",
        allowed=f"at least {least} %",
        met=reads.success >= least,
    )
    yield Row(
        name=f"p50, p95 of them, {when}",
        value=f"{reads.percentile(50):,} ms, {reads.percentile(95):,} ms",
        allowed=f"p50 under {READ_P50_MOST_MS:,} ms",
        met=reads.percentile(50) < READ_P50_MOST_MS,
    )


def _rows_of_healing(peers: int, healing: Healing) -> Iterator[Row]:
    most_ms = bounds_for(peers).heal_ms
    yield Row(name="whole peers before the cut", value=f"{healing.whole_before:,} of {peers:,}")
    yield Row(name="99 % of them whole again, after healing", value=_seconds(healing.most_ms))
    lacks = f" ({healing.strangers:,} without a way, {healing.unknown_heads:,} heads unknown)"
    yield Row(
        name="as many as before whole again, after healing",
        value=_seconds(healing.all_ms) + (lacks if healing.all_ms is None else ""),
        allowed=f"at most {most_ms // SECOND_MS} s",
        met=healing.all_ms is not None and healing.all_ms <= most_ms,
    )


def _seconds(span_ms: int | None) -> str:
    return "never" if span_ms is None else f"{span_ms // SECOND_MS} s"
