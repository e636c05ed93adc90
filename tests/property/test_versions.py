"""What goes to a peer of the version before is read there, and what comes from it is read here, whatever it is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.wire import kept, messages
from mesh.wire.versions import fitted, needed
from sim.previous.codec import VERSION, previous
from tests.strategies import instances


def name(kind: type) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", messages.MESSAGES, ids=name)
@settings(max_examples=30)
@given(data=st.data())
def test_a_message_that_was_fitted_is_read_by_the_version_before_and_comes_back_the_same(
    kind: Any, data: st.DataObject
) -> None:
    message = fitted(data.draw(instances(kind)), VERSION)
    if message is not None:
        said = messages.encode(message)
        assert previous().message(said) == said
        assert messages.decode(previous().message(said)) == message
        assert fitted(message, VERSION) is message


@pytest.mark.parametrize("kind", messages.MESSAGES, ids=name)
@settings(max_examples=30)
@given(data=st.data())
def test_the_version_before_reads_a_message_exactly_where_it_needs_no_later_one(kind: Any, data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    try:
        previous().message(messages.encode(message))
        read = True
    except WireError:
        read = False
    assert read == (needed(message) <= VERSION)


@pytest.mark.parametrize("kind", kept.KEPT, ids=name)
@settings(max_examples=30)
@given(data=st.data())
def test_a_journal_entry_of_the_version_before_means_the_same_here(kind: Any, data: st.DataObject) -> None:
    entry = data.draw(instances(kind))
    written = kept.encode(entry)
    if needed(entry) > VERSION:
        with pytest.raises(WireError):
            previous().kept(written)
    else:
        assert kept.decode(previous().kept(written)) == entry


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_the_frozen_wire_takes_any_bytes_or_refuses_them(data: bytes) -> None:
    for read in (previous().message, previous().lookup, previous().kept):
        try:
            assert read(data) == data
        except WireError:
            continue
