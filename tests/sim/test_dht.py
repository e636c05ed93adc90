"""The DHT alone: pointers lie where they are looked for, whoever surrounds them."""

from __future__ import annotations

import pytest

from mesh.ground.dht_limits import DHT_BUCKET, DHT_SAME_INVITE
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from sim.dht import Crowd, Node, Reads
from sim.eclipse import Eclipser, ground

PEERS = 60


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


IDENTITIES = 20
GROUND_BITS = 10
"""Nearer to the victim than any of sixty honest peers."""


def read_all(crowd: Crowd, pairs: list[tuple[Node, Node]]) -> float:
    """Let the first of each pair look the second up; return the per cent that was found."""
    crowd.reads = Reads()
    for asker, wanted in pairs:
        crowd.reads.asked += 1
        asker.ask(wanted.id)
        crowd.run_to(crowd.now_ms + SECOND_MS)
    crowd.run_to(crowd.now_ms + MINUTE_MS)
    return crowd.reads.success


def test_twenty_identities_of_one_invite_around_a_victim_blind_neither_it_nor_others() -> None:
    crowd = Crowd(PEERS, 1)
    honest = list(crowd.nodes)
    victim, others = honest[7], [*honest[:7], *honest[8:]]
    for signer in ground(crowd, victim.id, IDENTITIES, GROUND_BITS):
        crowd.admit(signer, invite=9_999, kind=Eclipser)
    for node in crowd.nodes:
        node.start()
        crowd.run_to(crowd.now_ms + SECOND_MS // 2)
    crowd.run_to(crowd.now_ms + 12 * MINUTE_MS)
    mean = {node.id for node in crowd.nodes if isinstance(node, Eclipser)}
    for node in honest:
        for bucket in node.dht.table.buckets():
            assert len(bucket) <= DHT_BUCKET
            assert sum(neighbour.peer in mean for neighbour in bucket) <= DHT_SAME_INVITE
    assert read_all(crowd, [(other, victim) for other in others]) >= 95
    assert read_all(crowd, [(victim, other) for other in others]) >= 95
    assert read_all(crowd, [(one, others[(7 * at + 3) % len(others)]) for at, one in enumerate(others)]) >= 90
