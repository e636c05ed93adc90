"""Rewrite dataclasses as the classes that mypyc compiles in full: line for line, so that tracebacks stay true.

mypyc compiles a dataclass, but not what the decorator makes: `__init__`, `__eq__` and `__hash__` stay interpreted, and
with `slots=True` the decorator makes a second class that is thrown away. Here they are written out, in lines that say
nothing to a program: the docstring's and the blank ones about it and after the class. What reads a class at run time
(`dataclasses.fields`, `replace`, the wire's codecs) finds what it found before: `dress` gives it that.

Invariants: each line keeps its number; a class that has no room for what must be written is refused, never shortened.
The classes are no longer frozen: that is mypy's to see, which reads them as they were written, and the tests', which
run them so.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_IMPORT = "from tools.native_dressing import dress; "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One field, as source: `default` is an expression, `made` one that each object evaluates anew."""

    name: str
    annotation: str
    default: str | None
    made: str | None
    compared: bool
    given: bool

    @property
    def parameter(self) -> str:
        """Return the parameter of `__init__`."""
        if self.made is not None:
            return f"{self.name}: ({self.annotation}) | None = None"
        return f"{self.name}: {self.annotation}" + ("" if self.default is None else f" = {self.default}")

    @property
    def assignment(self) -> str:
        """Return the statement of `__init__`."""
        if self.made is not None:
            return f"self.{self.name} = {self.made} if {self.name} is None else {self.name}"
        return f"self.{self.name} = {self.name}"


def native_source(source: str) -> str:
    """Return a module's source with its dataclasses written out, each line where it was.

    Raises `ValueError` for a class that has no room for it, or lies in another.
    """
    tree = ast.parse(source)
    lines = [*source.splitlines(), "", ""]  # the last class has two blank lines, too
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and _decorator(node) is not None]
    for node in classes:
        if node not in tree.body:
            raise ValueError(f"line {node.lineno}: {node.name} lies in another class or function")
        _write_out(node, lines)
    for alias in tree.body:
        # Compiled, an alias is the bare type: whoever reads it at run time would miss its bound.
        if isinstance(alias, ast.AnnAssign) and ast.unparse(alias.annotation) == "TypeAlias" and alias.value:
            said = ast.unparse(alias.value)
            if "Annotated[" in said:
                lines[_end(alias) - 1] += f"; globals()[{ast.unparse(alias.target)!r}] = {said}"
    if classes:
        first = next(node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
        lines[first.lineno - 1] = _IMPORT + lines[first.lineno - 1]
    return "\n".join(lines).rstrip("\n") + "\n"


def _decorator(node: ast.ClassDef) -> ast.Call | None:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in {"dataclass", "dataclasses.dataclass"}:
            return decorator
    return None


def _end(node: ast.stmt) -> int:
    assert node.end_lineno is not None  # whatever the parser made has an end
    return node.end_lineno


def _write_out(node: ast.ClassDef, lines: list[str]) -> None:
    """Fill the lines that a class leaves free."""
    decorator = _decorator(node)
    assert decorator is not None
    options = {word.arg: ast.unparse(word.value) for word in decorator.keywords if word.arg is not None}
    room = _room(node, lines)
    *methods, dressing = [*_methods(node, options), _dressing(node, options)]
    if len(methods) >= len(room):
        raise ValueError(f"line {node.lineno}: {node.name} has no room for {len(methods)} methods")
    words = [f"{name}={value}" for name, value in options.items() if name not in {"slots", "frozen"}]
    # mypyc's dataclasses have no bases; what is dressed needs no decorator.
    lines[decorator.lineno - 1] = (
        "" if node.bases else f"@{ast.unparse(decorator.func)}({', '.join([*words, 'init=False'])})"
    )
    for number, method in zip(room, methods, strict=False):
        lines[number] = f"    {method}"
    lines[room[-1]] = dressing


def _room(node: ast.ClassDef, lines: list[str]) -> list[int]:
    """Return the indices of the lines that a class leaves free, the docstring's among them, the last outside of it."""
    about, end = node.body[0], _end(node)
    if ast.get_docstring(node) is None or len(node.decorator_list) > 1:
        raise ValueError(f"line {node.lineno}: {node.name} wants a docstring, and no second decorator")
    said = range(about.lineno - 1, _end(about))
    free = [number for number in sorted({_end(about), end, end + 1}) if not lines[number]]
    if free[-2:] != [end, end + 1]:
        raise ValueError(f"line {end}: {node.name} wants two blank lines after it")
    for number in said:
        lines[number] = ""
    return [*said, *free]


def _methods(node: ast.ClassDef, options: dict[str, str]) -> Iterator[str]:
    fields = list(_fields(node))
    own = {statement.name for statement in node.body if isinstance(statement, ast.FunctionDef)}
    if fields:
        star = "*, " if options.get("kw_only") == "True" else ""
        given = [field for field in fields if field.given]
        statements = [field.assignment for field in given] + ["self.__post_init__()"] * ("__post_init__" in own)
        parameters = ", ".join(field.parameter for field in given)
        yield f"def __init__(self, {star}{parameters}) -> None: {'; '.join(statements)}"
    if options.get("eq") == "False" or "__eq__" in own:
        return
    compared = [field.name for field in fields if field.compared]
    alike = " and ".join([f"isinstance(other, {node.name})", *(f"self.{name} == other.{name}" for name in compared)])
    yield f"def __eq__(self, other: object) -> bool: return {alike}"
    if options.get("frozen") == "True":
        yield f"def __hash__(self) -> int: return hash(({''.join(f'self.{name}, ' for name in compared)}))"


def _fields(node: ast.ClassDef) -> Iterator[_Field]:
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.unparse(statement.annotation):
            continue
        words: dict[str | None, ast.expr] = {}
        value = statement.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) in {"field", "dataclasses.field"}:
            words = {word.arg: word.value for word in value.keywords}
        elif value is not None:
            words = {"default": value}
        maker = words.get("default_factory")
        yield _Field(
            name=ast.unparse(statement.target),
            annotation=ast.unparse(statement.annotation),
            default=ast.unparse(words["default"]) if "default" in words else None,
            made=None if maker is None else _called(maker),
            compared="compare" not in words or ast.unparse(words["compare"]) == "True",
            given="init" not in words or ast.unparse(words["init"]) == "True",
        )


def _called(maker: ast.expr) -> str:
    return ast.unparse(maker.body) if isinstance(maker, ast.Lambda) else f"{ast.unparse(maker)}()"


def _dressing(node: ast.ClassDef, options: dict[str, str]) -> str:
    annotated = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
    annotations = {ast.unparse(each.target): ast.unparse(each.annotation) for each in annotated}
    defaults = [
        f"{ast.unparse(each.target)!r}: {ast.unparse(each.value)}" for each in annotated if each.value is not None
    ]
    words = [f"{name!r}: {value}" for name, value in options.items() if name != "slots"]
    return f"dress({node.name}, {annotations!r}, {{{', '.join(defaults)}}}, {{{', '.join(words)}}})"
