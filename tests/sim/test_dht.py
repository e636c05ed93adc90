"""The DHT at the size of a small mesh: peers are found, before and after many vanish, and idleness costs little."""

from __future__ import annotations

import pytest

from mesh.ground.instants import MINUTE_MS
from sim.dht import Crowd, measure

PEERS = 60


def test_look_ups_find_whom_they_look_for_before_and_after_a_third_is_gone() -> None:
    found = measure(PEERS, 3, idle_ms=2 * MINUTE_MS, reads=200)
    assert found.quiet.success >= 99.9
    assert found.after.success >= 99
    assert found.quiet.percentile(50) < 1_500
    assert found.after.percentile(50) < 1_500
    assert found.idle < 500, "bytes a second and peer: the whole of an idle peer may take 3,000 among 100"
    assert found.vanished < 500
    assert found.joined < 1_500
    assert found.table >= 15


def test_one_seed_gives_one_table() -> None:
    one, other = (measure(12, 5, idle_ms=MINUTE_MS, reads=20).lines() for _ in range(2))
    assert one == other


@pytest.mark.parametrize("kept", [0, 1])
def test_pointers_lie_on_the_nodes_nearest_to_their_key(kept: int) -> None:
    crowd = Crowd(40, 11 + kept)
    for node in crowd.nodes:
        node.start()
    crowd.run_to(3 * MINUTE_MS)
    for node in crowd.nodes:
        at = int.from_bytes(node.id[:20], "big")
        others = [other for other in crowd.nodes if other is not node]
        nearest = sorted(others, key=lambda other: int.from_bytes(other.id[:20], "big") ^ at)[:8]
        holding = [other for other in nearest if other.dht.shelf.get(node.id[:20])]
        assert len(holding) >= 6
