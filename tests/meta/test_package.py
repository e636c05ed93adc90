"""What is in the wheel, what the project depends on, and what lies at the top of the checkout."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tools import package, setup
from tools.sources import ROOT, files, imports

WHOLE = {"mesh/__init__.py", "mesh/py.typed"}
ABOUT = {f"meshnode-1.dist-info/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")}
TOP_LEVEL = {
    "pyproject.toml", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE",
    "mesh", "tests", "sim", "docs", "tools", ".ci", ".gitignore", ".gitattributes", ".editorconfig",
}  # fmt: skip
# Import name: distribution, where they differ.
DISTRIBUTIONS = {"nacl": "pynacl"}


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def test_a_whole_wheel_passes_and_a_broken_one_does_not() -> None:
    package.check_contents(WHOLE | ABOUT, WHOLE)
    for lost in WHOLE | ABOUT:
        with pytest.raises(package.PackageError, match="lacks"):
            package.check_contents((WHOLE | ABOUT) - {lost}, WHOLE)
    with pytest.raises(package.PackageError, match="does not belong"):
        package.check_contents(WHOLE | ABOUT | {"sim/world.py"}, WHOLE)


def test_every_package_that_the_program_imports_is_declared_with_a_lower_bound_and_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    declared = {re.split(r"[><=~\[]", one)[0].lower() for one in dependencies}
    assert len(declared) == len(dependencies), "a package is declared twice"
    for one in dependencies:
        assert re.fullmatch(r"[A-Za-z0-9\[\]-]+>=[0-9.]+", one), f"{one}: want a lower bound and no upper one"
        assert re.match(r"  # [0-9]", lines[lines.index(f'  "{one}",') - 1]), f"{one}: say why above it"
    imported = {
        name.partition(".")[0]
        for path, text in files(ROOT, ("mesh",), ".py")
        for _, name in imports(path, ast.parse(text))
    }
    foreign = imported - set(sys.stdlib_module_names) - {"mesh", "bpy", "mathutils", "cycles", "_cycles"}
    assert {DISTRIBUTIONS.get(name, name).lower() for name in foreign} == declared


def test_the_top_of_the_checkout_holds_nothing_else() -> None:
    listed = setup.ask_git("ls-files")
    assert {name.partition("/")[0] for name in listed.splitlines()} <= TOP_LEVEL


def test_no_secret_build_or_large_file_is_committed() -> None:
    listed = setup.ask_git("ls-files")
    for name in listed.splitlines():
        path = Path(name)
        assert path.suffix not in (".pyc", ".blend", ".whl", ".so"), f"{name}: is made, not kept"
        assert not (ROOT / name).exists() or (ROOT / name).stat().st_size < 2_000_000, f"{name}: too large"


def test_the_change_log_tells_of_this_version() -> None:
    assert f"## {project()['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
