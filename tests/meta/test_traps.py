"""The page of traps names scenarios and tests that there are."""

import re

from sim.named import NAMED
from tools.sources import ROOT

PAGE = (ROOT / "docs" / "internals" / "traps.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]


def test_every_trap_has_its_row() -> None:
    numbers = [int(number) for number, _, _, _ in ROWS]
    assert numbers == list(range(1, 35))


def test_what_the_rows_name_exists() -> None:
    tests = (ROOT / "tests" / "unit" / "core" / "test_traps.py").read_text("utf-8")
    for number, _, _, shown in ROWS:
        for name in re.findall(r"`([^`]+)`", shown):
            assert name in NAMED or (ROOT / name).is_file(), f"trap {number} is shown by {name}, which there is not"
        if re.match(r"\d+\b", shown):
            assert f"def test_{number}_" in tests, f"trap {number} has no test of that number"
