"""Names that some system cannot hold are refused by name; every other name goes through unchanged."""

import dataclasses

import pytest

from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId
from mesh.wire import cbor
from mesh.wire.manifest import BLOB_MAX_BYTES
from mesh.wire.tree import (
    ENTRIES_MAX,
    PACK_MAX_BYTES,
    SMALL_FILE_BYTES,
    Member,
    NameRefused,
    Pack,
    Tree,
    TreeEntry,
    TreeRefused,
    decode,
    encode,
    make,
    name_problem,
    plan,
    refusals,
)

BLOB = BlobId(bytes(range(32)))


def entry(name: str, *, offset: int = 0, size: int = 1) -> TreeEntry:
    return TreeEntry(name=name, blob=BLOB, offset=offset, size=size)


@pytest.mark.parametrize(
    "name",
    [
        "shot.blend",
        "textures/wood_0001.exr",
        "a/b/c/d",
        ".hidden/file",
        "with space/and (brackets) & more~",
        "ünïcödé/日本語.png",
        "con-crete.png",
        "console/aux1.png",
        "com10",
        "x" * 255,
        "..." + "a",
    ],
)
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("../up", "direction"),
        ("a/../../b", "direction"),
        ("./a", "direction"),
        ("a//b", "empty part"),
        ("a/", "empty part"),
        ("a\\b", "contains"),
        ("c:/windows", "contains"),
        ("file:stream", "contains"),
        ("what?", "contains"),
        ("a*", "contains"),
        ("nul\0", "contains"),
        ("line\nfeed", "contains"),
        ("\x7f", "contains"),
        ("\u0085", "contains"),
        ("a\u2028b", "contains"),
        ("trailing.", "dot or a space"),
        ("trailing /a", "dot or a space"),
        (".../a", "dot or a space"),
        ("CON", "device"),
        ("nul.txt", "device"),
        ("dir/Com1.tar.gz", "device"),
        ("lpt\u00b9", "device"),
        ("aux .txt", "device"),
        ("e\u0301.png", "NFC"),
        ("\ud800", "Unicode"),
        ("x" * 256, "more than 255"),
        ("ü" * 128, "more than 255"),
        ("abcdefg/" * 64 + "h", "513"),
    ],
)
def test_a_name_that_some_system_cannot_hold_is_refused(name: str, because: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert because in problem


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["a.png", "A.png"], "A.png"),
        (["straße", "STRASSE"], "STRASSE"),
        (["é", "É"], "É"),
        (["tex", "tex/a.png"], "tex/a.png"),
        (["tex/a.png", "TEX"], "TEX"),
        (["a/b", "a/b/c/d"], "a/b/c/d"),
        (["same", "same"], "same"),
    ],
)
def test_names_that_clash_on_some_system_are_refused_together(names: list[str], refused: str) -> None:
    assert [problem.name for problem in refusals(names)] == [refused]


def test_directories_may_differ_in_case_alone() -> None:
    assert refusals(["Tex/a.png", "tex/b.png"]) == []


def test_every_bad_name_is_reported_at_once() -> None:
    assert [problem.name for problem in refusals(["ok", "nul", "a:b", "OK"])] == ["nul", "a:b", "OK"]


def test_a_tree_comes_back_as_it_was() -> None:
    tree = make([entry("b", offset=5, size=7), entry("a/c"), entry("a/b", size=0)])
    assert [each.name for each in tree.entries] == ["a/b", "a/c", "b"]
    assert decode(encode(tree)) == tree
    assert tree.size == 8
    assert tree.blobs() == (BLOB,)


def test_blobs_are_named_once_in_the_order_of_need() -> None:
    other = BlobId(bytes(32))
    tree = make([entry("b"), dataclasses.replace(entry("a"), blob=other), entry("c")])
    assert tree.blobs() == (other, BLOB)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [["a", BLOB, 0]],
        [["a", BLOB, 0, 0, 0]],
        [["a", BLOB[:-1], 0, 0]],
        [["a", BLOB, -1, 0]],
        [["a", BLOB, 0, BLOB_MAX_BYTES + 1]],
        [["a", BLOB, True, 0]],
        [[b"a", BLOB, 0, 0]],
        [["../a", BLOB, 0, 0]],
        [["b", BLOB, 0, 0], ["a", BLOB, 0, 0]],
        [["a", BLOB, 0, 0], ["a", BLOB, 0, 0]],
    ],
)
def test_what_is_no_tree_is_refused(value: cbor.Value) -> None:
    with pytest.raises(WireError):
        decode(cbor.encode(value))


def test_a_bad_name_is_refused_by_name() -> None:
    with pytest.raises(NameRefused, match=r"nul\.png.*device") as caught:
        make([entry("nul.png")])
    assert caught.value.name == "nul.png"


def test_a_tree_has_a_bound() -> None:
    with pytest.raises(TreeRefused, match="files"):
        Tree(entries=(entry("a"),) * (ENTRIES_MAX + 1))


def test_small_files_share_packs_and_others_stand_alone() -> None:
    packs = plan([("c", 10), ("big", SMALL_FILE_BYTES), ("a", 5), ("empty", 0)])
    assert packs == [
        Pack(members=(Member(name="big", offset=0, size=SMALL_FILE_BYTES),)),
        Pack(
            members=(
                Member(name="a", offset=0, size=5),
                Member(name="c", offset=5, size=10),
                Member(name="empty", offset=15, size=0),
            )
        ),
    ]


def test_a_pack_is_never_beyond_its_bound() -> None:
    size = SMALL_FILE_BYTES - 1
    packs = plan((f"{number:04}", size) for number in range(300))
    assert len(packs) == 3
    assert all(pack.size <= PACK_MAX_BYTES for pack in packs)
