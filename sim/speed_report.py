"""What is asked of the core's speed, and how it is shown: a table, what each kind of turn cost, JSON.

The module must not know how anything was measured.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mesh.ground.instants import SECOND_MS
from sim.parcels import Wire
from sim.speed import Speed

_KINDS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of one way of travelling."""

    events_per_s: int
    """At least."""
    hour_s: int
    """At most."""


ASKED: dict[Wire, Asked] = {
    "reference": Asked(events_per_s=50_000, hour_s=90),
    "bytes": Asked(events_per_s=20_000, hour_s=240),
}


def table(measured: Sequence[Speed]) -> list[str]:
    """Return the figures as a table in Markdown."""
    lines = ["| messages | events | events/s | asked | a virtual hour | asked |", "|---|---|---|---|---|---|"]
    for speed in measured:
        asked = ASKED[speed.wire]
        lines.append(
            f"| {speed.wire} | {speed.events:,} in {speed.virtual_ms // SECOND_MS:,} s | {speed.events_per_s:,.0f} "
            f"| at least {asked.events_per_s:,} | {speed.hour_s:,.0f} s | under {asked.hour_s} s |"
        )
    return lines


def kinds(speed: Speed) -> list[str]:
    """Return what the core's turns cost, by the event that began them; what is left is the simulator's own."""
    core_s = sum(kind.processor_s for kind in speed.kinds)
    lines = [f"| {speed.wire}: turns that begin with | turns | each | of all |", "|---|---|---|---|"]
    for kind in speed.kinds[:_KINDS]:
        each_us = kind.processor_s * 1_000_000 / kind.turns
        lines.append(f"| {kind.name} | {kind.turns:,} | {each_us:.0f} us | {_part(kind.processor_s, speed)} |")
    lines.append(
        f"| all turns | {speed.turns:,} | {core_s * 1_000_000 / speed.turns:.0f} us | {_part(core_s, speed)} |"
    )
    return lines


def missed(measured: Sequence[Speed]) -> Iterator[str]:
    """Yield what misses its figure."""
    for speed in measured:
        asked = ASKED[speed.wire]
        if speed.events_per_s < asked.events_per_s:
            yield f"{speed.wire}: {speed.events_per_s:,.0f} events/s, at least {asked.events_per_s:,} are asked"
        if speed.hour_s > asked.hour_s:
            yield f"{speed.wire}: {speed.hour_s:,.0f} s for a virtual hour, under {asked.hour_s} s are asked"


def as_json(measured: Sequence[Speed]) -> list[dict[str, object]]:
    """Return all figures as JSON holds them."""
    return [
        {**dataclasses.asdict(speed), "events_per_s": speed.events_per_s, "hour_s": speed.hour_s} for speed in measured
    ]


def _part(spent_s: float, speed: Speed) -> str:
    return f"{100 * spent_s / speed.processor_s:.1f} %"
