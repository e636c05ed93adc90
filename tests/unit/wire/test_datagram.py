"""What a datagram looks like: read and written alike, cut up and put together, opened once."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import datagram
from mesh.wire.datagram import (
    COOKIE_SIZE,
    DATAGRAM_MAX_BYTES,
    INDEX_SIZE,
    PAYLOAD_MAX_BYTES,
    WINDOW,
    Collector,
    CookieSent,
    DatagramOpener,
    DatagramSealer,
    First,
    Kind,
    Part,
    ReplayWindow,
    Sealed,
    open_cookie,
    parted,
    seal_cookie,
)
from mesh.wire.handshake import MESSAGE_MAX_BYTES, PREAMBLE_SIZE
from mesh.wire.lookups import MAX_LOOKUP_BYTES

KEY = bytes(range(32))
ONE, OTHER = bytes([1]) * INDEX_SIZE, bytes([2]) * INDEX_SIZE
FIRST = First(part=3, cookie=bytes([7]) * COOKIE_SIZE, index=ONE, preamble=bytes(PREAMBLE_SIZE), message=b"m" * 48)


def sealed_of(data: bytes) -> Sealed:
    found = datagram.decode(data)
    assert isinstance(found, Sealed)
    return found


def test_a_first_datagram_is_padded_and_read_without_its_padding() -> None:
    data = FIRST.encode(DATAGRAM_MAX_BYTES)
    assert len(data) == DATAGRAM_MAX_BYTES
    assert datagram.decode(data) == FIRST


def test_a_look_up_fits_a_datagram() -> None:
    assert MAX_LOOKUP_BYTES <= PAYLOAD_MAX_BYTES
    assert len(DatagramSealer(KEY, ONE).seal(bytes(PAYLOAD_MAX_BYTES))) == DATAGRAM_MAX_BYTES


def test_a_cookie_is_read_by_members_alone_and_for_its_message_alone() -> None:
    sent = seal_cookie(b"c" * COOKIE_SIZE, FIRST, secret=KEY, nonce=bytes(24))
    assert datagram.decode(sent.encode()) == sent
    assert open_cookie(sent, FIRST.message, secret=KEY) == b"c" * COOKIE_SIZE
    for message, secret in ((b"other" * 10, KEY), (FIRST.message, bytes(32))):
        with pytest.raises(WireError):
            open_cookie(sent, message, secret=secret)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(100),
        b"\x06" + bytes(100),
        FIRST.encode(200)[:80],
        bytes([Kind.FIRST, 4]) + bytes(200),
        bytes([Kind.SECOND, 1, 1]) + bytes(20),
        bytes([Kind.SECOND, 0, 5]) + bytes(20),
        bytes([Kind.SECOND, 0, 0]) + bytes(20),
        bytes([Kind.THIRD, 0, 1]) + bytes(16),
        CookieSent(to=ONE, nonce=bytes(24), sealed=bytes(31)).encode(),
        bytes([Kind.SEALED]) + bytes(31),
        bytes([Kind.SEALED]) + bytes(DATAGRAM_MAX_BYTES),
    ],
    ids=lambda data: f"{data[:3].hex()}-{len(data)}",
)
def test_what_is_no_datagram_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        datagram.decode(data)


@given(message=st.binary(min_size=1, max_size=MESSAGE_MAX_BYTES), order=st.randoms(use_true_random=False))
def test_a_message_is_put_together_from_parts_in_any_order(message: bytes, order: random.Random) -> None:
    parts = list(parted(Kind.SECOND, message, to=ONE, sender=OTHER, size=DATAGRAM_MAX_BYTES))
    assert all(len(part.encode()) <= DATAGRAM_MAX_BYTES for part in parts)
    assert [datagram.decode(part.encode()) for part in parts] == parts
    twice = parts[:-1] * 2
    order.shuffle(twice)
    collector = Collector()
    early = [collector.take(part) for part in twice]
    if len(parts) > 1:
        assert set(early) == {None}
    assert collector.take(parts[-1]) == message


def test_a_collector_asks_for_what_is_missing_and_follows_the_newest_count() -> None:
    parts = parted(Kind.SECOND, bytes(1_000), to=ONE, sender=OTHER, size=400)
    collector = Collector()
    assert collector.missing() == (0,)
    collector.take(parts[1])
    assert collector.missing() == (0, 2)
    whole = Part(kind=Kind.SECOND, number=0, count=1, to=ONE, sender=OTHER, body=b"whole")
    assert collector.take(whole) == b"whole"


def test_a_message_that_is_too_long_is_refused() -> None:
    room = DATAGRAM_MAX_BYTES - 19
    collector = Collector()
    parts = [Part(kind=Kind.THIRD, number=n, count=4, to=ONE, sender=OTHER, body=bytes(room)) for n in range(4)]
    for part in parts[:-1]:
        collector.take(part)
    with pytest.raises(WireError):
        collector.take(parts[-1])


class Model:
    """A replay window as one would say it."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def fresh(self, counter: int) -> bool:
        return counter not in self.seen and counter > max(self.seen, default=-1) - WINDOW


near = st.integers(0, 3 * WINDOW)
steps = st.lists(st.one_of(near, st.integers(2**40, 2**40 + 2 * WINDOW), st.integers(0, 2**64 - 2)), max_size=200)


@given(counters=steps)
def test_the_replay_window_does_as_its_model(counters: list[int]) -> None:
    window, model = ReplayWindow(), Model()
    for counter in counters:
        assert window.fresh(counter) == model.fresh(counter)
        if window.fresh(counter):
            window.mark(counter)
            model.seen.add(counter)
        assert not window.fresh(counter)


def test_the_window_reaches_exactly_so_far_back() -> None:
    window = ReplayWindow()
    window.mark(WINDOW)
    assert window.fresh(1)
    assert not window.fresh(0)
    window.mark(1)
    assert not window.fresh(1)


def test_a_sealed_datagram_is_opened_once_in_any_order() -> None:
    sealer, opener = DatagramSealer(KEY, ONE), DatagramOpener(KEY)
    said = [sealer.seal(bytes([number])) for number in range(5)]
    assert len(set(said)) == 5
    assert [opener.open(sealed_of(said[number])) for number in (2, 0, 4, 1, 3)] == [b"\2", b"\0", b"\4", b"\1", b"\3"]
    for data in said:
        with pytest.raises(WireError):
            opener.open(sealed_of(data))


def test_what_nobody_sealed_does_not_move_the_window() -> None:
    sealer, opener = DatagramSealer(KEY, ONE), DatagramOpener(KEY)
    honest = sealer.seal(b"honest")
    forged = Sealed(to=ONE, counter=2**63, head=b"\5" + ONE + (2**63).to_bytes(8, "big"), ciphertext=bytes(40))
    with pytest.raises(WireError):
        opener.open(forged)
    assert opener.open(sealed_of(honest)) == b"honest"


@given(at=st.integers(1, 32 + 6), bit=st.integers(0, 7))
def test_every_bit_of_a_sealed_datagram_counts(at: int, bit: int) -> None:
    data = bytearray(DatagramSealer(KEY, ONE).seal(b"payload"))
    data[at] ^= 1 << bit
    with pytest.raises(WireError):
        DatagramOpener(KEY).open(sealed_of(bytes(data)))
