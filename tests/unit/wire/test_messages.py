"""Messages and journal entries: numbers that stay, sizes that fit, and nothing that surprises a resolver or a disk."""

from typing import Any

import pytest

from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId
from mesh.wire import cbor, kept, messages
from mesh.wire.codec import codec_of, from_value, most_bytes, most_items, to_value
from mesh.wire.envelope import MAX_BODY_BYTES
from mesh.wire.kept import KEPT, MAX_KEPT_BYTES
from mesh.wire.manifest import PieceSet
from mesh.wire.messages import MAX_MESSAGE_BYTES, MESSAGES, Address, Have, News, Ping, portions
from mesh.wire.records import Entry, Job
from tests.strategies import HOSTS, largest, sample

# Only ever appended to: a number that once meant something else, as 18 did, is never used again.
NUMBERS = {
    "Hello": 1,
    "Contacts": 2,
    "Available": 3,
    "News": 4,
    "KeepAsk": 5,
    "Follow": 6,
    "Window": 7,
    "ClaimSent": 8,
    "Verdict": 9,
    "Withdraw": 10,
    "Heartbeat": 11,
    "Running": 12,
    "LeasesHeard": 13,
    "LedgerDigest": 14,
    "StreamDigests": 15,
    "StreamIds": 16,
    "Entries": 17,
    "Holds": 19,
    "Seek": 20,
    "Have": 21,
    "Ping": 22,
    "Pong": 23,
    "AdmitAsk": 24,
    "Admitted": 25,
    "Refused": 26,
    "RenewAsk": 27,
    "Revocations": 28,
    "DialMe": 29,
    "DialledBack": 30,
    "Offer": 31,
    "Want": 32,
    "SetDigests": 33,
    "SetKeys": 34,
    "Chains": 35,
    "Parting": 36,
    "Carried": 37,
    "Leading": 38,
    "Grants": 39,
    "HoldAsk": 40,
    "Complaints": 41,
}
KEPT_NUMBERS = {
    "KeptHead": 1,
    "KeptEntries": 2,
    "KeptChain": 3,
    "KeptHold": 4,
    "KeptMark": 5,
    "KeptOrder": 6,
    "KeptDelivery": 7,
    "KeptContact": 8,
    "KeptAdmission": 9,
    "KeptDone": 10,
    "KeptRevocation": 11,
    "KeptRenewal": 12,
    "KeptPause": 13,
    "KeptComplaint": 14,
}


def test_numbers_stay() -> None:
    assert {kind.__name__: kind.NUMBER for kind in MESSAGES} == NUMBERS
    assert {kind.__name__: kind.NUMBER for kind in KEPT} == KEPT_NUMBERS


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_the_largest_message_of_a_kind_fits_a_packet(kind: Any) -> None:
    message = largest(kind)
    data = messages.encode(message)
    assert len(data) <= MAX_MESSAGE_BYTES
    assert messages.decode(data) == message
    # The size that is asserted at import is no guess: it is hit, but for what a job bounds together with its names.
    head = len(cbor.encode([kind.NUMBER, None])) - 1
    assert head + most_bytes(kind) - len(data) == (125 * 4 if kind is News else 0)


@pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
def test_the_largest_entry_of_a_journal_is_read_again(kind: Any) -> None:
    entry = largest(kind)
    data = kept.encode(entry)
    assert len(data) <= MAX_KEPT_BYTES
    assert kept.decode(data) == entry


@pytest.mark.parametrize("kind", [*MESSAGES, *KEPT], ids=lambda kind: kind.__name__)
def test_no_message_is_nested_deeper_than_is_read(kind: Any) -> None:
    assert 1 + codec_of(kind).depth <= cbor.MAX_DEPTH // 2


@pytest.mark.parametrize("body", [Job, Entry])
def test_bodies_are_far_below_their_bound(body: Any) -> None:
    assert most_bytes(body) <= MAX_BODY_BYTES // 2


@pytest.mark.parametrize(
    "value",
    [None, 22, [], [22], [0, []], [28, []], [True, [1]], [22, [1], 0], ["22", [1]], [22, [-1]], [22, 1], [-1, []]],
)
@pytest.mark.parametrize("decode", [messages.decode, kept.decode])
def test_what_has_no_number_is_refused(value: cbor.Value, decode: Any) -> None:
    with pytest.raises(WireError):
        decode(cbor.encode(value))


def test_a_packet_that_is_too_long_is_not_read() -> None:
    with pytest.raises(WireError, match="at most"):
        messages.decode(bytes(MAX_MESSAGE_BYTES + 1))


def test_true_is_no_number_of_a_message() -> None:
    hello = to_value(sample(messages.Hello))
    assert from_value(messages.Hello, hello) == messages.decode(cbor.encode([1, hello]))
    with pytest.raises(WireError):
        messages.decode(cbor.encode([True, hello]))


def test_portions_fit_their_field() -> None:
    heads = tuple(range(3 * most_items(News, "heads") + 1))
    parts = list(portions(News, "heads", heads))
    assert [len(part) for part in parts] == [4, 4, 4, 1]
    assert sum(parts, ()) == heads
    assert list(portions(News, "heads", ())) == []


@pytest.mark.parametrize("host", [*HOSTS, "a", "localhost", "127.0.0.1", "::", "::1", "a.b.", "x" * 63, "_srv.local"])
def test_hosts_that_may_be_dialled(host: str) -> None:
    assert from_value(Address, [host, 1]) == Address(host=host, port=1)


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a..b",
        ".a",
        "a" * 64,
        ".".join(["a" * 50] * 3),
        "a\0b",
        "a\n",
        "\x1b[31m",
        "bücher.example",
        "user@host",
        "host/path",
        "[::1]",
        "::1%",
        "::1%a/b",
        "-h;reboot",
    ],
)
def test_hosts_that_no_resolver_may_be_asked_for(host: str) -> None:
    with pytest.raises(WireError):
        from_value(Address, [host, 1])


def test_an_address_is_shown_with_its_port() -> None:
    assert str(Address(host="::1", port=7)) == "[::1]:7"
    assert str(Address(host="host", port=7)) == "host:7"


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 1000])
def test_which_pieces_are_there_is_what_a_piece_set_says(count: int) -> None:
    for pieces in (PieceSet(count=count), PieceSet.full(count)):
        have = Have(blob=BlobId(bytes(32)), pieces=count, bits=pieces.encode())
        assert PieceSet.decode(have.pieces, have.bits) == pieces


@pytest.mark.parametrize(
    ("pieces", "bits"), [(0, b"\0"), (1, b""), (8, b"\0\0"), (9, b"\xff"), (7, b"\x80"), (9, b"\xff\x02"), (1, b"\2")]
)
def test_bits_that_are_no_piece_are_refused(pieces: int, bits: bytes) -> None:
    with pytest.raises(WireError):
        from_value(Have, [bytes(32), pieces, bits])


def test_a_ping_is_small() -> None:
    assert messages.encode(Ping(number=1)) == bytes.fromhex("82168101")
