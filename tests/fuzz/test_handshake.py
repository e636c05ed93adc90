"""Any bytes, whole and byte by byte: a `WireError` or patience, never an answer, never another error."""

from contextlib import suppress

from hypothesis import assume, given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire.handshake import (
    LENGTH_SIZE,
    MESSAGE_MAX_BYTES,
    PREAMBLE_SIZE,
    DatedDoor,
    Preamble,
    Purpose,
    initiate,
    mesh_hint,
    respond,
)
from mesh.wire.signing import Ed25519Verifier
from tests.support.meshes import NOW, TestMesh, seed

MESH = TestMesh()
ANN, BOB = MESH.member(), MESH.member()
DOOR = DatedDoor(lambda: NOW)
VERIFIER = Ed25519Verifier()
GOOD_PREAMBLE = Preamble(lowest=1, highest=1, purpose=Purpose.CONTROL, hint=mesh_hint(MESH.id, MESH.secret)).encode()

starts = st.sampled_from([b"", GOOD_PREAMBLE, GOOD_PREAMBLE[: PREAMBLE_SIZE - 8]])


@given(start=starts, noise=st.binary(max_size=MESSAGE_MAX_BYTES + 100))
def test_a_responder_is_silent_to_noise(start: bytes, noise: bytes) -> None:
    data = start + noise
    for portions in ([data], [bytes([byte]) for byte in data]):
        side = respond(papers=ANN.papers, door=DOOR, verifier=VERIFIER, seed=seed())
        try:
            for portion in portions:
                assert side.feed(portion) == b""
        except WireError:
            pass
        else:
            assert side.wanted <= MESSAGE_MAX_BYTES
        assert side.opened is None


@given(noise=st.binary(max_size=2_000), framed=st.booleans())
def test_an_initiator_takes_noise_for_no_answer(noise: bytes, framed: bool) -> None:
    side = initiate(papers=ANN.papers, purpose=Purpose.CONTROL, door=DOOR, verifier=VERIFIER, seed=seed())
    side.feed(b"")
    with suppress(WireError):
        assert side.feed(len(noise).to_bytes(LENGTH_SIZE, "big") + noise if framed else noise) == b""
    assert side.opened is None


@given(noise=st.binary(min_size=1, max_size=2_000), at=st.integers(0, 1_000), framed=st.booleans())
def test_a_responder_says_no_more_to_noise_after_message_2(noise: bytes, at: int, framed: bool) -> None:
    one = initiate(papers=BOB.papers, purpose=Purpose.CONTROL, door=DOOR, verifier=VERIFIER, seed=seed())
    side = respond(papers=ANN.papers, door=DOOR, verifier=VERIFIER, seed=seed())
    third = one.feed(side.feed(one.feed(b"")))
    start = LENGTH_SIZE + at % (len(third) - LENGTH_SIZE)
    spoilt = bytearray(third)
    spoilt[start : start + len(noise)] = noise
    if framed:
        spoilt[:LENGTH_SIZE] = (len(spoilt) - LENGTH_SIZE).to_bytes(LENGTH_SIZE, "big")
    assume(spoilt != third)
    with suppress(WireError):
        assert side.feed(bytes(spoilt)) == b""
    assert side.opened is None
