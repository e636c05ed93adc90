"""Find every file that a scene opens, on the submitter's disk and again in a checked-out tree.

Theory: POV-Ray looks for a name first in the directory that it is started in, then in its own includes, then in each
library path, and tries the suffixes of the kind of file that it wants. The same is done here, from the main file
through every file that it includes. What belongs to the program itself is not followed: every host that has the very
same build has the same.

Invariants: a name that is absolute, climbs with `..` or has a backslash is refused and never looked up. Only files that
are included are read, and no more than `TEXT_MAX_BYTES` of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.ports.renderer import ExternalFile, Refusal, SceneUnreadable
from mesh.render.povray import language
from mesh.render.povray.language import Opening

TEXT_MAX_BYTES = 256 << 20
"""Of one scene's text: twenty seconds of reading. Meshes beyond belong into several jobs, or several files of data."""

FILES_MAX = 10_000
"""Files of one scene."""

_SUFFIXES = {
    "#include": (".inc", ".INC"),
    "jpeg": (".jpg", ".JPG", ".jpeg", ".JPEG"),
    "tiff": (".tif", ".TIF", ".tiff", ".TIFF"),
    "#fopen": (),
    "file_exists": (),
    "load_file": (),
}
_KINDS = {"#include": "include", "ttf": "font", "df3": "density", "#fopen": "data", "load_file": "data"}
_PLAIN_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LIBRARY = "_meshnode_library"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Say where a scene's names lead: the directory it is rendered in, its libraries, the program's own includes."""

    directory: Path
    libraries: tuple[Path, ...] = ()
    includes: Path | None = None


@dataclass(slots=True, kw_only=True)
class Closure:
    """Tell all that a scene opens: `files` by their names in its tree, and what speaks against it.

    `marks` are words that matter, each with its first place; `outside` are refusals of names that lead out of the tree.
    """

    version: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    external: dict[str, ExternalFile] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    outside: list[Refusal] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)


def closure(main: str, also: Sequence[str], places: Places) -> Closure:
    """Follow a scene from its main file, and from files that its options include. Raises SceneUnreadable."""
    return _Walk(places).walk(main, also)


def name_problem(name: str) -> str | None:
    """Say why a name is none inside a scene's directory, as the end of a sentence; None: it is one."""
    if not name:
        return "is empty"
    if name.startswith("/"):
        return "is absolute"
    if "\\" in name or "\0" in name:
        return "has a backslash in it"
    if ".." in name.split("/"):
        return "climbs out of its directory"
    return None


def is_plain(name: str) -> bool:
    """Say whether a name inside a scene's directory can stand on POV-Ray's command line as it is."""
    return all(_PLAIN_PART.fullmatch(part) for part in name.split("/"))


class _Walk:
    """One walk through a scene."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._found = Closure()
        self._bytes = 0
        self._strings: dict[str, list[str]] = {}
        self._computed: set[str] = set()
        self._texts: list[str] = []
        self._waiting: list[tuple[str, Opening]] = []
        self._done: set[tuple[str, str]] = set()

    def walk(self, main: str, also: Sequence[str]) -> Closure:
        """Go through all files; names that are variables wait until every declaration was seen."""
        self._found.files[main] = self._places.directory / main
        self._texts.append(main)
        for name in also:
            self._open(main, Opening(word="#include", names=(name,), line=0), name)
        self._read()
        while sum(self._open(*each) for each in self._variables()):
            self._read()
        for owner, opening in self._waiting:
            if not self._known(opening):
                self._refuse(
                    "computed-name",
                    owner,
                    opening,
                    f"{opening.word} opens a file whose name is only known while the scene is read",
                    "write the name out, or into a variable that is only ever set to plain names",
                )
        return self._found

    def _read(self) -> None:
        while self._texts:
            name = self._texts.pop()
            text = self._text(name)
            if not self._found.version and name == next(iter(self._found.files)):
                self._found.version = text.version
            for mark, line in text.marks.items():
                self._found.marks.setdefault(mark, f"{name} line {line}")
            for variable, strings in text.strings.items():
                self._strings.setdefault(variable, []).extend(strings)
            self._computed |= text.computed
            for writing in text.writings:
                self._refuse("writes-files", name, writing, f"{writing.word} writes a file", "write it beforehand")
            for opening in text.openings:
                for each in opening.names:
                    self._open(name, opening, each)
                if not opening.names:
                    self._waiting.append((name, opening))

    def _text(self, name: str) -> language.Text:
        path = self._found.files[name]
        try:
            with open(path, "rb") as stream:
                data = stream.read(TEXT_MAX_BYTES - self._bytes + 1)
        except OSError as error:
            raise SceneUnreadable(f"{path}: {error.strerror}") from error
        self._bytes += len(data)
        if self._bytes > TEXT_MAX_BYTES:
            raise SceneUnreadable(f"{name}: the scene has more than {TEXT_MAX_BYTES >> 20} MiB of text")
        try:
            return language.read(data)
        except language.NotTheLanguage as error:
            raise SceneUnreadable(f"{name} {error}") from error

    def _variables(self) -> Iterator[tuple[str, Opening, str]]:
        for owner, opening in list(self._waiting):
            if self._known(opening):
                for name in list(self._strings[opening.variable]):
                    yield owner, opening, name

    def _known(self, opening: Opening) -> bool:
        return opening.variable in self._strings and opening.variable not in self._computed

    def _open(self, owner: str, opening: Opening, raw: str) -> bool:
        """Take note of a file that is opened; say whether that was new."""
        if (opening.word, raw) in self._done:
            return False
        self._done.add((opening.word, raw))
        name = raw.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
        if problem := name_problem(name):
            self._refuse(
                "path-outside",
                owner,
                opening,
                f"{opening.word} names {name!a}, which {problem}",
                "name it relative to the scene; a Library_Path in the scene's .ini may lead to its directory",
            )
        elif (found := self._find(name, opening.word)) is not None:
            self._take(owner, opening, name, found)
        elif opening.word != "file_exists":
            path = self._places.directory / name
            self._found.missing.append(name)
            self._note(owner, opening, name, path, missing=True)
        return True

    def _take(self, owner: str, opening: Opening, name: str, found: tuple[str, Path]) -> None:
        tree_name, path = found
        if not tree_name or tree_name in self._found.files:
            return
        if len(self._found.files) >= FILES_MAX:
            raise SceneUnreadable(f"the scene has more than {FILES_MAX} files")
        self._found.files[tree_name] = path
        if opening.word == "#include":
            self._texts.append(tree_name)
        self._note(owner, opening, name, path, missing=False)

    def _find(self, name: str, word: str) -> tuple[str, Path] | None:
        """Look for a file as POV-Ray does: give its name in the tree, which is empty for the program's own."""
        suffixes = _SUFFIXES.get(word, (f".{word}", f".{word.upper()}"))
        variants = [name + suffix for suffix in suffixes]
        names = [name, *variants] if name.endswith(suffixes) else [*variants, name]
        for each in names:
            for prefix, directory in self._directories():
                if (directory / each).is_file():
                    return (prefix + each if prefix is not None else ""), directory / each
        return None

    def _directories(self) -> Iterator[tuple[str | None, Path]]:
        yield "", self._places.directory
        if self._places.includes is not None:
            yield None, self._places.includes
        for number, library in enumerate(self._places.libraries):
            yield f"{library_name(number)}/", library

    def _note(self, owner: str, opening: Opening, name: str, path: Path, *, missing: bool) -> None:
        self._found.external.setdefault(
            str(path),
            ExternalFile(
                kind=_KINDS.get(opening.word, "image"),
                path=path,
                stored=name,
                owner=self._found.files[owner],
                user=f"line {opening.line}" if opening.line else "its options",
                files=(path,),
                missing=(path,) if missing else (),
            ),
        )

    def _refuse(self, code: str, owner: str, opening: Opening, text: str, remedy: str) -> None:
        refusal = Refusal(code=code, subject=opening.word, text=f"{owner} line {opening.line}: {text}", remedy=remedy)
        (self._found.outside if code == "path-outside" else self._found.refusals).append(refusal)


def library_name(number: int) -> str:
    """Give the directory of a tree that holds what came from one of the scene's libraries."""
    return f"{_LIBRARY}/{number}"
