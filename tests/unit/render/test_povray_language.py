"""What is read of POV-Ray's scene language: which files a scene opens."""

import re
import tracemalloc
from contextlib import suppress
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.render.povray import language
from mesh.render.povray.language import NotTheLanguage


def opened(text: str) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.word, each.names, each.variable) for each in language.read(text.encode()).openings]


@pytest.mark.parametrize(
    ("text", "word", "name"),
    [
        ('#include "a.inc"', "#include", "a.inc"),
        ('# /* so */ include // far\n "a.inc"', "#include", "a.inc"),
        ('pigment { image_map { png "a.png" once } }', "png", "a.png"),
        ('pigment { image_map { "a.png" } }', "image_map", "a.png"),
        ('normal { bump_map { jpeg "a" } }', "jpeg", "a"),
        ('height_field { tga "a.tga" }', "tga", "a.tga"),
        ('height_field { sys "a.tga" }', "sys", "a.tga"),
        ('density_file df3 "a.df3"', "df3", "a.df3"),
        ('text { ttf "a.ttf" "Say" 1, 0 }', "ttf", "a.ttf"),
        ('#fopen In "a.txt" read', "#fopen", "a.txt"),
        ('#if (file_exists("a.inc"))', "file_exists", "a.inc"),
        ('photons { load_file "a.ph" }', "load_file", "a.ph"),
        (r'#include "a\"b.inc"', "#include", 'a"b.inc'),
        (r'#include "a\\"', "#include", r"a\\"),
    ],
)
def test_each_word_that_opens_a_file_is_known(text: str, word: str, name: str) -> None:
    assert opened(text) == [(word, (name,), "")]


@pytest.mark.parametrize(
    "text",
    [
        '// #include "a.inc"',
        '/* #include "a.inc" */',
        '/* /* */ #include "a.inc" */',
        '/*/ #include "a.inc" /* */ */',
        r'#debug "\" #include \"a.inc\""',
        '#debug "#include" ',
        'mypng "a.png" png_ "a.png" Xinclude "a"',
        "image_map { png_data }",
    ],
)
def test_comments_and_strings_and_longer_words_open_nothing(text: str) -> None:
    assert opened(text) == []


@pytest.mark.parametrize(
    "text",
    [
        '#include concat("/etc/", "passwd")',
        '#include concat("a", "b")',
        "png Names[0]",
        'png Named("a")',
        '#fopen In concat("a", "b") read',
        "#fopen In Name (1) read",
        'image_map { concat("a", ".png") }',
        'file_exists(substr("abc", 1, 2))',
    ],
)
def test_a_name_that_is_computed_has_no_name(text: str) -> None:
    (only,) = language.read(text.encode()).openings
    assert only.names == ()
    assert only.variable in ("", "In")


def test_variables_are_told_with_all_that_they_may_be() -> None:
    text = language.read(
        b"""#declare A = "one.png"; #local A = "two.png"; #declare B = "three"; #declare B = concat("x", "y");
        #macro M(C, D) png C png A #end #declare E[0] = "four";"""
    )
    assert text.strings == {"A": ["one.png", "two.png"], "B": ["three"]}
    assert text.computed == {"B", "C", "D", "E"}
    assert [opening.variable for opening in text.openings] == ["C", "A"]


@pytest.mark.parametrize(
    "text", ['#fopen Out "a" write', '#fopen Out "a" append', "#write (Out, 1)", 'Parse_String("x")', 'save_file "a"']
)
def test_what_writes_is_told(text: str) -> None:
    assert language.read(text.encode()).writings


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("#version 3.7;", "3.7"),
        ("// #version 3.1\n#version 3.70; #version 3.5;", "3.7"),
        ("#version 4;", "4.0"),
        ("#version unofficial patch 3.7;", ""),
        ("#version Mine;", ""),
        ("sphere { 0, 1 }", ""),
        ("#version 3.7; /* cut off", "3.7"),
        ("#version ...;", ""),
        ("#version 3.7.1.9;", ""),
    ],
)
def test_the_version_is_spelled_as_engines_spell_it(text: str, version: str) -> None:
    assert language.version(text.encode()) == version


@pytest.mark.parametrize("text", ['"', '"a\\"', '#include "a', "/*", "/* /* */", 'a\nb\n"'])
def test_what_has_no_end_is_named_with_its_line(text: str) -> None:
    with pytest.raises(NotTheLanguage, match=rf"line {text.count(chr(10)) + 1}: "):
        language.read(text.encode())


def test_lines_are_counted() -> None:
    text = language.read(b'\n\n#include "a"\r\n/*\n*/ png "b"\nradiosity {')
    assert [opening.line for opening in text.openings] == [3, 5]
    assert text.marks == {"radiosity": 6}


@pytest.mark.parametrize(
    ("text", "is_scene"),
    [
        (b"sphere { 0, 1 }", True),
        (b"// a comment\n#declare X = 1;", True),
        (b"/* cut off", False),
        (b"Dear all, the sphere is here.", False),
        (b"BLENDER-v402", False),
        (b"sphere { \0 }", False),
        (b"", False),
    ],
)
def test_a_scene_looks_like_one(text: bytes, is_scene: bool) -> None:
    assert language.looks_like_a_scene(text) == is_scene


PIECES = st.sampled_from(
    [
        '"',
        "\\",
        "/*",
        "*/",
        "//",
        "\n",
        "#",
        "include",
        "fopen",
        "declare",
        "png",
        " ",
        "=",
        "(",
        "A",
        "1.5",
        "{",
        "read",
    ]
)


@given(st.binary(max_size=300) | st.lists(PIECES, max_size=60).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_give_a_text_or_a_named_mistake(data: bytes) -> None:
    language.looks_like_a_scene(data)
    language.version(data)
    with suppress(NotTheLanguage):
        assert all(opening.line >= 1 for opening in language.read(data).openings)


def test_what_would_take_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "TELLING_MAX", 3)
    language.read(b"###")
    with pytest.raises(NotTheLanguage, match="line 2"):
        language.read(b"###\n#")


@pytest.mark.parametrize(
    ("begins", "repeated", "ends"),
    [
        ('#include "', "a", '"'),
        ('#include "', r"\a", '"'),
        ('#include "', r"a\"", '"'),
        ('#include "', "a", ""),
        ("// ", "a", "\n"),
        ("/* ", "a", "*/"),
        ("/* ", "/**/", "*/"),
        ("#declare ", "a", "= 1;"),
        ("#version ", "1", ";"),
        ("", " ", "#"),
    ],
)
def test_whatever_is_long_takes_memory_like_its_own_length(begins: str, repeated: str, ends: str) -> None:
    data = (begins + repeated * ((1 << 20) // len(repeated)) + ends).encode()
    tracemalloc.start()
    try:
        with suppress(NotTheLanguage):
            language.read(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * len(data)


WIDER_PIECES = st.sampled_from(
    ["height_field", "image_pattern", "png_", "x" * 50, "/**/", "//" + "y" * 50, '"' + "z" * 50 + '"', r"\"", " " * 50]
)


def tokens(text: str, pattern: re.Pattern[str], window: int) -> list[object]:
    """All that is found with windows of a size, and the mistake at the end."""
    found: list[object] = []
    with mock.patch.object(language, "_WINDOW", window):
        reader = language._Reader(text)
        try:
            while (token := reader.next(pattern)) is not language._END:
                found.append(token)
        except NotTheLanguage as error:
            found.append(str(error))
    return found


@given(
    st.lists(PIECES | WIDER_PIECES, max_size=60).map("".join) | st.text('/*"\\\n#png_ 1', max_size=300),
    st.integers(language._OVERLAP + 1, 3 * language._OVERLAP),
)
def test_windows_change_nothing_of_what_is_found(text: str, window: int) -> None:
    for pattern in (language._TOKEN, language._TELLING):
        assert tokens(text, pattern, window) == tokens(text, pattern, 1 << 30)


@pytest.mark.parametrize("piece", ["height_field", "#", "//", "/* */", "/* /**/ */", r'"\""', r'"\\"', "_png", "png_"])
def test_what_lies_across_a_windows_end_is_found_as_elsewhere(piece: str) -> None:
    for before in range(120):
        text = f"{'1,' * (before // 2)}{' ' * (before % 2)} {piece}" + " 2" * 60 + "#"
        assert tokens(text, language._TELLING, 64) == tokens(text, language._TELLING, 1 << 30)


@pytest.mark.parametrize("text", ["<1.5, -2.5, 3.5>, " * 100_000, "sphere " * 200_000 + "#" + "\n" * 600_000])
def test_no_search_is_longer_than_a_window(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads wait for the end of each."""
    pattern, spans = language._TELLING, []

    def search(source: str, start: int, limit: int = len(text)) -> re.Match[str] | None:
        spans.append(limit - start)
        return pattern.search(source, start, limit)

    monkeypatch.setattr(language, "_TELLING", mock.Mock(search=search))
    language.read(text.encode())
    assert max(spans) <= 256 * 1024
    assert len(spans) < 20
