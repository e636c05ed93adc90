"""The pages about commands, API, errors and settings say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict

from mesh.ground.errors import MeshError
from tools import reference
from tools.sources import ROOT


def test_the_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_errors_share_an_exit_code_unless_one_is_the_other() -> None:
    by_code: defaultdict[int, list[type[MeshError]]] = defaultdict(list)
    for kind in reference.errors():
        if "exit_code" in vars(kind):
            by_code[kind.exit_code].append(kind)
    shared = {code: [kind.__name__ for kind in kinds] for code, kinds in by_code.items() if len(kinds) > 1}
    assert shared == {}


def test_every_error_says_what_to_do() -> None:
    for kind in reference.errors():
        assert kind.__doc__, kind.__name__
        if kind is not MeshError:
            assert re.search(r"[.;:] ", " ".join(kind.__doc__.split())), f"{kind.__name__}: what happened. What to do."


def test_exit_codes_are_none_that_a_shell_gives() -> None:
    assert all(0 < kind.exit_code < 126 for kind in reference.errors())


def test_every_path_of_the_api_is_described() -> None:
    assert set(reference.paths()) == set(reference._ROUTES)
