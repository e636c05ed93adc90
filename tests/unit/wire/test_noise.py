"""The handshake against published vectors, and against whoever changes, cuts or answers for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from mesh.ground.errors import WireError
from mesh.wire.noise import KEY_SIZE, NAME, OVERHEAD, Handshake, KeyPair, nonce_of, rekey

VECTORS = Path(__file__).parents[2] / "vectors" / "noise" / "xxpsk0.txt"
PSK = bytes(range(32))
PROLOGUE = b"prologue"


def published() -> Iterator[dict[str, bytes]]:
    for block in VECTORS.read_text().strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines())
        assert fields.pop("handshake").encode() == NAME
        yield {name: bytes.fromhex(value) for name, value in fields.items()}


def pair(
    *, psks: tuple[bytes, bytes] = (PSK, PSK), prologues: tuple[bytes, bytes] = (PROLOGUE, PROLOGUE)
) -> tuple[Handshake, Handshake]:
    sides = [
        Handshake(
            initiator=initiator,
            static=KeyPair.of(os.urandom(KEY_SIZE)),
            psk=psk,
            prologue=prologue,
            ephemeral_seed=os.urandom(KEY_SIZE),
        )
        for initiator, psk, prologue in zip((True, False), psks, prologues, strict=True)
    ]
    return sides[0], sides[1]


def encrypt(key: bytes, plain: bytes) -> bytes:
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plain, None, nonce_of(0), key)


@pytest.mark.parametrize("vector", list(published()), ids=["bare", "payloads", "prologue", "prologue and payloads"])
def test_both_sides_reproduce_the_published_vectors(vector: dict[str, bytes]) -> None:
    writer, reader = (
        Handshake(
            initiator=side == "init",
            static=KeyPair.of(vector[f"{side}_static"]),
            psk=vector["preshared_key"],
            prologue=vector.get("prologue", b""),
            ephemeral_seed=vector[f"gen_{side}_ephemeral"],
        )
        for side in ("init", "resp")
    )
    initiator, responder = writer, reader
    for number in range(3):
        message = writer.write(vector[f"msg_{number}_payload"])
        assert message == vector[f"msg_{number}_ciphertext"]
        assert reader.read(message) == vector[f"msg_{number}_payload"]
        writer, reader = reader, writer
    assert initiator.finished
    assert responder.finished
    assert initiator.hash == responder.hash
    assert initiator.remote_static == KeyPair.of(vector["resp_static"]).public
    assert responder.remote_static == KeyPair.of(vector["init_static"]).public
    theirs, mine = responder.split(), initiator.split()
    assert (mine.send, mine.receive) == (theirs.receive, theirs.send)
    # The vectors go on with one transport message each way: the first under the initiator's sending key.
    assert encrypt(mine.send, vector["msg_3_payload"]) == vector["msg_3_ciphertext"]
    assert encrypt(theirs.send, vector["msg_4_payload"]) == vector["msg_4_ciphertext"]


def test_the_vectors_are_all_there() -> None:
    assert len(list(published())) == 4


@given(payloads=st.tuples(*[st.binary(max_size=200)] * 3))
def test_payloads_arrive_and_messages_are_as_long_as_said(payloads: tuple[bytes, bytes, bytes]) -> None:
    writer, reader = pair()
    for payload, overhead in zip(payloads, OVERHEAD, strict=True):
        assert writer.my_turn
        assert not reader.my_turn
        message = writer.write(payload)
        assert len(message) == len(payload) + overhead
        assert reader.read(message) == payload
        writer, reader = reader, writer


@given(number=st.integers(0, 2), data=st.data())
def test_any_changed_bit_or_missing_byte_ends_the_handshake(number: int, data: st.DataObject) -> None:
    writer, reader = pair()
    for _ in range(number):
        reader.read(writer.write(b"payload"))
        writer, reader = reader, writer
    message = bytearray(writer.write(b"payload"))
    if data.draw(st.booleans(), "cut"):
        message = message[: data.draw(st.integers(0, len(message) - 1), "length")]
    else:
        bit = data.draw(st.integers(0, 8 * len(message) - 1), "bit")
        # X25519 ignores the highest bit of a public key, but the transcript's hash does not.
        message[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        reader.read(bytes(message))
    assert not reader.finished
    with pytest.raises(WireError):
        reader.read(bytes(message))


def test_the_first_message_tells_who_knows_the_key_and_the_prologue() -> None:
    for initiator, responder in (pair(psks=(PSK, bytes(32))), pair(prologues=(PROLOGUE, b"another"))):
        with pytest.raises(WireError):
            responder.read(initiator.write(b""))


def test_a_public_key_of_low_order_is_refused() -> None:
    initiator, responder = pair()
    # An initiator whose ephemeral public key is zero knows the pre-shared key, so its message decrypts.
    initiator._ephemeral = KeyPair(secret=bytes(KEY_SIZE), public=bytes(KEY_SIZE))
    responder.read(initiator.write(b""))
    with pytest.raises(WireError):
        responder.write(b"")


def test_further_keys_are_alike_on_both_sides_and_like_no_others() -> None:
    writer, reader = initiator, responder = pair()
    for _ in range(3):
        reader.read(writer.write(b""))
        writer, reader = reader, writer
    mine, theirs = initiator.further(b"label"), responder.further(b"label")
    assert (mine.send, mine.receive) == (theirs.receive, theirs.send)
    every = [initiator.split(), mine, initiator.further(b"another")]
    assert len({key for keys in every for key in (keys.send, keys.receive)}) == 6


def test_a_twin_may_die_and_the_handshake_goes_on() -> None:
    initiator, responder = pair()
    responder.read(initiator.write(b""))
    second = responder.write(b"second")
    twin = initiator.twin()
    with pytest.raises(WireError):
        twin.read(bytes(len(second)))
    with pytest.raises(WireError):
        twin.read(second)
    assert initiator.twin().read(second) == b"second"
    assert initiator.read(second) == b"second"
    third = initiator.write(b"third")
    assert responder.twin().read(third) == b"third"
    assert responder.read(third) == b"third"
    assert responder.split() == responder.twin().split()


def test_secrets_are_not_printed() -> None:
    keys = KeyPair.of(b"\x07" * KEY_SIZE)
    assert keys.secret.hex() not in repr(keys)
    assert repr(keys.secret) not in repr(keys)


def test_rekey_gives_another_key_of_the_same_size() -> None:
    assert len(rekey(PSK)) == KEY_SIZE
    assert rekey(PSK) != PSK
    assert rekey(rekey(PSK)) != rekey(PSK)
