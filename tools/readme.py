#!/usr/bin/env python3
"""Keep the table of system packages in README.md as the one list says: `--check` complains, else it is rewritten."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import setup

README = setup.ROOT / "README.md"
MARKED = re.compile(r"(<!-- system packages: made by tools/readme.py -->\n).*?(<!-- end -->)", re.DOTALL)
# In words, what each group of the list is for.
GROUPS = {
    "python": "to run anything",
    "render": "to render with the embedded Blender",
    "povray": "to render with POV-Ray",
    "test": "for the tests only",
    "compile": "for the simulator at full speed only",
    "netns": "for the network tests only",
}


def table(packages: list[setup.Package]) -> str:
    """Write the table, one row a group, with the packages' names as apt-get takes them."""
    rows = ["| needed | Debian packages |", "|---|---|"]
    for group in dict.fromkeys(package.group for package in packages):
        names = " ".join(package.name for package in packages if package.group == group)
        rows.append(f"| {GROUPS[group]} | `{names}` |")
    return "\n".join(rows) + "\n"


def rewritten(text: str, packages: list[setup.Package]) -> str:
    """Put the table between its marks; raise ValueError if the page has none."""
    made, count = MARKED.subn(lambda found: found[1] + table(packages) + found[2], text)
    if count != 1:
        raise ValueError(f"{README.name} has {count} places for the table of system packages; want one")
    return made


def main() -> int:
    """Rewrite the table, or with --check say whether that would change it."""
    parser = argparse.ArgumentParser(description="Write the README's table of system packages.")
    parser.add_argument("--check", action="store_true", help="change nothing, end with 1 if the table is out of date")
    options = parser.parse_args()
    text = README.read_text("utf-8")
    wanted = rewritten(text, setup.read_packages(setup.PACKAGE_LIST.read_text("utf-8")))
    if text == wanted:
        return 0
    if options.check:
        print("README.md: the table of system packages is out of date; run python3 tools/readme.py")
        return 1
    README.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
