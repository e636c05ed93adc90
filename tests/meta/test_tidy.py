"""The house rules find what they are there to find, and the project itself passes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import tidy

if TYPE_CHECKING:
    from pathlib import Path

DOC = '"""What this is."""\n'


def complaints(text: str, path: str = "mesh/core/claims.py") -> list[str]:
    return [problem.text for problem in tidy.check_python(path, DOC + text)]


def test_the_project_is_tidy() -> None:
    assert tidy.check() == []


def test_a_long_module_is_refused() -> None:
    assert complaints("x = 1\n" * (tidy.MODULE_LINES_MAX - 1)) == []
    assert len(complaints("x = 1\n" * tidy.MODULE_LINES_MAX)) == 1


@pytest.mark.parametrize("start", ["def", "async def"])
def test_a_long_function_is_refused_its_decorators_counted(start: str) -> None:
    body = "    x = 1\n" * (tidy.FUNCTION_LINES_MAX - 1)
    assert complaints(f"{start} f():\n{body}") == []
    assert len(complaints(f"{start} f():\n{body}    x = 1\n")) == 1
    assert len(complaints(f"@cache\n{start} f():\n{body}")) == 1


def test_many_positional_parameters_are_refused_and_keywords_are_not() -> None:
    assert complaints("def f(a, b, c, d, e): pass") == []
    assert complaints("def f(self, a, b, c, d, e): pass") == []
    assert complaints("def f(a, b, c, d, e, *, f, g, h): pass") == []
    assert len(complaints("def f(a, b, c, d, e, f): pass")) == 1
    assert len(complaints("def f(a, b, /, c, d, e, f): pass")) == 1


def test_what_a_framework_calls_by_name_may_take_more() -> None:
    assert complaints("def test_f(a, b, c, d, e, f): pass", "tests/unit/test_f.py") == []
    assert complaints("@command()\ndef submit(a, b, c, d, e, f): pass", "mesh/cli/submit.py") == []
    assert len(complaints("@command()\ndef submit(a, b, c, d, e, f): pass", "mesh/node/submit.py")) == 1


def test_a_module_without_docstring_is_refused_unless_it_is_empty() -> None:
    assert len(list(tidy.check_python("mesh/core/a.py", "x = 1\n"))) == 1
    assert list(tidy.check_python("mesh/core/__init__.py", "")) == []


@pytest.mark.parametrize("word", tidy.UNFINISHED)
def test_unfinished_work_is_refused(word: str) -> None:
    assert len(complaints(f"x = 1  # {word}: later\n")) == 1
    assert complaints(f"x = '{word}psk0'\n") == []


def test_a_conflict_marker_is_refused() -> None:
    assert any("conflict" in text for text in complaints("x = '''\n" + "<" * 7 + " HEAD\n'''\n"))


@pytest.mark.parametrize("caught", ["Exception", "BaseException", "(ValueError, Exception)", ""])
def test_catching_everything_is_refused_but_at_the_edges(caught: str) -> None:
    text = f"try:\n    f()\nexcept {caught}:\n    g()\n"
    assert len(complaints(text)) == 1
    assert complaints(text, "mesh/node/driver.py") == []
    assert complaints(text + "    raise\n") == []
    assert len(complaints(text + "    raise Other\n")) == 1


@pytest.mark.parametrize("caught", ["OSError", "(ValueError, trio.Cancelled)", "read_errors()"])
def test_catching_what_is_named_is_allowed(caught: str) -> None:
    assert complaints(f"try:\n    f()\nexcept {caught}:\n    g()\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "import pytest\npytest.skip()",
        "import pytest\n@pytest.mark.skip\ndef test_f(): pass",
        "import pytest\n@pytest.mark.skip()\ndef test_f(): pass",
        "import pytest\n@pytest.mark.skipif(True)\ndef test_f(): pass",
    ],
)
def test_sleeps_and_silent_skips_are_refused_in_tests(text: str) -> None:
    assert len(complaints(text, "tests/unit/test_f.py")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import pytest\npytest.skip('no network namespaces here')",
        "import pytest\n@pytest.mark.skipif(True, reason='needs root')\ndef test_f(): pass",
    ],
)
def test_a_skip_with_a_reason_is_allowed(text: str) -> None:
    assert complaints(text, "tests/unit/test_f.py") == []


@pytest.mark.parametrize(
    "text", ["import fcntl\n", "def f():\n    from resource import prlimit\n", "os.killpg(1, 9)\n"]
)
def test_what_only_posix_has_stays_in_its_few_homes(text: str) -> None:
    assert len(complaints(text, "mesh/node/bench.py")) == 1
    assert complaints(text, "mesh/store/posix.py") == []
    assert complaints(text, "mesh/net/machine.py") == []
    assert complaints(text, "tests/support/a.py") == []
    assert complaints("os.kill(1, 9)\nwindow.resource.killpg()\n", "mesh/node/bench.py") == []


def test_every_other_home_of_what_only_posix_has_needs_it() -> None:
    for path in tidy.POSIX_HOMES:
        text = (tidy.ROOT / path).read_text("utf-8")
        assert list(tidy.check_python(path.replace("mesh/", "mesh/x/"), text)), f"{path} needs no line of its own"


def page_complaints(root: Path, text: str) -> list[str]:
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs/other.md").write_text("# Other page\n\n## What `meshnode` holds\n")
    return [problem.text for problem in tidy.check_page(root, "docs/page.md", text)]


@pytest.mark.parametrize(
    "link",
    ["other.md", "other.md#other-page", "other.md#what-meshnode-holds", "../docs/other.md", "https://example.org/x"],
)
def test_a_link_that_leads_somewhere_is_allowed(tmp_path: Path, link: str) -> None:
    assert page_complaints(tmp_path, f"See [it]({link}).") == []


@pytest.mark.parametrize("link", ["missing.md", "other.md#no-such-heading", "../../elsewhere.md", "images/none.png"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str) -> None:
    assert len(page_complaints(tmp_path, f"See ![it]({link}).")) == 1


def test_code_in_a_page_is_not_read_as_prose(tmp_path: Path) -> None:
    assert page_complaints(tmp_path, "```\n[it](missing.md)\n```\n`[it](missing.md)`\n") == []
