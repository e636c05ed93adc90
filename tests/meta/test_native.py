"""What the compiler of the simulator's copy reads says the same as what people wrote, on the same lines."""

import ast
import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest

from tools import native, seeds, setup
from tools.native import native_modules
from tools.native_source import native_source

ROOT = Path(__file__).parents[2]

SAMPLE = '''"""A module."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias

Name: TypeAlias = Annotated[str, "bounded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two of them.

    More is said of it here.
    """

    DOMAIN: ClassVar[str] = "pair"

    left: int
    right: tuple[Name, ...] = ()
    aside: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.left < 0:
            raise ValueError(self.left)


@dataclass(slots=True)
class Changing:
    """It changes."""

    count: int
    seen: dict[str, int] = field(default_factory=dict)
    bounded: list[int] = field(default_factory=lambda: [1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """It has no fields."""


def last() -> int:
    return 1
'''


@pytest.fixture(params=["written", "rewritten"])
def sample(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sample's module, as written and as the compiler reads it."""
    module = ModuleType("sample_of_native")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    source = SAMPLE if request.param == "written" else native_source(SAMPLE)
    exec(compile(source, "sample.py", "exec"), vars(module))
    return module


def test_objects_are_made_compared_and_hashed_as_before(sample: Any) -> None:
    """Each by keywords or by place, with its defaults, whatever is not compared left aside."""
    pair = sample.Pair(left=1, right=("a",), aside=7)
    assert (pair.left, pair.right, pair.aside, pair.DOMAIN) == (1, ("a",), 7, "pair")
    assert pair == sample.Pair(left=1, right=("a",))
    assert hash(pair) == hash((1, ("a",)))
    assert pair != sample.Pair(left=2, right=("a",))
    assert sample.Nothing() == sample.Nothing()
    assert sample.Nothing() != pair
    assert {sample.Nothing(): 1}[sample.Nothing()] == 1
    assert repr(pair) == "Pair(left=1, right=('a',), aside=7)"
    with pytest.raises(ValueError, match="-1"):
        sample.Pair(left=-1)
    with pytest.raises(TypeError):
        sample.Pair(1)
    changing = sample.Changing(3)
    changing.count += 1
    assert (changing.count, changing.seen, changing.bounded) == (4, {}, [1])
    assert changing.seen is not sample.Changing(3).seen
    with pytest.raises(TypeError, match="unhashable"):
        hash(changing)


def test_what_reads_a_class_finds_what_it_found(sample: Any) -> None:
    """Fields, defaults, bounds and classes of aliases: what the wire's codecs are made from."""
    assert [field.name for field in dataclasses.fields(sample.Pair)] == ["left", "right", "aside"]
    assert dataclasses.fields(sample.Pair)[1].default == ()
    assert dataclasses.replace(sample.Pair(left=1), left=5) == sample.Pair(left=5)
    hints = get_type_hints(sample.Pair, include_extras=True)
    assert hints["right"] == tuple[sample.Name, ...]
    assert sample.Pair.__match_args__ == ()
    assert sample.Changing.__match_args__ == ("count", "seen", "bounded")


def test_each_line_keeps_its_number() -> None:
    """So that tracebacks stay true; only lines without statements change, but for decorators and the first import."""
    before, after = SAMPLE.splitlines(), native_source(SAMPLE).splitlines()
    assert len(before) == len(after)
    kept = [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one == other]
    assert {number for number, line in enumerate(before) if line.startswith(("    def", "class", "    left"))} <= set(
        kept
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (SAMPLE.replace('    """It changes."""\n\n', ""), "docstring"),
        (SAMPLE.replace("\n\n\n@dataclass(slots=True)", "\n@dataclass(slots=True)"), "two blank lines"),
        (
            SAMPLE.replace("\n\n    DOMAIN", "\n    DOMAIN").replace("\n\n    More is said of it here.\n    ", ""),
            "no room",
        ),
        ("def inner():\n" + "\n".join(f"    {line}" for line in SAMPLE.splitlines()), "another class or function"),
    ],
)
def test_a_class_without_room_is_refused(source: str, why: str) -> None:
    """It is never shortened."""
    with pytest.raises(ValueError, match=why):
        native_source(source)


@pytest.mark.parametrize("module", native_modules(ROOT), ids=str)
def test_every_compiled_module_can_be_written_so(module: Path) -> None:
    """Each of ours has the room, and stays valid on its lines."""
    source = (ROOT / module).read_text("utf-8")
    rewritten = native_source(source)
    ast.parse(rewritten)
    assert len(rewritten.splitlines()) >= len(source.splitlines())
    assert "@dataclass(frozen" not in rewritten


def test_nothing_inherits_at_run_time_from_what_is_compiled() -> None:
    """An interpreted class cannot have a compiled one as its base: each such pair names a module that must stay out.

    Errors and protocols are exceptions, which stay ordinary; mutants and scaled stills are run interpreted alone.
    """
    modules = native_modules(ROOT)
    compiled = {
        (".".join(path.with_suffix("").parts), node.name)
        for path in modules
        for node in ast.parse((ROOT / path).read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
        and not any(ast.unparse(base).endswith(("Error", "Exception", "Protocol")) for base in node.bases)
    }
    interpreted = [path for path in sorted((ROOT / "sim").glob("*.py")) if path.relative_to(ROOT) not in modules]
    found = set()
    for path in interpreted:
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in tree.body:
            bases = [names.get(ast.unparse(base)) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            found |= {path.stem for base in bases if base in compiled}
    assert found == {"scaling", "trustcheats"}


def test_what_the_machine_lacks_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to read a compiler's error to know what to install."""
    monkeypatch.setattr("tools.native.shutil.which", lambda _: None)
    assert "apt-get install -y gcc" in str(native.lacking())


def test_a_script_is_refused_by_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    """It would run interpreted, and nobody would notice."""
    assert native.main(["tools/soak.py"]) == 2
    assert "say a module, not tools/soak.py" in capsys.readouterr().err


@dataclasses.dataclass
class Commands:
    """Whoever starts the compiler, which ends as the test says."""

    code: int
    scratch: Path = Path()
    said: list[str] = dataclasses.field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def python(self, *_: str) -> int:
        return self.code


def test_seeds_run_interpreted_where_nothing_can_be_compiled_and_not_where_it_went_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine without a compiler tests what it can; a core that a compiler refuses is a failure."""
    commands: Any = Commands(code=0)
    monkeypatch.setattr(native, "environment", lambda: {"PYTHONPATH": "copy"})
    monkeypatch.setattr(native, "lacking", lambda: setup.SetupError("There is no compiler.", "get one"))
    assert seeds.compiled_copy(commands) == {}
    assert "There is no compiler." in commands.said[0]
    monkeypatch.setattr(native, "lacking", lambda: None)
    assert seeds.compiled_copy(commands) == {"PYTHONPATH": "copy"}
    with pytest.raises(setup.SetupError, match="could not be compiled"):
        seeds.compiled_copy(Commands(code=2))  # type: ignore[arg-type]
