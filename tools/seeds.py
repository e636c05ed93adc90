"""Which seeds of the simulator the tests run: fixed ones, and others that the commit draws.

The fixed ones are the first that there are. The others are new for each commit, and can be repeated from it. All run on
the compiled copy of the checkout where there is a compiler (`tools/native.py`); some run again, interpreted and
under another hash seed, and have to leave the same trace.

Must not know what a stage is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tools import native, setup

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path


class Slice(NamedTuple):
    """A slice of seeds of the simulator, the size of their worlds, and how many run again under another hash seed."""

    seeds: int
    peers: int
    minutes: int
    again: int = 0


# Small worlds cost a sixth of large ones and go wrong in as many ways.
SIM_FIXED = Slice(60, 20, 2)
SIM_LARGE = Slice(20, 20, 2, again=6)
SIM_SMALL = Slice(280, 6, 1, again=40)


class Runner(Protocol):
    """Whoever starts commands, waits for them, and says what goes on."""

    scratch: Path

    def say(self, text: str) -> None: ...

    def python(self, *arguments: str) -> int: ...

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]: ...

    def wait(self, process: subprocess.Popen[bytes]) -> int: ...


def run_all(run: Runner, first: int, compiled: Mapping[str, str]) -> str:
    """Run the drawn seeds from `first` on and the fixed ones; return what went wrong, nothing where all is well."""
    # The drawn seeds first: what differs from commit to commit should speak early.
    notes = [drawn(run, SIM_SMALL, first + SIM_LARGE.seeds, compiled), drawn(run, SIM_LARGE, first, compiled)]
    if simulate(run, SIM_FIXED, range(SIM_FIXED.seeds), compiled, hash_seed="random"):
        notes.append("a seed failed")
    return "; ".join(note for note in notes if note)


def compiled_copy(run: Runner) -> dict[str, str]:
    """Compile the core, and return the environment in which Python runs it; an empty one without a compiler.

    Raises SetupError where there is a compiler that refuses our sources.
    """
    lack = native.lacking()
    if lack:
        run.say(f"{lack}\nall seeds run interpreted, which takes twice as long")
        return {}
    # As a command of its own: it is held to the stage's limit.
    if run.python("tools/native.py") != 0:
        raise setup.SetupError("The core could not be compiled, see above.", "python3 tools/native.py")
    return native.environment()


def drawn(run: Runner, part: Slice, first: int, compiled: Mapping[str, str]) -> str:
    """Run drawn seeds, and some of them again; return what went wrong, nothing where all is well.

    Those that run again are interpreted and have another hash seed: neither may show in a trace.
    """
    once, again = run.scratch / f"once-{part.peers}", run.scratch / f"again-{part.peers}"
    codes = (
        simulate(run, part, range(first, first + part.seeds), compiled, "--hashes", str(once), hash_seed="1"),
        simulate(run, part, range(first, first + part.again), {}, "--hashes", str(again), hash_seed="2"),
    )
    if any(codes):
        return "a seed failed"
    ones, others = read_lines(once), read_lines(again)
    if (len(ones), len(others)) != (part.seeds, part.again):
        return "a seed left no trace"
    differing = sorted(set(others) - set(ones))
    return f"again, interpreted under hash seed 2, these have another trace: {differing[:4]}" if differing else ""


def simulate(run: Runner, part: Slice, which: range, compiled: Mapping[str, str], *options: str, hash_seed: str) -> int:
    """Run the simulator over some seeds on both cores under one hash seed; return its exit code."""
    size = ("--peers", str(part.peers), "--minutes", str(part.minutes), "--jobs", "2")
    # -P: the checkout, where this runs, does not come before the copy.
    python = (sys.executable, "-P") if compiled else (sys.executable,)
    command = (*python, "-m", "sim", "many", "--seeds", f"{which.start}:{which.stop}", *size, *options)
    return run.wait(run.start(*command, environment={**compiled, "PYTHONHASHSEED": hash_seed}))


def drawn_seed() -> int:
    """Draw the first of the seeds that this commit tries beside the fixed ones: a red run can be repeated from it.

    Raises SetupError where there is no commit: seeds that are not drawn from it would only look so.
    """
    return SIM_FIXED.seeds + int(setup.ask_git("rev-parse", "HEAD")[:6], 16)


def read_lines(path: Path) -> list[str]:
    """Read a file's lines; none if there is no file."""
    return path.read_text("utf-8").splitlines() if path.exists() else []
