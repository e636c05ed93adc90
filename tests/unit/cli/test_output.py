"""Tables, facts and errors, on terminals of several widths."""

import click
import pytest

from mesh.cli import output
from mesh.cli.client import answered
from mesh.cli.output import Column
from mesh.ground.errors import NotRunningError
from mesh.ports.desk import RefusalRow, Refused


@pytest.fixture(params=[40, 80, 200])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def test_a_table_fits_and_keeps_what_does_not_give(columns: int) -> None:
    names = (Column(title="NAME", gives=True), Column(title="ID"), Column(title="DONE", right=True))
    rows = [("a very long name indeed, longer than a terminal", "a1b2c3d4", "7/240"), ("b", "00000000", "240/240")]
    lines = [click.unstyle(line) for line in output.table(names, rows)]
    assert max(map(len, lines)) <= columns
    assert all("a1b2c3d4" in line for line in lines[1:2])
    assert lines[1].endswith("  7/240")
    assert lines[2].endswith("240/240")
    assert ("…" in lines[1]) == (columns < 70)


def test_the_widest_gives_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    columns = (Column(title="A", gives=True), Column(title="B"), Column(title="C", gives=True))
    (_, line) = output.table(columns, [("short word", "12345678", "a long text that many columns would be for")])
    assert line.startswith("short word  12345678  a long text that")
    assert line.endswith("…")


def test_a_pipe_gets_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    path = "/a/place/" * 30
    (_, line) = output.table((Column(title="WHERE", gives=True), Column(title="N")), [(path, "1")])
    assert line == f"{path}  1"


def test_colour_takes_no_room(columns: int) -> None:
    names = (Column(title="STATE"), Column(title="X"))
    plain = output.table(names, [("good", "1")])
    painted = output.table(names, [(output.good("good"), "1")])
    assert [click.unstyle(line) for line in painted] == [click.unstyle(line) for line in plain]


def test_facts_leave_out_what_is_empty_and_wrap(columns: int) -> None:
    lines = [click.unstyle(line) for line in output.facts([("home", "x"), ("none", ""), ("text", "word " * 30)])]
    assert lines[0] == "home  x"
    assert not any("none" in line for line in lines)
    assert max(map(len, lines)) <= columns
    assert all(line.startswith("      word") for line in lines[2:])


def test_an_error_says_what_happened_and_what_to_do() -> None:
    lines = [click.unstyle(line) for line in output.error_lines(NotRunningError("no peer is running in /h"))]
    assert lines == ["error: no peer is running in /h", "       Start one: `meshnode join`."]


def test_refusals_share_a_remedy_that_is_the_same() -> None:
    rows = [RefusalRow(code="c", subject=name, text=f"{name} is missing", remedy="relink it") for name in "ab"]
    rows.append(RefusalRow(code="d", subject="e", text="cloth is not baked", remedy="bake it"))
    lines = [click.unstyle(line).strip() for line in output.error_lines(Refused(rows))]
    assert lines[1:] == ["✗ a is missing", "✗ b is missing", "→ relink it", "✗ cloth is not baked", "→ bake it"]
    assert "3 things" in lines[0]


def test_an_error_keeps_its_name_through_json() -> None:
    error = Refused([RefusalRow(code="c", subject="s", text="t", remedy="r")])
    again = answered(output.error_value(error))
    assert type(again).__name__ == "Refused"
    assert output.error_value(again) == output.error_value(error)
    assert output.error_lines(again) == output.error_lines(error)
