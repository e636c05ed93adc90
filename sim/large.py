"""What a mesh of thousands costs the machine that simulates it, and each of its peers: time, memory, bytes, records.

Theory: with the full protocol a thousand peers run as the hundred of `speed` do, checkers and all, by reference; one
message in some dozens is encoded for its length. Ten thousand run as the lean nodes of `crowd`: members, gossip,
DHT, jobs and claims are the core's own, while no frame ever ends, so that there is nothing to store. They join over the
first part of the time, and 30 % of them lose power within an hour, evenly, each to come back as a new member does.

Invariants: what is measured is one run of one process. The module must not know what is asked of it.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.core.ledger import Ledger
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from sim.crowd import Crowd
from sim.parcels import SampledBytes
from sim.run import uncollected
from sim.speed import busy
from sim.world import World

JOINS_PER_SECOND: Final = 100
JOBS: Final = 16
"""Of a lean mesh, each submitted by another peer once all have joined."""

_GONE_PERCENT = 30
"""Of the peers of a lean mesh, in an hour."""

_SAY_EACH_MS = MINUTE_MS
_PART = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Large:
    """What one run took, and what it cost each peer on the average."""

    lean: bool
    peers: int
    seed: int
    virtual_ms: int
    events: int
    processor_s: float
    peak_kb: int
    """Of the process, all in it."""
    sent_bytes: float
    """A second and peer; lean: headers, handshakes and acknowledgements counted, too."""
    records: float
    """In a peer's ledgers, at the end."""


def measure_full(peers: int, minutes: int, seed: int, say: Callable[[str], None]) -> Large:
    """Run the whole protocol for so many minutes. Raises `Violation` where a rule is broken."""
    scenario = busy(peers, minutes)
    began_s = time.process_time()
    world = World(scenario, seed)
    sampled = world.parcels = SampledBytes()

    def tell() -> None:
        say(f"{world.now_ms // MINUTE_MS} minutes, {world.events:,} events, {peak_kb() // 1024:,} MiB")
        world.after(_SAY_EACH_MS, tell)

    world.after(_SAY_EACH_MS, tell)
    with uncollected():
        world.run()
    ledgers = [host.core.ledger for host in world.hosts if host.running]
    return Large(
        lean=False,
        peers=peers,
        seed=seed,
        virtual_ms=world.now_ms,
        events=world.events,
        processor_s=time.process_time() - began_s,
        peak_kb=peak_kb(),
        sent_bytes=sampled.bytes * SECOND_MS / world.now_ms / peers,
        records=_mean_records(ledgers),
    )


def measure_lean(peers: int, minutes: int, seed: int, say: Callable[[str], None]) -> Large:
    """Run members, gossip, DHT and claims alone for so many minutes, joining included."""
    began_s = time.process_time()
    with uncollected():
        crowd = Crowd(peers, seed, slots=1)
        plan(crowd, minutes * MINUTE_MS)
        for minute in range(1, minutes + 1):
            crowd.run_to(minute * MINUTE_MS)
            say(f"{minute} minutes, {crowd.events:,} events, {peak_kb() // 1024:,} MiB")
    return Large(
        lean=True,
        peers=peers,
        seed=seed,
        virtual_ms=crowd.now_ms,
        events=crowd.events,
        processor_s=time.process_time() - began_s,
        peak_kb=peak_kb(),
        sent_bytes=sum(node.sent for node in crowd.nodes) * SECOND_MS / crowd.now_ms / peers,
        records=_mean_records([node.peer.ledger for node in crowd.up()]),
    )


def plan(crowd: Crowd, until_ms: int) -> None:
    """Let all join, some submit, and from then on some lose power, each to come back a minute later."""
    joined_ms = SECOND_MS * len(crowd.nodes) // JOINS_PER_SECOND
    for number, node in enumerate(crowd.nodes):
        crowd.at(joined_ms * number // len(crowd.nodes), crowd.start, node)
    drawn = sorted(crowd.nodes, key=lambda _: crowd.draws.below(_PART))
    for number, node in enumerate(drawn[:JOBS]):
        crowd.at(joined_ms + SECOND_MS * (number + 1), crowd.submit, node)
    gone = len(drawn) * _GONE_PERCENT * (until_ms - joined_ms) // (100 * HOUR_MS)
    for number, node in enumerate(drawn[JOBS : JOBS + gone]):
        at_ms = joined_ms + (until_ms - joined_ms) * (number + 1) // (gone + 1)
        crowd.at(at_ms, node.vanish)
        crowd.at(at_ms + MINUTE_MS, crowd.start, node)


def peak_kb() -> int:
    """Return how much memory this process took at most, in KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def _mean_records(ledgers: list[Ledger]) -> float:
    return sum(len(job.entries) for ledger in ledgers for job in ledger.jobs.values()) / len(ledgers)
