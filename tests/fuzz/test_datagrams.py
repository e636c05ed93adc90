"""Datagrams of noise: every decoder gives a value or a `WireError`, and noise earns no byte and leaves no trace."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import datagram
from mesh.wire.datagram import DATAGRAM_MAX_BYTES, Collector, Kind, Part, Sealed
from tests.support.ether import Ether, Station
from tests.support.meshes import TestMesh

kinds = st.sampled_from(list(Kind)).map(lambda kind: bytes([kind]))
noise = st.binary(max_size=DATAGRAM_MAX_BYTES + 100)
datagrams = st.one_of(noise, st.tuples(kinds, noise).map(b"".join))

MESH = TestMesh()
ANN, BOB = MESH.member(), MESH.member()


def talking() -> tuple[Ether, Station, Station, list[bytes]]:
    """Return two peers in the middle of it all, and every datagram that they exchanged."""
    ether = Ether()
    ann, bob = ether.station(ANN), ether.station(BOB)
    ether.say(ann, bob, b"ping")
    ether.settle()
    return ether, ann, bob, [flying.data for flying in ether.flown]


@given(data=datagrams)
def test_any_bytes_are_a_datagram_or_refused(data: bytes) -> None:
    try:
        found = datagram.decode(data)
    except WireError:
        return
    assert len(data) <= DATAGRAM_MAX_BYTES
    if isinstance(found, Sealed):
        assert found.counter < 2**64


@given(
    parts=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.binary(min_size=1, max_size=1_213)), max_size=20)
)
def test_a_collector_takes_any_parts(parts: list[tuple[int, int, bytes]]) -> None:
    collector = Collector()
    for number, count, body in parts:
        if number < count:
            try:
                message = collector.take(
                    Part(kind=Kind.THIRD, number=number, count=count, to=bytes(8), sender=bytes(8), body=body)
                )
            except WireError:
                continue
            assert message is None or body in message
            assert all(0 <= missing < count for missing in collector.missing())


@given(data=datagrams)
def test_noise_earns_no_byte_and_leaves_no_trace(data: bytes) -> None:
    ether, ann, bob, _ = talking()
    for station in (ann, bob):
        reaction = station.pairs.hear(ether.now, ether.stations[ann.address].address, data)
        assert reaction.send == ()
        assert reaction.heard is None
        assert (station.pairs.pairs, station.pairs.half_open, station.pairs.calls) == (1, 0, 0)
    ether.say(bob, ann, b"still here")
    ether.settle()
    assert ann.payloads == [b"still here"]


@given(kind=kinds, head=st.binary(max_size=2), noise=noise)
def test_noise_that_has_the_right_index_leaves_a_call_and_a_pair_as_they_were(
    kind: bytes, head: bytes, noise: bytes
) -> None:
    """Whoever watches knows the indexes."""
    ether, ann, bob, said = talking()
    calling = ether.station(MESH.member())
    (first,) = calling.pairs.send(ether.now, bob.id, (bob.address,), b"ping")
    for station, index in ((calling, first.data[18:26]), (ann, said[0][18:26]), (bob, said[1][11:19])):
        reaction = station.pairs.hear(ether.now, bob.address, (kind + head + index + noise)[:DATAGRAM_MAX_BYTES])
        assert reaction.heard is None
        assert all(out.data[0] == Kind.FIRST for out in reaction.send)
    ether.post(calling.address, [first])
    ether.settle()
    ether.say(ann, bob, b"still here")
    ether.settle()
    assert bob.payloads == [b"ping", b"ping", b"still here"]


@given(
    which=st.integers(0, 4), at=st.integers(0, DATAGRAM_MAX_BYTES), put=st.binary(max_size=40), cut=st.integers(0, 40)
)
def test_a_spoilt_datagram_of_a_conversation_earns_no_more_than_it_has(
    which: int, at: int, put: bytes, cut: int
) -> None:
    ether, ann, bob, said = talking()
    spoilt = bytearray(said[which])
    spoilt[at : at + len(put)] = put
    data = bytes(spoilt[: len(spoilt) - cut])
    for station, source in ((ann, bob.address), (bob, ann.address)):
        reaction = station.pairs.hear(ether.now, source, data)
        assert sum(len(out.data) for out in reaction.send) <= len(data)
        assert reaction.heard is None
        assert station.pairs.pairs == 1
