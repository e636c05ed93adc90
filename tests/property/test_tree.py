"""Trees and packs for any files: nothing is lost, moved or written in two ways, and no name escapes its checkout."""

import posixpath
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.ids import BlobId
from mesh.wire.tree import (
    PACK_MAX_BYTES,
    SMALL_FILE_BYTES,
    NameRefused,
    TreeEntry,
    decode,
    encode,
    make,
    name_problem,
    plan,
    refusals,
)

# Half of the names are made of the pieces that matter, so that clashes and escapes are met and not only gibberish.
PARTS = st.sampled_from(["a", "A", "b", "..", ".", "", "é", "e\u0301", "nul", "Com1.x", "x ", "c:", "\\", "ß", "ss"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.text(max_size=12)
ENTRIES = st.builds(
    TreeEntry,
    name=NAMES,
    blob=st.binary(min_size=32, max_size=32).map(BlobId),
    offset=st.integers(0, 2**37),
    size=st.integers(0, 2**37),
)
SIZES = st.dictionaries(NAMES, st.integers(0, 2 * SMALL_FILE_BYTES) | st.just(SMALL_FILE_BYTES - 1), max_size=200)


@given(st.lists(ENTRIES, max_size=12))
def test_a_tree_is_taken_and_returned_whole_or_refused_by_name(entries: list[TreeEntry]) -> None:
    if refused := refusals(sorted(entry.name for entry in entries)):
        with pytest.raises(NameRefused) as caught:
            make(entries)
        assert caught.value.name == refused[0].name
        return
    tree = make(entries)
    assert decode(encode(tree)) == tree
    assert sorted(tree.entries, key=lambda entry: entry.name) == list(tree.entries)
    assert {entry.name for entry in tree.entries} == {entry.name for entry in entries}


@given(st.lists(ENTRIES, max_size=12, unique_by=lambda entry: entry.name))
def test_the_order_of_files_does_not_matter(entries: list[TreeEntry]) -> None:
    if not refusals(sorted(entry.name for entry in entries)):
        assert encode(make(entries)) == encode(make(reversed(entries)))


@given(NAMES)
def test_a_name_that_is_taken_stays_below_its_root(name: str) -> None:
    if name_problem(name) is None:
        root = "/root/of/checkout"
        assert posixpath.normpath(posixpath.join(root, name)) == f"{root}/{name}"
        assert unicodedata.normalize("NFC", name) == name


@given(SIZES)
def test_a_plan_holds_every_file_once_and_end_to_end(sizes: dict[str, int]) -> None:
    packs = plan(sizes.items())
    assert sorted((member.name, member.size) for pack in packs for member in pack.members) == sorted(sizes.items())
    for pack in packs:
        at = 0
        for member in pack.members:
            assert member.offset == at
            at += member.size
        assert at == pack.size
        if len(pack.members) > 1:
            assert pack.size <= PACK_MAX_BYTES
            assert all(member.size < SMALL_FILE_BYTES for member in pack.members)


@given(SIZES)
def test_a_plan_is_the_same_for_any_order(sizes: dict[str, int]) -> None:
    assert plan(sizes.items()) == plan(reversed(sizes.items()))
