"""A person with a bare machine gets a working environment or one sentence with the remedy."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.render import install
from tools import readme, setup


@pytest.mark.parametrize("name", ["tools/setup.py", "tools/test.py", "tools/__init__.py"])
def test_old_pythons_can_read_what_tells_them_that_they_are_too_old(name: str) -> None:
    ast.parse((setup.ROOT / name).read_text("utf-8"), name, feature_version=(3, 7))


def test_an_old_python_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(setup.SetupError, match=r"Python 3\.11 is needed, this is 3\.9\.(.|\n)*To mend it: "):
        setup.require_python()


def test_every_line_of_the_list_of_packages_has_its_four_columns() -> None:
    packages = setup.read_packages(setup.PACKAGE_LIST.read_text("utf-8"))
    assert {package.group for package in packages} == set(readme.GROUPS)
    assert len({package.name for package in packages}) == len(packages)
    for package in packages:
        setup.is_present(package.probe)  # knows how to look for it
    with pytest.raises(ValueError, match="line 2"):
        setup.read_packages("# list\nlibx11-6 render library:libX11.so.6\n")


def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "sure python module:sys never missing\nlibnone render library:libnone.so.9 draws nothing\n"
    missing = setup.missing_packages(["python", "render"], text)
    assert [package.name for package in missing] == ["libnone"]
    assert setup.missing_packages(["python"], text) == []
    monkeypatch.setattr(setup, "missing_packages", lambda groups: missing)
    with pytest.raises(setup.SetupError, match=r"libnone: draws nothing\n.*apt-get install -y libnone\n"):
        setup.require_packages(["render"])


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    setup.require_space(tmp_path, 1)
    with pytest.raises(setup.SetupError, match="are needed"):
        setup.require_space(tmp_path, 10**18)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        (
            (
                "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
                "ERROR: Could not find a version that satisfies the requirement trio>=0.26 (from versions: none)"
            ),
            "cannot be reached",
        ),
        ("ERROR: No matching distribution found for OpenImageIO>=3.1", "no package that fits.*OpenImageIO>=3.1"),
        ("ssl.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
    ],
)
def test_the_installer_is_translated(said: str, told: str) -> None:
    what, remedy = setup.explain_pip(said)
    assert re.search(told, what)
    assert remedy


def test_a_step_that_fails_shows_its_last_lines_and_keeps_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    script = "for n in range(40): print('line', n)\nraise SystemExit('Network is unreachable')"
    with pytest.raises(setup.SetupError, match=r"(?s)cannot be reached.*line 39.*To mend it") as told:
        setup.run_logged([sys.executable, "-c", script], "install nothing")
    assert "line 3\n" not in str(told.value)
    assert "line 3\n" in (tmp_path / ".venv.log").read_text("utf-8")
    assert "install nothing" in capsys.readouterr().err


def test_an_environment_that_is_up_to_date_costs_next_to_nothing() -> None:
    if not setup.is_up_to_date():
        pytest.skip("pyproject.toml changed since the environment was made: run this by tools/test.py")
    done = subprocess.run(
        [sys.executable, str(setup.ROOT / "tools/setup.py")], capture_output=True, text=True, timeout=20, check=True
    )
    assert Path(done.stdout.strip()) == setup.venv_python()
    assert done.stderr == ""


def test_the_list_and_the_readme_agree() -> None:
    packages = setup.read_packages(setup.PACKAGE_LIST.read_text("utf-8"))
    text = readme.README.read_text("utf-8")
    assert readme.rewritten(text, packages) == text
    with pytest.raises(ValueError, match="want one"):
        readme.rewritten("no table here", packages)


def test_ci_installs_from_the_list_and_runs_the_runner() -> None:
    script = setup.ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    text = script.read_text("utf-8")
    assert "tools/system-packages.txt" in text
    assert "tools/test.py" in text
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=20)


def test_the_installed_program_names_the_same_libraries_as_the_list() -> None:
    packages = setup.read_packages(setup.PACKAGE_LIST.read_text("utf-8"))
    listed = {one.probe.removeprefix("library:"): one.name for one in packages if one.group == "render"}
    assert listed == install.LIBRARIES
