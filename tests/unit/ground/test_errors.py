"""Errors: what the user reads is the docstring, and every one has both it and an exit code."""

import importlib
import pkgutil
import re

import pytest

import mesh
from mesh.ground.errors import BugError, MeshError, NotRunningError, UsageError, WireError

PURE = ("mesh.ground", "mesh.wire", "mesh.ports", "mesh.core")


def every_error() -> list[type[MeshError]]:
    for module in pkgutil.walk_packages(mesh.__path__, "mesh."):
        # What runs inside Blender's Python cannot be imported here, and knows none of our errors.
        if not module.name.endswith((".stage", ".__main__")) and module.name.startswith(PURE):
            importlib.import_module(module.name)
    found, left = [], [MeshError]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("mesh.")]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_says_what_happened(kind: type[MeshError]) -> None:
    documented = kind.__doc__
    assert documented
    assert re.fullmatch(r"[A-Z`].*[.!]", " ".join(documented.split())), kind
    assert 0 < kind.exit_code < 126


def test_advice_is_one_line() -> None:
    assert NotRunningError("x").advice == "No peer is running for this home directory. Start one: `meshnode join`."
    assert "\n" not in WireError().advice


def test_the_subject_stands_in_the_message() -> None:
    assert str(UsageError("--frames x")) == "--frames x"
    bug = BugError("the story")
    assert (bug.story, str(bug)) == ("the story", "the story")


def test_codes_that_scripts_know_stay() -> None:
    assert [kind.exit_code for kind in (MeshError, UsageError, NotRunningError, WireError, BugError)] == [
        1,
        2,
        3,
        4,
        70,
    ]
