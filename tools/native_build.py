#!/usr/bin/env python3
"""Compile the modules that `modules.txt` names where they lie, two C files at a time: what `tools/native.py` starts.

distutils compiles the files of one extension one after the other, and mypyc makes a single one of all modules, so that
their calls of each other are C calls. Runs in the folder of the copy; takes distutils' arguments.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from mypyc.build import mypycify
from setuptools import setup

# Once setuptools is imported this is its own, by the name that its compilers import it by.
from distutils.ccompiler import CCompiler  # isort: skip

SIDE_BY_SIDE = 2


def compile_side_by_side(self: Any, sources: list[str], **asked: Any) -> list[str]:
    """Compile as `CCompiler.compile` does, several at a time; return the object files."""
    _, objects, last, flags, build = self._setup_compile(
        asked.get("output_dir"),
        asked.get("macros"),
        asked.get("include_dirs"),
        sources,
        asked.get("depends"),
        asked.get("extra_postargs"),
    )
    first = self._get_cc_args(flags, asked.get("debug", 0), asked.get("extra_preargs"))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda made: self._compile(made, *build[made], first, last, flags), build))
    return list(objects)


if __name__ == "__main__":
    CCompiler.compile = cast(Any, compile_side_by_side)  # type: ignore[method-assign]
    modules = Path("modules.txt").read_text("utf-8").split()
    # O1: beyond it the compiler takes twice as long, and the dictionaries are what costs.
    setup(
        name="native",
        packages=[],
        ext_modules=mypycify(
            ["--config-file=mypy/pyproject.toml", *modules], opt_level="1", debug_level="0", multi_file=True
        ),
    )
