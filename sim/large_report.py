"""What is asked of a mesh of thousands, and how what it costs is shown: a table, JSON.

The module must not know how anything was measured.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mesh.ground.instants import MINUTE_MS, SECOND_MS
from sim.large import Large

_MINUTE_S: Final = MINUTE_MS // SECOND_MS
_GB_KB: Final = 10**9 // 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of so many virtual minutes of so many peers."""

    peers: int
    minutes: int
    processor_s: int
    """Less than."""
    peak_kb: int | None
    """At most."""


ASKED: Final = {
    False: Asked(peers=1_000, minutes=60, processor_s=30 * _MINUTE_S, peak_kb=None),
    True: Asked(peers=10_000, minutes=10, processor_s=45 * _MINUTE_S, peak_kb=8 * _GB_KB),
}
"""Of the full protocol, and of a lean mesh."""


def table(measured: Large) -> list[str]:
    """Return the figures as a table in Markdown."""
    asked = ASKED[measured.lean]
    what = "members, gossip, DHT and claims" if measured.lean else "the full protocol"
    bytes_said = "with headers and handshakes" if measured.lean else "of messages and datagrams alone"
    each_kb = measured.peak_kb / measured.peers
    most = "" if asked.peak_kb is None else f"{asked.peak_kb // _GB_KB} GB"
    rows = [
        ("processor time", f"{measured.processor_s:,.0f} s", f"{asked.peers:,} peers: under {asked.processor_s:,} s"),
        ("events", f"{measured.events:,}", ""),
        ("events/s", f"{measured.events / measured.processor_s:,.0f}", ""),
        ("memory at most", f"{measured.peak_kb / _GB_KB:.2f} GB", most),
        ("memory, each peer", f"{each_kb:,.0f} KiB", ""),
        (f"sent by each peer, {bytes_said}", f"{measured.sent_bytes:,.0f} B/s", ""),
        ("records, each peer", f"{measured.records:,.0f}", ""),
    ]
    span = f"{measured.peers:,} peers, {measured.virtual_ms / MINUTE_MS:.0f} minutes, seed {measured.seed}, {what}"
    return [f"| {span} | | asked |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def missed(measured: Large) -> Iterator[str]:
    """Yield what misses its figure; smaller and shorter runs than those that are asked for prove nothing."""
    asked = ASKED[measured.lean]
    if measured.peers < asked.peers or measured.virtual_ms < asked.minutes * MINUTE_MS:
        yield f"{asked.peers:,} peers for {asked.minutes} minutes are asked"
    if measured.processor_s >= asked.processor_s:
        yield f"{measured.processor_s:,.0f} s, under {asked.processor_s:,} s are asked"
    if asked.peak_kb is not None and measured.peak_kb > asked.peak_kb:
        yield f"{measured.peak_kb / _GB_KB:.2f} GB, at most {asked.peak_kb // _GB_KB} are asked"


def as_json(measured: Large) -> dict[str, object]:
    """Return all figures as JSON holds them."""
    return {**dataclasses.asdict(measured), "events_per_s": measured.events / measured.processor_s}
