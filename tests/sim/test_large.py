"""What thousands of peers cost is measured of runs that are what they say, small ones here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.ground.errors import UsageError
from mesh.ground.instants import MINUTE_MS
from mesh.wire.messages import ClaimSent, Heartbeat
from sim.__main__ import main
from sim.crowd import Crowd
from sim.large import JOBS, Large, measure_full, measure_lean, plan
from sim.large_report import ASKED, as_json, missed, table
from sim.parcels import AsBytes, CountedBytes, SampledBytes
from sim.speed import busy
from sim.world import World
from tests.support.cast import Cast

pytestmark = pytest.mark.interpreted

PEERS = 12
COPIES = 5


class Noted(Crowd):
    """A crowd that keeps the names of what is planned."""

    def __init__(self, peers: int, seed: int) -> None:
        super().__init__(peers, seed)
        self.noted: list[str] = []

    def at(self, time_ms: int, action: Callable[..., None], *arguments: object) -> None:
        self.noted.append(action.__name__)
        super().at(time_ms, action, *arguments)


def unheard(_what: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def lean() -> Large:
    return measure_lean(PEERS, 1, 1, unheard)


def test_a_lean_mesh_claims_and_loses_peers() -> None:
    crowd = Crowd(PEERS, 1, slots=1)
    plan(crowd, MINUTE_MS)
    crowd.run_to(MINUTE_MS)
    assert len(crowd.jobs) == min(JOBS, PEERS)
    assert {ClaimSent, Heartbeat} <= crowd.kinds.keys()
    assert len(crowd.up()) == PEERS
    claimed = [len(node.peer.claims.mine) for node in crowd.up()]
    assert min(claimed) >= 1, "everybody has a frame in hand"


def test_of_an_hour_thirty_in_a_hundred_lose_power() -> None:
    crowd = Noted(100, 1)
    plan(crowd, 60 * MINUTE_MS)
    assert crowd.noted.count("start") == 100 + 29
    assert crowd.noted.count("vanish") == 29, "of the time after all have joined"


def test_what_a_run_costs_is_that_of_the_run(lean: Large) -> None:
    again = measure_lean(PEERS, 1, 1, unheard)
    spent = {"processor_s": 0.0, "peak_kb": 0}
    assert dataclasses.replace(again, **spent) == dataclasses.replace(lean, **spent)
    assert again.events > 5_000
    assert 0 < again.processor_s < 600
    assert again.sent_bytes > 100


def test_the_full_protocol_is_the_run_of_speed() -> None:
    full = measure_full(PEERS, 1, 1, unheard)
    world = World(busy(PEERS, 1), 1, wire="bytes")
    counted = world.parcels = CountedBytes()
    world.run()
    minutes = full.virtual_ms // MINUTE_MS
    assert (full.events - minutes, full.virtual_ms) == (world.events, world.now_ms), "each minute is told"
    assert full.sent_bytes == pytest.approx(counted.bytes * 1_000 / world.now_ms / PEERS, rel=0.2)
    frames = busy(PEERS, 1).frames
    assert COPIES * frames <= PEERS * full.records, "whoever keeps the job has a record of each frame"


def test_one_in_some_is_encoded_for_its_length() -> None:
    cast, sampled, whole = Cast(), SampledBytes(), AsBytes()
    sent = ClaimSent(claims=(cast.claim(cast.actor("ann"), cast.head(cast.founder()), 1),))
    packets = [whole.pack(sent) for _ in range(640)]
    for _ in packets:
        assert sampled.pack(sent) is sent
    assert sampled.bytes == sum(len(packet) for packet in packets if isinstance(packet, bytes))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--peers", "1"], "--peers from 2"),
        (["--minutes", "0"], "--minutes from 1"),
        (["--peers", "5000"], "--lean takes more"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(words: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        main(["large", *words])


def test_a_command_writes_its_figures_and_says_what_was_missed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    assert main(["large", "--lean", "--peers", "4", "--minutes", "1", "--json", str(file)]) == 1
    assert "MISSED  10,000 peers for 10 minutes are asked" in capsys.readouterr().out
    assert json.loads(file.read_text("utf-8"))["peers"] == 4


def test_a_figure_that_is_missed_is_named(lean: Large) -> None:
    asked = ASKED[True]
    good = dataclasses.replace(
        lean, peers=asked.peers, virtual_ms=asked.minutes * MINUTE_MS, processor_s=1.0, peak_kb=7_000_000
    )
    assert not list(missed(good))
    (few,) = missed(dataclasses.replace(good, peers=asked.peers - 1))
    assert "10,000 peers for 10 minutes" in few
    (slow,) = missed(dataclasses.replace(good, processor_s=2_700.0))
    assert "2,700 s" in slow
    (large,) = missed(dataclasses.replace(good, peak_kb=8_000_000))
    assert "8.19 GB" in large
    assert any("8 GB" in line for line in table(good))
    assert json.loads(json.dumps(as_json(good)))["events_per_s"] == lean.events
