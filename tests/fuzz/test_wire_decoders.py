"""Any bytes give a value or a `WireError`, and a value only from the bytes that it is written as.

The bytes are drawn at random, made by changing, cutting and joining true ones, and built as CBOR of the wrong types at
any place: what has a form that is nearly right gets furthest into a decoder.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import cbor, envelope, kept, lookups, members, messages, records, revocations
from mesh.wire.codec import from_value, to_value
from mesh.wire.signing import Ed25519Verifier
from tests.strategies import instances, sample

Decoder = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]

BODIES = [
    records.Job,
    records.Entry,
    records.Claim,
    records.Hold,
    records.Mark,
    members.Admission,
    members.Renewal,
    revocations.Revocation,
    members.Invite,
    members.StaticKey,
    lookups.Pointer,
]


def plain(kind: Any) -> Decoder:
    return (
        lambda data: from_value(kind, cbor.decode(data, 4096)),
        lambda value: cbor.encode(to_value(value)),
    )


def signed(kind: Any) -> Decoder:
    return (lambda data: envelope.decode(kind, data), envelope.encode)


DECODERS: dict[str, Decoder] = {
    "cbor": (lambda data: cbor.decode(data, 64 * 1024), cbor.encode),
    "message": (messages.decode, messages.encode),
    "kept": (kept.decode, kept.encode),
    "lookup": (lookups.decode, lookups.encode),
    "page": (records.decode_page, records.encode_page),
    "credentials": plain(members.Credentials),
    "join request": plain(members.JoinRequest),
    **{kind.DOMAIN: signed(kind) for kind in BODIES},
}

#: True bytes of every kind, as what changes start from.
TRUE = [
    *[messages.encode(sample(kind)) for kind in messages.MESSAGES],
    *[kept.encode(sample(kind)) for kind in kept.KEPT],
    *[lookups.encode(sample(kind)) for kind in lookups.LOOKUPS],
    *[envelope.encode(sample(envelope.Signed[kind])) for kind in BODIES],
    *[cbor.encode(to_value(sample(kind))) for kind in (members.Credentials, members.JoinRequest)],
    records.encode_page(sample(records.SealPage)),
]

values: st.SearchStrategy[cbor.Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(0, 30)
    | st.binary(max_size=70)
    | st.sampled_from([bytes(8), bytes(16), bytes(32), bytes(64)])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=25,
)


def value_or_wire_error(decoder: str, data: bytes) -> None:
    decode, encode = DECODERS[decoder]
    try:
        value = decode(data)
    except WireError:
        return
    assert encode(value) == data, "two encodings of one value"


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """True bytes with a few of them overwritten, left out, doubled, or put in the place of others."""
    data = bytearray(draw(st.sampled_from(TRUE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case 1 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case _:
                other = draw(st.sampled_from(TRUE))
                start = draw(st.integers(0, len(other)))
                data[at:at] = other[start : start + draw(st.integers(1, 80))]
    return bytes(data)


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=100)
@given(data=st.binary(max_size=120))
def test_random_bytes(decoder: str, data: bytes) -> None:
    value_or_wire_error(decoder, data)


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=150)
@given(data=changed())
def test_bytes_that_were_true_once(decoder: str, data: bytes) -> None:
    value_or_wire_error(decoder, data)


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=100)
@given(value=values)
def test_values_of_the_wrong_form(decoder: str, value: cbor.Value) -> None:
    value_or_wire_error(decoder, cbor.encode(value))


@settings(max_examples=300)
@given(number=st.sampled_from([*messages.BY_NUMBER]), fields=st.lists(values, max_size=10))
def test_fields_of_the_wrong_form(number: int, fields: list[cbor.Value]) -> None:
    value_or_wire_error("message", cbor.encode([number, fields]))
    value_or_wire_error("kept", cbor.encode([number, fields]))
    value_or_wire_error("lookup", cbor.encode([number, fields]))


@settings(max_examples=200)
@given(data=st.data(), message=st.one_of([instances(kind) for kind in messages.MESSAGES]))
def test_one_field_of_the_wrong_form(data: st.DataObject, message: messages.Message) -> None:
    """Replace one value, at any depth, by another."""
    tree = cbor.decode(messages.encode(message), messages.MAX_MESSAGE_BYTES)
    at = tree
    while isinstance(at, list) and at:
        place = data.draw(st.integers(0, len(at) - 1))
        if not isinstance(at[place], list) or data.draw(st.booleans()):
            at[place] = data.draw(values)
            break
        at = at[place]
    value_or_wire_error("message", cbor.encode(tree))


@pytest.mark.parametrize("at", range(len(TRUE)))
def test_no_beginning_of_true_bytes_is_a_value(at: int) -> None:
    for decode, _ in DECODERS.values():
        for end in range(0, len(TRUE[at]), 1 + len(TRUE[at]) // 50):
            with pytest.raises(WireError):
                decode(TRUE[at][:end])


@settings(max_examples=100)
@given(data=changed())
def test_what_passes_a_changed_message_is_checked_without_surprise(data: bytes) -> None:
    try:
        envelope.check(messages.decode(data), Ed25519Verifier())
    except WireError:
        return


@settings(max_examples=100)
@given(key=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_no_key_and_no_signature_upsets_the_verifier(key: bytes, signature: bytes) -> None:
    assert not Ed25519Verifier().verifies(key, b"message", signature)  # type: ignore[arg-type]
