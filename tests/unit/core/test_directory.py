"""The directory: who has a channel is listed once, in the order of ids, whatever was said before."""

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.directory import Directory, Known
from mesh.ground.ids import PeerId
from mesh.ground.limits import SETTLE_SAMPLES

PEERS = [PeerId(blake3(b"peer %d" % number).digest()) for number in range(6)]


@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from(PEERS)), max_size=40))
def test_the_list_of_channels_says_what_each_peer_does(steps: list[tuple[bool, PeerId]]) -> None:
    directory = Directory(PeerId(bytes(32)))
    directory.peers = {peer: Known() for peer in PEERS}
    there: set[PeerId] = set()
    for opens, peer in steps:
        (directory.connect if opens else directory.disconnect)(peer)
        (there.add if opens else there.discard)(peer)
    assert directory.all_connected() == sorted(there)
    assert {peer for peer in PEERS if directory.connected(peer)} == there


@given(usual=st.lists(st.integers(1, 200), min_size=3, max_size=5), late_ms=st.integers(0, 60_000))
def test_no_single_peer_sets_what_a_round_trip_usually_takes(usual: list[int], late_ms: int) -> None:
    directory = Directory(PeerId(bytes(32)))
    for number, trip_ms in enumerate([*usual, late_ms]):
        directory.peers[PEERS[number]] = Known(round_trips_ms=[trip_ms] * SETTLE_SAMPLES)
        directory.connect(PEERS[number])
    measured = directory.usual_round_trip_ms()
    assert measured is not None
    assert min(usual) <= measured <= max(usual)


def test_before_enough_round_trips_were_measured_none_is_usual() -> None:
    directory = Directory(PeerId(bytes(32)))
    assert directory.usual_round_trip_ms() is None
    directory.peers = {peer: Known(round_trips_ms=[7] * (SETTLE_SAMPLES // 2)) for peer in PEERS}
    directory.connect(PEERS[0])
    assert directory.usual_round_trip_ms() is None
    directory.connect(PEERS[1])
    assert directory.usual_round_trip_ms() == 7
