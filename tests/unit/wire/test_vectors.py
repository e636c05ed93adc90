"""Frozen bytes of everything that travels or is kept: what an older peer wrote is read for ever, and written the same.

A line of a vector file is a name and hexadecimal bytes. Lines are only ever added. A type that gains a field keeps its
old lines, which must still be read, and gets one with the new field; each test says which line it misses. Only until
the first release may a line be replaced.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.wire import cbor, envelope, kept, lookups, members, messages, records, revocations, stills
from mesh.wire.codec import from_value, to_value
from mesh.wire.signing import Ed25519Verifier
from tests.strategies import SIGNERS, sample

VECTORS = Path(__file__).parents[2] / "vectors"

Coder = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]


def signed(kind: Any) -> Coder:
    return envelope.encode, lambda data: envelope.decode(kind, data)


def plain(kind: Any) -> Coder:
    return lambda value: cbor.encode(to_value(value)), lambda data: from_value(kind, cbor.decode(data, 64 * 1024))


def entry_with(what: Any) -> Any:
    body = sample(records.Entry)
    fields = {"job": body.job, "boot": body.boot, "number": body.number}
    return envelope.sign(records.Entry(**fields, what=sample(what, "what")), SIGNERS[0])


#: By file and name: how it is written and read, and the value that the newest line of that name must hold.
KNOWN: dict[str, dict[str, tuple[Coder, Any]]] = {
    "records": {
        **{
            kind.__name__: (signed(kind), sample(envelope.Signed[kind]))
            for module in (records, members, revocations, lookups, stills)
            for kind in vars(module).values()
            if isinstance(kind, type) and "DOMAIN" in vars(kind) and kind is not records.Entry
        },
        **{
            f"Entry.{what.__name__}": (signed(records.Entry), entry_with(what))
            for what in (records.Result, records.Failed, records.Lost, records.Cancel, records.Seal, records.Control)
        },
        "SealPage": ((records.encode_page, records.decode_page), sample(records.SealPage)),
        **{kind.__name__: (plain(kind), sample(kind)) for kind in (members.Credentials, members.JoinRequest)},
    },
    "messages": {kind.__name__: ((messages.encode, messages.decode), sample(kind)) for kind in messages.MESSAGES},
    "lookups": {kind.__name__: ((lookups.encode, lookups.decode), sample(kind)) for kind in lookups.LOOKUPS},
    "kept": {kind.__name__: ((kept.encode, kept.decode), sample(kind)) for kind in kept.KEPT},
}


def lines(file: str) -> list[tuple[str, bytes]]:
    text = (VECTORS / file / "first.txt").read_text("ascii")
    split = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, bytes.fromhex(data)) for name, data in split]


EVERY = [(file, name, data) for file in KNOWN for name, data in lines(file)]


def test_every_statement_has_a_vector() -> None:
    assert {f"Entry.{kind.__name__}" for kind in records.Statement.__args__} <= KNOWN["records"].keys()


@pytest.mark.parametrize("file", KNOWN)
def test_every_type_has_a_vector(file: str) -> None:
    frozen = dict(lines(file))
    missing = [
        f"{name} {write(value).hex()}" for name, ((write, _), value) in KNOWN[file].items() if name not in frozen
    ]
    assert not missing, f"add to tests/vectors/{file}/first.txt:\n" + "\n".join(missing)
    unknown = frozen.keys() - KNOWN[file].keys()
    assert not unknown, "a type that is gone is still read: keep it, or keep its line as a refusal"


@pytest.mark.parametrize(("file", "name", "data"), EVERY, ids=[f"{file}-{name}" for file, name, _ in EVERY])
def test_a_frozen_vector_is_read_and_written_the_same(file: str, name: str, data: bytes) -> None:
    (write, read), value = KNOWN[file][name]
    back = read(data)
    assert type(back) is type(value)
    assert write(back) == data
    envelope.check(back, Ed25519Verifier())


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, names in KNOWN.items() for name in names], ids=lambda part: part
)
def test_the_newest_vector_holds_every_field_in_its_place(file: str, name: str) -> None:
    """Two fields of one type that changed places would be read without complaint: here the values tell."""
    (write, read), value = KNOWN[file][name]
    newest = dict(lines(file))[name]
    assert read(newest) == value, f"add to tests/vectors/{file}/first.txt:\n{name} {write(value).hex()}"
