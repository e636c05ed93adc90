"""The directory: who has a channel is listed once, in the order of ids, whatever was said before."""

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.directory import Directory, Known
from mesh.ground.ids import PeerId

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
