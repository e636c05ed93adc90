"""Dataclasses through their annotations: bounds hold in both directions, and one value has one encoding."""

import dataclasses
import enum
from typing import Annotated, Any, ClassVar, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import WallTime
from mesh.wire import cbor
from mesh.wire.codec import (
    AtMost,
    Between,
    Size,
    clipped,
    codec_of,
    from_value,
    most_bytes,
    most_items,
    to_value,
)

LIMIT = 10_000

value = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)


@value
class Plain:
    flag: bool
    number: Annotated[int, Between(-5, 300)]
    exact: Annotated[bytes, Size(4)]
    loose: Annotated[bytes, AtMost(4)]
    text: Annotated[str, AtMost(4)]
    many: Annotated[tuple[Annotated[int, Between(0, 9)], ...], AtMost(3)]
    peer: PeerId
    wall: WallTime
    maybe: Annotated[int, Between(1, 9)] | None


PLAIN = Plain(
    flag=True,
    number=300,
    exact=b"1234",
    loose=b"",
    text="ü",
    many=(1, 2),
    peer=PeerId(bytes(32)),
    wall=WallTime(5),
    maybe=None,
)
LISTED: list[cbor.Value] = [True, 300, b"1234", b"", "ü", [1, 2], bytes(32), 5, None]


def test_fields_stand_in_their_order() -> None:
    assert to_value(PLAIN) == LISTED
    assert from_value(Plain, LISTED) == PLAIN


@pytest.mark.parametrize(
    ("at", "bad"),
    [
        (0, 1),
        (0, None),
        (0, "true"),
        (1, True),
        (1, False),
        (1, -6),
        (1, 301),
        (1, "300"),
        (1, None),
        (2, b"123"),
        (2, b"12345"),
        (2, "1234"),
        (3, b"12345"),
        (3, ""),
        (4, "12345"),
        (4, "üüü"),
        (4, b"abc"),
        (5, [1, 2, 3, 4]),
        (5, [1, 10]),
        (5, [True]),
        (5, "12"),
        (5, None),
        (6, bytes(31)),
        (6, bytes(33)),
        (7, -1),
        (7, 2**62 + 1),
        (8, 0),
        (8, False),
        (8, []),
    ],
)
def test_what_is_beyond_a_bound_is_refused(at: int, bad: cbor.Value) -> None:
    with pytest.raises(WireError):
        from_value(Plain, [*LISTED[:at], bad, *LISTED[at + 1 :]])


@pytest.mark.parametrize("bad", [None, 0, b"", {}, [], LISTED[:-1], [*LISTED, None], [LISTED]])
def test_another_shape_is_refused(bad: Any) -> None:
    with pytest.raises(WireError):
        from_value(Plain, bad)


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 301},
        {"number": -6},
        {"exact": b"123"},
        {"loose": b"12345"},
        {"text": "üüü"},
        {"many": (1, 2, 3, 4)},
        {"many": (10,)},
        {"peer": PeerId(b"short")},
        {"wall": WallTime(-1)},
        {"maybe": 0},
    ],
)
def test_what_is_beyond_a_bound_is_not_written(changed: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        to_value(dataclasses.replace(PLAIN, **changed))


class Colour(enum.IntEnum):
    RED = 7


def test_an_enum_is_written_as_its_number() -> None:
    written = codec_of(Annotated[int, Between(0, 9)]).write(Colour.RED)
    assert type(written) is int
    assert written == 7


@value
class Old:
    first: Annotated[int, Between(0, 9)]


@value
class New:
    first: Annotated[int, Between(0, 9)]
    second: Annotated[int, Between(0, 9)] = 4
    third: Annotated[tuple[bool, ...], AtMost(2)] = ()
    fourth: bool = False


def test_an_appended_field_has_its_default_in_what_an_older_peer_wrote() -> None:
    assert from_value(New, to_value(Old(first=1))) == New(first=1)


def test_what_says_nothing_new_is_read_by_an_older_peer() -> None:
    assert from_value(Old, to_value(New(first=1))) == Old(first=1)
    with pytest.raises(WireError):
        from_value(Old, to_value(New(first=1, fourth=True)))


@given(st.builds(New, first=st.integers(0, 9), second=st.integers(3, 5), fourth=st.booleans()))
def test_a_default_at_the_end_is_left_out_always(new: New) -> None:
    written = to_value(new)
    assert isinstance(written, list)
    assert from_value(New, written) == new
    assert to_value(from_value(New, written)) == written
    full: list[cbor.Value] = [new.first, new.second, list(new.third), new.fourth]
    for count in range(len(written) + 1, len(full) + 1):
        with pytest.raises(WireError, match="leaves out"):
            from_value(New, full[:count])


def test_a_default_before_others_is_written() -> None:
    assert to_value(New(first=1, fourth=True)) == [1, 4, [], True]
    assert to_value(New(first=1, third=(True,))) == [1, 4, [True]]


@value
class Ordered:
    low: Annotated[int, Between(0, 9)]
    high: Annotated[int, Between(0, 9)]

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError("high is below low")


def test_what_a_type_refuses_itself_is_a_wire_error() -> None:
    assert from_value(Ordered, [1, 2]) == Ordered(low=1, high=2)
    with pytest.raises(WireError, match="high is below low"):
        from_value(Ordered, [2, 1])


@value
class One:
    NUMBER: ClassVar[int] = 1
    what: bool


@value
class Two:
    NUMBER: ClassVar[int] = 2


@value
class AlsoOne:
    NUMBER: ClassVar[int] = 1


@value
class Either:
    what: One | Two
    perhaps: One | Two | None


@pytest.mark.parametrize("what", [One(what=True), Two()])
@pytest.mark.parametrize("perhaps", [One(what=False), Two(), None])
def test_a_union_is_told_apart_by_number(what: One | Two, perhaps: One | Two | None) -> None:
    either = Either(what=what, perhaps=perhaps)
    assert from_value(Either, to_value(either)) == either


@pytest.mark.parametrize(
    "bad",
    [None, 1, [], [1], [3, []], [True, [True]], ["1", [True]], [1, []], [1, [True], 0], [[1], [True]], [2, [True]]],
)
def test_no_part_of_a_union_is_guessed(bad: cbor.Value) -> None:
    with pytest.raises(WireError):
        from_value(Either, [bad, None])


Unbounded = NewType("Unbounded", bytes)


@value
class DefaultFirst:
    first: bool = True
    second: bool = dataclasses.field()


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        str,
        bytes,
        float,
        object,
        Any,
        dict[str, int],
        tuple[bool, ...],
        Unbounded,
        Annotated[int, AtMost(3)],
        Annotated[str, Size(3)],
        Annotated[bytes, Between(0, 3)],
        Annotated[list[bool], AtMost(3)],
        Annotated[tuple[bool, bool], AtMost(3)],
        Annotated[Annotated[str, AtMost(9)], AtMost(3)],
        Annotated[int, Between(3, 2)],
        Annotated[int, Between(0, 2**63)],
        Annotated[int, Between(-(2**64), 0)],
        One | AlsoOne,
        DefaultFirst,
    ],
)
def test_an_annotation_without_one_clear_bound_is_our_bug(annotation: Any) -> None:
    with pytest.raises(TypeError):
        codec_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "largest"),
    [
        (bool, True),
        (Annotated[int, Between(0, 23)], 23),
        (Annotated[int, Between(-24, 0)], -24),
        (Annotated[int, Between(-25, 23)], -25),
        (Annotated[int, Between(-300, 255)], -300),
        (Annotated[int, Between(0, 2**32)], 2**32),
        (Annotated[bytes, Size(24)], bytes(24)),
        (Annotated[bytes, AtMost(256)], bytes(256)),
        (Annotated[str, AtMost(23)], "x" * 23),
        (Annotated[tuple[bool, ...], AtMost(24)], (True,) * 24),
        (Plain, Plain(
            flag=True, number=300, exact=b"1234", loose=b"1234", text="abcd", many=(1, 1, 1), peer=PeerId(bytes(32)),
            wall=WallTime(2**62), maybe=9,
        )),
        (Either, Either(what=One(what=True), perhaps=One(what=True))),
    ],
)  # fmt: skip
def test_the_greatest_size_is_known(annotation: Any, largest: Any) -> None:
    assert most_bytes(annotation) == len(cbor.encode(codec_of(annotation).write(largest)))


def test_the_bound_of_a_tuple_can_be_asked_for() -> None:
    assert most_items(Plain, "many") == 3
    with pytest.raises(AssertionError):
        most_items(Plain, "text")


@given(st.text(st.characters(), max_size=30), st.integers(0, 20))
def test_clipped_text_can_always_be_written(text: str, most: int) -> None:
    fits = clipped(text, most)
    codec = codec_of(Annotated[str, AtMost(most)])
    assert codec.read(cbor.decode(cbor.encode(codec.write(fits)), LIMIT)) == fits
    # No more is lost than one character's bytes.
    assert len(fits.encode()) > most - 4 or fits == text.encode("utf-8", "replace").decode()


def test_an_undecodable_file_name_is_clipped_too() -> None:
    assert clipped(b"shot\xff.blend".decode("utf-8", "surrogateescape"), 100) == "shot?.blend"
