"""What the pages tell a person to type exists: commands, their options, and the scripts of the checkout."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tools import tidy
from tools.sources import ROOT, files

# A word or an option follows: `meshnode 1 mesh id` is a context of a hash.
INLINE = re.compile(r"`((?:meshnode|python3) [a-z-][^`\n]*)`")
# In prose a line may show alternatives or what is optional: `submit [--wait]`, `jobs|show JOB`.
NOTATION = re.compile(r"[\[\]|<>…]")
# Commands that have commands of their own.
GROUPS = ("engine",)


def pages() -> list[tuple[str, str]]:
    top = [(path.name, path.read_text("utf-8")) for path in sorted(ROOT.glob("*.md"))]
    return [*top, *files(ROOT, ("docs",), ".md")]


def typed() -> list[str]:
    """List every line that the pages tell a person to type, without its comment and its redirections."""
    lines = []
    for _, text in pages():
        code = set(text.splitlines()) - {line for _, line in tidy.prose(text)}
        lines += [line.strip().removeprefix("$ ") for line in code] + INLINE.findall(text)
    wanted = (line for line in lines if line.startswith(("meshnode ", "python3 tools/", "python3 -m sim ")))
    return sorted({re.split(r"\s(?:[|>#]|&&)", line)[0].strip() for line in wanted if not NOTATION.search(line)})


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{shlex.join(command)} ends with {done.returncode}: {done.stderr}"
    return done.stdout


def command_of(words: list[str]) -> tuple[str, ...]:
    """Give the command that prints the help for a typed line."""
    if words[0] == "python3":
        script = words[1:2] if words[1] != "-m" else words[1:4]
        return (sys.executable, *script, "--help")
    named = [] if words[1].startswith("-") else words[1:3] if words[1] in GROUPS else words[1:2]
    return (str(Path(sys.executable).parent / "meshnode"), *named, "--help")


def test_the_pages_name_commands_at_all() -> None:
    assert "meshnode submit shot.blend" in typed()
    assert "python3 tools/demo.py" in typed()


@pytest.mark.parametrize("line", typed())
def test_what_a_page_tells_to_type_exists(line: str) -> None:
    words = shlex.split(line, comments=True)
    help_text = help_of(command_of(words))
    for option in (word.partition("=")[0] for word in words if word.startswith("--") and word != "--"):
        assert re.search(rf"(^|[\s,/\[]){re.escape(option)}\b", help_text), f"{line}: there is no {option}"
