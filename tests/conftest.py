"""What every test stands on: a home of its own, and in CI no silent skips where skipping would hide a broken mesh."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import platformdirs
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
# Tests that need root, network namespaces or real Blender: a developer's machine may lack them, CI's never does.
NEVER_SKIPPED_IN_CI = ("tests/e2e/", "tests/netns/", "tests/contract/test_renderer.py")

# No deadline, since the machine's other core may be rendering. In CI the examples are a function of the test alone, so
# that a red run can be repeated; a developer's runs go on exploring.
hypothesis.settings.register_profile("project", deadline=None, print_blob=True, derandomize=IN_CI)
hypothesis.settings.load_profile("project")

_SELDOM = (50_000, 20, 100)
"""New objects until the youngest are looked through, and how often until the older ones are; usual are 700, 10, 10."""

_home: tempfile.TemporaryDirectory[str] | None = None


def pytest_configure() -> None:
    """Give the whole run a home of its own, so that no test reads or changes what its user has.

    Only the engine's environment is shared with the user's cache: it takes a gigabyte and is never changed.
    """
    global _home
    os.environ.setdefault("MESHNODE_CACHE", platformdirs.user_cache_dir("meshnode"))
    os.environ.pop("MESHNODE_HOME", None)
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    _home = tempfile.TemporaryDirectory(prefix="meshnode-home-", ignore_cleanup_errors=True)
    # Hundreds of peers and commands are started, and none shall compile all its modules anew, as nobody's does: where
    # bytecode is not wanted in the checkout it goes where it vanishes with this run.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(_home.name) / "bytecode")
    # pyenv's shims look for their Pythons below the home unless they are told.
    os.environ.setdefault("PYENV_ROOT", str(Path.home() / ".pyenv"))
    os.environ["HOME"] = _home.name


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and never through what was imported: that took a sixth of the unit tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SELDOM)


def pytest_unconfigure() -> None:
    """Take the home away again."""
    if _home is not None:
        _home.cleanup()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where CI must not skip."""
    report = yield
    if report.skipped and _must_run(item.path) and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where it must run: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected."""
    report = yield
    if report.skipped and _must_run(collector.path):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where it must run: {report.longrepr}"
    return report


def _must_run(path: Path) -> bool:
    return IN_CI and path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix().startswith(NEVER_SKIPPED_IN_CI)
