"""The record layer: what was sealed comes out, once and in order, however the bytes are cut; nothing else does."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import cipher
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES, HEAD_SIZE, Opener, Sealer
from mesh.wire.noise import TAG_SIZE

KEY = bytes(range(32))
LIMIT = 1000

packets_of_any_kind = st.lists(st.binary(max_size=200), max_size=12)


def ends() -> tuple[Sealer, Opener]:
    return Sealer(KEY, LIMIT), Opener(KEY, LIMIT)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(packets=packets_of_any_kind, cuts=st.lists(st.integers(0, 10_000), max_size=30))
def test_packets_come_out_however_the_bytes_are_cut(packets: list[bytes], cuts: list[int]) -> None:
    sealer, opener = ends()
    data = b"".join(sealer.seal(packet) for packet in packets) + sealer.close()
    opened = [packet for portion in cut(data, cuts) for packet in opener.feed(portion)]
    assert opened == packets
    assert opener.closed


@given(packets=packets_of_any_kind)
def test_byte_by_byte_no_packet_comes_early_or_late(packets: list[bytes]) -> None:
    sealer, opener = ends()
    for packet in packets:
        *most, last = sealer.seal(packet)
        for byte in most:
            assert opener.feed(bytes([byte])) == []
            assert opener.wanted >= 1
        assert opener.wanted == 1
        assert opener.feed(bytes([last])) == [packet]
    assert not opener.closed


@given(packets=st.lists(st.binary(max_size=50), min_size=1, max_size=5), data=st.data())
def test_a_changed_bit_delivers_nothing_from_there_on(packets: list[bytes], data: st.DataObject) -> None:
    sealer, opener = ends()
    sealed = [sealer.seal(packet) for packet in packets] + [sealer.close()]
    hit = data.draw(st.integers(0, len(sealed) - 1), "packet")
    bit = data.draw(st.integers(0, 8 * len(sealed[hit]) - 1), "bit")
    changed = bytearray(sealed[hit])
    changed[bit // 8] ^= 1 << bit % 8
    assert [opener.feed(portion) for portion in sealed[:hit]] == [[packet] for packet in packets[:hit]]
    # A length that grew waits for more; what follows is then taken into the same packet, and refused with it.
    following = b"".join(sealed[hit + 1 :]) + bytes(LIMIT + HEAD_SIZE + TAG_SIZE)
    with pytest.raises(WireError):
        opener.feed(bytes(changed) + following)
    assert not opener.closed
    with pytest.raises(WireError):
        opener.feed(b"")


def test_packets_swapped_repeated_or_left_out_are_refused() -> None:
    sealer, _ = ends()
    first, second = sealer.seal(b"first"), sealer.seal(b"second")
    for stream in (second, first + first, second + first):
        with pytest.raises(WireError):
            Opener(KEY, LIMIT).feed(stream)


def test_a_head_beyond_the_limit_is_refused_before_its_bytes_arrive() -> None:
    for head in (
        b"\x00" + (LIMIT + TAG_SIZE + 1).to_bytes(3, "big"),
        b"\x00" + (TAG_SIZE - 1).to_bytes(3, "big"),
        b"\x01" + (TAG_SIZE + 1).to_bytes(3, "big"),
        b"\x02" + TAG_SIZE.to_bytes(3, "big"),
    ):
        _, opener = ends()
        with pytest.raises(WireError):
            opener.feed(head)


def test_the_largest_packet_passes() -> None:
    sealer, opener = ends()
    assert opener.feed(sealer.seal(bytes(LIMIT))) == [bytes(LIMIT)]


def test_a_close_cannot_be_made_by_who_lacks_the_key_nor_followed_by_anything() -> None:
    sealer, opener = ends()
    with pytest.raises(WireError):
        Opener(KEY, LIMIT).feed(Sealer(bytes(32), LIMIT).close())
    close = sealer.close()
    assert opener.feed(close) == []
    assert opener.closed
    with pytest.raises(WireError):
        opener.feed(b"\0")


def test_a_data_packet_does_not_pass_for_a_close() -> None:
    sealer, opener = ends()
    empty = sealer.seal(b"")
    with pytest.raises(WireError):
        opener.feed(b"\x01" + empty[1:])
    assert not opener.closed


@given(data=st.binary(max_size=3000))
def test_any_bytes_give_a_wire_error_or_wait_within_bounds(data: bytes) -> None:
    _, opener = ends()
    try:
        assert opener.feed(data) == []
    except WireError:
        assert not opener._buffer
    assert len(opener._buffer) <= HEAD_SIZE + LIMIT + TAG_SIZE


@pytest.mark.parametrize("bound", ["packets", "bytes"])
def test_both_ends_rekey_at_the_same_packet(bound: str) -> None:
    sealer, opener = ends()
    key_before = sealer._direction._key
    if bound == "packets":
        for number in range(cipher.REKEY_PACKETS):
            assert sealer._direction._key == key_before
            assert opener.feed(sealer.seal(number.to_bytes(4, "big"))) == [number.to_bytes(4, "big")]
    else:
        # A thousand MiB of packets would only heat the room: both ends begin just below the bound.
        sealer._direction._bytes = opener._direction._bytes = cipher.REKEY_BYTES - 5
        opener.feed(sealer.seal(b"1234"))
        assert sealer._direction._key == key_before
        opener.feed(sealer.seal(b"5"))
    assert sealer._direction._key == opener._direction._key != key_before
    assert opener.feed(sealer.seal(b"after")) == [b"after"]


def test_too_large_a_packet_of_our_own_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Sealer(KEY, CONTROL_PACKET_MAX_BYTES).seal(bytes(CONTROL_PACKET_MAX_BYTES + 1))
