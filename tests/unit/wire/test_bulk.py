"""Questions and answers about pieces: they survive the wire, and only in their order do they make pieces."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId
from mesh.wire.bulk import (
    ASK_MAX_PIECES,
    MANIFEST,
    PART_MAX_BYTES,
    Answer,
    AskManifest,
    AskPieces,
    Collector,
    ManifestSent,
    NotHere,
    Part,
    Question,
    decode_answer,
    decode_question,
    encode,
    parts,
)
from mesh.wire.manifest import PIECE_MAX_BYTES

blobs = st.binary(min_size=32, max_size=32).map(BlobId)
numbers = st.integers(0, 2**32 - 1)
questions = st.one_of(
    st.builds(AskManifest, blob=blobs),
    st.builds(AskPieces, blob=blobs, numbers=st.lists(numbers, min_size=1, max_size=ASK_MAX_PIECES).map(tuple)),
)
answers = st.one_of(
    st.builds(ManifestSent, data=st.binary(min_size=1, max_size=500)),
    st.builds(
        Part, number=numbers, offset=st.integers(0, PIECE_MAX_BYTES - 1), data=st.binary(min_size=1, max_size=500)
    ),
    st.builds(NotHere, number=numbers),
)


@given(question=questions)
def test_questions_survive_the_wire(question: Question) -> None:
    assert decode_question(encode(question)) == question
    with pytest.raises(WireError):
        decode_answer(encode(question))


@given(answer=answers)
def test_answers_survive_the_wire(answer: Answer) -> None:
    assert decode_answer(encode(answer)) == answer
    with pytest.raises(WireError):
        decode_question(encode(answer))


@given(packet=st.binary(max_size=2_000), first=st.integers(0, 8))
def test_any_packet_gives_a_message_or_a_wire_error(packet: bytes, first: int) -> None:
    for data in (packet, bytes([first]) + packet):
        with suppress(WireError):
            assert encode(decode_question(data)) == data
        with suppress(WireError):
            assert encode(decode_answer(data)) == data


def test_packets_beyond_the_bounds_are_refused() -> None:
    ask = encode(AskPieces(blob=BlobId(bytes(32)), numbers=(1,) * ASK_MAX_PIECES))
    for packet in (ask + bytes(4), ask[:-1], ask[:33], ask[:32], encode(AskManifest(blob=BlobId(bytes(32)))) + b"!"):
        with pytest.raises(WireError):
            decode_question(packet)
    part = encode(Part(number=1, offset=0, data=bytes(PART_MAX_BYTES)))
    for packet in (part + b"!", part[:9], b"", encode(NotHere(number=3)) + b"!"):
        with pytest.raises(WireError):
            decode_answer(packet)


@given(sizes=st.lists(st.integers(1, 3 * PART_MAX_BYTES), min_size=1, max_size=4), absent=st.sets(st.integers(0, 3)))
def test_parts_become_pieces_in_the_order_of_asking(sizes: list[int], absent: set[int]) -> None:
    pieces = {number: bytes([number + 1]) * size for number, size in enumerate(sizes)}
    collector = Collector()
    for number, size in enumerate(sizes):
        collector.expect(number, size)
    assert collector.awaited_bytes == sum(sizes)
    got: dict[int, bytes | None] = {}
    for number, piece in pieces.items():
        here: list[Answer] = [NotHere(number=number)] if number in absent else list(parts(number, piece))
        *most, last = here
        for answer in most:
            assert collector.take(answer) is None
        completed = collector.take(last)
        assert completed is not None
        got[completed[0]] = completed[1]
    assert got == {number: None if number in absent else piece for number, piece in pieces.items()}
    assert collector.idle
    assert collector.awaited_bytes == 0


@pytest.mark.parametrize(
    "answer",
    [
        Part(number=1, offset=0, data=b"x"),
        Part(number=0, offset=1, data=b"x"),
        Part(number=0, offset=0, data=b"x" * 11),
        NotHere(number=1),
        NotHere(number=MANIFEST),
        ManifestSent(data=b"x"),
    ],
    ids=["another piece", "a gap", "too long", "another absent", "no manifest", "a manifest"],
)
def test_answers_out_of_order_are_refused(answer: Answer) -> None:
    collector = Collector()
    collector.expect(0, 10)
    with pytest.raises(WireError):
        collector.take(answer)


def test_a_piece_once_begun_is_not_declared_missing_nor_begun_again() -> None:
    for answer in (NotHere(number=0), Part(number=0, offset=0, data=b"x")):
        collector = Collector()
        collector.expect(0, 10)
        assert collector.take(Part(number=0, offset=0, data=b"x")) is None
        with pytest.raises(WireError):
            collector.take(answer)


def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(WireError):
        Collector().take(NotHere(number=0))


def test_manifests_come_whole_or_not_at_all() -> None:
    collector = Collector()
    for answer, data in ((ManifestSent(data=b"m"), b"m"), (NotHere(number=MANIFEST), None)):
        collector.expect(MANIFEST, 0)
        assert collector.take(answer) == (MANIFEST, data)
