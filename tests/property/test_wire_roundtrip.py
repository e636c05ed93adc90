"""Everything that travels or is kept comes back as it was, from bytes that could not have been others."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.wire import cbor, complaints, envelope, kept, lookups, members, messages, records
from mesh.wire.codec import codec_of, from_value, most_bytes, to_value
from mesh.wire.signing import Ed25519Verifier
from tests.strategies import instances

BODIES = [
    records.Job,
    records.Entry,
    records.Claim,
    records.Hold,
    records.Mark,
    complaints.Complaint,
    members.Admission,
    members.Invite,
    members.StaticKey,
    lookups.Pointer,
]
SHOWN = [members.Credentials, members.JoinRequest]


def name(kind: type) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", BODIES, ids=name)
@settings(max_examples=40)
@given(data=st.data())
def test_every_signed_statement_comes_back(kind: Any, data: st.DataObject) -> None:
    signed = data.draw(instances(envelope.Signed[kind]))
    written = envelope.encode(signed)
    back = envelope.decode(kind, written)
    assert back == signed
    assert back.body == signed.body
    assert back.signature == signed.signature
    assert envelope.encode(back) == written
    assert cbor.encode(to_value(back.body)) == signed.data
    assert len(signed.data) <= most_bytes(kind)
    envelope.check(back, Ed25519Verifier())


@pytest.mark.parametrize("kind", messages.MESSAGES, ids=name)
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_comes_back(kind: Any, data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    written = messages.encode(message)
    back = messages.decode(written)
    assert back == message
    assert type(back) is kind
    assert messages.encode(back) == written


@pytest.mark.parametrize("kind", lookups.LOOKUPS, ids=name)
@settings(max_examples=25)
@given(data=st.data())
def test_every_look_up_comes_back(kind: Any, data: st.DataObject) -> None:
    lookup = data.draw(instances(kind))
    written = lookups.encode(lookup)
    assert len(written) <= lookups.MAX_LOOKUP_BYTES
    back = lookups.decode(written)
    assert back == lookup
    assert type(back) is kind
    assert lookups.encode(back) == written


@pytest.mark.parametrize("kind", kept.KEPT, ids=name)
@settings(max_examples=25)
@given(data=st.data())
def test_every_journal_entry_comes_back(kind: Any, data: st.DataObject) -> None:
    entry = data.draw(instances(kind))
    written = kept.encode(entry)
    back = kept.decode(written)
    assert back == entry
    assert type(back) is kind
    assert kept.encode(back) == written


@pytest.mark.parametrize("kind", SHOWN, ids=name)
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_shown_in_a_handshake_comes_back(kind: Any, data: st.DataObject) -> None:
    shown = data.draw(instances(kind))
    written = cbor.encode(to_value(shown))
    assert from_value(kind, cbor.decode(written, most_bytes(kind))) == shown


@settings(max_examples=25)
@given(page=instances(records.SealPage))
def test_a_page_comes_back(page: records.SealPage) -> None:
    written = records.encode_page(page)
    back = records.decode_page(written, tasks=len(page.tasks))
    assert back == page
    assert records.encode_page(back) == written


@settings(max_examples=50)
@given(first=instances(records.Job), second=instances(records.Job))
def test_two_values_never_share_an_encoding(first: records.Job, second: records.Job) -> None:
    same_bytes = cbor.encode(to_value(first)) == cbor.encode(to_value(second))
    assert same_bytes == (first == second)


@given(data=st.data())
def test_the_number_alone_tells_members_of_a_union_apart(data: st.DataObject) -> None:
    codec = codec_of(records.Statement)
    what = data.draw(instances(records.Statement))
    number, body = codec.write(what)  # type: ignore[misc]
    assert codec.read([number, body]) == what
    assert number == type(codec.read([number, body])).NUMBER
