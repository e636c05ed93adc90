"""Whatever a network does to datagrams, two peers end with the same keys or with none, and hear each payload once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ground.datagram_limits import CALL_MS, PAIR_DOUBT_MS
from mesh.ground.errors import WireError
from mesh.wire import datagram
from mesh.wire.datagram import CookieSent, First, Part, Sealed
from mesh.wire.halfopen import Places
from mesh.wire.pairs import Most
from tests.support.ether import Ether, Flying, Station, always
from tests.support.meshes import TestMesh

#: What happens to one datagram: how often it arrives, and how far behind the others.
fates = st.lists(st.tuples(st.sampled_from([0, 1, 1, 1, 2]), st.integers(0, 6)), max_size=60)
says = st.lists(st.tuples(st.booleans(), st.integers(0, 2_000)), min_size=1, max_size=12)
sizes = st.sampled_from([350, 600, 1_232])
calms = st.sampled_from([0, 1, 100])


def rows(station: Station) -> dict[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Return a peer's keys, what it sends with and what it receives with, by its own index and the other's."""
    return {
        (pair.index, pair.proven.sealer._to): (pair.proven.sealer._key, pair.proven.opener._key)
        for pair in station.pairs._pairs.values()
    }


class Fates:
    """A network that does to each datagram as it was told."""

    def __init__(self, ether: Ether, told: list[tuple[int, int]]) -> None:
        self._ether = ether
        self._told = list(told)

    def __call__(self, flying: Flying) -> list[Flying]:
        copies, behind = self._told.pop() if self._told else (1, 0)
        for copy in range(copies):
            place = max(0, len(self._ether.flying) - behind - copy)
            self._ether.flying.insert(place, flying)
        return []


@settings(max_examples=150)
@given(told=fates, saying=says, size=sizes, calm=calms)
def test_loss_doubling_and_reordering_lead_to_the_same_keys_or_to_none(
    told: list[tuple[int, int]], saying: list[tuple[bool, int]], size: int, calm: int
) -> None:
    ether, mesh = Ether(), TestMesh()
    most = Most(places=Places(most=100, calm=calm, per_source=50))
    ann, bob = (ether.station(mesh.member().admits(), datagram_bytes=size, most=most) for _ in range(2))
    ether.carry = Fates(ether, told)
    said: dict[bool, list[bytes]] = {True: [], False: []}
    for number, (by_ann, after_ms) in enumerate(saying):
        one, other = (ann, bob) if by_ann else (bob, ann)
        said[by_ann].append(bytes([number]))
        ether.say(one, other, bytes([number]))
        ether.wait(after_ms)
        for station, by in ((bob, True), (ann, False)):
            assert len(station.payloads) == len(set(station.payloads))
            assert set(station.payloads) <= set(said[by])
    ether.wait(CALL_MS)
    ours, theirs = rows(ann), rows(bob)
    for (mine, yours), (send, receive) in ours.items():
        assert theirs.get((yours, mine), (receive, send)) == (receive, send)
    ether.carry = always
    ether.wait(PAIR_DOUBT_MS)
    for one, other in ((ann, bob), (bob, ann)):
        for _ in range(2):  # to keys that the other has forgotten, since it was never answered, one payload is lost
            if b"in the end" not in other.payloads:
                ether.say(one, other, b"in the end")
                ether.wait(CALL_MS)
        assert other.payloads[-1] == b"in the end"
        assert other.payloads.count(b"in the end") == 1


@given(
    data=st.one_of(st.binary(max_size=1_300), st.binary(max_size=1_300).map(lambda data: bytes([len(data) % 6]) + data))
)
def test_whatever_is_decoded_is_written_the_same(data: bytes) -> None:
    try:
        found = datagram.decode(data)
    except WireError:
        return
    match found:
        case First():
            written = found.encode(len(data))
            assert written[: len(written.rstrip(b"\0"))] == data[: len(written.rstrip(b"\0"))]
            assert datagram.decode(written) == found
        case Part() | CookieSent():
            assert found.encode() == data
        case Sealed():
            assert found.head + found.ciphertext == data
