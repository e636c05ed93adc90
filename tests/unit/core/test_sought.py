"""Whom a peer asks for records that many have."""

from __future__ import annotations

from blake3 import blake3

from mesh.core.sought import ANSWER_MS, Sought
from mesh.core.streams import Stream
from mesh.ground.ids import Boot, JobId, PeerId, RecordId
from mesh.ground.instants import Instant
from mesh.ground.limits import SYNC_PERIOD_MS
from mesh.wire.messages import StreamDigest

JOB = JobId(bytes(32))
ANN, BOB, EVE = (PeerId(blake3(name).digest()) for name in (b"ann", b"bob", b"eve"))


def told(digest: bytes = b"one") -> StreamDigest:
    return StreamDigest(author=EVE, boot=Boot(bytes(16)), count=4, digest=blake3(digest).digest())


def ask(sought: Sought, peer: PeerId, at: int, *, here: int = 0, digest: bytes = b"one") -> bool:
    return sought.ask(JOB, told(digest), here, peer, Instant(at))


def test_what_many_have_is_asked_of_one_of_them() -> None:
    sought = Sought()
    assert ask(sought, ANN, 0)
    assert not ask(sought, BOB, 10)
    assert not ask(sought, ANN, 10)


def test_where_nothing_comes_another_is_asked_and_not_the_same_one_again() -> None:
    sought = Sought()
    assert ask(sought, ANN, 0)
    assert not ask(sought, ANN, ANSWER_MS)
    assert ask(sought, BOB, ANSWER_MS)
    assert not ask(sought, ANN, 2 * ANSWER_MS)
    assert ask(sought, ANN, SYNC_PERIOD_MS), "nobody else may have it"


def test_what_differs_from_all_that_was_told_is_asked_for_at_once() -> None:
    sought = Sought()
    assert ask(sought, ANN, 0)
    assert ask(sought, BOB, 10, digest=b"another")


def test_who_sent_a_part_is_asked_for_the_rest_and_nobody_else_is() -> None:
    sought = Sought()
    assert ask(sought, ANN, 0)
    assert not ask(sought, BOB, 100, here=2)
    assert ask(sought, ANN, 200, here=2)
    assert not ask(sought, BOB, ANSWER_MS + 100, here=2)


def test_it_is_said_once_whether_what_was_asked_of_one_alone_came() -> None:
    for came in (3, 4):
        sought, stream = Sought(), Stream(EVE, Boot(bytes(16)))
        streams = {(EVE, stream.boot): stream}
        assert ask(sought, ANN, 0)
        assert not sought.in_vain(JOB, streams, Instant(ANSWER_MS)), "nobody was left out"
        assert not ask(sought, BOB, 10)
        stream.ids.update(dict.fromkeys(RecordId(blake3(bytes([number])).digest()) for number in range(came)))
        assert not sought.in_vain(JOB, streams, Instant(ANSWER_MS))
        assert sought.in_vain(JOB, streams, Instant(ANSWER_MS + 10)) == (came < told().count)
        assert not sought.in_vain(JOB, streams, Instant(3 * ANSWER_MS))
