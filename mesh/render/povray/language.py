"""Read POV-Ray's scene language as far as files are concerned: which ones a scene opens, and what it does with them.

Theory: the language is a program, so what it opens can be computed, and only running it would tell. But nearly every
scene names its files plainly. So the text is parted into tokens as POV-Ray itself parts it (comments nest, a quote is
escaped by a backslash), and after each word that opens a file a string expression is read: a string, or the name of one
that is only ever declared as plain strings. Whatever else stands there is *computed*, and whoever asks is told so.

Invariants: any bytes give a value or `NotTheLanguage`, in time and memory that grow with their number alone. Nothing is
evaluated: what stands in a branch that is never taken counts as well. Must not know the disk.
"""

import re
from dataclasses import dataclass, field

_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ESCAPED_QUOTE = '\\"'

IMAGES = ("bmp", "exr", "gif", "hdr", "iff", "jpeg", "pgm", "png", "pot", "ppm", "sys", "tga", "tiff")
"""Words that name an image's format and are followed by its file."""

_HOLDERS = frozenset(("bump_map", "height_field", "image_map", "image_pattern", "material_map"))
"""Words whose braces may begin with a file without its format."""

_OPENERS = frozenset((*IMAGES, "df3", "ttf", "load_file", "save_file"))
_TEXTS = frozenset(("chr", "concat", "datetime", "str", "strlwr", "strupr", "substr", "vstr"))
"""Functions that make strings."""

_MARKS = frozenset(("crand", "jitter", "media", "photons", "radiosity", "subsurface"))
"""Words for which whoever reads a scene may have to do something else."""

_WRITING_MACROS = frozenset(("Parse_String",))
"""Macros of the standard includes that write a file beside the scene and read it back as a piece of it."""

_SCENE_WORDS = frozenset(
    (
        *("background", "box", "camera", "cone", "cylinder", "difference", "global_settings", "intersection"),
        *("light_source", "merge", "mesh", "object", "plane", "sky_sphere", "sphere", "torus", "union"),
    )
)
"""Words that stand before a brace in every scene, and in few other texts."""

_VERSION_CHARACTERS = 16

_DIRECTIVES = frozenset(("declare", "include", "local", "macro", "version"))

_HIDDEN = r'//[^\n\r]*|/\*|"'
"""Where words are none: comments, and the beginnings of those that nest and of strings."""

_WITHIN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
"""Possessive: to go back costs memory for each character, here a hundred bytes."""


_TOKEN = re.compile(_HIDDEN + r"|[A-Za-z_][A-Za-z0-9_]*|[0-9.]+|[^\s]", re.ASCII | re.DOTALL)
_TELLING = re.compile(
    rf"{_HIDDEN}|#|(?<![A-Za-z0-9_])(?:"
    + "|".join(sorted({*_HOLDERS, *_OPENERS, *_MARKS, *_WRITING_MACROS, "file_exists"}))
    + r")(?![A-Za-z0-9_])",
    re.ASCII | re.DOTALL,
)
"""Tokens after which something is to be done: all others are passed over at once, since scenes hold millions."""


_WINDOW = 256 * 1024
"""Characters searched at once, a hundredth of a second: a search lets no other thread run before it ends."""

_OVERLAP = 32
"""What is cut by a window's end is no longer, words and what stands behind them: the longest has 13 letters."""

TELLING_MAX = 3_000_000
"""Of one file: six seconds of reading. Meshes have next to none, whatever their size."""


class NotTheLanguage(Exception):
    """The text is none that POV-Ray could read, or nobody should; the message begins with the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Be one place that opens a file: `word` is what opens it, `names` what it may be called; none: it is computed."""

    word: str
    names: tuple[str, ...]
    line: int
    variable: str = ""


@dataclass(slots=True, kw_only=True)
class Text:
    """Tell what one file of a scene says.

    `strings` are variables with every plain string that they are declared as; `computed` those that are ever anything
    else, macros' parameters among them. `marks` are words that matter to somebody, with the line of the first.
    """

    version: str = ""
    openings: list[Opening] = field(default_factory=list)
    writings: list[Opening] = field(default_factory=list)
    strings: dict[str, list[str]] = field(default_factory=dict)
    computed: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)


def read(data: bytes) -> Text:
    """Read one file. Raises NotTheLanguage for a comment or a string without an end."""
    return _Reader(data.decode("latin-1")).text()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


_END = _Token("end", "", -1)


def looks_like_a_scene(first: bytes) -> bool:
    """Say whether the beginning of a file may be that of a scene: a statement of the language is in it."""
    if b"\0" in first:
        return False
    reader = _Reader(first.decode("latin-1"))
    try:
        before = _END
        while (token := reader.next()) is not _END:
            if before.text == "#" and token.text in _DIRECTIVES:
                return True
            if token.text == "{" and before.text in _SCENE_WORDS and before.kind == "word":
                return True
            before = token
    except NotTheLanguage:
        pass
    return False


def version(first: bytes) -> str:
    """Give the version that a text's first bytes say it is written for, such as `3.7`; empty: they say none."""
    reader = _Reader(first.decode("latin-1"))
    try:
        return reader.text().version
    except NotTheLanguage:
        # It may have been cut off.
        return reader.so_far.version


def _as_version(number: str) -> str:
    """Spell a version as engines do: in the language it is a number, so that 3.70 is 3.7."""
    major, _, minor = number.partition(".")
    if not major.isdecimal() or len(number) > _VERSION_CHARACTERS or (minor and not minor.isdecimal()):
        return ""
    return f"{int(major)}.{int(minor.rstrip('0') or 0)}"


def _search(pattern: re.Pattern[str], source: str, start: int) -> re.Match[str] | None:
    """Search as the pattern itself does, but by windows; only what is longer than one is matched at once."""
    window = _WINDOW
    while True:
        limit = start + window
        match = pattern.search(source, start, limit)
        if limit >= len(source) or (match is not None and match.end() < limit):
            return match
        if match is None:
            start, window = limit - _OVERLAP, _WINDOW
        elif match.start() > start:
            start, window = match.start(), _WINDOW
        else:
            window *= 2


def _comment_end(source: str, start: int) -> int:
    depth, at = 0, start
    while at < len(source):
        limit = at + _WINDOW
        for edge in _COMMENT_EDGE.finditer(source, at, limit):
            depth += 1 if edge.group() == "/*" else -1
            at = edge.end()
            if depth == 0:
                return at
        # An edge may begin with a window's last character.
        at = max(at, limit - 1)
    raise NotTheLanguage(f"line {_line(source, start)}: a comment without its end")


def _string_end(source: str, start: int) -> int:
    """Find the quote that ends the string whose first quote stands at `start`."""
    at = start + 1
    while at < len(source):
        inside = _WITHIN_STRING.match(source, at, at + _WINDOW)
        assert inside is not None, "it matches nothing as well"
        if inside.end() == at:
            break
        at = inside.end()
    if source[at : at + 1] != '"':
        raise NotTheLanguage(f"line {_line(source, start)}: a string without its end")
    return at


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1


class _Reader:
    """Walks over one file once; `_at` is where it is."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._text = Text()
        self._counted, self._lines = 0, 1

    @property
    def so_far(self) -> Text:
        """Give what was read before it turned out not to be the language."""
        return self._text

    def text(self) -> Text:
        """Read all of it. Raises NotTheLanguage."""
        told = 0
        while (token := self.next(_TELLING)) is not _END:
            told += 1
            if told > TELLING_MAX:
                raise NotTheLanguage(f"line {self._line_of(token)}: too much that might open a file")
            if token.kind == "mark":
                self._directive()
            elif token.kind == "word":
                self._word(token)
        return self._text

    def next(self, pattern: re.Pattern[str] = _TOKEN) -> _Token:
        """Go to the next token of a pattern: a word, a string without its quotes, a number or a mark."""
        source = self._source
        while match := _search(pattern, source, self._at):
            start, self._at, found = match.start(), match.end(), match.group()
            first = found[0]
            if found == "/*":
                self._at = _comment_end(source, start)
            elif first == '"':
                end_quote = _string_end(source, start)
                self._at = end_quote + 1
                return _Token("string", source[start + 1 : end_quote].replace(_ESCAPED_QUOTE, '"'), start)
            elif first == "_" or (first.isalpha() and first.isascii()):
                return _Token("word", found, start)
            elif not found.startswith("//"):
                return _Token("number" if first in "0123456789." else "mark", found, start)
        self._at = len(self._source)
        return _END

    def _directive(self) -> None:
        word = self.next()
        if word.kind != "word":
            self._back(word)
            return
        match word.text:
            case "include":
                self._open(word)
            case "fopen":
                self._fopen(word)
            case "declare" | "local":
                self._declare()
            case "macro":
                self._macro()
            case "version":
                self._version()
            case "write":
                self._text.writings.append(Opening(word="#write", names=(), line=self._line_of(word)))
            case _:
                pass

    def _word(self, word: _Token) -> None:
        text = self._text
        if word.text in _MARKS:
            text.marks.setdefault(word.text, self._line_of(word))
        if word.text in _WRITING_MACROS or word.text == "save_file":
            text.writings.append(Opening(word=word.text, names=(), line=self._line_of(word)))
        elif word.text in _OPENERS or (word.text == "file_exists" and self._takes("(")):
            self._open(word)
        elif word.text in _HOLDERS and self._takes("{"):
            token = self._peek()
            if token.kind == "string" or token.text in _TEXTS:
                self._open(word)

    def _fopen(self, word: _Token) -> None:
        handle = self.next()
        opening = self._opening("#fopen", word)
        how = self.next()
        if how.text in ("write", "append"):
            self._text.writings.append(opening)
        elif how.text == "read":
            self._text.openings.append(opening)
        else:
            # An expression of several words, or a macro: whatever it does, nobody can tell.
            self._back(how)
            self._text.openings.append(Opening(word="#fopen", names=(), line=opening.line, variable=handle.text))

    def _open(self, word: _Token) -> None:
        named = "#include" if word.text == "include" else word.text
        self._text.openings.append(self._opening(named, word))

    def _opening(self, named: str, word: _Token) -> Opening:
        """Read the string expression behind a word that opens a file."""
        line = self._line_of(word)
        token = self.next()
        if token.kind == "string":
            return Opening(word=named, names=(token.text,), line=line)
        if token.kind == "word" and token.text not in _TEXTS and self._peek().text not in ("[", "("):
            return Opening(word=named, names=(), line=line, variable=token.text)
        self._back(token)
        return Opening(word=named, names=(), line=line)

    def _declare(self) -> None:
        name = self.next()
        if name.kind != "word" or not self._takes("="):
            # An element of an array: whoever reads from one computes.
            self._back(name) if name.kind != "word" else self._text.computed.add(name.text)
            return
        value = self._peek()
        if value.kind == "string":
            self._text.strings.setdefault(name.text, []).append(self.next().text)
        else:
            self._text.computed.add(name.text)

    def _macro(self) -> None:
        self.next()
        if not self._takes("("):
            return
        while (token := self.next()).kind == "word" or token.text == ",":
            if token.kind == "word":
                self._text.computed.add(token.text)
        self._back(token)

    def _version(self) -> None:
        number = self.next()
        if number.kind == "number" and not self._text.version:
            self._text.version = _as_version(number.text)
        elif number.kind != "number":
            self._back(number)

    def _takes(self, mark: str) -> bool:
        token = self.next()
        if token.kind == "mark" and token.text == mark:
            return True
        self._back(token)
        return False

    def _peek(self) -> _Token:
        token = self.next()
        self._back(token)
        return token

    def _back(self, token: _Token) -> None:
        """Go back before a token."""
        if token is not _END:
            self._at = token.at

    def _line_of(self, token: _Token) -> int:
        """Count lines from the last place asked for, so that a long file is counted through once."""
        if token.at >= self._counted:
            self._lines += self._source.count("\n", self._counted, token.at)
            self._counted = token.at
            return self._lines
        return _line(self._source, token.at)
