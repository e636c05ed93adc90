"""What a terminal would obey is taken out of what others wrote, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli import printable


@pytest.mark.parametrize(
    ("hostile", "plain"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07desk", "desk"),
        ("\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x9d0;title\x9cdesk", "desk"),
        ("\x1bP1;2q#0;2\x1b\\sixel", "sixel"),
        ("\x1b(0lqk", "lqk"),
        ("\x1bcreset", "reset"),
        ("cut\x1b", "cut"),
        ("cut\x1b[3", "cut"),
        ("cut\x1b]0;never", "cut"),
        ("be\x07ll\x00 \x08\x7fand", "bell and"),
        ("\u202egnp.exe\u2066\u200b", "gnp.exe"),
        ("\ud800lone", "lone"),
        ("shot_ä_镜头 ✓", "shot_ä_镜头 ✓"),
    ],
)
def test_escapes_go_whole_and_text_stays(hostile: str, plain: str) -> None:
    assert printable.line(hostile) == plain
    assert printable.block(hostile) == plain


def test_a_line_is_one_line_and_a_block_keeps_its_own() -> None:
    text = "Fra:1\r\nFra:2\rdone\n\n\tindented"
    assert printable.line(text) == "Fra:1 Fra:2 done indented"
    assert printable.block(text) == "Fra:1\nFra:2\ndone\n\n\tindented"


@given(st.text(st.sampled_from("\x1b\x9b\x9d\x07\x9c\\[]0;mHqP^_( \n\t\r\x00\u202eaß")))
def test_whatever_comes_nothing_is_left_to_obey(text: str) -> None:
    plain = printable.block(text)
    assert not {letter for letter in plain if not letter.isprintable()} - {"\n", "\t"}
    assert printable.block(plain) == plain
    assert printable.line(text).isprintable()


@given(st.text())
def test_json_says_the_same_and_is_safe_to_look_at(text: str) -> None:
    shown = printable.json_text(json.dumps({"name": text}, ensure_ascii=False))
    assert json.loads(shown) == {"name": text}
    assert not {"\x1b", "\x9b", "\x7f", "\u202e"} & set(shown)


def test_every_text_of_a_value_is_reached() -> None:
    value = {"peers": [{"name": "\x1b[1mx", "slots": 1, "me": True}], "none": None}
    assert printable.every_text(value, printable.line) == {
        "peers": [{"name": "x", "slots": 1, "me": True}],
        "none": None,
    }
