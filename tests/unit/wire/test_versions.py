"""Two versions of the wire: what the one before knew is frozen, still read, and all that it is ever sent."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from mesh.ground.errors import NewerError, UnknownKind, WireError
from mesh.node.identity import load_kept
from mesh.store.journal import FileJournal
from mesh.wire import cbor, kept, lookups, messages, records
from mesh.wire.codec import from_value
from mesh.wire.envelope import Signed, sign
from mesh.wire.messages import Head, Hello, News
from mesh.wire.records import Job, SealPage
from mesh.wire.versions import KNEW, VERSION_HIGHEST, fitted, needed, since
from sim.previous.codec import VERSION, previous
from tests.strategies import SIGNERS, sample
from tests.unit.wire.test_vectors import KNOWN
from tests.unit.wire.test_vectors import lines as vectors
from tools.wire_freeze import FIRST_WORDS, Freezer

VECTORS = Path(__file__).parents[2] / "vectors"
FROZEN = previous().page
PAGE = Path(__file__).parents[3] / "sim" / "previous" / "version1.json"
PAGE_HASH = "a472ce4d78ecea5fa41b1f57e72995a6467e2bdc391a5bff711d10fcc90955ed"
JOURNAL_HASH = "43fff4e885a776b14674284367ed00fdd841e966e82752f7619478f9095a7fb3"


def frozen_lines() -> list[tuple[str, str, str]]:
    """Return (file, name, hash) of every vector that the version before had."""
    text = (VECTORS / "version1.txt").read_text("ascii")
    split = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [(file, name, digest) for file, name, digest in split]


def bytes_of(file: str, digest: str) -> bytes:
    """Return the vector with this hash."""
    found = [data for _, data in vectors(file) if blake3(data).hexdigest() == digest]
    assert found, f"a line of tests/vectors/{file}/first.txt is gone that version {VERSION} wrote"
    return found[0]


def reachable(shape: Sequence[Any], found: dict[str, int]) -> dict[str, int]:
    """Add the types within a frozen shape, with their numbers of fields, to `found`."""
    kinds = shape[1].values() if shape[0] == "union" else [shape[1]] if shape[0] in ("type", "signed") else []
    for name in kinds:
        if name.split(".")[1] not in found:
            fields = FROZEN["types"][name]["fields"]
            found[name.split(".")[1]] = len(fields)
            for _, inner in fields:
                reachable(inner, found)
    if shape[0] in ("list", "optional"):
        reachable(shape[1], found)
    return found


def test_the_frozen_page_is_never_changed() -> None:
    assert blake3(PAGE.read_bytes()).hexdigest() == PAGE_HASH
    assert VERSION == VERSION_HIGHEST - 1, "a version was raised: freeze the one before"


def test_the_table_of_what_a_version_knew_is_that_of_its_page() -> None:
    found: dict[str, int] = {}
    for shape in (["union", FROZEN["messages"]], ["union", FROZEN["kept"]], ["type", FROZEN["page"]]):
        reachable(shape, found)
    assert KNEW[VERSION] == found


def test_everything_that_was_known_stands_where_it_stood() -> None:
    """Numbers, fields, bounds and defaults: more may follow, and nothing may change."""
    freezer = Freezer()
    now = {
        "messages": freezer.union(messages.MESSAGES),
        "kept": freezer.union(kept.KEPT),
        "lookups": freezer.union(lookups.LOOKUPS),
    }
    freezer.type(SealPage)
    for kind in FIRST_WORDS:
        freezer.type(kind)
    for union, numbers in now.items():
        assert FROZEN[union].items() <= numbers.items(), union
    for name, then in FROZEN["types"].items():
        fields, defaults = freezer.types[name]["fields"], freezer.types[name].get("defaults", [])
        old_defaults = then.get("defaults", [])
        assert [began_as(field) for field in fields[: len(then["fields"])]] == then["fields"], name
        assert defaults[: len(old_defaults)] == old_defaults, name
        assert len(defaults) - len(old_defaults) == len(fields) - len(then["fields"]), f"{name}: a later one has none"


def began_as(field: Any) -> Any:
    """Return a field as its union was at first: unions get more members."""
    name, shape = field
    for union in (body for _, body in FROZEN["types"]["records.Entry"]["fields"] if body[0] == "union"):
        if shape[0] == "union" and union[1].items() <= shape[1].items():
            return [name, union]
    return [name, shape]


def test_what_is_said_before_a_version_is_agreed_on_is_as_it_was() -> None:
    freezer = Freezer()
    for kind in (*FIRST_WORDS, *lookups.LOOKUPS):
        freezer.type(kind)
    alone = {name for name in freezer.types if name.split(".")[1] not in KNEW[VERSION]}
    assert {name: freezer.types[name] for name in alone} == {name: FROZEN["types"][name] for name in alone}


@pytest.mark.parametrize(("file", "name", "digest"), frozen_lines(), ids=lambda part: part[:16])
def test_bytes_of_the_version_before_are_read_and_are_still_its_own(file: str, name: str, digest: str) -> None:
    data = bytes_of(file, digest)
    (write, read), _ = KNOWN[file][name]
    assert write(read(data)) == data
    readers = {"messages": previous().message, "lookups": previous().lookup, "kept": previous().kept}
    if file in readers:
        assert readers[file](data) == data


def test_a_journal_of_the_version_before_is_opened(tmp_path: Path) -> None:
    frozen = (VECTORS / "journal" / "version1.journal").read_bytes()
    assert blake3(frozen).hexdigest() == JOURNAL_HASH
    (tmp_path / "journal").write_bytes(frozen)
    journal = FileJournal(tmp_path / "journal")
    try:
        opened = load_kept(journal)
    finally:
        journal.close()
    written = [bytes_of(file, digest) for file, _, digest in frozen_lines() if file == "kept"]
    assert list(map(kept.encode, opened)) == written


# What goes to whom.

PLAIN = dataclasses.replace(
    sample(Job), **{field.name: field.default for field in dataclasses.fields(Job)[KNEW[VERSION]["Job"] :]}
)
LARGE = dataclasses.replace(PLAIN, memory_mb=8_000)


def head_of(job: Job) -> Head:
    return Head(job=sign(job, SIGNERS[0]), chain=())


def test_an_option_that_is_off_needs_nothing_new() -> None:
    assert (needed(PLAIN), needed(LARGE)) == (1, 2)
    assert needed(head_of(LARGE)) == needed(kept.KeptHead(head=head_of(LARGE))) == 2
    assert since(Job, "memory_mb") == 2
    assert since(Job, "number") == since(Hello, "knows") == 1


def test_a_statement_that_says_something_later_is_left_out_and_nothing_else() -> None:
    both = News(heads=(head_of(PLAIN), head_of(LARGE)), marks=sample(News).marks, cancels=(), admissions=())
    kept_back = fitted(both, 1)
    assert isinstance(kept_back, News)
    assert kept_back.heads == (head_of(PLAIN),)
    assert kept_back.marks == both.marks
    assert fitted(both, 2) is both
    with pytest.raises(WireError):
        previous().message(messages.encode(both))


def test_a_later_field_of_a_message_goes_back_to_its_default() -> None:
    hello = sample(Hello)
    assert hello.speaks > 1
    said = fitted(hello, 1)
    assert isinstance(said, Hello)
    assert said.speaks == 1
    assert said.name == hello.name


@pytest.mark.parametrize("number", [messages.NEWEST + 1, messages.MAX_NUMBER])
def test_a_kind_that_there_may_be_later_is_told_from_nonsense(number: int) -> None:
    with pytest.raises(UnknownKind):
        messages.decode(cbor.encode([number, ["whatever", [1]]]))


@pytest.mark.parametrize("number", [-1, 0, 18, messages.MAX_NUMBER + 1])
def test_a_number_that_is_none_or_is_retired_is_nonsense(number: int) -> None:
    with pytest.raises(WireError) as raised:
        messages.decode(cbor.encode([number, []]))
    assert not isinstance(raised.value, NewerError)


def test_what_a_newer_program_signed_is_refused_by_name() -> None:
    told = [*cbor.decode(head_of(sample(Job)).job.data, 10_000), "an option of tomorrow"]  # type: ignore[misc]
    data = cbor.encode(told)
    signed = [SIGNERS[0].key, data, bytes(64)]
    with pytest.raises(NewerError, match="a Job says more than this program knows"):
        from_value(Signed[Job], signed)  # type: ignore[arg-type]
    with pytest.raises(NewerError, match="number 99"):
        from_value(records.Entry, [bytes(32), bytes(16), 1, [99, []]])
